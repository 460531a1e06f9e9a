//! The texts of a bundle that fits a file.

use super::guess::{Guess, Guessed};

/// The texts of a bundle for these columns: path and text. `source` is the name of the file that they are
/// of, and `name` that of the schema. `trim` says that cells have blanks around their texts.
pub(super) fn bundle(
    name: &str,
    source: &str,
    mapping: &str,
    (guesses, trim): (&[Guess], bool),
) -> Vec<(String, String)> {
    let example = Example::of_any(guesses);
    vec![
        ("schema.yaml".to_owned(), schema(name, source, guesses)),
        (format!("imports/{mapping}.yaml"), import(mapping, source, guesses, trim)),
        ("rule-sets/offers.yaml".to_owned(), rules(&example)),
        ("golden.yaml".to_owned(), golden(&example)),
    ]
}

fn schema(name: &str, source: &str, guesses: &[Guess]) -> String {
    let mut text = format!(
        "# Guessed from {source}. Kinds and bounds are easy to change now, and hardly once there are customers:\n\
         # see docs/reference/schema.md of Usher.\n\
         schema: {name}\nchannels: [app, web]\ntimezone: UTC # where days begin\nfeatures:\n"
    );
    let mut any = false;
    for Guess { column, feature, kind, doubt, .. } in guesses {
        let kind = match kind {
            Guessed::Customer | Guessed::Ignored(_) => continue,
            Guessed::Bool => "kind: bool".to_owned(),
            Guessed::Int { min, max } => format!("kind: int, min: {min}, max: {max}"),
            Guessed::Decimal { scale, min, max } => {
                format!("kind: decimal, scale: {scale}, min: {min}, max: {max}")
            }
            Guessed::Float { double: false } => "kind: float".to_owned(),
            Guessed::Float { double: true } => "kind: float, precision: double".to_owned(),
            Guessed::Enum(words) => format!("kind: enum, values: [{}]", listed(words)),
            Guessed::Set(words) => format!("kind: set, values: [{}]", listed(words)),
            Guessed::Time => "kind: time".to_owned(),
        };
        let described =
            if feature == column { String::new() } else { format!(", description: {}", quoted(column)) };
        let doubt = doubt.map(|doubt| format!(" # {doubt}")).unwrap_or_default();
        text.push_str(&format!("  {feature}: {{{kind}{described}}}{doubt}\n"));
        any = true;
    }
    if any { text } else { text.replace("features:\n", "features: {}\n") }
}

fn import(mapping: &str, source: &str, guesses: &[Guess], trim: bool) -> String {
    let key = guesses.iter().find(|guess| guess.kind == Guessed::Customer);
    let customer = key.map_or("row-{line}".to_owned(), |guess| format!("{{{}}}", guess.column));
    let mut text = format!(
        "# How the columns of {source} become features: see docs/reference/mapping.md of Usher.\n\
         import: {mapping}\ncustomer: {}\n{}columns:\n",
        quoted(&customer),
        if trim { "trim: true\n" } else { "" }
    );
    let mut ignored = Vec::new();
    for Guess { column, feature, kind, notation, missing, .. } in guesses {
        match kind {
            Guessed::Customer => continue,
            Guessed::Ignored(_) => {
                ignored.push(column.clone());
                continue;
            }
            _ => {}
        }
        let mut fields = vec![format!("feature: {feature}")];
        fields.extend((!notation.is_empty()).then(|| notation.clone()));
        fields.extend((!missing.is_empty()).then(|| format!("missing: [{}]", listed(missing))));
        text.push_str(&format!("  {}: {{{}}}\n", quoted(column), fields.join(", ")));
    }
    if !ignored.is_empty() {
        text.push_str(&format!("ignore: [{}]\n", listed(&ignored)));
    }
    if text.ends_with("columns:\n") || text.contains("columns:\nignore") {
        text = text.replace("columns:\n", "columns: {}\n");
    }
    text
}

