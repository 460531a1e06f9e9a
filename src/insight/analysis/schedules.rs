//! Offers whose time is over or never comes.

use super::{Analysis, Draft, WarningKind};
use crate::engine::Offer;
use crate::expression::alternatives::Alternatives;
use crate::expression::faults::Conflict;
use crate::schema::value::Time;

impl Analysis<'_> {
    pub(super) fn schedules(&mut self) {
        let engine = self.engine;
        let future = self.normaliser.onwards(self.known.now);
        for (i, offer) in engine.offers().iter().enumerate() {
            if self.told[i] {
                continue;
            }
            let Some((detail, hint)) = self.never_open(offer, &future) else { continue };
            let part = if offer.schedule.is_some() { "schedule" } else { "when" };
            let draft = Draft::of(WarningKind::Schedule, offer, detail);
            let draft = Draft { hint, ..draft };
            self.warn_at(draft, &["offers", &offer.name, part]);
            self.told[i] = true;
        }
    }

    /// Why an offer is never shown from now on, and what to try.
    fn never_open(&self, offer: &Offer, future: &Alternatives) -> Option<(String, Option<String>)> {
        let name = &offer.name;
        if let Some(schedule) = &offer.schedule {
            let at = |time: Option<Time>| time.map_or("…".to_owned(), |time| time.to_string());
            match schedule.window() {
                (_, Some(until)) if until <= self.known.now => {
                    let detail = format!("the schedule of offer `{name}` ended at {until}");
                    return Some((detail, Some("extend it, or remove the offer".into())));
                }
                (from, until) if schedule.is_never_open(self.known.now) => {
                    let detail = format!(
                        "the schedule of offer `{name}` is never open: none of its days and hours lies between {} and {}",
                        at(from),
                        at(until)
                    );
                    return Some((detail, None));
                }
                _ => {}
            }
        }
        if offer.when_form.excludes(future) {
            let detail = format!(
                "offer `{name}` is never shown again: the time that its condition asks for has passed"
            );
            return Some((detail, None));
        }
        if offer.when_form.excludes(&offer.schedule_form) {
            let why = Conflict::between(&offer.when_form, &offer.schedule_form);
            let why = why.map_or(String::new(), |conflict| format!(": {}", self.contradiction(&conflict)));
            return Some((
                format!("offer `{name}` is never shown: its condition and its schedule never meet{why}"),
                None,
            ));
        }
        None
    }
}
