//! Rows of atomic words in chunks, each row under its own sequence lock. There is one writer and any
//! number of readers, no `unsafe`, and the writer never waits.
//!
//! ```text
//! chunk   first band, rows of 1 + 12 words     next band, rows of 6 words (once a row outgrew the first)
//! row 0   sequence w0 w1 ... w11               w12 w13 ... w17
//! row 1   sequence w0 w1 ... w11               w12 w13 ... w17
//! ```
//!
//! The sequence is odd while the writer is inside the row. Its next bit says whether a customer owns
//! the row, so a scan of the rows needs no map. The next 16 bits are the row's length, so a short row
//! costs no look into bands that only long rows need. What is beyond a row's length is zero.
//!
//! The orderings of memory accesses are those of H.-J. Boehm, "Can seqlocks get along with programming
//! language memory models?", MSPC 2012.

use std::iter;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use bytemuck::allocation::try_zeroed_slice_box;

use super::Full;
use super::scan::{BATCH_ROWS, Batch};
use crate::customer::row::Row;

pub(super) const ROWS_PER_CHUNK: usize = 1 << 16;
const MAX_CHUNKS: usize = 1 << 12;

/// How many slots there can be: 268,435,456.
pub(super) const MAX_SLOTS: usize = ROWS_PER_CHUNK * MAX_CHUNKS;

/// How often a reader that meets the writer looks again before it yields its core. A row is written in some
/// 20 ns, so a writer that is still there has most likely lost its own core.
const LOOKS_BEFORE_YIELD: u32 = 64;

// The parts of a sequence: the writer is inside, a customer owns the row, the row's length in words,
// and what each write adds.
const WRITING: u64 = 1;
const OWNED: u64 = 2;
const LENGTH_SHIFT: u32 = 2;
const LENGTH_BITS: u32 = 16;
const STEP: u64 = 1 << (LENGTH_SHIFT + LENGTH_BITS);

/// The most words of one row.
const MAX_LENGTH: usize = (1 << LENGTH_BITS) - 1;

/// The fewest words of a further band. Rows grow by one contact at a time. Five contacts and one to
/// come take 6 words, in one cache line or two.
const MIN_BAND_WORDS: usize = 6;

/// Bytes that the system hands out at a time. Untouched memory costs nothing, and a page that is
/// touched costs all of it.
const PAGE_BYTES: usize = 4096;

/// How many words a cache line has.
const LINE_WORDS: usize = 64 / size_of::<u64>();

/// The rows of all slots. The map says who owns which slot. Only the one writer may call what writes.
pub(super) struct Arena {
    // A table of fixed length, so that readers find a chunk without a lock while others are added.
    chunks: Box<[OnceLock<RowChunk>]>,
}

/// The rows of [`ROWS_PER_CHUNK`] slots.
struct RowChunk {
    /// How many slots were ever opened, from the front. The rest was never touched.
    used: AtomicU32,
    /// The sequence and the first words of each row.
    band: Band,
}

/// The same stretch of words of every row of a chunk. A row that grows goes on in the next band and
/// never moves. A moved row would leave a hole that no row of the new length fits, and in the end there
/// would be a second copy of all rows.
struct Band {
    words: Box<[AtomicU64]>,
    stride: usize,
    next: OnceLock<Box<Band>>,
    touched: Touched,
}

/// Which pages of a further band hold parts of rows, a bit each, and how many do. The others stay with
/// the system.
struct Touched {
    pages: Box<[AtomicU64]>,
    count: AtomicUsize,
}

impl Arena {
    pub(super) fn new() -> Arena {
        Arena { chunks: iter::repeat_with(OnceLock::new).take(MAX_CHUNKS).collect() }
    }

