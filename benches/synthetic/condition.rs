//! A condition as plain data: which customers it fits, worked out without the engine, and its text in a
//! language.

use super::customer::Customer;
use super::float_of;

/// What an offer asks of a customer.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Is(Ask),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// One predicate. A feature is given by its index among those of its kind.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Flag {
        flag: usize,
        is: bool,
    },
    Word {
        word_of: usize,
        word: usize,
    },
    Words {
        word_of: usize,
        words: Vec<usize>,
    },
    Between {
        int: usize,
        low: i64,
        high: i64,
    },
    AtLeast {
        int: usize,
        low: i64,
    },
    Below {
        int: usize,
        high: i64,
    },
    /// The float is more than this many steps.
    FloatAbove {
        float: usize,
        low: u32,
    },
    FloatAtMost {
        float: usize,
        high: u32,
    },
}

/// How an engine's language writes conditions.
pub(crate) struct Language {
    pub(crate) and: &'static str,
    pub(crate) or: &'static str,
    /// Writes a predicate; the flag says whether it stands below an `or`.
    pub(crate) ask: fn(&Ask, bool) -> String,
}

impl Condition {
    /// Whether it fits. What has no answer is not true, and none of our predicates negates that.
    pub(crate) fn fits(&self, customer: &Customer) -> bool {
        match self {
            Condition::Is(ask) => ask.fits(customer),
            Condition::All(parts) => parts.iter().all(|part| part.fits(customer)),
            Condition::Any(parts) => parts.iter().any(|part| part.fits(customer)),
        }
    }

    /// The condition in CEL, the language of rule sets.
    pub(crate) fn cel(&self) -> String {
        self.text(&Language { and: " && ", or: " || ", ask: |ask, _| ask.cel() })
    }

    pub(crate) fn text(&self, language: &Language) -> String {
        self.part(language, false, true)
    }

    fn part(&self, language: &Language, below_or: bool, outermost: bool) -> String {
        let (parts, word) = match self {
            Condition::Is(ask) => return (language.ask)(ask, below_or),
            Condition::All(parts) => (parts, language.and),
            Condition::Any(parts) => (parts, language.or),
        };
        let below_or = below_or || matches!(self, Condition::Any(_));
        let parts: Vec<String> = parts.iter().map(|part| part.part(language, below_or, false)).collect();
        let text = parts.join(word);
        if outermost { text } else { format!("({text})") }
    }
}

impl Ask {
    fn fits(&self, customer: &Customer) -> bool {
        match *self {
            Ask::Flag { flag, is } => customer.flags[flag] == Some(is),
            Ask::Word { word_of, word } => customer.words[word_of] == Some(word),
            Ask::Words { word_of, ref words } => {
                customer.words[word_of].is_some_and(|word| words.contains(&word))
            }
            Ask::Between { int, low, high } => customer.ints[int].is_some_and(|x| (low..=high).contains(&x)),
            Ask::AtLeast { int, low } => customer.ints[int].is_some_and(|x| x >= low),
            Ask::Below { int, high } => customer.ints[int].is_some_and(|x| x < high),
            Ask::FloatAbove { float, low } => customer.floats[float].is_some_and(|x| x > low),
            Ask::FloatAtMost { float, high } => customer.floats[float].is_some_and(|x| x <= high),
        }
    }

    pub(crate) fn cel(&self) -> String {
        match *self {
            Ask::Flag { flag, is } => format!("{}b{flag}", if is { "" } else { "!" }),
            Ask::Word { word_of, word } => format!("e{word_of} == 'w{word}'"),
            Ask::Words { word_of, ref words } => format!("e{word_of} in [{}]", quoted(words)),
            Ask::Between { int, low, high } => format!("i{int} >= {low} && i{int} <= {high}"),
            Ask::AtLeast { int, low } => format!("i{int} >= {low}"),
            Ask::Below { int, high } => format!("i{int} < {high}"),
            Ask::FloatAbove { float, low } => format!("f{float} > {:?}", float_of(low)),
            Ask::FloatAtMost { float, high } => format!("f{float} <= {:?}", float_of(high)),
        }
    }
}

/// The words in quotes with commas between them: `'w1', 'w2'`.
pub(crate) fn quoted(words: &[usize]) -> String {
    words.iter().map(|word| format!("'w{word}'")).collect::<Vec<_>>().join(", ")
}
