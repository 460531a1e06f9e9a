//! What data teams have defined: the schema, the rule sets with their versions, and which of them are
//! active. This is data only; the [engine](crate::engine) is compiled from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{Note, Record};
use crate::input::problem::Problems;
use crate::intake::computed::Intake;
use crate::rules::catalogue::{Additions, Catalogue, Returned};
use crate::schema::Schema;

/// The most versions kept of one rule set. Beyond that, the oldest version is dropped that is not active, not
/// the one a rollback goes to, and not the last.
pub const MAX_VERSIONS: usize = 100;
/// The most bytes of text kept of one rule set, if more than three versions are kept.
pub const MAX_HISTORY_BYTES: usize = 32 * 1024 * 1024;
/// The most activations remembered for rolling back.
pub const MAX_EARLIER: usize = 100;

/// Schema and rule sets. Cloning is cheap: texts are shared.
#[derive(Debug, Clone)]
pub struct Definitions {
    /// What can be known about a customer.
    pub schema: Arc<Schema>,
    /// What its computed features take from events.
    pub intake: Arc<Intake>,
    /// Which numbers offers, places and other names have.
    pub catalogue: Arc<Catalogue>,
    pub(super) rule_sets: BTreeMap<Arc<str>, History>,
}

/// The versions of one rule set.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub(super) versions: BTreeMap<u32, Arc<str>>,
    pub(super) active: Option<u32>,
    pub(super) earlier: Vec<u32>,
    pub(super) last: u32,
    /// Who published which of the versions, where somebody said so.
    pub(super) notes: BTreeMap<u32, Note>,
}

impl Definitions {
    /// An empty schema, and no rule sets.
    pub fn new() -> Definitions {
        Definitions {
            schema: Arc::new(Schema::empty()),
            intake: Arc::new(Intake::empty()),
            catalogue: Arc::new(Catalogue::new()),
            rule_sets: BTreeMap::new(),
        }
    }

    /// Definitions as a snapshot kept them.
    ///
    /// # Errors
    /// A condition of a computed feature does not compile. A schema that was parsed has no such
    /// condition.
    pub fn restore(
        schema: Schema,
        catalogue: Catalogue,
        rule_sets: impl IntoIterator<Item = (Arc<str>, History)>,
    ) -> Result<Definitions, Problems> {
        let schema = Arc::new(schema);
        Ok(Definitions {
            intake: Arc::new(Intake::compile(&schema)?),
            schema,
            catalogue: Arc::new(catalogue),
            rule_sets: rule_sets.into_iter().collect(),
        })
    }

    /// The rule sets by name, retired ones included.
    pub fn rule_sets(&self) -> impl Iterator<Item = (&Arc<str>, &History)> {
        self.rule_sets.iter()
    }

    /// The versions of this rule set; `None` if it was never published.
    pub fn history(&self, name: &str) -> Option<&History> {
        self.rule_sets.get(name)
    }

    /// The active versions: name, version, text.
    pub fn active(&self) -> impl Iterator<Item = (&Arc<str>, u32, &Arc<str>)> {
        self.rule_sets.iter().filter_map(|(name, history)| {
            let version = history.active?;
            Some((name, version, history.versions.get(&version)?))
        })
    }

    /// The number that the next version of this rule set gets.
    pub fn next_version(&self, name: &str) -> u32 {
        self.history(name).map_or(1, |history| history.last + 1)
    }

    /// Takes over what a record defines. Records about customers change nothing here.
    ///
    /// # Errors
    /// The schema's text does not parse, or would not be growth. A server never makes such a record; in
    /// a replay it means that the text was altered.
    pub fn apply(&mut self, record: &Record) -> Result<(), Problems> {
        match record {
            Record::Customers(_) | Record::Idle { .. } => {}
            Record::Catalogue(additions) => {
                // The history of a rule set goes with its number.
                for (kind, number) in &additions.returns.freed {
                    if *kind == Returned::RuleSet
                        && let Some(name) = self.catalogue.rule_sets.name(*number as u16)
                    {
                        self.rule_sets.remove(name);
                    }
                }
                if **additions != Additions::default() {
                    Arc::make_mut(&mut self.catalogue).extend(additions);
                }
            }
            Record::Schema { text } => {
                let newer = Schema::parse("schema", text)?;
                let schema = Arc::new(self.schema.grow(&newer)?);
                self.intake = Arc::new(Intake::compile(&schema)?);
                self.schema = schema;
            }
            Record::Publish { name, version, text, activate } => {
                let history = self.rule_sets.entry(name.as_str().into()).or_default();
                history.versions.insert(*version, text.as_str().into());
                history.last = history.last.max(*version);
                if *activate {
                    history.activate(*version);
                }
                history.forget_oldest();
            }
            Record::Note { name, version, note } => {
                if let Some(history) = self.rule_sets.get_mut(name.as_str())
                    && history.versions.contains_key(version)
                {
                    history.notes.insert(*version, note.clone());
                }
            }
            Record::Activate { name, version } => {
                if let Some(history) = self.rule_sets.get_mut(name.as_str()) {
                    history.activate(*version);
                }
            }
            Record::Rollback { name } => {
                if let Some(history) = self.rule_sets.get_mut(name.as_str()) {
                    history.roll_back();
                }
            }
            Record::Retire { name } => {
                if let Some(history) = self.rule_sets.get_mut(name.as_str()) {
                    let active = history.active.take();
                    history.left(active);
                }
            }
        }
        Ok(())
    }
}

