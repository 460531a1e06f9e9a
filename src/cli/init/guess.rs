//! What a column is guessed to be.

use super::facts::{Facts, MAX_WORDS, Numbers, TimeForm};
use crate::schema::is_feature_name;

/// The most values of an enum for which few rows are enough.
const FEW: usize = 10;
/// The most decimals of a number that is kept exactly.
const MAX_SCALE: usize = 6;
/// Names of columns that hold the customer's id, without what stands between their words.
const CUSTOMERS: [&str; 14] = [
    "customer",
    "customerid",
    "custid",
    "custno",
    "customernumber",
    "customerno",
    "clientid",
    "client",
    "userid",
    "cif",
    "kundennummer",
    "kundennr",
    "partyid",
    "id",
];

/// A column and what becomes of it.
pub(super) struct Guess {
    pub(super) column: String,
    /// The feature's name.
    pub(super) feature: String,
    pub(super) kind: Guessed,
    /// Fields of the mapping, such as `decimal: ','`.
    pub(super) notation: String,
    pub(super) missing: Vec<String>,
    /// What to look at, since it may be otherwise.
    pub(super) doubt: Option<&'static str>,
}

/// What a column is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Guessed {
    Customer,
    Bool,
    Int {
        min: i64,
        max: i64,
    },
    Decimal {
        scale: usize,
        min: i64,
        max: i64,
    },
    Float {
        double: bool,
    },
    Enum(Vec<String>),
    Set(Vec<String>),
    Time,
    /// It becomes no feature, for this reason.
    Ignored(&'static str),
}

/// Guesses what each column is. `customer` is the column with the id, if somebody said which.
pub(super) fn guess(all: &[Facts], customer: Option<&str>) -> Vec<Guess> {
    let key = customer.map(str::to_owned).or_else(|| customer_of(all));
    let mut guesses: Vec<Guess> = Vec::new();
    for (i, facts) in all.iter().enumerate() {
        let mut guess = Guess {
            column: facts.name.clone(),
            feature: String::new(),
            kind: Guessed::Customer,
            notation: String::new(),
            missing: facts.nothing.iter().cloned().collect(),
            doubt: None,
        };
        if key.as_ref() != Some(&facts.name) {
            guess.kind = kind_of(facts, &mut guess);
            let taken = |name: &str| guesses.iter().any(|earlier| earlier.feature == name);
            guess.feature = feature_of(&facts.name, i + 1, taken);
        }
        guesses.push(guess);
    }
    guesses
}

/// The column that looks like the customer's id: by its name, and all of its texts differ.
fn customer_of(all: &[Facts]) -> Option<String> {
    let plain =
        |facts: &Facts| facts.name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let mut named = all.iter().filter(|facts| facts.are_different(1) && facts.empty == 0);
    let found = CUSTOMERS.iter().find_map(|name| {
        all.iter().find(|facts| facts.are_different(1) && facts.empty == 0 && plain(facts) == *name)
    });
    found.or_else(|| named.find(|facts| plain(facts).ends_with("id"))).map(|facts| facts.name.clone())
}

fn kind_of(facts: &Facts, guess: &mut Guess) -> Guessed {
    let numbers = &facts.numbers;
    if facts.given == 0 {
        return Guessed::Ignored("it says nothing in any row");
    }
    if facts.truths && facts.words.len() > 1 {
        let digits = facts.words.iter().all(|word| word.parse::<f64>().is_ok());
        guess.doubt = digits.then_some("true and false, written as 1 and 0? or a number?");
        return Guessed::Bool;
    }
    if facts.are_different(50) && ends_like_an_id(&facts.name) {
        return Guessed::Ignored("all of its values differ, as ids do");
    }
    if let Some((form, second)) = facts.time() {
        return time_of(form, second, guess);
    }
    if numbers.all && !numbers.zeros {
        return number_of(numbers);
    }
    for (numbers, notation) in
        [(&facts.commas, "decimal: ',', thousands: '.'"), (&facts.grouped, "thousands: ','")]
    {
        if numbers.all && numbers.told && !numbers.zeros {
            guess.notation = notation.to_owned();
            return number_of(numbers);
        }
    }
    if let Some((separator, words)) = facts.list() {
        if matches!(separator, "," | ";") {
            guess.notation = format!("separator: '{separator}'");
        }
        return Guessed::Set(words.iter().cloned().collect());
    }
    let count = facts.words.len();
    let few =
        count <= FEW || (count <= 50 && facts.given >= 2 * count as u64) || facts.given >= 20 * count as u64;
    if facts.are_words && count <= MAX_WORDS && few {
        return Guessed::Enum(facts.words.clone());
    }
    Guessed::Ignored("free text: a feature has few values")
}

