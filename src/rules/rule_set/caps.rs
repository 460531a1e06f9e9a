//! How often something may be shown, as a rule set says it: caps, suppressions and budgets.

use jiff::tz::TimeZone;

use super::{Reference, Spot};
use crate::customer::budget_place::MAX_BUDGET_PLACES;
use crate::customer::event::MAX_LATE_S;
use crate::customer::outcome::MAX_BUDGETS_PER_OUTCOME;
use crate::customer::outcome::OutcomeKind;
use crate::input::cursor::Cursor;
use crate::input::problem::{Problems, quoted};
use crate::schema::read_zone;
use crate::schema::span::seconds;
use crate::schema::value::DAY_SECONDS;

/// The most caps that one offer, group, placement or rule set may have.
pub const MAX_CAPS_PER_OFFER: usize = 16;
/// The most budgets that one rule set may have.
pub const MAX_BUDGETS: usize = 200;
/// The most budgets that one offer may use; one outcome is counted in all of them.
pub const MAX_BUDGETS_PER_OFFER: usize = MAX_BUDGETS_PER_OUTCOME;
/// The largest `max` of a cap: no more contacts than these are kept to be counted.
pub const MAX_CAP: u32 = 200;
/// The most places that one customer may need in the budgets of customers of all active rule sets. A budget
/// that begins anew every day needs [`DAILY_PLACES`] of them.
pub const MAX_PLACES_NEEDED: usize = 600;
/// How many days of a daily budget a customer may have places in: today, and days for which outcomes are
/// still counted.
pub(crate) const DAILY_PLACES: usize = 3;
// Places in budgets of earlier rule sets stay, and need room too.
const _: () = assert!(MAX_PLACES_NEEDED < MAX_BUDGET_PLACES);
/// The largest `max` of a budget.
pub const MAX_BUDGET: u32 = 1_000_000_000;
/// The longest time, in seconds, that a budget may hold a place for an offer that was decided but not yet
/// seen.
pub const MAX_HOLD_S: u32 = 3_600;

const DEFAULT_HOLD_S: u32 = 600;
const _: () = assert!((MAX_CAP as usize) < crate::customer::contact::MAX_CONTACTS);

/// The time over which outcomes are counted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Window {
    /// All outcomes since the first day.
    Forever,
    /// The last seconds before the decision, this many.
    Sliding(u32),
    /// Calendar days in this zone, this many, today included.
    Days(u32, TimeZone),
}

/// Whose contacts a cap counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapScope {
    Offer,
    Group,
    RuleSet,
    Placement,
    Channel,
    All,
}

/// A cap: at most `max` outcomes of one customer in a window.
#[derive(Debug, Clone)]
pub(crate) struct CapRule {
    /// What answers call it: its name, if it has one, and what it says.
    pub(crate) text: Box<str>,
    /// Its place in the rule set's text.
    pub(crate) spot: Spot,
    /// How many outcomes there may be; 0 for a suppression.
    pub(crate) max: u32,
    /// The outcome that is counted.
    pub(crate) on: OutcomeKind,
    pub(crate) window: Window,
    pub(crate) scope: CapScope,
}

/// A budget: at most `max` outcomes of all customers together.
#[derive(Debug, Clone)]
pub(crate) struct BudgetRule {
    pub(crate) name: Reference,
    pub(crate) max: u32,
    /// The outcome that uses it up.
    pub(crate) on: OutcomeKind,
    /// Whether it counts customers: each takes one place, whatever offers and outcomes use it.
    pub(crate) customers: bool,
    /// The zone in which it begins anew every day; `None` if it never does.
    pub(crate) daily: Option<TimeZone>,
    /// Seconds that a place is held for an offer that was decided; 0 unless impressions use it up.
    pub(crate) hold_s: u32,
}

/// An offer's caps, suppressions and budgets.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfferCaps {
    pub(crate) caps: Vec<CapRule>,
    /// Suppressions: caps of 0 after an outcome of the offer itself.
    pub(crate) suppress: Vec<CapRule>,
    /// Names of budgets that its rule set defines.
    pub(crate) budgets: Vec<Reference>,
}

/// The part of a rule set that a cap is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CapLevel {
    /// An offer, which may be in a group.
    Offer {
        grouped: bool,
    },
    Group,
    Placement,
    RuleSet,
}

const SCOPES: [(&str, CapScope); 6] = [
    ("offer", CapScope::Offer),
    ("group", CapScope::Group),
    ("rule_set", CapScope::RuleSet),
    ("placement", CapScope::Placement),
    ("channel", CapScope::Channel),
    ("all", CapScope::All),
];

impl Window {
    /// How long contacts must be kept for it, in seconds. Calendar days get one more, because clocks go
    /// forward and back.
    pub(crate) fn keep_s(&self) -> u32 {
        match self {
            Window::Forever => u32::MAX,
            Window::Sliding(seconds) => *seconds,
            Window::Days(days, _) => (days + 1) * DAY_SECONDS,
        }
    }
}

