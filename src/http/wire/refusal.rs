//! A refused request: RFC 9457 problem details with every problem that was found.

use hyper::body::Bytes;
use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};

use super::answer;
use super::answer::Answer;
use super::encode::Encode;
use super::media::Format;
use crate::input::problem::{Problem, Problems};
use crate::insight::analysis::Warning;
use crate::node::unavailable::Unavailable;

/// Why a request is refused. Each kind has its own `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    Invalid,
    NotFound,
    Method,
    NotAcceptable,
    Timeout,
    Conflict,
    Precondition,
    TooLarge,
    TargetTooLong,
    HeadTooLarge,
    MediaType,
    Unprocessable,
    /// The request names another server.
    Misdirected,
    /// The request comes from a page of another origin.
    Foreign,
    NotImplemented,
    Internal,
    Unavailable,
    Overloaded,
    DiskFull,
    NoRoom,
}

impl ProblemKind {
    /// Status, last part of the `type`, and title.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            ProblemKind::Invalid => (StatusCode::BAD_REQUEST, "invalid", "The request is not valid"),
            ProblemKind::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            ProblemKind::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "method", "Not possible with this method")
            }
            ProblemKind::NotAcceptable => {
                (StatusCode::NOT_ACCEPTABLE, "not-acceptable", "No such form of the answer")
            }
            ProblemKind::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "The body took too long"),
            ProblemKind::Conflict => (StatusCode::CONFLICT, "conflict", "Does not fit what is there"),
            ProblemKind::Precondition => {
                (StatusCode::PRECONDITION_FAILED, "precondition", "Another version is active")
            }
            ProblemKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            ProblemKind::TargetTooLong => {
                (StatusCode::URI_TOO_LONG, "target-too-long", "The target is too long")
            }
            ProblemKind::HeadTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "The head is too large")
            }
            ProblemKind::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "No such form of the body")
            }
            ProblemKind::Unprocessable => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The content is wrong")
            }
            ProblemKind::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "misdirected", "Meant for another server")
            }
            ProblemKind::Foreign => (StatusCode::FORBIDDEN, "foreign", "Not from this page"),
            ProblemKind::NotImplemented => {
                (StatusCode::NOT_IMPLEMENTED, "not-implemented", "This server does not do that")
            }
            ProblemKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "A fault of the server"),
            ProblemKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not possible now"),
            ProblemKind::Overloaded => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too much to do at the moment")
            }
            ProblemKind::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "disk-full", "The disk is full"),
            ProblemKind::NoRoom => {
                (StatusCode::INSUFFICIENT_STORAGE, "no-room", "There is no room for more customers")
            }
        }
    }
}

/// A refusal, written instead of an answer. Boxed inside, so that results stay small.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ProblemKind,
    detail: String,
    errors: Problems,
    headers: Vec<(HeaderName, HeaderValue)>,
    applied: Option<usize>,
}

impl Refusal {
    /// A refusal of this kind, without further problems.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Refusal {
        let headers = Vec::new();
        Refusal(Box::new(Inner {
            kind,
            detail: detail.into(),
            errors: Problems::new(),
            headers,
            applied: None,
        }))
    }

    /// What is answered when the work for a request panicked.
    pub(crate) fn fault() -> Refusal {
        Refusal::new(ProblemKind::Internal, "the server had a fault; it was counted and logged")
    }

    /// Input with errors, and all of them.
    pub(crate) fn problems(kind: ProblemKind, problems: Problems) -> Refusal {
        let mut refusal = Refusal::new(kind, problems.summary());
        refusal.0.errors = problems;
        refusal
    }

    /// A request with this one error.
    pub(crate) fn problem(problem: Problem) -> Refusal {
        let mut problems = Problems::new();
        problems.push(problem);
        Refusal::problems(ProblemKind::Invalid, problems)
    }

    /// The path exists, but not with this method.
    pub(crate) fn method(found: &Method, known: &[&str]) -> Refusal {
        let allow = allowed(known);
        let refusal = Refusal::new(ProblemKind::Method, format!("this path has no {found}; it has {allow}"));
        match HeaderValue::from_str(&allow) {
            Ok(value) => refusal.header(ALLOW, value),
            Err(_) => refusal,
        }
    }

    /// Why the node takes no writes now.
    pub(crate) fn unavailable(why: Unavailable) -> Refusal {
        match why {
            Unavailable::Overloaded => {
                Refusal::new(ProblemKind::Overloaded, "too many writes are waiting; try again in a second")
                    .in_a_second()
            }
            Unavailable::Stopped => Refusal::new(
                ProblemKind::Unavailable,
                "no writes are taken: the journal failed or the server is stopping; decisions go on",
            ),
            Unavailable::DiskFull => Refusal::new(
                ProblemKind::DiskFull,
                "the disk is full: nothing was changed; try again when there is room",
            ),
            Unavailable::NoFile => Refusal::new(
                ProblemKind::Unavailable,
                "the system gave no file or no memory for the journal: nothing was changed; try again in a second",
            )
            .in_a_second(),
            Unavailable::Full => Refusal::new(
                ProblemKind::NoRoom,
                "as many customers are known as --max-customers allows: nothing was changed; erase some, or raise it",
            ),
            Unavailable::Memory => Refusal::new(
                ProblemKind::NoRoom,
                "the server has as much memory as --max-memory allows: nothing was changed; erase some customers, or raise it",
            ),
        }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.0.headers.push((name, value));
        self
    }

    /// Asks the client to try again in a second.
    #[must_use]
    pub(crate) fn in_a_second(self) -> Refusal {
        self.header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// States how many rows of a bulk load had been applied.
    #[must_use]
    pub(crate) fn applied(mut self, rows: usize) -> Refusal {
        if rows > 0 {
            let what = "the rows after the applied ones changed nothing";
            self.0.detail = self.0.detail.replace("nothing was changed", what);
        }
        self.0.applied = Some(rows);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.kind.parts().0
    }

    pub(crate) fn is_overload(&self) -> bool {
        self.0.kind == ProblemKind::Overloaded
    }

    /// Whether the body was abandoned while the client may still be sending it.
    pub(crate) fn closes(&self) -> bool {
        matches!(self.0.kind, ProblemKind::TooLarge | ProblemKind::Timeout | ProblemKind::MediaType)
    }

    #[cfg(test)]
    pub(crate) fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    #[cfg(test)]
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Its document as an answer, with the members that `more` adds and without its headers.
    pub(crate) fn document(&self, format: Format, more: impl FnOnce(&mut dyn Encode)) -> Answer {
        answer::with(self.status(), format.problem_type(), self.rendered(format, more))
    }

    /// Its document, with the members that `more` adds.
    pub(crate) fn rendered(&self, format: Format, more: impl FnOnce(&mut dyn Encode)) -> Bytes {
        answer::render(format, |out| {
            out.map();
            self.write(out);
            more(out);
            out.end_map();
        })
    }

    /// The answer that states this refusal.
    pub(crate) fn answer(self, format: Format, method: &Method) -> Answer {
        let mut answer = self.document(format, |_| ());
        answer.closes = self.closes() && *method != Method::HEAD;
        answer.headers = self.0.headers;
        answer
    }

    /// Writes its document inside another one.
    pub(crate) fn write_whole(&self, out: &mut dyn Encode) {
        out.map();
        self.write(out);
        out.end_map();
    }

    /// Writes the members of its document.
    fn write(&self, out: &mut dyn Encode) {
        let Inner { kind, detail, errors, applied, .. } = &*self.0;
        let (status, name, title) = kind.parts();
        out.key("type");
        out.text(&format!("urn:usher:problem:{name}"));
        out.key("title");
        out.text(title);
        out.key("status");
        out.unsigned(u64::from(status.as_u16()));
        out.key("detail");
        out.text(detail);
        if !errors.is_empty() {
            out.key("errors");
            out.list();
            for problem in errors {
                write_problem(out, problem);
            }
            out.end_list();
        }
        if errors.omitted > 0 {
            out.key("errors_omitted");
            out.unsigned(errors.omitted as u64);
        }
        if let Some(rows) = applied {
            out.key("applied");
            out.unsigned(*rows as u64);
        }
    }
}

