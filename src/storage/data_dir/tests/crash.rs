//! Power cuts and kills after every change of the disk, with any part of what was not synced lost. They
//! also come while a start recovers from an earlier one.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use super::{End, JournalSettings, Opened, Promise, SETTINGS, Step, World, closed, start, start_with};
use crate::state::record::Record;
use crate::storage::codec;
use crate::storage::disk::simulated::{Fault, Lasting, Simulated};
use crate::storage::durability::SyncPolicy;
use crate::storage::identity;
use crate::storage::journal::{Journal, segment};
use crate::storage::refused::RefusedKind;
use crate::testing::rounds;

/// In how many ways unsynced data is lost after each change of the disk. The second way is a kill.
fn ways_to_lose() -> usize {
    rounds(2, 6)
}

/// How many lives a directory has, each ended by a crash or kill.
fn lives_of_a_directory() -> usize {
    rounds(2, 4)
}

#[test]
fn whatever_a_crash_leaves_a_start_finds_all_that_was_acknowledged() {
    // Disks that a crash or kill left, each started; `USHER_CRASHES` asks for another number.
    let asked = std::env::var("USHER_CRASHES");
    let wanted = asked.map_or(rounds(300, 20_000), |number| number.parse().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let counts: Vec<Counts> = std::thread::scope(|scope| {
        let start = |thread| {
            scope.spawn(move || {
                let mut counts = Counts::default();
                for seed in (thread as u64..).step_by(threads) {
                    if counts.disks * threads >= wanted {
                        break;
                    }
                    lives(seed, &mut counts);
                }
                counts
            })
        };
        let threads: Vec<_> = (0..threads).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |of: fn(&Counts) -> usize| counts.iter().map(of).sum::<usize>();
    println!(
        "{} disks after crashes and kills, {} of them of a start; {} with a torn end, {} with more than was \
         acknowledged, {} with a snapshot; {} nodes ended by a failing disk in between",
        sum(|c| c.disks),
        sum(|c| c.of_starts),
        sum(|c| c.torn),
        sum(|c| c.more),
        sum(|c| c.from_snapshots),
        sum(|c| c.failed)
    );
    assert!(sum(|c| c.torn) > wanted / 50 && sum(|c| c.more) > wanted / 50, "the cases that matter come");
}

#[test]
fn an_end_that_a_killed_start_cut_does_not_come_back_behind_a_later_segment() {
    let (mut world, disk) = closed(1, 500, SETTINGS);
    let mut node = start(&disk).unwrap();
    disk.keep_moments();
    world.step(Step::Commit(1), &mut node, &disk).unwrap();
    let torn = disk.moments().swap_remove(1);
    let name = segment::name(1);
    torn.truncate(&name, torn.bytes(&name).len() - 1);

    torn.keep_moments();
    start(&torn).unwrap();
    let cut = torn.log().iter().position(|call| call.starts_with("set length")).unwrap();
    let killed = torn.moments().swap_remove(cut + 1);
    let mut node = start(&killed).unwrap();
    node.journal.rotate().unwrap();
    let sequence = node.state.sequence() + 1;
    node.journal.append(sequence, &codec::encode(&Record::Customers(vec![])).unwrap(), false);
    node.journal.commit().unwrap();
    for seed in 0..32 {
        let left = killed.crash(&mut Rng::with_seed(seed));
        assert_eq!(started(&left, &format!("seed {seed}")).state.sequence(), sequence);
    }
}

#[derive(Default)]
struct Counts {
    disks: usize,
    of_starts: usize,
    torn: usize,
    more: usize,
    from_snapshots: usize,
    /// How many lives ended because the disk failed.
    failed: usize,
}

/// A directory from its first start through several crashes and kills.
fn lives(seed: u64, counts: &mut Counts) {
    let mut world = World::new(seed);
    let mut disk = Simulated::new();
    let sync = match seed % 6 {
        0 => SyncPolicy::Never,
        1 => SyncPolicy::Interval(Duration::ZERO),
        _ => SyncPolicy::Always,
    };
    for life in 0..lives_of_a_directory() {
        let case = format!("seed {seed}, life {life}, {sync:?}");
        let mut rng = world.rng.fork();
        disk.keep_moments();
        world.promises.clear();
        world.frozen = None;
        world.promise(&disk);
        let lived_from =
            live(&mut world, &disk, JournalSettings { sync, ..SETTINGS }, &mut rng, counts, &case);
        check_moments(&world, &disk, lived_from..disk.changes() + 1, &mut rng, counts, &case);
        let death = rng.usize(lived_from..=disk.changes());
        let died = &disk.moments()[death];
        let promised = world.promised(death);
        world.cut(promised.submitted);
        (world.durable, world.written) = (promised.durable, promised.written);
        disk = if rng.bool() { died.kill() } else { died.crash(&mut rng) };
        if disk.is_settled() || rng.bool() {
            disk.evict();
            world.written = world.durable;
        }
    }
}

/// A start, and what a node does then. Some end because the disk fails, some of them within the start.
/// Returns after how many changes the start was over.
fn live(
    world: &mut World,
    disk: &Simulated,
    settings: JournalSettings,
    rng: &mut Rng,
    counts: &mut Counts,
    case: &str,
) -> usize {
    let fault = [Fault::Eio, Fault::ShortThenEio, Fault::SyncLoses][rng.usize(0..3)];
    if rng.u8(0..3) == 0 {
        disk.fail_at(rng.u64(1..20), fault, Lasting::FromThenOn);
    }
    let mut node = match start_with(disk, settings) {
        Ok(node) => node,
        Err(refused) => {
            assert!(disk.struck() > 0 && refused.kind == RefusedKind::Io, "{refused}: {case}");
            counts.failed += 1;
            return 0;
        }
    };
    let found = world.find(&node.state, world.promised(0).after(true), &|| case.to_owned());
    if rng.u8(0..3) == 0 {
        return 0; // it ended before it said what it found
    }
    let lived_from = disk.changes();
    check_moments(world, disk, 0..lived_from, rng, counts, case);
    world.seen(found);
    world.promise(disk);
    for _ in 0..rng.usize(3..12) {
        if world.step(draw(rng), &mut node, disk).is_err() {
            assert!(disk.struck() > 0, "{case}");
            counts.failed += 1;
            break;
        }
    }
    lived_from
}

fn draw(rng: &mut Rng) -> Step {
    match rng.u8(0..9) {
        0..5 | 8 => Step::Commit(rng.usize(1..4)),
        5 => Step::Settle,
        6 => Step::Freeze,
        _ => Step::Snapshot,
    }
}

fn check_moments(
    world: &World,
    disk: &Simulated,
    range: Range<usize>,
    rng: &mut Rng,
    counts: &mut Counts,
    case: &str,
) {
    let (moments, log) = (disk.moments(), disk.log());
    for at in range {
        let (moment, promised) = (&moments[at], world.promised(at));
        let ways = if moment.is_settled() { 1 } else { ways_to_lose() };
        for way in 0..ways {
            let after = log[..at].last().map_or("nothing", String::as_str);
            let case = format!("{case}, change {at} ({after}), way {way}");
            check(world, moment, way == 1, promised, rng, counts, &case);
        }
    }
}

/// What a kill or a crash leaves.
fn left(moment: &Simulated, is_kill: bool, rng: &mut Rng) -> Simulated {
    if is_kill { moment.kill() } else { moment.crash(rng) }
}

/// Starts on what a crash or kill leaves, and crashes and kills that start as well.
fn check(
    world: &World,
    moment: &Simulated,
    is_kill: bool,
    promised: Promise,
    rng: &mut Rng,
    counts: &mut Counts,
    case: &str,
) {
    let disk = left(moment, is_kill, rng);
    let twins = [disk.kill(), disk.kill()];
    disk.keep_moments();
    let node = check_start(world, &disk, promised.after(is_kill), counts, case);
    let was_torn = node.recovery.cut_bytes > 0;
    let moments = disk.moments();
    go_on(node, &disk, rng, case);
    if moments.len() > 1 && rng.u8(0..if was_torn { 4 } else { 32 }) == 0 {
        let is_initialised = twins[0].image().contains_key(identity::NAME);
        let images = twins.map(|twin| (started(&twin, case), twin.image()).1);
        assert!(!is_initialised || images[0] == images[1], "two starts make the same of a disk: {case}");
        for (at, moment) in moments.iter().enumerate() {
            counts.of_starts += 1;
            let case = format!("{case}; change {at} of a start");
            let is_second_kill = rng.bool();
            let disk = left(moment, is_second_kill, rng);
            let node = check_start(world, &disk, promised.after(is_kill && is_second_kill), counts, &case);
            go_on(node, &disk, rng, &case);
        }
    }
}

fn check_start(
    world: &World,
    left: &Simulated,
    promised: Promise,
    counts: &mut Counts,
    case: &str,
) -> Opened {
    counts.disks += 1;
    let node = started(left, case);
    let found = world.find(&node.state, promised, &|| case.to_owned());
    counts.torn += usize::from(node.recovery.cut_bytes > 0);
    counts.from_snapshots += usize::from(node.recovery.snapshot_sequence > 0);
    assert_eq!(node.recovery.damaged_snapshots, 0, "a snapshot that has its name is whole: {case}");
    counts.more += usize::from(found > promised.durable);
    node
}

/// Goes on after a start. What it found was seen, so it must stay, whatever the node did before the
/// next crash.
fn go_on(mut node: Opened, disk: &Simulated, rng: &mut Rng, case: &str) {
    let mut seen = End::of(&node.state);
    match rng.u8(0..4) {
        0 => return check_crash(disk, seen, rng, case),
        1 => {}
        2 => drop(node.journal.rotate().unwrap()),
        _ => node.journal.settle().unwrap(),
    }
    seen.sequence += 1;
    node.journal.append(seen.sequence, &codec::encode(&Record::Customers(vec![])).unwrap(), false);
    node.journal.commit().unwrap();
    check_crash(disk, seen, rng, case);
}

fn check_crash(disk: &Simulated, seen: End, rng: &mut Rng, case: &str) {
    let case = format!("{case}; crashed after a start");
    assert_eq!(End::of(&started(&disk.crash(rng), &case).state), seen, "{case}");
}

fn started(disk: &Simulated, case: &str) -> Opened {
    start(disk).unwrap_or_else(|refused| panic!("{refused}: {case}"))
}
