//! The compiler: the one thread that changes definitions.
//!
//! It takes one change at a time, then checks and compiles everything that would be active after it. It hands
//! the records and the engine to the [writer](super::writer), which swaps them in. If the change has errors,
//! it reports all of them and changes nothing.
//!
//! Engines that were swapped out are dropped here, once no request reads them: freeing one may take
//! milliseconds.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

mod named;
pub(crate) mod plan;
pub(crate) mod returns;
mod told;

use self::plan::{ChangePlan, Parsed, Sets, plan, plan_publish};
use self::returns::{Fresh, InUse, scarce, too_many};
use self::told::ToldChange;
use super::define::{Define, DefineError, Defined, MAX_RULE_SETS, OfferChange, Tried};
use super::live::{Live, counted};
use super::node_state::NodeState;
use super::unavailable::Unavailable;
use super::writer::Submissions;
use crate::engine::Engine;
use crate::input::problem::{Problems, Source};
use crate::insight::analysis::{AnalysisScope, Warnings, analyse};
use crate::rules::catalogue::{Additions, Returned, Returns};
use crate::rules::rule_set::{OfferRule, RuleSet};
use crate::schema::value::Time;
use crate::state::definitions::{Definitions, History};
use crate::state::record::Record;

/// The most changes of definitions that may wait. One more is refused as [`Unavailable::Overloaded`].
pub(crate) const MAX_WAITING: usize = 16;

/// How often to check whether a request still reads an engine that was swapped out.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Parsers recurse. Their own limits stop them long before this stack is used up.
const STACK_BYTES: usize = 16 << 20;

/// What other threads ask of the compiler.
pub(crate) enum CompileRequest {
    Define(Define, oneshot::Sender<Result<Defined, DefineError>>),
    Try { name: String, text: String, done: oneshot::Sender<Result<Tried, DefineError>> },
    Stop,
}

/// Starts the compiler.
///
/// # Errors
/// When the system cannot start a thread.
pub(crate) fn start(
    shared: Arc<NodeState>,
    submissions: Submissions,
) -> io::Result<(SyncSender<CompileRequest>, JoinHandle<()>)> {
    let (queue, messages) = sync_channel(MAX_WAITING);
    let parsed = Parsed { schema: shared.live.load().definitions.schema.clone(), rule_sets: Sets::new() };
    let compiler = Compiler { shared, submissions, parsed, retired: Vec::new(), fresh: Fresh::default() };
    let thread = std::thread::Builder::new().name("compiler".into()).stack_size(STACK_BYTES);
    Ok((queue, thread.spawn(move || compiler.run(&messages))?))
}

/// Compiles the engine of the active rule sets from their texts.
///
/// # Errors
/// All errors in those texts. A node never activates such rule sets, but another release may have accepted
/// them.
pub(crate) fn compile_active(definitions: &Definitions) -> Result<Engine, Problems> {
    let mut problems = Problems::new();
    let mut sets = Vec::new();
    for (name, version, text) in definitions.active() {
        match RuleSet::parse(name, text, &definitions.schema) {
            Ok(set) => sets.push((Arc::new(set), version)),
            Err(found) => problems.extend(found),
        }
    }
    let compiled = Engine::compile_with(&definitions.schema, &problems.or(sets)?, &definitions.catalogue);
    compiled.map(|(engine, _)| engine)
}

struct Compiler {
    shared: Arc<NodeState>,
    submissions: Submissions,
    parsed: Parsed,
    /// Swapped out, but perhaps still read by requests.
    retired: Vec<Arc<Live>>,
    fresh: Fresh,
}

/// A change that compiled, ready for the writer.
struct Prepared {
    plan: ChangePlan,
    /// Numbers for the names that have none yet.
    additions: Vec<Additions>,
    engine: Engine,
    active: Sets,
    returns: Returns,
    /// For versions published without being activated: the engine and rule sets as if they were.
    tried: Option<(Engine, Sets)>,
}

/// The engine of the rule sets that would be active, and those rule sets.
struct Compiled {
    engine: Engine,
    additions: Vec<Additions>,
    active: Sets,
}

/// Why the active rule sets do not make an engine.
enum Broken {
    /// Texts that were correct before are not any more.
    Stale(Problems),
    /// Each is correct, but they do not fit together.
    Together(Problems),
}

