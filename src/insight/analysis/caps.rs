//! Caps of an offer that never come into play, because another cap of the same offer always acts first.

use super::{Analysis, Draft, WarningKind};
use crate::rules::rule_set::{CapRule, CapScope, RuleSet, Window};

impl Analysis<'_> {
    pub(super) fn caps(&mut self) {
        for set in 0..self.sets.len() {
            let rule_set: &RuleSet = self.sets[set];
            for rule in &rule_set.offers {
                let Some(id) = self.engine.catalogue.offer_number(&rule.name.name) else { continue };
                let Some(id) = self.engine.offer_id(id) else { continue };
                let offer = self.engine.offer(id);
                let rules: Vec<&CapRule> = rule.caps.rules().collect();
                for (i, cap) in rules.iter().enumerate() {
                    // Of two caps that say the same, the first one stays.
                    let first = rules.iter().enumerate().find(|(j, other)| {
                        *j != i && other.comes_before(cap) && (*j < i || !cap.comes_before(other))
                    });
                    let Some((_, first)) = first else { continue };
                    let line = first.spot.place.map_or(0, |place| place.line);
                    let detail = format!(
                        "`{}` of offer `{}` never comes into play: `{}` (line {line}) always stops the offer first",
                        cap.text, rule.name.name, first.text
                    );
                    let draft = Draft::of(WarningKind::Cap, offer, detail).hint("leave it out");
                    let part = if cap.max == 0 { "suppress" } else { "caps" };
                    self.warn_at(draft, &["offers", &rule.name.name, part]);
                }
            }
        }
    }
}

impl CapRule {
    /// Whether this cap stops an offer whenever another cap of the same offer does.
    fn comes_before(&self, other: &CapRule) -> bool {
        self.on == other.on
            && self.max.max(1) <= other.max.max(1)
            && self.window.spans(&other.window)
            && self.scope.holds(other.scope)
    }
}

impl Window {
    /// Whether this window contains everything that another one does.
    fn spans(&self, other: &Window) -> bool {
        match (self, other) {
            (Window::Forever, _) => true,
            (Window::Sliding(long), Window::Sliding(short)) => long >= short,
            (Window::Days(long, here), Window::Days(short, there)) => long >= short && here == there,
            _ => false,
        }
    }
}

impl CapScope {
    /// Whether a cap with this scope counts everything that a cap with another scope does, for the same
    /// offer.
    fn holds(self, other: CapScope) -> bool {
        use CapScope::{All, Channel, Group, Offer, Placement, RuleSet};
        self == other
            || match self {
                All => true,
                Group | RuleSet => matches!(other, Offer | Placement | Channel),
                Offer => matches!(other, Placement | Channel),
                Placement | Channel => false,
            }
    }
}
