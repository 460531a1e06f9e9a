//! The schema, and the offers with their caps and budgets: once as tables, and once as rule sets that say the
//! same.

use std::fmt::Write as _;

use usher::customer::outcome::OutcomeKind;

pub const DAY: i64 = 86_400;
pub const CUSTOMERS: usize = 3;
pub const CHANNELS: [&str; 3] = ["app", "chatbot", "web"];
pub const PLACEMENTS: [&str; 2] = ["slot", "wide"];
pub const PAGES: [&str; 3] = ["fx", "home", "loans"];
/// The largest `amount` of an event.
pub const MAX_AMOUNT: i64 = 1_000;
pub const ZONE: &str = "Asia/Shanghai";
/// The offer shown on `slot` when nothing else is.
pub const FALLBACK: &str = "brand";
/// The most offers of a group that one decision shows.
pub const GROUP_MAX: usize = 1;
/// Seconds for which a budget of impressions holds a place.
pub const HOLD_S: i64 = 600;

pub const SCHEMA: &str = "schema: model
timezone: Asia/Shanghai
channels: [app, chatbot, web]
features:
  fx_7d: {kind: count, event: page_view, window: 7d, when: \"page == 'fx'\"}
  days_30d: {kind: distinct, event: page_view, per: day, window: 30d}
  spent_7d: {kind: sum, event: page_view, property: amount, window: 7d}
  spent: {kind: sum, event: page_view, property: amount}
  last_page: {kind: last, event: page_view, property: page}
  card_clicks: {kind: count, event: click, window: 30d, buckets: 30, when: \"offer == 'card'\"}
events:
  page_view:
    properties: {page: {kind: enum, values: [fx, home, loans]}, amount: {kind: int, min: 0, max: 1000}}
";

/// The features computed from a customer's events.
#[derive(Debug, Default, PartialEq)]
pub struct Features {
    pub fx_7d: i64,
    pub days_30d: i64,
    pub spent_7d: i64,
    pub spent: i64,
    pub last_page: Option<&'static str>,
    pub card_clicks: i64,
}

pub struct Offer {
    pub name: &'static str,
    pub rule_set: &'static str,
    pub group: Option<&'static str>,
    pub placements: &'static [&'static str],
    pub when: Option<When>,
    pub budget: Option<&'static str>,
    /// Seconds for which it is hidden after each of these outcomes; `None` is forever.
    pub suppress: &'static [(OutcomeKind, Option<i64>)],
}

/// Who may be shown something: as the rule set says it, and as Rust.
pub struct When {
    text: &'static str,
    pub holds: fn(&Features) -> bool,
}

const PLAIN: Offer = Offer {
    name: "",
    rule_set: "bank",
    group: None,
    placements: &["slot", "wide"],
    when: None,
    budget: None,
    suppress: &[],
};

/// The offers, in the order in which they rank.
pub const OFFERS: [Offer; 9] = [
    Offer {
        name: "fx",
        when: Some(When { text: "fx_7d >= 2", holds: |known| known.fx_7d >= 2 }),
        suppress: &[(OutcomeKind::Dismiss, Some(30 * DAY))],
        ..PLAIN
    },
    Offer {
        name: "card",
        suppress: &[
            (OutcomeKind::Dismiss, Some(30 * DAY)),
            (OutcomeKind::Click, Some(12 * 3_600)),
            (OutcomeKind::Convert, None),
        ],
        ..PLAIN
    },
    Offer { name: "loan_a", group: Some("loans"), placements: &["wide"], budget: Some("today"), ..PLAIN },
    Offer { name: "loan_b", group: Some("loans"), budget: Some("daily"), ..PLAIN },
    Offer { name: "gift", placements: &["wide"], budget: Some("daily"), ..PLAIN },
    Offer { name: "early", budget: Some("seen"), ..PLAIN },
    Offer { name: "bonus", placements: &["wide"], budget: Some("first"), ..PLAIN },
    Offer {
        name: "spender",
        budget: Some("first"),
        when: Some(When {
            text: "spent_7d >= 800 || days_30d >= 3 || last_page == 'loans' || card_clicks >= 2",
            holds: |known| {
                known.spent_7d >= 800
                    || known.days_30d >= 3
                    || known.last_page == Some("loans")
                    || known.card_clicks >= 2
            },
        }),
        ..PLAIN
    },
    Offer { name: "outside", rule_set: "shop", placements: &["wide"], ..PLAIN },
];

pub struct Budget {
    pub name: &'static str,
    pub max: usize,
    pub on: OutcomeKind,
    /// A customer uses up one place at most, however often.
    pub customers: bool,
    /// It starts anew every day.
    pub daily: bool,
}

/// Two offers share each of the first and the last.
pub const BUDGETS: [Budget; 4] = [
    Budget { name: "daily", max: 4, on: OutcomeKind::Impression, customers: false, daily: true },
    Budget { name: "seen", max: 2, on: OutcomeKind::Impression, customers: true, daily: false },
    Budget { name: "today", max: 1, on: OutcomeKind::Click, customers: true, daily: true },
    Budget { name: "first", max: 2, on: OutcomeKind::Convert, customers: true, daily: false },
];

/// Where a cap is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stands {
    Offer(&'static str),
    Group(&'static str),
    Placement(&'static str),
    RuleSet(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub struct Cap {
    pub stands: Stands,
    pub scope: &'static str,
    pub max: usize,
    pub on: OutcomeKind,
    /// Seconds; `None` is forever.
    pub per: Option<i64>,
    /// Whether it counts calendar days of [`ZONE`].
    pub calendar: bool,
}

/// How narrow the caps are in one version of the rule sets.
#[derive(Debug, Clone, Copy)]
pub struct Width {
    pub card: usize,
    pub channel: usize,
    pub wide: usize,
}

/// The widths that are published in turn.
pub const WIDTHS: [Width; 3] = [
    Width { card: 2, channel: 4, wide: 6 },
    Width { card: 1, channel: 2, wide: 3 },
    Width { card: 4, channel: 7, wide: 9 },
];

pub fn offer(name: &str) -> Option<&'static Offer> {
    OFFERS.iter().find(|offer| offer.name == name)
}

pub fn budget_of(name: &str) -> Option<&'static Budget> {
    let budget = offer(name)?.budget?;
    BUDGETS.iter().find(|known| known.name == budget)
}

impl Width {
    pub fn caps(self) -> Vec<Cap> {
        let (impression, click) = (OutcomeKind::Impression, OutcomeKind::Click);
        let cap = |stands, scope, max, on, days, calendar| {
            let per = Some(days * DAY);
            Cap { stands, scope, max, on, per, calendar }
        };
        vec![
            cap(Stands::Offer("card"), "offer", self.card, impression, 1, true),
            cap(Stands::Offer("fx"), "channel", 2, impression, 7, false),
            cap(Stands::Offer("early"), "placement", 2, impression, 1, false),
            Cap { per: None, ..cap(Stands::Offer("spender"), "offer", 3, click, 1, false) },
            cap(Stands::Group("loans"), "group", 2, impression, 2, true),
            cap(Stands::Placement("wide"), "placement", self.wide, impression, 1, true),
            cap(Stands::Placement("slot"), "channel", 3, impression, 1, false),
            cap(Stands::RuleSet("bank"), "channel", self.channel, impression, 1, false),
            cap(Stands::RuleSet("bank"), "rule_set", 3, click, 2, true),
            cap(Stands::RuleSet("shop"), "all", 8, impression, 7, true),
        ]
    }

    /// The rule sets, by name.
    pub fn rule_sets(self) -> [(&'static str, String); 2] {
        let caps = self.caps();
        let of = |stands: Stands| -> Vec<String> {
            caps.iter().filter(|cap| cap.stands == stands).map(Cap::yaml).collect()
        };
        let list = |stands: Stands| of(stands).join(", ");
        let named = |name| {
            let caps = of(Stands::RuleSet(name));
            let caps: Vec<_> = caps.iter().enumerate().map(|(nth, cap)| format!("c{nth}: {cap}")).collect();
            format!("caps: {{{}}}\n", caps.join(", "))
        };
        let mut bank = format!("rule_set: bank\n{}placements:\n", named("bank"));
        for (placement, more) in [("slot", ", fallback: brand"), ("wide", "")] {
            let caps = list(Stands::Placement(placement));
            writeln!(bank, "  {placement}: {{channels: [app, chatbot, web], caps: [{caps}]{more}}}").unwrap();
        }
        let loans = list(Stands::Group("loans"));
        writeln!(bank, "groups:\n  loans: {{max: {GROUP_MAX}, caps: [{loans}]}}\nbudgets:").unwrap();
        BUDGETS.iter().for_each(|budget| bank.push_str(&budget.yaml()));
        bank.push_str("offers:\n  brand: {treatments: [{placement: slot, content: 1}]}\n");
        let mut shop = format!("rule_set: shop\n{}offers:\n", named("shop"));
        for (nth, offer) in OFFERS.iter().enumerate() {
            let text = if offer.rule_set == "bank" { &mut bank } else { &mut shop };
            text.push_str(&offer.yaml(100 - nth, &list(Stands::Offer(offer.name))));
        }
        [("bank", bank), ("shop", shop)]
    }
}

impl Cap {
    fn yaml(&self) -> String {
        let Cap { max, scope, on, .. } = *self;
        let per = self.per.map_or("forever".into(), |per| format!("{}d", per / DAY));
        let zone = if self.calendar { format!(", timezone: {ZONE}") } else { String::new() };
        format!("{{max: {max}, per: {per}, scope: {scope}, on: {}{zone}}}", on.name())
    }
}

impl Budget {
    fn yaml(&self) -> String {
        let Budget { name, max, on, customers, daily } = *self;
        let day = if daily { format!(", per: 1d, timezone: {ZONE}") } else { String::new() };
        let hold = if self.hold_s() > 0 { format!(", hold: {}m", HOLD_S / 60) } else { String::new() };
        format!("  {name}: {{max: {max}, on: {}, customers: {customers}{day}{hold}}}\n", on.name())
    }

    /// Seconds for which it holds a place for a decision.
    pub fn hold_s(&self) -> i64 {
        if self.on == OutcomeKind::Impression { HOLD_S } else { 0 }
    }
}

impl Offer {
    fn yaml(&self, value: usize, caps: &str) -> String {
        let treatments: Vec<String> =
            self.placements.iter().map(|name| format!("{{placement: {name}, content: 1}}")).collect();
        let group = self.group.map_or(String::new(), |group| format!(", group: {group}"));
        let mut text = format!(
            "  {}:\n    placements: [{}]\n    treatments: [{}]\n    attributes: {{value: {value}{group}}}\n    caps: [{caps}]\n",
            self.name,
            self.placements.join(", "),
            treatments.join(", "),
        );
        let suppress: Vec<String> = self
            .suppress
            .iter()
            .map(|(on, per)| {
                let per = per.map_or("forever".into(), |per| format!("{}h", per / 3_600));
                format!("{}: {per}", on.name())
            })
            .collect();
        if !suppress.is_empty() {
            writeln!(text, "    suppress: {{{}}}", suppress.join(", ")).unwrap();
        }
        if let Some(When { text: when, .. }) = &self.when {
            writeln!(text, "    when: \"{when}\"").unwrap();
        }
        if let Some(budget) = self.budget {
            writeln!(text, "    budgets: [{budget}]").unwrap();
        }
        text
    }
}
