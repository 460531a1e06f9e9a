//! How a column writes its values, where that is not told by the text alone: times in a format or a zone,
//! numbers with commas, lists with another separator. What is read becomes the text of one of Usher's cells.

use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use super::cell::EMPTY_SET;
use crate::input::cursor::{Cursor, Object};
use crate::input::problem::{Problems, quoted};
use crate::schema::told::{on_the_clock, scaled, time, within_brackets};
use crate::schema::value::Time;
use crate::schema::{Kind, begins, read_zone};

/// How the texts of a column are read.
#[derive(Debug, Clone)]
pub(super) enum Notation {
    /// As the cell of a file of Usher's own.
    Told,
    Times(Times),
    Numbers(Signs),
    /// A list with this between its words.
    Words(Box<str>),
}

/// What a mapping says for all of its columns that do not say otherwise.
#[derive(Debug, Default)]
pub(super) struct Usual {
    zone: Option<TimeZone>,
    signs: Signs,
}

/// How days and times are written.
#[derive(Debug, Clone)]
pub(super) struct Times {
    /// Tried one after the other.
    forms: Vec<Form>,
    /// Where days begin.
    days: TimeZone,
    /// Whose clocks show a time without an offset; `None` if the mapping does not say.
    clocks: Option<TimeZone>,
}

/// One way to write a time.
#[derive(Debug, Clone)]
enum Form {
    /// A format of strftime, such as `%d.%m.%Y`.
    Pattern(Box<str>),
    /// A number of units since 1970, of which a second has ten to this power.
    Since1970(u8),
    /// The days since the end of 1899, as Excel counts them.
    Excel,
}

/// The signs within numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signs {
    /// What stands before decimals; a point if nothing is said.
    pub(crate) decimal: Option<char>,
    pub(crate) thousands: Option<char>,
}

/// The day from which Excel counts.
const EXCEL: DateTime = DateTime::constant(1899, 12, 30, 0, 0, 0, 0);
/// Signs that may stand between thousands; a blank means all kinds of blanks.
const THOUSANDS: [char; 6] = [',', '.', ' ', '\'', '_', '’'];
const FORMATS: &str = "`seconds`, `milliseconds`, `microseconds`, `nanoseconds`, `excel`, or a pattern such as '%d.%m.%Y %H:%M:%S'";

impl Usual {
    /// The fields of a mapping that say something for all columns.
    pub(super) const FIELDS: [&'static str; 3] = ["zone", "decimal", "thousands"];

    pub(super) fn read(object: &Object<'_, '_>, problems: &mut Problems) -> Usual {
        let zone = object.get("zone").and_then(|at| read_zone(at, problems));
        Usual { zone, signs: Signs::read(object, Signs::default(), problems) }
    }
}

impl Notation {
    /// The fields of a column that say how it writes its values.
    pub(super) const FIELDS: [&'static str; 5] = ["format", "zone", "decimal", "thousands", "separator"];

    /// Reads what a column says of its notation. `schema` is the zone of the schema.
    pub(super) fn read(
        object: &Object<'_, '_>,
        kind: &Kind,
        usual: &Usual,
        schema: &TimeZone,
        problems: &mut Problems,
    ) -> Notation {
        let (notation, fits): (_, &[&str]) = match kind {
            Kind::Time => (Times::read(object, usual, schema, problems), &["format", "zone"]),
            Kind::Int { .. } | Kind::Float { .. } | Kind::Decimal { .. } => {
                let signs = Signs::read(object, usual.signs, problems);
                let said = signs.decimal.is_some() || signs.thousands.is_some();
                (if said { Notation::Numbers(signs) } else { Notation::Told }, &["decimal", "thousands"])
            }
            Kind::Set(_) => (words(object, problems), &["separator"]),
            _ => (Notation::Told, &[]),
        };
        for field in Notation::FIELDS.iter().filter(|field| !fits.contains(field)) {
            if let Some(at) = object.get(field) {
                let detail = format!("`{field}` says nothing of a value of kind {}", kind.name());
                problems.push(at.key_problem(detail));
            }
        }
        notation
    }

    /// The cell that a text means. `word` translates one word of a list.
    ///
    /// # Errors
    /// Why it means none.
    pub(super) fn cell<'t>(
        &self,
        text: &'t str,
        word: impl Fn(&str) -> Option<&'t str>,
    ) -> Result<Cow<'t, str>, String> {
        match self {
            Notation::Told => Ok(Cow::Borrowed(text)),
            Notation::Times(times) => times.time_of(text).map(|time| Cow::Owned(time.to_string())),
            Notation::Numbers(signs) => signs.plain(text),
            Notation::Words(separator) => {
                let inner = within_brackets(text).unwrap_or(text);
                let parts = inner.split(&**separator).map(|part| unquoted(part.trim()));
                let words = parts.filter(|part| !part.is_empty());
                let words: Vec<&str> = words.map(|part| word(part).unwrap_or(part)).collect();
                Ok(if words.is_empty() { EMPTY_SET.into() } else { Cow::Owned(words.join("|")) })
            }
        }
    }
}

