//! The simulated disk keeps and loses what it should.

use std::collections::BTreeSet;

use super::*;
use crate::storage::disk::{is_full, read_all, write_all_at};

const MANY: u64 = 400;

/// What a file may hold after a crash; `None` if it is not there.
fn after_crashes(disk: &Simulated, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..MANY).map(|seed| disk.crash(&mut Rng::with_seed(seed)).image().remove(name)).collect()
}

/// A disk with one synced file.
fn disk_with(name: &str, bytes: &[u8]) -> (Simulated, Box<dyn File>) {
    let disk = Simulated::new();
    disk.put(name, bytes.to_vec());
    let file = disk.open(name).unwrap();
    (disk, file)
}

/// Appends the record of this number, from 0, to a toy journal.
fn append(file: &dyn File, number: u8) {
    write_all_at(file, u64::from(number) * 4, &[3, number, number, number]).unwrap();
}

/// The records of a toy journal up to the first one that is not whole.
fn records(bytes: &[u8]) -> Vec<u8> {
    let whole = |record: &&[u8]| record.len() == 4 && record[1..].iter().all(|byte| *byte == record[1]);
    bytes.chunks(4).take_while(|record| record[0] == 3 && whole(record)).map(|record| record[1]).collect()
}

#[test]
fn a_journal_keeps_what_it_synced_and_may_lose_the_rest() {
    let disk = Simulated::new();
    let file = disk.create("journal").unwrap();
    (0..150).for_each(|number| append(&*file, number));
    file.sync().unwrap();
    disk.sync().unwrap();
    (150..200).for_each(|number| append(&*file, number));
    let kept: BTreeSet<_> =
        after_crashes(&disk, "journal").into_iter().map(|bytes| records(&bytes.unwrap()).len()).collect();
    assert!(kept.first() == Some(&150) && kept.last() == Some(&200) && kept.len() > 10, "{kept:?}");
    assert_eq!(records(&disk.kill().bytes("journal")).len(), 200);
    file.sync().unwrap();
    assert!(disk.is_settled());
    assert_eq!(after_crashes(&disk, "journal").len(), 1);
}

#[test]
fn a_synced_file_has_no_durable_name_and_a_durable_name_no_content() {
    let disk = Simulated::new();
    let file = disk.create("a").unwrap();
    write_all_at(&*file, 0, b"abc").unwrap();
    file.sync().unwrap();
    assert_eq!(after_crashes(&disk, "a"), BTreeSet::from([None, Some(b"abc".to_vec())]));

    let disk = Simulated::new();
    let file = disk.create("a").unwrap();
    write_all_at(&*file, 0, b"abc").unwrap();
    disk.sync().unwrap();
    let kept = after_crashes(&disk, "a");
    assert!(kept.contains(&Some(b"".to_vec())) && kept.contains(&Some(b"abc".to_vec())));
    assert!(kept.contains(&Some(b"\0\0\0".to_vec())) && !kept.contains(&None));
}

