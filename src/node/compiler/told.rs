//! What the log tells of a change of definitions: a line for each, once it is in force, without any text of
//! it.

use crate::state::definitions::{Definitions, History};
use crate::state::record::Record;

/// A change that the log will tell, noted before its record goes to the writer.
pub(super) enum ToldChange {
    Schema,
    Published { name: String, version: u32, active: bool },
    Activated { name: String, version: u32 },
    RolledBack { name: String },
    Retired { name: String },
}

impl ToldChange {
    /// The changes that these records make.
    pub(super) fn of(records: &[Record]) -> Vec<ToldChange> {
        let change = |record: &Record| match record {
            Record::Schema { .. } => Some(ToldChange::Schema),
            Record::Publish { name, version, activate, .. } => {
                Some(ToldChange::Published { name: name.clone(), version: *version, active: *activate })
            }
            Record::Activate { name, version } => {
                Some(ToldChange::Activated { name: name.clone(), version: *version })
            }
            Record::Rollback { name } => Some(ToldChange::RolledBack { name: name.clone() }),
            Record::Retire { name } => Some(ToldChange::Retired { name: name.clone() }),
            Record::Customers(_) | Record::Idle { .. } | Record::Catalogue(_) | Record::Note { .. } => None,
        };
        records.iter().filter_map(change).collect()
    }

    /// Writes its line. `now` are the definitions with the change, `sequence` is that of its last record.
    pub(super) fn log(&self, now: &Definitions, sequence: u64) {
        match self {
            ToldChange::Schema => {
                let schema = &*now.schema.name;
                let features = now.schema.features().len();
                tracing::info!(schema, features, sequence, "the schema was changed");
            }
            ToldChange::Published { name, version, active } => {
                let note = now.history(name).and_then(|history| history.note(*version));
                let author = note.map(|note| note.author.as_str()).filter(|author| !author.is_empty());
                tracing::info!(rule_set = %name, version, active, sequence, author, "a rule set was published");
            }
            ToldChange::Activated { name, version } => {
                tracing::info!(rule_set = %name, version, sequence, "a version of a rule set was activated");
            }
            ToldChange::RolledBack { name } => {
                let version = now.history(name).and_then(History::active);
                tracing::info!(rule_set = %name, version, sequence, "a rule set was rolled back");
            }
            ToldChange::Retired { name } => {
                tracing::info!(rule_set = %name, sequence, "a rule set was retired");
            }
        }
    }
}
