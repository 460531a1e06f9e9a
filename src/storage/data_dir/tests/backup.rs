//! Copies of directories on a simulated disk: of one that is written to at every moment, of one that is
//! damaged, broken off anywhere, on a disk that fails anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::segments::with_snapshots;
use super::{End, Step, World, each_in_parallel, start};
use crate::storage::data_dir::backup::{Copied, begin, copy_disk};
use crate::storage::data_dir::missing;
use crate::storage::data_dir::verify::verify_disk;
use crate::storage::disk::Disk;
use crate::storage::disk::simulated::{Fault, Lasting, Simulated};
use crate::storage::identity;
use crate::storage::refused::{Refused, RefusedKind};
use crate::storage::snapshot;
use crate::storage::token_keys;
use crate::testing::rounds;

fn copied(from: &Simulated, to: &Simulated) -> Result<Copied, Refused> {
    let known = identity::inspect(from)?.ok_or_else(|| missing(from))?;
    begin(to, &known.identity)?;
    copy_disk(from, to, &known, &|_| {})
}

/// The state in a copy, which must start and verify as any directory does.
#[track_caller]
fn state_of(copy: &Simulated, case: &str) -> End {
    let report = verify_disk(copy, &|_| {}).unwrap();
    assert!(report.problems.is_empty(), "{case}: {:?}", report.problems);
    let end = End::of(&start(copy).unwrap_or_else(|refused| panic!("{refused}: {case}")).state);
    assert_eq!(report.state.map(|state| (state.sequence, state.digest)), Some((end.sequence, end.digest)));
    end
}

#[test]
fn a_copy_at_any_moment_is_a_state_that_was_and_holds_what_was_acknowledged() {
    let (mut world, disk) = (World::new(17), Simulated::new());
    disk.keep_moments();
    world.promise(&disk);
    let mut node = start(&disk).unwrap();
    for round in 0..3 {
        for submissions in [1, 2, 1] {
            world.step(Step::Commit(submissions), &mut node, &disk).unwrap();
            world.promise(&disk);
        }
        world.step(if round == 1 { Step::Settle } else { Step::Snapshot }, &mut node, &disk).unwrap();
        world.promise(&disk);
    }
    let moments = disk.moments();
    let first =
        disk.log().iter().position(|call| call.contains("rename") && call.contains("usher.id")).unwrap() + 1;
    let moments: Vec<_> = moments.into_iter().enumerate().skip(first).step_by(rounds(7, 1)).collect();
    each_in_parallel(&moments, |(at, moment)| {
        let (to, case) = (Simulated::new(), format!("change {at}"));
        let copy = copied(moment, &to).unwrap_or_else(|refused| panic!("{refused}: {case}"));
        let end = state_of(&to.crash(&mut Rng::with_seed(*at as u64)), &case);
        assert_eq!(copy.sequence, end.sequence);
        let found = world.ends.iter().position(|known| *known == end);
        let found = found.unwrap_or_else(|| panic!("{end:?} never was: {case}"));
        assert!(found >= world.promised(*at).durable, "{case}");
    });
}

#[test]
fn a_copy_while_the_directory_is_written_to_is_a_state_that_was() {
    let (mut world, disk) = (World::new(23), Simulated::new());
    let mut node = start(&disk).unwrap();
    world.step(Step::Commit(1), &mut node, &disk).unwrap();
    let copies = rounds(20, 200);
    let stop = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        let taking = scope.spawn(|| {
            let take = |number| {
                let to = Simulated::new();
                let copy = copied(&disk, &to).unwrap_or_else(|refused| panic!("{refused}: copy {number}"));
                (copy, state_of(&to, &format!("copy {number}")))
            };
            let taken: Vec<_> = (0..copies).map(take).collect();
            stop.store(true, Ordering::Relaxed);
            taken
        });
        for round in 1.. {
            if stop.load(Ordering::Relaxed) || taking.is_finished() {
                break;
            }
            let step = if round % 29 == 0 { Step::Snapshot } else { Step::Commit(round % 3 + 1) };
            world.step(step, &mut node, &disk).unwrap();
        }
        taking.join().unwrap()
    });
    for (copy, end) in taken {
        assert_eq!(copy.sequence, end.sequence);
        assert!(world.ends.contains(&end), "{copy:?} never was");
    }
}

