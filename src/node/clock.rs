//! What time it is. The core never asks: the shell does, once per request or analysis, and hands it down.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::schema::value::Time;

/// The time by the system's clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
