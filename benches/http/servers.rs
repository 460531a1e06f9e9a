//! The two servers. Each is a process of its own, so that its CPU time can be told from the client's: this
//! same program, started again with an argument. They end when their standard input closes, as it does when
//! the parent dies.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::{Builder, Runtime};
use usher::bundle::Bundle;
use usher::bundle::population::Population;
use usher::http;
use usher::node::Node;
use usher::node::startup::Startup;
use usher::schema::value::Time;

const USHER: &str = "--serve-usher";
const CONSTANT: &str = "--serve-constant";
/// The unit of /proc/PID/stat: always a hundredth of a second, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;
/// Customers in one write while the node is filled.
const CHUNK: usize = 1_000;

pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) address: SocketAddr,
}

impl Child {
    pub(crate) fn usher(customers: usize) -> Child {
        Child::start(USHER, customers)
    }

    pub(crate) fn constant(bytes: usize) -> Child {
        Child::start(CONSTANT, bytes)
    }

    fn start(role: &str, number: usize) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([role, &number.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("{role} did not start"));
        Child { process, address }
    }

    /// Seconds of CPU time used so far: all of it, and the part in user mode.
    pub(crate) fn cpu(&self) -> (f64, f64) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The second field, the name, may hold anything, but the last parenthesis ends it.
        let fields: Vec<_> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
        let seconds = |index: usize| fields[index].parse::<f64>().unwrap() / TICKS_PER_SECOND;
        let (user, system) = (seconds(12), seconds(13));
        (user + system, user)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait(); // it was told to end; how it does is of no interest
    }
}

/// Serves if the arguments say that this process is one of the servers. Returns whether it was.
pub(crate) fn run_as_child(arguments: &[String]) -> bool {
    let [role, number] = arguments else { return false };
    match role.as_str() {
        USHER => serve_usher(number.parse().unwrap()),
        CONSTANT => serve_constant(number.parse().unwrap()),
        _ => return false,
    }
    true
}

/// Prints the address for the parent, and stays until the parent closes the pipe.
fn announce(address: SocketAddr) {
    println!("{address}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new()); // an error means that the parent is gone too
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn serve_usher(customers: usize) {
    let node = Node::start().unwrap();
    let bundle = Bundle::embedded();
    let schema = bundle.parse_schema().unwrap();
    let source = bundle.population.as_ref().unwrap();
    let population = Population::parse(&source.name, &source.text, &schema).unwrap();
    runtime().block_on(async {
        node.define(bundle.define()).await.unwrap_or_else(|e| panic!("{e:?}"));
        let mut updates = population.customers(customers, now()).chain(population.named().iter().cloned());
        loop {
            let chunk: Vec<_> = updates.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            node.write(chunk).await.unwrap();
        }
    });
    let settings = http::Settings { threads: 1, ..http::Settings::default() };
    let server = http::serve((Ipv4Addr::LOCALHOST, 0).into(), Startup::done(node), settings).unwrap();
    announce(server.address());
}

fn now() -> Time {
    Time(jiff::Timestamp::now().as_microsecond())
}

/// The floor: hyper as Usher uses it, and nothing else. Usher's own stream holds pipelined answers back until
/// they can leave in one write; `pipeline_flush` does about the same.
fn serve_constant(bytes: usize) {
    let body = Bytes::from(vec![b'x'; bytes]);
    let std_listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    std_listener.set_nonblocking(true).unwrap();
    let address = std_listener.local_addr().unwrap();
    std::thread::spawn(move || {
        runtime().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(std_listener).unwrap();
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(75));
            http.max_headers(64).max_buf_size(64 * 1024).half_close(true).pipeline_flush(true);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let body = body.clone();
                let service = service_fn(move |request| constant(request, body.clone()));
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    announce(address);
}

/// Reads the request as far as any server must, and answers with the constant.
async fn constant(request: Request<Incoming>, body: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await; // a broken request ends its connection without our help
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}
