//! The client of a running server. It keeps one connection alive, and every wait has a bound.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::definition::Definition;
use super::ending::{Failure, variable};
use crate::input::problem::{Place, Problem, Problems, Source};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a patient client waits for a server that is just starting: `usher serve & usher load
/// customers.csv`.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRY_EVERY: Duration = Duration::from_millis(50);
/// The longest wait for an answer. Compiling thousands of rules or a large bulk load takes seconds, not
/// minutes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of an answer. No server of ours sends more.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The longest wait for a server to become ready: one that replays the largest journal takes minutes.
const MAX_WAIT_SECONDS: u64 = 3_600;

/// What a request without headers of its own is sent with.
pub(super) const NO_HEADERS: &[(header::HeaderName, &str)] = &[];

/// The server's address by default; the same as `config::DEFAULT_LISTEN`.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// The flag that names the server.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServerArgs {
    /// The server to talk to [env: USHER_SERVER] [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Wait until the server is ready, at most so many seconds [default without a number: 30]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "30",
        value_parser = clap::value_parser!(u64).range(1..=MAX_WAIT_SECONDS))]
    wait: Option<u64>,
}

impl ServerArgs {
    /// A client for the server. It waits as long as `--wait` says.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let patience = self.wait.map_or(Duration::ZERO, Duration::from_secs);
        Ok(Client { patience, ..Client::new(&self.url())? })
    }

    /// A client for a command that mostly follows a start: it waits a moment without `--wait`, too.
    pub(super) fn patient_client(&self) -> Result<Client, Failure> {
        let patience = self.wait.map_or(PATIENCE, Duration::from_secs);
        Ok(Client { patience, ..Client::new(&self.url())? })
    }

    /// The server's address: from the flag, the variable, or the default.
    fn url(&self) -> String {
        self.server.clone().or_else(|| variable("USHER_SERVER")).unwrap_or_else(|| DEFAULT_SERVER.to_owned())
    }
}

