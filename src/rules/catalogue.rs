//! The catalogue: numbers for the names that outcomes refer to, the same on every node.
//!
//! Contacts, tokens and tallies hold these numbers instead of names. So they are small, and they outlive
//! the versions of rule sets. Numbers are [given back](Returns) when nothing can name them any more; a new
//! name takes the lowest that is free.

mod known;
mod names;
mod returns;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use self::names::Names;
pub use self::returns::{Gone, MAX_RETURNS, Returned, Returns, Taken, TreatmentNumber};
use super::rule_set::RuleSet;
use crate::customer::contact::{MAX_OFFER_NUMBERS, MAX_PLACE_NUMBERS};
use crate::customer::numbers::{OfferNumber, PlaceNumber};
use crate::customer::outcome::OutcomeKind;
use crate::expression::experiment::Holdout;
use crate::input::problem::Problems;
use crate::schema::Schema;

/// The most treatments one offer may have, over all its versions.
pub const MAX_TREATMENT_NUMBERS: usize = 4_096;
/// The most rule sets, groups, placements, channels and arms (of each kind) over all versions.
pub const MAX_NAME_NUMBERS: usize = 1 << 14;
/// The most arms over all versions.
pub const MAX_ARM_NUMBERS: usize = 65_534;
/// The most bytes of names in one [`Additions`]. A single offer's names may go beyond it.
pub const MAX_ADDITION_BYTES: usize = 1 << 20;

/// The rule set of offers whose rule set was given back. No rule set has this number.
pub const NO_RULE_SET: u16 = u16::MAX;

/// An offer as it was last published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferEntry {
    /// The name that rule sets give the offer.
    pub name: Box<str>,
    /// The number of the rule set that has it.
    pub rule_set: u16,
    /// The number of its group, if it has one.
    pub group: Option<u16>,
    /// The names of its treatments, including those that are gone; a treatment's number is its place here. A
    /// number that is free has an empty name.
    pub treatments: Vec<Box<str>>,
}

impl OfferEntry {
    /// The treatments that have numbers.
    fn numbered(&self) -> impl Iterator<Item = (u16, &str)> {
        (0..).zip(self.treatments.iter().map(|name| &**name)).filter(|(_, name)| !name.is_empty())
    }

    fn is_free(&self) -> bool {
        self.name.is_empty()
    }
}

/// Where something can be shown: the numbers of a placement and a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlaceEntry {
    /// The placement's number, as in [`Catalogue::placements`].
    pub placement: u16,
    /// The channel's number, as in [`Catalogue::channels`].
    pub channel: u16,
}

impl PlaceEntry {
    /// No channel has this number.
    const NO_CHANNEL: u16 = u16::MAX;

    /// What stands where a number is free. It differs from number to number, as places do.
    fn free(PlaceNumber(placement): PlaceNumber) -> PlaceEntry {
        PlaceEntry { placement, channel: PlaceEntry::NO_CHANNEL }
    }

    fn is_free(self) -> bool {
        self.channel == PlaceEntry::NO_CHANNEL
    }
}

/// The numbers of all names that were ever published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue {
    /// Names of all rule sets.
    pub rule_sets: Names,
    /// Names of all groups of offers.
    pub groups: Names,
    /// Names of all placements ever published.
    pub placements: Names,
    /// Names of all channels that placements use.
    pub channels: Names,
    /// Arms of all experiments, named `experiment.variant`.
    pub arms: Names,
    offers: Vec<OfferEntry>,
    offer_numbers: HashMap<Box<str>, OfferNumber, foldhash::fast::FixedState>,
    free_offers: BTreeSet<OfferNumber>,
    places: Vec<PlaceEntry>,
    place_numbers: HashMap<PlaceEntry, PlaceNumber>,
    free_places: BTreeSet<PlaceNumber>,
    /// When names left the active rule sets.
    left: BTreeMap<(Returned, u32), u32>,
    keep_s: [u32; OutcomeKind::COUNT],
}

