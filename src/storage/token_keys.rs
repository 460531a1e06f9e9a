//! Where the keys of proposition tokens are kept: in a text file that only its owner may read.
//!
//! ```text
//! # one key a line, an id (0 to 255) and 64 hex digits; one or two, the first signs
//! 2:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! 1:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
//! ```
//!
//! Nodes that check each other's tokens have copies of one file. A node that was given none keeps a
//! file of its own in its data directory. A node in memory makes a key that is gone when it stops. No
//! message and no log shows what a file holds.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::input::problem::{Problem, Problems};
use crate::intake::token::{KEY_BYTES, SigningKey, SigningKeys};

/// The file's name in a data directory.
pub const NAME: &str = "token.keys";
/// The most bytes a file may have.
pub const MAX_FILE_BYTES: u64 = 64 * 1024;
/// The most keys a file may have.
pub const MAX_KEYS: usize = 2;
/// Only its owner may read and write it.
const OWNER_ONLY: u32 = 0o600;
const HEAD: &str = "# Keys of Usher's proposition tokens; the first signs. Keep this file secret. `usher keys rotate FILE` renews it.\n";

/// A node's keys, and whether they are still to be written to its data directory.
#[derive(Debug)]
pub struct TokenKeys {
    keys: Arc<SigningKeys>,
    unwritten: Option<(PathBuf, KeyFile)>,
}

/// What a file holds, in its order: at least one key, at most [`MAX_KEYS`].
struct KeyFile {
    keys: Vec<(u8, [u8; KEY_BYTES])>,
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
        let file = KeyFile::read(path).map_err(|unread| unread.into_problems(path))?;
        Ok(TokenKeys { keys: Arc::new(file.keys()), unwritten: None })
    }

    /// The keys of a data directory that this process holds. If it has none yet, they are new, and
    /// [`TokenKeys::keep`] writes them.
    ///
    /// # Errors
    /// As [`TokenKeys::named`]; or the system gives no random numbers.
    pub fn of_directory(directory: &Path) -> Result<TokenKeys, Problems> {
        let path = directory.join(NAME);
        match KeyFile::read(&path) {
            Ok(file) => Ok(TokenKeys { keys: Arc::new(file.keys()), unwritten: None }),
            Err(Unread::System(e)) if e.kind() == ErrorKind::NotFound => {
                let file = KeyFile::random().map_err(|e| no_randomness(&e))?;
                Ok(TokenKeys { keys: Arc::new(file.keys()), unwritten: Some((path, file)) })
            }
            Err(unread) => Err(unread.into_problems(&path)),
        }
    }

    /// A new key that no other node has and no file holds.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> io::Result<TokenKeys> {
        Ok(TokenKeys { keys: Arc::new(KeyFile::random()?.keys()), unwritten: None })
    }

    /// The keys that sign and check tokens.
    pub fn keys(&self) -> &Arc<SigningKeys> {
        &self.keys
    }

    /// Writes the new keys of a data directory. Call it once the directory is initialised, and before a
    /// token is signed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self) -> Result<(), Problems> {
        let Some((path, file)) = self.unwritten.take() else { return Ok(()) };
        file.write_whole(&path).map_err(|e| unwritable(&path, &e))?;
        tracing::info!(file = %path.display(), "made a key for proposition tokens");
        Ok(())
    }
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
    let mut file = KeyFile::read(path).map_err(|unread| unread.into_problems(path))?;
    let (former, dropped) = (file.keys[0].0, file.keys.get(1).map(|(id, _)| *id));
    // The new id is neither of the two, so that no token of the dropped key is taken for one of the new
    // key.
    let mut new = former.wrapping_add(1);
    if Some(new) == dropped {
        new = new.wrapping_add(1);
    }
    file.keys.insert(0, (new, random_key().map_err(|e| no_randomness(&e))?));
    file.keys.truncate(MAX_KEYS);
    // If the name is a link, other nodes read the file that it leads to.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    file.replace(&target).map_err(|e| unwritable(&target, &e))?;
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

/// Why the keys of a file cannot be used.
enum Unread {
    System(io::Error),
    Wrong(Problems),
}

impl Unread {
    fn into_problems(self, path: &Path) -> Problems {
        match self {
            Unread::System(e) => {
                let problem = Problem::new(format!("cannot read {}: {e}", path.display()));
                one(if e.kind() == ErrorKind::NotFound {
                    problem.hint(format!("`usher keys new {}` makes one", path.display()))
                } else {
                    problem
                })
            }
            Unread::Wrong(problems) => problems,
        }
    }
}