impl Compiler {
    fn run(mut self, messages: &Receiver<CompileRequest>) {
        loop {
            let message = if self.retired.is_empty() {
                messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                messages.recv_timeout(LOOK_AGAIN)
            };
            match message {
                Ok(CompileRequest::Define(change, done)) => drop(done.send(self.define(change))),
                Ok(CompileRequest::Try { name, text, done }) => {
                    drop(done.send(surviving(|| self.tried(&name, text))));
                }
                Ok(CompileRequest::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            // No new reader can appear for a value that was swapped out, so a count of one stays one. Readers
            // hold it for one request at most, so there are never many.
            self.retired.retain(|live| Arc::strong_count(live) > 1);
        }
    }

    fn define(&mut self, change: Define) -> Result<Defined, DefineError> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(DefineError::Unavailable(Unavailable::Stopped));
        }
        let begin = Instant::now();
        let live = self.shared.live.load_full();
        let prepared = surviving(|| self.prepare(change, &live.definitions))?;
        let compiled_in_us = begin.elapsed().as_micros() as u64;
        let Prepared { plan, additions, engine, active: sets, returns, tried } = prepared;
        let ChangePlan { mut records, parsed, version, active, is_new, rule_sets, others } = plan;
        let sequence = self.shared.sequence.load(Ordering::Acquire);
        let warnings = Warnings::default();
        let mut defined =
            Defined { sequence, version, active, is_new, compiled_in_us, rule_sets, others, warnings };
        let tried = tried.as_ref().map(|(engine, sets)| (engine, sets));
        let time = self.shared.clock.now();
        let found =
            |of: (&Engine, &Sets)| surviving(|| Ok(warnings_of(&parsed, of, time))).unwrap_or_default();
        if records.is_empty() {
            defined.warnings = found(tried.unwrap_or((&engine, &sets)));
            return Ok(defined);
        }
        // The numbers come first, because the other records use them.
        let additions = additions.into_iter().map(|additions| Record::Catalogue(Box::new(additions)));
        let is_return = |record: &&Record| matches!(record, Record::Catalogue(_));
        let after_returns = records.iter().take_while(is_return).count();
        records.splice(after_returns..after_returns, additions);
        // Before the engine is swapped in: from then on their numbers may be handed out under other names.
        self.fresh.forget(&returns.freed, &self.shared.handed);
        let gone = returns.gone();
        let decided = counted(&live.decided.without(&gone), &engine);
        let told = ToldChange::of(&records);
        let applied = self.submissions.submit(records, engine, decided).map_err(DefineError::Unavailable)?;
        self.shared.forget(&gone);
        self.retired.extend(applied.replaced);
        let now = self.shared.live.load_full();
        told.iter().for_each(|change| change.log(&now.definitions, applied.sequence));
        self.fresh.note(&live.definitions.catalogue, &now.definitions.catalogue);
        // The engine is in force already: looking for what is unlikely to be meant keeps nobody waiting but
        // the author, and those whose changes are queued.
        defined.warnings = found(tried.unwrap_or((&now.engine, &sets)));
        let about = now.engine.versions.first().map_or("", |(name, _)| &**name);
        for warning in scarce(&now.definitions, about) {
            tracing::warn!("{}", warning.problem.detail);
            defined.warnings.push(warning);
        }
        self.parsed = Parsed { schema: now.definitions.schema.clone(), rule_sets: sets };
        Ok(Defined { sequence: applied.sequence, ..defined })
    }

    fn prepare(&self, change: Define, definitions: &Definitions) -> Result<Prepared, DefineError> {
        // An author's text is at fault for its own errors. Any other change conflicts with what is defined
        // already.
        let brings_rules = change.brings_rules();
        let mut plan = plan(change, (definitions, &self.parsed), self.shared.clock.now())?;
        let returns = self.give_back(definitions, &mut plan);
        let refused = |broken| match broken {
            Broken::Together(problems) if brings_rules => DefineError::Invalid(problems),
            Broken::Together(problems) | Broken::Stale(problems) => DefineError::Conflict(problems),
        };
        let next = after(definitions, &plan.records).map_err(DefineError::Conflict)?;
        if next.rule_sets().count() > MAX_RULE_SETS {
            let what = format!("there are {MAX_RULE_SETS} rule sets already, and none of them was retired");
            return Err(DefineError::Conflict(Problems::one(what)));
        }
        let tried = self.try_out(&next, &plan).map_err(refused)?;
        let Compiled { engine, additions, active } = self.compile(&next, &plan.parsed).map_err(refused)?;
        Ok(Prepared { plan, additions, engine, active, returns, tried })
    }

