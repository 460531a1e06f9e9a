//! Reading a rule set whose earlier version is known. Most offers of the next version are the same, so only
//! the others are read: what stands unchanged is left out of the text, and taken over from the earlier
//! version with the places that it has now.
//!
//! This is only a shorter way to the same value. Whatever does not fit, and every problem, leaves it: then
//! the whole text is read as if there were no earlier version.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::RuleSetReader;
use crate::expression::Expression;
use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::{Place, Source};
use crate::input::yaml::{Gap, Rest};
use crate::rules::rule_set::{CapRule, MAX_OFFERS, OfferRule, Reference, RuleSet, Spot};
use crate::schema::Schema;

/// With fewer offers, reading all of them takes no longer.
const FEWEST_OFFERS: usize = 64;

/// The offers of an earlier version that stand in a new text as they stood in the old one. The offers around
/// them are read again: they show that the text between them means what it meant.
struct Unchanged {
    /// Offers in front of what changed. They have the places that they had.
    front: Range<usize>,
    /// Offers behind what changed.
    back: Range<usize>,
    /// By how many bytes these stand further behind.
    moved: i64,
}

/// How much further behind something stands.
#[derive(Clone, Copy)]
struct Shift {
    lines: i64,
    bytes: i64,
}

/// Reads a rule set with the help of an earlier version that was checked against the same schema; `None` if
/// that is no help.
pub(super) fn again(source: &Arc<Source>, schema: &Schema, earlier: &RuleSet) -> Option<RuleSet> {
    let unchanged = Unchanged::find(earlier, &source.text)?;
    let rest = Rest::new(&source.text, &unchanged.gaps(earlier)?, earlier.values);
    let input = Input::from_rest(source, &rest).ok()?;
    let mut reader = RuleSetReader::new(schema);
    let mut set = reader.rule_set(&Cursor::root(&input, Some(source)), source)?;
    if !reader.problems.is_empty() || !sees_the_same(&set, earlier) {
        return None;
    }
    unchanged.share_conditions(earlier, &mut set.offers);
    unchanged.put_back(earlier, &mut set)?;
    set.values = earlier.values + input.count();
    for (tag, before) in set.tags.iter_mut().zip(&earlier.tags) {
        tag.condition.node = Arc::clone(&before.condition.node);
    }
    Some(set)
}

/// Whether the offers of both rule sets see the same tags, parameters, experiments and budgets.
fn sees_the_same(set: &RuleSet, earlier: &RuleSet) -> bool {
    let mut tags = set.tags.iter().zip(&earlier.tags);
    let experiments = |set: &RuleSet| -> Vec<_> {
        set.experiments.iter().map(|rule| Arc::clone(&rule.experiment)).collect()
    };
    let budgets =
        |set: &RuleSet| -> Vec<_> { set.budgets.iter().map(|rule| rule.name.name.clone()).collect() };
    set.tags.len() == earlier.tags.len()
        && tags.all(|(one, other)| one.name == other.name && one.condition.is_same(&other.condition))
        && set.parameters == earlier.parameters
        && experiments(set) == experiments(earlier)
        && budgets(set) == budgets(earlier)
}

impl Unchanged {
    /// Looks for a stretch of the text in which all changes are.
    fn find(earlier: &RuleSet, text: &str) -> Option<Unchanged> {
        let (old, offers) = (earlier.source.text.as_bytes(), &earlier.offers);
        let last = offers.len().checked_sub(1).filter(|_| offers.len() >= FEWEST_OFFERS)?;
        let new = text.as_bytes();
        let same = |(a, b): &(&u8, &u8)| a == b;
        let front = old.iter().zip(new).take_while(same).count();
        let most = old.len().min(new.len()) - front;
        let back = old.iter().rev().zip(new.iter().rev()).take(most).take_while(same).count();
        let place = |rule: &OfferRule| rule.name.spot.place.unwrap_or_default();
        // The first that may have changed comes behind an offer whose first line did not.
        let line_end = |rule: &OfferRule| {
            let from = place(rule).offset as usize;
            old.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')).map(|end| from + end)
        };
        let begun = offers.partition_point(|rule| line_end(rule).is_some_and(|end| end < front));
        let behind = offers.partition_point(|rule| {
            let Place { offset, column, .. } = place(rule);
            (offset as usize).saturating_sub(column as usize) + 1 < old.len() - back
        });
        let front = 1..begun.saturating_sub(1).max(1);
        let is_behind = front.is_empty() || behind >= front.end;
        let back = if behind < last && is_behind { behind + 1..last } else { last..last };
        let moved = new.len() as i64 - old.len() as i64;
        (!front.is_empty() || !back.is_empty()).then_some(Unchanged { front, back, moved })
    }

