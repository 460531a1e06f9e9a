//! Snapshots: round trips, every flipped bit, hostile bytes, and the bytes that may never change.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::block::{Block, BlockKind, HEADER_BYTES, MAX_CUSTOMERS_BYTES, PREAMBLE_BYTES, checksum, preamble};
use super::*;
use crate::customer::numbers::{OfferNumber, PlaceNumber};
use crate::customer::update::{Change, Erasure, Update};
use crate::rules::catalogue::{Additions, OfferEntry, PlaceEntry, Returns};
use crate::state::definitions::Definitions;
use crate::state::digest::Digest;
use crate::state::ledger;
use crate::state::ledger::{
    BudgetUsed, ErasedIds, HashChunk, MAX_BUDGETS_COUNTED, MAX_PIECE_ROWS, Piece, Tally, TallyKey, Totals,
};
use crate::state::record::Record;
use crate::state::store::{FrozenPart, Loader};
use crate::state::testing::{Model, SCHEMA, events, grown_schema, happening, id, merge, updates};
use crate::state::{FrozenState, State};
use crate::storage::codec;
use crate::storage::codec::SnapshotHead;
use crate::storage::disk::{Disk, File};

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

fn write_to(disk: &Memory, state: &mut State, compress: bool) -> WrittenSnapshot {
    let frozen = state.freeze().unwrap();
    write(disk, SALT, frozen, 77, 1_700_000_000, compress, &AtomicBool::new(false)).unwrap()
}

fn loaded(disk: &Memory, name: &str) -> Result<LoadedSnapshot, LoadError> {
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
    apply(
        &mut state,
        &Record::Customers(vec![Update {
            customer: id("nobody"),
            change: Change::Erase(Erasure::default()),
        }]),
    );
    state
}

/// A state with numbers for names, contacts, and something in every part of the ledger.
fn eventful() -> State {
    let mut state = State::new();
    apply(&mut state, &Record::Schema { text: "schema: s\n".into() });
    let additions = Additions {
        names: ["r", "g", "banner", "app", "e.a"].map(|name| vec![name.into()]),
        places: vec![PlaceEntry { placement: 0, channel: 0 }],
        offers: vec![(OfferNumber(0), OfferEntry { name: "card".into(), ..OfferEntry::default() })],
        keep_s: Some([1, 2, 3, u32::MAX]),
        returns: Returns::default(),
    };
    apply(&mut state, &Record::Catalogue(Box::new(additions)));
    apply(&mut state, &Record::Customers((1..4).map(happening).collect()));
    state
}

/// Writes, verifies and loads a snapshot. Everything must come back.
fn check_round_trip(state: &mut State, compress: bool) -> State {
    let disk = Memory::default();
    let written = write_to(&disk, state, compress);
    assert_eq!(disk.list().unwrap(), [written.name.as_str()]);
    assert_eq!(written.digest, state.digest());
    assert_eq!(written.bytes, disk.bytes(&written.name).len() as u64);
    let WrittenSnapshot { bytes, head, digest, .. } = written;
    assert_eq!((head.sequence, head.chain, head.taken_at_s), (state.sequence(), 77, 1_700_000_000));
    assert_eq!((head.erased, head.customers), (state.erased(), state.customers().len() as u64));
    assert_eq!(verify(&disk, SALT, &written.name).unwrap(), CheckedSnapshot { head, digest, bytes });
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
    let mut state = eventful();
    let loaded = check_round_trip(&mut state, true);
    assert_eq!(loaded.definitions().catalogue, state.definitions().catalogue);
    assert_eq!(loaded.figures().tallies(), state.figures().tallies());
}

