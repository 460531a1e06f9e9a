//! `POST /v1/events`: one event, a list of events, or one event per line. Each event is checked on its own. A
//! wrong event is reported by its index, and the others are accepted.

use std::collections::HashSet;

use crate::customer::event::Fate;
use crate::customer::update::Update;
use crate::http::bounds::MAX_EVENTS;
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode::Encode;
use crate::http::wire::media;
use crate::http::wire::media::{Format, Media};
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::{answer, query};
use crate::input::cursor::Cursor;
use crate::input::document::{Input, InputValue};
use crate::input::invisible::without_mark;
use crate::input::problem::{Problem, Problems};
use crate::intake::read::EventReader;
use crate::node::Node;
use crate::node::room::UnknownCustomers;

/// The most rejected events in an answer. Further ones are only counted.
const MAX_TOLD: usize = 1_000;

/// The events to write, and those rejected while reading.
#[derive(Default)]
struct Events {
    updates: Vec<Update>,
    /// For each update, the index of its event in the body.
    indices: Vec<u32>,
    rejected: Vec<(u32, Problem)>,
    rejected_count: usize,
    /// Accepted, but outside a budget that is used up.
    over_budget: Vec<u32>,
    count: usize,
}

/// Reads all events, then writes those that are correct.
pub(crate) async fn post(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    query::known(call.head.target.query(), [])?;
    let media = media::of_body(call.head, &[Media::Json, Media::Lines, Media::MessagePack])?;
    let content = call.body(body).await?;
    let mut events = read(call, media, &content.bytes)?;
    events.refuse_unknown(call.node);
    drop(content); // from here on the writer counts the waiting updates
    let taken = call.node.take_in(std::mem::take(&mut events.updates)).await.map_err(Refusal::unavailable)?;
    let mut duplicates = 0;
    for (at, fate) in &taken.fates.refused {
        match (fate, events.indices.get(*at).copied()) {
            (Fate::Accepted | Fate::Again, _) => {}
            (Fate::Duplicate, _) => duplicates += 1,
            (Fate::UsedUp, Some(index)) => events.over_budget.push(index),
            (Fate::Forgotten, Some(index)) => events.reject(index, Problem::new(FORGOTTEN)),
            (Fate::Erased, Some(index)) => events.reject(index, Problem::new(ERASED)),
            (Fate::ErasureForgotten, Some(index)) => events.reject(index, Problem::new(ERASURE_FORGOTTEN)),
            (_, None) => {}
        }
    }
    let accepted = events.count - duplicates - events.rejected_count;
    call.worker.counters().events(accepted, duplicates, events.rejected_count);
    events.rejected.sort_by_key(|(index, _)| *index);
    let sequence = taken.sequence;
    if accepted + duplicates == 0 && events.count > 0 {
        return Ok(none_taken(call.format, &events, sequence));
    }
    Ok(answer::document(call.format, |out| {
        out.map();
        write(out, &events, accepted, duplicates, sequence);
        out.end_map();
    }))
}

/// The answer to a request of which no event was taken: a problem document that also has what every answer
/// of this route has.
fn none_taken(format: Format, events: &Events, sequence: u64) -> Answer {
    let first = events.rejected.first().map_or("", |(_, problem)| &problem.detail);
    let detail = match events.count {
        1 => format!("the event was rejected: {first}"),
        count => format!("none of the {count} events was accepted; the first: {first}"),
    };
    Refusal::new(ProblemKind::Unprocessable, detail)
        .document(format, |out| write(out, events, 0, 0, sequence))
}

/// Why an event of a customer who is not known is rejected.
const UNKNOWN: &str = "the customer is not known, and events make none here (`unknown_customers: refuse`): load customers first";
const NO_ROOM: &str = "the customer is not known, and there is no room for more: the bounds are --max-customers and --max-memory";

/// Why the fold rejected an event.
const FORGOTTEN: &str =
    "the token is too old: outcomes of its time are no longer remembered, so it may have been counted before";
const ERASED: &str = "the customer was erased after this: what was said to them before the erasure, and what is told of them from then, is void";
const ERASURE_FORGOTTEN: &str = "the token is too old: erasures of its time are no longer remembered, so the customer may have been erased since";

