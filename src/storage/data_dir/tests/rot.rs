//! Bits that flip and files that get shorter. What was durable never changes or gets lost unnoticed,
//! and what was not acknowledged is no reason not to start.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;

use super::{JournalSettings, Promise, SETTINGS, Step, World, closed, each_in_parallel, start, start_with};
use crate::storage::data_dir::open_mark;
use crate::storage::disk::simulated::Simulated;
use crate::storage::durability::SyncPolicy;
use crate::storage::identity;
use crate::storage::identity::Identity;
use crate::storage::journal::append::Last;
use crate::storage::journal::{replay, segment};
use crate::storage::refused::{Refused, RefusedKind};
use crate::testing::rounds;

/// All records in one segment.
const ONE_SEGMENT: JournalSettings =
    JournalSettings { sync: SyncPolicy::Always, segment_bytes: 1 << 20, ahead_bytes: 600 };

/// A segment on a disk of its own, and the same with the segment behind it. So a directory looks if
/// everything before was removed.
struct Stretch {
    name: String,
    identity: Identity,
    from: Last,
    /// The disks, each with the last record on it, which the mark names.
    disks: Vec<(Simulated, Last)>,
}

/// The segments of a closed directory.
fn stretches(disk: &Simulated) -> Vec<Stretch> {
    let identity = identity::read(disk).unwrap().unwrap();
    let mark = open_mark(disk, &identity).unwrap();
    let firsts = segment::list(disk).unwrap();
    let before = |first: &u64| {
        let head = segment::SegmentHead::read(&disk.bytes(&segment::name(*first)), &identity).unwrap();
        Last { sequence: head.first - 1, checksum: head.previous }
    };
    let mut joints: Vec<Last> = firsts.iter().map(before).collect();
    joints.push(Last { sequence: mark.sequence, checksum: mark.checksum });
    let with = |firsts: &[u64]| {
        let disk_of_them = Simulated::new();
        for name in firsts.iter().map(|first| segment::name(*first)) {
            disk_of_them.put(&name, disk.bytes(&name));
        }
        disk_of_them
    };
    let stretch = |at: usize| Stretch {
        name: segment::name(firsts[at]),
        identity,
        from: joints[at],
        disks: (at + 1..=firsts.len().min(at + 2)).map(|end| (with(&firsts[at..end]), joints[end])).collect(),
    };
    (0..firsts.len()).map(stretch).collect()
}

impl Stretch {
    fn replay(&self, (disk, mark): &(Simulated, Last)) -> Result<replay::Replayed, Refused> {
        replay::replay(disk, &self.identity, self.from, *mark, &mut |_, _| Ok(()), &mut |_| {})
    }

    /// Flips every bit of the segment, one at a time, in turn on each of the disks. Returns how many bits it
    /// has. By default it flips a sample, of other bits in each segment.
    fn check_flips(&self) -> usize {
        for (disk, mark) in &self.disks {
            assert_eq!(self.replay(&(disk.clone(), *mark)).unwrap().last, *mark);
        }
        let bits = self.disks[0].0.bytes(&self.name).len() * 8;
        let step = rounds(61, 1);
        for bit in (self.from.sequence as usize % step..bits).step_by(step) {
            let at = &self.disks[bit % self.disks.len()];
            at.0.flip_bit(&self.name, bit);
            let refused = self.replay(at).expect_err(&format!("bit {bit} of {}", self.name));
            check_place(&refused, &self.name, bit / 8);
            at.0.flip_bit(&self.name, bit);
        }
        bits
    }
}

/// Checks that a refusal says which file, where in it, and which record.
fn check_place(refused: &Refused, file: &str, byte: usize) {
    assert_eq!(
        (refused.kind, refused.file.as_deref()),
        (RefusedKind::Damaged, Some(file)),
        "byte {byte}: {refused}"
    );
    assert!(refused.offset.is_some_and(|offset| offset <= byte as u64), "byte {byte}: {refused}");
    assert!(refused.sequence.is_some(), "byte {byte}: {refused}");
}

#[test]
fn every_bit_that_flips_in_a_journal_is_noticed() {
    let (_, disk) = closed(5, 65 << 10, SETTINGS); // zeros that a close cuts off are included
    let bits = AtomicUsize::new(0);
    let stretches = stretches(&disk);
    each_in_parallel(&stretches, |stretch| {
        bits.fetch_add(stretch.check_flips(), Ordering::Relaxed);
    });
    println!("{bits:?} bits, in {} segments", stretches.len());
    assert!(bits.into_inner() >= 8 * (64 << 10));
}

