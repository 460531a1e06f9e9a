//! The requests, and what makes an answer right.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::connection::{self, Answer};
use crate::load::MAX_EXAMPLES;
use crate::push::{OFFER, Pushed, RULE_SET};
use crate::target::Target;

/// How many requests are built beforehand.
const POOL: usize = 65_536;
/// What an answer contains that says that the server has too much to do.
const OVERLOADED: &str = "urn:usher:problem:overloaded";
/// How much of a wrong answer an example shows.
const EXCERPT_CHARACTERS: usize = 200;

/// Home banners for random customers. If versions are pushed, answers must be of one of them.
pub(crate) struct Scenario {
    requests: Vec<(String, Vec<u8>)>,
    versions: Option<Versions>,
    /// Whether the server may say that it has too much to do.
    may_refuse: bool,
}

/// What the answers say about versions.
struct Versions {
    /// The newest version that the server has acknowledged.
    acknowledged: Arc<AtomicU64>,
    /// By version, the number of the offer that was shown with it, and how often.
    seen: HashMap<u64, (u64, u64)>,
}

/// What must be remembered of a request to judge its answer.
pub(crate) struct Sent {
    index: usize,
    /// The answer must be of this version or a later one.
    at_least: u64,
}

/// The judgement of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// The answer is right, but the server does not know the customer.
    UnknownCustomer,
    /// The server says that it has too much to do, and may.
    Refused,
    Wrong(String),
}

