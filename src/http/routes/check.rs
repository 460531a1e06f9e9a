//! `POST /v1/rule-sets/{name}/check`: says what a rule set would do if it were published, and changes
//! nothing.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::audiences::STACK_BYTES;
use super::guardrails::write_guardrails;
use super::rule_sets::{decode, read_text, refused};
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode::Encode;
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal, write_problem, write_warning};
use crate::http::wire::tag;
use crate::http::wire::{answer, query};
use crate::insight::analysis::{AnalysisScope, Warnings, analyse};
use crate::insight::audience::{Reach, reach};
use crate::insight::guardrails::{GuardrailFacts, GuardrailReport, understood};
use crate::node::Node;
use crate::node::define::Tried;
use crate::schema::value::Time;
use crate::state::store::Customers;

/// The most work to find the reach, in comparisons of one customer with one atom: about half a second. If all
/// customers would need more, an even sample is used.
const MAX_TESTS: u64 = 500_000_000;
/// The longest time to find the reach when conditions are expensive. After that the answer comes without it.
const MAX_REACH_TIME: Duration = Duration::from_secs(5);

/// Parses the rule set, compiles it with the active ones, and analyses it against the current customers.
pub(crate) async fn post(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    let [name, _] = call.variables;
    let name = decode(name)?.into_owned();
    query::known(call.head.target.query(), [])?;
    tag::no_conditions(call.head, "a check changes nothing")?;
    let text = read_text(call, body).await?.text;
    // Compiled engines wait for their turn, so this bounds them, as it bounds counts.
    let turn = call.worker.shared.audiences.turn().await?;
    let tried = call.node.try_out(name.clone(), text).await.map_err(|e| refused(call, e))?;
    let (node, about) = (Arc::clone(call.node), name.clone());
    let (done, found) = oneshot::channel();
    // Off the request thread and the compiler's, because this scans all customers. The analysis parses
    // conditions again, which is why its thread has a large stack.
    let work = move || {
        let begun = Instant::now();
        let stop = || done.is_closed() || begun.elapsed() > MAX_REACH_TIME;
        let found = Findings::of(tried, &about, &node, stop);
        drop(turn);
        drop(done.send(found)); // fails if the caller has gone
    };
    let thread = std::thread::Builder::new().name("check".into()).stack_size(STACK_BYTES);
    thread.spawn(work).map_err(|_| {
        Refusal::new(ProblemKind::Overloaded, "the system could not start a thread for the check")
    })?;
    let found = found.await.map_err(|_| {
        call.worker.counters().panics.add(1);
        Refusal::new(ProblemKind::Internal, "analysing the rule set failed")
    })?;
    Ok(answer::document(call.format, |out| write(out, &name, &found)))
}

/// All that the answer tells.
struct Findings {
    /// The trial, without its engine.
    tried: Tried,
    warnings: Warnings,
    guardrails: GuardrailReport,
    /// Left out if it takes too long.
    reached: Option<Reached>,
}

impl Findings {
    fn of(tried: Tried, name: &str, node: &Node, stop: impl Fn() -> bool) -> Findings {
        let (customers, now) = (node.customers(), node.now());
        let reached = Reached::of(&tried, customers, now, stop);
        let known = reached.as_ref().map(|reached| &reached.reach);
        let guardrails = GuardrailFacts { reach: known, golden: None };
        let warnings =
            warnings(&tried, name, customers, AnalysisScope { guardrails, ..AnalysisScope::at(now) });
        let understood =
            tried.engine.as_ref().map(|(engine, rule_sets)| understood(engine, rule_sets, guardrails, now));
        let tried = Tried { engine: None, ..tried };
        Findings { tried, warnings, guardrails: understood.unwrap_or_default(), reached }
    }
}

/// How many customers the offers of the rule set would reach.
struct Reached {
    reach: Reach,
    /// For each offer in `Tried`, in order, its number in the engine; `None` for removed offers.
    ids: Vec<Option<usize>>,
}

