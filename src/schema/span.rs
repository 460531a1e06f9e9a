//! A span of time, as people write it in schemas, rule sets and settings, and as they are told one.

use super::value::DAY_SECONDS;

/// The seconds of a whole number with a unit: minutes as in `90m`, hours as in `12h`, days as in `7d`. `None`
/// for any other text, and for less than one second. The caller says how long a span may be.
///
/// ```
/// use usher::schema::span::seconds;
/// assert_eq!((seconds("90m"), seconds("7d")), (Some(5_400), Some(604_800)));
/// assert_eq!((seconds("0d"), seconds("+7d"), seconds("7")), (None, None, None));
/// ```
pub fn seconds(text: &str) -> Option<u32> {
    let unit = match text.as_bytes().last()? {
        b'm' => 60,
        b'h' => 3_600,
        b'd' => DAY_SECONDS,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<u32>().ok().filter(|_| digits)?.checked_mul(unit)?;
    (seconds > 0).then_some(seconds)
}

/// A span in its two largest units, for people: `3 days 4 h`, `5 min`. The rest is cut off.
///
/// ```
/// use usher::schema::span::told;
/// assert_eq!((told(259_300), told(300), told(61)), ("3 days".into(), "5 min".into(), "1 min 1 s".into()));
/// ```
pub fn told(seconds: i64) -> String {
    let day = u64::from(DAY_SECONDS);
    let seconds = seconds.unsigned_abs();
    let parts = [("days", day, u64::MAX), ("h", 3_600, day), ("min", 60, 3_600), ("s", 1, 60)];
    let parts = parts.map(|(name, unit, whole)| (seconds % whole / unit, name));
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(parts.len() - 1);
    let shown = parts[first..].iter().take(2).filter(|(count, _)| *count > 0 || seconds == 0);
    let name = |count: u64, name: &'static str| if count == 1 && name == "days" { "day" } else { name };
    shown.map(|(count, unit)| format!("{count} {}", name(*count, unit))).collect::<Vec<_>>().join(" ")
}