/// What is added to a catalogue. A new name gets the lowest number that is free, or else the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Additions {
    /// What becomes of numbers that are not in use. It comes before everything else.
    pub returns: Returns,
    /// New names, in the order of [`Catalogue::names`].
    pub names: [Vec<Box<str>>; 5],
    /// New pairs of placement and channel.
    pub places: Vec<PlaceEntry>,
    /// Offers that are new or changed, each with its number.
    pub offers: Vec<(OfferNumber, OfferEntry)>,
    /// How long contacts are kept from now on, as in [`Catalogue::keep_s`]; `None` if that does not change.
    pub keep_s: Option<[u32; OutcomeKind::COUNT]>,
}

impl Catalogue {
    /// A catalogue in which nothing has a number yet.
    pub fn new() -> Catalogue {
        Catalogue::default()
    }

    /// The number of an offer, by its name.
    pub fn offer_number(&self, name: &str) -> Option<OfferNumber> {
        self.offer_numbers.get(name).copied()
    }

    /// The offer with a number, as it was last published.
    pub fn offer(&self, number: OfferNumber) -> Option<&OfferEntry> {
        self.offers.get(number.0 as usize).filter(|offer| !offer.is_free())
    }

    /// All offers; an offer's place in the list is its number. Where a number is free, the name is empty.
    pub fn offers(&self) -> &[OfferEntry] {
        &self.offers
    }

    /// The number of a placement together with a channel, both by name.
    pub fn place_number(&self, placement: &str, channel: &str) -> Option<PlaceNumber> {
        let place = PlaceEntry {
            placement: self.placements.number(placement)?,
            channel: self.channels.number(channel)?,
        };
        self.place_numbers.get(&place).copied()
    }

    /// The placement and channel with a number.
    pub fn place(&self, number: PlaceNumber) -> Option<PlaceEntry> {
        self.places.get(usize::from(number.0)).copied().filter(|place| !place.is_free())
    }

    /// All places; a place's number is its index. Where a number is free, the channel has a number that is
    /// none.
    pub fn places(&self) -> &[PlaceEntry] {
        &self.places
    }

    /// How long a contact is kept at least, in seconds, for each [outcome](OutcomeKind::index): the longest
    /// window of the caps and suppressions in force. `u32::MAX` means for ever.
    pub fn keep_s(&self) -> [u32; OutcomeKind::COUNT] {
        self.keep_s
    }

    /// What must be added so that all names of these rule sets have numbers and contacts are kept for
    /// `keep_s`.
    ///
    /// # Errors
    /// There would be more names than a bound of this module allows.
    pub fn missing(
        &self,
        schema: &Schema,
        rule_sets: &[(Arc<RuleSet>, u32)],
        keep_s: [u32; OutcomeKind::COUNT],
    ) -> Result<Vec<Additions>, Problems> {
        if keep_s == self.keep_s && rule_sets.iter().all(|(set, _)| self.has_all(schema, set)) {
            return Ok(Vec::new());
        }
        let mut next = self.clone();
        for (set, _) in rule_sets {
            next.take_in(schema, set);
        }
        next.keep_s = keep_s;
        next.check()?;
        Ok(next.since(self))
    }

    /// This catalogue with the additions made to it.
    #[must_use]
    pub fn with(&self, additions: &[Additions]) -> Catalogue {
        let mut next = self.clone();
        additions.iter().for_each(|additions| next.extend(additions));
        next
    }

    /// When this name left the active rule sets; `None` if it has not, or nobody noticed.
    pub fn left_at(&self, kind: Returned, number: u32) -> Option<u32> {
        self.left.get(&(kind, number)).copied()
    }

