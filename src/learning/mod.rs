//! Learning which offer customers take.
//!
//! [`Learned`] counts how often an offer was shown and clicked. [`Posterior`] says what that tells about
//! its chance. [`Thompson`] gives the probability that each of several offers is the best. A decision
//! draws its offer with exactly these probabilities ([`draw`]), so the logged propensity is the true one.

mod curve;
mod draw;
mod learned;
pub mod lesson;
mod thompson;

pub use self::draw::{draw, uniform};
pub use self::learned::{LEARNED_WORDS, Learned, LearnedCounts, Pace};
pub use self::thompson::{Candidate, MAX_LEARNED, Thompson};

/// The belief about the chance of a yes: a Beta distribution with these two parameters. They include the
/// prior's counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Yeses with the prior's; more than 0.
    pub yes: f64,
    /// Noes with the prior's; more than 0.
    pub no: f64,
}

impl Posterior {
    /// The expected chance of a yes, 0 to 1.
    pub fn mean(self) -> f64 {
        self.yes / (self.yes + self.no)
    }

    /// One standard deviation: how far the chance may well lie from its mean.
    pub fn deviation(self) -> f64 {
        let mean = self.mean();
        (mean * (1.0 - mean) / (self.yes + self.no + 1.0)).sqrt()
    }
}
