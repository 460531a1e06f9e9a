//! Redis with `appendfsync always`, as a process of its own over a directory beside Usher's.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::socket::Socket;
use super::{CUSTOMERS, FEATURE, Writer, id, runtime};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Redis {
    process: Child,
    address: SocketAddr,
}

impl Redis {
    /// Starts it. Without a Redis on this machine it says so and returns `None`.
    pub(crate) fn start(folder: &Path) -> Option<Redis> {
        std::fs::create_dir_all(folder).unwrap();
        let address = free_address();
        let mut command = Command::new("redis-server");
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--auto-aof-rewrite-percentage",
            "0",
        ]);
        command.arg("--dir").arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        let process = match command.spawn() {
            Ok(process) => process,
            Err(e) => {
                println!("without Redis: redis-server: {e}");
                return None;
            }
        };
        let redis = Redis { process, address };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis.fill();
        Some(redis)
    }

    fn fill(&self) {
        runtime().block_on(async {
            let mut client = Client(Socket::connect(self.address));
            for customer in 0..CUSTOMERS {
                client.write(customer, 0).await;
            }
        });
        self.check_size();
    }

    pub(crate) fn check_size(&self) {
        let size =
            runtime().block_on(async { Client(Socket::connect(self.address)).command(&["DBSIZE"]).await });
        assert_eq!(size, format!(":{CUSTOMERS}\r\n"));
    }

    pub(crate) fn writers(&self, count: usize) -> Vec<Client> {
        (0..count).map(|_| Client(Socket::connect(self.address))).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A free address. If another program takes it before Redis does, the bench ends and says so.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

pub(crate) struct Client(Socket);

impl Client {
    async fn command(&mut self, words: &[&str]) -> String {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        String::from_utf8(self.0.ask(request.as_bytes(), end_of_reply).await).unwrap()
    }
}

/// Where a reply ends that is a number or a text; nothing else is asked for.
fn end_of_reply(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    let end = match bytes[0] {
        b'$' => line + std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse::<usize>().ok()? + 2,
        b':' => line,
        _ => panic!("{}", String::from_utf8_lossy(bytes)),
    };
    (bytes.len() >= end).then_some(end)
}

impl Writer for Client {
    async fn write(&mut self, customer: usize, value: u64) {
        let reply = self.command(&["HSET", &id(customer), FEATURE, &value.to_string()]).await;
        assert!(reply.starts_with(':'), "{reply}");
    }

    async fn read(&mut self, customer: usize) -> u64 {
        let reply = self.command(&["HGET", &id(customer), FEATURE]).await;
        reply.lines().nth(1).unwrap().parse().unwrap()
    }
}