    /// Puts what becomes of numbers that are not in use before the plan's records, if it has any.
    fn give_back(&self, definitions: &Definitions, plan: &mut ChangePlan) -> Returns {
        if plan.records.is_empty() {
            return Returns::default();
        }
        let live = self.shared.live.load();
        let mut returns = self.fresh.returns(&InUse {
            catalogue: &definitions.catalogue,
            engine: &live.engine,
            handed: &self.shared.handed,
            customers: &self.shared.customers,
            settled: self.retired.is_empty(),
            now: self.shared.clock.now().stored_seconds(),
        });
        let names = plan.records.iter().filter_map(|record| match record {
            Record::Publish { name, .. }
            | Record::Activate { name, .. }
            | Record::Rollback { name }
            | Record::Retire { name } => Some(&**name),
            Record::Customers(_)
            | Record::Idle { .. }
            | Record::Catalogue(_)
            | Record::Schema { .. }
            | Record::Note { .. } => None,
        });
        let names: Vec<&str> = names.collect();
        let new = names.iter().filter(|name| definitions.history(name).is_none()).count();
        let forgotten = too_many(definitions, &names, new);
        let stays = |(kind, number, _): &(Returned, u32, u32)| !forgotten.contains(&(*kind, *number));
        returns.left.retain(stays);
        returns.freed.extend(forgotten);
        let record = |returns| {
            let additions = Additions { returns, ..Additions::default() };
            Record::Catalogue(Box::new(additions))
        };
        plan.records.splice(..0, returns.pieces().into_iter().map(record));
        returns
    }

    /// Compiles a rule set as if it were published, and compares its offers with the active version.
    fn tried(&self, name: &str, text: String) -> Result<Tried, DefineError> {
        let begin = Instant::now();
        let live = self.shared.live.load_full();
        let definitions = &live.definitions;
        let found =
            plan_publish(name.to_owned(), text, true, definitions, &self.parsed).and_then(|mut plan| {
                self.give_back(definitions, &mut plan);
                let next = after(definitions, &plan.records).map_err(DefineError::Conflict)?;
                let compiled = self.compile(&next, &plan.parsed).map_err(|broken| match broken {
                    Broken::Stale(problems) | Broken::Together(problems) => DefineError::Invalid(problems),
                });
                Ok((compiled?, plan.parsed))
            });
        let compiled_in_us = begin.elapsed().as_micros() as u64;
        match found {
            Ok((Compiled { engine, active: sets, .. }, parsed)) => {
                let before = self.active_version(name, definitions);
                let offers = parsed.values().flat_map(|new| changes(before.as_deref(), new)).collect();
                let engine = Some((engine, sets.into_values().collect()));
                Ok(Tried { errors: Problems::new(), engine, offers, compiled_in_us })
            }
            Err(DefineError::Invalid(errors) | DefineError::Conflict(errors)) => {
                Ok(Tried { errors, engine: None, offers: Vec::new(), compiled_in_us })
            }
            Err(other) => Err(other),
        }
    }

    /// The active version of a rule set, parsed.
    fn active_version(&self, name: &str, definitions: &Definitions) -> Option<Arc<RuleSet>> {
        let (name, version, text) = definitions.active().find(|(active, ..)| ***active == *name)?;
        let known = self.parsed.get(&definitions.schema, &(Arc::clone(name), version)).cloned();
        known.or_else(|| RuleSet::parse(name, text, &definitions.schema).ok().map(Arc::new))
    }

    /// Compiles the versions that the change leaves waiting as if they were active. So a version that could
    /// not be activated now is refused now.
    fn try_out(&self, next: &Definitions, plan: &ChangePlan) -> Result<Option<(Engine, Sets)>, Broken> {
        let active = |name: &str| next.history(name).and_then(History::active);
        let waiting = plan.parsed.keys().filter(|(name, version)| active(name) != Some(*version));
        let activated =
            waiting.map(|(name, version)| Record::Activate { name: name.to_string(), version: *version });
        let activated: Vec<Record> = activated.collect();
        if activated.is_empty() {
            return Ok(None);
        }
        let as_if = after(next, &activated).map_err(Broken::Stale)?;
        let compiled = self.compile(&as_if, &plan.parsed)?;
        Ok(Some((compiled.engine, compiled.active)))
    }

