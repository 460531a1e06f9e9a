//! Round trips, hostile bytes, and the bytes that may never change.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::ledger::{IDS, TALLIES};
use super::record::{CUSTOMERS, ERASE, EVENT, MERGE, PUBLISH, RETIRE, SCHEMA};
use super::*;
use crate::customer::contact::{MAX_OFFER_NUMBERS, MAX_PLACE_NUMBERS};
use crate::customer::event::Event;
use crate::customer::id::{CustomerId, MAX_ID_BYTES};
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::customer::outcome::{
    BudgetUse, Lesson, MAX_ARMS_PER_OUTCOME, MAX_BUDGETS_PER_OUTCOME, Outcome, OutcomeKind,
};
use crate::customer::update::{Change, Erasure, Update};
use crate::learning::Learned;
use crate::learning::lesson::LessonKey;
use crate::rules::catalogue::{MAX_ARM_NUMBERS, OfferEntry, PlaceEntry, Returned, Returns};
use crate::schema::{FeatureId, MAX_FEATURES};
use crate::state::ledger::{BudgetUsed, HashChunk, Tally, TallyKey, Totals};
use crate::state::record::{MAX_FIELDS_PER_UPDATE, MAX_TEXT_BYTES, Note};

fn updates() -> impl Strategy<Value = Update> {
    let id = "[^\\p{Cc}]{1,16}".prop_map(|text| CustomerId::known(&text).unwrap());
    let code = prop_oneof![0..300_u64, any::<u64>()];
    let fields = || {
        let feature = (0..MAX_FEATURES as u16).prop_map(FeatureId);
        prop::collection::vec((feature, code.clone()), 0..20)
    };
    let change = prop_oneof![
        fields().prop_map(Change::Replace),
        fields().prop_map(Change::Merge),
        Just(Change::Erase(Erasure::default())),
        (1..u32::MAX, any::<[u8; 16]>()).prop_map(|(at, salt)| Change::Erase(Erasure { at, salt })),
        events().prop_map(|event| Change::Event(Box::new(event))),
    ];
    (id, change).prop_map(|(customer, change)| Update { customer, change })
}

fn events() -> impl Strategy<Value = Event> {
    let budget = (any::<u64>(), any::<u32>(), any::<u32>(), any::<bool>())
        .prop_map(|(key, day, max, once)| BudgetUse { key, day, max, once });
    let lesson = (any::<u8>(), any::<u32>(), any::<u32>())
        .prop_map(|(segment, window_s, half_life_s)| Lesson { segment, window_s, half_life_s });
    let arms =
        prop::collection::vec((0..MAX_ARM_NUMBERS as u16).prop_map(ArmNumber), 0..=MAX_ARMS_PER_OUTCOME);
    let budgets = prop::collection::vec(budget, 0..=MAX_BUDGETS_PER_OUTCOME);
    let of_what = (0..OutcomeKind::COUNT, 0..MAX_OFFER_NUMBERS as u32, 0..MAX_PLACE_NUMBERS as u16, arms);
    let of_proposition = (any::<u64>(), any::<u32>(), any::<i64>(), budgets, prop::option::of(lesson));
    let outcome = (of_what, of_proposition).prop_map(|(what, (nonce, decided, value, budgets, lesson))| {
        let (kind, offer, place, arms) = what;
        let (kind, offer, place) = (OutcomeKind::ALL[kind], OfferNumber(offer), PlaceNumber(place));
        Outcome { kind, offer, place, arms, nonce, decided, value, budgets, lesson }
    });
    let fact = ((0..MAX_FEATURES as u16).prop_map(FeatureId), any::<u64>());
    let facts = prop::collection::vec(fact, 0..5);
    (any::<u32>(), any::<u32>(), any::<u64>(), facts, prop::option::of(outcome)).prop_map(
        |(received, before, id, facts, outcome)| {
            let at = received - before % received.max(1);
            Event { at, received, id, facts, outcome: outcome.map(Box::new) }
        },
    )
}

