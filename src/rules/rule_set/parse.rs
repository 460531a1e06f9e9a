//! A rule set's text to [`RuleSet`], with all problems at once.

mod experiments;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::MAX_COUNT;
use super::caps;
use super::caps::{
    BudgetRule, CapRule, Level, MAX_BUDGETS, MAX_BUDGETS_PER_OFFER, MAX_CAPS_PER_OFFER, OfferCaps,
};
use super::{
    Attributes, ExperimentRule, GroupRule, GuardrailRule, LearnedRule, Locale, Localized, MAX_CONTENT_BYTES,
    MAX_DEFINITIONS, MAX_GUARDRAILS, MAX_OFFERS, MAX_SEGMENT_CONDITIONS, MAX_TREATMENT_NAME_BYTES,
    MAX_TREATMENTS, OfferRule, PlacementRule, Reference, RuleSet, Schedule, Spot, TreatmentRule,
};
use crate::expression::experiment::InVariant;
use crate::expression::{Expression, MAX_DEPTH, Node, OfferScope, Parameters, Scope, Syntax, Tag, TagNames};
use crate::input::cursor::{Cursor, Object};
use crate::input::document::{Input, InputValue};
use crate::input::origin::Origin;
use crate::input::problem::{Problems, Source, quoted};
use crate::schema::value::Value;
use crate::schema::{Schema, check_thing_key, name_of_thing};

/// Priority tier of an offer that names none.
const DEFAULT_PRIORITY: u8 = 5;
const MAX_PRIORITY: i64 = 9;
/// Placements of one offer at most.
const MAX_OFFER_PLACEMENTS: usize = 100;

impl RuleSet {
    /// Reads a rule set from YAML (or JSON) and checks it against the schema. `file` is what problems call the text.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line and column.
    ///
    /// ```
    /// use usher::{rule_set::RuleSet, schema::Schema};
    /// let schema = Schema::parse("schema.yaml", "schema: s\nfeatures: {age: {kind: int, min: 0, max: 120}}").unwrap();
    /// let text = "rule_set: r\ntags:\n  young: agee < 30\n";
    /// let problems = RuleSet::parse("r.yaml", text, &schema).unwrap_err();
    /// assert_eq!(
    ///     problems.to_string(),
    ///     "r.yaml:3:10: there is no feature `agee`\n  3 |   young: agee < 30\n    |          ^^^^\n  = did you mean `age`?\n"
    /// );
    /// ```
    pub fn parse(file: &str, text: &str, schema: &Schema) -> Result<RuleSet, Problems> {
        let source = Arc::new(Source { name: file.into(), text: text.into() });
        let input = Input::from_yaml(&source)?;
        let mut reader = Reader {
            schema,
            tag_names: TagNames::default(),
            budgets: Vec::new(),
            tag_depths: Vec::new(),
            experiments: Vec::new(),
            parameters: Parameters::default(),
            problems: Problems::new(),
        };
        let rule_set = reader.rule_set(&Cursor::root(&input, Some(&source)), &source);
        let mut problems = reader.problems;
        problems.sort();
        match rule_set {
            Some(rule_set) => problems.or(rule_set),
            None => Err(problems),
        }
    }
}

/// A content as JSON and as MessagePack.
type Written = (Arc<[u8]>, Arc<[u8]>);

struct Reader<'s> {
    schema: &'s Schema,
    tag_names: TagNames,
    budgets: Vec<BudgetRule>,
    /// How deep each tag is, those it is built on included.
    tag_depths: Vec<usize>,
    experiments: Vec<ExperimentRule>,
    parameters: Parameters,
    problems: Problems,
}

fn key_reference(name: &str, cursor: &Cursor<'_, '_>) -> Reference {
    let problem = cursor.key_problem("");
    Reference { name: name.into(), spot: Spot { place: problem.place, pointer: problem.pointer } }
}

