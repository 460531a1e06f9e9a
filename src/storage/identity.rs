//! The identity of a data directory: a random id. Every file of the directory carries it, in its
//! content or in its checksums.
//!
//! ```text
//! two copies, at 0 and 4096
//! offset  bytes
//!      0  8   magic "USHERDIR"
//!      8  4   version, 1
//!     12  4   flags: 1 if the directory keeps keys of tokens; earlier releases wrote 0 and do not look
//!     16  16  id
//!     32  8   checksum of the 32 bytes above
//! ```

use std::io;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::disk;
use super::disk::{Disk, u32_at, u64_at};
use super::refused::{Refused, RefusedKind};

pub(crate) const NAME: &str = "usher.id";
pub(crate) const TEMPORARY: &str = "usher.id.tmp";
const MAGIC: &[u8; 8] = b"USHERDIR";
const VERSION: u32 = 1;
const COPY_BYTES: usize = 40;
const SECOND_COPY: u64 = 4096;
/// The flag of a directory that keeps keys of tokens.
const KEEPS_KEYS: u32 = 1;

/// The random id of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: [u8; 16],
}

impl Identity {
    pub(crate) fn random() -> Identity {
        let mut id = [0; 16];
        fastrand::fill(&mut id);
        Identity { id }
    }

    /// The seed of every checksum in the directory.
    pub(crate) fn salt(&self) -> u64 {
        xxh3_64(&self.id)
    }
}

/// What the file says, and how much of it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityFile {
    pub(crate) identity: Identity,
    /// Whether the directory has keys of tokens of its own, so that it is not whole without them.
    pub(crate) keeps_keys: bool,
    /// Where the copies begin that are not whole.
    pub(crate) damaged: Vec<u64>,
}

/// The identity of this directory; `None` if there is no such file.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Identity>, Refused> {
    Ok(inspect(disk)?.map(|file| file.identity))
}

/// All that the file says; `None` if there is no such file.
pub(crate) fn inspect(disk: &dyn Disk) -> Result<Option<IdentityFile>, Refused> {
    let file = match disk.open(NAME) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Refused::io(NAME, e)),
    };
    let (mut found, mut damaged) = (None, vec![]);
    for offset in [0, SECOND_COPY] {
        let mut copy = [0; COPY_BYTES];
        let is_there = disk::read_exact_at(&*file, offset, &mut copy).map_err(|e| Refused::io(NAME, e))?;
        match read_copy(&copy).filter(|_| is_there) {
            Some((version, ..)) if version != VERSION => return Err(Refused::newer(NAME, version, VERSION)),
            Some((_, flags, identity)) => found = found.or(Some((identity, flags))),
            None => damaged.push(offset),
        }
    }
    let Some((identity, flags)) = found else {
        return Err(Refused::damaged(NAME, 0, 0, "neither of its two copies is whole".to_owned()));
    };
    Ok(Some(IdentityFile { identity, keeps_keys: flags & KEEPS_KEYS != 0, damaged }))
}

/// Writes the identity, in place of what is there, and returns when it is durable.
pub(crate) fn write(disk: &dyn Disk, identity: &Identity, keeps_keys: bool) -> io::Result<()> {
    let mut copy = [0; COPY_BYTES];
    copy[..8].copy_from_slice(MAGIC);
    copy[8..12].copy_from_slice(&VERSION.to_le_bytes());
    copy[12..16].copy_from_slice(&if keeps_keys { KEEPS_KEYS } else { 0 }.to_le_bytes());
    copy[16..32].copy_from_slice(&identity.id);
    let checksum = xxh3_64_with_seed(&copy[..32], 0);
    copy[32..].copy_from_slice(&checksum.to_le_bytes());
    let mut bytes = vec![0; SECOND_COPY as usize];
    bytes[..COPY_BYTES].copy_from_slice(&copy);
    bytes.extend(copy);
    disk::replace(disk, TEMPORARY, NAME, &bytes)
}

/// Notes that the directory keeps keys of tokens, unless that is noted already.
pub(crate) fn note_keys(disk: &dyn Disk) -> io::Result<()> {
    match inspect(disk).map_err(io::Error::other)? {
        Some(IdentityFile { identity, keeps_keys: false, .. }) => write(disk, &identity, true),
        _ => Ok(()),
    }
}

/// Why a directory without an identity is not a data directory.
pub(crate) fn missing() -> Refused {
    Refused::of_all(RefusedKind::Io, format!("there is no `{NAME}`: this is not a data directory"))
}

/// Why a directory without an identity, but with this file, is neither opened nor turned into a data
/// directory.
pub(crate) fn missing_beside(file: &str) -> Refused {
    let what = format!(
        "there is no `{NAME}`, but there is `{file}`: this is not an empty directory, and not a whole data directory"
    );
    Refused::of_all(RefusedKind::Damaged, what)
}

/// Version, flags and identity, if this copy is whole.
fn read_copy(copy: &[u8; COPY_BYTES]) -> Option<(u32, u32, Identity)> {
    if copy[..8] != *MAGIC || u64_at(copy, 32) != xxh3_64_with_seed(&copy[..32], 0) {
        return None;
    }
    Some((u32_at(copy, 8), u32_at(copy, 12), Identity { id: *copy[16..].first_chunk()? }))
}

#[cfg(test)]
mod tests {
    use super::super::disk::Folder;
    use super::*;

    #[test]
    fn one_whole_copy_is_enough_and_none_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let disk = Folder::open(place.path()).unwrap();
        assert_eq!(read(&disk).unwrap(), None);
        let identity = Identity { id: [9; 16] };
        write(&disk, &identity, false).unwrap();
        let damage = |offset: u64| {
            let file = disk.open(NAME).unwrap();
            disk::write_all_at(&*file, offset + 20, &[1]).unwrap();
        };
        assert_eq!(read(&disk).unwrap(), Some(identity));
        note_keys(&disk).unwrap();
        damage(0);
        let expected = IdentityFile { identity, keeps_keys: true, damaged: vec![0] };
        assert_eq!(inspect(&disk).unwrap(), Some(expected));
        damage(SECOND_COPY);
        assert_eq!(read(&disk).unwrap_err().kind, RefusedKind::Damaged);
    }
}