    /// The parts of the new text in which these offers stand; `None` if one does not begin a line.
    fn gaps(&self, earlier: &RuleSet) -> Option<Vec<Gap>> {
        let old = &earlier.source.text;
        let column = earlier.offers.first()?.name.spot.place?.column;
        let begin = |offer: usize| {
            let place = earlier.offers.get(offer)?.name.spot.place?;
            let start = (place.offset as usize).checked_sub(column as usize - 1)?;
            let before = old.get(..start)?;
            let blanks = old.get(start..place.offset as usize)?;
            let begins = before.ends_with('\n') && blanks.bytes().all(|byte| byte == b' ');
            (place.column == column && begins).then_some((start, place.line))
        };
        let mut gaps = Vec::new();
        for (range, moved) in [(&self.front, 0), (&self.back, self.moved)] {
            if range.is_empty() {
                continue;
            }
            let ((start, first), (end, next)) = (begin(range.start)?, begin(range.end)?);
            let at = |byte: usize| usize::try_from(byte as i64 + moved).ok();
            gaps.push(Gap { start: at(start)?, end: at(end)?, lines: next.checked_sub(first)? });
        }
        Some(gaps)
    }

    /// Lets offers that are read, but whose condition did not change, have that of the earlier version. So
    /// engines know it again.
    fn share_conditions(&self, earlier: &RuleSet, read: &mut [OfferRule]) {
        let left_out = |nth: &usize| self.front.contains(nth) || self.back.contains(nth);
        let others = (0..earlier.offers.len()).filter(|nth| !left_out(nth)).map(|nth| &earlier.offers[nth]);
        let known: HashMap<&str, &OfferRule> = others.map(|rule| (&*rule.name.name, rule)).collect();
        for rule in read {
            let before = known.get(&*rule.name.name).and_then(|before| before.when.as_ref());
            if let (Some(when), Some(before)) = (&mut rule.when, before)
                && when.is_same(before)
            {
                when.node = Arc::clone(&before.node);
            }
        }
    }

    /// Puts these offers between those that were read; `None` if they do not belong there.
    fn put_back(&self, earlier: &RuleSet, set: &mut RuleSet) -> Option<()> {
        let old = &earlier.offers;
        let count = set.offers.len() + self.front.len() + self.back.len();
        let read: HashSet<&str> = set.offers.iter().map(|rule| &*rule.name.name).collect();
        let kept = || old[self.front.clone()].iter().chain(&old[self.back.clone()]);
        if count > MAX_OFFERS || kept().any(|rule| read.contains(&*rule.name.name)) {
            return None;
        }
        let mut offers = Vec::with_capacity(count);
        let read = std::mem::take(&mut set.offers);
        let (ends, mut back) = (read.len().checked_sub(1)?, None);
        for (place, rule) in read.into_iter().enumerate() {
            if !self.front.is_empty() && place < 2 {
                let before = if place == 0 { 0 } else { self.front.end };
                let unmoved = shift(&rule, &old[before])?;
                if (unmoved.lines, unmoved.bytes) != (0, 0) {
                    return None;
                }
                if place == 1 {
                    offers.extend(old[self.front.clone()].iter().cloned());
                }
            }
            if !self.back.is_empty() && place + 1 == ends {
                back = Some(shift(&rule, &old[self.back.start - 1])?);
            }
            if !self.back.is_empty() && place == ends {
                let by = shift(&rule, &old[self.back.end])?;
                let same = back.is_some_and(|back| (back.lines, back.bytes) == (by.lines, by.bytes));
                if !same || by.bytes != self.moved {
                    return None;
                }
                offers.extend(old[self.back.clone()].iter().cloned().map(|rule| rule.moved(by)));
            }
            offers.push(rule);
        }
        set.offers = offers;
        (set.offers.len() == count).then_some(())
    }
}

/// How much further behind an offer stands than before; `None` if it is another.
fn shift(now: &OfferRule, before: &OfferRule) -> Option<Shift> {
    let (to, from) = (now.name.spot.place?, before.name.spot.place?);
    let same = now.name.name == before.name.name && (to.column, to.length) == (from.column, from.length);
    let by = |to: u32, from: u32| i64::from(to) - i64::from(from);
    same.then(|| Shift { lines: by(to.line, from.line), bytes: by(to.offset, from.offset) })
}