#[test]
fn the_digest_covers_numbers_contacts_and_every_part_of_the_ledger() {
    let mut state = eventful();
    let digest_with = |state: &mut State, change: &dyn Fn(&mut ledger::Content, &mut Definitions)| {
        let frozen = state.freeze().unwrap();
        let (mut content, mut definitions) = (frozen.ledger, frozen.definitions);
        change(&mut content, &mut definitions);
        Digest::default().of_state(&definitions, &content)
    };
    let same = digest_with(&mut state, &|_, _| {});
    type Change<'c> = &'c dyn Fn(&mut ledger::Content, &mut Definitions);
    let changes: [Change<'_>; 8] = [
        &|content, _| content.ids = ledger::RememberedIds::default(),
        &|content, _| content.outcomes.forgotten_until += 1,
        &|content, _| content.budgets[0].used += 1,
        &|content, _| content.lessons.clear(),
        &|content, _| content.tallies = ledger::Tallies::default(),
        &|_, definitions| definitions.catalogue = Arc::default(),
        &|content, _| content.ids.chunks[0].newest += 1,
        &|content, _| std::mem::swap(&mut content.ids, &mut content.outcomes),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        assert_ne!(digest_with(&mut state, change), same, "change {at}");
    }
    let before = state.digest();
    apply(&mut state, &Record::Customers(vec![happening(9)]));
    assert_ne!(state.digest(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_loaded_state_goes_on_as_the_one_that_was_written(
        before in prop::collection::vec(prop_oneof![updates(), events()], 0..6),
        after in prop::collection::vec(prop_oneof![updates(), events()], 0..6),
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
        prop_assert_eq!(loaded.figures().tallies(), live.figures().tallies());
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

/// What verifying these bytes says. Loading them must fail too.
#[track_caller]
fn refusal(bytes: Vec<u8>) -> LoadError {
    let disk = Memory::default();
    disk.put("s", bytes);
    let error = verify(&disk, SALT, "s").map(|_| "verified").unwrap_err();
    assert!(loaded(&disk, "s").is_err(), "only verifying says {error}");
    error
}

#[track_caller]
fn check_refused(bytes: Vec<u8>, why: &str) {
    let error = refusal(bytes).to_string();
    assert!(error.contains(why), "{error}");
}

/// The bytes of a snapshot of this state.
fn bytes_of(state: &mut State, compress: bool) -> Vec<u8> {
    let disk = Memory::default();
    let name = write_to(&disk, state, compress).name;
    disk.bytes(&name)
}

/// A state of nothing but this many customers. It is quick to read back, as there is no schema to
/// parse.
fn plain(customers: u64) -> State {
    let mut store = crate::state::store::customers().0;
    for number in 0..customers {
        store.put(&id(number * 1000), &[number + 1; 12]).unwrap();
    }
    State::restore(9, 0, Definitions::new(), store, ledger::Content::default())
}

/// Flips every bit in turn; by default a sample of them.
fn check_flips(bytes: &[u8], load_too: bool) {
    let disk = Memory::default();
    disk.put("s", bytes.to_vec());
    let content = disk.0.lock().unwrap()["s"].clone();
    let flip = |bit: usize| content.0.lock().unwrap()[bit / 8] ^= 1 << (bit % 8);
    for bit in (0..bytes.len() * 8).step_by(crate::testing::rounds(61, 1)) {
        flip(bit);
        assert!(verify(&disk, SALT, "s").is_err(), "bit {bit}");
        assert!(!load_too || loaded(&disk, "s").is_err(), "bit {bit}");
        flip(bit);
    }
    assert!(verify(&disk, SALT, "s").is_ok());
}

#[test]
fn a_flip_of_any_bit_is_found() {
    let bytes = bytes_of(&mut plain(160), false);
    assert!(bytes.len() >= 16 << 10, "{}", bytes.len());
    check_flips(&bytes, false);
}

#[test]
fn a_flip_of_any_bit_of_definitions_or_packed_customers_is_found() {
    check_flips(&bytes_of(&mut filled(2), false), true);
    check_flips(&bytes_of(&mut plain(30), true), false);
    check_flips(&bytes_of(&mut eventful(), false), true);
}

#[test]
fn a_truncated_or_longer_file_is_refused() {
    for compress in [false, true] {
        let bytes = bytes_of(&mut plain(if compress { 1500 } else { 100 }), compress);
        assert!(bytes.len() > 5000, "{}", bytes.len());
        for length in (0..200).chain((bytes.len() - 4096..bytes.len()).step_by(crate::testing::rounds(31, 1)))
        {
            assert!(matches!(refusal(bytes[..length].to_vec()), LoadError::Damaged { .. }), "{length}");
        }
        check_refused([&bytes[..], &[0]].concat(), &format!("expected a file of {} bytes", bytes.len()));
    }
}

/// Where the blocks of a file are.
fn blocks(bytes: &[u8]) -> Vec<(Block, std::ops::Range<usize>)> {
    let (mut blocks, mut at) = (Vec::new(), PREAMBLE_BYTES);
    while at < bytes.len() {
        let header = bytes[at..at + HEADER_BYTES].try_into().unwrap();
        let block = Block::from_bytes(header, SALT).unwrap();
        let end = at + HEADER_BYTES + block.packed as usize;
        blocks.push((block, at..end));
        at = end;
    }
    blocks
}

#[test]
fn blocks_swapped_repeated_missing_or_of_another_snapshot_are_refused() {
    let mut state = filled(40_000);
    let bytes = bytes_of(&mut state, false);
    let places: Vec<_> = blocks(&bytes).into_iter().map(|(_, place)| place).collect();
    let kinds: Vec<_> = blocks(&bytes).into_iter().map(|(block, _)| block.kind).collect();
    let customers: Vec<usize> = (0..kinds.len()).filter(|at| kinds[*at] == BlockKind::Customers).collect();
    assert!(customers.len() >= 3, "{kinds:?}");
    let ordered = |order: &[usize]| {
        let blocks = order.iter().map(|at| &bytes[places[*at].clone()]);
        [&bytes[..PREAMBLE_BYTES]].into_iter().chain(blocks).collect::<Vec<_>>().concat()
    };
    let all: Vec<usize> = (0..places.len()).collect();
    assert_eq!(ordered(&all), bytes);
    for at in &all {
        let mut order = all.clone();
        order.remove(*at);
        assert!(matches!(refusal(ordered(&order)), LoadError::Damaged { .. }), "{at} is missing");
        order.splice(*at..*at, [*at, *at]);
        assert!(matches!(refusal(ordered(&order)), LoadError::Damaged { .. }), "{at} is there twice");
    }
    let mut order = all.clone();
    order.swap(customers[0], customers[1]);
    check_refused(ordered(&order), "expected block 6 from slot 0, found block 7");
    // A block with the same customers in the same slots, but of a state with another row.
    apply(&mut state, &Record::Customers(vec![merge(1, &[(1, 99)])]));
    let other = bytes_of(&mut state, false);
    assert_eq!(other.len(), bytes.len());
    let changed = customers.iter().find(|at| bytes[places[**at].clone()] != other[places[**at].clone()]);
    let place = places[*changed.unwrap()].clone();
    let mut mixed = bytes.clone();
    mixed[place.clone()].copy_from_slice(&other[place]);
    check_refused(mixed, "totals");
}

/// The same file as an earlier version of the format has it.
fn in_version(version: u32, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let sum = checksum(&bytes[..12], SALT);
    bytes[12..PREAMBLE_BYTES].copy_from_slice(&sum.to_le_bytes());
    let mut blocks = blocks(&bytes);
    let (mut end, place) = blocks.pop().unwrap();
    let mut headers = xxhash_rust::xxh3::Xxh3::with_seed(SALT);
    headers.update(&bytes[..PREAMBLE_BYTES]);
    blocks.iter().for_each(|(block, _)| headers.update(&block.to_bytes(SALT)));
    bytes[place.end - 8..place.end].copy_from_slice(&headers.digest().to_le_bytes());
    end.checksum = checksum(&bytes[place.start + HEADER_BYTES..place.end], SALT);
    bytes[place.start..place.start + HEADER_BYTES].copy_from_slice(&end.to_bytes(SALT));
    bytes
}

/// A file of these blocks, all of whose checksums are right.
fn sealed(blocks: &[(BlockKind, u32, Vec<u8>)], digest: u64) -> Vec<u8> {
    let mut file = preamble(SALT).to_vec();
    let mut headers = xxhash_rust::xxh3::Xxh3::with_seed(SALT);
    headers.update(&file);
    let mut first = 0;
    let mut add = |file: &mut Vec<u8>, index: usize, (kind, count, payload): &(BlockKind, u32, Vec<u8>)| {
        let length = payload.len() as u32;
        let block = Block {
            kind: *kind,
            index: index as u32,
            first,
            count: *count,
            unpacked: length,
            packed: length,
            checksum: checksum(payload, SALT),
        };
        first += count;
        headers.update(&block.to_bytes(SALT));
        file.extend(block.to_bytes(SALT));
        file.extend(payload);
        (first, headers.digest())
    };
    let mut totals = (0, 0);
    for (index, block) in blocks.iter().enumerate() {
        totals = add(&mut file, index, block);
    }
    let totals = [blocks.len() as u64, u64::from(totals.0), file.len() as u64, digest, totals.1];
    let end = totals.into_iter().flat_map(u64::to_le_bytes).collect();
    add(&mut file, blocks.len(), &(BlockKind::End, 0, end));
    file
}

const HEAD: SnapshotHead = SnapshotHead {
    sequence: 1,
    chain: 0,
    erased: 0,
    customers: 0,
    taken_at_s: 0,
    seed: 3,
    rule_sets: 0,
    catalogue_blocks: 0,
    ledger_blocks: 0,
};

/// A file that says it holds `customers`, with these bytes for them.
fn with_customers(customers: u64, blocks: &[(u32, &[u8])], digest: u64) -> Vec<u8> {
    let head = SnapshotHead { customers, ..HEAD };
    let schema = Definitions::new().schema;
    let mut all = vec![
        (BlockKind::Head, 0, codec::encode_head(&head).unwrap()),
        (BlockKind::Schema, 0, codec::encode_schema(&schema).unwrap()),
    ];
    all.extend(blocks.iter().map(|(count, payload)| (BlockKind::Customers, *count, payload.to_vec())));
    sealed(&all, digest)
}

#[test]
fn hostile_bytes_with_right_checksums_are_refused_and_take_no_memory() {
    let mut digest = Digest::default();
    digest.add("a", &[7]);
    let digest = digest.of_state(&Definitions::new(), &ledger::Content::default());
    let one = b"\x01\x01\0a\x07\0\0\0\0\0\0\0";
    let disk = Memory::default();
    disk.put("s", with_customers(1, &[(1, one)], digest));
    assert_eq!(loaded(&disk, "s").unwrap().state.digest(), digest, "what is right is loaded");
    check_refused(with_customers(1, &[(1, one)], digest + 1), "expected the digest");
    check_refused(with_customers(2, &[(1, one)], digest), "expected customers 0x2, found 0x1");
    check_refused(with_customers(1 << 28, &[(1, one)], digest), "expected customers 0x10000000");
    let disk = Memory::default();
    disk.put("s", with_customers(u64::MAX, &[(1, one)], digest));
    assert!(matches!(loaded(&disk, "s"), Err(LoadError::Full(_))));
    let cases: [(u32, &[u8], &str); 9] = [
        (2, one, "ends too early, in slot 1"),
        (u32::MAX, one, "ends too early"),
        (0, one, "12 bytes more"),
        (1, b"\x00\0\0", "empty"),
        (1, b"\x41\0\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "65"),
        (1, b"\x01\0\0\xff", "utf-8"),
        (1, b"\x01\0\0\n", "control"),
        (1, b"\x01\xff\xffa", "ends too early"),
        (1, b"\x01\x01\0a\0\0\0\0\0\0\0\0", "zero word"),
    ];
    for (count, payload, why) in cases {
        check_refused(with_customers(u64::from(count).min(9), &[(count, payload)], digest), why);
    }
    let disk = Memory::default();
    let mut twice = Digest::default();
    (0..2).for_each(|_| twice.add("a", &[7]));
    disk.put(
        "s",
        with_customers(
            2,
            &[(1, one), (1, one)],
            twice.of_state(&Definitions::new(), &ledger::Content::default()),
        ),
    );
    let error = loaded(&disk, "s").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
    let long = vec![0; MAX_CUSTOMERS_BYTES + 1];
    check_refused(with_customers(1, &[(1, &long)], digest), "the header of a block");
    check_refused(
        sealed(&[(BlockKind::Schema, 0, Vec::new())], 0),
        "expected a head block, found a schema block",
    );
}

#[test]
fn a_ledger_that_does_not_keep_to_its_bounds_is_refused() {
    let file = |catalogue_blocks: u32, ledger: &[Piece]| {
        let head = codec::encode_head(&SnapshotHead {
            catalogue_blocks,
            ledger_blocks: ledger.len() as u32,
            ..HEAD
        })
        .unwrap();
        let schema = codec::encode_schema(&Definitions::new().schema).unwrap();
        let mut blocks = vec![(BlockKind::Head, 0, head), (BlockKind::Schema, 0, schema)];
        let additions = codec::encode_additions(&Additions::default()).unwrap();
        blocks.extend((0..catalogue_blocks).map(|_| (BlockKind::Catalogue, 0, additions.clone())));
        blocks.extend(ledger.iter().map(|piece| (BlockKind::Ledger, 0, codec::encode_piece(piece).unwrap())));
        sealed(&blocks, Digest::default().of_state(&Definitions::new(), &ledger::Content::default()))
    };
    let totals = |gone| Piece::Totals(Totals { ids: (gone, 0), outcomes: (0, 0), uncounted: 0 });
    let chunk = |hashes| Piece::Ids(HashChunk { day: 1, newest: 2, hashes: Arc::new(vec![7; hashes]) });
    let disk = Memory::default();
    disk.put("s", file(3, &[totals(0)]));
    assert!(loaded(&disk, "s").is_ok(), "what is right is loaded");
    check_refused(file(0, &[totals(0), totals(0)]), "totals that are not the last");
    check_refused(file(0, &[chunk(1)]), "totals that are not the last");
    check_refused(file(0, &[chunk(0), totals(0)]), "a chunk of 0");
    check_refused(file(0, &[chunk(3), totals(3)]), "3 of the first 3 hashes forgotten");
    let row = (5, TallyKey::new(OfferNumber(1), PlaceNumber(1), None), Tally::default());
    check_refused(file(0, &[Piece::Tallies(vec![row, row]), totals(0)]), "twice");
    let budgets = Piece::Budgets(vec![BudgetUsed { key: 1, day: 0, used: 1 }; MAX_PIECE_ROWS]);
    let many = vec![budgets; MAX_BUDGETS_COUNTED / MAX_PIECE_ROWS + 1];
    check_refused(file(0, &[many, vec![totals(0)]].concat()), "budgets");
    let blocks = vec![totals(0); ledger::MAX_PIECES + 1];
    check_refused(file(0, &blocks), "blocks of the ledger");
}

#[test]
fn a_packed_block_never_unpacks_to_more_than_it_says() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    let head = codec::encode_head(&HEAD).unwrap();
    let mut file = sealed(&[(BlockKind::Head, 0, head), (BlockKind::Schema, 0, bomb)], 0);
    let (mut block, place) = blocks(&file)[1].clone();
    block.unpacked = codec::MAX_STORED_DEFINITION_BYTES as u32;
    file[place.start..place.start + HEADER_BYTES].copy_from_slice(&block.to_bytes(SALT));
    check_refused(file, "expected a packed payload");
}

proptest! {
    #[test]
    fn any_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), seal in any::<bool>()) {
        if seal && bytes.len() > PREAMBLE_BYTES {
            bytes[..PREAMBLE_BYTES].copy_from_slice(&preamble(SALT));
        }
        refusal(bytes);
    }

    #[test]
    fn any_payloads_never_panic(
        payloads in prop::collection::vec((0..BlockKind::ALL.len(), 0..3_u32, prop::collection::vec(any::<u8>(), 0..60)), 0..4)
    ) {
        let kinds = BlockKind::ALL;
        let blocks: Vec<_> = payloads.into_iter().map(|(kind, count, bytes)| (kinds[kind], count, bytes)).collect();
        refusal(sealed(&blocks, 0));
    }
}

#[test]
fn a_newer_format_and_another_directory_are_told_from_damage() {
    let bytes = bytes_of(&mut filled(10), false);
    let with_version = |version: u32| {
        let mut bytes = bytes.clone();
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let sum = checksum(&bytes[..12], SALT);
        bytes[12..PREAMBLE_BYTES].copy_from_slice(&sum.to_le_bytes());
        bytes
    };
    assert!(matches!(refusal(with_version(4)), LoadError::Newer { version: 4, .. }));
    let older = refusal(with_version(1)).to_string();
    assert_eq!(older, "s: at byte 8: expected version 2 to 3 of the format, found version 1");
    assert!(matches!(refusal(with_version(0)), LoadError::Damaged { offset: 8, .. }));
    let disk = Memory::default();
    disk.put("s", bytes);
    assert!(verify(&disk, SALT, "s").is_ok());
    let error = verify(&disk, SALT + 1, "s").unwrap_err().to_string();
    assert_eq!(error, "s: at byte 0: expected a snapshot of this data directory, found something else");
    assert!(matches!(verify(&disk, SALT, "t"), Err(LoadError::Disk { .. })));
}

#[test]
fn the_layout_stays_as_written_down() {
    let bytes = with_customers(1, &[(1, b"\x01\x01\0a\x07\0\0\0\0\0\0\0")], 5);
    assert_eq!(bytes[..12], *b"ushersnp\x03\0\0\0");
    let places: Vec<_> = blocks(&bytes).into_iter().map(|(_, place)| place).collect();
    assert_eq!(bytes[places[0].start..][..24], *b"head\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0\x09\0\0\0");
    assert_eq!(bytes[places[2].start..][..24], *b"cust\x02\0\0\0\0\0\0\0\x01\0\0\0\x0c\0\0\0\x0c\0\0\0");
    assert_eq!(bytes[places[3].start..][..24], *b"end.\x03\0\0\0\x01\0\0\0\0\0\0\0\x28\0\0\0\x28\0\0\0");
    let before = in_version(2, &bytes);
    assert_eq!(checksum(&before, 0), 0xa464_d3fc_1c9e_1ff5, "every byte, checksums included");
}

#[test]
fn a_snapshot_that_fails_or_is_stopped_leaves_nothing() {
    let disk = Memory::default();
    let mut state = filled(20_000);
    disk.put(&format!("{}.tmp", name(state.sequence())), vec![1; 10]);
    let frozen = state.freeze().unwrap();
    assert!(state.freeze().is_none());
    let stopped = write(&disk, SALT, frozen, 0, 0, false, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(WriteError::Stopped)));
    assert!(disk.list().unwrap().is_empty());
    write_to(&disk, &mut state, false);
    assert_eq!(disk.list().unwrap(), [name(state.sequence())]);
}

#[test]
fn progress_goes_to_the_end() {
    let disk = Memory::default();
    let written = write_to(&disk, &mut filled(30_000), false);
    let most = std::sync::atomic::AtomicU64::new(0);
    let progress = |done, bytes| {
        assert_eq!(bytes, written.bytes);
        most.fetch_max(done, std::sync::atomic::Ordering::Relaxed);
    };
    load(&disk, SALT, &written.name, &progress).unwrap();
    assert_eq!(most.into_inner(), written.bytes);
}

/// The same state with its customers in a store of this seed, and without what version 2 does not hold.
/// Otherwise a store draws its own seed.
fn seeded(state: &mut State, seed: u64) -> State {
    let FrozenState { sequence, erased, definitions, mut customers, ledger } = state.freeze().unwrap();
    let loader = Loader::new(seed, customers.customers(), 0, 3).unwrap();
    let (mut part, mut slot) = (FrozenPart::default(), 0);
    while customers.next_part(&mut part).unwrap() {
        for (id, row) in part.iter() {
            loader.put(slot, id.clone(), row).unwrap();
            slot += 1;
        }
    }
    let ledger = ledger::Content { erased: ErasedIds::default(), ..ledger };
    State::restore(sequence, erased, definitions, loader.finish().unwrap(), ledger)
}

/// Length, hash and digest were written down before the source was put into rooms, in version 2.
#[test]
fn small_snapshots_have_the_bytes_and_digests_they_always_had() {
    let mut eventful = eventful();
    apply(&mut eventful, &Record::Schema { text: grown_schema() });
    let text = "text of 4: \"quoted\", 客户, e\u{301}, \n and \u{7f}".to_owned();
    for activate in [false, true] {
        let (name, version) = ("wealth".into(), u32::from(activate) + 1);
        apply(&mut eventful, &Record::Publish { name, version, text: text.clone(), activate });
    }
    for (mut state, length, hash, digest) in [
        (filled(3), 715, 0x70d2_b92c_07e8_cd60, 0x15bb_8468_5cdc_28ae),
        (eventful, 1273, 0x170e_4bcc_db29_3599, 0xff93_7950_8133_a6fc),
    ] {
        let mut state = seeded(&mut state, 7);
        let bytes = bytes_of(&mut state, false);
        let before = in_version(2, &bytes);
        assert_eq!((bytes.len(), checksum(&before, 0), state.digest()), (length, hash, digest));
        let disk = Memory::default();
        disk.put("s", before);
        disk.put("t", bytes);
        for name in ["s", "t"] {
            assert_eq!(verify(&disk, SALT, name).unwrap().digest, digest);
            assert_eq!(loaded(&disk, name).unwrap().state.digest(), digest, "{name}");
        }
    }
}
