//! The clock. The core never reads it. The shell reads it once for each request, write or analysis, and
//! passes the time on. Ages that only people look at, as in metrics, are taken where they are shown.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::schema::value::Time;

/// The time by the system's clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
