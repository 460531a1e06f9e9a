//! Readers: how a decision finds the buckets of a placement's terms in one go. Most terms are stored features
//! of at most 32 bits. Their buckets stand in tables by the bits of the row themselves, so that neither a
//! missing value nor the kind of the table needs a branch.

use super::Buckets;
use super::buckets::MAX_DIRECT;
use crate::expression::term::{Order, Term, Terms};
use crate::schema::Field;

/// The most bits of a field whose buckets stand in a table of all its codes.
const MAX_SMALL_BITS: u32 = MAX_DIRECT.ilog2() + 1;
/// The most cells over the cuts of a field with more bits.
const MAX_CELLS: usize = 1 << 12;
/// How many cuts a cell has room for.
const CELL_CUTS: usize = 3;
/// Instead of a bucket: the cell has more cuts than that.
const CROWDED: u32 = u32::MAX;

/// The readers of all terms, with the tables that they share.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// By [`TermId`](crate::expression::term::TermId).
    readers: Vec<Reader>,
    tables: Tables,
}

/// The tables of all readers, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// For each small field: the bucket of every code.
    pub(super) small: Vec<u16>,
    /// For each wide field: what stands around its cuts.
    pub(super) cells: Vec<Cell>,
}

/// How the bucket of a term is found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reader {
    Small(Small),
    Wide(Wide),
    /// Through its [`Buckets`], or by evaluating it.
    Other,
}

/// A stored feature with so few codes that a table has the bucket of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Small {
    word: u16,
    shift: u8,
    mask: u16,
    table: u32,
}

/// A stored feature of up to 32 bits. Its places are the codes in the order of their keys, those without a
/// key first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wide {
    word: u16,
    shift: u8,
    is_single: bool,
    mask: u32,
    /// Where the first cell begins. It has the places before, too.
    origin: u32,
    /// A cell has `1 << width` places.
    width: u32,
    cells: u32,
    last_cell: u32,
}

/// Some neighbouring places of a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    /// For each cut in it: the place before. The greatest number where there is none.
    below: [u32; CELL_CUTS],
    /// The bucket in which it begins, or [`CROWDED`].
    bucket: u32,
}

impl Readers {
    pub(super) fn new(terms: &Terms, buckets: &[Buckets]) -> Readers {
        let mut tables = Tables::default();
        let readers = terms.all().iter().zip(buckets).map(|(term, buckets)| match term {
            Term::Feature(_, field, order) => tables.reader(*field, *order, buckets),
            _ => Reader::Other,
        });
        Readers { readers: readers.collect(), tables }
    }

    pub(super) fn of(&self, term: u32) -> Reader {
        self.readers[term as usize]
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.readers) + size_of_val(&*self.tables.small) + size_of_val(&*self.tables.cells)
    }
}

impl Tables {
    fn reader(&mut self, field: Field, order: Order, buckets: &Buckets) -> Reader {
        if order == Order::Plain && field.bits() <= MAX_SMALL_BITS {
            return Reader::Small(self.add_small(field, buckets));
        }
        let wide = if field.bits() <= u32::BITS { self.add_wide(field, order, buckets) } else { None };
        wide.map_or(Reader::Other, Reader::Wide)
    }

    fn add_small(&mut self, field: Field, buckets: &Buckets) -> Small {
        let (word, shift, bits) = field.place();
        let mask = u16::MAX >> (u16::BITS - u32::from(bits));
        let table = self.small.len() as u32;
        self.small.extend((0..=mask).map(|code| buckets.of(Order::Plain.key(code.into())) as u16));
        Small { word, shift, mask, table }
    }

    /// Twice as many cells as cuts, so that most cells have one cut or none.
    fn add_wide(&mut self, field: Field, order: Order, buckets: &Buckets) -> Option<Wide> {
        let (word, shift, bits) = field.place();
        let with_key = order.places_without_key()?;
        let place = |key: &u64| u32::try_from(*key).ok()?.checked_add(with_key);
        // The first bucket, of no answer, ends where the places with a key begin.
        let cuts: Option<Vec<u32>> =
            std::iter::once(Some(with_key)).chain(buckets.cuts().iter().map(place)).collect();
        let cuts = cuts?;
        let (first, last) = (*cuts.get(1).unwrap_or(&with_key), cuts[cuts.len() - 1]);
        let wanted = (cuts.len() * 2).next_power_of_two().min(MAX_CELLS) as u32;
        let width = (0..u32::BITS - 1).find(|width| (last - first) >> width < wanted)?;
        let origin = first.saturating_sub(1 << width);
        let last_cell = (last - origin) >> width;
        let cells = self.cells.len() as u32;
        self.cells.extend((0..=last_cell).map(|cell| {
            let begins = |cell: u32| u64::from(origin) + (u64::from(cell) << width);
            let before = |place: u64| cuts.partition_point(|cut| u64::from(*cut) < place);
            let from = if cell == 0 { 0 } else { before(begins(cell)) };
            Cell::new(from, &cuts[from..before(begins(cell + 1))])
        }));
        let mask = u32::MAX >> (u32::BITS - u32::from(bits));
        let is_single = order == Order::Single;
        Some(Wide { word, shift, is_single, mask, origin, width, cells, last_cell })
    }
}

impl Small {
    #[inline]
    pub(super) fn bucket(&self, row: &[u64], tables: &[u16]) -> u32 {
        let code = stored(row, self.word, self.shift) & u32::from(self.mask);
        u32::from(tables[(self.table + code) as usize])
    }
}