impl Default for Definitions {
    fn default() -> Self {
        Definitions::new()
    }
}

impl History {
    /// A history as a snapshot kept it.
    ///
    /// # Errors
    /// A sentence: there are too many versions, or one is referred to that is not among them.
    pub fn restore(
        versions: BTreeMap<u32, Arc<str>>,
        active: Option<u32>,
        earlier: Vec<u32>,
        last: u32,
        notes: BTreeMap<u32, Note>,
    ) -> Result<History, String> {
        if versions.len() > MAX_VERSIONS || earlier.len() > MAX_EARLIER {
            return Err(format!("{} versions and {} earlier ones", versions.len(), earlier.len()));
        }
        if let Some(version) =
            active.iter().chain(&earlier).chain(notes.keys()).find(|version| !versions.contains_key(version))
        {
            return Err(format!("version {version} is missing"));
        }
        if versions.keys().next_back().is_some_and(|newest| *newest > last) {
            return Err(format!("there is a version after the last, {last}"));
        }
        Ok(History { versions, active, earlier, last, notes })
    }

    /// The version that decides now; `None` for a retired rule set or one that was never activated.
    pub fn active(&self) -> Option<u32> {
        self.active
    }

    /// The versions that are kept, with their texts, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = (u32, &Arc<str>)> {
        self.versions.iter().map(|(version, text)| (*version, text))
    }

    /// The text of this version, if it is kept.
    pub fn text(&self, version: u32) -> Option<&Arc<str>> {
        self.versions.get(&version)
    }

    /// Who published this version, when and why, if somebody said so.
    pub fn note(&self, version: u32) -> Option<&Note> {
        self.notes.get(&version)
    }

    /// All notes with the versions that they are about.
    pub fn notes(&self) -> impl ExactSizeIterator<Item = (u32, &Note)> {
        self.notes.iter().map(|(version, note)| (*version, note))
    }

    /// The version that a rollback goes to: the one that was active before.
    pub fn previous(&self) -> Option<u32> {
        self.earlier.last().copied()
    }

    /// The versions that were active before, the latest last. Rolling back goes this way.
    pub fn earlier(&self) -> &[u32] {
        &self.earlier
    }

    /// The greatest number that a version of this rule set ever had; 0 before the first.
    pub fn last(&self) -> u32 {
        self.last
    }

    fn activate(&mut self, version: u32) {
        if self.versions.contains_key(&version) && self.active != Some(version) {
            let before = self.active.replace(version);
            self.left(before);
            // After a rule set was retired, its own version may be the last step of the way back.
            self.earlier.pop_if(|last| *last == version);
        }
    }

    /// Goes one step back. The step is taken off the way, so rolling back twice goes back two steps.
    fn roll_back(&mut self) {
        if let Some(version) = self.earlier.pop() {
            self.active = Some(version);
        }
    }

    /// Notes that a version was active until now.
    fn left(&mut self, version: Option<u32>) {
        self.earlier.extend(version);
        if self.earlier.len() > MAX_EARLIER {
            self.earlier.remove(0);
        }
    }

    /// Forgets the oldest versions until the bounds hold. The active version, the one a rollback goes
    /// to, and the last always stay.
    fn forget_oldest(&mut self) {
        let mut bytes: usize = self.versions.values().map(|text| text.len()).sum();
        while self.versions.len() > MAX_VERSIONS || bytes > MAX_HISTORY_BYTES {
            let kept = [self.active, self.previous(), Some(self.last)];
            let Some(oldest) = self.versions.keys().copied().find(|version| !kept.contains(&Some(*version)))
            else {
                return;
            };
            bytes -= self.versions.remove(&oldest).map_or(0, |text| text.len());
            self.earlier.retain(|version| *version != oldest);
            self.notes.remove(&oldest);
            // The step between two stays at one version is gone. A rollback must not go from a version
            // to itself.
            self.earlier.dedup();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(version: u32, activate: bool) -> Record {
        Record::Publish { name: "wealth".into(), version, text: format!("v{version}"), activate }
    }

    fn active_after(records: &[Record]) -> (Option<u32>, Option<u32>) {
        let mut definitions = Definitions::new();
        for record in records {
            definitions.apply(record).unwrap();
        }
        let history = definitions.history("wealth").unwrap();
        (history.active(), history.previous())
    }

    #[test]
    fn activation_goes_on_and_rollback_goes_back() {
        let activate = |version| Record::Activate { name: "wealth".into(), version };
        let back = || Record::Rollback { name: "wealth".into() };
        let retire = || Record::Retire { name: "wealth".into() };
        let three = || vec![publish(1, true), publish(2, true), publish(3, true)];
        let then = |more: &[Record]| [&three()[..], more].concat();
        for (records, active, previous) in [
            (vec![publish(1, true)], Some(1), None),
            (vec![publish(1, true), publish(2, false)], Some(1), None),
            (vec![publish(1, true), publish(2, true)], Some(2), Some(1)),
            (then(&[activate(2)]), Some(2), Some(3)),
            (then(&[activate(2), back()]), Some(3), Some(2)),
            (then(&[back(), back()]), Some(1), None),
            (then(&[back(), back(), back()]), Some(1), None),
            (then(&[back(), publish(4, true), back()]), Some(2), Some(1)),
            (then(&[retire()]), None, Some(3)),
            (then(&[retire(), back()]), Some(3), Some(2)),
            (then(&[retire(), activate(3)]), Some(3), Some(2)),
            (vec![publish(1, true), activate(9)], Some(1), None),
        ] {
            assert_eq!(active_after(&records), (active, previous), "{records:?}");
        }
    }

    #[test]
    fn a_note_stays_as_long_as_its_version() {
        let note = |version, author: &str| {
            let note = Note { at: 7, author: author.into(), message: "why".into() };
            Record::Note { name: "wealth".into(), version, note }
        };
        let mut definitions = Definitions::new();
        let first = [
            publish(1, true),
            note(1, "An"),
            publish(2, true),
            note(9, "Bo"),
            publish(3, false),
            note(3, "Bo"),
        ];
        for record in first.into_iter().chain((4..=150).map(|version| publish(version, false))) {
            definitions.apply(&record).unwrap();
        }
        let history = definitions.history("wealth").unwrap();
        let authors: Vec<_> = history.notes().map(|(version, note)| (version, &*note.author)).collect();
        assert_eq!(authors, [(1, "An")], "version 9 never was, and version 3 is forgotten");
    }

    #[test]
    fn old_versions_go_but_never_the_active_one_nor_the_one_before() {
        let mut definitions = Definitions::new();
        for (version, activate) in [(1, true), (2, true)].into_iter().chain((3..=150).map(|v| (v, false))) {
            definitions.apply(&publish(version, activate)).unwrap();
        }
        let history = definitions.history("wealth").unwrap();
        assert_eq!(history.versions().count(), MAX_VERSIONS);
        assert_eq!(
            (history.active(), history.previous(), definitions.next_version("wealth")),
            (Some(2), Some(1), 151)
        );
        assert!(history.text(1).is_some() && history.text(2).is_some() && history.text(3).is_none());
        assert!(history.text(150).is_some());
    }

    #[test]
    fn going_back_always_goes_somewhere_whatever_was_forgotten_between() {
        let mut definitions = Definitions::new();
        let back_to_2 = Record::Activate { name: "wealth".into(), version: 2 };
        let mut records =
            vec![publish(1, true), publish(2, true), publish(3, true), back_to_2, publish(4, true)];
        // Until 1 and 3 are forgotten: version 2 alone is left of the way back, once.
        records.extend((5..=104).map(|version| publish(version, false)));
        records.push(Record::Rollback { name: "wealth".into() });
        for record in &records {
            definitions.apply(record).unwrap();
        }
        let history = definitions.history("wealth").unwrap();
        assert_eq!((history.active(), history.previous()), (Some(2), None));
    }

    #[test]
    fn long_texts_are_kept_in_smaller_number() {
        let mut definitions = Definitions::new();
        for version in 1..=20 {
            let text = "x".repeat(MAX_HISTORY_BYTES / 8);
            definitions
                .apply(&Record::Publish { name: "wealth".into(), version, text, activate: true })
                .unwrap();
        }
        assert_eq!(definitions.history("wealth").unwrap().versions().count(), 8);
    }
}