    /// The numbers of a kind that are taken, rising.
    pub fn numbers(&self, kind: Returned) -> Vec<u32> {
        let names = |names: &Names| names.iter().map(|(number, _)| number.into()).collect();
        let offers = || (0..).map(OfferNumber).zip(&self.offers).filter(|(_, offer)| !offer.is_free());
        match kind {
            Returned::RuleSet => names(&self.rule_sets),
            Returned::Group => names(&self.groups),
            Returned::Arm => names(&self.arms),
            Returned::Placement => names(&self.placements),
            Returned::Channel => names(&self.channels),
            Returned::Place => {
                let places = (0..).zip(&self.places).filter(|(_, place)| !place.is_free());
                places.map(|(number, _)| number).collect()
            }
            Returned::Offer => offers().map(|(number, _)| number.0).collect(),
            Returned::Treatment => {
                let of_one = |(offer, entry): (OfferNumber, &OfferEntry)| {
                    let number = |(treatment, _)| TreatmentNumber { offer, treatment }.packed();
                    entry.numbered().map(number).collect::<Vec<u32>>()
                };
                offers().flat_map(of_one).collect()
            }
        }
    }

    /// How many numbers of a kind are taken, and how many there are.
    pub fn taken(&self, kind: Returned) -> Taken {
        let names = |of, names: &Names, most| Taken { of, taken: names.len(), most };
        match kind {
            Returned::RuleSet => names("rule sets", &self.rule_sets, MAX_NAME_NUMBERS),
            Returned::Group => names("groups", &self.groups, MAX_NAME_NUMBERS),
            Returned::Arm => names("variants of experiments", &self.arms, MAX_ARM_NUMBERS),
            Returned::Placement => names("placements", &self.placements, MAX_NAME_NUMBERS),
            Returned::Channel => names("channels", &self.channels, MAX_NAME_NUMBERS),
            Returned::Place => {
                let taken = self.place_numbers.len();
                Taken { of: "pairs of placement and channel", taken, most: MAX_PLACE_NUMBERS }
            }
            Returned::Offer => {
                Taken { of: "offers", taken: self.offer_numbers.len(), most: MAX_OFFER_NUMBERS }
            }
            Returned::Treatment => {
                let taken = self.offers.iter().map(|offer| offer.numbered().count()).max().unwrap_or(0);
                Taken { of: "treatments of one offer", taken, most: MAX_TREATMENT_NUMBERS }
            }
        }
    }

    fn take_back(&mut self, Returns { freed, left, back }: &Returns) {
        for (kind, number) in freed {
            self.left.remove(&(*kind, *number));
            self.free(*kind, *number);
        }
        self.left.extend(left.iter().map(|(kind, number, at)| ((*kind, *number), *at)));
        for name in back {
            self.left.remove(name);
        }
    }

    fn free(&mut self, kind: Returned, number: u32) {
        let name = number as u16; // of the kinds that have so many
        match kind {
            Returned::RuleSet => {
                self.rule_sets.free(name);
                let of_it = self.offers.iter_mut().filter(|offer| offer.rule_set == name);
                of_it.for_each(|offer| offer.rule_set = NO_RULE_SET);
            }
            Returned::Group => {
                self.groups.free(name);
                let in_it = self.offers.iter_mut().filter(|offer| offer.group == Some(name));
                in_it.for_each(|offer| offer.group = None);
            }
            Returned::Arm => self.arms.free(name),
            Returned::Placement => self.placements.free(name),
            Returned::Channel => self.channels.free(name),
            Returned::Place => self.free_place(PlaceNumber(name)),
            Returned::Offer => self.free_offer(OfferNumber(number)),
            Returned::Treatment => {
                let TreatmentNumber { offer, treatment } = TreatmentNumber::unpacked(number);
                let entry = self.offers.get_mut(offer.0 as usize);
                let treatment = entry.and_then(|entry| entry.treatments.get_mut(usize::from(treatment)));
                treatment.into_iter().for_each(|name| *name = Box::default());
            }
        }
    }

