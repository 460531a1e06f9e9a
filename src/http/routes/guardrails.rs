//! Guardrails as they were understood, as part of an answer.

use crate::http::wire::encode::Encode;
use crate::insight::guardrails::{GuardrailForm, GuardrailReport, UnderstoodGuardrail};

/// Writes `guardrails`, and `guardrails_omitted` if there are more.
pub(crate) fn write_guardrails(out: &mut dyn Encode, report: &GuardrailReport) {
    out.key("guardrails");
    out.list();
    report.guardrails.iter().for_each(|guardrail| write_guardrail(out, guardrail, report.customers));
    out.end_list();
    write_omitted(out, "guardrails_omitted", report.omitted);
}

fn write_guardrail(out: &mut dyn Encode, guardrail: &UnderstoodGuardrail, customers: Option<u64>) {
    out.map();
    out.key("name");
    out.text(&guardrail.name);
    out.key("rule_set");
    out.text(&guardrail.rule_set);
    out.key("condition");
    out.text(&guardrail.text);
    out.key("line");
    out.unsigned(guardrail.line.into());
    out.key("forms");
    out.list();
    guardrail.forms.iter().for_each(|form| write_form(out, form, customers));
    out.end_list();
    write_omitted(out, "forms_omitted", guardrail.forms_omitted);
    out.key("passing_offers");
    out.unsigned(guardrail.passing_offers as u64);
    out.key("tags");
    out.list();
    for (name, words) in &guardrail.tags {
        write_texts(out, ["name", "words"], [name, words]);
    }
    out.end_list();
    out.end_map();
}

fn write_form(out: &mut dyn Encode, form: &GuardrailForm, customers: Option<u64>) {
    out.map();
    out.key("words");
    out.text(&form.words);
    out.key("passes_if");
    out.list();
    for way in &form.passes_if {
        out.list();
        way.iter().for_each(|need| write_texts(out, ["term", "needs"], [&need.term, &need.needs]));
        out.end_list();
    }
    out.end_list();
    out.key("missing");
    out.list();
    for missing in &form.missing {
        let texts = [&*missing.fact, missing.fate.name(), &missing.words];
        write_texts(out, ["fact", "then", "words"], texts);
    }
    out.end_list();
    out.key("depends_on_request");
    out.boolean(form.depends_on_request);
    out.key("offers");
    out.list();
    for name in &form.offers {
        out.map();
        out.key("name");
        out.text(name);
        if let (Some(stopped), Some(customers)) = (form.stopped, customers) {
            out.key("stopped");
            out.unsigned(stopped);
            out.key("customers");
            out.unsigned(customers);
        }
        out.end_map();
    }
    out.end_list();
    write_omitted(out, "offers_omitted", form.offers_omitted);
    out.end_map();
}

fn write_texts<const N: usize>(out: &mut dyn Encode, keys: [&'static str; N], texts: [&str; N]) {
    out.map();
    for (key, text) in keys.into_iter().zip(texts) {
        out.key(key);
        out.text(text);
    }
    out.end_map();
}

fn write_omitted(out: &mut dyn Encode, key: &'static str, omitted: usize) {
    if omitted > 0 {
        out.key(key);
        out.unsigned(omitted as u64);
    }
}
