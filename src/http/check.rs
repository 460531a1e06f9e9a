//! `POST /v1/rule-sets/{name}/check`: what a rule set would be and do, without changing anything.

use hyper::body::Incoming;

use super::encode::Encode;
use super::refusal::{Kind, Refusal, write_problem, write_warning};
use super::rule_sets::{decode, read_text, refused};
use super::service::{Answer, Call};
use super::{answer, query};
use crate::analysis::{Known, Warnings, analyse};
use crate::clock;
use crate::node::Tried;
use crate::store::Customers;

/// Parses, compiles with the active rule sets, analyses against the customers there are.
pub(super) async fn post(call: &Call<'_>, name: &str, body: Incoming) -> Result<Answer, Refusal> {
    let name = decode(name)?.into_owned();
    query::known(call.parts.uri.query(), [])?;
    let text = read_text(call, body).await?;
    let tried = call.node.try_out(name.clone(), text).await.map_err(|e| refused(call, e))?;
    let (node, about) = (call.node.clone(), name.clone());
    // Off the request thread, and off the compiler's: it goes through all customers.
    let found = tokio::task::spawn_blocking(move || {
        let warnings = warnings(&tried, &about, node.customers());
        // The seam for reach: `audience::reach(&engine, node.customers(), clock::now(), limit)` here, one per offer, to be
        // written into `offers` by `write_offers`.
        (Tried { engine: None, ..tried }, warnings)
    });
    let found = found.await.map_err(|_| Refusal::new(Kind::Internal, "analysing the rule set failed"))?;
    Ok(answer::document(call.format, |out| write(out, &name, &found.0, &found.1)))
}

fn warnings(tried: &Tried, name: &str, customers: &Customers) -> Warnings {
    let Some((engine, rule_sets)) = &tried.engine else { return Warnings::default() };
    let filled = filled(customers, engine.schema.row_words());
    let filled = if customers.is_empty() { None } else { Some(&filled[..]) };
    analyse(engine, rule_sets, &Known { now: clock::now(), filled, about: Some(&[name]) })
}

/// The words of all rows put together by *or*: a feature that is missing there is missing for everybody.
fn filled(customers: &Customers, row_words: usize) -> Vec<u64> {
    let mut filled = vec![0; row_words];
    customers.for_each(|_, row| filled.iter_mut().zip(row).for_each(|(all, word)| *all |= word));
    filled
}

fn write(out: &mut dyn Encode, name: &str, tried: &Tried, warnings: &Warnings) {
    let omitted = usize::from(tried.errors.omitted > 0) + usize::from(warnings.omitted > 0);
    out.map(5 + omitted);
    out.key("name");
    out.text(name);
    out.key("errors");
    out.list(tried.errors.iter().count());
    tried.errors.iter().for_each(|problem| write_problem(out, problem));
    out.end_list();
    if tried.errors.omitted > 0 {
        out.key("errors_omitted");
        out.unsigned(tried.errors.omitted as u64);
    }
    write_warnings(out, warnings);
    write_offers(out, tried);
    out.key("compiled_in_us");
    out.unsigned(tried.compiled_in_us);
    out.end_map();
}

/// `warnings`, and `warnings_omitted` if there are more.
pub(super) fn write_warnings(out: &mut dyn Encode, warnings: &Warnings) {
    out.key("warnings");
    out.list(warnings.iter().count());
    warnings.iter().for_each(|warning| write_warning(out, warning));
    out.end_list();
    if warnings.omitted > 0 {
        out.key("warnings_omitted");
        out.unsigned(warnings.omitted as u64);
    }
}

fn write_offers(out: &mut dyn Encode, tried: &Tried) {
    out.key("offers");
    out.list(tried.offers.len());
    for (name, change) in &tried.offers {
        out.map(2);
        out.key("name");
        out.text(name);
        out.key("change");
        out.text(change.name());
        out.end_map();
    }
    out.end_list();
}