fn unquoted(text: &str) -> &str {
    let mut inner = ['"', '\''].into_iter().filter_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    inner.next().unwrap_or(text)
}

fn words(object: &Object<'_, '_>, problems: &mut Problems) -> Notation {
    let Some(at) = object.get("separator") else { return Notation::Told };
    match at.text(problems) {
        Some("") => {
            problems.push(at.problem("a separator has at least one character"));
            Notation::Told
        }
        Some(separator) => Notation::Words(separator.into()),
        None => Notation::Told,
    }
}

impl Times {
    fn read(object: &Object<'_, '_>, usual: &Usual, schema: &TimeZone, problems: &mut Problems) -> Notation {
        let own = object.get("zone").and_then(|at| read_zone(at, problems));
        let clocks = own.or_else(|| usual.zone.clone());
        let forms = object.get("format").map(|at| Form::read_all(at, problems)).unwrap_or_default();
        if forms.is_empty() && clocks.is_none() {
            return Notation::Told;
        }
        let days = clocks.clone().unwrap_or_else(|| schema.clone());
        Notation::Times(Times { forms, days, clocks })
    }

    fn in_any_form(&self, text: &str) -> Result<Time, String> {
        let Some(first) = self.forms.first() else {
            return time(text, &self.days, self.clocks.as_ref()).map_err(str::to_owned);
        };
        let found = self.forms.iter().find_map(|form| self.by(form, text).ok());
        found.map_or_else(|| self.by(first, text), Ok)
    }

    /// # Errors
    /// Why the text is no time in any of the forms; in the first, if there are several.
    fn time_of(&self, text: &str) -> Result<Time, String> {
        self.in_any_form(text.trim()).map_err(|why| format!("expected a time, found {}: {why}", quoted(text)))
    }

    fn by(&self, form: &Form, text: &str) -> Result<Time, String> {
        match form {
            Form::Pattern(pattern) => {
                let parts = BrokenDownTime::parse(&**pattern, text).map_err(|why| why.to_string())?;
                let local = parts.to_datetime().map_err(|why| why.to_string())?;
                match parts.offset() {
                    Some(offset) => {
                        let at = offset.to_timestamp(local).map_err(|why| why.to_string())?;
                        Ok(Time(at.as_microsecond()))
                    }
                    None => {
                        let named = parts.iana_time_zone().map(TimeZone::get).transpose();
                        let named = named.map_err(|why| why.to_string())?;
                        self.at(local, parts.hour().is_some(), named.as_ref())
                    }
                }
            }
            Form::Since1970(digits) => {
                // A second has 10^6 microseconds, and what is finer is cut off.
                let micros = match digits {
                    0..=6 => scaled(text, 6 - digits),
                    _ => scaled(text, 0).map(|count| count.div_euclid(1_000)),
                };
                micros.and_then(Time::in_range).ok_or_else(|| "not a number of them since 1970".to_owned())
            }
            Form::Excel => {
                let days: f64 = text.parse().map_err(|_| "not a number of days".to_owned())?;
                let seconds = (days * 86_400.0).round(); // finer parts are noise
                let span = jiff::SignedDuration::try_from_secs_f64(seconds).map_err(|why| why.to_string())?;
                let local = EXCEL.checked_add(span).map_err(|why| why.to_string())?;
                self.at(local, days.fract() != 0.0, None)
            }
        }
    }

