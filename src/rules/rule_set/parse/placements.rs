//! `placements` and `groups` of a rule set: where offers are shown, and which offers share a limit.

use super::{RuleSetReader, key_reference};
use crate::input::cursor::Object;
use crate::rules::rule_set::caps::CapLevel;
use crate::rules::rule_set::{GroupRule, MAX_COUNT, MAX_DEFINITIONS, PlacementRule, Reference, Spot};
use crate::schema::{ChannelId, check_thing_key, name_of_thing};

impl RuleSetReader<'_> {
    pub(super) fn placements(&mut self, object: &Object<'_, '_>) -> Vec<PlacementRule> {
        let mut placements = Vec::new();
        for (name, cursor) in self.section(object, "placements", MAX_DEFINITIONS) {
            check_thing_key(name, &cursor, &mut self.problems);
            let Some(fields) =
                cursor.object(&["channels", "count", "fallback", "caps", "description"], &mut self.problems)
            else {
                continue;
            };
            fields.refuse_blanks(&mut self.problems);
            let channels = self.channels(&fields);
            let count = fields
                .get("count")
                .and_then(|c| c.integer(1, MAX_COUNT as i64, &mut self.problems))
                .unwrap_or(1);
            let fallback = fields.get("fallback").and_then(|cursor| {
                let name = name_of_thing(cursor, &mut self.problems)?;
                Some(Reference { name: name.into(), spot: Spot::of(cursor) })
            });
            placements.push(PlacementRule {
                name: key_reference(name, &cursor),
                channels,
                count: count as usize,
                fallback,
                caps: self.caps_of(&fields, CapLevel::Placement),
            });
        }
        placements
    }

    fn channels(&mut self, fields: &Object<'_, '_>) -> Vec<ChannelId> {
        let mut channels = Vec::new();
        let Some(cursor) = fields.required("channels", &mut self.problems) else { return channels };
        let items = cursor.items(&mut self.problems);
        if items.as_ref().is_some_and(|items| items.len() == 0) {
            self.problems.push(cursor.problem("a placement without a channel can never be asked for"));
        }
        for item in items.into_iter().flatten() {
            let Some(name) = item.text(&mut self.problems) else { continue };
            match self.schema.find_channel(name) {
                Ok(channel) if channels.contains(&channel) => {
                    self.problems.push(item.problem(format!("channel `{name}` is listed twice")));
                }
                Ok(channel) => channels.push(channel),
                Err(problem) => self.problems.push(item.placed(problem)),
            }
        }
        channels
    }

    pub(super) fn groups(&mut self, object: &Object<'_, '_>) -> Vec<GroupRule> {
        let mut groups = Vec::new();
        for (name, cursor) in self.section(object, "groups", MAX_DEFINITIONS) {
            check_thing_key(name, &cursor, &mut self.problems);
            let Some(fields) = cursor.object(&["max", "caps", "description"], &mut self.problems) else {
                continue;
            };
            fields.refuse_blanks(&mut self.problems);
            let caps = self.caps_of(&fields, CapLevel::Group);
            let max = match fields.get("max") {
                None if fields.get("caps").is_some() => Some(1),
                _ => fields
                    .required("max", &mut self.problems)
                    .copied()
                    .and_then(|max| max.integer(1, MAX_COUNT as i64, &mut self.problems)),
            };
            let Some(max) = max else { continue };
            groups.push(GroupRule { name: key_reference(name, &cursor), max: max as usize, caps });
        }
        groups
    }
}
