//! The keys of proposition tokens of a node: from a file that somebody made, or from its data directory.
//!
//! Nodes that check each other's tokens have copies of one file. A node that was given none keeps a
//! file of its own in its data directory, which remembers that it has one: a directory whose keys are gone
//! is refused, for every token that is out would be. A node in memory makes a key that is gone when it
//! stops. `key_file` describes the file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk;
use super::disk::Disk;
use super::identity;
use super::key_file::{KeyFile, MAX_FILE_BYTES};
use super::refused::{Refused, RefusedKind};
use crate::input::problem::{Problem, Problems};
use crate::intake::token::SigningKeys;

/// The file's name in a data directory.
pub const NAME: &str = "token.keys";
/// Where the file is written before it gets its name.
pub(crate) const TEMPORARY: &str = "token.keys.tmp";
/// Only its owner may read and write it.
const OWNER_ONLY: u32 = 0o600;

/// A node's keys, and whether they are still to be written to its data directory.
pub struct TokenKeys {
    keys: Arc<SigningKeys>,
    own: Option<OwnKeys>,
}

/// The keys that a data directory keeps for its node.
struct OwnKeys {
    disk: Arc<dyn Disk>,
    file: KeyFile,
    /// Whether the directory has no such file yet.
    is_new: bool,
}

/// What a rotation did to the keys of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The id of the key that signs from now on.
    pub new: u8,
    /// The id of the key that signed before. It is still accepted.
    pub former: u8,
    /// The id of the key that is no longer accepted, if there was a second one.
    pub dropped: Option<u8>,
}

impl TokenKeys {
    /// The keys of a file that somebody made.
    ///
    /// # Errors
    /// The file cannot be read, or everything that is wrong in it.
    pub fn named(path: &Path) -> Result<TokenKeys, Problems> {
        Ok(TokenKeys { keys: Arc::new(read(path)?.keys()), own: None })
    }

    /// The keys of a data directory. If it never had any they are new, and [`TokenKeys::keep`] writes them.
    ///
    /// # Errors
    /// [`Refused`]: they are damaged, or gone although the directory had some; or the system refuses.
    pub(crate) fn of_disk(disk: &Arc<dyn Disk>) -> Result<TokenKeys, Refused> {
        let known = identity::inspect(&**disk)?;
        let (file, is_new) = match read_own(&**disk, known.is_some_and(|known| known.keeps_keys))? {
            Some(file) => (file, false),
            None => (KeyFile::random().map_err(|e| Refused::io(NAME, e))?, true),
        };
        let keys = Arc::new(file.keys());
        Ok(TokenKeys { keys, own: Some(OwnKeys { disk: Arc::clone(disk), file, is_new }) })
    }

    /// A new key that no other node has and no file holds.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> io::Result<TokenKeys> {
        Ok(TokenKeys { keys: Arc::new(KeyFile::random()?.keys()), own: None })
    }

    /// The keys that sign and check tokens.
    pub fn keys(&self) -> &Arc<SigningKeys> {
        &self.keys
    }

    /// Writes the new keys of a data directory, and notes there that it has keys. Call it once the directory
    /// is initialised, and before a token is signed. Keys that an earlier release wrote get their checksum.
    /// If the disk has no room for the note or the checksum, the next start writes it.
    ///
    /// # Errors
    /// New keys cannot be written.
    pub fn keep(&mut self) -> Result<(), Refused> {
        let Some(OwnKeys { disk, file, is_new }) = self.own.take() else { return Ok(()) };
        if is_new {
            make_own(&*disk, &file).map_err(|e| Refused::io(NAME, e))?;
            tracing::info!(file = NAME, "made a key for proposition tokens");
        } else if !file.is_sealed && is_a_file(&*disk) {
            match write_own(&*disk, &file) {
                Ok(()) => tracing::info!(file = NAME, "the keys of proposition tokens have a checksum now"),
                Err(e) => tracing::warn!(why = %e, "the keys of proposition tokens got no checksum"),
            }
        }
        if let Err(e) = identity::note_keys(&*disk) {
            tracing::warn!(why = %e, "the data directory could not note that it has keys of tokens");
        }
        Ok(())
    }
}