    /// Makes `slot` usable for a row of `words` words. Slots are first opened in the order 0, 1, 2, ...
    /// The first slot of a chunk decides how long the rows of its first band are.
    pub(super) fn open(&self, slot: u32, words: usize) -> Result<(), Full> {
        let chunk = self.chunk_or_new(slot, words)?;
        chunk.used.fetch_max(offset(slot) as u32 + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Gets memory for the chunk of `slot`, if it has none, and for rows there that grow by a contact or two.
    pub(super) fn reserve(&self, slot: u32, words: usize) -> Result<(), Full> {
        self.chunk_or_new(slot, words)?.fit(words.saturating_add(MIN_BAND_WORDS))
    }

    /// Writes the row of a slot that nobody else opens or writes; [`opened`](Arena::opened) has to
    /// follow. For several threads at once, so there is no counter for all of them to wait for.
    pub(super) fn place(&self, slot: u32, words: usize, row: &[u64]) -> Result<(), Full> {
        let chunk = self.chunk_or_new(slot, words)?;
        chunk.fit(row.len())?;
        chunk.write(offset(slot), row, OWNED);
        Ok(())
    }

    /// Notes that the slots below `slots` are open.
    pub(super) fn opened(&self, slots: usize) {
        for (at, chunk) in self.chunks.iter().map_while(OnceLock::get).enumerate() {
            let used = slots.saturating_sub(at * ROWS_PER_CHUNK).min(ROWS_PER_CHUNK);
            chunk.used.store(used as u32, Ordering::Relaxed);
        }
    }

    fn chunk_or_new(&self, slot: u32, words: usize) -> Result<&RowChunk, Full> {
        let cell = self.chunks.get(slot as usize / ROWS_PER_CHUNK).ok_or(Full)?;
        if cell.get().is_none() {
            // Of two threads, the second drops the chunk it made. That is untouched memory.
            let first = Band::new(words.checked_add(1).ok_or(Full)?)?;
            let _ = cell.set(RowChunk { used: AtomicU32::new(0), band: first });
        }
        cell.get().ok_or(Full)
    }

    /// Makes the row of `slot`, which is open, long enough for `words` words.
    pub(super) fn fit(&self, slot: u32, words: usize) -> Result<(), Full> {
        self.chunk(slot).map_or(Err(Full), |chunk| chunk.fit(words))
    }

    /// How many words the row of `slot` has.
    pub(super) fn length(&self, slot: u32) -> usize {
        self.chunk(slot).map_or(0, |chunk| length(chunk.sequence(offset(slot)).load(Ordering::Relaxed)))
    }

    /// How many bytes [`fit`](Arena::fit) would take from the system.
    pub(super) fn missing_bytes(&self, slot: u32, words: usize) -> usize {
        self.chunk(slot).map_or(0, |chunk| chunk.missing(words) * size_of::<u64>() * ROWS_PER_CHUNK)
    }

    /// Overwrites the row of `slot`, which is long enough: first the words of `row`, then zeros to
    /// where the old row ended.
    pub(super) fn write(&self, slot: u32, row: &[u64]) {
        if let Some(chunk) = self.chunk(slot) {
            debug_assert!(row.len() <= chunk.words());
            chunk.write(offset(slot), row, OWNED);
        }
    }

    /// Zeroes the row of `slot`, which no customer owns any more.
    pub(super) fn clear(&self, slot: u32) {
        if let Some(chunk) = self.chunk(slot) {
            chunk.write(offset(slot), &[], 0);
        }
    }

    /// Fills `batch` with these words of the rows from `first` on, a multiple of [`BATCH_ROWS`]. False
    /// if no slot there was ever opened.
    pub(super) fn gather(&self, first: usize, words: &[usize], batch: &mut Batch) -> bool {
        let chunk = self.chunks.get(first / ROWS_PER_CHUNK).and_then(OnceLock::get);
        let used = chunk.map_or(0, |chunk| chunk.used.load(Ordering::Relaxed) as usize);
        let offset = first % ROWS_PER_CHUNK;
        match chunk {
            Some(chunk) if offset < used => {
                chunk.gather(offset, (used - offset).min(BATCH_ROWS), words, batch);
                true
            }
            _ => false,
        }
    }

    /// Copies the row of `slot` into `row`, in place of what it held, without the zero words at its end.
    pub(super) fn read(&self, slot: u32, row: &mut Row) {
        match self.chunk(slot) {
            Some(chunk) => chunk.read(offset(slot), row),
            None => row.clear(),
        }
        while row.last() == Some(&0) {
            row.pop();
        }
    }

    /// Appends the row of `slot` to `words`, without the zero words at its end.
    pub(super) fn append(&self, slot: u32, words: &mut Vec<u64>) {
        let start = words.len();
        if let Some(chunk) = self.chunk(slot) {
            chunk.append(offset(slot), words);
        }
        while words.len() > start && words.last() == Some(&0) {
            words.pop();
        }
    }

    /// Looks into every cache line of a row's first band, to bring it into the cache. Such looks do not
    /// depend on each other, so many go to memory at once.
    pub(super) fn touch(&self, slot: u32) -> u64 {
        let Some(chunk) = self.chunk(slot) else { return 0 };
        let row = chunk.band.row(offset(slot));
        let looked_at = row.iter().step_by(LINE_WORDS).chain(row.last());
        looked_at.fold(0, |all, word| all ^ word.load(Ordering::Relaxed))
    }

    /// Looks into the further bands of a row that has grown; quick after [`touch`](Arena::touch).
    pub(super) fn touch_further(&self, slot: u32) -> u64 {
        let Some(chunk) = self.chunk(slot) else { return 0 };
        let length = length(chunk.sequence(offset(slot)).load(Ordering::Relaxed));
        let further = chunk.bands(offset(slot), length).skip(1);
        let first_and_last = further.filter_map(|words| Some((words.first()?, words.last()?)));
        first_and_last
            .fold(0, |all, (first, last)| all ^ first.load(Ordering::Relaxed) ^ last.load(Ordering::Relaxed))
    }

    /// How many slots were ever opened.
    pub(super) fn slots(&self) -> usize {
        let used = |chunk: &RowChunk| chunk.used.load(Ordering::Relaxed) as usize;
        self.chunks.iter().map_while(OnceLock::get).map(used).sum()
    }

    /// Bytes of the pages that were touched, and of the table of chunks.
    pub(super) fn bytes(&self) -> usize {
        let rows: usize = self.chunks.iter().map_while(OnceLock::get).map(RowChunk::bytes).sum();
        rows + size_of_val(&*self.chunks)
    }

    fn chunk(&self, slot: u32) -> Option<&RowChunk> {
        self.chunks.get(slot as usize / ROWS_PER_CHUNK)?.get()
    }
}

/// All bits set if a customer owns the row with this sequence, else 0.
fn lane(sequence: u64) -> u32 {
    ((sequence & OWNED) as u32 >> OWNED.trailing_zeros()).wrapping_neg()
}

/// How many words the row with this sequence has.
fn length(sequence: u64) -> usize {
    (sequence >> LENGTH_SHIFT) as usize & MAX_LENGTH
}

fn offset(slot: u32) -> usize {
    slot as usize % ROWS_PER_CHUNK
}

impl RowChunk {
    /// For how many words a row has room.
    fn words(&self) -> usize {
        self.band.chain().map(|band| band.stride).sum::<usize>() - 1 // less the sequence
    }

    /// How many words the next band would have for rows of `words` words; 0 if they fit as it is.
    fn missing(&self, words: usize) -> usize {
        let have = self.words();
        if words <= have {
            return 0;
        }
        // Each new band doubles what lies beyond the first. Seven bands more take 384 words, as many as a row
        // with all its contacts needs. Rows that do not use them cost no memory, except for the rest of a
        // page.
        let beyond = have + 1 - self.band.stride;
        (words - have).max(beyond).max(MIN_BAND_WORDS)
    }

    fn fit(&self, words: usize) -> Result<(), Full> {
        if words > MAX_LENGTH {
            return Err(Full);
        }
        loop {
            let missing = self.missing(words);
            if missing == 0 {
                return Ok(());
            }
            let band = Box::new(Band::new(missing)?);
            if let Some(last) = self.band.chain().last() {
                let _ = last.next.set(band); // while loading, another thread may come first, so look again
            }
        }
    }

    fn write(&self, offset: usize, row: &[u64], owned: u64) {
        let sequence = self.sequence(offset);
        let before = sequence.load(Ordering::Relaxed);
        sequence.store(before | WRITING, Ordering::Relaxed);
        fence(Ordering::Release);
        let (mut rest, mut cleared) = (row, length(before).saturating_sub(row.len()));
        let mut from = 0;
        for (at, band) in self.band.chain().enumerate() {
            let words = &band.row(offset)[usize::from(at == 0)..];
            if at > 0 && !rest.is_empty() && length(before) < from + rest.len().min(words.len()) {
                band.touched.note(offset, band.stride, rest.len().min(words.len()));
            }
            let (head, tail) = rest.split_at(words.len().min(rest.len()));
            let (written, beyond) = words.split_at(head.len());
            for (word, value) in written.iter().zip(head) {
                word.store(*value, Ordering::Relaxed);
            }
            let zeros = cleared.min(beyond.len());
            beyond[..zeros].iter().for_each(|word| word.store(0, Ordering::Relaxed));
            (rest, cleared) = (tail, cleared - zeros);
            from += words.len();
            if rest.is_empty() && cleared == 0 {
                break;
            }
        }
        let length = (row.len() as u64) << LENGTH_SHIFT; // `fit` made sure that it is in bounds
        sequence
            .store((before / STEP).wrapping_add(1).wrapping_mul(STEP) | length | owned, Ordering::Release);
    }

    fn read(&self, offset: usize, row: &mut Row) {
        self.look(offset, |length| {
            row.resize(length, 0); // what was there before is overwritten, so it need not be cleared
            let mut copies = row.iter_mut();
            for words in self.bands(offset, length) {
                let pairs = words.iter().zip(copies.by_ref());
                pairs.for_each(|(word, copy)| *copy = word.load(Ordering::Relaxed));
            }
        });
    }

    fn append(&self, offset: usize, words: &mut Vec<u64>) {
        let start = words.len();
        self.look(offset, |length| {
            words.truncate(start);
            self.bands(offset, length)
                .for_each(|row| words.extend(row.iter().map(|word| word.load(Ordering::Relaxed))));
        });
    }

    /// Reads words of many rows in short loops: first all sequences, then word by word, and then the
    /// sequences again. Sequences only grow, so if their sum is the same, each of them is.
    fn gather(&self, first: usize, rows: usize, words: &[usize], batch: &mut Batch) {
        batch.touched = self.band.touch(first, rows);
        batch.owned[rows..].fill(0);
        let (mut before, mut any) = (0_u64, 0);
        for (owned, sequence) in batch.owned.iter_mut().zip(self.band.column(first, rows, 0)) {
            let sequence = sequence.load(Ordering::Relaxed);
            *owned = lane(sequence);
            before = before.wrapping_add(sequence);
            any |= sequence;
        }
        fence(Ordering::Acquire);
        for (column, word) in batch.columns.iter_mut().zip(words) {
            let Some((band, at)) = self.place(*word) else {
                column.fill(0);
                continue;
            };
            for (value, word) in column.iter_mut().zip(band.column(first, rows, at)) {
                *value = word.load(Ordering::Relaxed);
            }
        }
        fence(Ordering::Acquire);
        let again = self.band.column(first, rows, 0).map(|sequence| sequence.load(Ordering::Relaxed));
        if any & WRITING != 0 || again.fold(0_u64, u64::wrapping_add) != before {
            self.gather_singly(first, rows, words, batch);
        }
    }

    #[cold]
    fn gather_singly(&self, first: usize, rows: usize, words: &[usize], batch: &mut Batch) {
        let Batch { owned, columns, .. } = batch;
        for (row, owned) in owned[..rows].iter_mut().enumerate() {
            let sequence = self.look(first + row, |_| {
                for (column, word) in columns.iter_mut().zip(words) {
                    let word = self.place(*word).map(|(band, at)| &band.row(first + row)[at]);
                    column[row] = word.map_or(0, |word| word.load(Ordering::Relaxed));
                }
            });
            *owned = lane(sequence);
        }
    }

    /// The band that a word is in, and its place in a row of that band.
    fn place(&self, word: usize) -> Option<(&Band, usize)> {
        let mut at = word + 1; // behind the sequence
        for band in self.band.chain() {
            if at < band.stride {
                return Some((band, at));
            }
            at -= band.stride;
        }
        None
    }

    /// Calls `copy` with the row's length until no writer came in between. Returns the row's sequence.
    fn look(&self, offset: usize, mut copy: impl FnMut(usize)) -> u64 {
        let sequence = self.sequence(offset);
        let mut looks = 0;
        loop {
            let before = sequence.load(Ordering::Acquire);
            if before & WRITING == 0 {
                copy(length(before));
                fence(Ordering::Acquire);
                if sequence.load(Ordering::Relaxed) == before {
                    return before;
                }
            }
            pause(&mut looks);
        }
    }

    /// The first `length` words of a row as they are now, band by band. Only the sequence shows whether
    /// they belong together.
    fn bands(&self, offset: usize, mut length: usize) -> impl Iterator<Item = &[AtomicU64]> {
        self.band.chain().enumerate().map_while(move |(at, band)| {
            if length == 0 {
                return None;
            }
            let words = &band.row(offset)[usize::from(at == 0)..];
            let words = &words[..length.min(words.len())];
            length -= words.len();
            Some(words)
        })
    }

    fn sequence(&self, offset: usize) -> &AtomicU64 {
        &self.band.row(offset)[0]
    }

    fn bytes(&self) -> usize {
        let used = self.used.load(Ordering::Relaxed) as usize;
        let first = (used * self.band.stride * size_of::<u64>()).next_multiple_of(PAGE_BYTES);
        first + self.band.chain().skip(1).map(|band| band.touched.bytes()).sum::<usize>()
    }
}

impl Band {
    fn new(stride: usize) -> Result<Band, Full> {
        let length = ROWS_PER_CHUNK.checked_mul(stride).ok_or(Full)?;
        let words = try_zeroed_slice_box(length).map_err(|()| Full)?;
        Ok(Band { words, stride, next: OnceLock::new(), touched: Touched::new(length) })
    }

    /// This band and all further ones.
    fn chain(&self) -> impl Iterator<Item = &Band> {
        iter::successors(Some(self), |band| band.next.get().map(|next| &**next))
    }

    fn row(&self, offset: usize) -> &[AtomicU64] {
        &self.words[offset * self.stride..][..self.stride]
    }

    /// Looks into every cache line of these rows from front to back, which is the order in which memory
    /// is fastest.
    fn touch(&self, first: usize, rows: usize) -> u64 {
        let words = &self.words[first * self.stride..][..rows * self.stride];
        words.iter().step_by(LINE_WORDS).fold(0, |all, word| all ^ word.load(Ordering::Relaxed))
    }

    /// The word at this place in each of `rows` rows from `first` on.
    fn column(&self, first: usize, rows: usize, at: usize) -> impl Iterator<Item = &AtomicU64> {
        let rows = &self.words[first * self.stride..][..rows * self.stride];
        rows.chunks_exact(self.stride).map(move |row| &row[at])
    }
}

impl Touched {
    /// Nothing touched, in a band of `words` words.
    fn new(words: usize) -> Touched {
        let pages = (words * size_of::<u64>()).div_ceil(PAGE_BYTES);
        let pages = iter::repeat_with(|| AtomicU64::new(0)).take(pages.div_ceil(64)).collect();
        Touched { pages, count: AtomicUsize::new(0) }
    }

    /// Notes that the first `words` words of a row of this band are written.
    fn note(&self, offset: usize, stride: usize, words: usize) {
        let page = |word: usize| word * size_of::<u64>() / PAGE_BYTES;
        let first = offset * stride;
        for page in page(first)..=page(first + words - 1) {
            let bit = 1 << (page % 64);
            if self.pages[page / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.count.load(Ordering::Relaxed) * PAGE_BYTES + size_of_val(&*self.pages)
    }
}

#[cold]
fn pause(looks: &mut u32) {
    *looks += 1;
    if *looks < LOOKS_BEFORE_YIELD {
        std::hint::spin_loop();
    } else {
        *looks = 0;
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arena: &Arena, slot: u32) -> Vec<u64> {
        let mut row = Row::new();
        arena.read(slot, &mut row);
        row.to_vec()
    }

    #[test]
    fn a_row_grows_in_place_and_its_neighbours_stay() {
        let arena = Arena::new();
        for slot in [0, 1] {
            arena.open(slot, 2).unwrap();
            arena.write(slot, &[7, 8]);
        }
        let long: Vec<u64> = (1..=40).collect();
        for length in [3, 4, 9, 40] {
            arena.fit(0, length).unwrap();
            arena.write(0, &long[..length]);
            assert_eq!(read(&arena, 0), long[..length]);
            assert_eq!(read(&arena, 1), [7, 8]);
        }
        arena.write(0, &[5]);
        assert_eq!(read(&arena, 0), [5], "a shorter row leaves nothing of the longer one");
    }

    #[test]
    fn rows_that_grow_a_word_at_a_time_stay_in_few_bands() {
        let arena = Arena::new();
        arena.open(0, 12).unwrap();
        for words in 13..=100 {
            arena.fit(0, words).unwrap();
        }
        assert!(arena.chunk(0).unwrap().band.chain().count() <= 12);
    }

    #[test]
    fn a_long_row_costs_its_neighbours_nothing() {
        let arena = Arena::new();
        for slot in 0..1000 {
            arena.open(slot, 13).unwrap();
            arena.write(slot, &[7; 13]);
        }
        let before = arena.bytes();
        let long: Vec<u64> = (1..=269).collect();
        for length in 14..=long.len() {
            arena.fit(500, length).unwrap();
            arena.write(500, &long[..length]);
        }
        let bands = arena.chunk(0).unwrap().band.chain().count();
        assert!(bands <= 8, "{bands}");
        let bits: usize =
            arena.chunk(0).unwrap().band.chain().skip(1).map(|band| size_of_val(&*band.touched.pages)).sum();
        let grown = arena.bytes() - before - bits;
        assert!(grown <= 2 * (bands - 1) * PAGE_BYTES, "{grown} bytes for one row that grew");
        for slot in [499, 501] {
            arena.write(slot, &[8; 13]);
            assert_eq!(read(&arena, slot), [8; 13]);
        }
        assert_eq!(arena.bytes() - before - bits, grown);
        arena.write(500, &[9]);
        assert_eq!(read(&arena, 500), [9]);
        arena.write(500, &long[..20]);
        assert_eq!(read(&arena, 500), long[..20], "what was there of a longer row is zeroed");
        assert_eq!(arena.bytes() - before - bits, grown, "a page counts once");
    }

    #[test]
    fn five_contacts_take_six_words_of_each_row() {
        let arena = Arena::new();
        for slot in 0..ROWS_PER_CHUNK as u32 {
            arena.open(slot, 13).unwrap();
            for words in 14..=18 {
                arena.fit(slot, words).unwrap();
                arena.write(slot, &[7; 18][..words]);
            }
        }
        let words = (arena.bytes() - Arena::new().bytes()) as f64 / 8.0 / ROWS_PER_CHUNK as f64;
        assert!(words <= 14.0 + 6.1, "{words}");
    }

    #[test]
    fn only_touched_pages_count() {
        let arena = Arena::new();
        let table = arena.bytes();
        arena.open(0, 12).unwrap();
        assert_eq!(arena.bytes() - table, PAGE_BYTES);
        for slot in 1..100 {
            arena.open(slot, 12).unwrap();
        }
        assert_eq!(arena.bytes() - table, (100 * 13 * 8_usize).next_multiple_of(PAGE_BYTES));
    }

    #[test]
    fn a_slot_beyond_the_last_is_refused() {
        let arena = Arena::new();
        assert!(arena.open(MAX_SLOTS as u32 - 1, 1).is_ok());
        assert_eq!(arena.open(MAX_SLOTS as u32, 1), Err(Full));
        assert_eq!(arena.open(0, usize::MAX / 16), Err(Full), "more memory than there is");
    }
}