fn ends_like_an_id(name: &str) -> bool {
    let name = name.to_lowercase();
    ["id", "no", "nr", "number", "key", "iban", "account"].iter().any(|end| name.ends_with(end))
}

fn time_of(form: &TimeForm, second: bool, guess: &mut Guess) -> Guessed {
    let zone = "in which zone are its times? UTC is a guess";
    match form {
        TimeForm::Told => {}
        TimeForm::Naive => {
            guess.notation = "zone: UTC".to_owned();
            guess.doubt = Some(zone);
        }
        TimeForm::Pattern(pattern, clock) => {
            guess.notation = format!("format: '{pattern}'");
            if *clock {
                guess.notation.push_str(", zone: UTC");
                guess.doubt = Some(zone);
            }
            if second {
                guess.doubt = Some("day or month first? no row tells");
            }
        }
    }
    Guessed::Time
}

fn number_of(numbers: &Numbers) -> Guessed {
    let (min, max) = (bound(numbers.least.min(0.0)), bound(numbers.most.max(0.0)));
    if numbers.are_whole() {
        return Guessed::Int { min, max };
    }
    let scale = numbers.decimals.max(2);
    let size = numbers.least.abs().max(numbers.most.abs()) * 4.0 * 10_f64.powi(scale as i32);
    if numbers.wide || scale > MAX_SCALE || size >= 9.0e14 {
        return Guessed::Float { double: numbers.digits > 6 };
    }
    Guessed::Decimal { scale, min, max }
}

/// A round number at least twice as far from 0.
fn bound(x: f64) -> i64 {
    let (size, mut round) = (x.abs() * 2.0, 10.0);
    while round < size {
        let step = [2.0, 5.0, 10.0].into_iter().find(|step| round * step >= size);
        match step {
            Some(step) => round *= step,
            None => round *= 10.0,
        }
    }
    if x == 0.0 { 0 } else { (round * x.signum()) as i64 }
}