fn additions() -> impl Strategy<Value = Additions> {
    let name = || "[a-z]{1,9}".prop_map(Box::<str>::from);
    let names = || prop::collection::vec(name(), 0..3);
    let place =
        (any::<u16>(), any::<u16>()).prop_map(|(placement, channel)| PlaceEntry { placement, channel });
    let entry = (name(), any::<u16>(), any::<Option<u16>>(), names())
        .prop_map(|(name, rule_set, group, treatments)| OfferEntry { name, rule_set, group, treatments });
    let offers = prop::collection::vec((any::<u32>().prop_map(OfferNumber), entry), 0..3);
    let names = [names(), names(), names(), names(), names()];
    let kind = || (0..Returned::ALL.len()).prop_map(|kind| Returned::ALL[kind]);
    let numbers = || prop::collection::vec((kind(), any::<u32>()), 0..3);
    let left = prop::collection::vec((kind(), any::<u32>(), any::<u32>()), 0..3);
    let returns = (numbers(), left, numbers()).prop_map(|(freed, left, back)| Returns { freed, left, back });
    (returns, names, prop::collection::vec(place, 0..3), offers, any::<Option<[u32; 4]>>()).prop_map(
        |(returns, names, places, offers, keep_s)| Additions { returns, names, places, offers, keep_s },
    )
}

fn pieces() -> impl Strategy<Value = Piece> {
    let chunk = || {
        (any::<u32>(), any::<u32>(), prop::collection::vec(any::<u64>(), 0..5))
            .prop_map(|(day, newest, hashes)| HashChunk { day, newest, hashes: Arc::new(hashes) })
    };
    let used =
        (any::<u64>(), any::<u32>(), any::<u32>()).prop_map(|(key, day, used)| BudgetUsed { key, day, used });
    let key = (any::<u32>(), any::<u16>(), any::<u16>()).prop_map(|(offer, place, arm)| TallyKey {
        offer: OfferNumber(offer),
        place: PlaceNumber(place),
        arm,
    });
    let tally =
        any::<([u64; OutcomeKind::COUNT], i64)>().prop_map(|(outcomes, value)| Tally { outcomes, value });
    let lesson = (any::<u32>(), any::<u16>(), any::<u8>())
        .prop_map(|(offer, placement, segment)| LessonKey { offer: OfferNumber(offer), placement, segment })
        .prop_map(|key| (key, Learned::default()));
    let totals = any::<((u32, u32), (u32, u32), u64)>().prop_map(|(ids, outcomes, uncounted)| Totals {
        ids,
        outcomes,
        uncounted,
    });
    prop_oneof![
        chunk().prop_map(Piece::Ids),
        chunk().prop_map(Piece::Outcomes),
        any::<([u8; 16], u32)>().prop_map(|(salt, until)| Piece::ErasedHead(salt, until)),
        prop::collection::vec(any::<(u64, u32)>(), 0..4).prop_map(Piece::Erased),
        prop::collection::vec(used, 0..4).prop_map(Piece::Budgets),
        prop::collection::vec((any::<u16>(), key, tally), 0..4).prop_map(Piece::Tallies),
        prop::collection::vec(lesson, 0..4).prop_map(Piece::Lessons),
        totals.prop_map(Piece::Totals),
    ]
}

fn records() -> impl Strategy<Value = Record> {
    let name = "[a-z][a-z0-9_-]{0,20}";
    prop_oneof![
        prop::collection::vec(updates(), 0..20).prop_map(Record::Customers),
        ".{0,99}".prop_map(|text| Record::Schema { text }),
        (name, any::<u32>(), ".{0,99}", any::<bool>()).prop_map(|(name, version, text, activate)| {
            Record::Publish { name, version, text, activate }
        }),
        (name, any::<u32>()).prop_map(|(name, version)| Record::Activate { name, version }),
        name.prop_map(|name| Record::Rollback { name }),
        name.prop_map(|name| Record::Retire { name }),
        (name, any::<u32>(), any::<u32>(), ".{0,30}", ".{0,200}").prop_map(
            |(name, version, at, author, message)| Record::Note {
                name,
                version,
                note: note(at, &author, &message)
            }
        ),
        additions().prop_map(|additions| Record::Catalogue(Box::new(additions))),
        (any::<u32>(), any::<u32>(), prop::collection::vec("[a-z]{1,30}", 0..20)).prop_map(
            |(at, life_s, ids)| {
                Record::Idle { at, life_s, customers: ids.iter().map(|id| customer(id)).collect() }
            }
        ),
    ]
}