    fn free_place(&mut self, number: PlaceNumber) {
        if let Some(place) = self.places.get_mut(usize::from(number.0)) {
            self.place_numbers.remove(place);
            *place = PlaceEntry::free(number);
            self.free_places.insert(number);
        }
    }

    /// What was noticed of the offer's treatments goes with it.
    fn free_offer(&mut self, number: OfferNumber) {
        if let Some(offer) = self.offers.get_mut(number.0 as usize) {
            self.offer_numbers.remove(&offer.name);
            *offer = OfferEntry::default();
            self.free_offers.insert(number);
            let last =
                TreatmentNumber { offer: number, treatment: MAX_TREATMENT_NUMBERS as u16 - 1 }.packed();
            let first = TreatmentNumber { offer: number, treatment: 0 }.packed();
            let treatments = (Returned::Treatment, first)..=(Returned::Treatment, last);
            let noticed: Vec<_> = self.left.range(treatments).map(|(key, _)| *key).collect();
            for key in noticed {
                self.left.remove(&key);
            }
        }
    }

    /// Makes the additions to this catalogue.
    pub fn extend(&mut self, additions: &Additions) {
        self.take_back(&additions.returns);
        let Catalogue { rule_sets, groups, placements, channels, arms, .. } = self;
        for (names, added) in
            [rule_sets, groups, placements, channels, arms].into_iter().zip(&additions.names)
        {
            for name in added {
                names.add(name);
            }
        }
        for place in &additions.places {
            self.add_place(*place);
        }
        for (number, entry) in &additions.offers {
            self.put_offer(*number, entry.clone());
        }
        if let Some(keep_s) = additions.keep_s {
            self.keep_s = keep_s;
        }
    }

    /// The whole catalogue as additions to an empty one, in pieces of bounded size. What is free is freed
    /// last.
    pub fn whole(&self) -> Vec<Additions> {
        let mut all = self.since(&Catalogue::new());
        let mut freed: Vec<(Returned, u32)> = Vec::new();
        for (kind, of) in [
            (Returned::RuleSet, &self.rule_sets),
            (Returned::Group, &self.groups),
            (Returned::Arm, &self.arms),
            (Returned::Placement, &self.placements),
            (Returned::Channel, &self.channels),
        ] {
            freed.extend(of.free.iter().map(|number| (kind, (*number).into())));
        }
        // Free offers and treatments were put where they are, by their numbers.
        freed.extend(self.free_places.iter().map(|number| (Returned::Place, number.0.into())));
        let left = self.left.iter().map(|((kind, number), at)| (*kind, *number, *at)).collect();
        let returns = Returns { freed, left, back: Vec::new() };
        all.extend(returns.pieces().into_iter().map(|returns| Additions { returns, ..Additions::default() }));
        all
    }

    fn names(&self) -> [&Names; 5] {
        [&self.rule_sets, &self.groups, &self.placements, &self.channels, &self.arms]
    }

    fn check(&self) -> Result<(), Problems> {
        let too_many = |count: usize, most: usize, what: &str| {
            (count > most).then(|| format!("these rule sets would bring the {what} that have numbers to {count}, more than the {most} that outcomes can tell apart"))
        };
        let treatments = self.offers.iter().map(|offer| offer.treatments.len()).max().unwrap_or(0);
        let [rule_sets, groups, placements, channels, arms] = self.names().map(|names| names.names.len());
        let found = [
            too_many(self.offers.len(), MAX_OFFER_NUMBERS, "offers"),
            too_many(self.places.len(), MAX_PLACE_NUMBERS, "pairs of placement and channel"),
            too_many(treatments, MAX_TREATMENT_NUMBERS, "treatments of one offer"),
            too_many(rule_sets, MAX_NAME_NUMBERS, "rule sets"),
            too_many(groups, MAX_NAME_NUMBERS, "groups"),
            too_many(placements, MAX_NAME_NUMBERS, "placements"),
            too_many(channels, MAX_NAME_NUMBERS, "channels"),
            too_many(arms, MAX_ARM_NUMBERS, "variants of experiments"),
        ];
        match found.into_iter().flatten().next() {
            Some(detail) => Err(Problems::one(detail)),
            None => Ok(()),
        }
    }

