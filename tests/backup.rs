//! `usher backup` of a server that is written to, and `usher restore`: each copy is a state that was, with
//! everything that was acknowledged when the backup began.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;
#[path = "../src/testing.rs"]
mod testing;

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cli_support::{program, run};
use durable_support::rigs::say;
use durable_support::{Connection, Home, Process};
use serde_json::Value;
use testing::rounds;

const WRITERS: usize = 3;
/// Small, so that files come and go while they are copied.
const ARGUMENTS: [&str; 2] = ["--snapshot-journal-mb", "1"];

/// What each writer sent and was told, as the numbers of its writes.
#[derive(Default)]
struct Load {
    sent: [AtomicU64; WRITERS],
    acknowledged: [AtomicU64; WRITERS],
    stop: AtomicBool,
}

impl Load {
    /// Writes the same number to many customers at once, again and again. They are of one submission.
    fn write(&self, writer: usize, connection: &mut Connection) {
        for number in 1.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let row = |who| {
                format!("{{\"customer\": \"w-{writer}-{who}\", \"version\": {number}, \"twin\": {number}}}\n")
            };
            let rows: String = (0..50).map(row).collect();
            self.sent[writer].store(number, Ordering::SeqCst);
            connection.ask("POST", "/v1/customers", &rows).unwrap().is(200);
            self.acknowledged[writer].store(number, Ordering::SeqCst);
        }
    }

    fn numbers(of: &[AtomicU64; WRITERS]) -> [u64; WRITERS] {
        std::array::from_fn(|writer| of[writer].load(Ordering::SeqCst))
    }
}

/// Stops the load when the test ends, in whatever way.
struct StopAtEnd<'l>(&'l AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn verified(directory: &Path) -> Value {
    serde_json::from_str(&run(&["verify", text(directory), "--json"]).ended(0).out).unwrap()
}

/// The number that all customers of a writer have; 0 if there are none.
#[track_caller]
fn number_of(process: &Process, writer: usize) -> u64 {
    let number = |who| {
        let reply = process.ask("GET", &format!("/v1/customers/w-{writer}-{who}"), "");
        if reply.status == 404 { 0 } else { reply.json()["features"]["version"].as_u64().unwrap() }
    };
    let first = number(0);
    assert!([17, 49].into_iter().all(|who| number(who) == first), "half of a submission");
    first
}

/// Restores a backup, and checks what is in it.
#[track_caller]
fn check(place: &Path, backup: &Path, least: [u64; WRITERS], most: impl Fn() -> [u64; WRITERS]) {
    let most = most();
    let restored = place.join("restored");
    let said = run(&["restore", text(backup), "--data", text(&restored), "--json"]).ended(0);
    let said: Value = serde_json::from_str(&said.out).unwrap();
    let (here, there) = (verified(backup), verified(&restored));
    assert_eq!((&here["digest"], &here["sequence"]), (&there["digest"], &said["sequence"]));
    let process = Process::spawn(program(&["serve", "--listen", "127.0.0.1:0", "--data", text(&restored)]));
    process.wait_until_ready();
    for writer in 0..WRITERS {
        let found = number_of(&process, writer);
        assert!(
            (least[writer]..=most[writer]).contains(&found),
            "writer {writer}: {found}, not {least:?} to {most:?}"
        );
    }
    process.terminate();
    std::fs::remove_dir_all(&restored).unwrap();
    std::fs::remove_dir_all(backup).unwrap();
}

