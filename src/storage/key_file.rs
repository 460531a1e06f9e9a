//! A file of token keys: a text that people may read, copy and edit, under a checksum.
//!
//! ```text
//! # checksum: 41d2a7c09b3e5f68
//! # one key a line, an id (0 to 255) and 64 hex digits; one or two, the first signs
//! 2:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! 1:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
//! ```
//!
//! The checksum covers the keys and not their order: a rotation without a refused token swaps the two lines
//! by hand. Earlier releases wrote none and take the line for a comment. No message shows what a file holds.

use std::fmt::Write as _;
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};
use xxhash_rust::xxh3::xxh3_64;

use crate::input::problem::{Problem, Problems};
use crate::intake::token::{KEY_BYTES, SigningKey, SigningKeys};

/// The most bytes a file may have.
pub const MAX_FILE_BYTES: u64 = 64 * 1024;
/// The most keys a file may have.
pub const MAX_KEYS: usize = 2;
const HEAD: &str = "# Keys of Usher's proposition tokens; the first signs. Keep this file secret. `usher keys rotate FILE` renews it.\n";
/// Begins the line of the checksum. 16 hex digits follow.
const CHECKSUM: &str = "# checksum:";

/// What a file holds.
#[derive(Clone)]
pub(crate) struct KeyFile {
    /// The keys in their order: at least one, at most [`MAX_KEYS`].
    keys: Vec<(u8, [u8; KEY_BYTES])>,
    /// Whether the file had a checksum, which was right.
    pub(crate) is_sealed: bool,
}

