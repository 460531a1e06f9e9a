//! The real program on disks that lose power, fail, fill up or are slow. What was acknowledged is kept, what
//! cannot be kept is refused, and decisions go on.
//!
//! Most of these tests need root (to mount) or strace. Where that is missing, a test says that it is skipped.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;
#[path = "../src/testing.rs"]
mod testing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use durable_support::history::History;
use durable_support::rigs::{Cut, Filler, Mounted, strace};
use durable_support::{Home, Process};
use fastrand::Rng;
use testing::rounds;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Small, so that the server also takes snapshots by itself.
const ARGUMENTS: [&str; 2] = ["--snapshot-journal-mb", "1"];
const DECISION: &str = "/v1/decisions?customer=nobody&placement=home_banner&channel=app";
/// How long a change that must come soon may take on a slow and busy machine.
const SOON: Duration = Duration::from_secs(60);

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn decides(process: &Process) {
    process.ask("GET", DECISION, "").is(200);
}

fn takes_writes(process: &Process) -> bool {
    process.ask("GET", "/readyz", "").is(200).json()["takes_writes"].as_bool().unwrap()
}

fn put(process: &Process, id: &str) -> u16 {
    process.ask("PUT", &format!("/v1/customers/{id}"), r#"{"version": 1, "twin": 1}"#).status
}

/// Loads 1,000 customers at once, the same each time; returns the status.
fn bulk(process: &Process) -> u16 {
    let row = |number| format!("{{\"customer\": \"bulk-{number}\", \"version\": 1, \"twin\": 1}}\n");
    process.ask("POST", "/v1/customers", &(0..1000).map(row).collect::<String>()).status
}

/// Cuts the power and kills the process. An ioctl plays the power cut. A sync that is under way at that
/// moment may return without an error although its data is lost; a program of ten lines shows the same. In a
/// real power cut nobody would hear that answer, so answers count only until the cut begins.
fn cut(disk: &Mounted, how: Cut, process: &Process, deaf: &AtomicBool, wait: Duration) -> Option<()> {
    let armed = disk.arm(how)?;
    std::thread::sleep(wait);
    deaf.store(true, Ordering::SeqCst);
    let cut = armed.cut();
    std::thread::sleep(wait / 8);
    process.kill();
    cut
}

/// Cuts the power again and again; `USHER_CUT_CYCLES` asks for another number of cuts.
fn survives_power_cuts(how: Cut) {
    let Some(disk) = Mounted::ext4(128) else { return };
    let cycles = std::env::var("USHER_CUT_CYCLES").map_or(rounds(3, 25), |text| text.parse().unwrap());
    let (seed, home) = (fastrand::u64(..), Home::on(disk.path()));
    let (mut rng, mut history) = (Rng::with_seed(seed), History::new(seed));
    for _ in 0..cycles {
        let process = home.start(&ARGUMENTS);
        history.check(&process);
        let wait = Duration::from_micros(rng.u64(..80_000));
        let cut = history.load(process.address, |deaf| cut(&disk, how, &process, deaf, wait));
        drop(process);
        if cut.is_none() {
            return;
        }
        disk.remount();
    }
    history.check(&home.start(&ARGUMENTS));
    assert!(history.highest() > cycles as u64, "hardly anything was written");
    home.verify();
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    survives_power_cuts(Cut::WithLog);
}

#[test]
fn nor_when_the_log_of_the_file_system_goes_with_it() {
    survives_power_cuts(Cut::WithoutLog);
}

/// Writes until the journal fails. From then on the server must decide and refuse writes.
fn until_it_fails(process: &Process, history: &mut History) {
    history.load(process.address, |_| eventually("a sync fails", || !takes_writes(process)));
    for number in 0..20 {
        assert_eq!(put(process, &format!("late-{number}")), 503);
        decides(process);
    }
    assert!(!takes_writes(process), "it does not come back by itself");
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_what_was_survives_a_power_cut() {
    for when in [4, 23, 9, 60].into_iter().take(rounds(2, 4)) {
        // The sync fails only once: on Linux the next sync reports success.
        let Some(wrapper) = strace(&format!("error=EIO:when={when}")) else { return };
        let Some(disk) = Mounted::ext4(128) else { return };
        let (home, mut history) = (Home::on(disk.path()), History::new(when));
        drop(home.start(&[])); // the syncs of a first start are not meant
        let process = home.start_under(&wrapper.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        until_it_fails(&process, &mut history);
        let cut = cut(&disk, Cut::WithoutLog, &process, &AtomicBool::new(false), Duration::ZERO);
        drop(process);
        if cut.is_some() {
            disk.remount();
        }
        history.check(&home.start(&[]));
        assert!(history.highest() > 0);
    }
}

#[test]
fn a_disk_that_cannot_keep_what_it_took_ends_writing_until_restart() {
    let Some(disk) = Mounted::ext4_on_sand(320, 24) else { return };
    let (home, mut history) = (Home::on(disk.path()), History::new(1));
    let process = home.start(&[]);
    history.load(process.address, |_| std::thread::sleep(Duration::from_millis(100)));
    let filler = Filler::fill(disk.below());
    until_it_fails(&process, &mut history);
    drop(filler);
    process.kill();
    drop(process);
    disk.remount();
    history.check(&home.start(&[]));
}

/// Fills the disk until a write is refused. Decisions go on, nothing is lost, and writes go on once there is
/// room.
fn full_and_back(disk: &Mounted, home: &Home, history: &mut History) {
    let process = home.start(&[]);
    assert_eq!(bulk(&process), 200);
    history.load(process.address, |_| std::thread::sleep(Duration::from_millis(50)));
    let filler = Filler::fill(disk.path());
    eventually("the disk is full", || {
        decides(&process);
        let status = bulk(&process);
        assert!([200, 507].contains(&status), "{status}");
        status == 507
    });
    // The snapshot may find just enough room; then it makes more.
    let snapshot = process.ask("POST", "/v1/snapshots", "").status;
    assert!([201, 507].contains(&snapshot), "{snapshot}");
    decides(&process);
    drop(filler);
    eventually("writes go on", || put(&process, "bulk-0") == 200);
    history.load(process.address, |_| std::thread::sleep(Duration::from_millis(50)));
    process.ask("POST", "/v1/snapshots", "").is(201);
    decides(&process);
    process.kill();
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again_when_there_is_room() {
    for mounted in [Mounted::tmpfs(32), Mounted::ext4(48)] {
        let Some(disk) = mounted else { return };
        let (home, mut history) = (Home::on(disk.path()), History::new(2));
        history.others = 1000;
        for _ in 0..rounds(1, 3) {
            full_and_back(&disk, &home, &mut history);
            history.check(&home.start(&[]));
        }
    }
}

#[test]
fn a_limit_on_file_sizes_is_a_full_disk_and_kills_nobody() {
    let (home, mut history) = (Home::new(), History::new(3));
    history.others = 1000;
    drop(home.start(&[]));
    let process = home.start_under(&["prlimit", "--fsize=1048576"], &[]);
    history.load(process.address, |_| std::thread::sleep(Duration::from_millis(50)));
    eventually("the limit is reached", || bulk(&process) == 507);
    assert!(process.is_running(), "{}", process.said());
    decides(&process);
    process.kill();
    drop(process);
    history.check(&home.start(&[]));
}

#[test]
fn two_processes_never_share_a_directory_and_a_dead_one_is_no_obstacle() {
    let home = Home::new();
    let starts = rounds(4, 20);
    for number in 0..starts {
        let process = home.start(&[]);
        home.refused("a second process").says(&["another process has this data directory"]);
        assert_eq!(put(&process, &format!("c-{number}")), 200);
        if number == 0 {
            // A start does not mind that the one before has not let go yet.
            std::thread::scope(|scope| {
                let next = scope.spawn(|| home.start(&[]).wait_until_ready());
                std::thread::sleep(Duration::from_millis(300));
                process.kill();
                assert_eq!(next.join().unwrap()["customers"], 1);
            });
            continue;
        }
        process.kill();
        drop(process);
    }
    assert_eq!(home.start(&[]).wait_until_ready()["customers"], starts);
}

fn time_decisions(process: &Process, count: usize) -> Vec<Duration> {
    let mut connection = process.connect().unwrap();
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            let asked = Instant::now();
            assert_eq!(connection.ask("GET", DECISION, "").unwrap().status, 200);
            asked.elapsed()
        })
        .collect();
    times.sort();
    times
}

#[test]
fn decisions_do_not_wait_for_a_slow_disk_but_writes_do() {
    const DELAY: Duration = Duration::from_millis(300);
    let Some(wrapper) = strace(&format!("delay_enter={}", DELAY.as_micros())) else { return };
    let home = Home::new();
    drop(home.start(&[]));
    let process = home.start_under(&wrapper.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    let alone = time_decisions(&process, 300);
    let stop = AtomicBool::new(false);
    let (beside, writes) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut times = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                assert_eq!(put(&process, "slow"), 200);
                times.push(asked.elapsed());
            }
            times
        });
        let mut beside = Vec::new();
        let until = Instant::now() + 4 * DELAY;
        while Instant::now() < until {
            beside.extend(time_decisions(&process, 100));
        }
        stop.store(true, Ordering::Relaxed);
        (beside, writer.join().unwrap())
    });
    assert!(writes.iter().all(|time| *time >= DELAY * 9 / 10), "acknowledged before the sync: {writes:?}");
    let mut beside = beside;
    beside.sort();
    let (alone, beside) = (alone[alone.len() / 2], beside[beside.len() * 99 / 100]);
    assert!(beside < 10 * alone + DELAY / 3, "{beside:?} (99 of 100) beside slow writes, {alone:?} alone");
}

