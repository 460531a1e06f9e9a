//! Files, behind one small trait through which everything durable goes. Tests can fail it, crash it and
//! slow it down, and share the code with the real disk.
//!
//! # What is assumed of a disk
//! - After [`File::sync`] returned without an error, what was written to that file before stays, also
//!   when power is cut. After [`Disk::sync`] the same holds for names: creations, renames, removals.
//! - What was not synced may be there or not, sector by sector (512 bytes) and in any order. A sector may be
//!   torn. But bytes of a sector that are overwritten with the same values keep them ("powersafe overwrite").
//! - After a failed sync nothing is known. Linux marks the pages clean, so a second sync says nothing
//!   about them (A. Rebello et al., "Can applications recover from fsync failures?", USENIX ATC 2020).
//!   So nothing is synced again after a failure.

use std::fs::{OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(crate) mod simulated;

/// A directory of files, without directories in it.
pub trait Disk: Send + Sync {
    /// The names of all files, in no order.
    ///
    /// # Errors
    /// What the system reports.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file that does not exist yet.
    ///
    /// # Errors
    /// `AlreadyExists`, and what else the system reports.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, and what else the system reports.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Gives a file another name. A file that has that name already is replaced.
    ///
    /// # Errors
    /// What the system reports.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system reports.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns when all names are durable.
    ///
    /// # Errors
    /// What the system reports.
    fn sync(&self) -> io::Result<()>;
}

/// An open file. Several threads may read it at once.
pub trait File: Send + Sync {
    /// The length in bytes.
    ///
    /// # Errors
    /// What the system reports.
    fn length(&self) -> io::Result<u64>;

    /// Reads into `bytes`, perhaps less than fits. Returns how many bytes were read: 0 at the end of
    /// the file.
    ///
    /// # Errors
    /// What the system reports.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;

    /// Writes `bytes`, perhaps only the first part. Returns how many bytes were written.
    ///
    /// # Errors
    /// What the system reports.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts the file to this length in bytes, or fills it up with zeros.
    ///
    /// # Errors
    /// What the system reports.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Returns when content and length are durable. It is never called again after it failed.
    ///
    /// # Errors
    /// What the system reports.
    fn sync(&self) -> io::Result<()>;
}

/// Fills `bytes` from `offset` on; false if the file ends before.
///
/// # Errors
/// What the system reports.
pub fn read_exact_at(file: &dyn File, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<bool> {
    while !bytes.is_empty() {
        match file.read_at(offset, bytes) {
            Ok(0) => return Ok(false),
            Ok(read) => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// What the system reports; any part of `bytes` may have been written then.
pub fn write_all_at(file: &dyn File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Copies this range of bytes of `from` to the same place in `to`. The two may be one file.
///
/// # Errors
/// `UnexpectedEof` when `from` ends before the range does, and what else the system reports.
pub fn copy(from: &dyn File, to: &dyn File, range: Range<u64>) -> io::Result<()> {
    const STEP_BYTES: u64 = 1 << 20;
    let mut bytes = vec![0; STEP_BYTES.min(range.end.saturating_sub(range.start)) as usize];
    let mut offset = range.start;
    while offset < range.end {
        let step = &mut bytes[..STEP_BYTES.min(range.end - offset) as usize];
        if !read_exact_at(from, offset, step)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all_at(to, offset, step)?;
        offset += step.len() as u64;
    }
    Ok(())
}

/// Removes a file, if there is one of this name.
///
/// # Errors
/// What the system reports.
pub(crate) fn remove_if_there(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Writes a small file, whole or not at all, in place of what has this name. Returns when it is durable. What
/// an earlier try left under the name `temporary` is removed.
///
/// # Errors
/// What the system reports; the file has its former content or the new one then.
pub(crate) fn replace(disk: &dyn Disk, temporary: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    remove_if_there(disk, temporary)?;
    let file = disk.create(temporary)?;
    let written = write_all_at(&*file, 0, bytes)
        .and_then(|()| file.sync())
        .and_then(|()| disk.rename(temporary, name))
        .and_then(|()| disk.sync());
    if written.is_err() {
        let _ = disk.remove(temporary); // the first error is reported
    }
    written
}

/// The little-endian number of 8 bytes at this place. `bytes` must be long enough.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The little-endian number of 4 bytes at this place. `bytes` must be long enough.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// All of a small file, for tests. `InvalidData` when it has more than `most` bytes.
#[cfg(test)]
pub(crate) fn read_all(disk: &dyn Disk, name: &str, most: usize) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let length = file.length()?;
    if length > most as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{name}` has {length} bytes, expected at most {most}"),
        ));
    }
    let mut bytes = vec![0; length as usize];
    if !read_exact_at(&*file, 0, &mut bytes)? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Whether the disk, or the user's share of it, has no room. What was written before is still right
/// then.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether the system lacked something else for the call, which then did nothing: descriptors, memory, or the
/// permission to make a file. What was written before is still right then.
pub fn is_scarce(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const LACKS: [Errno; 7] =
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::ACCESS, Errno::PERM, Errno::ROFS];
    Errno::from_io_error(error).is_some_and(|errno| LACKS.contains(&errno))
}

/// Whether the call can succeed later: the disk [is full](is_full), or something else [is scarce](is_scarce).
pub fn is_passing(error: &io::Error) -> bool {
    is_full(error) || is_scarce(error)
}

/// Files hold what banks know of their customers, so only their owner may read them.
const OWNER_ONLY: u32 = 0o600;

/// A directory of the real file system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    writes: bool,
    directory: std::fs::File, // opened once, so that syncing it needs no free file descriptor
}

impl Folder {
    /// The directory at `path`, which must exist.
    ///
    /// # Errors
    /// What the system reports.
    pub fn open(path: &Path) -> io::Result<Folder> {
        Ok(Folder { path: path.to_owned(), writes: true, directory: std::fs::File::open(path)? })
    }

    /// As [`open`](Folder::open); nothing in the directory can be changed.
    ///
    /// # Errors
    /// What the system reports.
    pub fn open_to_read(path: &Path) -> io::Result<Folder> {
        Ok(Folder { writes: false, ..Folder::open(path)? })
    }

    fn may_write(&self) -> io::Result<()> {
        if self.writes { Ok(()) } else { Err(io::ErrorKind::ReadOnlyFilesystem.into()) }
    }

    /// What an operator must know of this file system before they entrust data to it.
    pub fn warning(&self) -> Option<&'static str> {
        const TMPFS: u32 = 0x0102_1994;
        const NETWORK: [u32; 4] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42]; // NFS, SMB, CIFS, SMB 2; statfs(2)
        let kind = rustix::fs::fstatfs(&self.directory).ok()?.f_type as u32;
        if kind == TMPFS {
            Some("this is a file system in memory: what is kept here is gone after a reboot")
        } else if NETWORK.contains(&kind) {
            Some("this is a network file system: whether synced data survives depends on its server")
        } else {
            None
        }
    }

    /// Takes the directory for this value alone; false if another process, or another value, has it.
    /// The lock ends when this is dropped, or when the process ends in whatever way.
    ///
    /// # Errors
    /// What the system reports.
    pub fn lock(&self) -> io::Result<bool> {
        match self.directory.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn open_file(&self, name: &str, create: bool) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(self.writes).create_new(create).mode(OWNER_ONLY);
        let file = options.open(self.path.join(name))?;
        Ok(Box::new(file))
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string()); // no file of ours has a name that is not UTF-8
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.may_write()?;
        self.open_file(name, true)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.open_file(name, false)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_write()?;
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.may_write()?;
        std::fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.directory.sync_all()
    }
}

impl File for std::fs::File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_creates_writes_renames_and_lists() {
        let place = tempfile::tempdir().unwrap();
        let disk = Folder::open(place.path()).unwrap();
        let file = disk.create("a").unwrap();
        assert_eq!(disk.create("a").map(drop).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        write_all_at(&*file, 2, b"xyz").unwrap();
        file.sync().unwrap();
        disk.rename("a", "b").unwrap();
        disk.sync().unwrap();
        assert_eq!(disk.list().unwrap(), ["b"]);
        assert_eq!(disk.open("a").map(drop).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read_all(&disk, "b", 5).unwrap(), b"\0\0xyz");
        assert_eq!(read_all(&disk, "b", 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let file = disk.open("b").unwrap();
        assert!(!read_exact_at(&*file, 3, &mut [0; 3]).unwrap());
        file.set_length(1).unwrap();
        assert_eq!(file.length().unwrap(), 1);
        assert!(disk.lock().unwrap());
        let other = Folder::open(place.path()).unwrap();
        assert!(!other.lock().unwrap());
        disk.remove("b").unwrap();
        assert!(disk.list().unwrap().is_empty());
    }
}