impl Reached {
    /// `None` if it takes too long.
    fn of(tried: &Tried, customers: &Customers, now: Time, stop: impl Fn() -> bool) -> Option<Reached> {
        let (engine, _) = tried.engine.as_ref()?;
        let numbers = engine.offers().iter().enumerate().map(|(id, offer)| (&*offer.name, id));
        let numbers: HashMap<&str, usize> = numbers.collect();
        let ids = tried.offers.iter().map(|(name, _)| numbers.get(&**name).copied()).collect();
        Some(Reached { reach: reach(engine, customers, now, MAX_TESTS, stop)?, ids })
    }
}

fn warnings(tried: &Tried, name: &str, customers: &Customers, scope: AnalysisScope<'_>) -> Warnings {
    let Some((engine, rule_sets)) = &tried.engine else { return Warnings::default() };
    let filled = filled(customers, engine.schema.row_words());
    let filled = if customers.is_empty() { None } else { Some(&filled[..]) };
    analyse(engine, rule_sets, &AnalysisScope { filled, alone: false, about: Some(&[name]), ..scope })
}

/// The words of all rows, combined by *or*. A feature that is missing here is missing for every customer.
fn filled(customers: &Customers, row_words: usize) -> Vec<u64> {
    let words: Vec<usize> = (0..row_words).collect();
    let mut filled = vec![0; row_words];
    customers.scan(&words, 1, |batch| {
        for (place, all) in filled.iter_mut().enumerate() {
            let owned = batch.column(place).iter().zip(batch.customers()).filter(|(_, owned)| **owned != 0);
            *all |= owned.fold(0, |any, (word, _)| any | word);
        }
        ControlFlow::Continue(())
    });
    filled
}

fn write(out: &mut dyn Encode, name: &str, found: &Findings) {
    let Findings { tried, warnings, guardrails, reached } = found;
    let reached = reached.as_ref();
    out.map();
    out.key("name");
    out.text(name);
    out.key("errors");
    out.list();
    tried.errors.iter().for_each(|problem| write_problem(out, problem));
    out.end_list();
    if tried.errors.omitted > 0 {
        out.key("errors_omitted");
        out.unsigned(tried.errors.omitted as u64);
    }
    write_warnings(out, warnings);
    if let Some(Reached { reach, .. }) = reached {
        out.key("customers");
        out.unsigned(reach.customers);
        out.key("sampled");
        out.unsigned(reach.sampled);
    }
    write_offers(out, tried, reached);
    write_guardrails(out, guardrails);
    out.key("compiled_in_us");
    out.unsigned(tried.compiled_in_us);
    out.end_map();
}

/// Writes `warnings`, and `warnings_omitted` if there are more.
pub(crate) fn write_warnings(out: &mut dyn Encode, warnings: &Warnings) {
    out.key("warnings");
    out.list();
    warnings.iter().for_each(|warning| write_warning(out, warning));
    out.end_list();
    if warnings.omitted > 0 {
        out.key("warnings_omitted");
        out.unsigned(warnings.omitted as u64);
    }
}

fn write_offers(out: &mut dyn Encode, tried: &Tried, reached: Option<&Reached>) {
    out.key("offers");
    out.list();
    for (nth, (name, change)) in tried.offers.iter().enumerate() {
        let reach = reached.and_then(|reached| Some(reached.reach.offers[reached.ids[nth]?]));
        out.map();
        out.key("name");
        out.text(name);
        out.key("change");
        out.text(change.name());
        if let Some(reach) = reach {
            out.key("reach");
            out.map();
            out.key("passing");
            out.unsigned(reach.passing);
            out.key("depends_on_request");
            out.boolean(reach.depends_on_request);
            out.key("open");
            out.boolean(reach.open);
            out.end_map();
        }
        out.end_map();
    }
    out.end_list();
}