#[test]
fn a_copy_that_is_broken_off_or_fails_anywhere_goes_on_and_is_never_taken_for_whole() {
    let (_, disk) = with_snapshots(1);
    let whole = state_of(&Simulated::from_image(&disk.image()), "the source");
    let clean = Simulated::new();
    copied(&disk, &clean).unwrap();
    let faults = [Fault::Eio, Fault::NoSpace, Fault::ShortThenFull, Fault::SyncLoses];
    let cases: Vec<_> =
        faults.into_iter().flat_map(|fault| (1..=clean.calls(fault)).map(move |nth| (fault, nth))).collect();
    let cases: Vec<_> = cases.into_iter().step_by(rounds(5, 1)).collect();
    each_in_parallel(&cases, |(fault, nth)| {
        let (to, case) = (Simulated::new(), format!("{fault:?} at call {nth}"));
        to.fail_at(*nth, *fault, Lasting::FromThenOn);
        let broken = copied(&disk, &to);
        to.heal();
        let to = to.crash(&mut Rng::with_seed(*nth));
        if identity::read(&to).unwrap().is_some() {
            assert_eq!(End::of(&start(&Simulated::from_image(&to.image())).unwrap().state), whole, "{case}");
        } else if !to.list().unwrap().is_empty() {
            assert!(broken.is_err() && start(&Simulated::from_image(&to.image())).is_err(), "{case}");
        }
        match copied(&disk, &to) {
            Ok(_) => assert_eq!(state_of(&to, &case), whole, "{case}"),
            Err(refused) => assert!(refused.what.contains("already"), "{refused}: {case}"),
        }
    });
}

#[test]
fn a_second_try_copies_only_what_is_missing_and_finds_what_is_wrong() {
    let (_, disk) = with_snapshots(1);
    let whole = Simulated::new();
    let all = copied(&disk, &whole).unwrap();
    let broken_off = |damage: &dyn Fn(&Simulated, &str)| {
        let image = whole.image();
        let to = Simulated::new();
        begin(&to, &identity::read(&disk).unwrap().unwrap()).unwrap();
        let name = image.keys().find(|name| snapshot::sequence_of(name).is_some()).unwrap();
        to.put(name, image[name][..image[name].len() / 2].to_vec());
        damage(&to, name);
        copied(&disk, &to).map(|copied| (copied, state_of(&to, "copied")))
    };
    let (half, end) = broken_off(&|_, _| {}).unwrap();
    assert!(half.kept > 0 && half.kept < all.bytes && half.bytes == all.bytes, "{half:?}");
    let (again, same) = broken_off(&|to, name| to.flip_bit(name, 8 * 40)).unwrap();
    assert_eq!((again.kept, same), (0, end), "what was wrong is copied anew");
}

#[test]
fn a_damaged_directory_gives_no_copy_that_says_it_is_whole() {
    let (world, disk) = with_snapshots(1);
    let image = disk.image();
    let mut refusals = 0;
    for (name, bytes) in &image {
        for at in (0..bytes.len()).step_by(rounds(bytes.len() / 9, 211)) {
            let damaged = Simulated::from_image(&image);
            damaged.flip_bit(name, at * 8);
            let to = Simulated::new();
            match copied(&damaged, &to) {
                Ok(_) => {
                    let end = state_of(&to, &format!("{name}, byte {at}"));
                    assert_eq!(end, world.ends[world.durable], "{name}, byte {at}");
                }
                Err(_) => refusals += 1,
            }
        }
    }
    assert!(refusals > 5, "{refusals}");
}

