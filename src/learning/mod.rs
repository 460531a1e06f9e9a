//! Learning which offer is taken: how often it was shown and clicked ([`Learned`]), what that says of its chance
//! ([`Posterior`]), and with what probability each of several offers is the best one ([`Thompson`]). A decision draws its
//! offer with exactly these probabilities ([`draw`]), so that what is logged as propensity is the true one.

mod curve;
mod draw;
mod learned;
pub mod lesson;
mod thompson;

pub use self::draw::{draw, uniform};
pub use self::learned::{LEARNED_WORDS, Learned, Pace};
pub use self::thompson::{Candidate, MAX_LEARNED, Thompson};

/// What is believed of a chance of a yes: a Beta distribution with these two parameters, the prior's counts included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Yeses, with the prior's; over 0.
    pub yes: f64,
    /// Noes, with the prior's; over 0.
    pub no: f64,
}

impl Posterior {
    /// The expected chance.
    pub fn mean(self) -> f64 {
        self.yes / (self.yes + self.no)
    }

    /// How far the chance may well be from its mean: one standard deviation.
    pub fn deviation(self) -> f64 {
        let mean = self.mean();
        (mean * (1.0 - mean) / (self.yes + self.no + 1.0)).sqrt()
    }
}