impl KeyFile {
    fn random() -> io::Result<KeyFile> {
        Ok(KeyFile { keys: vec![(1, random_key()?)] })
    }

    fn read(path: &Path) -> Result<KeyFile, Unread> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(Unread::System)?;
        let name = path.display().to_string();
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let what = format!("{name} has more than {MAX_FILE_BYTES} bytes: this is no file of keys");
            return Err(Unread::Wrong(Problems::one(what)));
        }
        KeyFile::parse(&name, &String::from_utf8_lossy(&bytes)).map_err(Unread::Wrong)
    }

    /// Reads the text of a file. Problems give the line, but not its content, which may be most of a
    /// key.
    fn parse(name: &str, text: &str) -> Result<KeyFile, Problems> {
        let mut problems = Problems::new();
        let mut keys: Vec<(u8, [u8; KEY_BYTES])> = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = match read_line(line) {
                Ok((id, _)) if keys.iter().any(|(known, _)| *known == id) => {
                    format!("a second key with id {id}; give each key an id of its own")
                }
                Ok((_, key)) if keys.iter().any(|(_, known)| *known == key) => {
                    "the same key a second time; make each key anew".to_owned()
                }
                Ok(_) if keys.len() == MAX_KEYS => format!("more than {MAX_KEYS} keys; remove the oldest"),
                Ok(key) => {
                    keys.push(key);
                    continue;
                }
                Err(wrong) => wrong,
            };
            problems.push(Problem::new(format!("{name}:{number}: {wrong}")));
        }
        if keys.is_empty() && problems.is_empty() {
            let problem = Problem::new(format!("{name}: there is no key in it"));
            problems.push(problem.hint("remove it and make one with `usher keys new FILE`"));
        }
        problems.or(KeyFile { keys })
    }

    fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (id, key) in &self.keys {
            let _ = write!(text, "{id}:"); // writing to a text cannot fail
            for byte in key {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    fn keys(&self) -> SigningKeys {
        let key = |(id, key): &(u8, [u8; KEY_BYTES])| SigningKey::new(*id, key);
        let first = key(&self.keys[0]);
        match self.keys.get(1).map(key) {
            // Ids differ, or the file would have been refused.
            Some(second) => {
                SigningKeys::two(first, second).unwrap_or_else(|| SigningKeys::one(key(&self.keys[0])))
            }
            None => SigningKeys::one(first),
        }
    }

    /// Writes the file, whole or not at all, under a name that must be free. The directory must be ours
    /// alone.
    fn write_whole(&self, path: &Path) -> io::Result<()> {
        if path.try_exists()? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        match std::fs::remove_file(temporary(path)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => self.replace(path), // what a killed start left is gone
        }
    }

    /// Writes the file, whole or not at all, in place of what is there.
    fn replace(&self, path: &Path) -> io::Result<()> {
        let temporary = temporary(path);
        write_new(&temporary, &self.text())?;
        let renamed = std::fs::rename(&temporary, path);
        if renamed.is_err() {
            let _ = std::fs::remove_file(&temporary); // the first error is reported; at worst an unused key is left
        }
        renamed?;
        sync_directory(path)
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

/// The key in a line, or what is wrong with the line.
fn read_line(line: &str) -> Result<(u8, [u8; KEY_BYTES]), String> {
    const EXPECTED: &str = "expected ID:KEY, an id from 0 to 255 and 64 hex digits";
    let (id, digits) = line.split_once(':').ok_or_else(|| format!("{EXPECTED}, found no colon"))?;
    let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let id = id.parse().ok().filter(|_| is_number);
    let id = id.ok_or_else(|| format!("{EXPECTED}, found no such id before the colon"))?;
    if let Some(at) = digits.chars().position(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("{EXPECTED}; character {} after the colon is no hex digit", at + 1));
    }
    if digits.len() != 2 * KEY_BYTES {
        return Err(format!("{EXPECTED}, found {} digits", digits.len()));
    }
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | nibble(*digit));
    }
    Ok((id, key))
}

/// The value of a hex digit.
fn nibble(digit: u8) -> u8 {
    char::from(digit).to_digit(16).map_or(0, |worth| worth as u8)
}