fn customer(id: &str) -> CustomerId {
    CustomerId::new(id).unwrap()
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(record in records()) {
        prop_assert_eq!(decode(&encode(&record).unwrap()).unwrap(), record);
    }

    #[test]
    fn pieces_of_catalogue_and_ledger_are_decoded_and_others_never_panic(
        additions in additions(),
        piece in pieces(),
        cut in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        prop_assert_eq!(decode_additions(&encode_additions(&additions).unwrap()).unwrap(), additions);
        let mut bytes = encode_piece(&piece).unwrap();
        prop_assert_eq!(decode_piece(&bytes).unwrap(), piece);
        let cut = cut.index(bytes.len());
        prop_assert!(decode_piece(&bytes[..cut]).is_err());
        bytes[cut] ^= 1 << bit;
        let _ = decode_piece(&bytes);
    }

    #[test]
    fn a_truncated_record_is_refused(record in records(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&record).unwrap();
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn altered_bytes_never_panic_and_what_they_make_keeps_the_bounds(
        record in records(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..6),
    ) {
        let mut bytes = encode(&record).unwrap();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Ok(other) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&other).unwrap()).unwrap(), other);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }
}

#[track_caller]
fn check_refused(bytes: &[u8], why: &str) {
    let error = decode(bytes).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn counts_and_lengths_are_checked_before_anything_is_allocated() {
    check_refused(&[], "");
    check_refused(&[10], "no record has the tag 10");
    check_refused(&[9, 0, 0, 251, 1, 2], "at most 512");
    check_refused(&[CUSTOMERS, 0, 7], "1 bytes left over");
    check_refused(&[CUSTOMERS, 252, 255, 255, 255, 255], "at most 512");
    check_refused(&[CUSTOMERS, 1, 1, b'c', MERGE, 252, 255, 255, 255, 255], "at most 2000");
    check_refused(&[CUSTOMERS, 1, 1, b'c', MERGE, 1, 251, 0xd0, 0x07, 1], "no schema has a feature 2000");
    check_refused(&[CUSTOMERS, 1, 1, b'\n', ERASE], "control");
    check_refused(&[CUSTOMERS, 1, 0, ERASE], "empty");
    check_refused(&[SCHEMA, 253, 255, 255, 255, 255, 255, 255, 255, 127], "");
    check_refused(&[RETIRE, 2, 0xff, 0xff], "");
    check_refused(&[PUBLISH, 1, b'a', 1, 1, b't', 2], "");
    let long = [&[RETIRE, 65][..], &[b'a'; 65]].concat();
    check_refused(&long, "at most 64");
    let event = [&[CUSTOMERS, 1, 1, b'c', EVENT, 5][..], &[6, 0, 0, 0]].concat();
    check_refused(&event, "before 1970");
    let outcome = |bytes: &[u8]| [&[CUSTOMERS, 1, 1, b'c', EVENT, 5, 0, 0, 0, 1][..], bytes].concat();
    check_refused(&outcome(&[4, 0, 0]), "no outcome has the number 4");
    check_refused(&outcome(&[0, 252, 0, 0, 8, 0, 0]), "no catalogue has offer 524288");
    check_refused(&outcome(&[0, 0, 251, 0, 0x20]), "place 8192");
    check_refused(&outcome(&[0, 0, 0, 17]), "at most 16");
    check_refused(&outcome(&[0, 0, 0, 1, 251, 0xfe, 0xff]), "no catalogue has an arm 65534");
    check_refused(&outcome(&[0, 0, 0, 0, 0, 0, 0, 17]), "at most 16");
    let piece = |bytes: &[u8]| decode_piece(bytes).unwrap_err().to_string();
    assert!(piece(&[9]).contains("no piece of a ledger has the tag 9"));
    assert!(piece(&[IDS, 0, 0, 252, 1, 0, 1, 0]).contains("at most 65536"));
    assert!(piece(&[TALLIES, 252, 255, 255, 255, 255]).contains("at most 8192"));
}

#[test]
fn the_layout_stays_as_written_down() {
    let customer = CustomerId::new("c").unwrap();
    let change = Change::Merge(vec![(FeatureId(3), 300)]);
    let record = Record::Customers(vec![Update { customer, change }]);
    assert_eq!(encode(&record).unwrap(), [CUSTOMERS, 1, 1, b'c', MERGE, 1, 3, 251, 0x2c, 0x01]);
    let record = Record::Publish { name: "a".into(), version: 7, text: "t".into(), activate: true };
    assert_eq!(encode(&record).unwrap(), [PUBLISH, 1, b'a', 7, 1, b't', 1]);
}

fn note(at: u32, author: &str, message: &str) -> Note {
    Note { at, author: author.into(), message: message.into() }
}

/// One record of each kind, with each kind of update in it, and its bytes as they were before the
/// source was put into rooms.
fn one_of_each() -> Vec<(&'static str, Record)> {
    let outcome = Outcome {
        kind: OutcomeKind::Convert,
        offer: OfferNumber(300),
        place: PlaceNumber(7),
        arms: vec![ArmNumber(1), ArmNumber(2)],
        nonce: 0x0102_0304_0506_0708,
        decided: 1_750_000_000,
        value: -1_250,
        budgets: vec![BudgetUse { key: 99, day: 20_000, max: 3, once: true }],
        lesson: Some(Lesson { segment: 2, window_s: 60, half_life_s: 0 }),
    };
    let event = Event {
        at: 1_750_000_001,
        received: 1_750_000_005,
        id: 77,
        facts: vec![(FeatureId(3), 1)],
        outcome: Some(Box::new(outcome)),
    };
    let update = |customer: &str, change| Update { customer: CustomerId::new(customer).unwrap(), change };
    let updates = vec![
        update("c", Change::Replace(vec![(FeatureId(0), 1), (FeatureId(1_999), u64::MAX)])),
        update("客户", Change::Merge(vec![(FeatureId(3), 300)])),
        update("c", Change::Erase(Erasure::default())),
        update("c", Change::Event(Box::new(event))),
    ];
    let entry = OfferEntry {
        name: "card".into(),
        rule_set: 1,
        group: Some(2),
        treatments: vec!["t".into(), "banner.zh".into()],
    };
    let additions = Additions {
        returns: Returns::default(),
        names: ["r", "g", "banner", "app", "e.a"].map(|name| vec![name.into()]),
        places: vec![PlaceEntry { placement: 1, channel: 2 }],
        offers: vec![(OfferNumber(5), entry)],
        keep_s: Some([1, 2, 3, u32::MAX]),
    };
    let name = || "wealth".to_owned();
    vec![
        (
            "0104016301020001fbcf07fdffffffffffffffff06e5aea2e688b7020103fb2c01016303016304fc85e14e68\
             044d0103010103fb2c0107020102fd0807060504030201fc80e14e68fbc3090163fb204e030101023c00",
            Record::Customers(updates),
        ),
        (
            "07010172010167010662616e6e657201036170700103652e6101010201050463617264010102020174096261\
             6e6e65722e7a6801010203fcffffffff",
            Record::Catalogue(Box::new(additions)),
        ),
        (
            "0101016305fc80e14e6807070707070707070707070707070707",
            Record::Customers(vec![update("c", Change::Erase(Erasure { at: 1_750_000_000, salt: [7; 16] }))]),
        ),
        (
            "0700000000000000020200070209010103fc80e14e68010109",
            Record::Catalogue(Box::new(Additions {
                returns: Returns {
                    freed: vec![(Returned::RuleSet, 7), (Returned::Arm, 9)],
                    left: vec![(Returned::Group, 3, 1_750_000_000)],
                    back: vec![(Returned::Group, 9)],
                },
                ..Additions::default()
            })),
        ),
        ("0209736368656d613a2073", Record::Schema { text: "schema: s".into() }),
        (
            "03067765616c7468fb2c01017400",
            Record::Publish { name: name(), version: 300, text: "t".into(), activate: false },
        ),
        ("04067765616c746802", Record::Activate { name: name(), version: 2 }),
        ("06067765616c7468", Record::Rollback { name: name() }),
        ("05067765616c7468", Record::Retire { name: name() }),
        (
            "09fc80e14e68fb100e0201610362206b",
            Record::Idle {
                at: 1_750_000_000,
                life_s: 3_600,
                customers: vec![customer("a"), customer("b k")],
            },
        ),
        (
            "08067765616c746802fc80e14e6802416e03776879",
            Record::Note { name: name(), version: 2, note: note(1_750_000_000, "An", "why") },
        ),
    ]
}

/// One piece of the ledger of each kind, and its bytes as they were then.
fn pieces_of_each() -> Vec<(&'static str, Piece)> {
    let chunk = || HashChunk { day: 20_254, newest: 1_750_000_000, hashes: Arc::new(vec![1, u64::MAX]) };
    let key = TallyKey { offer: OfferNumber(300), place: PlaceNumber(7), arm: 2 };
    let tally = Tally { outcomes: [1, 2, 3, 400], value: -5 };
    let lesson = LessonKey { offer: OfferNumber(300), placement: 1, segment: 9 };
    let totals = Totals { ids: (1, 2), outcomes: (3, 4), uncounted: 5 };
    vec![
        ("01fb1e4ffc80e14e68020100000000000000ffffffffffffffff", Piece::Ids(chunk())),
        ("02fb1e4ffc80e14e68020100000000000000ffffffffffffffff", Piece::Outcomes(chunk())),
        ("030163fb204e02", Piece::Budgets(vec![BudgetUsed { key: 99, day: 20_000, used: 2 }])),
        ("0401fb1e4ffb2c010702010203fb900109", Piece::Tallies(vec![(20_254, key, tally)])),
        (
            "0501fb2c01010900000000000000000000000000000000000000",
            Piece::Lessons(vec![(lesson, Learned::default())]),
        ),
        ("060102030405", Piece::Totals(totals)),
        ("1007070707070707070707070707070707fc80e14e68", Piece::ErasedHead([7; 16], 1_750_000_000)),
        ("11010807060504030201fc80e14e68", Piece::Erased(vec![(0x0102_0304_0506_0708, 1_750_000_000)])),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn records_and_pieces_have_the_bytes_they_always_had() {
    for (bytes, record) in one_of_each() {
        assert_eq!(hex(&encode(&record).unwrap()), bytes, "{record:?}");
    }
    for (bytes, piece) in pieces_of_each() {
        assert_eq!(hex(&encode_piece(&piece).unwrap()), bytes, "{piece:?}");
    }
}

#[test]
fn the_largest_record_can_be_read_back_and_a_larger_one_is_not_made() {
    let fields = (0..MAX_FIELDS_PER_UPDATE).map(|at| (FeatureId(at as u16), u64::MAX)).collect();
    let customer = CustomerId::new(&"x".repeat(MAX_ID_BYTES)).unwrap();
    let update = Update { customer, change: Change::Replace(fields) };
    let mut updates = vec![update; MAX_UPDATES_PER_RECORD];
    let record = Record::Customers(updates.clone());
    assert!(decode(&encode(&record).unwrap()).unwrap() == record);
    updates.push(updates[0].clone());
    let mut bytes = vec![1, 2];
    assert_eq!(encode_into(&Record::Customers(updates), &mut bytes), Err(TooLong));
    assert_eq!(bytes, [1, 2]);
    assert_eq!(encode(&Record::Schema { text: "x".repeat(MAX_TEXT_BYTES + 1) }), Err(TooLong));
}

fn head() -> SnapshotHead {
    SnapshotHead {
        sequence: 1,
        chain: 2,
        erased: 3,
        customers: 300,
        taken_at_s: 5,
        seed: 6,
        rule_sets: 7,
        catalogue_blocks: 8,
        ledger_blocks: 9,
    }
}

fn grown() -> Schema {
    let parse = |text| Schema::parse("schema", text).unwrap();
    let old = parse("schema: s\nfeatures: {b: {kind: bool}}");
    let count = "c: {kind: count, event: e}";
    let text = format!(
        "schema: s\nfeatures: {{a: {{kind: time}}, {count}, b: {{kind: bool}}}}\nevents: {{e: {{}}}}"
    );
    old.grow(&parse(&text)).unwrap()
}

fn history() -> History {
    let versions = [(2, "x".into()), (4, "".into())].into();
    History::restore(versions, Some(4), vec![2, 4, 2], 9, BTreeMap::new()).unwrap()
}

#[test]
fn what_a_snapshot_holds_is_decoded_and_its_layout_stays() {
    let bytes = encode_head(&head()).unwrap();
    assert_eq!(bytes, [1, 2, 3, 251, 0x2c, 0x01, 5, 6, 7, 8, 9]);
    assert_eq!(decode_head(&bytes).unwrap(), head());
    let bytes = encode_schema(&grown()).unwrap();
    let text = grown().text.len() as u8;
    assert_eq!(bytes[0], text);
    let places = [3, 1, b'b', 1, 1, 0, 2, 1, b'a', 1, 1, 2, 32, 1, b'c', 2, 2, 1];
    assert_eq!(bytes[1 + usize::from(text)..], places);
    assert_eq!(decode_schema(&bytes).unwrap(), grown());
    let bytes = encode_rule_set("w", &history()).unwrap();
    assert_eq!(bytes, [1, b'w', 9, 1, 4, 3, 2, 4, 2, 2, 2, 1, b'x', 4, 0]);
    let (name, decoded) = decode_rule_set(&bytes).unwrap();
    assert_eq!((&*name, format!("{decoded:?}")), ("w", format!("{:?}", history())));
    let notes = [(4, note(7, "An", "why"))].into();
    let noted = History::restore([(4, "".into())].into(), Some(4), vec![], 4, notes).unwrap();
    let bytes = encode_rule_set("w", &noted).unwrap();
    assert_eq!(bytes, [1, b'w', 4, 1, 4, 0, 1, 4, 0, 1, 4, 7, 2, b'A', b'n', 3, b'w', b'h', b'y']);
    let (_, decoded) = decode_rule_set(&bytes).unwrap();
    assert_eq!(format!("{decoded:?}"), format!("{noted:?}"));
    let of_nothing = [1, b'w', 4, 1, 4, 0, 1, 4, 0, 1, 3, 7, 0, 0];
    assert!(decode_rule_set(&of_nothing).unwrap_err().to_string().contains("version 3 is missing"));
}

#[test]
fn what_no_snapshot_holds_is_refused() {
    let why = |bytes: &[u8]| decode_rule_set(bytes).unwrap_err().to_string();
    assert!(why(&[1, b'w', 9, 1, 3, 0, 1, 2, 0]).starts_with("not a rule set: "));
    assert!(why(&[1, b'w', 9, 1, 3, 0, 1, 2, 0]).contains("version 3 is missing"));
    assert!(why(&[1, b'w', 1, 0, 0, 1, 2, 0]).contains("after the last"));
    assert!(why(&[1, b'w', 9, 0, 0, 2, 2, 0, 2, 0]).contains("twice"));
    assert!(why(&[1, b'w', 9, 0, 0, 252, 255, 255, 255, 255]).contains("at most 100"));
    assert!(why(&[1, b'w', 9, 0, 101]).contains("at most 100"));
    assert!(decode_head(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]).unwrap_err().to_string().contains("left over"));
    let no_schema = decode_schema(&[1, b'x', 0]).unwrap_err().to_string();
    assert!(no_schema.contains("not a schema"), "{no_schema}");
    let mut bytes = encode_schema(&grown()).unwrap();
    let last = bytes.len() - 8; // word of `a`
    bytes[last..last + 1].copy_from_slice(&[250]);
    assert!(decode_schema(&bytes).is_ok(), "a row may be that long");
    bytes.splice(last..last + 1, [251, 0xe8, 0x03]);
    assert!(decode_schema(&bytes).unwrap_err().to_string().contains("no row has such a field"));
    let mut bytes = encode_schema(&grown()).unwrap();
    let last = bytes.len() - 3; // tag of the place of `c`
    bytes[last] = 3;
    assert!(decode_schema(&bytes).unwrap_err().to_string().contains("no place has the tag 3"));
    bytes.splice(last.., [2, 251, 0xe7, 0x03, 2]);
    assert!(decode_schema(&bytes).unwrap_err().to_string().contains("no row has such a field"));
}

proptest! {
    #[test]
    fn bytes_for_a_snapshot_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..4),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let whole = [encode_head(&head()), encode_schema(&grown()), encode_rule_set("w", &history()), Ok(noise)];
        for mut bytes in whole.map(Result::unwrap).into_iter().filter(|bytes| !bytes.is_empty()) {
            for (at, bit) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            let _ = (decode_head(&bytes), decode_schema(&bytes), decode_rule_set(&bytes));
        }
    }
}
