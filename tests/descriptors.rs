//! The real program with few file descriptors, and with none left for a while. It bounds its connections
//! below the limit, refuses what needs a file it cannot have, and is as before once there are descriptors
//! again.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;

use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use durable_support::rigs::has_strace;
use durable_support::{Connection, Home, Process};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// Sets the limit of open files of a running server.
fn limit(process: &Process, soft: u64) {
    let pid = Pid::from_raw(process.id() as i32);
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(soft), maximum }).unwrap();
}

/// The limit of open files of a running server, as the system has it.
fn limit_of(process: &Process) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap()
}

/// Starts the server with this limit of open files, hard or soft.
fn start_with(home: &Home, limit: &str) -> Process {
    let script = format!("ulimit {limit}; exec \"$0\" \"$@\"");
    home.start_under(&["sh", "-c", &script], &[])
}

fn put(connection: &mut Connection, id: &str) -> u16 {
    let body = r#"{"version": 1, "twin": 1}"#;
    connection.ask("PUT", &format!("/v1/customers/{id}"), body).unwrap().status
}

fn snapshot(connection: &mut Connection) -> u16 {
    connection.ask("POST", "/v1/snapshots", "").unwrap().status
}

/// While it lives, every call of a running server that needs a new descriptor fails.
struct Failing(Child);

impl Failing {
    /// Fails with this error, which the whole system gives and no limit of the process can make.
    fn with(process: &Process, error: &str) -> Failing {
        let inject = format!("inject=openat,accept4:error={error}");
        let pid = process.id().to_string();
        let arguments =
            ["-f", "-qq", "-o", "/dev/null", "-e", "trace=openat,accept4", "-e", &inject, "-p", &pid];
        let tracer = Command::new("strace").args(arguments).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_traced(process) {
            assert!(Instant::now() < deadline, "strace does not reach all threads");
            std::thread::sleep(Duration::from_millis(5));
        }
        Failing(tracer)
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // Asked to end, it lets go of all threads first.
        let _ = rustix::process::kill_process(Pid::from_child(&self.0), rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Whether all threads of a server are traced.
fn is_traced(process: &Process) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("status")).ok()).all(
        |status| {
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
            tracer.is_some_and(|tracer| tracer.trim() != "0")
        },
    )
}

#[test]
fn the_limit_is_raised_as_far_as_connections_need_it() {
    let home = Home::new();
    let process = start_with(&home, "-Sn 128");
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let raised = limit_of(&process);
    assert!(raised >= hard.min(10_000) && raised <= hard, "{raised} of {hard}");
}

#[test]
fn idle_connections_leave_descriptors_for_files() {
    let home = Home::new();
    let process = start_with(&home, "-n 160");
    assert!(
        process.said().contains("the limit of open files allows fewer connections"),
        "{}",
        process.said()
    );
    let mut kept = process.connect().unwrap();
    assert_eq!(put(&mut kept, "a"), 200);
    // Many more than the limit. Those that were let in stay, the others are turned away.
    let idle: Vec<TcpStream> = (0..400).filter_map(|_| TcpStream::connect(process.address).ok()).collect();
    for round in 0..5 {
        assert_eq!(put(&mut kept, &format!("b-{round}")), 200);
        assert_eq!(snapshot(&mut kept), 201, "{}", process.said());
    }
    let ready = kept.ask("GET", "/readyz", "").unwrap().json();
    assert_eq!(ready["takes_writes"], true, "{ready}");
    drop(idle);
    let deadline = Instant::now() + Duration::from_secs(20);
    while process.connect().and_then(|mut new| new.ask("GET", "/v1/snapshots", "")).map_or(0, |it| it.status)
        != 200
    {
        assert!(Instant::now() < deadline, "places are not given back: {}", process.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(kept);
    process.terminate();
    home.verify();
}

#[test]
fn too_few_descriptors_are_refused_with_a_number_that_will_do() {
    let home = Home::new();
    let script = "ulimit -n 40; exec \"$0\" \"$@\"";
    let program = env!("CARGO_BIN_EXE_usher");
    let data = home.data.to_str().unwrap();
    let output = Command::new("sh")
        .args(["-c", script, program, "serve", "--listen", "127.0.0.1:0", "--threads", "2", "--data", data])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the limit of open files is 40") && said.contains("at least 75"), "{said}");
    let process = start_with(&home, "-n 75");
    process.ask("GET", "/readyz", "").is(200);
}

#[test]
fn a_system_without_files_or_memory_is_borne_and_heals_without_a_restart() {
    if !has_strace() {
        return;
    }
    let home = Home::new();
    let process = home.start(&[]);
    let mut kept = process.connect().unwrap();
    for (round, error) in ["ENOMEM", "ENFILE"].iter().enumerate() {
        assert_eq!(put(&mut kept, &format!("before-{round}")), 200); // something for the snapshot
        let failing = Failing::with(&process, error);
        let waiting = TcpStream::connect(process.address).unwrap();
        let refused = kept.ask("POST", "/v1/snapshots", "").unwrap();
        assert_eq!(refused.status, 503, "{error}: {refused:?}");
        assert!(refused.text.contains("gave no file"), "{error}: {refused:?}");
        assert_eq!(put(&mut kept, &format!("during-{round}")), 200, "{error}");
        drop(failing);
        assert_eq!(snapshot(&mut kept), 201, "{error}: {}", process.said());
        drop(waiting);
        process.ask("GET", "/readyz", "").is(200); // connections are accepted again
        assert!(process.said().matches("cannot accept connections").count() > round, "{error}");
    }
    drop(kept);
    process.terminate();
    assert_eq!(home.verify()["customers"], 4);
}

#[test]
fn what_finds_no_descriptor_is_refused_and_heals_without_a_restart() {
    let home = Home::new();
    let process = home.start(&[]);
    let mut kept = process.connect().unwrap();
    assert_eq!(put(&mut kept, "before"), 200);
    let enough = limit_of(&process);
    for round in 0..3 {
        // From now on every call that needs a descriptor gets EMFILE.
        limit(&process, 3);
        let waiting = TcpStream::connect(process.address).unwrap(); // the system accepts it, the server cannot
        let refused = kept.ask("POST", "/v1/snapshots", "").unwrap();
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.text.contains("gave no file"), "{refused:?}");
        let ready = kept.ask("GET", "/readyz", "").unwrap().json();
        assert_eq!((&ready["ready"], &ready["takes_writes"]), (&true.into(), &false.into()), "{ready}");
        assert!(ready["write_refusal"].as_str().unwrap().contains("Too many open files"), "{ready}");
        // What needs no new file goes on.
        assert_eq!(put(&mut kept, &format!("during-{round}")), 200);
        let ready = kept.ask("GET", "/readyz", "").unwrap().json();
        assert_eq!(
            (&ready["takes_writes"], &ready["write_refusal"]),
            (&true.into(), &serde_json::Value::Null)
        );
        let decision = "/v1/decisions?customer=before&placement=home_banner&channel=app";
        assert_eq!(kept.ask("GET", decision, "").unwrap().status, 200);

        limit(&process, enough);
        assert_eq!(snapshot(&mut kept), 201, "{}", process.said());
        assert_eq!(put(&mut kept, &format!("after-{round}")), 200);
        drop(waiting);
        process.ask("GET", "/readyz", "").is(200); // connections are accepted again
    }
    let busy = process.said().matches("cannot accept connections").count();
    assert!((1..40).contains(&busy), "it tries again, and does not spin: {busy}");
    drop(kept);
    process.terminate();
    assert_eq!(home.verify()["customers"], 7);
}