impl Wide {
    /// `None` if the cuts around the customer's place are too many.
    #[inline]
    pub(super) fn bucket(&self, row: &[u64], cells: &[Cell]) -> Option<u32> {
        let code = stored(row, self.word, self.shift) & self.mask;
        let place = if self.is_single { Order::place_of_single(code) } else { code };
        let cell = (place.saturating_sub(self.origin) >> self.width).min(self.last_cell);
        let Cell { below, bucket } = &cells[(self.cells + cell) as usize];
        let passed = below.iter().map(|below| u32::from(place > *below)).sum::<u32>();
        (*bucket != CROWDED).then_some(bucket + passed)
    }
}

impl Cell {
    /// The cell that begins in this bucket and has these cuts, of which none is 0.
    fn new(bucket: usize, cuts: &[u32]) -> Cell {
        let mut below = [u32::MAX; CELL_CUTS];
        if cuts.len() > CELL_CUTS {
            return Cell { below, bucket: CROWDED };
        }
        below.iter_mut().zip(cuts).for_each(|(below, cut)| *below = cut - 1);
        Cell { below, bucket: bucket as u32 }
    }
}

/// The lowest bits that stand from a bit of a row's word on; 0 if the row is too short.
#[inline]
fn stored(row: &[u64], word: u16, shift: u8) -> u32 {
    row.get(usize::from(word)).map_or(0, |word| (word >> shift) as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::FeatureId;

    /// A field at a place of its own, and the largest key that a term of it has.
    fn field(shift: u8, bits: u8, order: Order) -> (Field, u64) {
        let last = match order {
            Order::Plain => (u64::MAX >> (64 - bits)).saturating_sub(1),
            _ => order.key(u64::from(f32::INFINITY.to_bits() ^ 0x7fc0_0000)).unwrap(),
        };
        (Field::at((1, shift.min(64 - bits), bits)).unwrap(), last)
    }

    /// What the reader of this field finds for a code; `None` if it finds nothing itself.
    fn found(tables: &Tables, reader: Reader, row: &[u64]) -> Option<u32> {
        match reader {
            Reader::Small(small) => Some(small.bucket(row, &tables.small)),
            Reader::Wide(wide) => wide.bucket(row, &tables.cells),
            Reader::Other => None,
        }
    }

    fn code() -> impl Strategy<Value = u64> {
        let single = any::<f32>().prop_map(|x| u64::from(x.to_bits() ^ 0x7fc0_0000));
        prop_oneof![0_u64..60, any::<u64>(), 4_000_u64..5_000, single]
    }

    proptest! {
        #[test]
        fn a_reader_finds_what_the_buckets_of_its_term_say(
            (shift, bits) in (0_u8..64, 1_u8..=36),
            is_single in any::<bool>(),
            cuts in proptest::collection::vec(code(), 0..40),
            codes in proptest::collection::vec(code(), 0..40),
            neighbour in any::<u64>(),
            known in 0_u64..4,
        ) {
            let (bits, order) = if is_single { (32, Order::Single) } else { (bits, Order::Plain) };
            let (field, last) = field(shift, bits, order);
            let last = if is_single { last } else { last >> known }; // the schema may have grown since
            let mask = u64::MAX >> (64 - bits);
            let keys = cuts.iter().filter_map(|code| order.key(code & mask)).collect();
            let buckets = Buckets::new(&Term::Feature(FeatureId(0), field, order), last, keys);
            let mut tables = Tables::default();
            tables.reader(Field::at((0, 0, 3)).unwrap(), Order::Plain, &buckets); // others stand before
            tables.reader(Field::at((0, 0, 32)).unwrap(), Order::Plain, &buckets);
            let reader = tables.reader(field, order, &buckets);
            prop_assert_eq!(matches!(reader, Reader::Small(_)), !is_single && bits <= 13);
            prop_assert_eq!(matches!(reader, Reader::Wide(_)), is_single || (14..=32).contains(&bits));
            let around = cuts.iter().flat_map(|cut| [*cut, cut.wrapping_sub(1), cut.wrapping_add(1)]);
            let infinities = [0x7f80_0000, 0xff80_0000].map(|bits: u64| bits ^ 0x7fc0_0000);
            for code in codes.iter().copied().chain(around).chain(infinities).chain([0, mask]) {
                let mut row = [neighbour; 2];
                field.write(&mut row, code & mask);
                let expected = buckets.of_row(&row).unwrap();
                prop_assert_eq!(found(&tables, reader, &row).unwrap_or(expected), expected, "{}", code);
            }
            prop_assert_eq!(found(&tables, reader, &[neighbour]).unwrap_or(0), 0, "a row that is too short");
        }
    }

    #[test]
    fn cells_have_room_for_cuts_that_lie_evenly() {
        let (field, last) = field(5, 20, Order::Plain);
        for cuts in [vec![], vec![1], vec![last], (1..=200).map(|nth| nth * 5_000).collect::<Vec<u64>>()] {
            let buckets = Buckets::new(&Term::Feature(FeatureId(0), field, Order::Plain), last, cuts.clone());
            let mut tables = Tables::default();
            let reader = tables.reader(field, Order::Plain, &buckets);
            for code in (0..=last + 1).step_by(499).chain(cuts) {
                let mut row = [0; 2];
                field.write(&mut row, code);
                assert_eq!(found(&tables, reader, &row), buckets.of_row(&row), "{code}");
            }
        }
    }
}
