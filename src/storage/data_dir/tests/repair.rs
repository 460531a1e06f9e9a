//! The repair that a refusal recommends works: after it, a start comes to the records before.

use std::path::Path;

use super::segments::with_snapshots;
use super::*;
use crate::storage::data_dir::repair::repair_disk;
use crate::storage::journal::mark;
use crate::storage::refused::RefusedKind;

/// How many bytes lie between two that are altered; a prime, so that all parts of records are hit.
const STRIDE: usize = 23;

/// Starts. If that is refused with a record, gives it up as the hint says and starts again. True if it
/// was refused.
fn check(world: &World, disk: &Simulated, case: &str) -> bool {
    let refused = match start(disk) {
        Ok(_) => return false,
        Err(refused) => refused,
    };
    assert!(refused.hint(Path::new("data")).is_some(), "{case}: {refused}");
    let (RefusedKind::Damaged, Some(cut_at)) = (refused.kind, refused.sequence) else { return false };
    let before = total(disk);
    let repaired = repair_disk(disk, cut_at).unwrap_or_else(|e| panic!("{case}: {refused}; repair: {e}"));
    assert!(repaired.last < cut_at, "{case}");
    assert!(total(disk) >= before, "{case}: what is cut is kept");
    let node = start(disk).unwrap_or_else(|e| panic!("{case}: {refused}; repaired, but {e}"));
    let end = End::of(&node.state);
    assert_eq!(end.sequence, repaired.last, "{case}");
    assert!(world.ends.contains(&end), "{case}: a state that never was");
    true
}

#[test]
fn whatever_is_refused_with_a_record_can_be_repaired_by_giving_it_up() {
    let (grown, snapshots) = (closed(21, 16 << 10, SETTINGS), with_snapshots(5));
    let (mut repaired, every) = (0, crate::testing::rounds(29, 1));
    for (world, disk) in [&grown, &snapshots] {
        for (name, bytes) in disk.image() {
            let altered = (0..bytes.len()).step_by(STRIDE * every).map(|byte| {
                let left = disk.kill();
                left.flip_bit(&name, byte * 8 + byte % 8);
                check(world, &left, &format!("{name}, byte {byte}"))
            });
            repaired += altered.filter(|was| *was).count();
            for length in [0, 64, bytes.len() / 2, bytes.len().saturating_sub(1)] {
                let left = disk.kill();
                left.truncate(&name, length.min(bytes.len()));
                repaired += usize::from(check(world, &left, &format!("{name} cut to {length}")));
            }
            let left = disk.kill();
            left.lose(&name);
            repaired += usize::from(check(world, &left, &format!("{name} lost")));
        }
    }
    println!("{repaired} repairs");
    assert!(repaired > 500 / every);
}

#[test]
fn what_a_start_does_not_need_is_not_given_up() {
    let (_, disk) = with_snapshots(6);
    let last = start(&disk.kill()).unwrap().state.sequence();
    for cut_at in [1, last / 2, last, last + 1] {
        assert_eq!(repair_disk(&disk, cut_at).unwrap_err().kind, RefusedKind::Io, "{cut_at}");
    }
    let oldest = segment::name(segment::list(&disk).unwrap()[0]);
    disk.flip_bit(&oldest, 8 * 100);
    let before = disk.image();
    assert!(repair_disk(&disk, last / 2).is_err());
    assert_eq!(disk.image(), before);
}

#[test]
fn a_mark_that_is_gone_is_made_anew_and_nothing_given_up() {
    let (_, disk) = with_snapshots(7);
    let end = End::of(&start(&disk.kill()).unwrap().state);
    disk.lose(mark::NAME);
    assert_eq!(start(&disk).map(drop).unwrap_err().kind, RefusedKind::Damaged);
    let repaired = repair_disk(&disk, end.sequence + 1).unwrap();
    assert_eq!((repaired.last, repaired.kept.len()), (end.sequence, 0));
    assert_eq!(End::of(&start(&disk).unwrap().state), end);
}

/// Bytes of all files of records and snapshots, those put aside included.
fn total(disk: &Simulated) -> usize {
    disk.image().values().map(Vec::len).sum()
}