impl KeyFile {
    /// A file with one new key.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn random() -> io::Result<KeyFile> {
        Ok(KeyFile { keys: vec![(1, random_key()?)], is_sealed: true })
    }

    /// Reads the bytes of a file. Problems give the line, but not its content, which may be most of a key.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Result<KeyFile, Problems> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let what = format!("{name} has more than {MAX_FILE_BYTES} bytes: this is no file of keys");
            return Err(Problems::one(what));
        }
        let mut problems = Problems::new();
        let mut file = KeyFile { keys: Vec::new(), is_sealed: false };
        let mut checksum = None;
        let text = String::from_utf8_lossy(bytes);
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            let read = match line.strip_prefix(CHECKSUM) {
                Some(digits) => read_checksum(digits.trim()).map(|read| checksum = Some((number, read))),
                None if line.is_empty() || line.starts_with('#') => Ok(()),
                None => file.take(line),
            };
            if let Err(wrong) = read {
                problems.push(Problem::new(format!("{name}:{number}: {wrong}")));
            }
        }
        if file.keys.is_empty() && problems.is_empty() {
            let problem = Problem::new(format!("{name}: there is no key in it"));
            problems.push(problem.hint("remove it and make one with `usher keys new FILE`"));
        }
        if let Some((number, expected)) = checksum.filter(|_| problems.is_empty()) {
            file.is_sealed = expected == file.checksum();
            if !file.is_sealed {
                let what =
                    format!("{name}:{number}: the keys do not match their checksum: they were altered");
                let hint = "take a copy that is whole; if you changed the keys on purpose, remove this line";
                problems.push(Problem::new(what).hint(hint));
            }
        }
        problems.or(file)
    }

    /// Takes the key in a line, or says what is wrong with the line.
    fn take(&mut self, line: &str) -> Result<(), String> {
        let (id, key) = read_line(line)?;
        if self.keys.iter().any(|(known, _)| *known == id) {
            return Err(format!("a second key with id {id}; give each key an id of its own"));
        }
        if self.keys.iter().any(|(_, known)| *known == key) {
            return Err("the same key a second time; make each key anew".to_owned());
        }
        if self.keys.len() == MAX_KEYS {
            return Err(format!("more than {MAX_KEYS} keys; remove the oldest"));
        }
        self.keys.push((id, key));
        Ok(())
    }

    /// Puts a new key before the one that signs, which stays second. Returns the ids of the new key, of the
    /// one that signed before, and of the one that was dropped.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn rotate(&mut self) -> io::Result<(u8, u8, Option<u8>)> {
        let (former, dropped) = (self.keys[0].0, self.keys.get(1).map(|(id, _)| *id));
        // The new id is neither of the two, so that no token of the dropped key is taken for one of the new
        // key.
        let mut new = former.wrapping_add(1);
        if Some(new) == dropped {
            new = new.wrapping_add(1);
        }
        self.keys.insert(0, (new, random_key()?));
        self.keys.truncate(MAX_KEYS);
        Ok((new, former, dropped))
    }

    /// The file as it is written, with its checksum.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{HEAD}{CHECKSUM} {:016x}\n", self.checksum());
        for (id, key) in &self.keys {
            let _ = write!(text, "{id}:"); // writing to a text cannot fail
            for byte in key {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// The checksum of the keys, whatever their order.
    fn checksum(&self) -> u64 {
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_unstable_by_key(|(id, _)| *id);
        let bytes: Vec<u8> = keys.into_iter().flat_map(|(id, key)| [*id].into_iter().chain(*key)).collect();
        xxh3_64(&bytes)
    }

    /// How many keys there are.
    pub(crate) fn count(&self) -> usize {
        self.keys.len()
    }

    /// The keys, ready to sign and check.
    pub(crate) fn keys(&self) -> SigningKeys {
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
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

fn read_checksum(digits: &str) -> Result<u64, String> {
    let is_hex = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u64::from_str_radix(digits, 16).ok().filter(|_| is_hex);
    number.ok_or_else(|| "expected 16 hex digits after `# checksum:`; the file was altered".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";
    const B: &str = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";

    fn parse(text: &str) -> Result<KeyFile, Problems> {
        KeyFile::parse("f", text.as_bytes())
    }

    #[test]
    fn a_file_has_one_or_two_keys_and_comments() {
        for (text, ids) in
            [(format!("7:{A}"), vec![7]), (format!("# two\r\n\r\n 255:{A} \r\n0:{B}\r\n# end"), vec![255, 0])]
        {
            let file = parse(&text).unwrap();
            assert_eq!(file.keys().ids().collect::<Vec<_>>(), ids);
            assert!(!file.is_sealed, "as earlier releases wrote it");
            let again = parse(&file.text()).unwrap();
            assert_eq!((again.keys, again.is_sealed), (file.keys, true));
        }
        assert_eq!(parse(&format!("1:{B}")).unwrap().keys[0].1[..2], [0x9f, 0x86]);
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
            (format!("# checksum: 12\n1:{A}"), "f:1: expected 16 hex digits after `# checksum:`"),
            (format!("1:{A}\n# checksum: 0123456789abcdef"), "f:2: the keys do not match their checksum"),
        ] {
            let problems = parse(&text).unwrap_err().to_string();
            assert!(problems.contains(says), "{says}: {problems}");
            assert!(![A, B].iter().any(|key| problems.contains(&key[2..20])), "{problems}");
        }
        assert_eq!(parse("x\ny").unwrap_err().count(), 2);
    }

    #[test]
    fn a_flipped_bit_is_noticed_or_changes_no_key() {
        let whole = parse(&format!("7:{A}\n9:{B}")).unwrap();
        let mut bytes = whole.text().into_bytes();
        let mut noticed = 0;
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            match KeyFile::parse("f", &bytes) {
                Ok(file) => assert_eq!(file.keys, whole.keys, "bit {bit}"),
                Err(_) => noticed += 1,
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(noticed > 2 * 66 * 6, "{noticed}");
    }

    #[test]
    fn a_line_that_is_gone_is_noticed_and_two_that_are_swapped_are_not() {
        let whole = parse(&format!("7:{A}\n9:{B}")).unwrap().text();
        let lines: Vec<&str> = whole.lines().collect();
        let swapped = parse(&[lines[0], lines[1], lines[3], lines[2]].join("\n")).unwrap();
        assert_eq!((swapped.keys[0].0, swapped.is_sealed), (9, true));
        for kept in [&lines[..3], &[lines[0], lines[1], lines[3]]] {
            assert!(parse(&kept.join("\n")).unwrap_err().to_string().contains("altered"));
        }
    }

    #[test]
    fn what_is_too_long_is_no_file_of_keys() {
        let long = KeyFile::parse("f", &vec![b'#'; MAX_FILE_BYTES as usize + 1]).unwrap_err();
        assert!(long.to_string().contains("more than 65536 bytes"), "{long}");
    }
}