impl Shift {
    fn spot(self, spot: &mut Spot) {
        if let Some(place) = &mut spot.place {
            place.line = (i64::from(place.line) + self.lines) as u32;
            place.offset = (i64::from(place.offset) + self.bytes) as u32;
        }
    }

    fn references(self, references: &mut [Reference]) {
        references.iter_mut().for_each(|reference| self.spot(&mut reference.spot));
    }

    fn caps(self, caps: &mut [CapRule]) {
        caps.iter_mut().for_each(|cap| self.spot(&mut cap.spot));
    }

    fn expression(self, expression: &mut Expression) {
        if expression.line > 0 {
            expression.line = (i64::from(expression.line) + self.lines) as u32;
        }
    }
}

impl OfferRule {
    /// The same offer, further behind in the text.
    fn moved(mut self, by: Shift) -> OfferRule {
        by.spot(&mut self.name.spot);
        by.references(&mut self.placements);
        by.references(self.attributes.group.as_mut_slice());
        self.treatments.iter_mut().for_each(|treatment| by.spot(&mut treatment.placement.spot));
        by.caps(&mut self.caps.caps);
        by.caps(&mut self.caps.suppress);
        by.references(&mut self.caps.budgets);
        self.when.iter_mut().chain([&mut self.propensity, &mut self.boost]).for_each(|of| by.expression(of));
        if by.lines != 0
            && let Some(learned) = &mut self.learned
        {
            Arc::make_mut(learned).by.iter_mut().for_each(|of| by.expression(of));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "schema: s\nfeatures: {age: {kind: int, min: 0, max: 120}, vip: {kind: bool}}\n\
                          offer_attributes: {risk: {kind: int}}\n";

    fn offer(name: &str, age: usize, more: &str) -> String {
        format!(
            "  {name}:\n    # as agreed\n    placements: [home]\n    when: >-\n      age >= {age}\n      && tag.t\n    attributes: \
             {{value: 2, risk: 1, group: g}}\n    propensity: 0.5 + 0.1\n{more}    caps: [{{max: 1, per: 7d}}]\n    suppress: \
             {{dismiss: 1d}}\n    budgets: [gift]\n    treatments:\n      - {{placement: home, content: {{title: \"ä {age}\"}}}}\n\n"
        )
    }

    fn head() -> String {
        "rule_set: r\ntags: {t: age > 3}\nbudgets: {gift: {max: 9, on: convert}}\nplacements: {home: {channels: [app], count: 1}}\n\
         groups: {g: {max: 1}}\noffers:\n"
            .to_owned()
    }

    fn text(offers: &[String]) -> String {
        head() + &offers.concat() + "guardrails:\n  old: age > 1 || offer.risk == 1\n"
    }

    fn many() -> Vec<String> {
        (0..100).map(|nth| offer(&format!("o{nth:03}"), nth, "")).collect()
    }

    fn parse(text: &str) -> RuleSet {
        let schema = Schema::parse("s", SCHEMA).unwrap();
        RuleSet::parse("r", text, &schema).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Everything of a rule set with its places, but for what is in no order.
    fn told(set: &RuleSet) -> String {
        let tags: Vec<_> = set.tags.iter().map(|tag| (&tag.name, &tag.condition)).collect();
        format!(
            "{:?}\n{tags:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
            set.offers, set.placements, set.groups, set.budgets, set.guardrails, set.accepted
        )
    }

    #[track_caller]
    fn check(before: &str, after: &str, helps: bool) {
        let (schema, earlier) = (Schema::parse("s", SCHEMA).unwrap(), parse(before));
        let source = Arc::new(Source { name: "r".into(), text: after.into() });
        let found = again(&source, &schema, &earlier);
        assert_eq!(found.is_some(), helps, "{after}");
        match (found, RuleSet::parse("r", after, &schema)) {
            (Some(found), whole) => assert_eq!(told(&found), told(&whole.unwrap())),
            (None, whole) => {
                let after = RuleSet::parse_after("r", after, &schema, Some(&earlier));
                assert_eq!(after.map(|set| told(&set)), whole.map(|set| told(&set)));
            }
        }
    }

    #[test]
    fn an_offer_that_changed_is_read_and_all_others_are_taken_over_with_their_new_places() {
        for nth in [0, 1, 2, 50, 97, 98, 99] {
            let change = |with: Vec<String>| {
                let mut offers = many();
                offers.splice(nth..=nth, with);
                check(&text(&many()), &text(&offers), true);
            };
            change(vec![offer(&format!("o{nth:03}"), 77, "")]);
            change(vec![offer(&format!("o{nth:03}"), nth, "    boost: 1 + 1\n    # one\n")]);
            change(vec![offer("other", 5, "")]);
            change(vec![offer("one", 5, ""), offer("two", 6, "    schedule: {until: 2027-01-01}\n")]);
            change(Vec::new());
            let same = text(&many());
            check(&same, &same.replace(&format!("ä {nth}\""), "ü\""), true);
        }
    }

    #[test]
    fn what_stands_around_the_offers_may_change_unless_offers_see_it() {
        let before = text(&many());
        for (from, to, helps) in [
            ("rule_set: r\n", "rule_set: r\ndescription: much\n\n", true),
            ("count: 1", "count: 2", true),
            ("age > 1 ||", "age > 12 ||", true),
            ("{t: age > 3}", "{t: age >  3}", true),
            ("{t: age > 3}", "{t: age > 4}", false),
            ("{t: age > 3}", "{u: vip, t: age > 3}", false),
            ("{gift: {max: 9", "{gift: {max: 10", true),
            ("budgets: {gift", "budgets: {other: {max: 1, on: convert}, gift", false),
        ] {
            check(&before, &before.replacen(from, to, 1), helps);
        }
    }

    #[test]
    fn a_zero_of_another_sign_is_not_what_it_was() {
        let mut offers = many();
        offers[50] = offers[50].replace("&& tag.t", "&& double(age) / 0.0 > 1.0");
        let head = |tag: &str, default: &str| {
            let parameters = format!("parameters: {{p: {{default: {default}}}}}\n");
            head().replace("age > 3", tag) + &parameters
        };
        let texts = [
            ("double(age) / 0.0 > 1.0", "0.0", "0.0", true),
            ("double(age) / -0.0 > 1.0", "0.0", "0.0", false),
            ("double(age) / 0.0 > 1.0", "-0.0", "0.0", false),
            ("double(age) / 0.0 > 1.0", "0.0", "-0.0", true),
        ];
        let written = |tag: &str, default: &str, zero: &str| {
            let offers = offers.concat().replace("/ 0.0", &format!("/ {zero}"));
            head(tag, default).replace("offers:\n", "") + "offers:\n" + &offers
        };
        let (tag, default, zero, _) = texts[0];
        for (tag_after, default_after, zero_after, helps) in texts {
            let after = written(tag_after, default_after, zero_after);
            check(&written(tag, default, zero), &after, helps);
        }
    }

    #[test]
    fn texts_that_only_look_unchanged_are_read_as_a_whole() {
        let (before, offers) = (text(&many()), many());
        for changed in [
            // The following offers become part of a text.
            offers[50].replace("    when: >-\n", "    description: |\n     x\n    when: \"age\n"),
            // A name that comes again.
            offer("o070", 1, ""),
            // Another section begins.
            "guardrails:\n".to_owned(),
            offers[50].replace("  o050:", " o050:"),
            offers[50].replace("age >= 50", "agee >= 50"),
            offers[50].replace("[home]", "[home"),
            "  !tag o050: 1\n".to_owned(),
            "---\n".to_owned(),
        ] {
            let mut offers = many();
            offers[50] = changed;
            check(&before, &text(&offers), false);
        }
        let few = text(&many()[..20]);
        check(&few, &few.replace("age >= 5\n", "age >= 6\n"), false);
    }

    #[test]
    fn one_version_after_the_other_is_taken_over() {
        let mut rng = fastrand::Rng::with_seed(6);
        let schema = Schema::parse("s", SCHEMA).unwrap();
        let (mut offers, mut helped) = (many(), 0);
        let mut earlier = parse(&text(&offers));
        for round in 0..crate::testing::rounds(60, 500) {
            let at = rng.usize(0..offers.len());
            match rng.u32(0..3) {
                0 if offers.len() > 80 => drop(offers.remove(at)),
                1 => offers.insert(at, offer(&format!("n{round}"), rng.usize(0..99), "    # new\n")),
                _ => {
                    offers[at] =
                        offers[at].replacen("value: ", "value: 1", 1).replace("value: 1111", "value: ");
                }
            }
            let text = text(&offers);
            let source = Arc::new(Source { name: "r".into(), text: text.clone() });
            helped += usize::from(again(&source, &schema, &earlier).is_some());
            earlier = RuleSet::parse_after("r", &text, &schema, Some(&earlier)).unwrap();
            assert_eq!(told(&earlier), told(&parse(&text)), "round {round}");
        }
        assert!(helped > 50, "{helped}");
    }
}
