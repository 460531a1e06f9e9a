//! A change to one customer, as data: checked against the schema when it is made, so that applying it cannot fail.

use crate::customer::CustomerId;
use crate::schema::{FeatureId, Schema};

/// What happens to which customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Who.
    pub customer: CustomerId,
    /// What.
    pub change: Change,
}

/// What happens to a customer. Values are codes as the schema packs them; code 0 clears a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These features and no others; an unknown customer is created.
    Replace(Vec<(FeatureId, u64)>),
    /// These features, all others as they are; an unknown customer is created.
    Merge(Vec<(FeatureId, u64)>),
    /// The customer is forgotten.
    Erase,
}

impl Change {
    /// The row after this change: `row` holds what was there before (empty for an unknown customer). `Erase` leaves an
    /// empty row.
    pub fn apply(&self, schema: &Schema, row: &mut smallvec::SmallVec<[u64; 24]>) {
        let fields = match self {
            Change::Erase => return row.clear(),
            Change::Replace(fields) => {
                row.clear();
                fields
            }
            Change::Merge(fields) => fields,
        };
        row.resize(row.len().max(schema.row_words()), 0);
        for (feature, code) in fields {
            if let Some(field) =
                schema.features().get(usize::from(feature.0)).and_then(|feature| feature.field)
            {
                field.write(row, *code);
            }
        }
    }
}