/// A client for one server, with its connection once there is one.
pub(super) struct Client {
    authority: String,
    /// How long to retry while the connection is refused, or the server says that it is starting.
    patience: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// An answer of the server, read to its end.
pub(super) struct ServerAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Client {
    /// A client for the server at `url`. Nothing is sent yet.
    pub(super) fn new(url: &str) -> Result<Client, Failure> {
        let refuse = |why: &str| {
            let failure = Failure::new(format!("{url:?} is not the address of a server: {why}"));
            Err(failure.hint("an address looks like http://127.0.0.1:8080"))
        };
        let uri: Uri = match url.parse() {
            Ok(uri) => uri,
            Err(e) => return refuse(&format!("{e}")),
        };
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) if matches!(uri.path(), "" | "/") => {
                let port = if authority.port().is_some() { "" } else { ":80" };
                Ok(Client {
                    authority: format!("{authority}{port}"),
                    patience: Duration::ZERO,
                    connection: None,
                })
            }
            (Some("https"), _) => refuse("only http is supported; use a proxy for TLS"),
            (Some("http"), Some(_)) => refuse("it has a path"),
            _ => refuse("it does not begin with http://"),
        }
    }

    /// Sends a request and waits for the whole answer. While the server is starting, it has done nothing, so
    /// the request is sent again until the patience ends.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, impl AsRef<str>)],
        body: impl Into<Bytes>,
    ) -> Result<ServerAnswer, Failure> {
        let (body, started) = (body.into(), Instant::now());
        loop {
            let answer = self.send_once(&method, path, headers, body.clone(), started).await?;
            if !answer.is_of_a_start() || started.elapsed() >= self.patience {
                return Ok(answer);
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn send_once(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(header::HeaderName, impl AsRef<str>)],
        body: Bytes,
        started: Instant,
    ) -> Result<ServerAnswer, Failure> {
        let mut request =
            Request::builder().method(method.clone()).uri(path).header(header::HOST, &self.authority);
        for (name, value) in headers {
            request = request.header(name, value.as_ref());
        }
        let request = request.body(Full::new(body)).map_err(|e| Failure::new(format!("{path}: {e}")))?;
        let mut connection = self.connection(started).await?;
        let answer = timeout(ANSWER_TIMEOUT, receive(&mut connection, request)).await;
        match answer {
            Ok(Ok(answer)) => {
                self.connection = Some(connection);
                Ok(answer)
            }
            Ok(Err(why)) => Err(self.failure(&format!("the connection broke: {why}"))),
            Err(_) => Err(self.failure(&format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        }
    }

    /// Sends a `POST` with a JSON body.
    pub(super) async fn post_json(
        &mut self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<ServerAnswer, Failure> {
        let json = [(header::CONTENT_TYPE, "application/json")];
        self.send(Method::POST, path, &json, body.to_string()).await
    }

    /// Sends a `GET` without headers of its own.
    pub(super) async fn get(&mut self, path: &str) -> Result<ServerAnswer, Failure> {
        self.send(Method::GET, path, NO_HEADERS, Bytes::new()).await
    }

    /// The connection of the request before. If that has closed, opens a new one.
    async fn connection(&mut self, started: Instant) -> Result<SendRequest<Full<Bytes>>, Failure> {
        if let Some(mut connection) = self.connection.take()
            && connection.ready().await.is_ok()
        {
            return Ok(connection);
        }
        let stream = self.connect(started).await?;
        let broken = |e: &dyn std::fmt::Display| self.failure(&format!("the connection broke: {e}"));
        stream.set_nodelay(true).map_err(|e| broken(&e))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
        tokio::spawn(connection); // ends with the sender; its error reaches the request
        Ok(sender)
    }

    /// Connects. While the connection is refused, retries until the patience ends.
    async fn connect(&self, started: Instant) -> Result<TcpStream, Failure> {
        loop {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.authority)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(e)) if e.kind() != ErrorKind::ConnectionRefused => {
                    return Err(self.nobody(&e.to_string()));
                }
                Ok(Err(_)) if started.elapsed() < self.patience => tokio::time::sleep(RETRY_EVERY).await,
                Ok(Err(_)) => return Err(self.nobody("connection refused")),
                Err(_) => {
                    let why = format!("no connection within {} s", CONNECT_TIMEOUT.as_secs());
                    return Err(self.nobody(&why));
                }
            }
        }
    }

    fn nobody(&self, why: &str) -> Failure {
        let failure = Failure::new(format!("no server at http://{}: {why}", self.authority));
        failure.hint("start one with `usher serve`, or give its address with --server or USHER_SERVER")
    }

    fn failure(&self, why: &str) -> Failure {
        Failure::new(format!("http://{}: {why}", self.authority))
    }
}

async fn receive(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<ServerAnswer, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = connection.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
    Ok(ServerAnswer { status: parts.status, headers: parts.headers, body })
}

impl ServerAnswer {
    /// Whether the server only says that it is not ready: it is starting, or `/readyz` was asked.
    fn is_of_a_start(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
            && String::from_utf8_lossy(&self.body).contains("the node is still starting")
    }

    /// Reads the body as JSON.
    pub(super) fn json(&self) -> Result<serde_json::Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Failure::new(format!("the answer ({}) is not JSON: {e}", self.status)))
    }

    /// The body as JSON if the request succeeded. If not, the server's problems are the failure.
    pub(super) fn success(self) -> Result<serde_json::Value, Failure> {
        if self.status.is_success() { self.json() } else { Err(self.problems(&[]).into()) }
    }

    /// The server's problems with a text that was sent as `name` and is not a file.
    pub(super) fn problems_in(&self, name: &str, text: &str) -> Problems {
        let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
        self.problems_of(|found| found.filter(|found| *found == name).map(|_| Arc::clone(&source)))
    }

    /// The server's problems. Those in files that were sent show the line.
    pub(super) fn problems(&self, sent: &[Definition]) -> Problems {
        self.problems_of(|name| source_of(name, sent))
    }

    fn problems_of(&self, source: impl Fn(Option<&str>) -> Option<Arc<Source>>) -> Problems {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(&self.body) else {
            let body = String::from_utf8_lossy(&self.body).trim().to_owned();
            return Problems::one(format!("the server answered {}: {body}", self.status));
        };
        let mut problems = Problems::new();
        for error in json["errors"].as_array().into_iter().flatten() {
            problems.push(problem_of(error, &source));
        }
        problems.omitted = json["errors_omitted"].as_u64().unwrap_or(0) as usize;
        if problems.is_empty() {
            let text = ["detail", "title"].iter().find_map(|field| json[*field].as_str());
            problems.push(Problem::new(
                text.map_or_else(|| format!("the server answered {}", self.status), str::to_owned),
            ));
        }
        problems
    }
}

/// The warnings in an answer of the server, each with its kind. Those in files that were sent show the line.
pub(super) fn warnings(answer: &serde_json::Value, sent: &[Definition]) -> Vec<(String, Problem)> {
    let all = answer["warnings"].as_array().into_iter().flatten();
    let read = |warning: &serde_json::Value| {
        let kind = warning["kind"].as_str().unwrap_or("warning").to_owned();
        (kind, problem_of(warning, &|name| source_of(name, sent)))
    };
    all.map(read).collect()
}

