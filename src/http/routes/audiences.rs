//! `/v1/audiences`: counts the customers that a condition selects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::expression::Tag;
use crate::http::bounds::MAX_AUDIENCE_TIME;
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::media;
use crate::http::wire::media::Media;
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::{answer, query};
use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::{Problem, Problems, quoted};
use crate::insight::audience;
use crate::insight::audience::{Audience, AudienceCount};
use crate::node::Node;

/// Parsing a condition may need more stack than usual. The parser's own limits stop it long before this is
/// used up.
pub(crate) const STACK_BYTES: usize = 16 << 20;

/// Which customers to count: a condition, and the rule set whose tags it may use.
struct AudienceRequest {
    when: String,
    rule_set: Option<String>,
}

struct Counted {
    count: AudienceCount,
    took: Duration,
}

/// `POST /v1/audiences/count`. The count runs on a thread of its own, so decisions go on. It stops when it
/// takes too long, or when its connection has ended. A client that closes only its sending side does not stop
/// it.
pub(crate) async fn count(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    query::known(call.head.target.query(), [])?;
    let media = media::of_body(call.head, &[Media::Json, Media::MessagePack])?;
    let content = call.body(body).await?;
    let asked = AudienceRequest::read(&media.document(&content.bytes)?)?;
    drop(content);
    let turn = call.worker.shared.audiences.turn().await?;
    let (done, counted) = oneshot::channel();
    let node = Arc::clone(call.node);
    let work = move || {
        let counted = asked.count(&node, || done.is_closed());
        drop(turn);
        drop(done.send(counted)); // fails if the caller has gone
    };
    let thread = std::thread::Builder::new().name("audience".into()).stack_size(STACK_BYTES);
    thread.spawn(work).map_err(|_| {
        Refusal::new(ProblemKind::Overloaded, "the system could not start a thread for the count")
    })?;
    let Counted { count, took } = counted.await.map_err(|_| {
        call.worker.counters().panics.add(1);
        failed()
    })??;
    Ok(answer::document(call.format, |out| {
        out.map();
        out.key("matching");
        out.unsigned(count.matching);
        out.key("total");
        out.unsigned(count.total);
        out.key("took_us");
        out.unsigned(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        out.end_map();
    }))
}

fn too_long() -> Refusal {
    let seconds = MAX_AUDIENCE_TIME.as_secs();
    let detail = format!("counting this takes more than {seconds} s; a condition with fewer loops is faster");
    Refusal::new(ProblemKind::Unavailable, detail)
}

fn failed() -> Refusal {
    Refusal::new(ProblemKind::Internal, "counting the audience failed")
}

impl AudienceRequest {
    fn read(input: &Input<'_>) -> Result<AudienceRequest, Refusal> {
        let mut problems = Problems::new();
        let root = Cursor::root(input, None);
        let Some(object) = root.object(&["when", "rule_set"], &mut problems) else {
            return Err(problems.into());
        };
        let when = object.required("when", &mut problems).and_then(|at| at.text(&mut problems));
        let rule_set = object.get("rule_set").and_then(|at| at.text(&mut problems));
        let asked = AudienceRequest {
            when: when.unwrap_or_default().to_owned(),
            rule_set: rule_set.map(str::to_owned),
        };
        Ok(problems.or(asked)?)
    }

    fn count(&self, node: &Node, gone: impl Fn() -> bool) -> Result<Counted, Refusal> {
        let live = node.live();
        let wrong = |problems: Problems| Refusal::problems(ProblemKind::Unprocessable, problems);
        let tags = self.tags(&live.engine).map_err(|problem| wrong(at("/rule_set", [problem])))?;
        let schema = &live.engine.schema;
        let condition = audience::read(&self.when, schema, tags);
        let condition = condition.map_err(|problems| wrong(at("/when", problems.iter().cloned())))?;
        let begun = Instant::now();
        let stop = || gone() || begun.elapsed() > MAX_AUDIENCE_TIME;
        let count = Audience::new(schema, tags, &condition, node.now()).count(node.customers(), stop);
        Ok(Counted { count: count.ok_or_else(too_long)?, took: begun.elapsed() })
    }

    /// The tags of the named rule set; without a name there are none.
    fn tags<'e>(&self, engine: &'e Engine) -> Result<&'e [Tag], Problem> {
        let Some(name) = &self.rule_set else { return Ok(&[]) };
        let place = engine.versions.iter().position(|(known, _)| **known == **name);
        place.map(|place| &*engine.tags[place]).ok_or_else(|| {
            let names = engine.versions.iter().map(|(known, _)| &**known);
            Problem::new(format!("no rule set {} is active", quoted(name))).nearest(name, names)
        })
    }
}

/// The problems, moved to this field of the request.
fn at(pointer: &str, found: impl IntoIterator<Item = Problem>) -> Problems {
    let mut problems = Problems::new();
    found.into_iter().for_each(|problem| problems.push(Problem { pointer: pointer.into(), ..problem }));
    problems
}
