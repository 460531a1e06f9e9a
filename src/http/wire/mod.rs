//! The shapes on the wire: what a request's target, headers and body say, and how an answer or a refusal is written.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod csv;
pub(crate) mod decision_id;
pub(crate) mod encode;
pub(crate) mod media;
pub(crate) mod query;
pub(crate) mod refusal;
pub(crate) mod room;
