//! The score by which the offers of one tier are ranked.

use crate::expression::Expression;
use crate::schema::value::Value;

/// The propensity of a choice that is not left to chance.
pub(crate) const CERTAIN: f64 = 1.0;

/// The parts of a score: `score = propensity × value × boost`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Estimated chance of a yes, 0 to 1.
    pub propensity: f64,
    /// What a yes is worth to the bank.
    pub value: f64,
    /// The factor that the rule set gives.
    pub boost: f64,
    /// Propensity × value × boost.
    pub score: f64,
}

impl Score {
    /// The score from what the two expressions came to. Without an answer, the propensity counts as 0 and
    /// the boost as 1.
    pub(crate) fn new(propensity: &Value<'_>, value: f64, boost: &Value<'_>) -> Score {
        let propensity = propensity.number().unwrap_or(0.0).clamp(0.0, 1.0);
        let boost = boost.number().unwrap_or(1.0).max(0.0);
        let finite = |x: f64| if x.is_finite() { x } else { 0.0 };
        Score {
            propensity: finite(propensity),
            value,
            boost: finite(boost),
            score: finite(propensity * value * boost),
        }
    }

    /// The score, if it is the same for every customer.
    pub(crate) fn constant(propensity: &Expression, value: f64, boost: &Expression) -> Option<Score> {
        Some(Score::new(propensity.constant()?, value, boost.constant()?))
    }
}