#[test]
fn only_a_damaged_snapshot_gives_its_place_to_the_one_before() {
    let (_, disk) = with_snapshots(1);
    let salt = identity::read(&disk).unwrap().unwrap().salt();
    let newest = disk.image().into_keys().rfind(|name| snapshot::sequence_of(name).is_some()).unwrap();
    let check = |change: &dyn Fn(&Simulated), expected: Result<u64, (RefusedKind, &str)>| {
        let source = disk.kill();
        change(&source);
        match (copied(&source, &Simulated::new()), expected) {
            (Ok(copied), Ok(damaged)) => assert_eq!(copied.damaged_snapshots, damaged),
            (Err(refused), Err((kind, says))) => {
                assert_eq!(refused.kind, kind, "{refused}");
                assert!(refused.what.contains(says), "{refused}");
            }
            (found, expected) => panic!("expected {expected:?}, found {found:?}"),
        }
    };
    check(&|_| {}, Ok(0));
    check(&|source| source.flip_bit(&newest, 8 * 40), Ok(1));
    let another = snapshot::name(snapshot::sequence_of(&newest).unwrap() + 1);
    check(&|source| source.duplicate(&newest, &another), Err((RefusedKind::Damaged, "it was renamed")));
    let of_a_later_release = |source: &Simulated| {
        let mut bytes = source.bytes(&newest);
        bytes[8..12].copy_from_slice(&(snapshot::VERSION + 1).to_le_bytes());
        let checksum = xxh3_64_with_seed(&bytes[..12], salt);
        bytes[12..20].copy_from_slice(&checksum.to_le_bytes());
        source.put(&newest, bytes);
    };
    check(&of_a_later_release, Err((RefusedKind::Newer, "later release")));
}

#[test]
fn a_source_that_cannot_be_read_is_taken_neither_for_damaged_nor_for_the_copy() {
    let (_, disk) = with_snapshots(1);
    let clean = disk.kill();
    copied(&clean, &Simulated::new()).unwrap();
    let calls = (1..=clean.calls(Fault::Eio)).step_by(rounds(5, 1));
    let cases: Vec<_> = calls.flat_map(|nth| [(nth, Lasting::Once), (nth, Lasting::FromThenOn)]).collect();
    each_in_parallel(&cases, |(nth, lasting)| {
        let (source, case) = (disk.kill(), format!("call {nth} and {lasting:?}"));
        source.fail_at(*nth, Fault::Eio, *lasting);
        match copied(&source, &Simulated::new()) {
            Ok(copied) => assert_eq!((copied.damaged_snapshots, *lasting), (0, Lasting::Once), "{case}"),
            Err(refused) => {
                assert_eq!(refused.kind, RefusedKind::Io, "{refused}: {case}");
                assert!(!refused.what.contains("the copy"), "{refused}: {case}");
            }
        }
    });
}

#[test]
fn a_directory_that_holds_something_else_is_not_touched() {
    let (_, disk) = with_snapshots(1);
    let (_, other) = with_snapshots(2);
    let begun_by_another = Simulated::new();
    begin(&begun_by_another, &identity::read(&other).unwrap().unwrap()).unwrap();
    let letter = Simulated::new();
    letter.put("letter.txt", b"dear".to_vec());
    for (to, says) in [(other, "already"), (begun_by_another, "another directory"), (letter, "not empty")] {
        let before = to.image();
        let refused = copied(&disk, &to).unwrap_err();
        assert!(refused.what.contains(says), "{refused}");
        assert_eq!(to.image(), before);
    }
    let nothing = copied(&Simulated::new(), &Simulated::new()).unwrap_err();
    assert!(nothing.what.contains("not a data directory"), "{nothing}");
}

#[test]
fn keys_of_tokens_are_in_the_copy_and_the_copy_needs_them() {
    let (_, disk) = with_snapshots(1);
    let mut keys = token_keys::TokenKeys::of_disk(&(Arc::new(disk.clone()) as _)).unwrap();
    keys.keep().unwrap();
    let to = Simulated::new();
    copied(&disk, &to).unwrap();
    assert_eq!(to.bytes(token_keys::NAME), disk.bytes(token_keys::NAME));
    assert!(identity::inspect(&to).unwrap().unwrap().keeps_keys);
    disk.remove(token_keys::NAME).unwrap();
    assert_eq!(copied(&disk, &Simulated::new()).unwrap_err().kind, RefusedKind::TokenKeys);
}