impl Reader<'_> {
    fn rule_set(&mut self, root: &Cursor<'_, '_>, source: &Arc<Source>) -> Option<RuleSet> {
        let known = [
            "rule_set",
            "description",
            "experiments",
            "holdout",
            "parameters",
            "tags",
            "placements",
            "groups",
            "caps",
            "budgets",
            "offers",
            "guardrails",
        ];
        let object = root.object(&known, &mut self.problems)?;
        object.refuse_blanks(&mut self.problems);
        let name = object.required("rule_set", &mut self.problems).copied();
        let name = name.and_then(|cursor| name_of_thing(&cursor, &mut self.problems)).unwrap_or_default();
        let description =
            object.get("description").and_then(|c| c.text(&mut self.problems)).unwrap_or_default();
        self.read_experiments(&object);
        self.parameters = self.read_parameters(&object);
        let tags = self.tags(&object);
        self.budgets = self.budgets(&object);
        Some(RuleSet {
            name: name.into(),
            description: description.into(),
            source: Arc::clone(source),
            tags,
            holdout: self.holdout(&object),
            placements: self.placements(&object),
            groups: self.groups(&object),
            caps: self.caps(&object),
            offers: self.offers(&object),
            guardrails: self.guardrails(&object),
            tag_names: std::mem::take(&mut self.tag_names),
            experiments: std::mem::take(&mut self.experiments),
            parameters: std::mem::take(&mut self.parameters),
            budgets: std::mem::take(&mut self.budgets),
        })
    }

    fn caps(&mut self, object: &Object<'_, '_>) -> Vec<CapRule> {
        let mut rules = Vec::new();
        for (name, cursor) in self.section(object, "caps", MAX_CAPS_PER_OFFER) {
            check_thing_key(name, &cursor, &mut self.problems);
            rules.extend(caps::read_cap(&cursor, Some(name), Level::RuleSet, &mut self.problems));
        }
        rules
    }

    fn budgets(&mut self, object: &Object<'_, '_>) -> Vec<BudgetRule> {
        let mut rules = Vec::new();
        for (name, cursor) in self.section(object, "budgets", MAX_BUDGETS) {
            check_thing_key(name, &cursor, &mut self.problems);
            rules.extend(caps::read_budget(key_reference(name, &cursor), &cursor, &mut self.problems));
        }
        rules
    }

    /// How often an offer is shown. What is a fallback only is always shown, so it may say nothing about that.
    fn offer_caps(&mut self, name: &str, fields: &Object<'_, '_>, grouped: bool) -> OfferCaps {
        let problems = &mut self.problems;
        let listed = fields.get("caps").map(|c| caps::read_caps(c, Level::Offer { grouped }, problems));
        let suppress = fields.get("suppress").map(|c| caps::read_suppress(c, problems));
        let mut found = OfferCaps {
            caps: listed.unwrap_or_default(),
            suppress: suppress.unwrap_or_default(),
            budgets: Vec::new(),
        };
        if let Some(cursor) = fields.get("budgets") {
            found.budgets = self.offer_budgets(cursor);
        }
        let given = ["caps", "suppress", "budgets"].into_iter().find_map(|field| fields.get(field));
        if let (Some(cursor), None) = (given, fields.get("placements")) {
            let detail = format!("offer `{name}` is a fallback only, which is shown whatever caps say");
            let problem = cursor.key_problem(detail);
            self.problems.push(problem.hint("leave it out, or give the offer `placements`"));
        }
        found
    }

    fn offer_budgets(&mut self, cursor: &Cursor<'_, '_>) -> Vec<Reference> {
        let mut found: Vec<Reference> = Vec::new();
        let Some(items) = cursor.items(&mut self.problems) else { return found };
        if items.len() > MAX_BUDGETS_PER_OFFER {
            let detail =
                format!("an offer has at most {MAX_BUDGETS_PER_OFFER} budgets, this one {}", items.len());
            self.problems.push(cursor.problem(detail));
            return found;
        }
        for item in items {
            let Some(name) = name_of_thing(&item, &mut self.problems) else { continue };
            let names = || self.budgets.iter().map(|budget| &*budget.name.name);
            if found.iter().any(|budget| &*budget.name == name) {
                self.problems.push(item.problem(format!("budget `{name}` is listed twice")));
            } else if names().any(|known| known == name) {
                found.push(Reference { name: name.into(), spot: Spot::of(&item) });
            } else {
                let problem = item.problem(format!("this rule set has no budget `{name}`"));
                let problem = problem.nearest(name, names());
                self.problems.push(match problem.hint {
                    Some(_) => problem,
                    None => problem.hint("define it at the top of the rule set under `budgets`"),
                });
            }
        }
        found
    }

    /// The named entries of a section, bounded.
    fn section<'p, 'n>(
        &mut self,
        object: &'p Object<'p, 'n>,
        name: &str,
        most: usize,
    ) -> Vec<(&'n str, Cursor<'p, 'n>)> {
        let Some(cursor) = object.get(name) else { return Vec::new() };
        let entries = cursor.entries(&mut self.problems).unwrap_or_default();
        if entries.len() > most {
            let detail = format!("a rule set has at most {most} {name}, this one {}", entries.len());
            self.problems.push(cursor.problem(detail));
            return Vec::new();
        }
        entries
    }

    fn tags(&mut self, object: &Object<'_, '_>) -> Vec<Tag> {
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
                let detail = format!("tag `{name}` is defined by itself: {} → {}", way.join(" → "), way[0]);
                self.problems.push(cursor.problem(detail));
                break;
            }
        }
        for (tag, (_, cursor)) in entries.iter().enumerate() {
            if self.tag_depths[tag] > MAX_DEPTH {
                self.problems.push(cursor.problem(too_deep("this tag")));
                break; // what is built on it is too deep as well
            }
        }
        tags
    }

    fn placements(&mut self, object: &Object<'_, '_>) -> Vec<PlacementRule> {
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
                caps: self.caps_of(&fields, Level::Placement),
            });
        }
        placements
    }

    fn channels(&mut self, fields: &Object<'_, '_>) -> Vec<crate::schema::ChannelId> {
        let mut channels = Vec::new();
        let Some(cursor) = fields.required("channels", &mut self.problems) else { return channels };
        for item in cursor.items(&mut self.problems).into_iter().flatten() {
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

    fn groups(&mut self, object: &Object<'_, '_>) -> Vec<GroupRule> {
        let mut groups = Vec::new();
        for (name, cursor) in self.section(object, "groups", MAX_DEFINITIONS) {
            check_thing_key(name, &cursor, &mut self.problems);
            let Some(fields) = cursor.object(&["max", "caps", "description"], &mut self.problems) else {
                continue;
            };
            fields.refuse_blanks(&mut self.problems);
            let caps = self.caps_of(&fields, Level::Group);
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

    fn caps_of(&mut self, fields: &Object<'_, '_>, level: Level) -> Vec<CapRule> {
        fields.get("caps").map_or_else(Vec::new, |c| caps::read_caps(c, level, &mut self.problems))
    }

    fn guardrails(&mut self, object: &Object<'_, '_>) -> Vec<GuardrailRule> {
        let mut guardrails = Vec::new();
        for (name, cursor) in self.section(object, "guardrails", MAX_GUARDRAILS) {
            check_thing_key(name, &cursor, &mut self.problems);
            let Some(syntax) = self.syntax(&cursor) else { continue };
            // Checked with the attributes left open; what it comes to for each offer is the engine's business.
            let scope = self.scope(Some(OfferScope { value: &|_| None }));
            let checked = scope.condition(&syntax);
            if self.keep(checked, &cursor).is_some() {
                let reads = syntax.offer_fields();
                guardrails.push(GuardrailRule { name: key_reference(name, &cursor), syntax, reads });
            }
        }
        guardrails
    }

    fn scope<'a>(&'a self, offer: Option<OfferScope<'a>>) -> Scope<'a> {
        Scope { tags: &self.tag_names, offer, parameters: &self.parameters, ..Scope::of(self.schema) }
    }

    fn syntax(&mut self, cursor: &Cursor<'_, '_>) -> Option<Syntax> {
        if self.problems.is_full() {
            return None; // nobody reads more of them, and each costs time
        }
        let text = match &cursor.input.value {
            InputValue::Text(text) => text.as_ref(),
            // `when: true` is a fine condition.
            InputValue::Bool(true) => "true",
            InputValue::Bool(false) => "false",
            _ => cursor.text(&mut self.problems)?,
        };
        match Syntax::parse(text, Origin::of(cursor)) {
            Ok(syntax) => Some(syntax),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    fn condition(&mut self, cursor: &Cursor<'_, '_>, offer: Option<&Attributes>) -> Option<Expression> {
        let syntax = self.syntax(cursor)?;
        let value = |name: &str| offer.map(|offer| offer.value(name));
        let checked = self.scope(offer.map(|_| OfferScope { value: &value })).condition(&syntax);
        self.keep(checked, cursor)
    }

    /// The expression, if it is right and not too deep with the tags it uses.
    fn keep(&mut self, checked: Result<Expression, Problems>, cursor: &Cursor<'_, '_>) -> Option<Expression> {
        match checked {
            Ok(expression) if expression.depth(&self.tag_depths) > MAX_DEPTH => {
                self.problems.push(cursor.problem(too_deep("this expression")));
                None
            }
            Ok(expression) => Some(expression),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    /// A number or an expression for one; constants within `min..=max`.
    fn number(
        &mut self,
        cursor: Option<&Cursor<'_, '_>>,
        offer: &Attributes,
        min: f64,
        max: f64,
    ) -> Expression {
        let one = || Expression::of_constant(Value::Double(1.0));
        let Some(cursor) = cursor else { return one() };
        let expression = match &cursor.input.value {
            InputValue::Text(_) => self.syntax(cursor).and_then(|syntax| {
                let value = |name: &str| Some(offer.value(name));
                let checked = self.scope(Some(OfferScope { value: &value })).number(&syntax);
                self.keep(checked, cursor)
            }),
            _ => cursor.number(&mut self.problems).map(|x| Expression::of_constant(Value::Double(x))),
        };
        let Some(expression) = expression else { return one() };
        if let Some(x) = expression.constant().and_then(Value::number)
            && !(min..=max).contains(&x)
        {
            let range =
                if max.is_finite() { format!("from {min} to {max}") } else { format!("of at least {min}") };
            self.problems.push(cursor.problem(format!("expected a number {range}, found {x}")));
        }
        expression
    }

    fn offers(&mut self, object: &Object<'_, '_>) -> Vec<OfferRule> {
        let entries = self.section(object, "offers", MAX_OFFERS);
        entries.iter().filter_map(|(name, cursor)| self.offer(name, cursor)).collect()
    }

    fn offer(&mut self, name: &str, cursor: &Cursor<'_, '_>) -> Option<OfferRule> {
        check_thing_key(name, cursor, &mut self.problems);
        let known = [
            "placements",
            "attributes",
            "when",
            "variant",
            "schedule",
            "priority",
            "propensity",
            "boost",
            "reason",
            "treatments",
            "caps",
            "suppress",
            "budgets",
            "description",
        ];
        let fields = cursor.object(&known, &mut self.problems)?;
        fields.refuse_blanks(&mut self.problems);
        let attributes = self.attributes(name, &fields);
        let when = fields.get("when").copied().and_then(|cursor| self.condition(&cursor, Some(&attributes)));
        let variant = self.variant_of(&fields);
        let schedule = fields.get("schedule").and_then(|cursor| Schedule::read(cursor, &mut self.problems));
        let placements = self.offer_placements(&fields);
        let treatments = self.treatments(&fields, variant.as_ref());
        for placement in &placements {
            if experiments::leaves_out(&treatments, &placement.name, variant.as_ref()) {
                let some = treatments.iter().any(|treatment| treatment.placement.name == placement.name);
                let whom = if some { " that does for customers in any variant" } else { "" };
                let detail =
                    format!("offer `{name}` has no treatment for placement `{}`{whom}", placement.name);
                let problem = cursor.key_problem(detail);
                self.problems.push(
                    problem.hint(format!(
                        "add one to `treatments`: {{placement: {}, content: …}}",
                        placement.name
                    )),
                );
            }
        }
        let learned = self.learned(&fields, &attributes);
        Some(OfferRule {
            name: key_reference(name, cursor),
            propensity: match learned {
                Some(_) => Expression::of_constant(Value::Missing),
                None => self.number(fields.get("propensity"), &attributes, 0.0, 1.0),
            },
            learned,
            boost: self.number(fields.get("boost"), &attributes, 0.0, f64::INFINITY),
            reason: self.reason(&fields),
            caps: self.offer_caps(name, &fields, attributes.group.is_some()),
            placements,
            attributes,
            when,
            variant,
            schedule,
            treatments,
        })
    }

    fn learned(&mut self, fields: &Object<'_, '_>, attributes: &Attributes) -> Option<Arc<LearnedRule>> {
        let cursor = fields.get("propensity")?;
        if !matches!(cursor.input.value, InputValue::Map(_)) {
            return None;
        }
        let mut rule = LearnedRule::read(cursor, &mut self.problems)?;
        let by = cursor.entry("by");
        let conditions = by.as_ref().and_then(|by| by.items(&mut self.problems)).into_iter().flatten();
        for (nth, condition) in conditions.enumerate() {
            if nth == MAX_SEGMENT_CONDITIONS {
                let most = format!("customers are told apart by {MAX_SEGMENT_CONDITIONS} conditions at most");
                self.problems.push(condition.problem(most));
                break;
            }
            rule.by.extend(self.condition(&condition, Some(attributes)));
        }
        Some(Arc::new(rule))
    }

    fn attributes(&mut self, name: &str, fields: &Object<'_, '_>) -> Attributes {
        let priority = fields.get("priority").and_then(|c| c.integer(1, MAX_PRIORITY, &mut self.problems));
        let priority = priority.map_or(DEFAULT_PRIORITY, |p| p as u8);
        let mut attributes =
            Attributes { id: name.into(), priority, value: 1.0, group: None, own: Vec::new() };
        let Some(cursor) = fields.get("attributes") else { return attributes };
        for (name, cursor) in cursor.entries(&mut self.problems).unwrap_or_default() {
            if cursor.is_null() {
                continue;
            }
            match (name, self.schema.attribute(name)) {
                ("value", _) => match cursor.number(&mut self.problems) {
                    Some(value) if value >= 0.0 => attributes.value = value,
                    Some(value) => {
                        self.problems.push(cursor.problem(format!("a value is at least 0, found {value}")));
                    }
                    None => {}
                },
                ("group", _) => {
                    let group = name_of_thing(&cursor, &mut self.problems);
                    attributes.group =
                        group.map(|name| Reference { name: name.into(), spot: Spot::of(&cursor) });
                }
                (_, Some(declared)) => match declared.kind.read(&cursor.input.value) {
                    Ok(value) => attributes.own.push((name.into(), value.into_owned())),
                    Err(why) => self.problems.push(cursor.problem(format!("attribute `{name}`: {why}"))),
                },
                (_, None) => {
                    let problem = cursor.key_problem(format!("unknown attribute {}", quoted(name)));
                    let names = self.schema.attributes().iter().map(|a| &*a.name).chain(["value", "group"]);
                    let problem = problem.nearest(name, names);
                    self.problems.push(match problem.hint {
                        Some(_) => problem,
                        None => problem.hint("declare it in the schema under `offer_attributes`"),
                    });
                }
            }
        }
        attributes
    }

    fn offer_placements(&mut self, fields: &Object<'_, '_>) -> Vec<Reference> {
        let Some(cursor) = fields.get("placements") else { return Vec::new() };
        let mut placements: Vec<Reference> = Vec::new();
        for item in cursor.items(&mut self.problems).into_iter().flatten() {
            let Some(name) = name_of_thing(&item, &mut self.problems) else { continue };
            if placements.iter().any(|placement| &*placement.name == name) {
                self.problems.push(item.problem(format!("placement `{name}` is listed twice")));
            } else if placements.len() == MAX_OFFER_PLACEMENTS {
                self.problems
                    .push(item.problem(format!("an offer has at most {MAX_OFFER_PLACEMENTS} placements")));
                break;
            } else {
                placements.push(Reference { name: name.into(), spot: Spot::of(&item) });
            }
        }
        placements
    }

    fn reason(&mut self, fields: &Object<'_, '_>) -> Localized<Box<str>> {
        let Some(cursor) = fields.get("reason") else { return Localized::new(Vec::new()) };
        if let InputValue::Text(text) = &cursor.input.value {
            return Localized::new(vec![(None, text.as_ref().into())]);
        }
        let mut reasons = Vec::new();
        for (name, cursor) in cursor.entries(&mut self.problems).unwrap_or_default() {
            let locale = if name == "default" {
                None
            } else {
                match Locale::new(name) {
                    Ok(locale) => Some(locale),
                    Err(why) => {
                        self.problems.push(cursor.key_problem(why));
                        continue;
                    }
                }
            };
            if let Some(text) = cursor.text(&mut self.problems) {
                reasons.push((locale, text.into()));
            }
        }
        Localized::new(reasons)
    }

    fn treatments(&mut self, fields: &Object<'_, '_>, offer: Option<&InVariant>) -> Vec<TreatmentRule> {
        let mut treatments: Vec<TreatmentRule> = Vec::new();
        let Some(cursor) = fields.required("treatments", &mut self.problems) else { return treatments };
        let mut names: HashSet<Box<str>> = HashSet::new();
        for (i, item) in cursor.items(&mut self.problems).into_iter().flatten().enumerate() {
            if i == MAX_TREATMENTS {
                self.problems.push(item.problem(format!("an offer has at most {MAX_TREATMENTS} treatments")));
                break;
            }
            let Some(treatment) = self.treatment(&item, offer) else { continue };
            let same = |other: &TreatmentRule| {
                other.placement.name == treatment.placement.name
                    && (&other.locale, &other.variant) == (&treatment.locale, &treatment.variant)
            };
            if treatments.iter().any(same) {
                let locale = treatment.locale.as_ref().map_or("no locale", |locale| locale.as_str());
                let variant =
                    treatment.variant.map_or(String::new(), |variant| format!(" in `{}`", variant.name()));
                let detail = format!(
                    "a second treatment for placement `{}` and {locale}{variant}",
                    treatment.placement.name
                );
                self.problems.push(item.problem(detail));
            } else if !names.insert(treatment.name.clone()) {
                self.problems
                    .push(item.problem(format!("a second treatment with the id `{}`", treatment.name)));
            } else {
                treatments.push(treatment);
            }
        }
        treatments
    }

    fn treatment(&mut self, cursor: &Cursor<'_, '_>, offer: Option<&InVariant>) -> Option<TreatmentRule> {
        let known = ["placement", "locale", "variant", "id", "content"];
        let fields = cursor.object(&known, &mut self.problems)?;
        fields.refuse_blanks(&mut self.problems);
        let placement = fields.required("placement", &mut self.problems).copied();
        let content = fields.required("content", &mut self.problems).copied();
        let locale = match fields.get("locale") {
            Some(cursor) => {
                let text = cursor.text(&mut self.problems)?;
                Some(Locale::new(text).map_err(|why| self.problems.push(cursor.problem(why))).ok()?)
            }
            None => None,
        };
        let variant = self.treatment_variant(&fields, offer)?;
        let (placement, content) = (placement?, content?);
        let placement_name = name_of_thing(&placement, &mut self.problems)?;
        let name: Box<str> = match fields.get("id") {
            Some(at) => name_of_treatment(at, &mut self.problems)?.into(),
            None => {
                let locale = locale.as_ref().map(Locale::as_str);
                let variant = variant.as_ref().map(InVariant::variant_name);
                let parts: Vec<&str> =
                    [Some(placement_name), locale, variant].into_iter().flatten().collect();
                parts.join(".").into()
            }
        };
        if name.len() > MAX_TREATMENT_NAME_BYTES {
            let detail = format!("the name {} of this treatment is too long", quoted(&name));
            self.problems.push(cursor.problem(detail).hint("give it an `id`"));
            return None;
        }
        let (json, msgpack) = self.content(&content)?;
        let placement = Reference { name: placement_name.into(), spot: Spot::of(&placement) };
        Some(TreatmentRule { name, placement, locale, variant, json, msgpack })
    }

    /// The content, written once in both formats, so that answers only copy it.
    fn content(&mut self, cursor: &Cursor<'_, '_>) -> Option<Written> {
        match (serde_json::to_vec(cursor.input), rmp_serde::to_vec_named(cursor.input)) {
            (Ok(json), Ok(_)) if json.len() > MAX_CONTENT_BYTES => {
                let detail = format!(
                    "a treatment's content has at most {MAX_CONTENT_BYTES} bytes, this one {}",
                    json.len()
                );
                self.problems.push(cursor.problem(detail));
                None
            }
            (Ok(json), Ok(msgpack)) => Some((json.into(), msgpack.into())),
            _ => {
                self.problems.push(cursor.problem("this content cannot be written as JSON"));
                None
            }
        }
    }
}

fn name_of_treatment<'n>(cursor: &Cursor<'_, 'n>, problems: &mut Problems) -> Option<&'n str> {
    let name = cursor.text(problems)?;
    let good = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !good {
        problems.push(
            cursor
                .problem(format!("{} is not a treatment's id: letters, digits, `_`, `-`, `.`", quoted(name))),
        );
    }
    good.then_some(name)
}

fn too_deep(what: &str) -> String {
    format!("{what} and the tags it is built on have more than {MAX_DEPTH} operators inside each other")
}

/// Finds how deep tags stand on each other, each tag once.
struct TagWalk<'t> {
    tags: &'t [Tag],
    /// 0 for those not yet known.
    depths: &'t mut [usize],
    /// The tags from the first one asked for to this one.
    way: Vec<usize>,
}

impl TagWalk<'_> {
    /// How many nodes stand on each other in this tag, those of the tags it uses included.
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

/// Tags used by a tag, directly, each once.
fn used(tag: &Tag) -> BTreeSet<usize> {
    let mut used = BTreeSet::new();
    tag.condition.node.walk(&mut |node| {
        if let Node::Tag(tag) = node {
            used.insert(*tag);
        }
    });
    used
}
