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
    let example = guesses.iter().find_map(Example::of);
    vec![
        ("schema.yaml".to_owned(), schema(name, source, guesses)),
        (format!("imports/{mapping}.yaml"), import(mapping, source, guesses, trim)),
        ("rule-sets/offers.yaml".to_owned(), rules(example.as_ref())),
        ("golden.yaml".to_owned(), golden(example.as_ref())),
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

/// A condition on one of the features, so that the bundle shows how offers are written.
struct Example {
    condition: String,
    /// A feature with a value for which the condition holds.
    features: String,
}

impl Example {
    fn of(guess: &Guess) -> Option<Example> {
        let Guess { feature, kind, .. } = guess;
        let (condition, value) = match kind {
            Guessed::Bool => (feature.clone(), "true".to_owned()),
            Guessed::Enum(words) => {
                let word = words.iter().find(|word| !word.contains(['\'', '\\', '"']))?;
                (format!("{feature} == '{word}'"), quoted(word))
            }
            Guessed::Int { max, .. } if *max > 0 => {
                (format!("{feature} >= {}", max / 4), (max / 2).to_string())
            }
            _ => return None,
        };
        Some(Example { condition, features: format!("{feature}: {value}") })
    }
}

fn rules(example: Option<&Example>) -> String {
    let mut text = "# What is offered to whom: see docs/reference/rule-sets.md of Usher.\nrule_set: offers\n\
                    placements:\n  home_banner: {channels: [app, web], fallback: welcome}\noffers:\n"
        .to_owned();
    if let Some(Example { condition, .. }) = example {
        text.push_str(&format!(
            "  example: # yours instead\n    placements: [home_banner]\n    when: {}\n    \
             treatments: [{{placement: home_banner, content: {{title: An offer}}}}]\n",
            double_quoted(condition)
        ));
    }
    text.push_str(
        "  welcome: # shown when nothing else fits\n    \
         treatments: [{placement: home_banner, content: {title: Welcome}}]\n",
    );
    text
}

fn golden(example: Option<&Example>) -> String {
    let mut text =
        "# Decisions that must come out as written here: see docs/reference/golden.md of Usher.\n".to_owned();
    let case = |name: &str, customer: &str, expect: &str| {
        format!(
            "- name: {name}\n  now: 2026-11-21T10:00:00Z\n  customer: {customer}\n  \
             request: {{channel: app, placements: [{{id: home_banner}}]}}\n  expect: {{home_banner: {{{expect}}}}}\n"
        )
    };
    if let Some(Example { features, .. }) = example {
        text.push_str(&case(
            "whom the example is for sees it",
            &format!("{{{features}}}"),
            "offers: [example]",
        ));
    }
    text.push_str(&case("nobody in particular is welcomed", "null", "fallback: welcome"));
    text
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