/// The keys that a data directory keeps, if it has any. `keeps_keys`: whether it says that it has.
///
/// # Errors
/// They are gone or damaged, or the system refuses to read them.
pub(crate) fn read_own(disk: &dyn Disk, keeps_keys: bool) -> Result<Option<KeyFile>, Refused> {
    let file = match disk.open(NAME) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound && keeps_keys => {
            return Err(unusable("it is gone, and this directory had one".to_owned()));
        }
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Refused::io(NAME, e)),
    };
    let length = file.length().map_err(|e| Refused::io(NAME, e))?.min(MAX_FILE_BYTES + 1);
    let mut bytes = vec![0; length as usize];
    if !disk::read_exact_at(&*file, 0, &mut bytes).map_err(|e| Refused::io(NAME, e))? {
        return Err(Refused::io(NAME, ErrorKind::UnexpectedEof.into()));
    }
    KeyFile::parse(NAME, &bytes).map(Some).map_err(|problems| unusable(problems.summary()))
}

fn unusable(what: String) -> Refused {
    Refused { file: Some(NAME.to_owned()), ..Refused::of_all(RefusedKind::TokenKeys, what) }
}

/// Whether the directory has the file itself, and no link to one elsewhere.
fn is_a_file(disk: &dyn Disk) -> bool {
    disk.list().is_ok_and(|names| names.iter().any(|name| name == NAME))
}

/// Writes the first keys of a directory. A file that came meanwhile is not replaced.
fn make_own(disk: &dyn Disk, file: &KeyFile) -> io::Result<()> {
    match disk.open(NAME) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(e) if e.kind() == ErrorKind::NotFound => write_own(disk, file),
        Err(e) => Err(e),
    }
}

/// Writes the keys of a directory, whole or not at all, in place of what is there.
pub(crate) fn write_own(disk: &dyn Disk, keys: &KeyFile) -> io::Result<()> {
    disk::replace(disk, TEMPORARY, NAME, keys.text().as_bytes())
}

/// Makes a file with one new key.
///
/// # Errors
/// There is a file of this name already, or it cannot be written.
pub fn create(path: &Path) -> Result<(), Problems> {
    let file = KeyFile::random().map_err(|e| no_randomness(&e))?;
    write_new(path, &file.text()).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            let problem = Problem::new(format!("{} is there already, and was not touched", path.display()));
            one(problem.hint("`usher keys rotate FILE` puts a new key into it"))
        }
        _ => unwritable(path, &e),
    })
}

/// Puts a new key before the one that signs, which stays second. What was second is dropped.
///
/// # Errors
/// What is wrong with the file, or that it cannot be written. It is as it was then.
pub fn rotate(path: &Path) -> Result<Rotated, Problems> {
    let mut file = read(path)?;
    let (new, former, dropped) = file.rotate().map_err(|e| no_randomness(&e))?;
    // If the name is a link, other nodes read the file that it leads to.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    replace(&target, &file).map_err(|e| unwritable(&target, &e))?;
    Ok(Rotated { new, former, dropped })
}

/// A warning, if other users of this machine may read the keys.
pub fn warning(path: &Path) -> Option<String> {
    const OTHERS: u32 = 0o004;
    let mode = std::fs::metadata(path).ok()?.mode() & 0o777;
    (mode & OTHERS != 0).then(|| {
        let path = path.display();
        format!("every user of this machine may read {path} (mode {mode:03o}): `chmod 600 {path}`")
    })
}

/// Reads a file that somebody named.
fn read(path: &Path) -> Result<KeyFile, Problems> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|e| {
        let problem = Problem::new(format!("cannot read {}: {e}", path.display()));
        one(if e.kind() == ErrorKind::NotFound {
            problem.hint(format!("`usher keys new {}` makes one", path.display()))
        } else {
            problem
        })
    })?;
    KeyFile::parse(&path.display().to_string(), &bytes)
}

/// Writes the file, whole or not at all, in place of what is there.
fn replace(path: &Path, file: &KeyFile) -> io::Result<()> {
    let temporary = temporary(path);
    write_new(&temporary, &file.text())?;
    let renamed = std::fs::rename(&temporary, path);
    if renamed.is_err() {
        let _ = std::fs::remove_file(&temporary); // the first error is reported; at worst an unused key is left
    }
    renamed?;
    sync_directory(path)
}

/// Makes a file, and returns when it is durable. It must not exist.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path); // the first error is reported
    }
    written?;
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

fn one(problem: Problem) -> Problems {
    let mut problems = Problems::new();
    problems.push(problem);
    problems
}

fn no_randomness(e: &io::Error) -> Problems {
    Problems::one(format!("the system gives no random numbers for a key: {e}"))
}

