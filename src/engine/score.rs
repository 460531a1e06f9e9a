//! What offers of one tier are ranked by.

use crate::expression::Expression;
use crate::schema::value::Value;

/// The parts of a score; `score = propensity × value × boost`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Estimated chance of a yes, 0 to 1.
    pub propensity: f64,
    /// What the offer is worth to the bank.
    pub value: f64,
    /// The rule set's factor.
    pub boost: f64,
    /// The product.
    pub score: f64,
}

impl Score {
    /// Of what the two expressions came to. No answer: an unknown chance counts as none, an unknown boost changes nothing.
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

    /// The score that every customer has, if it is the same for all.
    pub(crate) fn constant(propensity: &Expression, value: f64, boost: &Expression) -> Option<Score> {
        Some(Score::new(propensity.constant()?, value, boost.constant()?))
    }
}
