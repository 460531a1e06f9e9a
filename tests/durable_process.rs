//! The real program is killed and stopped under load, and started again over the same directory. What was
//! acknowledged must be there, nothing may be there that was never sent, and nobody has to repair anything.
//!
//! SIGKILL does not lose what the kernel already has, so this proves nothing about syncing: durable_faults.rs
//! cuts the power.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;
#[path = "../src/testing.rs"]
mod testing;

use std::time::Duration;

use durable_support::Home;
use durable_support::history::History;
use durable_support::rigs::say;
use fastrand::Rng;
use testing::rounds;

/// Small, so that the server also takes snapshots by itself.
const ARGUMENTS: [&str; 2] = ["--snapshot-journal-mb", "1"];

/// Kills in each of the two directories. `USHER_KILL_CYCLES` asks for another number in both together.
fn cycles() -> usize {
    let asked = std::env::var("USHER_KILL_CYCLES");
    asked.map_or(rounds(5, 150), |text| text.parse::<usize>().unwrap().div_ceil(2))
}

/// If the test fails, prints how far it got.
struct At {
    seed: u64,
    cycle: usize,
}

impl Drop for At {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("seed {}, cycle {}", self.seed, self.cycle));
        }
    }
}

fn after(rng: &mut Rng, most_ms: u64) -> Duration {
    Duration::from_micros(rng.u64(..most_ms * 1000))
}

/// Kills a start as well: before it listens, or while it reads its files.
fn kill_a_start(home: &Home, rng: &mut Rng) {
    if rng.bool() {
        home.kill_start_after(after(rng, 15), &ARGUMENTS);
    } else {
        let process = home.spawn(&[], &ARGUMENTS);
        std::thread::sleep(after(rng, 15));
        process.kill();
    }
}

fn survives_kills(seed: u64) {
    let mut at = At { seed, cycle: 0 };
    let mut rng = Rng::with_seed(seed);
    let (home, mut history) = (Home::new(), History::new(seed));
    for cycle in 0..cycles() {
        at.cycle = cycle;
        if rng.u8(..8) == 0 {
            kill_a_start(&home, &mut rng);
        }
        let process = home.start(&ARGUMENTS);
        history.check(&process);
        history.load(process.address, |_| {
            std::thread::sleep(after(&mut rng, 80));
            process.kill();
        });
    }
    history.check(&home.start(&ARGUMENTS));
    assert!(history.highest() > cycles() as u64, "hardly anything was written");
    home.verify();
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_invented_when_the_process_is_killed() {
    survives_kills(fastrand::u64(..));
}

#[test]
fn nor_in_another_directory_at_the_same_time() {
    survives_kills(fastrand::u64(..));
}

/// Before its first record a directory counts as not there; from then on it is whole.
#[test]
fn a_first_start_that_is_killed_leaves_nothing_half_made() {
    let mut rng = Rng::new();
    for _ in 0..rounds(5, 30) {
        let home = Home::new();
        for _ in 0..3 {
            home.kill_start_after(after(&mut rng, 40), &ARGUMENTS);
        }
        History::new(0).check(&home.start(&ARGUMENTS));
    }
}

#[test]
fn a_stop_under_load_keeps_everything_acknowledged_in_a_last_snapshot() {
    let mut rng = Rng::new();
    let (home, mut history) = (Home::new(), History::new(rng.u64(..)));
    for _ in 0..rounds(3, 10) {
        let process = home.start(&ARGUMENTS);
        history.check(&process);
        let pause = after(&mut rng, 100);
        history.load(process.address, |_| {
            std::thread::sleep(pause);
            process.terminate();
        });
        let found = home.verify();
        assert_eq!(found["digest"], home.verify()["digest"], "looking changes nothing");
        let newest = &found["snapshots"][0];
        assert_eq!(
            (&newest["sequence"], &newest["digest"]),
            (&found["sequence"], &found["digest"]),
            "{found}"
        );
    }
    history.check(&home.start(&ARGUMENTS));
    assert!(history.highest() > 0);
}