    /// The point in time of a date, which has a time of day or is a day as a whole. It is one of the zone
    /// `named` if the text names one.
    fn at(&self, local: DateTime, has_clock: bool, named: Option<&TimeZone>) -> Result<Time, String> {
        match (has_clock, named.or(self.clocks.as_ref())) {
            (false, _) => Ok(begins(named.unwrap_or(&self.days), local.date())),
            (true, Some(zone)) => {
                let micros = i64::from(local.subsec_nanosecond()) / 1_000;
                let whole = local.with().subsec_nanosecond(0).build().map_err(|why| why.to_string())?;
                Ok(on_the_clock(whole, micros, zone)?)
            }
            (true, None) => Err("a time without an offset: the mapping says no `zone`".into()),
        }
    }
}

impl Form {
    /// One form, or a list of them.
    fn read_all(at: &Cursor<'_, '_>, problems: &mut Problems) -> Vec<Form> {
        if at.is_list() {
            return at
                .items(problems)
                .into_iter()
                .flatten()
                .filter_map(|at| Form::read(&at, problems))
                .collect();
        }
        Form::read(at, problems).into_iter().collect()
    }

    fn read(at: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Form> {
        let text = at.text(problems)?;
        Some(match text {
            "seconds" => Form::Since1970(0),
            "milliseconds" => Form::Since1970(3),
            "microseconds" => Form::Since1970(6),
            "nanoseconds" => Form::Since1970(9),
            "excel" => Form::Excel,
            _ if text.contains('%') && is_whole(text) => Form::Pattern(text.into()),
            _ if text.contains('%') => {
                let problem = at.problem(format!("{} does not tell the day of a time", quoted(text)));
                problems.push(problem.hint(
                    "a pattern has a year (%Y), a month (%m or %b) and a day (%d), and besides %H, %M, %S, %f, %p or %z",
                ));
                return None;
            }
            _ => {
                problems.push(at.problem(format!("unknown format {}", quoted(text))).hint(FORMATS));
                return None;
            }
        })
    }
}

/// Whether a time that is written by the pattern can be read back, at least to its day.
fn is_whole(pattern: &str) -> bool {
    let at = jiff::civil::date(2001, 2, 3).at(4, 5, 6, 0).to_zoned(TimeZone::UTC);
    let written = at.ok().and_then(|at| BrokenDownTime::from(&at).to_string(pattern).ok());
    let read = written.and_then(|text| BrokenDownTime::parse(pattern, text).ok());
    read.and_then(|parts| parts.to_datetime().ok())
        .is_some_and(|read| read.date() == jiff::civil::date(2001, 2, 3))
}

impl Signs {
    fn read(object: &Object<'_, '_>, usual: Signs, problems: &mut Problems) -> Signs {
        let mut sign = |field: &str, known: &[char], usual: Option<char>| {
            let Some(at) = object.get(field) else { return usual };
            let text = at.text(problems)?;
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) if known.contains(&c) => Some(c),
                _ => {
                    let all: Vec<String> = known.iter().map(|c| format!("'{c}'")).collect();
                    let detail = format!("expected one of {}, found {}", all.join(" "), quoted(text));
                    problems.push(at.problem(detail));
                    None
                }
            }
        };
        let decimal = sign("decimal", &['.', ','], usual.decimal);
        let thousands = sign("thousands", &THOUSANDS, usual.thousands);
        if thousands.is_some() && thousands == Some(decimal.unwrap_or('.')) {
            let at = object.get("thousands").or_else(|| object.get("decimal")).unwrap_or(object.cursor());
            problems.push(at.problem("the same sign cannot stand before decimals and between thousands"));
        }
        Signs { decimal, thousands }
    }

    /// The number with a point before its decimals and nothing between its thousands. Its digits stay, so it
    /// is the same number to the last bit.
    ///
    /// # Errors
    /// It is not written with these signs.
    pub(crate) fn plain<'t>(self, text: &'t str) -> Result<Cow<'t, str>, String> {
        let text = text.trim();
        let Signs { decimal, thousands } = self;
        let decimal = decimal.unwrap_or('.');
        let (whole, fraction) = match text.split_once(decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let unsigned = whole.trim_start_matches(['+', '-']);
        let sign = &whole[..whole.len() - unsigned.len()];
        let is_between = |c: char| match thousands {
            Some(' ') => matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}'),
            Some(sign) => c == sign,
            None => false,
        };
        let groups: Vec<&str> = unsigned.split(is_between).collect();
        // The last thousands have three digits; those before them two in India, else three.
        let last = groups.len() - 1;
        let right = groups.iter().enumerate().all(|(i, group)| match i {
            _ if last == 0 => true,
            0 => (1..=3).contains(&group.len()),
            i if i == last => group.bytes().take_while(u8::is_ascii_digit).count() == 3,
            _ => (2..=3).contains(&group.len()),
        });
        let whole = format!("{sign}{}", groups.concat());
        let odd = |part: &str| part.contains(|c: char| THOUSANDS.contains(&c) || c == '.' || is_between(c));
        if !right || odd(&whole) || fraction.is_some_and(odd) {
            return Err(format!("expected a number written as the mapping says, found {}", quoted(text)));
        }
        Ok(match fraction {
            Some(fraction) => Cow::Owned(format!("{whole}.{fraction}")),
            None => Cow::Owned(whole),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::document::Input;
    use crate::input::problem::Source;
    use crate::schema::Schema;
    use std::sync::Arc;

    /// What a column with these fields, of a feature of this kind, makes of a text.
    fn read(kind: &str, fields: &str, text: &str) -> String {
        let schema = Schema::parse(
            "s",
            "schema: s\ntimezone: Asia/Shanghai\nfeatures:\n  time: {kind: time}\n  float: {kind: float, precision: double}\n  \
             int: {kind: int}\n  set: {kind: set, values: [a, b]}\n  bool: {kind: bool}\n",
        )
        .unwrap();
        let source = Arc::new(Source { name: "m".into(), text: format!("{{{fields}}}") });
        let input = Input::from_yaml(&source).unwrap();
        let mut problems = Problems::new();
        let root = Cursor::root(&input, Some(&source));
        let object = root.object(&Notation::FIELDS, &mut problems).unwrap();
        let kind = &schema.feature(schema.feature_id(kind).unwrap()).kind;
        let notation = Notation::read(&object, kind, &Usual::default(), schema.zone(), &mut problems);
        if !problems.is_empty() {
            return format!("mapping: {}", problems.iter().next().unwrap().detail);
        }
        match notation.cell(text, |word| (word == "F").then_some("a")) {
            Ok(cell) => cell.into_owned(),
            Err(why) => format!("row: {why}"),
        }
    }

    #[test]
    fn times_are_read_as_the_mapping_says() {
        for (fields, text, expected) in [
            ("zone: Europe/Berlin", "2026-11-01 10:00:00", "2026-11-01T09:00:00Z"),
            ("zone: Europe/Berlin", "2026-11-01 10:00:00+08", "2026-11-01T02:00:00Z"),
            ("zone: Europe/Berlin", "2026-11-01", "2026-10-31T23:00:00Z"),
            ("zone: UTC", "2026-11-01T10:00", "2026-11-01T10:00:00Z"),
            ("format: '%d.%m.%Y'", "1.11.2026", "2026-10-31T16:00:00Z"),
            ("format: '%d.%m.%Y', zone: UTC", "01.11.2026", "2026-11-01T00:00:00Z"),
            ("format: '%m/%d/%Y %I:%M %p', zone: UTC", "11/1/2026 3:05 PM", "2026-11-01T15:05:00Z"),
            // Oracle's NLS_DATE_FORMAT and NLS_TIMESTAMP_FORMAT
            ("format: '%d-%b-%y'", "01-NOV-26", "2026-10-31T16:00:00Z"),
            (
                "format: '%d-%b-%y %I.%M.%S.%f %p', zone: UTC",
                "01-NOV-26 10.00.00.500000 PM",
                "2026-11-01T22:00:00.5Z",
            ),
            ("format: '%Y%m%d'", "20261101", "2026-10-31T16:00:00Z"),
            ("format: '%Y%m%d%H%M%S', zone: UTC", "20261101100000", "2026-11-01T10:00:00Z"),
            ("format: '%d/%m/%Y %H:%M %z'", "01/11/2026 10:00 +0800", "2026-11-01T02:00:00Z"),
            (
                "format: '%Y-%m-%d %H:%M %Q', zone: UTC",
                "2026-11-01 10:00 Asia/Shanghai",
                "2026-11-01T02:00:00Z",
            ),
            ("format: '%Y-%m-%d %H:%M %Q'", "2026-11-01 10:00 Asia/Shanghai", "2026-11-01T02:00:00Z"),
            ("format: '%Y-%m-%d %H:%M %:Q', zone: UTC", "2026-11-01 10:00 +08:00", "2026-11-01T02:00:00Z"),
            ("format: '%Y-%m-%d %Q', zone: UTC", "2026-11-01 Asia/Shanghai", "2026-10-31T16:00:00Z"),
            ("format: seconds", "1793498400", "2026-11-01T02:00:00Z"),
            ("format: seconds", "1793498400.25", "2026-11-01T02:00:00.25Z"),
            ("format: seconds", "1.7934984e9", "2026-11-01T02:00:00Z"),
            ("format: milliseconds", "1793498400123", "2026-11-01T02:00:00.123Z"),
            ("format: microseconds", "1793498400000001", "2026-11-01T02:00:00.000001Z"),
            ("format: nanoseconds", "1793498400000001999", "2026-11-01T02:00:00.000001Z"),
            ("format: excel", "46327", "2026-10-31T16:00:00Z"),
            ("format: excel, zone: UTC", "46327.416666666664", "2026-11-01T10:00:00Z"),
            ("format: ['%d.%m.%Y', '%Y-%m-%d']", "2026-11-01", "2026-10-31T16:00:00Z"),
            ("format: ['%d.%m.%Y', milliseconds]", "1793498400000", "2026-11-01T02:00:00Z"),
        ] {
            assert_eq!(read("time", fields, text), expected, "{fields}: {text}");
        }
        for (fields, text, said) in [
            (
                "format: '%d.%m.%Y %H:%M'",
                "01.11.2026 10:00",
                "row: expected a time, found \"01.11.2026 10:00\": a time without an offset",
            ),
            ("format: '%d.%m.%Y'", "2026-11-01", "row: expected a time"),
            ("format: '%d.%m.%Y'", "31.11.2026", "row: expected a time"),
            ("format: '%d.%m.%Y'", "01.11.2026 10:00", "row: expected a time"),
            ("format: seconds", "soon", "row: expected a time, found \"soon\": not a number of them"),
            (
                "zone: Europe/Berlin",
                "2026-10-25 02:30",
                "row: expected a time, found \"2026-10-25 02:30\": clocks of the zone show",
            ),
            (
                "format: '%d.%m.%Y %H:%M', zone: Europe/Berlin",
                "29.03.2026 02:30",
                "row: expected a time, found \"29.03.2026 02:30\": clocks of the zone leave",
            ),
            (
                "format: '%Y-%m-%d %H:%M %Q', zone: UTC",
                "2026-10-25 02:30 Europe/Berlin",
                "row: expected a time, found \"2026-10-25 02:30 Europe/Berlin\": clocks of the zone show",
            ),
            (
                "format: '%Y-%m-%d %H:%M %Q', zone: UTC",
                "2026-11-01 10:00 Mars/Base",
                "row: expected a time, found \"2026-11-01 10:00 Mars/Base\": ",
            ),
            ("format: '%d.%m'", "1.11.", "mapping: \"%d.%m\" does not tell the day"),
            ("format: dd.mm.yyyy", "", "mapping: unknown format \"dd.mm.yyyy\""),
            ("zone: Mars", "", "mapping: unknown time zone"),
            ("decimal: ','", "", "mapping: `decimal` says nothing of a value of kind time"),
        ] {
            let found = read("time", fields, text);
            assert!(found.starts_with(said), "{fields}: {text}: {found}");
        }
    }

    #[test]
    fn numbers_are_read_as_the_mapping_says_and_keep_their_digits() {
        for (fields, text, expected) in [
            ("decimal: ','", "0,30000000000000004", "0.30000000000000004"),
            ("decimal: ','", "-1234,5", "-1234.5"),
            ("decimal: ','", "1,5E+03", "1.5E+03"),
            ("decimal: ',', thousands: '.'", "1.234.567,89", "1234567.89"),
            ("thousands: ','", "1,234,567.89", "1234567.89"),
            ("thousands: ','", "12,34,567", "1234567"),
            ("thousands: ' ', decimal: ','", "1 234\u{a0}567,5", "1234567.5"),
            ("thousands: ' ', decimal: ','", "1\u{202f}234,5", "1234.5"),
            ("thousands: \"'\"", "1'234.5", "1234.5"),
            ("thousands: '.', decimal: ','", "12", "12"),
        ] {
            assert_eq!(read("float", fields, text), expected, "{fields}: {text}");
        }
        for (fields, text) in [
            ("decimal: ','", "1.5"),
            ("decimal: ','", "1,234,567"),
            ("decimal: ',', thousands: '.'", "12.34"),
            ("decimal: ',', thousands: '.'", "1234.567"),
            ("thousands: ','", "1,23"),
            ("thousands: ','", "1,2345"),
            ("thousands: ','", ",123"),
            ("thousands: ','", "1.5,000"),
        ] {
            let found = read("float", fields, text);
            assert!(found.starts_with("row: expected a number written as"), "{fields}: {text}: {found}");
        }
        for (fields, said) in [
            ("decimal: ',', thousands: ','", "mapping: the same sign"),
            ("thousands: '.'", "mapping: the same sign"),
            ("decimal: ';'", "mapping: expected one of '.' ',', found \";\""),
            ("decimal: ''", "mapping: expected one of"),
            ("separator: ','", "mapping: `separator` says nothing of a value of kind float"),
        ] {
            let found = read("float", fields, "1");
            assert!(found.starts_with(said), "{fields}: {found}");
        }
    }

    #[test]
    fn words_are_parted_as_the_mapping_says() {
        for (fields, text, expected) in [
            ("separator: ','", "a,b", "a|b"),
            ("separator: ', '", "a, b", "a|b"),
            ("separator: ;", "{\"a\";'b'}", "a|b"),
            ("separator: ','", "F, b", "a|b"),
            ("separator: ','", "[]", "|"),
            ("separator: ','", "a", "a"),
            ("", "a|b", "a|b"),
        ] {
            assert_eq!(read("set", fields, text), expected, "{fields}: {text}");
        }
        assert!(read("set", "separator: ''", "a").starts_with("mapping: a separator has"));
        assert!(read("bool", "format: '%Y'", "a").starts_with("mapping: `format` says nothing"));
    }
}