#[test]
fn backups_of_a_server_under_load_restore_to_a_state_that_was() {
    let (home, place, load) = (Home::new(), tempfile::tempdir().unwrap(), Load::default());
    let (process, backups) = (home.start(&ARGUMENTS), rounds(6, 200));
    let mut broken_off = 0;
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&load.stop);
        for writer in 0..WRITERS {
            let (load, mut connection) = (&load, process.connect().unwrap());
            scope.spawn(move || load.write(writer, &mut connection));
        }
        scope.spawn(|| {
            while !load.stop.load(Ordering::Relaxed) {
                process.ask("POST", "/v1/snapshots", "").is(201);
                std::thread::sleep(Duration::from_millis(150));
            }
        });
        for number in 0..backups {
            let backup = place.path().join(format!("backup-{number}"));
            let arguments = ["backup", "--data", text(&home.data), text(&backup)];
            if number % 3 == 1 {
                // It is broken off somewhere; the same command goes on.
                let mut command = program(&arguments);
                let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(Duration::from_millis(number as u64 * 7 % 60));
                child.kill().unwrap();
                broken_off += usize::from(!child.wait().unwrap().success());
                if verify_says_whole(&backup) {
                    std::fs::remove_dir_all(&backup).unwrap();
                }
            }
            let least = Load::numbers(&load.acknowledged);
            run(&arguments).ended(0).says(&["holds everything up to record", "all checked"]);
            check(place.path(), &backup, least, || Load::numbers(&load.sent));
        }
    });
    say(&format!(
        "{backups} backups, {broken_off} of them broken off before; {:?} writes",
        Load::numbers(&load.sent)
    ));
    process.terminate();
}

fn verify_says_whole(directory: &Path) -> bool {
    directory.exists() && run(&["verify", text(directory)]).code == 0
}

#[test]
fn a_backup_holds_what_was_acknowledged_a_moment_ago_whenever_syncs_come() {
    for sync in ["always", "interval=60000", "never"] {
        let (home, place) = (Home::new(), tempfile::tempdir().unwrap());
        let process = home.start(&["--sync", sync]);
        let backup = place.path().join("backup");
        process.ask("PUT", "/v1/customers/c-1", r#"{"version": 7, "twin": 7}"#).is(200);
        run(&["backup", "--data", text(&home.data), text(&backup)]).ended(0);
        process.kill();
        drop(process);
        let kept = verified(&backup);
        assert_eq!(kept["customers"], 1, "{sync}: {kept}");
        assert_eq!(kept["digest"], home.verify()["digest"], "{sync}");
    }
}

#[test]
fn what_cannot_be_copied_or_overwritten_says_what_to_do() {
    let (home, place) = (Home::new(), tempfile::tempdir().unwrap());
    home.start(&[]).terminate();
    let (backup, data) = (place.path().join("backup"), text(&home.data));
    let usher = |arguments: &[&str], variable: Option<&str>| {
        let mut command = program(arguments);
        command.current_dir(place.path()).envs(variable.map(|data| ("USHER_DATA", data)));
        cli_support::run_command(command, b"")
    };
    usher(&["backup", "backup"], None).ended(2).says(&["which data directory?", "--data DIR"]);
    usher(&["backup", "backup"], Some(data)).ended(0);
    usher(&["backup", "backup"], Some(data)).ended(2).says(&["a data directory already", "new or empty"]);
    usher(&["restore", "backup"], Some(data)).ended(2).says(&["a data directory already"]);
    usher(&["restore", "nowhere", "--data", "new"], None).ended(2).says(&["nowhere: "]);
    std::fs::create_dir(place.path().join("empty")).unwrap();
    usher(&["restore", "empty", "--data", "new"], None).ended(2).says(&["empty: ", "not a data directory"]);
    assert!(!place.path().join("new").exists());
    // A restore that did not end is not taken for a data directory.
    let half = place.path().join("half");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("copy.unfinished"), "").unwrap();
    for command in [&["verify", "half"][..], &["serve", "--listen", "127.0.0.1:0", "--data", "half"]] {
        usher(command, None).ended(2).says(&["run the same command again"]);
    }
    // A backup is damaged like any directory, and a restore says so.
    let snapshot = std::fs::read_dir(&backup).unwrap().map(|entry| entry.unwrap().path());
    let journal =
        snapshot.into_iter().find(|path| path.extension().is_some_and(|end| end == "journal")).unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    usher(&["restore", "backup", "--data", "new"], None).ended(2).says(&[".journal, byte"]);
    usher(&["serve", "--listen", "127.0.0.1:0", "--data", "new"], None).ended(2);
}
