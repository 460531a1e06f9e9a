//! What a node must know and show, told plainly: a list of everything that was ever accepted. Every question
//! looks through that list from the beginning.

use std::collections::{HashSet, VecDeque};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use usher::customer::outcome::OutcomeKind;
use usher::schema::value::Time;

use super::rules::*;

/// Seconds that an event may be dated in the future, and seconds that it may be late.
const AHEAD_S: i64 = 300;
const LATE_S: i64 = 400 * DAY;
/// Seconds for which a token is good.
pub const LIFE_S: i64 = 30 * DAY;
/// Ids are remembered for at least this many days. Each new id pushes out a few that are older.
const ID_DAYS: i64 = 40;
const FORGOTTEN_AT_ONCE: usize = 16;
/// Erasures are remembered as long as any token can live: 90 days and 5 minutes.
const ERASED_KEPT_S: i64 = 90 * DAY + 300;
/// After this many days a day's budget no longer counts, once a later day has begun.
const BUDGET_DAYS: i64 = 2;
/// All times in this test are multiples of this many seconds: the unit in which places are held.
pub const TICK_S: i64 = 16;
/// Seconds for which a place is held: its own time, half a minute for answers on their way, and the rest of
/// the tick.
const HELD_S: i64 = 656;
/// The same in a budget of customers, which holds places to the second.
const HELD_BY_CUSTOMER_S: i64 = 640;

/// Placement and channel.
pub type Place = (&'static str, &'static str);

