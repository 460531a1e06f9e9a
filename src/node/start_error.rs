//! Why a node does not start.

use std::fmt;
use std::io;

use crate::input::problem::Problems;

/// Why a node does not start over an undamaged data directory.
#[derive(Debug)]
pub enum StartError {
    /// Its active rule sets do not compile: this release understands them differently.
    RuleSets(Problems),
    /// The system could not start a thread.
    Threads(io::Error),
}

impl From<io::Error> for StartError {
    fn from(e: io::Error) -> StartError {
        StartError::Threads(e)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::RuleSets(problems) => problems.fmt(f),
            StartError::Threads(e) => write!(f, "the system gives no more threads: {e}"),
        }
    }
}

impl std::error::Error for StartError {}
