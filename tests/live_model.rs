//! Random histories of a node over a data directory, against a model that keeps lists. Events are late,
//! repeated or wrong; outcomes come with real tokens; decisions are made on all channels; rule sets change;
//! there are snapshots, restarts and crashes. After every step the model says what was accepted and shown,
//! what features are, and how much of each budget is used up. After every restart the digest is the same as
//! before.
//!
//! `USHER_MODEL_CASES` sets the number of histories.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic)]

#[path = "live_model/naive.rs"]
mod naive;
#[path = "live_model/rules.rs"]
mod rules;
#[path = "../src/testing.rs"]
mod testing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use naive::{LIFE_S, Naive, Place, Proof, Sent, TICK_S, Verdict, What, date, name_of};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseResult;
use rules::*;
use tempfile::TempDir;
use testing::rounds;
use tokio::runtime::Runtime;
use usher::customer::event::Fate;
use usher::customer::id::CustomerId;
use usher::customer::outcome::OutcomeKind;
use usher::customer::row::{Past, Row};
use usher::customer::update::{Change, Erasure, SALT_BYTES, Update};
use usher::decide::{Context, Decision, Request, decide};
use usher::engine::Engine;
use usher::input::cursor::Cursor;
use usher::input::document::Input;
use usher::intake::read::EventReader;
use usher::intake::token::{self, KEY_BYTES, SigningKey, SigningKeys, Tokens};
use usher::node::Node;
use usher::node::define::Define;
use usher::node::live::Live;
use usher::node::snapshotter::SnapshotSchedule;
use usher::schema::ChannelId;
use usher::schema::value::{Time, Value};
use usher::schema::vector::FeatureVector;
use usher::storage::data_dir;
use usher::storage::data_dir::verify;
use usher::storage::durability::SyncPolicy;
use usher::storage::journal::settings::JournalSettings;

const MAX_STEPS: usize = 60;
/// How many outcomes come at once in a flood, and how many floods there may be.
const FLOOD: i64 = 300;
const MAX_FLOODS: usize = 3;
/// 2026-11-21T00:00:00Z.
const BEGIN: i64 = 1_795_219_200;
/// Small, so that a history has several segments.
const SETTINGS: JournalSettings =
    JournalSettings { sync: SyncPolicy::Never, segment_bytes: 4_096, ahead_bytes: 1_024 };

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<Draft>),
    /// So many outcomes of one kind and offer, one every tick until now, that contacts have no room left.
    Flood {
        who: usize,
        kind: OutcomeKind,
        offer: &'static str,
        place: Place,
    },
    Decide {
        who: usize,
        channel: &'static str,
        asked: Vec<(&'static str, usize)>,
    },
    Pass(i64),
    Publish(usize),
    Erase(usize),
    Snapshot,
    /// The node is stopped and opened again.
    Restart,
    /// As if the process was killed: another node goes on with a copy of its files.
    Crash,
}

/// An event to send. What it refers to is looked up when it is sent.
#[derive(Debug, Clone)]
struct Draft {
    who: usize,
    id: Option<u8>,
    late: Option<i64>,
    of: Of,
}