/// Reads a problem from the server. If its text was sent, the problem shows the line.
fn problem_of(error: &serde_json::Value, source: &impl Fn(Option<&str>) -> Option<Arc<Source>>) -> Problem {
    let text = |field: &str| error[field].as_str().map(str::to_owned);
    let number = |field: &str| error[field].as_u64().and_then(|n| u32::try_from(n).ok());
    let source = source(error["source"].as_str());
    let place = number("line").map(|line| {
        let column = number("column").unwrap_or(1);
        let offset = source.as_ref().map_or(0, |source| offset_of(&source.text, line, column));
        Place { line, column, offset, length: number("length").unwrap_or(0) }
    });
    Problem {
        hint: text("hint"),
        pointer: text("pointer").unwrap_or_default(),
        place,
        source,
        ..Problem::new(text("detail").unwrap_or_else(|| "no detail".into()))
    }
}

/// The text that the server calls `name`. If it was not sent, only the name is known, and no line is shown.
/// Without a name it is the file that was sent, if there was just one.
fn source_of(name: Option<&str>, sent: &[Definition]) -> Option<Arc<Source>> {
    match (name, sent) {
        (None, [only]) => Some(Arc::clone(&only.source)),
        (None, _) => None,
        (Some(name), _) => Some(sent.iter().find(|file| file.is_called(name)).map_or_else(
            || Arc::new(Source { name: name.to_owned(), text: String::new() }),
            |file| Arc::clone(&file.source),
        )),
    }
}

fn offset_of(text: &str, line: u32, column: u32) -> u32 {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let within = rest.char_indices().nth(column.saturating_sub(1) as usize).map_or(rest.len(), |(at, _)| at);
    (start + within) as u32
}

/// The header of a change that is made only if what is active has this tag. A tag may be given without its
/// quotes.
pub(super) fn if_match(tag: Option<&str>) -> Vec<(header::HeaderName, String)> {
    let quoted = |tag: &str| match tag {
        "*" => tag.to_owned(),
        tag if tag.starts_with('"') => tag.to_owned(),
        tag => format!("\"{tag}\""),
    };
    tag.map(|tag| (header::IF_MATCH, quoted(tag))).into_iter().collect()
}

/// Percent-encodes a path segment or a query value.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_meant_say_why() {
        for (url, why) in [
            ("https://bank.example", "only http"),
            ("127.0.0.1:8080", "http://"),
            ("http://x/api", "it has a path"),
            ("localhost", "http://"),
        ] {
            let failure = Client::new(url).map(|_| ()).unwrap_err();
            assert!(failure.message.contains(why), "{url}: {failure}");
        }
        assert_eq!(Client::new("http://bank.example/").unwrap().authority, "bank.example:80");
    }

    #[test]
    fn problems_of_the_server_are_shown_in_the_local_file() {
        let body = r#"{"title": "wrong", "errors": [{"detail": "unknown feature `riks`", "pointer": "/offers/a",
            "line": 2, "column": 7, "hint": "did you mean `risk`?"}]}"#;
        let answer = ServerAnswer {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        let text = "rule_set: wealth\nwhen: riks > 1\n".to_owned();
        let sent = [Definition::of(Source { name: "wealth.yaml".into(), text }).unwrap()];
        let text = answer.problems(&sent).to_string();
        let expected =
            "wealth.yaml:2:7: unknown feature `riks`\n  2 | when: riks > 1\n    |       ^\n  = did you mean";
        assert!(text.starts_with(expected), "{text}");
        let answer = ServerAnswer {
            status: StatusCode::BAD_GATEWAY,
            headers: HeaderMap::new(),
            body: "<html>".into(),
        };
        assert!(answer.problems(&[]).to_string().contains("502 Bad Gateway: <html>"));
    }

    #[test]
    fn no_line_of_another_file_is_shown_for_a_problem() {
        let local =
            |name: &str, text: &str| Definition::of(Source { name: name.into(), text: text.into() }).unwrap();
        let sent = [
            local("b/schema.yaml", "schema: s\nfeatures: {}\n"),
            local("b/rule-sets/x.yaml", "rule_set: wealth\nwhen: a\n"),
        ];
        for (source, expected) in [
            (r#""cards""#, "cards:2:1: wrong\n"),
            (r#""x.yaml""#, "b/rule-sets/x.yaml:2:1: wrong\n  2 | when: a\n    | ^\n"),
            (r#""wealth""#, "b/rule-sets/x.yaml:2:1: wrong\n  2 | when: a\n    | ^\n"),
            (r#""schema""#, "b/schema.yaml:2:1: wrong\n  2 | features: {}\n    | ^\n"),
            ("null", "wrong\n"),
        ] {
            let error = format!(r#"{{"detail": "wrong", "source": {source}, "line": 2, "column": 1}}"#);
            let error = serde_json::from_str(&error).unwrap();
            assert_eq!(problem_of(&error, &|name| source_of(name, &sent)).to_string(), expected, "{source}");
        }
    }

    #[test]
    fn what_goes_into_a_path_is_encoded() {
        assert_eq!(encoded("a/b c&客"), "a%2Fb%20c%26%E5%AE%A2");
    }
}
