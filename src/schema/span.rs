//! A span of time, as people write it in schemas, rule sets and settings.

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
