//! Guardrails as they were understood, for people and for programs.

use serde_json::{Value, json};

use crate::cli::terminal::thousands;
use crate::insight::guardrails::{GuardrailForm, GuardrailReport, MissingFate, UnderstoodGuardrail};

/// The most guardrails that people are shown; `--json` has the others.
const MAX_SHOWN_GUARDRAILS: usize = 20;
/// The most forms of one guardrail that people are shown.
const MAX_SHOWN_FORMS: usize = 3;
/// The most offers of one form, and tags of one guardrail, that people are shown.
const MAX_SHOWN_NAMES: usize = 3;
/// The most characters of a condition, or of its words, that people are shown.
const MAX_SHOWN_TEXT: usize = 200;

/// The report for people: a few lines for each guardrail. Empty if there is none.
pub(super) fn text_of(report: &GuardrailReport) -> String {
    if report.guardrails.is_empty() {
        return String::new();
    }
    let mut text = match report.customers {
        Some(customers) => format!(
            "guardrails, as they were understood, with whom they stop of {} customers of the population:\n",
            thousands(customers)
        ),
        None => "guardrails, as they were understood:\n".to_owned(),
    };
    for guardrail in report.guardrails.iter().take(MAX_SHOWN_GUARDRAILS) {
        write_guardrail(&mut text, guardrail, report.customers);
    }
    let shown = report.guardrails.len().min(MAX_SHOWN_GUARDRAILS);
    let more = report.guardrails.len() - shown + report.omitted;
    if more > 0 {
        text.push_str(&format!("  and {}; --json has them\n", counted(more, "further guardrail")));
    }
    text
}

fn write_guardrail(text: &mut String, guardrail: &UnderstoodGuardrail, customers: Option<u64>) {
    let UnderstoodGuardrail { name, file, line, forms, passing_offers, .. } = guardrail;
    text.push_str(&format!("  {name} ({file}:{line}): {}\n", cut(&guardrail.text)));
    for form in forms.iter().take(MAX_SHOWN_FORMS) {
        text.push_str(&format!("    passes {}\n", in_words(form)));
        let names = listed(&form.offers, form.offers_omitted);
        match (form.stopped, customers) {
            (Some(stopped), Some(customers)) => {
                let (stopped, customers) = (thousands(stopped), thousands(customers));
                let stops = match form.depends_on_request {
                    true => format!("at least {stopped} of {customers} (the request decides on the others)"),
                    false => format!("{stopped} of {customers}"),
                };
                text.push_str(&format!("      stops {stops} on {names}\n"));
            }
            _ => text.push_str(&format!("      on {names}\n")),
        }
    }
    let more = forms.len().saturating_sub(MAX_SHOWN_FORMS) + guardrail.forms_omitted;
    if more > 0 {
        text.push_str(&format!("    and {}; --json has them\n", counted(more, "further form")));
    }
    for (tag, words) in guardrail.tags.iter().take(MAX_SHOWN_NAMES) {
        text.push_str(&format!("    tag.{tag}: {}\n", cut(words)));
    }
    let more = guardrail.tags.len().saturating_sub(MAX_SHOWN_NAMES);
    if more > 0 {
        text.push_str(&format!("    and {}; --json has them\n", counted(more, "further tag")));
    }
    if *passing_offers > 0 {
        text.push_str(&format!("    always passes on {}\n", counted(*passing_offers, "offer")));
    } else if forms.is_empty() {
        text.push_str("    there is no offer that it could stop\n");
    }
}

/// When a customer passes, and what happens where something is missing.
fn in_words(form: &GuardrailForm) -> String {
    let mut words = cut(&form.words);
    for (fate, so) in [(MissingFate::Stopped, "stopped"), (MissingFate::Passes, "passes")] {
        let facts = form.missing.iter().filter(|missing| missing.fate == fate);
        let facts: Vec<String> = facts.map(|missing| format!("`{}`", missing.fact)).collect();
        if !facts.is_empty() {
            words.push_str(&format!("; without {}: {so}", facts.join(" or ")));
        }
    }
    let depends = form.missing.iter().filter(|missing| missing.fate == MissingFate::Depends);
    for missing in depends {
        words.push_str(&format!("; without `{}`: passes {}", missing.fact, cut(&missing.words)));
    }
    words
}

/// Names with commas between them, and how many more there are.
fn listed(names: &[Box<str>], omitted: usize) -> String {
    let shown: Vec<&str> = names.iter().take(MAX_SHOWN_NAMES).map(|name| &**name).collect();
    let more = names.len() - shown.len() + omitted;
    let shown = shown.join(", ");
    if more > 0 { format!("{shown} and {} more", thousands(more as u64)) } else { shown }
}

fn counted(count: usize, what: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{} {what}{many}", thousands(count as u64))
}

/// A text on one line, cut if it is long.
fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_SHOWN_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The report for programs, with the server's field names, and the file in `file`.
pub(super) fn json_of(report: &GuardrailReport) -> Value {
    report.guardrails.iter().map(|guardrail| guardrail_json(guardrail, report.customers)).collect()
}

fn guardrail_json(guardrail: &UnderstoodGuardrail, customers: Option<u64>) -> Value {
    let tags = guardrail.tags.iter().map(|(name, words)| json!({"name": name, "words": words}));
    let mut found = json!({
        "name": guardrail.name,
        "rule_set": *guardrail.rule_set,
        "file": guardrail.file,
        "line": guardrail.line,
        "condition": *guardrail.text,
        "forms": guardrail.forms.iter().map(|form| form_json(form, customers)).collect::<Value>(),
        "forms_omitted": guardrail.forms_omitted,
        "passing_offers": guardrail.passing_offers,
        "tags": tags.collect::<Value>(),
    });
    if let Some(golden) = guardrail.golden {
        found["golden_decisions"] = golden.into();
    }
    found
}

fn form_json(form: &GuardrailForm, customers: Option<u64>) -> Value {
    let need = |need: &crate::insight::guardrails::Need| json!({"term": need.term, "needs": need.needs});
    let ways = form.passes_if.iter().map(|way| way.iter().map(need).collect::<Value>());
    let missing = form
        .missing
        .iter()
        .map(|missing| json!({"fact": missing.fact, "then": missing.fate.name(), "words": missing.words}));
    let offers = form.offers.iter().map(|name| match (form.stopped, customers) {
        (Some(stopped), Some(customers)) => json!({"name": name, "stopped": stopped, "customers": customers}),
        _ => json!({"name": name}),
    });
    json!({
        "words": form.words,
        "passes_if": ways.collect::<Value>(),
        "missing": missing.collect::<Value>(),
        "depends_on_request": form.depends_on_request,
        "offers": offers.collect::<Value>(),
        "offers_omitted": form.offers_omitted,
    })
}