/// An event that somebody sends.
#[derive(Debug, Clone)]
pub struct Sent {
    pub who: usize,
    pub id: Option<u8>,
    /// Seconds since it happened, as it says itself; `None` if it does not say.
    pub late: Option<i64>,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    View { page: Option<&'static str>, amount: Option<i64> },
    Outcome { kind: OutcomeKind, offer: &'static str, place: Place, proof: Option<Proof> },
}

/// The token of a proposition.
#[derive(Debug, Clone)]
pub struct Proof {
    pub token: String,
    pub nonce: u64,
    pub decided: i64,
    /// The customer whom it was given to.
    pub owner: usize,
    pub altered: bool,
}

/// How an event ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    Accepted,
    Duplicate,
    /// Accepted, but not counted in its budget.
    UsedUp,
    /// It tells of a time before its customer was erased.
    Void,
    /// Refused before it is written, with the reason.
    Refused(&'static str),
}

/// An event that was accepted.
#[derive(Debug)]
struct Told {
    who: usize,
    at: i64,
    what: What,
    /// The budget of which it used up a place, and the day.
    uses: Option<(&'static str, Option<Date>)>,
    /// Whether the customer was erased since then.
    erased: bool,
}

/// A place in a budget, held for something that a decision has shown.
#[derive(Debug, PartialEq)]
struct Held {
    budget: &'static str,
    day: Option<Date>,
    at: i64,
    /// By whom, in a budget of customers.
    who: Option<usize>,
}

/// A past outcome of one customer.
#[derive(Debug, Clone, Copy)]
struct Past {
    offer: &'static str,
    place: Place,
    kind: OutcomeKind,
    at: i64,
}

#[derive(Debug, Default)]
pub struct Naive {
    told: Vec<Told>,
    /// Customer and id of past events, with the day on which each came.
    ids: VecDeque<((usize, u8), i64)>,
    outcomes: HashSet<(u64, usize)>,
    /// Who was erased, and when, oldest first.
    erased: VecDeque<(usize, i64)>,
    held: Vec<Held>,
    caps: Vec<Cap>,
}

impl Sent {
    pub fn json(&self, now: i64) -> Value {
        let mut event = Map::new();
        event.insert("customer".into(), json!(name_of(self.who)));
        if let Some(id) = self.id {
            event.insert("id".into(), json!(format!("e{id}")));
        }
        if let Some(late) = self.late {
            event.insert("at".into(), json!(Time::from_seconds(now - late).to_string()));
        }
        match &self.what {
            What::View { page, amount } => {
                event.insert("type".into(), json!("page_view"));
                event.insert("properties".into(), json!({"page": page, "amount": amount}));
            }
            What::Outcome { kind, offer, place: (placement, channel), proof } => {
                event.insert("type".into(), json!(kind.name()));
                if let Some(proof) = proof {
                    event.insert("token".into(), json!(proof.text()));
                } else {
                    event.insert("offer".into(), json!(offer));
                    event.insert("placement".into(), json!(placement));
                    event.insert("channel".into(), json!(channel));
                }
            }
        }
        Value::Object(event)
    }

    /// Why it is refused before it is written, if it is.
    fn refusal(&self, now: i64) -> Option<&'static str> {
        match self.late {
            Some(late) if late < -AHEAD_S => return Some("ahead of the server"),
            Some(late) if late > LATE_S => return Some("days ago"),
            _ => {}
        }
        match &self.what {
            What::View { amount, .. } => amount.filter(|amount| *amount > MAX_AMOUNT).map(|_| "`amount`"),
            What::Outcome { offer, place: (placement, _), proof: None, .. } => {
                (!is_shown(offer, placement)).then_some("is never shown on placement")
            }
            What::Outcome { proof: Some(proof), .. } => {
                let age = now - proof.decided;
                match () {
                    () if proof.altered => Some("was altered"),
                    () if proof.owner != self.who => Some("given to another customer"),
                    () if age > LIFE_S => Some("has expired"),
                    () => None,
                }
            }
        }
    }

    /// The time that it counts at: never in the future, and no outcome before its decision.
    fn at(&self, now: i64) -> i64 {
        let at = now - self.late.unwrap_or(0).max(0);
        match &self.what {
            What::Outcome { proof: Some(proof), .. } => at.max(proof.decided),
            _ => at,
        }
    }
}

impl Proof {
    fn text(&self) -> String {
        let mut text = self.token.clone().into_bytes();
        if self.altered {
            let middle = text.len() / 2;
            text[middle] = if text[middle] == b'A' { b'B' } else { b'A' };
        }
        String::from_utf8(text).unwrap()
    }
}

impl Cap {
    fn binds(&self, offer: &Offer, placement: &str) -> bool {
        match self.stands {
            Stands::Offer(name) => name == offer.name,
            Stands::Group(name) => Some(name) == offer.group,
            Stands::Placement(name) => name == placement,
            Stands::RuleSet(name) => name == offer.rule_set,
        }
    }

    /// Whether a past outcome counts for a cap if `of` were shown `here` at `now`.
    fn counts(&self, past: &Past, of: &Offer, here: Place, now: i64) -> bool {
        let Some(shown) = offer(past.offer) else { return false }; // a fallback counts for no cap
        let same_group = || of.group.is_some() && shown.group == of.group;
        let own = || match self.stands {
            Stands::Offer(_) => shown.name == of.name,
            Stands::Group(_) => same_group(),
            Stands::RuleSet(_) => shown.rule_set == of.rule_set,
            Stands::Placement(_) => true,
        };
        let whose_and_where = match self.scope {
            "offer" => shown.name == of.name,
            "group" => same_group(),
            "rule_set" => shown.rule_set == of.rule_set,
            "all" => true,
            "placement" => own() && past.place.0 == here.0,
            "channel" if matches!(self.stands, Stands::Placement(_)) => past.place == here,
            "channel" => own() && past.place.1 == here.1,
            other => panic!("{other}"),
        };
        let when = match self.per {
            None => true,
            Some(per) if self.calendar => {
                let before = jiff::Span::new().days(per / DAY - 1);
                date(past.at) >= date(now).checked_sub(before).unwrap()
            }
            Some(per) => now - past.at < per,
        };
        past.kind == self.on && whose_and_where && when
    }
}

impl Naive {
    pub fn publish(&mut self, caps: Vec<Cap>) {
        self.caps = caps;
    }

    /// Forgets what was only in memory.
    pub fn restart(&mut self) {
        self.held.clear();
    }

    pub fn erase(&mut self, who: usize, now: i64) {
        self.forget_erasures(now);
        self.erased.push_back((who, now));
        self.told.iter_mut().filter(|told| told.who == who).for_each(|told| told.erased = true);
    }

    pub fn knows(&self, who: usize) -> bool {
        self.of(who).next().is_some()
    }

    /// Accepts or refuses events that were sent together.
    pub fn take(&mut self, sent: &[Sent], now: i64) -> Vec<Verdict> {
        let take = |sent: &Sent| {
            let verdict = self.take_one(sent, now);
            if verdict == Verdict::Accepted {
                self.give_back(sent, now);
            }
            verdict
        };
        sent.iter().map(take).collect()
    }

    fn take_one(&mut self, sent: &Sent, now: i64) -> Verdict {
        if let Some(why) = sent.refusal(now) {
            return Verdict::Refused(why);
        }
        self.forget_erasures(now);
        if self.is_void(sent, now) {
            return Verdict::Void;
        }
        if sent.id.is_some_and(|id| self.ids.iter().any(|(known, _)| *known == (sent.who, id))) {
            return Verdict::Duplicate;
        }
        let (mut uses, mut verdict) = (None, Verdict::Accepted);
        if let What::Outcome { kind, offer, proof, .. } = &sent.what {
            let proposition = proof.as_ref().map(|proof| (proof.nonce, kind.index()));
            if proposition.is_some_and(|proposition| self.outcomes.contains(&proposition)) {
                return Verdict::Duplicate;
            }
            if let Some(budget) = budget_of(offer).filter(|budget| budget.on == *kind) {
                let day = budget.daily.then(|| date(used_at(sent, *kind, proof.as_ref(), now)));
                let yesterday = date(now).yesterday().unwrap();
                if day.is_some_and(|day| day < yesterday) {
                    verdict = Verdict::UsedUp;
                } else if self.has_place(sent.who, budget, day) {
                    // They need no other.
                } else if self.used(budget.name, day) >= budget.max
                    || day.is_some_and(|day| self.is_over(day))
                {
                    verdict = Verdict::UsedUp; // it happened all the same
                } else {
                    uses = Some((budget.name, day));
                }
            }
            self.outcomes.extend(proposition);
        }
        if let Some(id) = sent.id {
            self.remember((sent.who, id), now.div_euclid(DAY));
        }
        let told = Told { who: sent.who, at: sent.at(now), what: sent.what.clone(), uses, erased: false };
        self.told.push(told);
        verdict
    }

    /// Whether it is of a time before its customer was erased: decided then, or dated so by its sender.
    fn is_void(&self, sent: &Sent, now: i64) -> bool {
        let of = match &sent.what {
            What::Outcome { proof: Some(proof), .. } => proof.decided,
            _ if sent.at(now) < now => sent.at(now),
            _ => return false,
        };
        self.erased.iter().any(|(who, at)| *who == sent.who && of <= *at)
    }

    fn forget_erasures(&mut self, now: i64) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self.erased.front().is_some_and(|(_, at)| at + ERASED_KEPT_S < now) {
                self.erased.pop_front();
            }
        }
    }