    fn compile(&self, next: &Definitions, parsed: &Sets) -> Result<Compiled, Broken> {
        let mut problems = Problems::new();
        let mut active = Sets::new();
        for (name, version, text) in next.active() {
            let key = (name.clone(), version);
            let known = parsed.get(&key).or_else(|| self.parsed.get(&next.schema, &key));
            match known
                .map_or_else(|| RuleSet::parse(name, text, &next.schema).map(Arc::new), |set| Ok(set.clone()))
            {
                Ok(set) => drop(active.insert(key, set)),
                Err(found) => problems.extend(found),
            }
        }
        let sets = problems.or(active).map_err(Broken::Stale)?;
        let listed: Vec<_> = sets.iter().map(|((_, version), set)| (set.clone(), *version)).collect();
        let before = &self.shared.live.load_full().engine;
        let compiled = Engine::compile_after(&next.schema, &listed, &next.catalogue, Some(before));
        let (engine, additions) = compiled.map_err(|mut problems| {
            problems.rename_sources(names_of_others(&sets, parsed));
            Broken::Together(problems)
        })?;
        Ok(Compiled { engine, additions, active: sets })
    }
}

/// Findings that look like mistakes in the rule sets that a change brings, or that these cause in others.
fn warnings_of(brought: &Sets, (engine, sets): (&Engine, &Sets), now: Time) -> Warnings {
    let about: Vec<&str> = brought.keys().map(|(name, _)| &**name).collect();
    if about.is_empty() {
        return Warnings::default();
    }
    let listed: Vec<Arc<RuleSet>> = sets.values().cloned().collect();
    let scope = AnalysisScope { about: Some(&about), ..AnalysisScope::at(now) };
    let mut warnings = analyse(engine, &listed, &scope);
    warnings.rename_sources(names_of_others(sets, brought));
    warnings
}

/// The sources of rule sets that this change does not bring, called by the rule set's name. They were parsed
/// from files of other bundles, whose names say nothing to the author of this one, or name another file.
fn names_of_others<'s>(
    sets: &'s Sets,
    brought: &'s Sets,
) -> impl Fn(&Arc<Source>) -> Option<Arc<Source>> + 's {
    move |source| {
        let mut others = sets.iter().filter(|(key, _)| !brought.contains_key(*key));
        let ((name, _), _) = others.find(|(_, set)| Arc::ptr_eq(&set.source, source))?;
        Some(Arc::new(Source { name: name.to_string(), text: source.text.clone() }))
    }
}

/// How each offer changes when `new` replaces `old`: in the order of `new`, then the offers that only `old`
/// has.
fn changes(old: Option<&RuleSet>, new: &RuleSet) -> Vec<(String, OfferChange)> {
    let known: HashMap<&str, &OfferRule> =
        old.iter().flat_map(|set| &set.offers).map(|rule| (&*rule.name.name, rule)).collect();
    let stays: HashSet<&str> = new.offers.iter().map(|rule| &*rule.name.name).collect();
    let change = |rule: &OfferRule| match known.get(&*rule.name.name) {
        None => OfferChange::Added,
        Some(before) if before.says_the_same(rule) => OfferChange::Unchanged,
        Some(_) => OfferChange::Changed,
    };
    let all = new.offers.iter().map(|rule| (rule.name.name.to_string(), change(rule)));
    let gone = old.iter().flat_map(|set| &set.offers).filter(|rule| !stays.contains(&*rule.name.name));
    all.chain(gone.map(|rule| (rule.name.name.to_string(), OfferChange::Removed))).collect()
}

fn after(definitions: &Definitions, records: &[Record]) -> Result<Definitions, Problems> {
    let mut next = definitions.clone();
    records.iter().try_for_each(|record| next.apply(record))?;
    Ok(next)
}

/// Runs `work` and turns a panic in it into the answer to this one change. The compiler goes on, because
/// `work` changes nothing.
fn surviving<T>(work: impl FnOnce() -> Result<T, DefineError>) -> Result<T, DefineError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(DefineError::Internal(fault(panic.as_ref()))))
}

fn fault(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    tracing::error!(reason = text, "compiling panicked");
    format!(
        "this text made Usher fail while compiling: {text}; nothing was changed. Please report this fault of Usher \
         together with the text"
    )
}

#[cfg(test)]
mod tests {
    use super::super::Node;
    use super::super::clock::ClockWatch;
    use super::super::define::RuleSetVersion;
    use super::super::writer;
    use super::*;
    use crate::decide::{Request, decide};
    use crate::node::room::NodeBounds;
    use crate::schema::context::Context;
    use crate::schema::value::Time;
    use crate::schema::vector::FeatureVector;
    use crate::state;
    use crate::state::State;
    use crate::state::ledger;
    use crate::state::record::MAX_TEXT_BYTES;
    use crate::state::testing::{SCHEMA, grown_schema, replayed};
    use crate::storage::journal::testing::Kept;