/// A condition, so that the bundle shows how offers are written.
struct Example {
    condition: String,
    /// A customer for whom the condition holds.
    customer: String,
}

impl Example {
    /// One of the first feature with which a condition is easy to read, or of any feature, or of the channel.
    fn of_any(guesses: &[Guess]) -> Example {
        let found = guesses.iter().find_map(Example::of);
        let found = found.or_else(|| guesses.iter().find_map(Example::of_known));
        found.unwrap_or_else(|| Example {
            condition: "context.channel == 'app'".to_owned(),
            customer: "null".to_owned(),
        })
    }

    fn of(guess: &Guess) -> Option<Example> {
        let Guess { feature, kind, .. } = guess;
        let plain = |words: &[String]| words.iter().find(|w| !w.contains(['\'', '\\', '"'])).cloned();
        let (condition, value) = match kind {
            Guessed::Bool => (feature.clone(), "true".to_owned()),
            Guessed::Enum(words) => {
                let word = plain(words)?;
                (format!("{feature} == '{word}'"), quoted(&word))
            }
            Guessed::Set(words) => {
                let word = plain(words)?;
                (format!("'{word}' in {feature}"), format!("[{}]", quoted(&word)))
            }
            Guessed::Int { max, .. } | Guessed::Decimal { max, .. } if *max > 0 => {
                (format!("{feature} >= {}", max / 4), (max / 2).to_string())
            }
            _ => return None,
        };
        Some(Example::new(condition, feature, &value))
    }

    /// That the feature is known at all.
    fn of_known(guess: &Guess) -> Option<Example> {
        let Guess { feature, kind, .. } = guess;
        let value = match kind {
            Guessed::Customer | Guessed::Ignored(_) => return None,
            Guessed::Bool => "true".to_owned(),
            Guessed::Int { .. } | Guessed::Decimal { .. } | Guessed::Float { .. } => "0".to_owned(),
            Guessed::Enum(words) => quoted(words.first()?),
            Guessed::Set(words) => format!("[{}]", quoted(words.first()?)),
            Guessed::Time => "2026-11-01".to_owned(),
        };
        Some(Example::new(format!("{feature} != null"), feature, &value))
    }

    fn new(condition: String, feature: &str, value: &str) -> Example {
        Example { condition, customer: format!("{{{feature}: {value}}}") }
    }
}

fn rules(example: &Example) -> String {
    format!(
        "# What is offered to whom: see docs/reference/rule-sets.md of Usher.\nrule_set: offers\n\
         placements:\n  home_banner: {{channels: [app, web], fallback: welcome}}\noffers:\n  \
         example: # yours instead\n    placements: [home_banner]\n    when: {}\n    \
         treatments: [{{placement: home_banner, content: {{title: An offer}}}}]\n  \
         welcome: # shown when nothing else fits\n    \
         treatments: [{{placement: home_banner, content: {{title: Welcome}}}}]\n",
        double_quoted(&example.condition)
    )
}

fn golden(example: &Example) -> String {
    let case = |name: &str, customer: &str, channel: &str, expect: &str| {
        format!(
            "- name: {name}\n  now: 2026-11-21T10:00:00Z\n  customer: {customer}\n  \
             request: {{channel: {channel}, placements: [{{id: home_banner}}]}}\n  expect: {{home_banner: {{{expect}}}}}\n"
        )
    };
    [
        "# Decisions that must come out as written here: see docs/reference/golden.md of Usher.\n",
        &case("whom the example is for sees it", &example.customer, "app", "offers: [example]"),
        &case("nobody in particular is welcomed", "null", "web", "fallback: welcome"),
    ]
    .concat()
}

fn listed(texts: &[String]) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}

/// A text in YAML: as it is if it can be nothing else, else in quotes.
fn quoted(text: &str) -> String {
    const OTHERS: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        && !OTHERS.contains(&text.to_ascii_lowercase().as_str())
        && !text.eq_ignore_ascii_case("n");
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// A condition in YAML, whose own quotes stay as they are.
fn double_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