    /// Whether a day of budgets is so long ago that it no longer counts.
    fn is_over(&self, day: Date) -> bool {
        let newest = self.told.iter().filter_map(|told| told.uses?.1).max();
        let last = day.checked_add(jiff::Span::new().days(BUDGET_DAYS)).unwrap();
        newest.is_some_and(|newest| last < newest)
    }

    fn remember(&mut self, id: (usize, u8), today: i64) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self.ids.front().is_none_or(|(_, day)| day + ID_DAYS >= today) {
                break;
            }
            self.ids.pop_front();
        }
        self.ids.push_back((id, today));
    }

    /// Whether it is a budget of customers in which this customer has a place.
    fn has_place(&self, who: usize, budget: &Budget, day: Option<Date>) -> bool {
        let is_over = day.is_some_and(|day| self.is_over(day));
        budget.customers && !is_over && self.of(who).any(|told| told.uses == Some((budget.name, day)))
    }

    /// Gives back the place held for a proposition whose impression has come. In a budget of customers that
    /// is the customer's, whatever decision it was held for.
    fn give_back(&mut self, sent: &Sent, now: i64) {
        let What::Outcome { kind: OutcomeKind::Impression, offer, proof, .. } = &sent.what else { return };
        let Some(budget) = budget_of(offer).filter(|budget| budget.hold_s() > 0) else { return };
        let at = used_at(sent, OutcomeKind::Impression, proof.as_ref(), now);
        let day = budget.daily.then(|| date(at));
        let is_it = |held: &Held| match held.who {
            Some(who) => who == sent.who,
            None => proof.is_some() && held.at == at,
        };
        let place =
            self.held.iter().position(|held| (held.budget, held.day) == (budget.name, day) && is_it(held));
        if let Some(place) = place {
            self.held.remove(place);
        }
    }

    /// How many places of a budget are used up.
    pub fn used(&self, budget: &str, day: Option<Date>) -> usize {
        self.told.iter().filter(|told| told.uses.is_some_and(|uses| uses == (budget, day))).count()
    }

    fn of(&self, who: usize) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(move |told| told.who == who && !told.erased)
    }

    fn history(&self, who: usize) -> Vec<Past> {
        let outcome = |told: &Told| match told.what {
            What::Outcome { kind, offer, place, .. } => Some(Past { offer, place, kind, at: told.at }),
            What::View { .. } => None,
        };
        self.of(who).filter_map(outcome).collect()
    }

    /// The features computed from a customer's events. They count by buckets of an eighth of the window, or
    /// of a day, so an event older than the window by less than a bucket may count too.
    pub fn features(&self, who: usize, now: i64) -> Features {
        let within = |at: i64, window: i64, buckets: i64| {
            let width = window / buckets;
            at.div_euclid(width) >= (now - window).div_euclid(width)
        };
        let mut features = Features::default();
        let (mut days, mut last) = (HashSet::new(), i64::MIN);
        for told in self.of(who) {
            match told.what {
                What::View { page, amount } => {
                    features.fx_7d += i64::from(page == Some("fx") && within(told.at, 7 * DAY, 8));
                    if date(told.at) >= date(now - 30 * DAY) {
                        days.insert(date(told.at));
                    }
                    let amount = amount.unwrap_or(0);
                    features.spent += amount;
                    features.spent_7d += if within(told.at, 7 * DAY, 8) { amount } else { 0 };
                    if page.is_some() && told.at >= last {
                        (features.last_page, last) = (page, told.at);
                    }
                }
                What::Outcome { kind: OutcomeKind::Click, offer: "card", .. } => {
                    features.card_clicks += i64::from(within(told.at, 30 * DAY, 30));
                }
                What::Outcome { .. } => {}
            }
        }
        features.days_30d = days.len() as i64;
        features
    }

    /// What a decision shows on each placement, in the order asked.
    pub fn decide(
        &mut self,
        who: usize,
        channel: &'static str,
        asked: &[(&'static str, usize)],
        now: i64,
    ) -> Vec<Vec<&'static str>> {
        let features = self.features(who, now);
        let mut history = self.history(who);
        let mut taken: Vec<&Offer> = Vec::new();
        let mut all = Vec::new();
        for (placement, count) in asked {
            let here = (*placement, channel);
            let mut shown = Vec::new();
            for offer in &OFFERS {
                if shown.len() < *count
                    && is_meant(offer, placement, &features)
                    && has_room(offer, &taken)
                    && !self.is_stopped(offer, here, &history, now)
                    && self.gets_a_place(offer, who, now)
                {
                    shown.push(offer.name);
                    taken.push(offer);
                    let kind = OutcomeKind::Impression;
                    history.push(Past { offer: offer.name, place: here, kind, at: now });
                }
            }
            if shown.is_empty() && *placement == "slot" {
                shown.push(FALLBACK);
            }
            all.push(shown);
        }
        all
    }

    /// Whether a cap or a suppression stops the offer.
    fn is_stopped(&self, offer: &Offer, here: Place, history: &[Past], now: i64) -> bool {
        let reached = |cap: &Cap| {
            let count = history.iter().filter(|past| cap.counts(past, offer, here, now)).count();
            count >= cap.max
        };
        let silenced = |past: &Past| {
            let silences = |(on, per): &(OutcomeKind, Option<i64>)| {
                *on == past.kind && per.is_none_or(|per| now - past.at < per)
            };
            past.offer == offer.name && offer.suppress.iter().any(silences)
        };
        self.caps.iter().filter(|cap| cap.binds(offer, here.0)).any(reached) || history.iter().any(silenced)
    }

    /// Whether its budget has a place left. If so, the place is held from now on.
    fn gets_a_place(&mut self, offer: &Offer, who: usize, now: i64) -> bool {
        let Some(budget) = budget_of(offer.name) else { return true };
        let day = budget.daily.then(|| date(now));
        if self.has_place(who, budget, day) {
            return true;
        }
        let holder = budget.customers.then_some(who);
        let held_s = if budget.customers { HELD_BY_CUSTOMER_S } else { HELD_S };
        self.held.retain(|held| held.budget != budget.name || now - held.at < held_s);
        let of_budget = |held: &&Held| (held.budget, held.day) == (budget.name, day);
        let of_others = |held: &&Held| of_budget(held) && (holder.is_none() || held.who != holder);
        let holds = holder.is_some() && self.held.iter().filter(of_budget).any(|held| held.who == holder);
        let held = if budget.hold_s() > 0 { self.held.iter().filter(of_others).count() } else { 0 };
        let fits = holds || self.used(budget.name, day) + held < budget.max;
        if fits && budget.hold_s() > 0 {
            if holds {
                self.held.retain(|held| !of_budget(&held) || held.who != holder);
            }
            self.held.push(Held { budget: budget.name, day, at: now, who: holder });
        }
        fits
    }
}