    const HOME: &str = "rule_set: home
placements: {home_banner: {channels: [app], count: 1, fallback: brand}}
offers: {brand: {treatments: [{placement: home_banner, content: {title: hello}}]}}
";
    const CARDS: &str = "rule_set: cards
offers:
  gold:
    placements: [home_banner]
    when: tier == 'gold'
    treatments: [{placement: home_banner, content: {title: gold}}]
";

    /// The rule set of cards with another title.
    fn worded(title: &str) -> String {
        CARDS.replace("title: gold", &format!("title: {title}"))
    }
    fn schema(text: &str) -> Define {
        Define::Schema { text: text.into(), rename: false, if_text: None }
    }
    fn publish(name: &str, text: &str) -> Define {
        Define::Publish { name: name.into(), text: text.into(), activate: true, if_active: None }
    }
    fn publish_only(name: &str, text: &str) -> Define {
        Define::Publish { name: name.into(), text: text.into(), activate: false, if_active: None }
    }
    fn activate(name: &str, version: u32) -> Define {
        Define::Activate { name: name.into(), version, if_active: None }
    }
    fn rollback(name: &str) -> Define {
        Define::Rollback { name: name.into(), if_active: None }
    }
    fn retire(name: &str) -> Define {
        Define::Retire { name: name.into(), if_active: None }
    }
    fn bundle(schema: &str, texts: &[&str]) -> Define {
        let rule_sets = texts.iter().enumerate().map(|(i, text)| (format!("{i}.yaml"), (*text).to_string()));
        let (schema, rule_sets) = (schema.into(), rule_sets.collect());
        Define::Bundle { schema, rule_sets, activate: true, rename: false, prune: false }
    }
    fn if_active(mut change: Define, version: u32) -> Define {
        match &mut change {
            Define::Publish { if_active, .. }
            | Define::Activate { if_active, .. }
            | Define::Rollback { if_active, .. }
            | Define::Retire { if_active, .. } => *if_active = Some(version),
            Define::Schema { .. } | Define::Bundle { .. } | Define::Noted { .. } => {}
        }
        change
    }

    /// The result in a few words: `3: v2 active`, `invalid: ...`.
    fn told(result: Result<Defined, DefineError>) -> String {
        match result {
            Ok(Defined { sequence, version, active, .. }) => {
                format!("{sequence}: v{version}{}", if active { " active" } else { "" })
            }
            Err(DefineError::Invalid(problems)) => format!("invalid: {problems}"),
            Err(DefineError::Conflict(problems)) => format!("conflict: {problems}"),
            Err(other) => format!("{other:?}"),
        }
    }

