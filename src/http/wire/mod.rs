//! The shapes on the wire: reads targets, headers and bodies, and writes answers and refusals.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod buffers;
mod chunks;
pub(crate) mod csv;
pub(crate) mod decision_id;
pub(crate) mod encode;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod joined;
pub(crate) mod media;
pub(crate) mod query;
pub(crate) mod reading;
pub(crate) mod refusal;
pub(crate) mod request_id;
pub(crate) mod room;
pub(crate) mod tag;
