//! What data teams have defined: the schema, the rule sets with their versions, and which are active. Data only; the
//! [engine](crate::engine) is compiled from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::Problems;
use crate::record::Record;
use crate::schema::Schema;

/// Versions kept of one rule set; when there are more, the oldest that is not active goes.
pub const MAX_VERSIONS: usize = 100;
/// Activations remembered for rolling back.
pub const MAX_EARLIER: usize = 100;

/// Schema and rule sets. Cloning is cheap: texts are shared.
#[derive(Debug, Clone)]
pub struct Definitions {
    /// The schema.
    pub schema: Arc<Schema>,
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
        Definitions { schema: Arc::new(Schema::empty()), rule_sets: BTreeMap::new() }
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
            Record::Schema { text } => {
                let newer = Schema::parse("schema", text)?;
                self.schema = Arc::new(self.schema.grow(&newer)?);
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
            Record::Retire { name } => {
                if let Some(history) = self.rule_sets.get_mut(name.as_str()) {
                    history.earlier.extend(history.active.take());
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
        self.earlier.iter().rev().copied().find(|v| self.versions.contains_key(v) && Some(*v) != self.active)
    }

    fn activate(&mut self, version: u32) {
        if !self.versions.contains_key(&version) || self.active == Some(version) {
            return;
        }
        // Going back takes the step off the way, so that rolling back twice goes back two steps.
        if self.earlier.last() == Some(&version) {
            self.earlier.pop();
        } else {
            self.earlier.extend(self.active);
        }
        self.active = Some(version);
        if self.earlier.len() > MAX_EARLIER {
            self.earlier.remove(0);
        }
    }

    fn forget_oldest(&mut self) {
        while self.versions.len() > MAX_VERSIONS {
            let oldest = self.versions.keys().copied().find(|version| Some(*version) != self.active);
            match oldest {
                Some(version) => self.versions.remove(&version),
                None => return,
            };
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
    fn activation_and_rollback_walk_the_history() {
        let activate = |version| Record::Activate { name: "wealth".into(), version };
        let retire = Record::Retire { name: "wealth".into() };
        assert_eq!(active_after(&[publish(1, true)]), (Some(1), None));
        assert_eq!(active_after(&[publish(1, true), publish(2, false)]), (Some(1), None));
        assert_eq!(active_after(&[publish(1, true), publish(2, true)]), (Some(2), Some(1)));
        let three = [publish(1, true), publish(2, true), publish(3, true)];
        assert_eq!(active_after(&[&three[..], &[activate(2)]].concat()), (Some(2), Some(1)));
        assert_eq!(active_after(&[&three[..], &[activate(2), activate(1)]].concat()), (Some(1), None));
        assert_eq!(active_after(&[&three[..], std::slice::from_ref(&retire)].concat()), (None, Some(3)));
        assert_eq!(active_after(&[&three[..], &[retire, activate(3)]].concat()), (Some(3), Some(2)));
        assert_eq!(active_after(&[publish(1, true), activate(9)]), (Some(1), None));
    }

    #[test]
    fn old_versions_go_but_never_the_active_one() {
        let mut definitions = Definitions::new();
        definitions.apply(&publish(1, true)).unwrap();
        for version in 2..=150 {
            definitions.apply(&publish(version, false)).unwrap();
        }
        let history = definitions.history("wealth").unwrap();
        assert_eq!(history.versions().count(), MAX_VERSIONS);
        assert_eq!((history.active(), definitions.next_version("wealth")), (Some(1), 151));
        assert!(history.text(1).is_some() && history.text(2).is_none());
    }
}
