//! Files that are gone, swapped, renamed, copied, or from another directory. A start refuses, or comes
//! to the state that it would have come to anyway. It never comes to another state, and never to an
//! empty one.

use std::collections::BTreeMap;

use super::{End, SETTINGS, Step, World, closed, start};
use crate::storage::data_dir::verify::verify_disk;
use crate::storage::disk::simulated::Simulated;
use crate::storage::identity;
use crate::storage::journal::{mark, segment};
use crate::storage::refused::RefusedKind;
use crate::storage::snapshot;
use crate::testing::rounds;

/// Starts on a damaged directory. It must be refused and left as it is, or come to `end`. Returns
/// whether it is refused.
#[track_caller]
fn check(disk: &Simulated, end: End, case: &str) -> bool {
    let damaged = disk.image();
    match start(disk) {
        Ok(node) => assert_eq!(End::of(&node.state), end, "{case}"),
        Err(_) => assert!(disk.image() == damaged, "{case}"),
    }
    disk.image().len() == damaged.len() && start(&Simulated::from_image(&damaged)).is_err()
}

#[track_caller]
fn check_refused(disk: &Simulated, case: &str) {
    let end = End { sequence: u64::MAX, digest: 0 };
    assert!(check(disk, end, case), "{case}");
}

/// A closed directory with two snapshots, and segments between and behind them. Directories of other
/// identities hold the same.
pub(super) fn with_snapshots(identity: u64) -> (World, Simulated) {
    let (mut world, disk) = (World::new(13), Simulated::new());
    fastrand::seed(identity);
    let mut node = start(&disk).unwrap();
    for round in 0..4 {
        for _ in 0..12 {
            world.step(Step::Commit(1), &mut node, &disk).unwrap();
        }
        let end = if round < 3 { Step::Snapshot } else { Step::Close };
        world.step(end, &mut node, &disk).unwrap();
    }
    assert_eq!(snapshots(&disk).len(), 2);
    (world, disk)
}

fn segments(disk: &Simulated) -> Vec<String> {
    disk.image().into_keys().filter(|name| segment::first_of(name).is_some()).collect()
}

/// The names of all snapshots, newest last.
fn snapshots(disk: &Simulated) -> Vec<String> {
    disk.image().into_keys().filter(|name| snapshot::sequence_of(name).is_some()).collect()
}

fn last(world: &World) -> End {
    world.ends[world.durable]
}

#[test]
fn a_segment_that_is_gone_empty_swapped_renamed_or_copied_is_refused() {
    let (_, disk) = closed(11, 12 << 10, SETTINGS);
    let names = segments(&disk);
    assert!(names.len() > 4);
    for one in &names {
        let damage = |what: &str, damage: &dyn Fn(&Simulated)| {
            let disk = disk.kill();
            damage(&disk);
            check_refused(&disk, &format!("{one} {what}"));
        };
        damage("gone", &|disk| disk.lose(one));
        damage("empty", &|disk| disk.put(one, vec![]));
        damage("zeroed", &|disk| disk.put(one, vec![0; disk.bytes(one).len()]));
        damage("without records", &|disk| disk.truncate(one, segment::HEAD_BYTES));
        damage("renamed", &|disk| {
            disk.duplicate(one, &segment::name(segment::first_of(one).unwrap() + 1));
            disk.lose(one);
        });
        for other in names.iter().filter(|other| *other != one) {
            damage(&format!("swapped with {other}"), &|disk| disk.swap(one, other));
            damage(&format!("in place of {other}"), &|disk| disk.duplicate(one, other));
        }
    }
}

#[test]
fn a_copied_segment_under_a_name_of_its_own_is_refused_or_harmless() {
    let (world, disk) = closed(12, 12 << 10, SETTINGS);
    let (names, end) = (segments(&disk), last(&world).sequence);
    let (mut refused, mut copies) = (0, 0);
    for one in &names {
        for first in (0..end + 3).step_by(rounds(7, 1)) {
            let disk = disk.kill();
            if !names.contains(&segment::name(first)) {
                disk.duplicate(one, &segment::name(first));
                copies += 1;
                refused += usize::from(check(&disk, last(&world), &format!("{one} as {first}")));
            }
        }
    }
    println!("{refused} of {copies} copies refused");
}

#[test]
fn files_of_another_directory_are_refused() {
    let ((world, disk), (same, other)) = (with_snapshots(1), with_snapshots(2));
    assert_eq!(last(&world), last(&same));
    assert!(disk.image().keys().eq(other.image().keys()));
    for name in disk.image().into_keys() {
        let mixed = disk.kill();
        mixed.put(&name, other.bytes(&name));
        let refused = check(&mixed, last(&world), &name);
        assert!(refused || snapshot::sequence_of(&name).is_some() || name < snapshots(&disk)[1], "{name}");
    }
    for name in snapshots(&disk) {
        disk.put(&name, other.bytes(&name));
    }
    check_refused(&disk, "both snapshots");
}

