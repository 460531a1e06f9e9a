//! A rule set: parsed, checked against the schema, immutable.
use crate::problem::Problems;
use crate::schema::Schema;

/// One rule set, checked.
#[derive(Debug)]
pub struct RuleSet {
    /// Its name.
    pub name: Box<str>,
}

impl RuleSet {
    /// Reads a rule set from YAML (or JSON) and checks it against the schema. `file` is what problems call the text.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line and column.
    pub fn parse(_file: &str, _text: &str, _schema: &Schema) -> Result<RuleSet, Problems> {
        todo!()
    }
    /// Whether it defines placements (such rule sets are pushed before those that use them).
    pub fn defines_placements(&self) -> bool {
        todo!()
    }
    /// Whether it carries guardrails (such rule sets are pushed first of all).
    pub fn carries_guardrails(&self) -> bool {
        todo!()
    }
}
