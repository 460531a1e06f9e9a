//! `usher serve` over a data directory of its own, asked over loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::socket::Socket;
use super::{CUSTOMERS, FEATURE, Writer, id, runtime};

pub(crate) struct Http {
    folder: PathBuf,
    process: Child,
    address: SocketAddr,
}

impl Http {
    pub(crate) fn start(folder: &Path) -> Http {
        let http = Http::serve(folder);
        runtime().block_on(async {
            let mut client = Client(Socket::connect(http.address));
            let row = |customer| format!("{{\"customer\": \"{}\", \"{FEATURE}\": 0}}\n", id(customer));
            let rows: String = (0..CUSTOMERS).map(row).collect();
            client.ask("POST", "/v1/customers", "application/x-ndjson", &rows).await;
        });
        http
    }

    fn serve(folder: &Path) -> Http {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--models"]);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/retail-bank"));
        command.arg("--data").arg(folder).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("listening on http://").parse().unwrap();
        let http = Http { folder: folder.to_owned(), process, address };
        while !http.ready() {
            std::thread::sleep(Duration::from_millis(10));
        }
        http
    }

    fn ready(&self) -> bool {
        get(self.address, "/readyz").contains("\"ready\":true")
    }

    pub(crate) fn syncs(&self) -> u64 {
        let metrics = get(self.address, "/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix("usher_journal_syncs_total "));
        line.unwrap().parse().unwrap()
    }

    pub(crate) fn writers(&self, count: usize) -> Vec<Client> {
        (0..count).map(|_| Client(Socket::connect(self.address))).collect()
    }

    /// Kills the server and starts it again: what it acknowledged is in the journal and nowhere else.
    pub(crate) fn check_after_restart(self) {
        let customers = |http: &Http| -> Vec<u64> {
            runtime().block_on(async {
                let mut client = Client(Socket::connect(http.address));
                let mut values = Vec::new();
                for customer in 0..CUSTOMERS {
                    values.push(client.read(customer).await);
                }
                values
            })
        };
        let before = customers(&self);
        assert!(customers(&self.restarted()) == before, "after a restart");
    }

    /// The server that is started over the folder after this one was killed.
    pub(crate) fn restarted(self) -> Http {
        let folder = self.folder.clone();
        drop(self);
        Http::serve(&folder)
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends one request on a new connection, and returns what comes back.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) struct Client(Socket);

impl Client {
    /// The body of the answer, which must be a success.
    async fn ask(&mut self, method: &str, path: &str, media: &str, body: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = String::from_utf8(self.0.ask(request.as_bytes(), end_of_answer).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer
    }

    /// The same as a document.
    pub(crate) async fn document(
        &mut self,
        method: &str,
        path: &str,
        media: &str,
        body: &str,
    ) -> serde_json::Value {
        let answer = self.ask(method, path, media, body).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

fn end_of_answer(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let end = head + length.map_or(0, |length| length.parse().unwrap());
    (bytes.len() >= end).then_some(end)
}

impl Writer for Client {
    async fn write(&mut self, customer: usize, value: u64) {
        let body = format!("{{\"{FEATURE}\": {value}}}");
        self.ask("PATCH", &format!("/v1/customers/{}", id(customer)), "application/json", &body).await;
    }

    async fn read(&mut self, customer: usize) -> u64 {
        let path = format!("/v1/customers/{}", id(customer));
        let body = self.document("GET", &path, "application/json", "").await;
        body["features"][FEATURE].as_u64().unwrap()
    }
}
