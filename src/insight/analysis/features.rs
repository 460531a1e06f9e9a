//! Features that are read although they are missing for every customer.

use std::collections::{BTreeMap, HashSet};

use super::{Analysis, Draft, WarningKind};
use crate::expression::{Expression, Node};
use crate::schema::FeatureId;

/// Where a feature is first read, and how often in that rule set.
struct FeatureReader<'r> {
    path: Vec<&'r str>,
    count: usize,
}

impl<'a> Analysis<'a> {
    pub(super) fn features(&mut self) {
        let engine = self.engine;
        let mut readers: BTreeMap<(usize, FeatureId), FeatureReader<'a>> = BTreeMap::new();
        for (set, tags) in engine.tags.iter().enumerate() {
            for tag in tags {
                self.read(&tag.condition, set, &["tags", &tag.name], &mut readers);
            }
        }
        for offer in engine.offers() {
            for (expression, part) in [
                (offer.when.as_ref(), "when"),
                (Some(&offer.propensity), "propensity"),
                (Some(&offer.boost), "boost"),
            ] {
                if let Some(expression) = expression {
                    self.read(expression, offer.tags, &["offers", &offer.name, part], &mut readers);
                }
            }
        }
        // A guardrail exists once for each kind of offer. What it reads is counted only in the first of
        // these that reads it.
        let mut known = HashSet::new();
        for guardrail in &engine.guardrails {
            let mut reads = BTreeMap::new();
            let (set, name) = (guardrail.tags, &*guardrail.name);
            self.read(&guardrail.condition, set, &["guardrails", name], &mut reads);
            for ((_, id), reader) in reads {
                if known.insert((set, name, id)) {
                    let count = reader.count;
                    readers.entry((set, id)).and_modify(|first| first.count += count).or_insert(reader);
                }
            }
        }
        for ((set, id), reader) in readers {
            self.unfilled(set, id, &reader);
        }
    }

    fn read(
        &self,
        expression: &'a Expression,
        set: usize,
        path: &[&'a str],
        readers: &mut BTreeMap<(usize, FeatureId), FeatureReader<'a>>,
    ) {
        expression.node.walk(&mut |node| {
            let (Node::Feature(id) | Node::Code(id)) = node else { return };
            if !self.is_filled(*id) {
                let new = || FeatureReader { path: path.to_vec(), count: 0 };
                readers.entry((set, *id)).or_insert_with(new).count += 1;
            }
        });
    }

    /// Whether some customer may have it. Features computed from events count as filled, because events
    /// will come.
    fn is_filled(&self, id: FeatureId) -> bool {
        match (self.engine.schema.feature(id).field, self.known.filled) {
            (Some(field), Some(row)) => field.read(row) != 0,
            _ => true,
        }
    }

    fn unfilled(&mut self, set: usize, id: FeatureId, reader: &FeatureReader<'_>) {
        let name = &self.engine.schema.feature(id).name;
        let more = match reader.count {
            1 => String::new(),
            count => format!(" (read {count} times in this rule set)"),
        };
        let detail = format!("`{name}` is missing for every customer, so it always reads as missing{more}");
        let draft = Draft::new(WarningKind::Feature, set, detail);
        let draft = draft.hint("load it, or say what should hold without it");
        self.warn(draft, &reader.path, |text| text.name(&reader.path, name));
    }
}
