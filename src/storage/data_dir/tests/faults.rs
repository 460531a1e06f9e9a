//! Errors of the disk at every call of a script. What was acknowledged is there after a restart,
//! nothing is invented, and neither a full disk nor scarce descriptors are a failure.

use fastrand::Rng;

use super::{End, Step, World, each_in_parallel, start};
use crate::state::record::Record;
use crate::storage::codec;
use crate::storage::disk::simulated::{Fault, Lasting, Simulated};
use crate::storage::journal::Journal;
use crate::storage::refused::RefusedKind;

/// Two lives of a directory; the second begins with a snapshot.
const SCRIPT: [&[Step]; 2] = {
    use Step::*;
    [
        &[Commit(2), Settle, Commit(1), Snapshot, Commit(3), Commit(1), Freeze, Commit(1), Snapshot],
        &[Commit(2), Freeze, Commit(1), Settle, Commit(1), Snapshot, Commit(2), Close],
    ]
};
const SEED: u64 = 3;

#[test]
fn whatever_call_fails_what_was_acknowledged_is_there_after_a_restart() {
    let faults = [
        Fault::Eio,
        Fault::NoSpace,
        Fault::NoDescriptor,
        Fault::NoMemory,
        Fault::ShortThenEio,
        Fault::ShortThenFull,
        Fault::Interrupted,
        Fault::SyncLoses,
        Fault::SyncFull,
    ];
    let (_, clean) = run(SEED, None);
    let cases = |fault| {
        let nths = 1..=clean.calls(fault);
        nths.flat_map(move |nth| [Lasting::Once, Lasting::FromThenOn].map(|lasting| (nth, fault, lasting)))
    };
    let cases = faults.into_iter().flat_map(cases).filter(is_worth_it);
    let cases: Vec<_> = cases.step_by(crate::testing::rounds(41, 1)).collect();
    each_in_parallel(&cases, |case| check_fault(*case));
    println!("{} faults in a script of {} calls", cases.len(), clean.calls(Fault::Eio));
}

/// Leaves out calls that are interrupted for ever: no program can go on from these.
fn is_worth_it(case: &(u64, Fault, Lasting)) -> bool {
    !matches!(case, (_, Fault::Interrupted, Lasting::FromThenOn))
}

fn check_fault(fault: (u64, Fault, Lasting)) {
    let case = format!("{fault:?}");
    let (world, disk) = run(SEED, Some(fault));
    let evicted = disk.kill();
    evicted.evict();
    let mut rng = Rng::with_seed(fault.0);
    for left in [disk.kill(), evicted, disk.crash(&mut rng)] {
        check_restart(&world, &left, &case);
    }
}

/// Checks that everything acknowledged is there, and that the directory takes one more write.
fn check_restart(world: &World, left: &Simulated, case: &str) {
    let names: Vec<_> = left.image().into_keys().collect();
    let mut node = start(left).unwrap_or_else(|refused| panic!("{refused}: {case}, of {names:?}"));
    world.find(&node.state, world.promised(usize::MAX), &|| case.to_owned());
    let mut seen = End::of(&node.state);
    seen.sequence += 1;
    node.journal.append(seen.sequence, &codec::encode(&Record::Customers(vec![])).unwrap(), false);
    node.journal.commit().unwrap();
    let left = left.crash(&mut Rng::with_seed(1));
    let node = start(&left).unwrap_or_else(|refused| panic!("{refused}: restarted twice: {case}"));
    assert_eq!(End::of(&node.state), seen, "{case}");
}

fn check_crashes(world: &World, disk: &Simulated, case: &str) {
    let ways = if disk.is_settled() { 1 } else { 32 };
    for seed in 0..ways {
        check_restart(world, &disk.crash(&mut Rng::with_seed(seed)), case);
    }
}

/// Runs the script. Whenever a fault ends a node, the disk is whole from then on and the next life
/// begins.
fn run(seed: u64, fault: Option<(u64, Fault, Lasting)>) -> (World, Simulated) {
    let (mut world, disk) = (World::new(seed), Simulated::new());
    if let Some((nth, fault, lasting)) = fault {
        disk.fail_at(nth, fault, lasting);
    }
    world.promise(&disk);
    for steps in SCRIPT {
        if live(&mut world, &disk, steps, fault).is_none() {
            assert!(disk.struck() > 0, "{fault:?}");
            disk.heal();
            if disk.changes() % 2 == 0 {
                disk.evict();
            }
        }
    }
    (world, disk)
}

/// One life of a directory; `None` if it ended before the script did.
fn live(
    world: &mut World,
    disk: &Simulated,
    steps: &[Step],
    fault: Option<(u64, Fault, Lasting)>,
) -> Option<()> {
    let mut node = match start(disk) {
        Ok(node) => node,
        Err(refused) => {
            assert!(refused.kind == RefusedKind::Io, "{refused}: {fault:?}");
            return None;
        }
    };
    let found = world.find(&node.state, world.promised(usize::MAX), &|| format!("{fault:?}"));
    world.seen(found);
    world.frozen = None;
    world.promise(disk);
    for step in steps {
        let refused = world.refused;
        world.step(*step, &mut node, disk).ok()?;
        if world.refused > refused {
            check_crashes(world, disk, &format!("{fault:?}, refused"));
        }
    }
    // Only what may pass stops us here. Now there is room, and writing goes on.
    disk.heal();
    world.step(Step::Commit(1), &mut node, disk).unwrap();
    assert_eq!(world.written, world.submissions.len(), "{fault:?}");
    Some(())
}

#[test]
fn a_disk_that_runs_full_refuses_writes_until_there_is_room_again() {
    let (_, clean) = run(SEED, None);
    let sectors = (0..=clean.used() / 512).step_by(crate::testing::rounds(9, 1));
    let capacities: Vec<u64> = sectors.map(|sectors| sectors * 512).collect();
    each_in_parallel(&capacities, |capacity| {
        let (mut world, disk) = (World::new(SEED), Simulated::new());
        world.promise(&disk);
        let mut node = start(&disk).unwrap();
        disk.set_capacity(Some(*capacity));
        let case = format!("{capacity} bytes");
        for step in SCRIPT.concat() {
            let refused = world.refused;
            world.step(step, &mut node, &disk).unwrap();
            if world.refused == refused + 1 {
                check_crashes(&world, &disk, &case);
            }
        }
        let written = world.written;
        disk.set_capacity(None);
        world.step(Step::Commit(2), &mut node, &disk).unwrap();
        assert_eq!(world.written, written + 2, "room again: {case}");
        world.step(Step::Snapshot, &mut node, &disk).unwrap();
        check_crashes(&world, &disk, &case);
    });
    println!("{} capacities", capacities.len());
}