#[test]
fn a_directory_that_was_initialised_never_starts_empty() {
    let (world, disk) = with_snapshots(3);
    let names: Vec<String> = disk.image().into_keys().collect();
    for name in &names {
        let left = disk.kill();
        left.lose(name);
        let refused = check(&left, last(&world), name);
        assert!(refused || *name < snapshots(&disk)[1] || snapshots(&disk).contains(name), "{name}");
    }
    let kinds: [fn(&str) -> bool; 4] = [
        |name| segment::first_of(name).is_some(),
        |name| snapshot::sequence_of(name).is_some(),
        |name| name == mark::NAME,
        |name| name == identity::NAME,
    ];
    for lost in 1_usize..15 {
        let is_lost =
            |name: &str| kinds.iter().enumerate().any(|(at, kind)| lost & 1 << at != 0 && kind(name));
        let left: BTreeMap<_, _> = disk.image().into_iter().filter(|(name, _)| !is_lost(name)).collect();
        check_refused(&Simulated::from_image(&left), &format!("all of the kinds {lost:04b} gone"));
    }
}

#[test]
fn every_bit_that_flips_in_the_identity_or_the_mark_is_refused_or_harmless() {
    let (world, disk) = closed(14, 100, SETTINGS);
    let mut refused = 0;
    for (name, slot_bytes) in [(identity::NAME, 40), (mark::NAME, 48)] {
        let length = disk.bytes(name).len();
        // Every bit that says something (by default a sample of them), and some of those between.
        let slots = (0..slot_bytes * 8).chain(4096 * 8..(4096 + slot_bytes) * 8).step_by(rounds(13, 1));
        for bit in slots.chain((slot_bytes * 8..length * 8).step_by(997)) {
            disk.flip_bit(name, bit);
            refused += usize::from(check(&disk.kill(), last(&world), &format!("bit {bit} of {name}")));
            disk.flip_bit(name, bit);
        }
        let both = disk.kill();
        both.flip_bit(name, 100);
        both.flip_bit(name, 4096 * 8 + 100);
        check_refused(&both, name);
        for length in (0..length).step_by(61) {
            let cut = disk.kill();
            cut.truncate(name, length);
            check(&cut, last(&world), &format!("{name} cut at {length}"));
        }
    }
    assert_eq!(refused, 0, "there are two of each");
}

#[test]
fn an_old_mark_is_harmless_and_that_of_a_later_time_is_refused() {
    let (mut world, disk) = closed(15, 100, SETTINGS);
    let early = disk.kill();
    let mut node = start(&disk).unwrap();
    world.step(Step::Commit(3), &mut node, &disk).unwrap();
    world.step(Step::Close, &mut node, &disk).unwrap();
    let late = disk.kill();
    late.put(mark::NAME, early.bytes(mark::NAME));
    assert!(!check(&late, last(&world), "an old mark"));
    early.put(mark::NAME, disk.bytes(mark::NAME));
    check_refused(&early, "an old journal");
}

#[test]
fn a_snapshot_with_the_name_of_another_is_spare_only_behind_a_whole_one() {
    let (world, disk) = with_snapshots(4);
    let newest = snapshots(&disk).pop().unwrap();
    let sequence = snapshot::sequence_of(&newest).unwrap();
    let check = |named: u64, kind: RefusedKind| {
        let disk = disk.kill();
        disk.duplicate(&newest, &snapshot::name(named));
        let problems = verify_disk(&disk, &|_| {}).unwrap().problems;
        assert!(problems.iter().all(|problem| problem.what.contains("it was renamed")), "{problems:?}");
        assert_eq!(problems.iter().map(|problem| problem.kind).collect::<Vec<_>>(), [kind], "{named}");
        let starts = start(&disk).map(|node| End::of(&node.state)).ok();
        assert_eq!(starts, Some(last(&world)).filter(|_| kind == RefusedKind::Spare), "{named}");
    };
    check(sequence + 1, RefusedKind::Damaged);
    check(sequence - 1, RefusedKind::Spare);
}

#[test]
fn a_bit_that_flips_in_a_snapshot_is_noticed_and_the_one_before_is_used() {
    let (world, disk) = with_snapshots(4);
    let names = snapshots(&disk);
    let [older, newest] = &names[..] else { panic!("{names:?}") };
    for bit in (0..disk.bytes(newest).len() * 8).step_by(67 * rounds(11, 1)) {
        disk.flip_bit(newest, bit);
        let node = start(&disk.kill()).unwrap();
        assert_eq!(End::of(&node.state), last(&world), "bit {bit}");
        assert_eq!(node.recovery.damaged_snapshots, 1, "bit {bit}");
        let both = disk.kill();
        both.flip_bit(older, bit % (both.bytes(older).len() * 8));
        check_refused(&both, &format!("bit {bit}"));
        disk.flip_bit(newest, bit);
    }
}