    fn take_in(&mut self, schema: &Schema, set: &RuleSet) {
        let rule_set = self.rule_sets.add(&set.name);
        for rule in &set.placements {
            let placement = self.placements.add(&rule.name.name);
            for channel in &rule.channels {
                let word = schema.channels().word(u32::from(channel.0)).unwrap_or_default();
                let channel = self.channels.add(word);
                self.add_place(PlaceEntry { placement, channel });
            }
        }
        for rule in &set.experiments {
            for variant in 0..rule.experiment.variants.len() {
                self.arms.add(&rule.experiment.arm(variant));
            }
        }
        if set.holdout.is_some() {
            Holdout::arms().iter().for_each(|arm| {
                self.arms.add(arm);
            });
        }
        for rule in &set.offers {
            let group = rule.attributes.group.as_ref().map(|group| self.groups.add(&group.name));
            let number = self.offer_number(&rule.name.name).or_else(|| self.free_offers.first().copied());
            let number = number.unwrap_or(OfferNumber(self.offers.len() as u32));
            let mut entry = self.offer(number).cloned().unwrap_or_default();
            entry.name.clone_from(&rule.name.name);
            (entry.rule_set, entry.group) = (rule_set, group);
            for treatment in &rule.treatments {
                if entry.treatments.contains(&treatment.name) {
                    continue;
                }
                match entry.treatments.iter_mut().find(|name| name.is_empty()) {
                    Some(free) => free.clone_from(&treatment.name),
                    None => entry.treatments.push(treatment.name.clone()),
                }
            }
            self.put_offer(number, entry);
        }
    }

    fn add_place(&mut self, place: PlaceEntry) {
        if self.place_numbers.contains_key(&place) {
            return;
        }
        let next = PlaceNumber(self.places.len() as u16); // the bound is checked when additions are made
        let number = self.free_places.pop_first().unwrap_or(next);
        match self.places.get_mut(usize::from(number.0)) {
            Some(free) => *free = place,
            None => self.places.push(place),
        }
        self.place_numbers.insert(place, number);
    }

    /// Puts an offer where its number says. An entry without a name leaves the number free.
    fn put_offer(&mut self, number: OfferNumber, entry: OfferEntry) {
        let place = number.0 as usize;
        if place == self.offers.len() {
            self.offers.push(OfferEntry::default());
            self.free_offers.insert(number);
        }
        let Some(known) = self.offers.get_mut(place) else { return };
        if known.is_free() && !entry.is_free() {
            self.free_offers.remove(&number);
            self.offer_numbers.insert(entry.name.clone(), number);
        }
        *known = entry;
    }

    /// What this catalogue has and `earlier`, from which it has grown, has not.
    fn since(&self, earlier: &Catalogue) -> Vec<Additions> {
        let ([rule_sets, groups, placements, channels, arms], before) = (self.names(), earlier.names());
        let mut first = Additions {
            returns: Returns::default(),
            names: [
                rule_sets.since(before[0]),
                groups.since(before[1]),
                placements.since(before[2]),
                channels.since(before[3]),
                arms.since(before[4]),
            ],
            places: self.places_since(earlier),
            offers: Vec::new(),
            keep_s: (self.keep_s != earlier.keep_s).then_some(self.keep_s),
        };
        let (mut all, mut bytes) = (Vec::new(), 0);
        for (at, entry) in self.offers.iter().enumerate() {
            if earlier.offers.get(at) == Some(entry) {
                continue;
            }
            bytes +=
                entry.name.len() + entry.treatments.iter().map(|name| name.len() + 8).sum::<usize>() + 16;
            first.offers.push((OfferNumber(at as u32), entry.clone()));
            if bytes > MAX_ADDITION_BYTES {
                all.push(std::mem::take(&mut first));
                bytes = 0;
            }
        }
        if first != Additions::default() {
            all.push(first);
        }
        all
    }