/// A name for the feature of a column: its own in small letters, as far as a feature may have it.
fn feature_of(column: &str, number: usize, taken: impl Fn(&str) -> bool) -> String {
    let mut name = String::new();
    for c in column.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(c.to_ascii_lowercase()),
            _ if name.ends_with('_') || name.is_empty() => {}
            _ => name.push('_'),
        }
    }
    name.truncate(60);
    let name = name.trim_end_matches('_').to_owned();
    let candidates =
        [name.clone(), format!("{name}_value"), format!("column_{number}"), format!("column_{number}_value")];
    let found = candidates.into_iter().find(|name| is_feature_name(name) && !taken(name));
    found.unwrap_or_else(|| format!("the_column_{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a column of these texts is guessed to be, with its notation.
    fn guessed(name: &str, texts: &[&str]) -> (Guessed, String) {
        let mut facts = Facts::new(name);
        texts.iter().for_each(|text| facts.take(text));
        let mut guess = guess(&[facts], Some("nobody")).remove(0);
        (guess.kind, std::mem::take(&mut guess.notation))
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn columns_are_what_all_of_their_texts_are() {
        let time = |notation: &str| (Guessed::Time, notation.to_owned());
        let plain = |kind: Guessed| (kind, String::new());
        let decimal =
            |notation: &str| (Guessed::Decimal { scale: 2, min: 0, max: 5_000 }, notation.to_owned());
        for (texts, expected) in [
            (&["yes", "no", ""][..], plain(Guessed::Bool)),
            (&["True", "False", "NaN"], plain(Guessed::Bool)),
            (&["1", "0", "1.0"], plain(Guessed::Bool)),
            (&["41", "30.0", "95"], plain(Guessed::Int { min: 0, max: 200 })),
            (&["-3", "871", "-1"], plain(Guessed::Int { min: -10, max: 2_000 })),
            (&["1234.5", "7.25"], decimal("")),
            (&["1.234,50", "7,25"], decimal("decimal: ',', thousands: '.'")),
            (&["1,234.50", "7.25"], decimal("thousands: ','")),
            (&["0.30000000000000004", "1e-7"], plain(Guessed::Float { double: true })),
            (&["0.5", "1e-7"], plain(Guessed::Float { double: false })),
            (&["1e-7", "2e-3"], plain(Guessed::Float { double: false })),
            (&["1e3", "2.50e2"], plain(Guessed::Int { min: 0, max: 2_000 })),
            (&["12,34,567", "1,234"], (Guessed::Int { min: 0, max: 5_000_000 }, "thousands: ','".to_owned())),
            (&["2026-11-01", "2020-02-29"], time("")),
            (&["2026-11-01 10:00:00+08", "2020-02-29"], time("")),
            (&["2026-11-01 10:00:00", "2020-02-29 00:00:00"], time("zone: UTC")),
            (&["29.02.2020", "1.11.2026"], time("format: '%d.%m.%Y'")),
            (&["12/31/2026", "1/2/2026"], time("format: '%m/%d/%Y'")),
            (&["31/12/2026 10:00", "1/2/2026 11:30"], time("format: '%d/%m/%Y %H:%M', zone: UTC")),
            (&["01-NOV-26", "29-FEB-20"], time("format: '%d-%b-%y'")),
            (
                &["01-NOV-26 10.00.00.123456 AM", "29-FEB-20 10.00.00.000000 PM"],
                time("format: '%d-%b-%y %I.%M.%S.%f %p', zone: UTC"),
            ),
            (&["01-NOV-26 10.00.00.123456 AM +08:00"], time("format: '%d-%b-%y %I.%M.%S.%f %p %:z'")),
            (&["11/13/2026 3:05 PM"], time("format: '%m/%d/%Y %I:%M %p', zone: UTC")),
            (&["20261101", "20200229"], time("format: '%Y%m%d'")),
            (&["20261101", "20201331"], plain(Guessed::Int { min: 0, max: 50_000_000 })),
            (&["007", "012"], plain(Guessed::Enum(words(&["007", "012"])))),
            (&["gold", "silver", "gold"], plain(Guessed::Enum(words(&["gold", "silver"])))),
            (&["funds|travel", "gold", ""], plain(Guessed::Set(words(&["funds", "gold", "travel"])))),
            (&["{funds,travel}", "{}"], plain(Guessed::Set(words(&["funds", "travel"])))),
            (&["['funds', 'travel']", "['gold']"], plain(Guessed::Set(words(&["funds", "gold", "travel"])))),
            (&["a;b", "b;c", "c", "a"], (Guessed::Set(words(&["a", "b", "c"])), "separator: ';'".to_owned())),
            (&["", "NULL"], plain(Guessed::Ignored("it says nothing in any row"))),
        ] {
            assert_eq!(guessed("x", texts), expected, "{texts:?}");
        }
        let names: Vec<String> = (0..60).map(|i| format!("name {i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(guessed("x", &names), plain(Guessed::Ignored("free text: a feature has few values")));
        let numbers: Vec<String> = (0..60).map(|i| (i * 7919).to_string()).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        assert_eq!(
            guessed("account_no", &numbers),
            plain(Guessed::Ignored("all of its values differ, as ids do"))
        );
    }

    #[test]
    fn the_customer_is_the_column_that_is_called_so_and_never_says_the_same() {
        let column = |name: &str, texts: &[&str]| {
            let mut facts = Facts::new(name);
            texts.iter().for_each(|text| facts.take(text));
            facts
        };
        let (id, other) = (["a", "b"], ["a", "a"]);
        let key = |columns: &[Facts]| customer_of(columns).unwrap_or_default();
        assert_eq!(key(&[column("id", &id), column("Customer ID", &id)]), "Customer ID");
        assert_eq!(key(&[column("customer", &other), column("member_id", &id)]), "member_id");
        assert_eq!(key(&[column("age", &id), column("customer", &other)]), "");
    }

    #[test]
    fn features_have_names_that_conditions_can_use() {
        for (column, name) in [
            ("Last Login (UTC)", "last_login_utc"),
            ("BALANCE", "balance"),
            ("emp.var.rate", "emp_var_rate"),
            ("type", "type_value"),
            ("2026", "column_7"),
            ("年龄", "column_7"),
            ("", "column_7"),
        ] {
            assert_eq!(feature_of(column, 7, |_| false), name, "{column}");
        }
        assert_eq!(feature_of("a", 7, |name| name == "a"), "a_value");
    }
}
