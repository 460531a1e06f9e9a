//! `tags` of a rule set: named conditions, which may be built on each other but not in a circle.

use std::collections::BTreeSet;

use super::RuleSetReader;
use super::expressions::too_deep;
use crate::expression::{Expression, MAX_DEPTH, Node, Tag, TagNames};
use crate::input::cursor::Object;
use crate::input::problem::quoted;
use crate::rules::rule_set::MAX_DEFINITIONS;
use crate::schema::value::Value;

impl RuleSetReader<'_> {
    pub(super) fn tags(&mut self, object: &Object<'_, '_>) -> Vec<Tag> {
        let entries = self.section(object, "tags", MAX_DEFINITIONS);
        self.tag_names = TagNames::new(entries.iter().map(|(name, _)| *name));
        let mut tags = Vec::with_capacity(entries.len());
        for (name, cursor) in &entries {
            if !crate::schema::is_name(name, false) {
                self.problems.push(cursor.key_problem(format!("{} is not a name for a tag", quoted(name))));
            }
            let condition =
                self.condition(cursor, None).unwrap_or_else(|| Expression::of_constant(Value::Missing));
            tags.push(Tag { name: (*name).into(), condition });
        }
        self.tag_depths = vec![0; tags.len()];
        let mut walk = TagWalk { tags: &tags, depths: &mut self.tag_depths, way: Vec::new() };
        for (tag, (name, cursor)) in entries.iter().enumerate() {
            if let Err(circle) = walk.depth_of(tag) {
                let way: Vec<&str> = circle.iter().map(|tag| entries[*tag].0).collect();
                let detail = format!("tag `{name}` depends on itself: {} → {}", way.join(" → "), way[0]);
                self.problems.push(cursor.problem(detail));
                break;
            }
        }
        for (tag, (_, cursor)) in entries.iter().enumerate() {
            if self.tag_depths[tag] > MAX_DEPTH {
                self.problems.push(cursor.problem(too_deep("this tag")));
                break; // whatever is built on it is too deep as well
            }
        }
        tags
    }
}

/// Finds how deep tags are nested, visiting each tag once.
struct TagWalk<'t> {
    tags: &'t [Tag],
    /// 0 for tags not visited yet.
    depths: &'t mut [usize],
    /// The tags from the first one asked for down to this one.
    way: Vec<usize>,
}

impl TagWalk<'_> {
    /// How many levels of nodes this tag has, including those of the tags it uses.
    ///
    /// # Errors
    /// The tags of a circle, if there is one.
    fn depth_of(&mut self, tag: usize) -> Result<usize, Vec<usize>> {
        if let Some(start) = self.way.iter().position(|earlier| *earlier == tag) {
            return Err(self.way[start..].to_vec());
        }
        if self.depths[tag] == 0 {
            if self.way.len() > MAX_DEPTH {
                return Ok(self.way.len()); // too deep already, whatever is below
            }
            self.way.push(tag);
            for used in used(&self.tags[tag]) {
                self.depth_of(used)?;
            }
            self.way.pop();
            self.depths[tag] = self.tags[tag].condition.depth(self.depths);
        }
        Ok(self.depths[tag])
    }
}

/// The tags that a tag uses directly, each once.
fn used(tag: &Tag) -> BTreeSet<usize> {
    let mut used = BTreeSet::new();
    tag.condition.node.walk(&mut |node| {
        if let Node::Tag(tag) = node {
            used.insert(*tag);
        }
    });
    used
}
