//! Questions about many customers or many decisions: warnings about rule sets, guardrails as they were
//! understood, audiences, statistics, and what another policy would have brought.

pub mod analysis;
pub mod audience;
pub mod decided;
pub mod difference;
pub mod evaluation;
pub mod guardrails;
pub mod learned;
pub mod sample_ratio;
pub mod stats;