impl Scenario {
    pub(crate) fn login_storm(target: &Target, customers: u64, seed: u64) -> Scenario {
        let mut random = fastrand::Rng::with_seed(seed);
        let requests = (0..POOL).map(|_| {
            let customer = format!("c-{:06}", random.u64(1..=customers));
            let body = format!(
                r#"{{"customer":"{customer}","channel":"app","placements":[{{"id":"home_banner"}}],"context":{{"page":"home"}},"locale":"zh-CN"}}"#
            );
            let request = connection::request(target, "POST /v1/decisions", "application/json", &body);
            (format!(r#""customer":"{customer}""#), request)
        });
        Scenario { requests: requests.collect(), versions: None, may_refuse: false }
    }

    /// From now on every answer must show the offer of a pushed version that is not older than `acknowledged`
    /// was when the request was sent.
    pub(crate) fn expect_versions(&mut self, acknowledged: Arc<AtomicU64>) {
        self.versions = Some(Versions { acknowledged, seen: HashMap::new() });
    }

    /// From now on the server may say that it has too much to do.
    pub(crate) fn allow_refusals(&mut self) {
        self.may_refuse = true;
    }

    /// Request number `number`, ready to send.
    pub(crate) fn request(&self, number: u64) -> (&[u8], Sent) {
        let index = (number % self.requests.len() as u64) as usize;
        let at_least = self.versions.as_ref().map_or(0, |v| v.acknowledged.load(Ordering::Acquire));
        (&self.requests[index].1, Sent { index, at_least })
    }

    /// Looks for what a right answer contains. It does not parse: that would cost more than the server's own
    /// work.
    pub(crate) fn check(&mut self, sent: &Sent, answer: &Answer<'_>) -> Verdict {
        let wrong = |why: &str| Verdict::Wrong(format!("{why}: {} {}", answer.status, excerpt(answer.body)));
        if self.may_refuse && answer.status == 503 && answer.body.contains(OVERLOADED) {
            return Verdict::Refused;
        }
        if answer.status != 200 {
            return wrong("the status is not 200");
        }
        if !answer.body.contains(&self.requests[sent.index].0) {
            return wrong("the answer is for another customer");
        }
        if !answer.body.contains(r#""propositions":[{"offer":""#) {
            return wrong("there is no proposition");
        }
        if let Some(versions) = &mut self.versions
            && let Err(why) = versions.check(sent.at_least, answer.body)
        {
            return wrong(&why);
        }
        if answer.body.contains(r#""known":true"#) { Verdict::Right } else { Verdict::UnknownCustomer }
    }

    /// Compares the versions seen with those that were pushed. Returns how many answers were wrong.
    pub(crate) fn settle(&self, pushed: &Pushed, examples: &mut Vec<String>) -> u64 {
        let mut wrong = 0;
        for (version, (offer, count)) in self.versions.iter().flat_map(|versions| &versions.seen) {
            if pushed.offers.get(version) != Some(offer) {
                wrong += count;
                if examples.len() < MAX_EXAMPLES {
                    examples.push(format!("{count} answers show {OFFER}{offer} with version {version}"));
                }
            }
        }
        wrong
    }
}

impl Versions {
    /// The version and the offer must be of one push. Which offer belongs to a version may not be known yet,
    /// because its push may still be under way. So this only checks that it is always the same offer;
    /// [`Scenario::settle`] does the rest.
    fn check(&mut self, at_least: u64, body: &str) -> Result<(), String> {
        let version =
            number_after(body, &format!("\"{RULE_SET}\":")).ok_or("no version of the pushed rule set")?;
        let offer =
            number_after(body, &format!("\"offer\":\"{OFFER}")).ok_or("another offer than a pushed one")?;
        let title =
            number_after(body, &format!("\"title\":\"{OFFER}")).ok_or("another content than a pushed one")?;
        if version < at_least {
            return Err(format!("version {version}, though {at_least} was acknowledged before"));
        }
        let seen = self.seen.entry(version).or_insert((offer, 0));
        seen.1 += 1;
        if (seen.0, title) != (offer, offer) {
            return Err(format!(
                "version {version} with offer {offer} and title {title}, before with {}",
                seen.0
            ));
        }
        Ok(())
    }
}

/// The number that follows `label` in `text`.
pub(crate) fn number_after(text: &str, label: &str) -> Option<u64> {
    let rest = &text[text.find(label)? + label.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The beginning of a long text.
pub(crate) fn excerpt(text: &str) -> String {
    text.trim().chars().take(EXCERPT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(customer: &str, version: u64, offer: u64, title: u64) -> String {
        format!(
            r#"{{"customer":"{customer}","known":true,"rule_sets":{{"cards":1,"{RULE_SET}":{version}}},"placements":[{{"id":"home_banner","propositions":[{{"offer":"{OFFER}{offer}","content":{{"title":"{OFFER}{title}"}}}}]}}]}}"#
        )
    }

    fn scenario() -> Scenario {
        let target = Target::parse("http://127.0.0.1:1", false).unwrap();
        let mut scenario = Scenario::login_storm(&target, 1, 1);
        scenario.expect_versions(Arc::new(AtomicU64::new(2)));
        scenario
    }

    fn verdict(scenario: &mut Scenario, status: u16, body: &str) -> Verdict {
        let sent = scenario.request(0).1;
        scenario.check(&sent, &Answer { status, body })
    }

    #[test]
    fn answers_of_one_version_are_right() {
        let mut scenario = scenario();
        assert_eq!(verdict(&mut scenario, 200, &body("c-000001", 2, 7, 7)), Verdict::Right);
        assert_eq!(verdict(&mut scenario, 200, &body("c-000001", 3, 8, 8)), Verdict::Right);
        let unknown = body("c-000001", 3, 8, 8).replace("true", "false");
        assert_eq!(verdict(&mut scenario, 200, &unknown), Verdict::UnknownCustomer);
        let pushed = Pushed { offers: [(2, 7), (3, 8)].into(), ..Pushed::default() };
        assert_eq!(scenario.settle(&pushed, &mut Vec::new()), 0);
    }

    #[test]
    fn everything_else_is_wrong() {
        let mut scenario = scenario();
        assert_eq!(verdict(&mut scenario, 200, &body("c-000001", 3, 8, 8)), Verdict::Right);
        let empty = body("c-000001", 3, 8, 8).replace(r#"[{"offer""#, r#"[],"x":[{"offer""#);
        for (status, body, expected) in [
            (503, body("c-000001", 3, 8, 8), "status"),
            (200, body("c-000002", 3, 8, 8), "another customer"),
            (200, empty, "no proposition"),
            (200, body("c-000001", 1, 6, 6), "acknowledged before"),
            (200, body("c-000001", 3, 9, 9), "version 3 with offer 9"),
            (200, body("c-000001", 3, 8, 9), "title 9"),
            (200, body("c-000001", 3, 8, 8).replace(OFFER, "x"), "another offer"),
            (200, body("c-000001", 3, 8, 8).replace(RULE_SET, "x"), "no version"),
        ] {
            match verdict(&mut scenario, status, &body) {
                Verdict::Wrong(why) => assert!(why.contains(expected), "{expected}: {why}"),
                other => panic!("{expected}: {other:?}"),
            }
        }
        let refusal = format!(r#"{{"type":"{OVERLOADED}"}}"#);
        assert!(matches!(verdict(&mut scenario, 503, &refusal), Verdict::Wrong(_)));
        scenario.allow_refusals();
        assert_eq!(verdict(&mut scenario, 503, &refusal), Verdict::Refused);
        assert!(matches!(verdict(&mut scenario, 503, "{}"), Verdict::Wrong(_)));
        let mut examples = Vec::new();
        let pushed = Pushed { offers: [(3, 1)].into(), ..Pushed::default() };
        assert!(scenario.settle(&pushed, &mut examples) >= 1);
        assert!(examples[0].contains("with version 3"), "{examples:?}");
    }
}