fn unwritable(path: &Path, e: &io::Error) -> Problems {
    let problem = Problem::new(format!("cannot write {}: {e}", path.display()));
    let temporary = temporary(path);
    one(if e.kind() == ErrorKind::AlreadyExists && temporary.exists() {
        let temporary = temporary.display();
        problem
            .hint(format!("{temporary} belongs to a rotation that is under way or did not end: if none is under way, remove it"))
    } else {
        problem
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use crate::intake::token::{DEFAULT_LIFE, Proposed, TokenFault};
    use crate::storage::disk::simulated::{Fault, Lasting, Simulated};
    use crate::storage::identity::Identity;

    const A: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";
    const B: &str = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";

    fn signed(keys: &TokenKeys) -> String {
        let proposed = Proposed {
            rule_sets: [(1, 2)].into_iter().collect(),
            offer: 3,
            treatment: 4,
            place: 5,
            arms: [6].into_iter().collect(),
            segment: 7,
            rank: 8,
            propensity: 1.0,
        };
        String::from_utf8(keys.keys().signer(100, 1, "c").sign(&proposed).to_vec()).unwrap()
    }

    fn check(keys: &TokenKeys, text: &str) -> Result<(), TokenFault> {
        keys.keys().check(text, "c", 100, DEFAULT_LIFE).map(drop)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_for_its_owner_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usher.keys");
        create(&path).unwrap();
        assert_eq!(mode(&path), OWNER_ONLY);
        assert_eq!(warning(&path), None);
        let text = fs::read_to_string(&path).unwrap();
        let refused = create(&path).unwrap_err().to_string();
        assert!(refused.contains("is there already") && refused.contains("usher keys rotate"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let other = folder.path().join("other.keys");
        create(&other).unwrap();
        assert_ne!(fs::read_to_string(&other).unwrap(), text, "random");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(warning(&path).unwrap().contains("(mode 644): `chmod 600"));
        assert!(create(Path::new("/nowhere/k")).unwrap_err().to_string().contains("cannot write /nowhere/k"));
    }

    #[test]
    fn a_rotation_keeps_the_former_key_and_drops_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        create(&path).unwrap();
        let first = TokenKeys::named(&path).unwrap();
        let mut before = signed(&first);
        for (new, former, dropped) in [(2, 1, None), (3, 2, Some(1)), (4, 3, Some(2))] {
            let older = TokenKeys::named(&path).unwrap();
            assert_eq!(rotate(&path).unwrap(), Rotated { new, former, dropped });
            assert_eq!(mode(&path), OWNER_ONLY);
            let now = TokenKeys::named(&path).unwrap();
            assert_eq!(check(&now, &before), Ok(()));
            assert_eq!(check(&older, &signed(&now)), Err(TokenFault::UnknownKey(new)));
            before = signed(&now);
        }
        assert_eq!(check(&TokenKeys::named(&path).unwrap(), &signed(&first)), Err(TokenFault::UnknownKey(1)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_new_id_is_none_of_the_two_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        for (ids, new) in [([255, 0], 1), ([4, 9], 5), ([4, 5], 6), ([254, 255], 0)] {
            fs::write(&path, format!("{}:{A}\n{}:{B}", ids[0], ids[1])).unwrap();
            assert_eq!(rotate(&path).unwrap(), Rotated { new, former: ids[0], dropped: Some(ids[1]) });
        }
    }

    #[test]
    fn what_cannot_be_rotated_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let refused = rotate(&path).unwrap_err().to_string();
        assert!(refused.contains("cannot read") && refused.contains("usher keys new"), "{refused}");
        fs::write(&path, "1:abc").unwrap();
        assert!(rotate(&path).unwrap_err().to_string().contains("found 3 digits"));
        fs::write(&path, format!("1:{A}")).unwrap();
        fs::write(temporary(&path), "").unwrap();
        let refused = rotate(&path).unwrap_err().to_string();
        assert!(refused.contains("a rotation that is under way or did not end"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("1:{A}"));
    }

    fn own(disk: &Simulated) -> Result<TokenKeys, Refused> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        TokenKeys::of_disk(&disk)
    }

    /// A directory that was started once.
    fn started() -> (Simulated, TokenKeys) {
        let disk = Simulated::new();
        identity::write(&disk, &Identity { id: [7; 16] }, false).unwrap();
        let mut keys = own(&disk).unwrap();
        assert!(!disk.image().contains_key(NAME), "not before the directory is initialised");
        keys.keep().unwrap();
        (disk, keys)
    }

    #[test]
    fn a_directory_keeps_its_key() {
        let (disk, first) = started();
        let image = disk.image();
        let mut second = own(&disk).unwrap();
        second.keep().unwrap();
        assert_eq!(disk.image(), image);
        assert_eq!(signed(&first), signed(&second));
        assert_eq!(check(&second, &signed(&first)), Ok(()));
    }

    #[test]
    fn keys_that_are_gone_or_altered_are_refused_with_a_way_out() {
        let (whole, _) = started();
        for (damage, says) in [
            (&(|disk: &Simulated| disk.remove(NAME).unwrap()) as &dyn Fn(&Simulated), "it is gone"),
            (&|disk| disk.put(NAME, vec![]), "there is no key"),
            (&|disk| disk.put(NAME, format!("1:{A}\n# checksum: {:016x}", 1).into_bytes()), "altered"),
            (&|disk| disk.put(NAME, format!("1:{}", &A[1..]).into_bytes()), "found 63 digits"),
        ] {
            let disk = Simulated::from_image(&whole.image());
            damage(&disk);
            let refused = own(&disk).err().unwrap();
            assert_eq!(refused.kind, RefusedKind::TokenKeys, "{refused}");
            assert!(refused.to_string().contains(says), "{says}: {refused}");
            assert!(refused.hint(Path::new("data")).unwrap().contains("usher keys new"), "{refused}");
        }
    }

    #[test]
    fn keys_of_an_earlier_release_are_taken_and_get_a_checksum() {
        let disk = Simulated::new();
        identity::write(&disk, &Identity { id: [7; 16] }, false).unwrap();
        disk.put(NAME, format!("1:{A}").into_bytes());
        disk.put(TEMPORARY, b"left by a start that was killed".to_vec());
        let mut old = own(&disk).unwrap();
        old.keep().unwrap();
        assert!(String::from_utf8(disk.bytes(NAME)).unwrap().contains("# checksum: "));
        assert_eq!(signed(&own(&disk).unwrap()), signed(&old));
        disk.remove(NAME).unwrap();
        assert!(own(&disk).is_err(), "the directory knows that it had them");
    }

    #[test]
    fn wherever_keeping_keys_fails_the_next_start_has_keys_and_no_old_one_is_lost() {
        for old in [None, Some(format!("1:{A}"))] {
            let clean = Simulated::new();
            identity::write(&clean, &Identity { id: [7; 16] }, false).unwrap();
            if let Some(text) = &old {
                clean.put(NAME, text.clone().into_bytes());
            }
            for fault in [Fault::Eio, Fault::NoSpace, Fault::ShortThenFull, Fault::SyncLoses] {
                for nth in 1..40 {
                    let disk = Simulated::from_image(&clean.image());
                    let mut first = own(&disk).unwrap();
                    disk.fail_at(nth, fault, Lasting::Once);
                    let kept = first.keep();
                    disk.heal();
                    let left = disk.crash(&mut fastrand::Rng::with_seed(nth));
                    let mut second = own(&left).unwrap_or_else(|e| panic!("{e}: {fault:?} {nth}"));
                    assert!(second.keep().is_ok(), "{fault:?} {nth}");
                    if kept.is_ok() || old.is_some() {
                        assert_eq!(signed(&second), signed(&first), "{fault:?} {nth}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_key_that_came_meanwhile_is_not_overwritten() {
        let disk = Simulated::new();
        identity::write(&disk, &Identity { id: [7; 16] }, false).unwrap();
        let mut keys = own(&disk).unwrap();
        disk.put(NAME, format!("1:{A}").into_bytes());
        assert_eq!(keys.keep().unwrap_err().kind, RefusedKind::Io);
        assert_eq!(disk.bytes(NAME), format!("1:{A}").into_bytes());
    }

    #[test]
    fn nodes_with_copies_of_a_file_agree_and_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        create(&one).unwrap();
        fs::copy(&one, &two).unwrap();
        let [one, two] = [one, two].map(|path| TokenKeys::named(&path).unwrap());
        assert_eq!(check(&two, &signed(&one)), Ok(()));
        assert_eq!(signed(&one), signed(&two));
        assert_eq!(check(&TokenKeys::random().unwrap(), &signed(&one)), Err(TokenFault::Forged));
        assert!(!format!("{:?}", read(&folder.path().join("one")).unwrap()).contains("[["));
    }
}