fn random_key() -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    let mut filled = 0;
    while filled < KEY_BYTES {
        match getrandom(&mut key[filled..], GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(key)
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

    use crate::intake::token::{DEFAULT_LIFE, Token, TokenFault};

    const A: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";
    const B: &str = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";

    fn token() -> Token {
        Token {
            decided: 100,
            nonce: 1,
            rule_sets: [(1, 2)].into_iter().collect(),
            offer: 3,
            treatment: 4,
            place: 5,
            arms: [6].into_iter().collect(),
            segment: 7,
            rank: 8,
            propensity: 1.0,
        }
    }

    fn signed(keys: &TokenKeys) -> String {
        let mut text = String::new();
        keys.keys().sign(&token(), "c", &mut text);
        text
    }

    fn check(keys: &TokenKeys, text: &str) -> Result<(), TokenFault> {
        keys.keys().check(text, "c", 100, DEFAULT_LIFE).map(drop)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_file_has_one_or_two_keys_and_comments() {
        for (text, ids) in
            [(format!("7:{A}"), vec![7]), (format!("# two\r\n\r\n 255:{A} \r\n0:{B}\r\n# end"), vec![255, 0])]
        {
            let file = KeyFile::parse("f", &text).unwrap();
            assert_eq!(file.keys().ids().collect::<Vec<_>>(), ids);
            let again = KeyFile::parse("f", &file.text()).unwrap();
            assert_eq!(again.keys, file.keys);
        }
        assert_eq!(KeyFile::parse("f", &format!("1:{B}")).unwrap().keys[0].1[..2], [0x9f, 0x86]);
    }

    #[test]
    fn a_wrong_line_is_named_and_its_key_is_not() {
        for (text, says) in [
            (String::new(), "f: there is no key in it"),
            ("# nothing\n".to_owned(), "there is no key"),
            (format!("\n{A}"), "f:2: expected ID:KEY, an id from 0 to 255 and 64 hex digits, found no colon"),
            (
                format!("256:{A}"),
                "f:1: expected ID:KEY, an id from 0 to 255 and 64 hex digits, found no such id",
            ),
            (format!("+1:{A}"), "no such id"),
            (format!(":{A}"), "no such id"),
            (format!("1:{}", &A[1..]), "found 63 digits"),
            (format!("1:{A}0"), "found 65 digits"),
            (format!("1:{}g", &A[1..]), "character 64 after the colon is no hex digit"),
            (format!("1: {A}"), "character 1 after"),
            (format!("1:{A} # old"), "character 65 after"),
            (format!("1:{}", "客".repeat(22)), "character 1 after"),
            (format!("1:{A}\n1:{B}"), "f:2: a second key with id 1"),
            (format!("1:{A}\n2:{A}"), "f:2: the same key a second time"),
            (format!("1:{A}\n2:{B}\n3:{}{}", &A[..32], &B[..32]), "f:3: more than 2 keys"),
        ] {
            let problems = KeyFile::parse("f", &text).unwrap_err().to_string();
            assert!(problems.contains(says), "{says}: {problems}");
            assert!(![A, B].iter().any(|key| problems.contains(&key[2..20])), "{problems}");
        }
        let both = KeyFile::parse("f", "x\ny").unwrap_err();
        assert_eq!(both.count(), 2);
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
        fs::write(&path, vec![b'#'; MAX_FILE_BYTES as usize + 1]).unwrap();
        assert!(rotate(&path).unwrap_err().to_string().contains("more than 65536 bytes"));
    }

    #[test]
    fn a_directory_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut first = TokenKeys::of_directory(folder.path()).unwrap();
        assert!(!path.exists(), "not before the directory is initialised");
        fs::write(temporary(&path), "left by a start that was killed").unwrap();
        first.keep().unwrap();
        assert_eq!(mode(&path), OWNER_ONLY);
        let text = fs::read_to_string(&path).unwrap();
        let mut second = TokenKeys::of_directory(folder.path()).unwrap();
        second.keep().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(signed(&first), signed(&second));
        assert_eq!(check(&second, &signed(&first)), Ok(()));
        fs::write(&path, "").unwrap();
        assert!(TokenKeys::of_directory(folder.path()).unwrap_err().to_string().contains("there is no key"));
    }

    #[test]
    fn a_key_that_came_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut keys = TokenKeys::of_directory(folder.path()).unwrap();
        fs::write(&path, format!("1:{A}")).unwrap();
        assert!(keys.keep().unwrap_err().to_string().contains("cannot write"));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("1:{A}"));
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
        assert!(!format!("{one:?}").contains("[["), "{one:?}");
    }
}
