use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::disk::{Disk, File};
use crate::record::Record;
use crate::state::State;
use crate::state::testing::{Model, SCHEMA, grown_schema, id, merge, updates};
use crate::update::{Change, Update};

const SALT: u64 = 0x5a17;

/// A directory in memory.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Arc<Content>>>);

#[derive(Default)]
struct Content(Mutex<Vec<u8>>);

impl Memory {
    fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.lock().unwrap()[name].0.lock().unwrap().clone()
    }

    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.0.lock().unwrap().insert(name.into(), Arc::new(Content(Mutex::new(bytes))));
    }
}

impl Disk for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.put(name, Vec::new());
        self.open(name)
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let content = self.0.lock().unwrap().get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(content))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), content);
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl File for Arc<Content> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let content = self.0.lock().unwrap();
        let rest = content.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(bytes.len());
        bytes[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut content = self.0.lock().unwrap();
        let end = offset as usize + bytes.len();
        let length = content.len().max(end);
        content.resize(length, 0);
        content[offset as usize..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }
    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(length as usize, 0);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn write_to(disk: &Memory, state: &mut State, compress: bool) -> Written {
    let frozen = state.freeze().unwrap();
    write(disk, SALT, frozen, 77, 1_700_000_000, compress, &AtomicBool::new(false)).unwrap()
}

fn loaded(disk: &Memory, name: &str) -> Result<Loaded, LoadError> {
    load(disk, SALT, name, &|_, _| {})
}

fn apply(state: &mut State, record: &Record) {
    state.apply(state.sequence() + 1, record).unwrap();
}

/// A state with definitions and this many customers, every tenth with a long id.
fn filled(customers: usize) -> State {
    let mut state = State::new();
    apply(&mut state, &Record::Schema { text: SCHEMA.into() });
    for (version, activate) in [(1, true), (2, true), (3, false)] {
        let (name, text) = ("wealth".into(), format!("text of {version}"));
        apply(&mut state, &Record::Publish { name, version, text, activate });
    }
    apply(&mut state, &Record::Retire { name: "wealth".into() });
    let who =
        |number: usize| if number.is_multiple_of(10) { format!("{number:040}") } else { number.to_string() };
    for numbers in (0..customers).collect::<Vec<_>>().chunks(500) {
        let update = |number: &usize| merge(who(*number), &[(1, *number as u64 % 100), (4, *number as u64)]);
        apply(&mut state, &Record::Customers(numbers.iter().map(update).collect()));
    }
    apply(&mut state, &Record::Schema { text: grown_schema() });
    apply(&mut state, &Record::Customers(vec![Update { customer: id("nobody"), change: Change::Erase }]));
    state
}

/// Writes, verifies and loads; everything must come back.
fn check_round_trip(state: &mut State, compress: bool) -> State {
    let disk = Memory::default();
    let written = write_to(&disk, state, compress);
    assert_eq!(disk.list().unwrap(), [written.name.as_str()]);
    assert_eq!(written.digest, state.digest());
    assert_eq!(written.bytes, disk.bytes(&written.name).len() as u64);
    let Written { bytes, head, digest, .. } = written;
    assert_eq!((head.sequence, head.chain, head.taken_at_s), (state.sequence(), 77, 1_700_000_000));
    assert_eq!((head.erased, head.customers), (state.erased(), state.customers().len() as u64));
    assert_eq!(verify(&disk, SALT, &written.name).unwrap(), Checked { head, digest, bytes });
    let loaded = loaded(&disk, &written.name).unwrap();
    assert_eq!((loaded.head, loaded.digest, loaded.bytes), (head, digest, bytes));
    assert_eq!(loaded.state.digest(), digest);
    assert_eq!((loaded.state.sequence(), loaded.state.erased()), (state.sequence(), state.erased()));
    assert_eq!(loaded.state.customers().len(), state.customers().len());
    assert_eq!(loaded.state.definitions().schema, state.definitions().schema);
    loaded.state
}

#[test]
fn what_was_written_is_loaded() {
    for customers in [0, 1, 20_000] {
        for compress in [false, true] {
            check_round_trip(&mut filled(customers), compress);
        }
    }
    check_round_trip(&mut State::new(), false);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_loaded_state_goes_on_as_the_one_that_was_written(
        before in prop::collection::vec(updates(), 0..6),
        after in prop::collection::vec(updates(), 0..6),
        compress in any::<bool>(),
    ) {
        let mut live = State::new();
        apply(&mut live, &Record::Schema { text: SCHEMA.into() });
        for updates in before {
            apply(&mut live, &Record::Customers(updates));
        }
        let mut loaded = check_round_trip(&mut live, compress);
        let mut records = vec![Record::Schema { text: grown_schema() }];
        records.extend(after.into_iter().map(Record::Customers));
        for record in &records {
            apply(&mut live, record);
            apply(&mut loaded, record);
        }
        prop_assert_eq!(loaded.digest(), live.digest());
        prop_assert_eq!(loaded.erased(), live.erased());
        prop_assert_eq!(
            Model::of(loaded.definitions(), loaded.customers()),
            Model::of(live.definitions(), live.customers())
        );
    }
}

#[test]
fn names_are_of_sequences_and_back() {
    assert_eq!(name(42), "00000000000000000042.snapshot");
    assert_eq!(sequence_of(&name(42)), Some(42));
    assert_eq!(sequence_of(&name(u64::MAX)), Some(u64::MAX));
    let wrong = ["42.snapshot", "00000000000000000042.snapshot.tmp", "+0000000000000000042.snapshot", ""];
    for other in wrong.into_iter().chain(["99999999999999999999.snapshot"]) {
        assert_eq!(sequence_of(other), None, "{other}");
    }
}