    /// Makes the changes in order. The result of each, in words, must begin as expected. A change that is
    /// refused (or is `as before`) must leave the very same value in force. At the end, engine, definitions
    /// and a replay of the journal must agree.
    #[track_caller]
    fn check(steps: Vec<(Define, &str)>) {
        let journal = Kept::default();
        let node = Node::start_with(Box::new(journal.clone())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (at, (change, expected)) in steps.into_iter().enumerate() {
            let before = Arc::as_ptr(&node.live());
            let result = runtime.block_on(node.define(change));
            let as_before = expected.strip_prefix("as before, ");
            let swaps = result.is_ok() && as_before.is_none();
            let told = told(result);
            assert!(
                told.starts_with(as_before.unwrap_or(expected)),
                "step {at}: expected {expected}, found {told}"
            );
            assert_eq!(before != Arc::as_ptr(&node.live()), swaps, "step {at}: {told}");
        }
        let live = node.live();
        let active: Vec<_> =
            live.definitions.active().map(|(name, version, _)| (name.clone(), version)).collect();
        assert_eq!(live.engine.versions, active);
        let replayed = replayed(&journal.records());
        assert_eq!(
            replayed.digest(),
            state::digest::of(&live.definitions, node.customers(), &ledger::Content::default())
        );
    }

    #[test]
    fn versions_are_published_activated_rolled_back_and_retired() {
        check(vec![
            (schema(SCHEMA), "1: v0 active"),
            (publish("home", HOME), "3: v1 active"), // after a record with numbers for its names
            (publish("cards", CARDS), "5: v1 active"),
            (publish("cards", &worded("second")), "6: v2 active"),
            (publish_only("cards", &worded("third")), "7: v3"),
            (activate("cards", 3), "8: v3 active"),
            (rollback("cards"), "9: v2 active"),
            (rollback("cards"), "10: v1 active"),
            (rollback("cards"), "NotFound"),
            (retire("cards"), "11: v0"),
            (retire("cards"), "NotFound"),
            (rollback("cards"), "12: v1 active"),
        ]);
    }

    #[test]
    fn a_text_that_is_there_makes_no_new_version() {
        check(vec![
            (schema(SCHEMA), "1"),
            (publish("home", HOME), "3: v1 active"),
            (publish("home", HOME), "as before, 3: v1 active"),
            (publish_only("home", HOME), "as before, 3: v1 active"),
            (if_active(publish("home", HOME), 2), "OtherActive(Some(1))"),
            (publish("cards", CARDS), "5: v1 active"),
            (publish_only("cards", &worded("new")), "6: v2"),
            (publish_only("cards", &worded("new")), "as before, 6: v2"),
            (publish("cards", CARDS), "as before, 6: v1 active"),
            (publish("cards", &worded("new")), "7: v2 active"), // it waited
            (rollback("cards"), "8: v1 active"),
            (
                rollback("cards"),
                "NotFound(\"rule set `cards` has no earlier version to go back to; its latest version is 2",
            ),
            (publish("cards", &worded("new")), "9: v2 active"),
            (retire("cards"), "10: v0"),
            (publish("cards", &worded("new")), "11: v2 active"),
            (bundle(SCHEMA, &[HOME, CARDS]), "12: v0 active"), // an earlier text is a new version
            (retire("cards"), "13: v0"),
            (bundle(SCHEMA, &[HOME, CARDS]), "14: v0 active"),
            (rollback("cards"), "15: v2 active"),
        ]);
    }

    #[test]
    fn a_schema_of_another_name_is_refused_unless_it_is_said() {
        let other = SCHEMA.replacen("schema: ", "schema: other_", 1);
        let said = |mut change: Define| {
            if let Define::Schema { rename, .. } | Define::Bundle { rename, .. } = &mut change {
                *rename = true;
            }
            change
        };
        let why = "conflict: schema";
        check(vec![
            (schema(SCHEMA), "1"),
            (schema(&other), why),
            (bundle(&other, &[HOME]), why),
            (said(schema(&other)), "2"),
            (schema(SCHEMA), why),
            (schema(&other), "as before, 2"),
            (said(bundle(SCHEMA, &[HOME])), "5"),
        ]);
    }

    #[test]
    fn a_bundle_names_the_rule_sets_that_it_does_not_have_and_can_retire_them() {
        let node = Node::start().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let others = |prune: bool, activate: bool, texts: &[&str]| {
            let mut change = bundle(SCHEMA, texts);
            if let Define::Bundle { prune: p, activate: a, .. } = &mut change {
                (*p, *a) = (prune, activate);
            }
            let active = |node: &Node| -> Vec<String> {
                node.live().definitions.active().map(|(name, ..)| name.to_string()).collect()
            };
            runtime.block_on(node.define(change)).map(|defined| (defined.others, active(&node))).ok()
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let both = names(&["cards", "home"]);
        assert_eq!(others(false, true, &[HOME, CARDS]), Some((names(&[]), both.clone())));
        assert_eq!(others(false, true, &[HOME]), Some((names(&["cards"]), both)));
        assert_eq!(others(true, false, &[HOME]), None, "what waits replaces nothing");
        assert_eq!(others(true, true, &[CARDS]), None, "`cards` needs the placement of `home`");
        assert_eq!(others(true, true, &[HOME]), Some((names(&["cards"]), names(&["home"]))));
    }

    #[test]
    fn what_there_is_not_is_not_found() {
        check(vec![
            (activate("cards", 1), "NotFound(\"there is no rule set `cards`\")"),
            (rollback("cards"), "NotFound"),
            (retire("cards"), "NotFound"),
            (schema(SCHEMA), "1"),
            (publish("home", HOME), "3"),
            (activate("home", 2), "NotFound(\"rule set `home` has no version 2\")"),
        ]);
    }

    #[test]
    fn a_change_that_expects_another_active_version_is_refused() {
        check(vec![
            (schema(SCHEMA), "1"),
            (if_active(publish("home", HOME), 1), "OtherActive(None)"),
            (if_active(publish("home", HOME), 0), "3: v1 active"),
            (if_active(publish("home", HOME), 0), "OtherActive(Some(1))"),
            (if_active(publish("home", &HOME.replace("hello", "hi")), 1), "4: v2 active"),
            (if_active(activate("home", 1), 1), "OtherActive(Some(2))"),
            (if_active(rollback("home"), 1), "OtherActive(Some(2))"),
            (if_active(retire("home"), 1), "OtherActive(Some(2))"),
            (if_active(rollback("home"), 2), "5: v1 active"),
        ]);
    }

    #[test]
    fn a_wrong_text_is_invalid_and_changes_nothing() {
        check(vec![
            (schema(SCHEMA), "1"),
            (publish("home", "rule_set: home\noffers: 1\n"), "invalid: home:2:9"),
            (
                publish("house", HOME),
                "invalid: the text says `rule_set: home`, but it is published as `house`",
            ),
            (publish("cards", CARDS), "invalid"), // nobody has defined its placement
            (publish_only("cards", CARDS), "invalid"),
            (publish("home", HOME), "3: v1 active"),
            (publish("cards", &CARDS.replace("tier", "teir")), "invalid: cards:5"),
            (publish("cards", CARDS), "5: v1 active"),
            (publish("home", &" ".repeat(MAX_TEXT_BYTES + 1)), "invalid: `home` has 8388609 bytes"),
        ]);
    }

    #[test]
    fn what_others_need_stays() {
        check(vec![
            (schema(SCHEMA), "1"),
            (publish("home", HOME), "3"),
            (publish("cards", CARDS), "5"),
            (retire("home"), "conflict"),
            (retire("cards"), "6: v0"),
            (retire("home"), "7: v0"),
            (activate("cards", 1), "conflict"),
        ]);
    }

    #[test]
    fn a_schema_only_grows_and_the_rule_sets_go_on() {
        check(vec![
            (schema("schema: s\nfeatures: 1\n"), "invalid: schema:2:11"),
            (schema(SCHEMA), "1: v0 active"),
            (schema(SCHEMA), "as before, 1: v0 active"),
            (publish("home", HOME), "3"),
            (publish("cards", CARDS), "5"),
            (schema(&grown_schema()), "6: v0 active"),
            (schema(SCHEMA), "conflict: schema:2:1: feature `visits` would be removed"),
            (publish("cards", &CARDS.replace("tier == 'gold'", "visits > 3")), "7: v2 active"),
        ]);
    }

    #[test]
    fn a_bundle_is_one_swap_and_leaves_alone_what_is_as_it_says() {
        let gold_for_all = CARDS.replace("    when: tier == 'gold'\n", "");
        check(vec![
            (bundle(SCHEMA, &[CARDS, HOME]), "4: v0 active"),
            (bundle(SCHEMA, &[CARDS, HOME]), "as before, 4: v0 active"),
            (bundle(SCHEMA, &[HOME, &gold_for_all]), "5: v0 active"),
            (rollback("cards"), "6: v1 active"),
            (bundle(&grown_schema(), &[HOME, CARDS]), "7: v0 active"),
            (bundle(SCHEMA, &[HOME, CARDS]), "conflict: schema:2:1: feature `visits` would be removed"),
            (bundle("schema: s\nfeatures: 1\n", &[HOME]), "invalid: schema.yaml:2:11"),
            (bundle(&grown_schema(), &["rule_set: 1\n", HOME, "offers: 1\n"]), "invalid: 0.yaml:1:11"),
            (bundle(&grown_schema(), &[HOME, HOME]), "invalid: 1.yaml: 0.yaml has the rule set"),
        ]);
    }

    #[test]
    fn a_bundle_that_does_not_fit_together_changes_nothing() {
        check(vec![(bundle(SCHEMA, &[CARDS]), "invalid"), (bundle(SCHEMA, &[CARDS, HOME]), "4")]);
    }

    #[test]
    fn a_panic_while_compiling_is_an_answer() {
        let refused = surviving::<()>(|| panic!("index {} out of bounds", 7)).unwrap_err();
        let DefineError::Internal(why) = refused else { panic!("{refused:?}") };
        assert!(why.contains("made Usher fail while compiling: index 7 out of bounds"), "{why}");
    }

    #[test]
    fn a_bundle_can_wait_but_not_when_it_would_not_fit() {
        let waiting = |mut change| {
            if let Define::Bundle { activate, .. } = &mut change {
                *activate = false;
            }
            change
        };
        let other_home = HOME.replace("home_banner", "top_banner");
        let other_cards = CARDS.replace("home_banner", "top_banner");
        check(vec![
            (bundle(SCHEMA, &[HOME, CARDS]), "4"),
            (waiting(bundle(SCHEMA, &[&other_home])), "invalid"), // `cards` needs the placement
            (bundle(SCHEMA, &[&other_home]), "invalid"),
            (waiting(bundle(SCHEMA, &[HOME, CARDS])), "as before, 4"),
            (waiting(bundle(SCHEMA, &[&other_home, &other_cards])), "6"),
            (activate("cards", 2), "conflict"),
            (bundle(SCHEMA, &[&other_home, &other_cards]), "9"),
        ]);
        let node = Node::start().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(node.define(bundle(SCHEMA, &[HOME, CARDS]))).unwrap();
        let newer = CARDS.replace("gold:", "golden:");
        let found = runtime.block_on(node.define(waiting(bundle(SCHEMA, &[HOME, &newer])))).unwrap();
        let version = |name: &str, version, active, is_new| RuleSetVersion {
            name: name.into(),
            version,
            active,
            is_new,
        };
        assert_eq!(found.rule_sets, [version("home", 1, true, false), version("cards", 2, false, true)]);
    }

    #[test]
    fn what_was_swapped_out_waits_for_its_last_reader_and_is_dropped_by_the_compiler() {
        let node = Node::start().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reader = node.live();
        let old = Arc::downgrade(&reader);
        runtime.block_on(node.define(schema(SCHEMA))).unwrap();
        std::thread::sleep(3 * LOOK_AGAIN);
        assert_eq!(old.strong_count(), 2, "the reader and the compiler, who so is the last");
        drop(reader);
        let deadline = Instant::now() + Duration::from_secs(10);
        while old.strong_count() > 0 {
            assert!(Instant::now() < deadline, "nobody drops it");
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Titles of what the home banner shows to a customer of this tier (0: unknown), by the engine in force.
    fn shown(node: &Node, tier: u64) -> Vec<Box<str>> {
        let live = node.live();
        let mut row = vec![0; live.engine.schema.row_words()];
        let feature = live.engine.schema.feature_id("tier").unwrap();
        live.engine.schema.feature(feature).field.unwrap().write(&mut row, tier);
        let request = Request {
            customer: "c",
            channel: live.engine.schema.channel_id("app").unwrap(),
            placements: &[(live.engine.placement_id("home_banner").unwrap(), 1)],
            locale: None,
            context: Context::default(),
            past: crate::customer::row::Past::default(),
            budgets: &crate::decide::NoBudgets,
            lessons: &crate::decide::NoLessons,
            seed: 0,
            explain: false,
            overdue: None,
        };
        let decision = decide(&live.engine, FeatureVector::new(&row), &request, Time(0));
        decision.placements[0].propositions.iter().map(|proposition| proposition.offer.name.clone()).collect()
    }

    #[test]
    fn the_next_decision_is_made_by_what_was_defined() {
        const GOLD: u64 = 1;
        let node = Node::start().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (change, for_gold) in [
            (bundle(SCHEMA, &[HOME, CARDS]), "gold"),
            (publish("cards", &CARDS.replace("gold:", "silver:").replace("'gold'", "'silver'")), "brand"),
            (publish_only("cards", CARDS), "brand"),
            (rollback("cards"), "gold"),
            (schema(&grown_schema()), "gold"),
            (retire("cards"), "brand"),
        ] {
            runtime.block_on(node.define(change)).unwrap();
            assert_eq!(shown(&node, GOLD), [for_gold.into()]);
            assert_eq!(shown(&node, 0), ["brand".into()]);
        }
    }

    #[test]
    fn publishing_one_rule_set_does_not_parse_the_others_again() {
        let state = State::new();
        let engine = Engine::empty(&state.definitions().schema);
        let shared = Arc::new(NodeState::new(&state, engine, NodeBounds::default(), ClockWatch::new()));
        let (submissions, _writer) = writer::start(state, Box::new(Kept::default()), shared.clone()).unwrap();
        let parsed = Parsed { schema: shared.live.load().definitions.schema.clone(), rule_sets: Sets::new() };
        let mut compiler =
            Compiler { shared, submissions, parsed, retired: Vec::new(), fresh: Fresh::default() };
        let home = |compiler: &Compiler| compiler.parsed.rule_sets[&("home".into(), 1)].clone();
        compiler.define(bundle(SCHEMA, &[HOME, CARDS])).unwrap();
        let before = home(&compiler);
        compiler.define(publish("cards", &worded("other"))).unwrap();
        assert!(Arc::ptr_eq(&before, &home(&compiler)));
        assert!(compiler.define(publish("home", "rule_set: home\n")).is_err());
        assert!(Arc::ptr_eq(&before, &home(&compiler)));
        compiler.define(schema(&grown_schema())).unwrap();
        assert!(!Arc::ptr_eq(&before, &home(&compiler)), "another schema");
    }
}
