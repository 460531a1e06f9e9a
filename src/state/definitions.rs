//! What data teams have defined: the schema, the rule sets with their versions, and which are active. Data only; the
//! [engine](crate::engine) is compiled from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::Record;
use crate::input::problem::Problems;
use crate::intake::computed::Intake;
use crate::rules::catalogue::{Additions, Catalogue};
use crate::schema::Schema;

/// Versions kept of one rule set; when there are more, the oldest goes that is neither active nor was so before.
pub const MAX_VERSIONS: usize = 100;
/// Bytes of the texts kept of one rule set, if more than three versions are.
pub const MAX_HISTORY_BYTES: usize = 32 * 1024 * 1024;
/// Activations remembered for rolling back.
pub const MAX_EARLIER: usize = 100;

/// Schema and rule sets. Cloning is cheap: texts are shared.
#[derive(Debug, Clone)]
pub struct Definitions {
    /// The schema.
    pub schema: Arc<Schema>,
    /// What its computed features take from events.
    pub intake: Arc<Intake>,
    /// The numbers of names.
    pub catalogue: Arc<Catalogue>,
    rule_sets: BTreeMap<Arc<str>, History>,
}

/// The versions of one rule set.
#[derive(Debug, Clone, Default)]
pub struct History {
    versions: BTreeMap<u32, Arc<str>>,
    active: Option<u32>,
    earlier: Vec<u32>,
    last: u32,
}

impl Definitions {
    /// Nothing defined yet.
    pub fn new() -> Definitions {
        Definitions {
            schema: Arc::new(Schema::empty()),
            intake: Arc::new(Intake::empty()),
            catalogue: Arc::new(Catalogue::new()),
            rule_sets: BTreeMap::new(),
        }
    }

    /// Definitions as they were kept.
    ///
    /// # Errors
    /// A condition of a computed feature does not compile; a schema that was parsed has none such.
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

    /// The versions of this rule set.
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

    /// Takes over what a record defines; records about customers change nothing here.
    ///
    /// # Errors
    /// A schema text that does not parse or would not be growth. Such a record is never made by a server; replaying one
    /// means that the text was altered.
    pub fn apply(&mut self, record: &Record) -> Result<(), Problems> {
        match record {
            Record::Customers(_) => {}
            Record::Catalogue(additions) => {
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
    /// A history as it was kept.
    ///
    /// # Errors
    /// A sentence: there are too many versions, or one is meant that is not among them.
    pub fn restore(
        versions: BTreeMap<u32, Arc<str>>,
        active: Option<u32>,
        earlier: Vec<u32>,
        last: u32,
    ) -> Result<History, String> {
        if versions.len() > MAX_VERSIONS || earlier.len() > MAX_EARLIER {
            return Err(format!("{} versions and {} earlier ones", versions.len(), earlier.len()));
        }
        if let Some(version) = active.iter().chain(&earlier).find(|version| !versions.contains_key(version)) {
            return Err(format!("version {version} is missing"));
        }
        if versions.keys().next_back().is_some_and(|newest| *newest > last) {
            return Err(format!("there is a version after the last, {last}"));
        }
        Ok(History { versions, active, earlier, last })
    }

    /// The version that decides now; `None` for a retired rule set or one that was never activated.
    pub fn active(&self) -> Option<u32> {
        self.active
    }

    /// Versions kept, with their texts.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = (u32, &Arc<str>)> {
        self.versions.iter().map(|(version, text)| (*version, text))
    }

    /// The text of a version.
    pub fn text(&self, version: u32) -> Option<&Arc<str>> {
        self.versions.get(&version)
    }

    /// The version that was active before, if it is still kept.
    pub fn previous(&self) -> Option<u32> {
        self.earlier.last().copied()
    }

    /// The versions that were active before, the last one last: the way that rolling back goes.
    pub fn earlier(&self) -> &[u32] {
        &self.earlier
    }

    /// The greatest number that a version ever had.
    pub fn last(&self) -> u32 {
        self.last
    }

    fn activate(&mut self, version: u32) {
        if self.versions.contains_key(&version) && self.active != Some(version) {
            let before = self.active.replace(version);
            self.left(before);
            // After retiring, the version itself may be the last step of the way.
            self.earlier.pop_if(|last| *last == version);
        }
    }

    /// Goes one step back: the step is taken off the way, so that rolling back twice goes back two steps.
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

    /// Keeps to the bounds. What is active, and what a rollback goes back to, stays in any case.
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
            // What stood between two stays at one version is gone: going back must not stay where it is.
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
        // Until 1 and 3 are forgotten: what is left of the way is 2 alone, once.
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