#[test]
fn a_start_refuses_a_flipped_bit_and_touches_nothing() {
    let (_, disk) = closed(6, 16 << 10, SETTINGS);
    let image = disk.image();
    let mut rng = Rng::with_seed(6);
    let names: Vec<&String> = image.keys().filter(|name| segment::first_of(name).is_some()).collect();
    for _ in 0..rounds(60, 600) {
        let name = names[rng.usize(0..names.len())];
        let bit = rng.usize(0..image[name].len() * 8);
        let disk = Simulated::from_image(&image);
        disk.flip_bit(name, bit);
        let damaged = disk.image();
        let refused = start(&disk).map(drop).expect_err(&format!("bit {bit} of {name}"));
        check_place(&refused, name, bit / 8);
        assert!(disk.image() == damaged);
    }
}

/// The disk of a node that was killed while it wrote its last batch, of at least `bytes` bytes, to its
/// only segment. Also what was promised then, and where that batch lies.
fn killed_while_writing(bytes: usize) -> (World, Promise, Simulated, Range<usize>) {
    let (mut world, disk) = closed(7, 4 << 10, ONE_SEGMENT);
    let (start, durable) = (journal_end(&disk), world.durable);
    let mut node = start_with(&disk, ONE_SEGMENT).unwrap();
    disk.keep_moments();
    world.step(Step::Commit(bytes / 100), &mut node, &disk).unwrap();
    let written = disk.moments().swap_remove(1);
    let end = journal_end(&written);
    assert!(!written.is_settled() && end - start > bytes);
    let promised = Promise { changes: 0, durable, written: durable, submitted: world.submissions.len() };
    (world, promised, written, start..end)
}

#[test]
fn a_journal_cut_at_any_byte_loses_only_what_was_not_acknowledged() {
    let (world, promised, disk, batch) = killed_while_writing(4 << 10);
    let cuts: Vec<usize> = (batch.end - (4 << 10)..batch.end).step_by(rounds(23, 1)).collect();
    let kept = AtomicUsize::new(0);
    each_in_parallel(&cuts, |cut| {
        let case = || format!("cut at byte {cut}");
        let left = disk.kill();
        left.truncate(&segment::name(1), *cut);
        let node = start_with(&left, ONE_SEGMENT).unwrap_or_else(|refused| panic!("{refused}: {}", case()));
        kept.fetch_max(world.find(&node.state, promised, &case), Ordering::Relaxed);
    });
    assert!(kept.into_inner() > promised.durable + 1);
}

#[test]
fn noise_and_zeros_where_nothing_was_acknowledged_are_cut() {
    let (world, promised, disk, batch) = killed_while_writing(2 << 10);
    let mut rng = Rng::with_seed(8);
    let whole = disk.bytes(&segment::name(1));
    for from in batch.clone().step_by(13 * rounds(7, 1)) {
        let to = rng.usize(from..=batch.end);
        let (mut noise, mut zeros, mut flipped) = (whole.clone(), whole.clone(), whole.clone());
        noise[from..to].fill_with(|| rng.u8(..));
        zeros[from..to].fill(0);
        flipped[from] ^= 1 << rng.u8(0..8);
        for bytes in [noise, zeros, flipped] {
            let left = disk.kill();
            left.put(&segment::name(1), bytes);
            let case = || format!("bytes {from} to {to}");
            let node =
                start_with(&left, ONE_SEGMENT).unwrap_or_else(|refused| panic!("{refused}: {}", case()));
            world.find(&node.state, promised, &case);
        }
    }
}

#[test]
fn a_durable_journal_cut_at_any_byte_is_refused() {
    let (_, disk) = closed(9, 6 << 10, ONE_SEGMENT);
    let (name, end) = (segment::name(1), journal_end(&disk));
    for cut in (end - (4 << 10)..end).step_by(rounds(23, 1)) {
        let left = disk.kill();
        left.truncate(&name, cut);
        let refused = start_with(&left, ONE_SEGMENT).map(drop).expect_err(&format!("cut at byte {cut}"));
        check_place(&refused, &name, cut);
    }
}

fn journal_end(disk: &Simulated) -> usize {
    disk.bytes(&segment::name(1)).len()
}

#[test]
fn a_later_batch_says_that_an_earlier_one_was_durable_also_while_the_mark_lags() {
    let (mut world, disk) = closed(10, 1 << 10, ONE_SEGMENT);
    let mut node = start_with(&disk, ONE_SEGMENT).unwrap();
    let begin = journal_end(&disk);
    world.step(Step::Commit(2), &mut node, &disk).unwrap();
    let end = journal_end(&disk);
    world.step(Step::Commit(1), &mut node, &disk).unwrap();
    for bit in (begin * 8..end * 8).step_by(rounds(7, 1)) {
        let left = disk.kill();
        left.flip_bit(&segment::name(1), bit);
        let refused = start_with(&left, ONE_SEGMENT).map(drop).expect_err(&format!("bit {bit}"));
        check_place(&refused, &segment::name(1), bit / 8);
    }
}