/// The time whose day an outcome is counted on: a place that was held is used up on the day on which it was
/// held.
fn used_at(sent: &Sent, kind: OutcomeKind, proof: Option<&Proof>, now: i64) -> i64 {
    match proof {
        Some(proof) if kind == OutcomeKind::Impression => proof.decided,
        _ => sent.at(now),
    }
}

fn is_meant(offer: &Offer, placement: &str, features: &Features) -> bool {
    offer.placements.contains(&placement) && offer.when.as_ref().is_none_or(|when| (when.holds)(features))
}

/// Whether the offer has a treatment there.
fn is_shown(name: &str, placement: &str) -> bool {
    match offer(name) {
        Some(offer) => offer.placements.contains(&placement),
        None => placement == "slot", // the fallback
    }
}

/// Whether this decision has not shown it yet, and may show one more of its group.
fn has_room(offer: &Offer, taken: &[&Offer]) -> bool {
    let of_group = taken.iter().filter(|other| offer.group.is_some() && other.group == offer.group);
    taken.iter().all(|other| other.name != offer.name) && of_group.count() < GROUP_MAX
}

/// The day in the zone of the rule sets.
pub fn date(at: i64) -> Date {
    thread_local! {
        static IN: TimeZone = TimeZone::get(ZONE).unwrap();
    }
    IN.with(|zone| zone.to_datetime(Timestamp::from_second(at).unwrap()).date())
}

pub fn name_of(who: usize) -> String {
    format!("c-{who}")
}
