//! The rule sets of models/bank-marketing, translated by hand. Nothing in this file uses Usher. A condition
//! without an answer is `None`: a missing feature, and everything that needs it.

use super::customers::Customer;
use super::naive::Context;

/// A condition's answer, if it has one.
pub(crate) type Truth = Option<bool>;

// Logic with three values: `and` and `or` have an answer without one side if the other side decides.

fn and(a: Truth, b: Truth) -> Truth {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(a: Truth, b: Truth) -> Truth {
    not(and(not(a), not(b)))
}

fn not(a: Truth) -> Truth {
    a.map(|a| !a)
}

/// `condition ? yes : no`; no answer if the condition has none.
fn choose(condition: Truth, yes: f64, no: f64) -> Option<f64> {
    condition.map(|condition| if condition { yes } else { no })
}

fn one_of(value: Option<&str>, list: &[&str]) -> Truth {
    value.map(|value| list.contains(&value))
}

fn is(value: Option<&str>, wanted: &str) -> Truth {
    value.map(|value| value == wanted)
}

fn at_least(value: Option<i64>, bound: i64) -> Truth {
    value.map(|value| value >= bound)
}

fn below(value: Option<i64>, bound: i64) -> Truth {
    value.map(|value| value < bound)
}

/// The word's place in the schema's order.
fn place(word: Option<&str>, order: &[&str]) -> Option<i64> {
    word.map(|word| order.iter().position(|other| *other == word).unwrap_or_else(|| panic!("{word}")) as i64)
}

const EDUCATION: [&str; 3] = ["primary", "secondary", "tertiary"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

// Tags of rule set `deposits`.

fn subscribed_before(c: &Customer<'_>) -> Truth {
    Some(c.last_outcome == Some("success"))
}

fn refused_before(c: &Customer<'_>) -> Truth {
    Some(c.last_outcome == Some("failure"))
}

fn never_contacted(c: &Customer<'_>) -> Truth {
    Some(c.days_since_contact.is_none())
}

fn contacted_lately(c: &Customer<'_>) -> Truth {
    Some(c.days_since_contact.is_some_and(|days| days < 100))
}

fn good_month(c: &Customer<'_>) -> Truth {
    Some(c.contact_month.is_some_and(|month| ["mar", "sep", "oct", "dec"].contains(&month)))
}

fn free_of_loans(c: &Customer<'_>) -> Truth {
    and(not(c.housing_loan), not(c.personal_loan))
}

fn spare_money(c: &Customer<'_>) -> Truth {
    at_least(c.balance, 1500)
}

// Tags of rule set `lending`.

fn working(c: &Customer<'_>) -> Truth {
    let jobs =
        ["admin", "blue_collar", "management", "services", "technician", "self_employed", "entrepreneur"];
    one_of(c.job, &jobs)
}

fn two_loans(c: &Customer<'_>) -> Truth {
    and(c.housing_loan, c.personal_loan)
}

fn overdrawn(c: &Customer<'_>) -> Truth {
    Some(c.balance.is_some_and(|balance| balance < 0))
}

fn middle_years(c: &Customer<'_>) -> Truth {
    c.age.map(|age| (30..=55).contains(&age))
}

// Tags of rule set `everyday`.

fn young(c: &Customer<'_>) -> Truth {
    below(c.age, 26)
}

fn spends(c: &Customer<'_>) -> Truth {
    c.balance.map(|balance| (100..=5000).contains(&balance))
}

fn called_often(c: &Customer<'_>) -> Truth {
    at_least(c.campaign_contacts, 7)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effort {
    Low,
    Middle,
    High,
}

/// An offer. Its treatments are (placement, locale, name).
pub(crate) struct Offer {
    pub(crate) name: &'static str,
    product: &'static str,
    effort: Effort,
    min_age: Option<i64>,
    max_age: Option<i64>,
    min_balance: Option<i64>,
    pub(crate) value: f64,
    pub(crate) group: Option<&'static str>,
    pub(crate) priority: u8,
    pub(crate) when: fn(&Customer<'_>, &Context<'_>) -> Truth,
    pub(crate) propensity: fn(&Customer<'_>) -> Option<f64>,
    pub(crate) boost: fn(&Customer<'_>, &Context<'_>) -> Option<f64>,
    pub(crate) treatments: &'static [(&'static str, Option<&'static str>, &'static str)],
}

/// The defaults: what most offers leave out.
const PLAIN: Offer = Offer {
    name: "",
    product: "",
    effort: Effort::Low,
    min_age: None,
    max_age: None,
    min_balance: None,
    value: 1.0,
    group: None,
    priority: 5,
    when: |_, _| Some(true),
    propensity: |_| Some(1.0),
    boost: |_, _| Some(1.0),
    treatments: &[],
};

const CALL: (&str, Option<&str>, &str) = ("call_script", None, "call_script");
const BANNER: (&str, Option<&str>, &str) = ("web_banner", None, "web_banner");
const BANNER_PT: (&str, Option<&str>, &str) = ("web_banner", Some("pt"), "web_banner.pt");
const LIST: (&str, Option<&str>, &str) = ("web_list", None, "web_list");
const COUNTER: (&str, Option<&str>, &str) = ("counter", None, "counter");

/// All offers except the fallback.
pub(crate) static OFFERS: [Offer; 21] = [
    Offer {
        name: "term_3m",
        product: "deposit",
        min_age: Some(18),
        min_balance: Some(500),
        value: 30.0,
        group: Some("term"),
        when: |c, _| {
            let job = one_of(c.job, &["student", "technician", "admin", "services"]);
            and(never_contacted(c), or(job, below(c.age, 30)))
        },
        propensity: |c| c.balance.map(|b| if b >= 20000 { 0.4 } else { 0.1 + b as f64 / 100000.0 }),
        boost: |c, _| choose(good_month(c), 1.4, 1.0),
        treatments: &[BANNER, BANNER_PT, LIST, CALL],
        ..PLAIN
    },
    Offer {
        name: "term_12m",
        product: "deposit",
        effort: Effort::Middle,
        min_age: Some(18),
        min_balance: Some(1000),
        value: 60.0,
        group: Some("term"),
        when: |c, _| and(spare_money(c), or(free_of_loans(c), subscribed_before(c))),
        propensity: |c| match c.last_outcome {
            Some("success") => Some(0.65),
            Some("failure") => Some(0.13),
            Some(_) => Some(0.17),
            None => Some(0.09),
        },
        boost: |c, _| match (good_month(c), refused_before(c)) {
            (Some(true), _) => Some(1.5),
            (Some(false), refused) => choose(refused, 0.5, 1.0),
            (None, _) => None,
        },
        treatments: &[BANNER, BANNER_PT, LIST, CALL, ("call_script", Some("pt"), "script_pt"), COUNTER],
        ..PLAIN
    },
    Offer {
        name: "term_24m",
        product: "deposit",
        effort: Effort::Middle,
        min_age: Some(18),
        min_balance: Some(2000),
        value: 90.0,
        group: Some("term"),
        when: |c, _| {
            let education = place(c.education, &EDUCATION).map(|education| education >= 1);
            let no_student = not(is(c.job, "student"));
            and(and(at_least(c.balance, 2000), education), and(no_student, not(is(c.marital, "single"))))
        },
        propensity: |c| c.age.map(|age| 0.05 + age as f64 / 400.0),
        boost: |_, context| choose(context.market_rate.map(|rate| rate > 3.1), 0.6, 1.2),
        treatments: &[LIST, CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "term_senior",
        product: "deposit",
        min_age: Some(60),
        value: 60.0,
        group: Some("term"),
        priority: 4,
        when: |c, _| {
            let sixty = c.age.map(|age| age / 10 >= 6);
            and(or(sixty, is(c.job, "retired")), at_least(c.balance, 1))
        },
        propensity: |c| choose(at_least(c.age, 75), 0.45, 0.3),
        treatments: &[BANNER, CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "term_again",
        product: "deposit",
        min_age: Some(18),
        value: 70.0,
        group: Some("term"),
        priority: 3,
        when: |c, _| and(subscribed_before(c), at_least(c.days_since_contact, 80)),
        propensity: |c| {
            c.days_since_contact.map(|days| if days >= 365 { 0.4 } else { 0.7 - days as f64 / 1000.0 })
        },
        boost: |c, _| c.previous_contacts.map(|n| n as f64 / (n as f64 + 5.0) + 0.5),
        treatments: &[BANNER, LIST, CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "large_deposit",
        product: "deposit",
        effort: Effort::High,
        min_age: Some(25),
        min_balance: Some(25000),
        value: 300.0,
        group: Some("term"),
        priority: 4,
        when: |c, context| {
            let amount = context.amount.map(|amount| amount >= 25000.0);
            or(at_least(c.balance, 25000), amount)
        },
        propensity: |c| choose(free_of_loans(c), 2.0, 1.0).map(|factor| 0.1 * factor),
        treatments: &[CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "savings_plan",
        product: "deposit",
        max_age: Some(45),
        value: 25.0,
        group: Some("saving"),
        priority: 6,
        when: |c, _| {
            let little = and(at_least(c.balance, 0), below(c.balance, 1500));
            and(and(little, not(is(c.job, "unemployed"))), not(contacted_lately(c)))
        },
        propensity: |c| choose(c.age.map(|age| age % 10 == 0 || age % 10 == 9), 0.3, 0.2),
        boost: |c, _| choose(is(c.marital, "single"), 1.2, 1.0),
        treatments: &[BANNER, LIST, CALL],
        ..PLAIN
    },
    Offer {
        name: "notice_account",
        product: "deposit",
        min_age: Some(18),
        value: 20.0,
        group: Some("saving"),
        priority: 6,
        when: |c, _| and(at_least(c.balance, 200), Some(c.contact_type.is_none())),
        propensity: |_| Some(0.25),
        treatments: &[LIST, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "housing_refinance",
        product: "loan",
        effort: Effort::High,
        min_age: Some(23),
        max_age: Some(65),
        value: 150.0,
        group: Some("refinancing"),
        when: |c, _| and(and(c.housing_loan, working(c)), at_least(c.balance, 0)),
        propensity: |c| choose(is(c.education, "tertiary"), 0.12, 0.08),
        boost: |c, _| choose(middle_years(c), 1.25, 0.75),
        treatments: &[BANNER, BANNER_PT, LIST, CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "personal_refinance",
        product: "loan",
        effort: Effort::Middle,
        min_age: Some(21),
        max_age: Some(70),
        value: 80.0,
        group: Some("refinancing"),
        when: |c, _| and(and(c.personal_loan, not(c.housing_loan)), not(is(c.job, "unemployed"))),
        propensity: |c| choose(at_least(c.balance, 1), 0.15, 0.2),
        treatments: &[LIST, CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "one_loan",
        product: "loan",
        effort: Effort::High,
        min_age: Some(25),
        max_age: Some(65),
        value: 200.0,
        group: Some("refinancing"),
        priority: 4,
        when: |c, _| and(two_loans(c), working(c)),
        propensity: |c| choose(overdrawn(c), 0.2, 0.1),
        boost: |c, _| choose(one_of(c.marital, &["married", "divorced"]), 1.1, 1.0),
        treatments: &[LIST, CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "first_home",
        product: "loan",
        effort: Effort::High,
        min_age: Some(23),
        max_age: Some(40),
        min_balance: Some(1000),
        value: 180.0,
        group: Some("refinancing"),
        when: |c, context| {
            let likely = and(and(not(c.housing_loan), working(c)), not(is(c.marital, "divorced")));
            or(likely, is(context.topic, "house"))
        },
        propensity: |c| c.age.map(|age| 0.02 * (age - 20) as f64 / 2.0),
        treatments: &[BANNER, BANNER_PT, LIST, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "overdraft_exit",
        product: "loan",
        effort: Effort::Middle,
        min_age: Some(18),
        value: 90.0,
        priority: 3,
        when: |c, _| and(c.balance.map(|balance| balance / 500 <= -1), working(c)),
        propensity: |c| c.balance.map(|b| if b < -4000 { 0.1 } else { 0.5 + b as f64 / 10000.0 }),
        treatments: &[BANNER, LIST, CALL],
        ..PLAIN
    },
    Offer {
        name: "young_card",
        product: "card",
        min_age: Some(18),
        max_age: Some(27),
        value: 20.0,
        group: Some("card"),
        when: |c, _| or(young(c), is(c.job, "student")),
        propensity: |_| Some(0.3),
        treatments: &[BANNER, BANNER_PT, LIST, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "credit_card",
        product: "card",
        min_age: Some(21),
        value: 40.0,
        group: Some("card"),
        priority: 6,
        when: |c, _| and(spends(c), not(c.personal_loan)),
        propensity: |c| choose(one_of(c.job, &["management", "self_employed", "entrepreneur"]), 0.25, 0.15),
        boost: |c, _| match place(c.education, &EDUCATION) {
            Some(education) => Some(if education > 0 { 1.2 } else { 1.0 }),
            None => Some(0.9),
        },
        treatments: &[BANNER, LIST, CALL],
        ..PLAIN
    },
    Offer {
        name: "gold_card",
        product: "card",
        effort: Effort::Middle,
        min_age: Some(30),
        min_balance: Some(5000),
        value: 80.0,
        group: Some("card"),
        priority: 6,
        when: |c, _| {
            let job = one_of(c.job, &["management", "entrepreneur", "retired", "self_employed"]);
            and(job, is(c.education, "tertiary"))
        },
        propensity: |c| c.balance.map(|b| if b > 50000 { 0.3 } else { b as f64 / 200000.0 + 0.05 }),
        treatments: &[LIST, CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "default_help",
        product: "service",
        value: 50.0,
        group: Some("help"),
        priority: 1,
        when: |c, _| or(c.in_default, below(c.balance, -2000)),
        propensity: |c| choose(c.in_default, 0.9, 0.4),
        treatments: &[BANNER, LIST, CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "budget_help",
        product: "service",
        value: 10.0,
        group: Some("help"),
        priority: 6,
        when: |c, context| {
            let job = one_of(c.job, &["unemployed", "student", "housemaid"]);
            or(and(job, below(c.balance, 300)), is(context.topic, "budget"))
        },
        propensity: |_| Some(0.4),
        treatments: &[LIST, CALL, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "update_contact",
        product: "service",
        value: 5.0,
        group: Some("help"),
        priority: 8,
        when: |c, _| Some(c.contact_type.is_none() || c.job.is_none() || c.education.is_none()),
        propensity: |c| {
            let part = |missing: bool, part: f64| if missing { part } else { 0.0 };
            let contact = part(c.contact_type.is_none(), 0.3);
            Some(contact + part(c.job.is_none(), 0.2) + part(c.education.is_none(), 0.2))
        },
        treatments: &[LIST, COUNTER],
        ..PLAIN
    },
    Offer {
        name: "pause_calls",
        product: "service",
        value: 8.0,
        priority: 7,
        when: |c, _| and(called_often(c), Some(c.last_outcome != Some("success"))),
        propensity: |c| c.campaign_contacts.map(|n| if n >= 26 { 1.0 } else { (n - 6) as f64 / 20.0 }),
        treatments: &[BANNER, LIST, CALL],
        ..PLAIN
    },
    Offer {
        name: "month_end_talk",
        product: "service",
        effort: Effort::Middle,
        value: 12.0,
        priority: 7,
        when: |c, _| {
            let late = place(c.contact_month, &MONTHS).map(|month| month > 5);
            and(and(at_least(c.contact_day, 25), late), Some(c.balance.is_some()))
        },
        propensity: |_| Some(0.2),
        treatments: &[COUNTER],
        ..PLAIN
    },
];

/// The fallback of every placement.
pub(crate) const COURTESY: Offer = Offer {
    name: "courtesy",
    product: "service",
    treatments: &[CALL, ("call_script", Some("pt"), "call_script.pt"), BANNER, BANNER_PT, LIST, COUNTER],
    ..PLAIN
};

/// Whether every guardrail holds for this offer and customer.
pub(crate) fn allowed(offer: &Offer, c: &Customer<'_>, context: &Context<'_>) -> bool {
    let service = Some(offer.product == "service");
    let default = or(service, Some(c.in_default == Some(false)));
    let light = and(c.campaign_contacts.map(|n| n <= 30), Some(offer.effort == Effort::Low));
    let unknown = Some(c.campaign_contacts.is_none());
    let contacts = or(or(service, unknown), or(c.campaign_contacts.map(|n| n <= 12), light));
    let youngest = offer.min_age.map_or(Some(true), |min| c.age.map(|age| age >= min));
    let oldest = offer.max_age.map_or(Some(true), |max| c.age.map(|age| age <= max));
    let balance = offer.min_balance.map_or(Some(true), |min| c.balance.map(|balance| balance >= min));
    let queue = Some(offer.effort < Effort::High || context.waiting.is_none_or(|waiting| waiting < 20));
    [default, contacts, youngest, oldest, balance, queue].iter().all(|guardrail| *guardrail == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decisive_side_goes_round_what_has_no_answer() {
        let values = [Some(true), Some(false), None];
        let table = |f: fn(Truth, Truth) -> Truth| values.map(|a| values.map(|b| f(a, b)));
        assert_eq!(
            table(and),
            [
                [Some(true), Some(false), None],
                [Some(false), Some(false), Some(false)],
                [None, Some(false), None],
            ]
        );
        assert_eq!(
            table(or),
            [[Some(true), Some(true), Some(true)], [Some(true), Some(false), None], [Some(true), None, None]]
        );
    }
}