impl CapScope {
    /// The scope's name in rule sets.
    pub(crate) fn name(self) -> &'static str {
        SCOPES.iter().find(|(_, scope)| *scope == self).map_or("", |(name, _)| name)
    }
}

impl CapLevel {
    fn default_scope(self) -> CapScope {
        match self {
            CapLevel::Offer { .. } => CapScope::Offer,
            CapLevel::Group => CapScope::Group,
            CapLevel::Placement => CapScope::Placement,
            CapLevel::RuleSet => CapScope::RuleSet,
        }
    }
}

impl OfferCaps {
    /// Suppressions first, then caps: an explanation names what the customer did before what the bank did.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &CapRule> {
        self.suppress.iter().chain(&self.caps)
    }

    pub(super) fn says_the_same(&self, other: &OfferCaps) -> bool {
        let budgets = |caps: &OfferCaps| caps.budgets.iter().map(|b| b.name.clone()).collect::<Vec<_>>();
        self.rules().map(|cap| &cap.text).eq(other.rules().map(|cap| &cap.text))
            && budgets(self) == budgets(other)
    }
}

/// Reads a list of at most [`MAX_CAPS_PER_OFFER`] caps.
pub(super) fn read_caps(cursor: &Cursor<'_, '_>, level: CapLevel, problems: &mut Problems) -> Vec<CapRule> {
    let mut caps = Vec::new();
    let Some(items) = cursor.items(problems) else { return caps };
    if items.len() > MAX_CAPS_PER_OFFER {
        let detail = format!("expected at most {MAX_CAPS_PER_OFFER} caps, found {}", items.len());
        problems.push(cursor.problem(detail));
        return caps;
    }
    for item in items {
        caps.extend(read_cap(&item, None, level, problems));
    }
    caps
}

/// Reads one cap; `name` is its name, where caps have names.
pub(super) fn read_cap(
    cursor: &Cursor<'_, '_>,
    name: Option<&str>,
    level: CapLevel,
    problems: &mut Problems,
) -> Option<CapRule> {
    let fields = cursor.object(&["max", "per", "scope", "on", "timezone", "description"], problems)?;
    fields.refuse_blanks(problems);
    let max = fields.required("max", problems).and_then(|c| c.integer(1, i64::from(MAX_CAP), problems));
    let zone = match fields.get("timezone") {
        Some(cursor) => Some(read_zone(cursor, problems)?),
        None => None,
    };
    let per = fields.required("per", problems).copied();
    let window = per.and_then(|per| read_window(&per, zone.clone(), problems));
    let on = fields.get("on").map_or(Some(OutcomeKind::Impression), |c| read_outcome(c, problems));
    let scope = match fields.get("scope") {
        Some(cursor) => read_scope(cursor, level, problems),
        None => Some(level.default_scope()),
    };
    let (max, window, on, scope) = (max? as u32, window?, on?, scope?);
    let per = match fields.get("per").map(|per| &per.input.value) {
        Some(crate::input::document::InputValue::Text(text)) => text.to_string(),
        _ => String::new(), // it was read as a text
    };
    let mut text = format!("{max} per {per}");
    if on != OutcomeKind::Impression {
        text.push_str(&format!(", on {}", on.name()));
    }
    if let Some(zone) = zone.as_ref().and_then(TimeZone::iana_name) {
        text.push_str(&format!(", {zone}"));
    }
    text.push_str(&format!(", scope {}", scope.name()));
    let text = name.map_or(text.clone(), |name| format!("{name} ({text})"));
    Some(CapRule { text: text.into(), spot: Spot::of(cursor), max, on, window, scope })
}