/// Writes the members of the answer.
fn write(out: &mut dyn Encode, events: &Events, accepted: usize, duplicates: usize, sequence: u64) {
    let omitted = events.rejected_count - events.rejected.len();
    out.key("accepted");
    out.unsigned(accepted as u64);
    out.key("duplicates");
    out.unsigned(duplicates as u64);
    out.key("rejected");
    out.list();
    for (index, problem) in &events.rejected {
        out.map();
        out.key("index");
        out.unsigned(u64::from(*index));
        out.key("detail");
        out.text(&problem.detail);
        if !problem.pointer.is_empty() {
            out.key("pointer");
            out.text(&problem.pointer);
        }
        if let Some(hint) = &problem.hint {
            out.key("hint");
            out.text(hint);
        }
        out.end_map();
    }
    out.end_list();
    if omitted > 0 {
        out.key("omitted");
        out.unsigned(omitted as u64);
    }
    if !events.over_budget.is_empty() {
        out.key("over_budget");
        out.list();
        events.over_budget.iter().for_each(|index| out.unsigned(u64::from(*index)));
        out.end_list();
    }
    out.key("sequence");
    out.unsigned(sequence);
}

fn read(call: &Call<'_>, media: Media, bytes: &[u8]) -> Result<Events, Refusal> {
    let live = call.node.live();
    let (engine, intake) = (&live.engine, &*live.definitions.intake);
    let reader = EventReader { engine, intake, tokens: &call.worker.shared.tokens, now: call.node.now() };
    let mut events = Events::default();
    if media == Media::Lines {
        let lines = without_mark(bytes).split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.iter().all(u8::is_ascii_whitespace)) {
            let event = Input::from_json(line).and_then(|input| reader.event(&Cursor::root(&input, None)));
            events.take(event)?;
        }
        return Ok(events);
    }
    let input = media.document(bytes)?;
    let root = Cursor::root(&input, None);
    match &input.value {
        InputValue::List(items) => {
            for item in items {
                events.take(reader.event(&Cursor::root(item, None)))?;
            }
        }
        _ => events.take(reader.event(&root))?,
    }
    Ok(events)
}

impl Events {
    /// Rejects the events of customers who are not known, where none may be made, or as many as there is no
    /// room for. Such events do not keep those of known customers from being taken.
    fn refuse_unknown(&mut self, node: &Node) {
        let (room, customers) = (node.room(), node.customers());
        let refuses = room.bounds.unknown == UnknownCustomers::Refuse;
        let mut left = if refuses { 0 } else { room.at_the_door(customers, self.updates.len()) };
        if left == self.updates.len() {
            return;
        }
        let problem = Problem::new(if refuses { UNKNOWN } else { NO_ROOM });
        let (mut kept, mut new) = (Vec::new(), HashSet::new());
        let updates = std::mem::take(&mut self.updates);
        for (update, index) in updates.into_iter().zip(std::mem::take(&mut self.indices)) {
            let is_known = customers.contains(update.customer.as_str()) || new.contains(&update.customer);
            if !is_known && left == 0 {
                self.reject(index, problem.clone());
                continue;
            }
            if !is_known {
                left -= 1;
                new.insert(update.customer.clone());
            }
            kept.push(update);
            self.indices.push(index);
        }
        self.updates = kept;
    }

    fn take(&mut self, event: Result<Update, Problems>) -> Result<(), Refusal> {
        if self.count == MAX_EVENTS {
            let detail = format!("a request has at most {MAX_EVENTS} events; send them in several");
            return Err(Refusal::new(ProblemKind::TooLarge, detail));
        }
        let index = self.count as u32;
        self.count += 1;
        match event {
            Ok(update) => {
                self.updates.push(update);
                self.indices.push(index);
            }
            Err(problems) => {
                self.reject(index, first_of(&problems));
            }
        }
        Ok(())
    }

    fn reject(&mut self, index: u32, problem: Problem) {
        self.rejected_count += 1;
        if self.rejected.len() < MAX_TOLD {
            self.rejected.push((index, problem));
        }
    }
}

/// All problems of an event as one.
fn first_of(problems: &Problems) -> Problem {
    let first = problems.iter().next().cloned().unwrap_or_else(|| Problem::new(""));
    Problem { detail: problems.summary(), ..first }
}