/// The methods of a path as `Allow` has them. `HEAD` goes with `GET`, and `OPTIONS` with all.
pub(crate) fn allowed(known: &[&str]) -> String {
    let head = if known.contains(&"GET") { ", HEAD" } else { "" };
    format!("{}{head}, OPTIONS", known.join(", "))
}

impl From<Problems> for Refusal {
    fn from(problems: Problems) -> Refusal {
        Refusal::problems(ProblemKind::Invalid, problems)
    }
}

/// Writes a problem as a document.
pub(crate) fn write_problem(out: &mut dyn Encode, problem: &Problem) {
    write_entry(out, None, problem);
}

/// Writes a warning: a problem with its kind.
pub(crate) fn write_warning(out: &mut dyn Encode, warning: &Warning) {
    write_entry(out, Some(warning.kind.name()), &warning.problem);
}

fn write_entry(out: &mut dyn Encode, kind: Option<&str>, problem: &Problem) {
    let place = problem.place.filter(|place| place.line > 0);
    out.map();
    if let Some(kind) = kind {
        out.key("kind");
        out.text(kind);
    }
    out.key("detail");
    out.text(&problem.detail);
    out.key("pointer");
    out.text(&problem.pointer);
    if let Some(source) = &problem.source {
        out.key("source");
        out.text(&source.name);
    }
    if let Some(place) = place {
        out.key("line");
        out.unsigned(u64::from(place.line));
        if place.column > 0 {
            out.key("column"); // without it, the problem concerns the whole line
            out.unsigned(u64::from(place.column));
        }
        if place.length > 0 {
            out.key("length");
            out.unsigned(u64::from(place.length));
        }
    }
    if let Some(hint) = &problem.hint {
        out.key("hint");
        out.text(hint);
    }
    out.end_map();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_room_says_what_was_changed_and_what_to_do() {
        let check = |why: Unavailable, status: StatusCode, end: &str| {
            for (applied, part) in [
                (None, ": nothing was changed; "),
                (Some(0), ": nothing was changed; "),
                (Some(7), ": the rows after the applied ones changed nothing; "),
            ] {
                let mut refusal = Refusal::unavailable(why);
                if let Some(rows) = applied {
                    refusal = refusal.applied(rows);
                }
                assert!(refusal.detail().contains(part), "{}", refusal.detail());
                assert!(refusal.detail().ends_with(end), "{}", refusal.detail());
                assert!(!refusal.is_overload() && !refusal.closes());
                assert_eq!(refusal.answer(Format::Json, &Method::PUT).status, status);
            }
        };
        check(Unavailable::DiskFull, StatusCode::INSUFFICIENT_STORAGE, "when there is room");
        check(Unavailable::Full, StatusCode::INSUFFICIENT_STORAGE, "erase some, or raise it");
        check(Unavailable::Memory, StatusCode::INSUFFICIENT_STORAGE, "erase some customers, or raise it");
        check(Unavailable::NoFile, StatusCode::SERVICE_UNAVAILABLE, "try again in a second");
    }
}