/// Reads `suppress`: how long an offer is hidden after each outcome.
pub(super) fn read_suppress(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Vec<CapRule> {
    let kinds = [OutcomeKind::Dismiss, OutcomeKind::Click, OutcomeKind::Convert];
    let Some(fields) = cursor.object(&kinds.map(OutcomeKind::name), problems) else { return Vec::new() };
    fields.refuse_blanks(problems);
    let mut suppress = Vec::new();
    for on in kinds {
        let Some(cursor) = fields.get(on.name()) else { continue };
        let Some(window) = read_window(cursor, None, problems) else { continue };
        let per = cursor.text(problems).unwrap_or_default();
        let text = format!("{} {per}", on.name()).into();
        let spot = Spot::of(cursor);
        suppress.push(CapRule { text, spot, max: 0, on, window, scope: CapScope::Offer });
    }
    suppress
}

/// Reads everything about a budget except its name.
pub(super) fn read_budget(
    name: Reference,
    cursor: &Cursor<'_, '_>,
    problems: &mut Problems,
) -> Option<BudgetRule> {
    let known = ["max", "on", "customers", "per", "timezone", "hold", "description"];
    let fields = cursor.object(&known, problems)?;
    fields.refuse_blanks(problems);
    let max = fields.required("max", problems).and_then(|c| c.integer(1, i64::from(MAX_BUDGET), problems));
    let on = fields.required("on", problems).and_then(|c| read_outcome(c, problems));
    let customers = fields.get("customers").and_then(|c| c.boolean(problems)).unwrap_or(false);
    let zone = match fields.get("timezone") {
        Some(cursor) => Some(read_zone(cursor, problems)?),
        None => None,
    };
    let daily = match fields.get("per") {
        None => Some(false),
        Some(cursor) => match cursor.text(problems)? {
            "1d" => Some(true),
            "forever" => Some(false),
            other => {
                let detail = format!("a budget is per 1d or forever, found {}", quoted(other));
                problems.push(cursor.problem(detail));
                None
            }
        },
    };
    if let (Some(cursor), Some(false)) = (fields.get("timezone"), daily) {
        let problem = cursor.problem("`timezone` says when a day begins, but this budget never begins anew");
        problems.push(problem.hint("add `per: 1d`, or leave it out"));
    }
    let mut hold_s = if on == Some(OutcomeKind::Impression) { DEFAULT_HOLD_S } else { 0 };
    if let Some(cursor) = fields.get("hold") {
        hold_s = read_hold(cursor, on, problems)?;
    }
    let daily = daily?.then(|| zone.unwrap_or(TimeZone::UTC));
    Some(BudgetRule { name, max: max? as u32, on: on?, customers, daily, hold_s })
}

fn read_hold(cursor: &Cursor<'_, '_>, on: Option<OutcomeKind>, problems: &mut Problems) -> Option<u32> {
    let text = cursor.text(problems)?;
    if on.is_some_and(|on| on != OutcomeKind::Impression) {
        let problem = cursor.problem("places are only held for impressions");
        problems.push(problem.hint("leave it out, or say `on: impression`"));
        return None;
    }
    let found = seconds(text).filter(|hold_s| *hold_s <= MAX_HOLD_S);
    if found.is_none() {
        let detail = format!("expected a time such as 5m, up to 1h, found {}", quoted(text));
        problems.push(cursor.problem(detail));
    }
    found
}

fn read_outcome(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<OutcomeKind> {
    let name = cursor.text(problems)?;
    let found = OutcomeKind::of_name(name);
    if found.is_none() {
        let names = OutcomeKind::ALL.map(OutcomeKind::name);
        let problem = cursor.problem(format!("unknown outcome {}", quoted(name)));
        problems.push(problem.hint(format!("expected one of {}", names.join(", "))));
    }
    found
}

fn read_scope(cursor: &Cursor<'_, '_>, level: CapLevel, problems: &mut Problems) -> Option<CapScope> {
    let name = cursor.text(problems)?;
    let Some((_, scope)) = SCOPES.iter().find(|(known, _)| *known == name) else {
        let problem = cursor.problem(format!("unknown scope {}", quoted(name)));
        let names = SCOPES.map(|(name, _)| name);
        problems.push(problem.hint(format!("expected one of {}", names.join(", "))));
        return None;
    };
    if *scope == CapScope::Group && level == (CapLevel::Offer { grouped: false }) {
        let problem = cursor.problem("the offer has no group whose contacts could be counted");
        problems.push(problem.hint("give it one: `attributes: {group: …}`, or choose another scope"));
        return None;
    }
    Some(*scope)
}

/// Reads a window: a duration, or calendar days if there is a zone.
fn read_window(cursor: &Cursor<'_, '_>, zone: Option<TimeZone>, problems: &mut Problems) -> Option<Window> {
    let text = cursor.text(problems)?;
    match (seconds(text), zone) {
        (None, None) if text == "forever" => Some(Window::Forever),
        (Some(seconds), None) if seconds <= MAX_LATE_S => Some(Window::Sliding(seconds)),
        (Some(seconds), Some(zone)) if seconds % DAY_SECONDS == 0 && seconds <= MAX_LATE_S => {
            Some(Window::Days(seconds / DAY_SECONDS, zone))
        }
        (None, Some(_)) if text == "forever" => {
            let problem =
                cursor.problem("`timezone` makes a cap count calendar days, but this one counts for ever");
            problems.push(problem.hint("leave out `timezone`"));
            None
        }
        (Some(seconds), Some(_)) if seconds <= MAX_LATE_S => {
            let detail = format!(
                "`timezone` makes a cap count calendar days, but `{text}` is not a number of whole days"
            );
            problems.push(cursor.problem(detail).hint("say 1d, 7d …, or leave out `timezone`"));
            None
        }
        _ => {
            let most = MAX_LATE_S / DAY_SECONDS;
            let problem = cursor.problem(format!(
                "expected a time such as 30m, 12h or 7d, or forever, found {}",
                quoted(text)
            ));
            problems.push(problem.hint(format!("the longest is {most}d")));
            None
        }
    }
}
