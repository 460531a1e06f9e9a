//! Questions about many customers or many decisions: warnings about rule sets, audiences, statistics, and
//! what another policy would have brought.

pub mod analysis;
pub mod audience;
pub mod decided;
pub mod evaluation;
pub mod sample_ratio;
pub mod stats;