/// The name and content of every file in a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

/// A directory with a snapshot and some journal after it.
fn written() -> Home {
    let home = Home::new();
    let process = home.start(&[]);
    assert_eq!(bulk(&process), 200);
    process.ask("POST", "/v1/snapshots", "").is(201);
    assert_eq!(put(&process, "later"), 200);
    process.kill();
    home
}

#[test]
fn what_a_later_version_wrote_is_refused_and_left_as_it_is() {
    let home = written();
    let before = files(&home.data);
    let salt = xxh3_64(&before["usher.id"][16..32]);
    check_later(&home, &before, ".journal", &[0], 56, salt);
    check_later(&home, &before, ".snapshot", &[0], 12, salt);
    check_later(&home, &before, "usher.id", &[0, 4096], 32, 0);
    assert_eq!(home.start(&[]).wait_until_ready()["customers"], 1001);
}

/// Gives all files of a kind the next version, at byte 8, with a matching checksum. `starts` says where their
/// heads begin; a head has `length` bytes and then its checksum.
fn check_later(
    home: &Home,
    before: &BTreeMap<String, Vec<u8>>,
    kind: &str,
    starts: &[usize],
    length: usize,
    seed: u64,
) {
    let of_kind: Vec<_> = before.iter().filter(|(name, _)| name.ends_with(kind)).collect();
    assert!(!of_kind.is_empty(), "{kind}: {:?}", before.keys());
    let mut version = 0;
    for (name, bytes) in &of_kind {
        let mut later = (*bytes).clone();
        for &start in starts {
            later[start + 8] += 1;
            version = later[start + 8];
            let checksum = xxh3_64_with_seed(&later[start..start + length], seed);
            later[start + length..start + length + 8].copy_from_slice(&checksum.to_le_bytes());
        }
        std::fs::write(home.data.join(name), later).unwrap();
    }
    let found = files(&home.data);
    home.refused(kind).says(&[kind, &format!("version {version}")]);
    assert!(files(&home.data) == found, "{kind}: something was changed");
    for (name, bytes) in of_kind {
        std::fs::write(home.data.join(name), bytes).unwrap();
    }
}

#[test]
fn a_directory_that_lost_files_never_starts_empty() {
    let home = written();
    let before = files(&home.data);
    check_without(&home, &before, "the journal", |name| name.ends_with(".journal"));
    check_without(&home, &before, "the mark", |name| name == "mark");
    check_without(&home, &before, "the identity", |name| name == "usher.id");
    check_without(&home, &before, "all but the identity", |name| name != "usher.id");
    assert_eq!(home.start(&[]).wait_until_ready()["customers"], 1001);
}

/// Checks that a start without these files is refused and changes nothing.
fn check_without(
    home: &Home,
    files_before: &BTreeMap<String, Vec<u8>>,
    what: &str,
    gone: impl Fn(&str) -> bool,
) {
    let names: Vec<_> = files_before.keys().filter(|name| gone(name)).collect();
    assert!(!names.is_empty(), "{what}");
    for name in &names {
        std::fs::remove_file(home.data.join(name)).unwrap();
    }
    let left = files(&home.data);
    let run = home.refused(&format!("without {what}"));
    assert!(files(&home.data) == left, "without {what} it was changed: {run:?}");
    for name in names {
        std::fs::write(home.data.join(name), &files_before[name]).unwrap();
    }
}