#[derive(Debug, Clone)]
enum Of {
    View(Option<&'static str>, Option<i64>),
    Named(OutcomeKind, &'static str, Place),
    /// The outcome of a proposition: the one made `back` before the last.
    Token {
        kind: OutcomeKind,
        back: usize,
        fault: Fault,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    OtherCustomer,
    Altered,
}

/// The time at which a history begins: half of them a few minutes before midnight in the zone of caps and
/// budgets.
fn begin() -> impl Strategy<Value = i64> {
    let midnight = 16 * 3_600 / TICK_S;
    prop_oneof![0..DAY / TICK_S, midnight - 60..midnight].prop_map(|ticks| BEGIN + ticks * TICK_S)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let asked = prop_oneof![
        2 => (select(&PLACEMENTS[..]), 1..=3_usize).prop_map(|one| vec![one]),
        1 => (1..=3_usize, 1..=3_usize, any::<bool>()).prop_map(|(first, second, turned)| {
            let [one, other] = PLACEMENTS;
            if turned { vec![(other, first), (one, second)] } else { vec![(one, first), (other, second)] }
        }),
    ];
    let passing = [TICK_S, 64, 592, 608, 640, 656, 3_600, DAY / 2, DAY - TICK_S, DAY, 2 * DAY, 7 * DAY];
    let step = prop_oneof![
        10 => vec(draft(), 1..5).prop_map(Step::Send),
        9 => (0..CUSTOMERS, select(&CHANNELS[..]), asked)
            .prop_map(|(who, channel, asked)| Step::Decide { who, channel, asked }),
        1 => (0..CUSTOMERS, 0..4_usize, 0..OFFERS.len(), select(&PLACEMENTS[..]), select(&CHANNELS[..]))
            .prop_map(|(who, kind, offer, placement, channel)| {
                let (kind, offer) = (OutcomeKind::ALL[kind], OFFERS[offer].name);
                Step::Flood { who, kind, offer, place: (placement, channel) }
            }),
        4 => select(passing.to_vec()).prop_map(Step::Pass),
        3 => select(vec![TICK_S, 64, 592]).prop_map(Step::Pass),
        1 => (1..700_i64).prop_map(|ticks| Step::Pass(ticks * TICK_S)),
        1 => select(vec![20 * DAY, 30 * DAY, 41 * DAY]).prop_map(Step::Pass),
        1 => (0..WIDTHS.len()).prop_map(Step::Publish),
        1 => (0..CUSTOMERS).prop_map(Step::Erase),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ];
    vec(step, 1..MAX_STEPS)
}

fn draft() -> impl Strategy<Value = Draft> {
    let kinds = || select(vec![0, 0, 0, 0, 1, 2, 3]).prop_map(|kind: usize| OutcomeKind::ALL[kind]);
    let names: Vec<&str> = OFFERS.iter().map(|offer| offer.name).chain([FALLBACK]).collect();
    let back = prop_oneof![4 => 0..4_usize, 1 => 0..60_usize];
    let fault = prop_oneof![
        12 => Just(Fault::None),
        1 => Just(Fault::OtherCustomer),
        1 => Just(Fault::Altered),
    ];
    let amount = prop_oneof![9 => 0..=500_i64, 1 => Just(MAX_AMOUNT), 1 => Just(MAX_AMOUNT + 1)];
    let of = prop_oneof![
        4 => (option::weighted(0.9, select(&PAGES[..])), option::of(amount))
            .prop_map(|(page, amount)| Of::View(page, amount)),
        1 => (kinds(), select(names), select(&PLACEMENTS[..]), select(&CHANNELS[..]))
            .prop_map(|(kind, offer, placement, channel)| Of::Named(kind, offer, (placement, channel))),
        7 => (kinds(), back, fault).prop_map(|(kind, back, fault)| Of::Token { kind, back, fault }),
    ];
    let edges =
        vec![-301, -300, -1, 0, 1, 43_199, 43_200, 7 * DAY - 1, 7 * DAY, 30 * DAY, 400 * DAY, 400 * DAY + 1];
    let late = prop_oneof![
        6 => Just(None),
        2 => select(edges).prop_map(Some),
        2 => (0..DAY).prop_map(Some),
        2 => (0..40 * DAY).prop_map(Some),
    ];
    (0..CUSTOMERS, option::weighted(0.4, 0..40_u8), late, of).prop_map(|(who, id, late, of)| Draft {
        who,
        id,
        late,
        of,
    })
}

/// What a decision showed.
#[derive(Debug, Clone)]
struct Proposed {
    offer: &'static str,
    place: Place,
    proof: Proof,
}

/// A node, its directory, and the model of both.
struct World {
    _dir: TempDir,
    /// The last of the directories that the node has had.
    path: PathBuf,
    node: Arc<Node>,
    runtime: Runtime,
    tokens: Tokens,
    naive: Naive,
    now: i64,
    proposed: Vec<Proposed>,
    copies: usize,
    floods: usize,
}

impl World {
    fn new(now: i64) -> World {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let node = open(&path);
        let tokens = Tokens {
            keys: Arc::new(SigningKeys::one(SigningKey::new(1, &[7; KEY_BYTES]))),
            life: LIFE_S as u32,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (naive, proposed) = (Naive::default(), Vec::new());
        let mut world =
            World { _dir: dir, path, node, runtime, tokens, naive, now, proposed, copies: 0, floods: 0 };
        world.define(Define::Schema { text: SCHEMA.into(), rename: false, if_text: None });
        world.publish(WIDTHS[0]);
        world
    }

    fn define(&self, change: Define) {
        self.runtime.block_on(self.node.define(change)).unwrap_or_else(|e| panic!("{e:?}"));
    }

    fn publish(&mut self, width: Width) {
        for (name, text) in width.rule_sets() {
            self.define(Define::Publish { name: name.into(), text, activate: true, if_active: None });
        }
        self.naive.publish(width.caps());
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Send(drafts) => self.send(drafts)?,
            Step::Flood { who, kind, offer, place } => self.flood(*who, *kind, offer, *place)?,
            Step::Decide { who, channel, asked } => self.decide(*who, channel, asked)?,
            Step::Pass(seconds) => self.now += seconds,
            Step::Publish(width) => self.publish(WIDTHS[*width]),
            Step::Erase(who) => {
                let customer = CustomerId::new(&name_of(*who)).unwrap();
                let erasure = Erasure { at: self.now as u32, salt: [7; SALT_BYTES] };
                let erase = Update { customer, change: Change::Erase(erasure) };
                self.runtime.block_on(self.node.write(vec![erase])).unwrap();
                self.naive.erase(*who, self.now);
            }
            Step::Snapshot => drop(self.digest()),
            Step::Restart => self.restart()?,
            Step::Crash => self.crash()?,
        }
        self.check()
    }

    fn send(&mut self, drafts: &[Draft]) -> TestCaseResult {
        let sent: Vec<Sent> = drafts.iter().filter_map(|draft| self.sent(draft)).collect();
        let (mut updates, mut found) = (Vec::new(), Vec::new());
        {
            let live = self.node.live();
            for event in &sent {
                let text = event.json(self.now).to_string();
                let input = Input::from_json(text.as_bytes()).unwrap();
                match self.reader(&live).event(&Cursor::root(&input, None)) {
                    Ok(update) => {
                        updates.push(update);
                        found.push(Ok(Verdict::Accepted));
                    }
                    Err(problems) => found.push(Err(problems.to_string())),
                }
            }
        }
        let fates = self.runtime.block_on(self.node.take_in(updates)).unwrap().fates;
        let mut written = found.iter_mut().filter_map(|found| found.as_mut().ok()).collect::<Vec<_>>();
        for (at, fate) in fates.refused {
            *written[at] = match fate {
                Fate::Duplicate => Verdict::Duplicate,
                Fate::UsedUp => Verdict::UsedUp,
                Fate::Again => Verdict::Accepted,
                Fate::Erased => Verdict::Void,
                Fate::Accepted | Fate::Forgotten | Fate::ErasureForgotten => panic!("{fate:?}"),
            };
        }
        let expected = self.naive.take(&sent, self.now);
        for ((event, expected), found) in sent.iter().zip(expected).zip(found) {
            let fits = match (&found, expected) {
                (Err(told), Verdict::Refused(why)) => told.contains(why),
                (Ok(verdict), expected) => *verdict == expected,
                (Err(_), _) => false,
            };
            prop_assert!(fits, "{event:?} at {}: expected {expected:?}, found {found:?}", self.now);
        }
        Ok(())
    }

    /// A customer's history is exact up to some 1,280 contacts, so there are few floods.
    fn flood(&mut self, who: usize, kind: OutcomeKind, offer: &'static str, place: Place) -> TestCaseResult {
        if self.floods == MAX_FLOODS {
            return Ok(());
        }
        self.floods += 1;
        let draft =
            |nth: i64| Draft { who, id: None, late: Some(nth * TICK_S), of: Of::Named(kind, offer, place) };
        self.send(&(0..FLOOD).map(draft).collect::<Vec<_>>())
    }

    /// The event that a draft becomes; `None` if nothing was proposed yet.
    fn sent(&self, Draft { who, id, late, of }: &Draft) -> Option<Sent> {
        let (mut who, what) = match of {
            Of::View(page, amount) => (*who, What::View { page: *page, amount: *amount }),
            Of::Named(kind, offer, place) => {
                (*who, What::Outcome { kind: *kind, offer, place: *place, proof: None })
            }
            Of::Token { kind, back, fault } => {
                let last = self.proposed.len().checked_sub(1)?;
                let Proposed { offer, place, proof } = self.proposed[last.saturating_sub(*back)].clone();
                let proof = Proof { altered: *fault == Fault::Altered, ..proof };
                let who = proof.owner;
                (who, What::Outcome { kind: *kind, offer, place, proof: Some(proof) })
            }
        };
        if matches!(of, Of::Token { fault: Fault::OtherCustomer, .. }) {
            who = (who + 1) % CUSTOMERS;
        }
        Some(Sent { who, id: *id, late: *late, what })
    }

    fn reader<'r>(&'r self, live: &'r Live) -> EventReader<'r> {
        let now = Time::from_seconds(self.now);
        EventReader { engine: &live.engine, intake: &live.definitions.intake, tokens: &self.tokens, now }
    }

    fn decide(
        &mut self,
        who: usize,
        channel: &'static str,
        asked: &[(&'static str, usize)],
    ) -> TestCaseResult {
        let expected = self.naive.decide(who, channel, asked, self.now);
        let node = Arc::clone(&self.node);
        let live = node.live();
        let engine = &live.engine;
        let mut row = Row::new();
        let known = node.customers().read(&name_of(who), &mut row);
        let placements: Vec<_> =
            asked.iter().map(|(name, count)| (engine.placement_id(name).unwrap(), *count)).collect();
        let channel_id = engine.schema.find_channel(channel).unwrap_or_else(|e| panic!("{e}"));
        let request = Request {
            customer: &name_of(who),
            channel: channel_id,
            placements: &placements,
            locale: None,
            context: Context::default(),
            past: if known { Past::of(&row) } else { Past::default() },
            budgets: &node.budgets(true),
            lessons: &**node.figures(),
            seed: 0,
            explain: false,
            overdue: None,
        };
        let vector = if known { FeatureVector::new(&row) } else { FeatureVector::unknown() };
        let decision = decide(engine, vector, &request, Time::from_seconds(self.now));
        let found: Vec<Vec<&str>> = decision
            .placements
            .iter()
            .map(|shown| shown.propositions.iter().map(|of| &*of.offer.name).collect())
            .collect();
        prop_assert_eq!(found, expected, "{} on {} asks {:?} at {}", who, channel, asked, self.now);
        self.propose(engine, &decision, who, (channel, channel_id));
        Ok(())
    }

    /// Notes what was shown, with the tokens that an answer would carry.
    fn propose(
        &mut self,
        engine: &Engine,
        decision: &Decision<'_>,
        who: usize,
        (channel, channel_id): (&'static str, ChannelId),
    ) {
        for shown in &decision.placements {
            let placement = *PLACEMENTS.iter().find(|name| ***name == *shown.placement.name).unwrap();
            for of in &shown.propositions {
                let nonce = self.proposed.len() as u64 + 1;
                let content = token::Proposed {
                    rule_sets: engine.versions_for(of.offer).collect(),
                    offer: of.offer.number.0,
                    treatment: of.treatment.number,
                    place: shown.placement.place(channel_id).unwrap().0,
                    arms: of.arms.iter().map(|arm| engine.arm(*arm).number.0).collect(),
                    segment: of.segment,
                    rank: of.rank as u8,
                    propensity: of.propensity as f32,
                };
                let owner = name_of(who);
                let mut signer = self.tokens.keys.signer(self.now as u32, nonce, &owner);
                let token = String::from_utf8(signer.sign(&content).to_vec()).unwrap();
                let offer = offer(&of.offer.name).map_or(FALLBACK, |offer| offer.name);
                let proof = Proof { token, nonce, decided: self.now, owner: who, altered: false };
                self.proposed.push(Proposed { offer, place: (placement, channel), proof });
            }
        }
    }

    /// Compares everything that can be read with the model.
    fn check(&self) -> TestCaseResult {
        let live = self.node.live();
        let schema = &live.engine.schema;
        let now = Time::from_seconds(self.now);
        for who in 0..CUSTOMERS {
            let mut row = Row::new();
            let known = self.node.customers().read(&name_of(who), &mut row);
            prop_assert_eq!(known, self.naive.knows(who), "whether {} is known", who);
            let vector = if known { FeatureVector::new(&row) } else { FeatureVector::unknown() };
            let value = |name: &str| vector.get(schema, schema.feature_id(name).unwrap(), now);
            let Features { fx_7d, days_30d, spent_7d, spent, last_page, card_clicks } =
                self.naive.features(who, self.now);
            let last_page = last_page.map_or(Value::Missing, |page| Value::Text(page.into()));
            for (name, expected) in [
                ("fx_7d", Value::Int(fx_7d)),
                ("days_30d", Value::Int(days_30d)),
                ("spent_7d", Value::Int(spent_7d)),
                ("spent", Value::Int(spent)),
                ("last_page", last_page),
                ("card_clicks", Value::Int(card_clicks)),
            ] {
                prop_assert_eq!(value(name), expected, "{} of {} at {}", name, who, self.now);
            }
        }
        for offer in live.engine.offers() {
            let Some(budget) = budget_of(&offer.name) else { continue };
            for at in [self.now, self.now - DAY] {
                let at_that_time = Time::from_seconds(at);
                let limits = live.engine.budget_uses(offer.number, budget.on, at_that_time, at_that_time);
                let day = budget.daily.then(|| date(at));
                let used = self.node.figures().used(limits[0].key, limits[0].day);
                prop_assert_eq!(
                    used as usize,
                    self.naive.used(budget.name, day),
                    "{} {:?}",
                    budget.name,
                    day
                );
            }
        }
        Ok(())
    }

    /// The digest of the state in memory, taken from a snapshot of it.
    fn digest(&self) -> u64 {
        self.runtime.block_on(self.node.snapshot()).unwrap_or_else(|e| panic!("{e}")).digest
    }

    fn restart(&mut self) -> TestCaseResult {
        let before = self.digest();
        self.go_on(before, self.path.clone())
    }

    fn crash(&mut self) -> TestCaseResult {
        self.copies += 1;
        let copy = self.path.with_file_name(format!("copy-{}", self.copies));
        copy_files(&self.path, &copy);
        let before = self.digest();
        self.go_on(before, copy)
    }

    /// Opens this directory, which must come to the state with this digest.
    fn go_on(&mut self, before: u64, path: PathBuf) -> TestCaseResult {
        self.node.stop();
        // The node locks its directory as long as it lives.
        self.node = Node::start().unwrap();
        let report = verify::verify(&path, &|_| ()).unwrap_or_else(|e| panic!("{e}"));
        prop_assert!(report.problems.is_empty(), "{:?}", report.problems);
        prop_assert_eq!(report.state.map(|state| state.digest), Some(before), "the digest");
        self.node = open(&path);
        self.path = path;
        self.naive.restart();
        Ok(())
    }
}

fn open(path: &Path) -> Arc<Node> {
    let claimed = data_dir::claim(path).unwrap_or_else(|e| panic!("{e}"));
    let opened = claimed.open(SETTINGS, &|_| ()).unwrap_or_else(|e| panic!("{e}"));
    Node::open(opened, SnapshotSchedule::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn cases() -> u32 {
    std::env::var("USHER_MODEL_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or_else(|| rounds(12, 120))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn a_node_does_what_lists_do(begin in begin(), steps in steps()) {
        let mut world = World::new(begin);
        for step in &steps {
            world.step(step)?;
        }
    }
}

fn shows(who: usize, channel: &'static str, placement: &'static str) -> Step {
    Step::Decide { who, channel, asked: vec![(placement, 3)] }
}

/// Sends the impression of what was shown last.
fn is_seen() -> Step {
    let of = Of::Token { kind: OutcomeKind::Impression, back: 0, fault: Fault::None };
    Step::Send(vec![Draft { who: 0, id: None, late: None, of }])
}

/// Histories that once went wrong, each with the offer that must be shown last.
#[test]
fn what_is_decided_before_midnight_counts_there_and_nobody_gives_back_what_another_holds() {
    let midnight = BEGIN + 16 * 3_600;
    let over_midnight = vec![shows(0, "app", "wide"), Step::Pass(80), is_seen()];
    let counted_already = vec![
        shows(1, "app", "slot"),
        is_seen(),
        shows(0, "app", "slot"),
        shows(1, "web", "slot"),
        is_seen(),
        shows(2, "app", "slot"),
    ];
    for (begin, steps, last) in [(midnight - 64, over_midnight, "gift"), (BEGIN, counted_already, "loan_b")] {
        let mut world = World::new(begin);
        for step in &steps {
            world.step(step).unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!(world.proposed.last().unwrap().offer, last);
    }
}
