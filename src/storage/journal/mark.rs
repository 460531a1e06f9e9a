//! How far the journal is known to be durable: a small file next to the segments.
//!
//! The end of a journal may be damaged for two reasons that look alike. Power was cut while it was written,
//! so it was never whole: then it is cut. Or it was whole and acknowledged once, and the disk lost it: then a
//! start must not go on as if nothing had happened.
//!
//! Each record says how far the journal was durable when it was written. That settles it for all but
//! the last batch, and the mark settles it for the last one. The mark is written as soon as nothing
//! else waits, so it lags behind an acknowledgement by [`super::MARK_AFTER`].
//!
//! ```text
//! two slots, at 0 and 4096, written by turns, so that a write that is cut short leaves the other
//! offset  bytes
//!      0  8   magic "USHERMRK"
//!      8  4   version, 1
//!     12  4   zero
//!     16  8   how many times it was written
//!     24  8   sequence
//!     32  8   checksum of that record
//!     40  8   checksum of the 40 bytes above
//! ```

use std::io;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::storage::disk;
use crate::storage::disk::{Disk, File, u64_at};

pub(crate) const NAME: &str = "mark";
const MAGIC: &[u8; 8] = b"USHERMRK";
const VERSION: u32 = 1;
const SLOT_BYTES: usize = 48;
const SECOND_SLOT: u64 = 4096;
pub(crate) const FILE_BYTES: u64 = 2 * SECOND_SLOT;

/// The open file, and what it says.
pub(crate) struct Mark {
    file: Box<dyn File>,
    salt: u64,
    written: u64,
    /// The sequence up to which everything is durable.
    pub(crate) sequence: u64,
    /// The checksum of that record.
    pub(crate) checksum: u64,
}

impl Mark {
    /// Makes a file that says that nothing is durable yet. The file itself is durable once the
    /// directory is synced.
    pub(crate) fn create(disk: &dyn Disk, salt: u64) -> io::Result<Mark> {
        let file = disk.create(NAME)?;
        file.set_length(FILE_BYTES)?;
        // Both slots are written, so that later writes need no room.
        disk::write_all_at(&*file, 0, &vec![0; FILE_BYTES as usize])?;
        let mut mark = Mark { file, salt, written: 0, sequence: 0, checksum: 0 };
        mark.write_both(0, 0)?;
        Ok(mark)
    }

    /// Opens the file; `None` if neither slot is whole.
    pub(crate) fn open(disk: &dyn Disk, salt: u64) -> io::Result<Option<Mark>> {
        let file = disk.open(NAME)?;
        let said = slots(&*file)?.into_iter().filter_map(|(_, slot)| read(&slot?, salt));
        Ok(said.max().map(|(written, sequence, checksum)| Mark { file, salt, written, sequence, checksum }))
    }

    /// As [`write`](Mark::write), in both slots, so that neither holds what an earlier process left.
    pub(crate) fn write_both(&mut self, sequence: u64, checksum: u64) -> io::Result<()> {
        self.write(sequence, checksum)?;
        self.write(sequence, checksum)
    }

    /// Notes that everything up to the record of this sequence and checksum is durable. Returns when
    /// the note itself is.
    pub(crate) fn write(&mut self, sequence: u64, checksum: u64) -> io::Result<()> {
        let written = self.written + 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..12].copy_from_slice(&VERSION.to_le_bytes());
        slot[16..24].copy_from_slice(&written.to_le_bytes());
        slot[24..32].copy_from_slice(&sequence.to_le_bytes());
        slot[32..40].copy_from_slice(&checksum.to_le_bytes());
        let own = xxh3_64_with_seed(&slot[..40], self.salt);
        slot[40..].copy_from_slice(&own.to_le_bytes());
        disk::write_all_at(&*self.file, written % 2 * SECOND_SLOT, &slot)?;
        self.file.sync()?;
        (self.written, self.sequence, self.checksum) = (written, sequence, checksum);
        Ok(())
    }
}

/// Where the slots begin that are not whole.
pub(crate) fn damaged_slots(disk: &dyn Disk, salt: u64) -> io::Result<Vec<u64>> {
    let slots = slots(&*disk.open(NAME)?)?.into_iter();
    let damaged = slots.filter(|(_, slot)| slot.and_then(|slot| read(&slot, salt)).is_none());
    Ok(damaged.map(|(offset, _)| offset).collect())
}

/// Whether the file names any record. This needs no knowledge of the directory that it belongs to.
pub(crate) fn speaks_of_records(disk: &dyn Disk) -> io::Result<bool> {
    let slots = slots(&*disk.open(NAME)?)?;
    Ok(slots.iter().any(|(_, slot)| slot.is_some_and(|slot| slot[24..32] != [0; 8])))
}

/// Both slots, each with the place where it begins; `None` for one that the file ends before.
fn slots(file: &dyn File) -> io::Result<[(u64, Option<[u8; SLOT_BYTES]>); 2]> {
    let slot = |offset| -> io::Result<_> {
        let mut slot = [0; SLOT_BYTES];
        Ok((offset, disk::read_exact_at(file, offset, &mut slot)?.then_some(slot)))
    };
    Ok([slot(0)?, slot(SECOND_SLOT)?])
}

/// What a slot says, if it is whole: how often it was written, the sequence, and the checksum.
fn read(slot: &[u8; SLOT_BYTES], salt: u64) -> Option<(u64, u64, u64)> {
    let whole = slot[..8] == *MAGIC
        && u64_at(slot, 8) == u64::from(VERSION)
        && u64_at(slot, 40) == xxh3_64_with_seed(&slot[..40], salt);
    whole.then(|| (u64_at(slot, 16), u64_at(slot, 24), u64_at(slot, 32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::Folder;

    #[test]
    fn the_newest_whole_slot_counts() {
        let place = tempfile::tempdir().unwrap();
        let disk = Folder::open(place.path()).unwrap();
        let sequence = || Mark::open(&disk, 7).unwrap().map(|mark| mark.sequence);
        let mut mark = Mark::create(&disk, 7).unwrap();
        assert_eq!(sequence(), Some(0));
        mark.write(10, 1).unwrap();
        mark.write(20, 2).unwrap();
        assert_eq!(sequence(), Some(20));
        assert_eq!(Mark::open(&disk, 8).unwrap().map(|mark| mark.sequence), None, "another directory's");
        let newest = mark.written % 2 * SECOND_SLOT;
        mark.file.write_at(newest + 24, &[99]).unwrap();
        assert_eq!(sequence(), Some(10));
        mark.file.write_at(SECOND_SLOT - newest + 24, &[99]).unwrap();
        assert_eq!(sequence(), None);
    }
}