    /// As [`Names::since`]: a number that was always free has a place that no rule set can give.
    fn places_since(&self, earlier: &Catalogue) -> Vec<PlaceEntry> {
        let all = (0..).map(PlaceNumber).zip(self.places.iter().copied());
        let is_new = |(number, place): &(PlaceNumber, PlaceEntry)| {
            earlier.place(*number).is_none()
                && (!place.is_free() || usize::from(number.0) >= earlier.places.len())
        };
        all.filter(is_new).map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> (Arc<Schema>, Vec<(Arc<RuleSet>, u32)>) {
        let schema = Arc::new(Schema::empty());
        let set = RuleSet::parse("r", text, &schema).unwrap();
        (schema, vec![(Arc::new(set), 1)])
    }

    const FIRST: &str = "rule_set: r
placements: {banner: {channels: [app, web]}}
offers:
  card: {placements: [banner], attributes: {group: cards}, treatments: [{placement: banner, content: {}}]}
  loan: {placements: [banner], treatments: [{placement: banner, content: {}}]}
";

    #[test]
    fn numbers_stay_and_new_names_follow() {
        let (schema, sets) = set(FIRST);
        let added = Catalogue::new().missing(&schema, &sets, [7; OutcomeKind::COUNT]).unwrap();
        let first = Catalogue::new().with(&added);
        assert_eq!(
            first.missing(&schema, &sets, [7; OutcomeKind::COUNT]).unwrap(),
            [],
            "nothing is missing any more"
        );
        assert_eq!(first.keep_s(), [7; OutcomeKind::COUNT]);
        assert_eq!(first.offer_number("loan"), Some(OfferNumber(1)));
        assert_eq!(first.place_number("banner", "web"), Some(PlaceNumber(1)));
        assert_eq!(first.place_number("banner", "sms"), None);

        let second = "rule_set: r\nplacements: {banner: {channels: [sms, app]}}\noffers:\n  \
                      loan: {placements: [banner], attributes: {group: credit}, treatments: [{placement: banner, id: new, content: {}}]}\n  \
                      gold: {placements: [banner], treatments: [{placement: banner, content: {}}]}\n";
        let (schema, sets) = set(second);
        let grown = first.with(&first.missing(&schema, &sets, [7; OutcomeKind::COUNT]).unwrap());
        assert_eq!(grown.offer_number("card"), Some(OfferNumber(0)));
        assert_eq!(grown.offer_number("gold"), Some(OfferNumber(2)));
        assert_eq!(grown.place_number("banner", "app"), Some(PlaceNumber(0)));
        assert_eq!(grown.place_number("banner", "sms"), Some(PlaceNumber(2)));
        let loan = grown.offer(OfferNumber(1)).unwrap();
        assert_eq!((loan.treatments.len(), loan.group), (2, grown.groups.number("credit")));
    }

    #[test]
    fn arms_keep_their_numbers_when_experiments_go_and_come_back() {
        let text = |experiments: &str| {
            format!("rule_set: r\nexperiments: {{{experiments}}}\nholdout: {{percent: 1, salt: s}}\n")
        };
        let (schema, both) = set(&text("x: {variants: {a: 1, b: 1}}"));
        let first = Catalogue::new()
            .with(&Catalogue::new().missing(&schema, &both, [7; OutcomeKind::COUNT]).unwrap());
        let names = |catalogue: &Catalogue| -> Vec<String> {
            (0..9).map_while(|number| catalogue.arms.name(number).map(str::to_owned)).collect()
        };
        assert_eq!(names(&first), ["x.a", "x.b", "holdout.in", "holdout.out"]);
        let (schema, other) = set(&text("y: {variants: {a: 1}}, x: {variants: {b: 1, c: 1}}"));
        let second = first.with(&first.missing(&schema, &other, [7; OutcomeKind::COUNT]).unwrap());
        assert_eq!(names(&second), ["x.a", "x.b", "holdout.in", "holdout.out", "y.a", "x.c"]);
        assert_eq!(second.missing(&schema, &both, [7; OutcomeKind::COUNT]).unwrap(), []);
    }

    #[test]
    fn a_free_number_goes_to_the_next_new_name_and_everything_else_stays() {
        let arms = |names: &[&str]| {
            let arms = names.iter().map(|name| Box::from(*name)).collect();
            Additions { names: [vec![], vec![], vec![], vec![], arms], ..Additions::default() }
        };
        let freed = |numbers: &[u32]| {
            let freed = numbers.iter().map(|number| (Returned::Arm, *number)).collect();
            Additions { returns: Returns { freed, ..Returns::default() }, ..Additions::default() }
        };
        let names = |catalogue: &Catalogue| -> Vec<(u16, String)> {
            catalogue.arms.iter().map(|(number, name)| (number, name.to_owned())).collect()
        };
        let told = |pairs: &[(u16, &str)]| -> Vec<(u16, String)> {
            pairs.iter().map(|(number, name)| (*number, (*name).to_owned())).collect()
        };
        let first = Catalogue::new().with(&[arms(&["a", "b", "c", "d"]), freed(&[2, 0, 2, 9])]);
        assert_eq!((names(&first), first.arms.len()), (told(&[(1, "b"), (3, "d")]), 2));
        assert_eq!((first.arms.number("a"), first.arms.name(0)), (None, None));
        assert_eq!(Catalogue::new().with(&first.whole()), first);
        let second = first.with(&[arms(&["e", "b", "a", "f"])]);
        let all = [(0, "e"), (1, "b"), (2, "a"), (3, "d"), (4, "f")];
        assert_eq!(names(&second), told(&all));
        assert_eq!(first.with(&second.since(&first)), second, "what was added, added again");
        assert_eq!(Catalogue::new().with(&second.whole()), second);
    }

    #[test]
    fn offers_places_and_treatments_give_their_numbers_to_new_ones() {
        let text = |placements: &str, offers: &str| {
            format!("rule_set: r\nplacements: {{{placements}}}\noffers: {{{offers}}}\n")
        };
        let offer = |name: &str, treatments: &[&str]| {
            let one = |id: &&str| format!("{{placement: p, id: {id}, locale: {id}, content: {{}}}}");
            let all: Vec<String> = treatments.iter().map(one).collect();
            format!("{name}: {{placements: [p], treatments: [{}]}}", all.join(", "))
        };
        let grown = |catalogue: &Catalogue, placements: &str, offers: &[String]| {
            let (schema, sets) = set(&text(placements, &offers.join(", ")));
            let added = catalogue.missing(&schema, &sets, [7; OutcomeKind::COUNT]).unwrap();
            let grown = catalogue.with(&added);
            assert_eq!(Catalogue::new().with(&grown.whole()), grown);
            grown
        };
        let freed = |catalogue: &Catalogue, freed: &[(Returned, u32)]| {
            let returns = Returns { freed: freed.to_vec(), ..Returns::default() };
            let freed = catalogue.with(&[Additions { returns, ..Additions::default() }]);
            assert_eq!(Catalogue::new().with(&freed.whole()), freed);
            freed
        };
        let first = grown(
            &Catalogue::new(),
            "p: {channels: [app, web]}, q: {channels: [web]}",
            &[offer("a", &["de", "en", "fr"]), offer("b", &["de"]), offer("c", &["de"])],
        );
        let treatment = TreatmentNumber { offer: OfferNumber(0), treatment: 1 }.packed();
        let gone = [
            (Returned::Offer, 1),
            (Returned::Place, 0),
            (Returned::Place, 2),
            (Returned::Placement, 1),
            (Returned::Treatment, treatment),
        ];
        let less = freed(&first, &gone);
        assert_eq!((less.offer_number("b"), less.offer(OfferNumber(1))), (None, None));
        assert_eq!((less.place_number("p", "app"), less.place(PlaceNumber(2))), (None, None));
        assert_eq!(less.numbers(Returned::Offer), [0, 2]);
        assert_eq!(less.numbers(Returned::Place), [1]);
        assert_eq!(less.numbers(Returned::Treatment), [0, 2, 2 << 12]);
        assert_eq!([Returned::Offer, Returned::Place].map(|kind| less.taken(kind).taken), [2, 1]);

        let more = grown(
            &less,
            "p: {channels: [web, sms]}, z: {channels: [app, web]}",
            &[offer("a", &["it", "zh"]), offer("d", &["de"]), offer("e", &["de"])],
        );
        let place = |placement, channel| more.place_number(placement, channel).map(|place| place.0);
        assert_eq!(
            ["d", "e", "a"].map(|name| more.offer_number(name).map(|number| number.0)),
            [Some(1), Some(3), Some(0)]
        );
        assert_eq!([place("p", "sms"), place("z", "app"), place("z", "web")], [Some(0), Some(2), Some(3)]);
        let a = more.offer(OfferNumber(0)).unwrap();
        assert_eq!(a.treatments.iter().map(|name| &**name).collect::<Vec<_>>(), ["de", "it", "fr", "zh"]);
    }

    #[test]
    fn offers_of_what_is_given_back_are_in_no_rule_set_and_no_group() {
        let (schema, sets) = set(FIRST);
        let catalogue = Catalogue::new()
            .with(&Catalogue::new().missing(&schema, &sets, [7; OutcomeKind::COUNT]).unwrap());
        let freed = vec![(Returned::RuleSet, 0), (Returned::Group, 0)];
        let left = vec![(Returned::Group, 0, 5), (Returned::Arm, 3, 5)];
        let left = Additions { returns: Returns { left, ..Returns::default() }, ..Additions::default() };
        let returns = Returns { freed, back: vec![(Returned::Arm, 3)], ..Returns::default() };
        let gone = catalogue.with(&[left, Additions { returns, ..Additions::default() }]);
        let card = gone.offer(OfferNumber(0)).unwrap();
        assert_eq!((card.rule_set, card.group, gone.groups.len()), (NO_RULE_SET, None, 0));
        assert_eq!((gone.left_at(Returned::Group, 0), gone.left_at(Returned::Arm, 3)), (None, None));
        assert_eq!(Catalogue::new().with(&gone.whole()), gone);
        let again = gone.with(&gone.missing(&schema, &sets, [7; OutcomeKind::COUNT]).unwrap());
        assert_eq!(again, catalogue, "it comes back as it was");
    }

    #[test]
    fn a_catalogue_in_pieces_comes_to_the_same() {
        let offers: String = (0..8000)
            .map(|i| {
                let name = format!("offer-{i:05}-with-a-name-as-long-as-they-come-0123456789");
                format!("  {name}: {{placements: [banner], treatments: [{{placement: banner, id: {name}-x, content: {{}}}}]}}\n")
            })
            .collect();
        let text = format!("rule_set: r\nplacements: {{banner: {{channels: [app]}}}}\noffers:\n{offers}");
        let (schema, sets) = set(&text);
        let whole = Catalogue::new()
            .with(&Catalogue::new().missing(&schema, &sets, [1; OutcomeKind::COUNT]).unwrap());
        let pieces = whole.whole();
        assert!(pieces.len() > 1, "or the test says nothing");
        assert_eq!(Catalogue::new().with(&pieces), whole);
        assert_eq!(Catalogue::new().whole(), []);
    }
}