#[test]
fn a_rename_happened_or_not() {
    let (disk, _) = disk_with("a", b"new");
    disk.put("b", b"old".to_vec());
    disk.put("c", b"other".to_vec());
    disk.rename("a", "b").unwrap();
    disk.remove("c").unwrap();
    let images: BTreeSet<_> = (0..MANY).map(|seed| disk.crash(&mut Rng::with_seed(seed)).image()).collect();
    let names: BTreeSet<_> = images.iter().map(|image| image.keys().collect::<Vec<_>>()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for image in &images {
        let content = if image.contains_key("a") { b"old" } else { b"new" };
        assert_eq!(image["b"], content);
    }
    disk.sync().unwrap();
    assert_eq!(after_crashes(&disk, "c"), BTreeSet::from([None]));
}

#[test]
fn bytes_overwritten_with_what_they_were_stay() {
    let (disk, file) = disk_with("a", &[7; 1024]);
    let mut bytes = [7; 1024];
    bytes[100..200].fill(9);
    write_all_at(&*file, 0, &bytes).unwrap();
    let kept = after_crashes(&disk, "a");
    assert!(kept.len() > 20);
    for bytes in kept.into_iter().flatten() {
        assert!(bytes.len() == 1024 && bytes[..100] == [7; 100] && bytes[200..] == [7; 824]);
    }
}

#[test]
fn what_was_overwritten_before_a_sync_may_be_what_is_left() {
    let (disk, file) = disk_with("a", &[1]);
    for byte in [2, 3, 4] {
        write_all_at(&*file, 0, &[byte]).unwrap();
    }
    let kept = after_crashes(&disk, "a");
    assert!((1..=4).all(|byte| kept.contains(&Some(vec![byte]))));
}

#[test]
fn a_cut_may_be_lost_and_what_was_cut_may_come_back_as_zeros() {
    let (disk, file) = disk_with("a", &[1; 2000]);
    file.set_length(700).unwrap();
    let lengths: BTreeSet<_> =
        after_crashes(&disk, "a").into_iter().map(|bytes| bytes.unwrap().len()).collect();
    assert!(lengths.contains(&700) && lengths.contains(&2000) && lengths.len() > 2);
    file.set_length(1500).unwrap();
    assert_eq!(disk.bytes("a"), [vec![1; 700], vec![0; 800]].concat());
    file.sync().unwrap();
    assert_eq!(after_crashes(&disk, "a"), BTreeSet::from([Some(disk.bytes("a"))]));
}

#[test]
fn after_a_failed_sync_another_one_says_nothing() {
    for fault in [Fault::SyncLoses, Fault::SyncFull] {
        let (disk, file) = disk_with("a", b"old");
        write_all_at(&*file, 0, b"new").unwrap();
        disk.fail_at(1, fault, Lasting::Once);
        assert_eq!(is_full(&file.sync().unwrap_err()), fault == Fault::SyncFull);
        file.sync().unwrap();
        assert_eq!(disk.bytes("a"), b"new");
        assert_eq!(after_crashes(&disk, "a"), BTreeSet::from([Some(b"old".to_vec())]));
        let after_kill = disk.kill();
        after_kill.evict();
        assert_eq!(after_kill.bytes("a"), b"old");
    }
}

#[test]
fn a_fault_strikes_at_its_call_once_or_from_then_on() {
    let (disk, file) = disk_with("a", b"");
    let write = || file.write_at(0, b"abcd");
    disk.fail_at(2, Fault::NoSpace, Lasting::Once);
    assert!(write().is_ok() && is_full(&write().unwrap_err()) && write().is_ok());
    disk.fail_at(1, Fault::NoSpace, Lasting::FromThenOn);
    assert!(write().is_err() && write().is_err() && file.length().is_ok());
    disk.fail_at(1, Fault::ShortThenEio, Lasting::Once);
    assert_eq!(write().unwrap(), 2);
    assert!(!is_full(&write().unwrap_err()) && write().is_ok());
    disk.fail_at(1, Fault::ShortThenFull, Lasting::FromThenOn);
    assert!(is_full(&write_all_at(&*file, 0, b"abcd").unwrap_err()) && write().is_err());
    disk.fail_at(1, Fault::Interrupted, Lasting::Once);
    write_all_at(&*file, 0, b"abcd").unwrap();
    disk.fail_at(1, Fault::Eio, Lasting::FromThenOn);
    assert!(disk.list().is_err() && disk.open("a").is_err() && file.sync().is_err());
    disk.heal();
    assert!(file.sync().is_ok());
    assert_eq!(disk.calls(Fault::SyncLoses), 2);
    assert_eq!(disk.count(Call::Open), 2);
}

#[test]
fn a_full_disk_takes_what_fits_and_holes_take_no_room() {
    let disk = Simulated::new();
    disk.set_capacity(Some(3 * SECTOR as u64));
    let file = disk.create("a").unwrap();
    file.set_length(100_000).unwrap();
    assert_eq!(file.write_at(600, &[1; 3000]).unwrap(), 4 * SECTOR - 600);
    assert!(is_full(&file.write_at(0, &[1]).unwrap_err()));
    assert_eq!(file.write_at(700, &[2; 10]).unwrap(), 10, "no more room is needed");
    assert_eq!(disk.used(), 3 * SECTOR as u64);
    file.set_length(1000).unwrap();
    assert_eq!(file.write_at(0, &[1; 400]).unwrap(), 400);
    disk.set_capacity(None);
    write_all_at(&*file, 0, &[1; 9000]).unwrap();
}

#[test]
fn the_disk_after_each_change_is_kept() {
    let disk = Simulated::new();
    disk.put("a", b"1".to_vec());
    disk.keep_moments();
    let file = disk.open("a").unwrap();
    write_all_at(&*file, 0, b"2").unwrap();
    file.sync().unwrap();
    disk.rename("a", "b").unwrap();
    let moments = disk.moments();
    assert_eq!(moments.len(), disk.changes() + 1, "{:?}", disk.log());
    let of = |name: &str, bytes: &[u8]| BTreeMap::from([(name.to_owned(), bytes.to_vec())]);
    assert_eq!(moments[0].image(), of("a", b"1"));
    assert_eq!(moments[1].image(), of("a", b"2"));
    assert!(!moments[1].is_settled() && moments[2].is_settled() && !moments[3].is_settled());
    assert_eq!(moments[3].image(), of("b", b"2"));
}

#[test]
fn files_can_be_damaged() {
    let disk = Simulated::from_image(&BTreeMap::from([("a".into(), b"abc".to_vec())]));
    disk.flip_bit("a", 8);
    assert_eq!(disk.bytes("a"), b"acc");
    disk.duplicate("a", "b");
    disk.truncate("b", 1);
    disk.swap("a", "b");
    assert_eq!((disk.bytes("a"), disk.bytes("b")), (b"a".to_vec(), b"acc".to_vec()));
    disk.lose("a");
    assert_eq!(disk.list().unwrap(), ["b"]);
    assert_eq!(read_all(&disk, "b", 9).unwrap(), b"acc");
    assert_eq!(disk.bytes_read(), 3);
    assert_eq!(after_crashes(&disk, "a"), BTreeSet::from([None]));
}

#[test]
fn threads_share_a_disk() {
    let disk = Simulated::new();
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let disk = &disk;
            scope.spawn(move || {
                let file = disk.create(name).unwrap();
                (0..100).for_each(|at| write_all_at(&*file, at, b"x").unwrap());
                file.sync().unwrap();
            });
        }
    });
    disk.sync().unwrap();
    assert_eq!(disk.crash(&mut Rng::with_seed(1)).bytes("b"), [b'x'; 100]);
}
