//! Which events and outcomes were taken: hashes in the order in which they came. The oldest are
//! forgotten first.

use std::collections::VecDeque;
use std::sync::Arc;

use super::hash_table::HashTable;
use crate::customer::event::MAX_AHEAD_S;
use crate::schema::value::DAY_SECONDS;

/// The most hashes that are remembered.
pub const MAX_REMEMBERED: usize = 4_194_304;
/// For how many days hashes are remembered at least, unless there are too many; longer where little
/// happens.
pub const REMEMBERED_DAYS: u32 = 40;
/// The most hashes of one chunk.
pub const CHUNK_HASHES: usize = 65_536;
/// The most chunks: the full ones, and those that a new day closed.
pub const MAX_CHUNKS: usize = MAX_REMEMBERED / CHUNK_HASHES + 1 + MAX_DAY_CHUNKS;
const MAX_DAY_CHUNKS: usize = 64;

/// How many hashes that are past their days go with each that comes. A whole chunk at once would take
/// milliseconds.
const FORGOTTEN_AT_ONCE: usize = 16;
/// How many parts the look-up has: none of them takes more than half a millisecond to grow.
const PARTS: usize = 256;

/// Hashes with a look-up. Remembering, forgetting and looking up take some 100 ns each, however many
/// there are.
pub(super) struct Remembered {
    parts: Box<[HashTable]>,
    kept: RememberedIds,
    /// No date that is kept is later, in seconds since 1970.
    latest: u32,
}

/// The hashes in their order. A clone is cheap: chunks are shared until they change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RememberedIds {
    /// The chunks of hashes, oldest first.
    pub chunks: VecDeque<HashChunk>,
    /// How many hashes of the first chunk are forgotten.
    pub gone: u32,
    /// The latest date of anything that was forgotten, in seconds since 1970; 0 if nothing was.
    pub forgotten_until: u32,
    len: usize,
}

/// Hashes that came one after the other, at most [`CHUNK_HASHES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashChunk {
    /// The day of the latest one, in days since 1970.
    pub day: u32,
    /// The latest date of any of them, in seconds since 1970.
    pub newest: u32,
    /// The hashes in the order in which they came.
    pub hashes: Arc<Vec<u64>>,
}

impl Remembered {
    /// Remembers what was kept, and nothing else.
    pub(super) fn new(kept: RememberedIds) -> Remembered {
        let mut parts: Box<[_]> = (0..PARTS).map(|_| HashTable::new()).collect();
        for hash in kept.hashes() {
            part(&mut parts, hash).insert(hash);
        }
        let latest = kept.chunks.iter().map(|chunk| chunk.newest).max().unwrap_or_default();
        Remembered { parts, latest: latest.max(kept.forgotten_until), kept }
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.parts[(hash >> 56) as usize % PARTS].contains(hash)
    }

    /// Brings into the cache what looking up, adding or forgetting this hash will look at.
    pub(super) fn touch(&self, hash: u64) -> u64 {
        self.parts[(hash >> 56) as usize % PARTS].touch(hash)
    }

    /// Brings into the cache what forgetting the next `count` hashes will look at.
    pub(super) fn touch_oldest(&self, count: usize) -> u64 {
        if self.kept.len + count < MAX_REMEMBERED {
            return 0;
        }
        self.kept.hashes().take(count).fold(0, |all, hash| all ^ self.touch(hash))
    }

    /// Remembers a hash that is not remembered yet. It was received at `received` and is dated `dated`,
    /// both in seconds since 1970.
    pub(super) fn add(&mut self, hash: u64, received: u32, dated: u32) {
        let day = received / DAY_SECONDS;
        if self.kept.len >= MAX_REMEMBERED {
            self.forget_oldest();
        }
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self.kept.chunks.front().is_none_or(|oldest| oldest.day + REMEMBERED_DAYS >= day) {
                break;
            }
            self.forget_oldest();
        }
        part(&mut self.parts, hash).insert(hash);
        self.kept.push(hash, day, dated);
        self.latest = self.latest.max(dated);
    }

    fn forget_oldest(&mut self) {
        if let Some(hash) = self.kept.pop() {
            part(&mut self.parts, hash).remove(hash);
        }
    }

    /// Takes back dates that a clock made that was ahead: of what is remembered, and up to which something
    /// was forgotten. Otherwise nothing would be taken from the moment it is forgotten until time has caught
    /// up with it. What is decided from now on was never forgotten.
    pub(super) fn pass(&mut self, received: u32) {
        if self.latest > received.saturating_add(MAX_AHEAD_S) {
            self.kept.rewind(received);
            self.latest = received.saturating_add(MAX_AHEAD_S);
        }
    }

    pub(super) fn kept(&self) -> &RememberedIds {
        &self.kept
    }
}

/// The part of the look-up that a hash is in, by its first bits.
fn part(parts: &mut [HashTable], hash: u64) -> &mut HashTable {
    &mut parts[(hash >> 56) as usize % PARTS]
}

impl RememberedIds {
    /// The hashes that are remembered, oldest first.
    pub fn hashes(&self) -> impl Iterator<Item = u64> {
        let first = self.chunks.front().map_or(&[][..], |chunk| &chunk.hashes[..]);
        let left = first.get(self.gone as usize..).unwrap_or_default();
        let others = self.chunks.iter().skip(1).flat_map(|chunk| chunk.hashes.iter());
        left.iter().chain(others).copied()
    }

    /// How many hashes are remembered.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no hash is remembered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What a snapshot keeps of it besides its chunks: [`gone`](Self::gone) and
    /// [`forgotten_until`](Self::forgotten_until).
    pub(super) fn totals(&self) -> (u32, u32) {
        let RememberedIds { chunks: _, gone, forgotten_until, len: _ } = self;
        (*gone, *forgotten_until)
    }

    /// Adds a chunk that a snapshot kept.
    ///
    /// # Errors
    /// A sentence: there are too many chunks or hashes, or the chunk is empty or too long.
    pub(super) fn restore(&mut self, chunk: HashChunk) -> Result<(), String> {
        let hashes = chunk.hashes.len();
        if hashes == 0 || hashes > CHUNK_HASHES || self.chunks.len() >= MAX_CHUNKS {
            return Err(format!("a chunk of {hashes} hashes after {} chunks", self.chunks.len()));
        }
        if self.len + hashes > MAX_REMEMBERED + CHUNK_HASHES {
            return Err(format!("more than {MAX_REMEMBERED} remembered hashes"));
        }
        self.len += hashes;
        self.chunks.push_back(chunk);
        Ok(())
    }

    /// Forgets the first `gone` hashes of the first chunk, once all chunks are there.
    ///
    /// # Errors
    /// A sentence: the first chunk has too few, or too many hashes are left.
    pub(super) fn restored(&mut self, gone: u32, forgotten_until: u32) -> Result<(), String> {
        let first = self.chunks.front().map_or(1, |chunk| chunk.hashes.len());
        if gone as usize >= first || self.len.saturating_sub(gone as usize) > MAX_REMEMBERED {
            return Err(format!("{gone} of the first {first} hashes forgotten, of {} in all", self.len));
        }
        self.len -= gone as usize;
        (self.gone, self.forgotten_until) = (gone, forgotten_until);
        Ok(())
    }

    fn push(&mut self, hash: u64, day: u32, dated: u32) {
        let room_for_a_day = self.chunks.len() < MAX_DAY_CHUNKS;
        let goes_on =
            |last: &&mut HashChunk| last.hashes.len() < CHUNK_HASHES && (day <= last.day || !room_for_a_day);
        match self.chunks.back_mut().filter(goes_on) {
            Some(last) => {
                Arc::make_mut(&mut last.hashes).push(hash);
                (last.day, last.newest) = (last.day.max(day), last.newest.max(dated));
            }
            None => {
                let day = self.chunks.back().map_or(day, |last| last.day.max(day));
                self.chunks.push_back(HashChunk { day, newest: dated, hashes: Arc::new(vec![hash]) });
            }
        }
        self.len += 1;
    }

    /// Sets all dates that are ahead of `now` to it.
    fn rewind(&mut self, now: u32) {
        let dates = self.chunks.iter_mut().map(|chunk| &mut chunk.newest);
        let is_ahead = |date: &&mut u32| **date > now.saturating_add(MAX_AHEAD_S);
        dates.chain([&mut self.forgotten_until]).filter(is_ahead).for_each(|date| *date = now);
    }

    fn pop(&mut self) -> Option<u64> {
        let oldest = self.chunks.front()?;
        let hash = oldest.hashes.get(self.gone as usize).copied();
        self.forgotten_until = self.forgotten_until.max(oldest.newest);
        self.gone += 1;
        self.len = self.len.saturating_sub(1);
        if self.gone as usize >= oldest.hashes.len() {
            self.chunks.pop_front();
            self.gone = 0;
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rounds;

    const DAY: u32 = DAY_SECONDS;

    fn filled(hashes: impl Iterator<Item = u64>, at: u32) -> Remembered {
        let mut remembered = Remembered::new(RememberedIds::default());
        hashes.for_each(|hash| remembered.add(mixed(hash), at, at));
        remembered
    }

    fn mixed(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// The most hashes there may be, dated 100. By default they are put in place as from a snapshot, which
    /// is faster.
    fn full() -> Remembered {
        let all = 1..=MAX_REMEMBERED as u64;
        if rounds(false, true) {
            return filled(all, 100);
        }
        let hashes: Vec<u64> = all.map(mixed).collect();
        let mut kept = RememberedIds::default();
        for hashes in hashes.chunks(CHUNK_HASHES) {
            kept.restore(HashChunk { day: 0, newest: 100, hashes: Arc::new(hashes.to_vec()) }).unwrap();
        }
        Remembered::new(kept)
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten_one_by_one() {
        let (most, step) = (MAX_REMEMBERED as u64, rounds(97, 1));
        let mut remembered = full();
        assert!((1..=most).step_by(step).all(|hash| remembered.contains(mixed(hash))));
        assert_eq!((remembered.kept.len(), remembered.kept.forgotten_until), (MAX_REMEMBERED, 0));
        for more in 1..=CHUNK_HASHES as u64 + 5 {
            remembered.add(mixed(most + more), 200, 200);
            assert!(!remembered.contains(mixed(more)) && remembered.contains(mixed(more + 1)));
        }
        assert_eq!((remembered.kept.len(), remembered.kept.forgotten_until), (MAX_REMEMBERED, 100));
        assert!(remembered.kept.chunks.len() <= MAX_CHUNKS);
        if rounds(true, false) {
            return; // `full` has gone this way already
        }
        let again = Remembered::new(remembered.kept.clone());
        assert!((most..most + 9).all(|hash| again.contains(mixed(hash))) && !again.contains(mixed(7)));
    }

    #[test]
    fn what_is_past_its_days_goes_with_what_comes() {
        let mut remembered = filled(1..=40, 5 * DAY + 7);
        let later = (6 + REMEMBERED_DAYS) * DAY;
        remembered.add(mixed(41), later - DAY, later - DAY);
        assert!(remembered.contains(mixed(1)), "forty days are not over");
        remembered.add(mixed(42), later, later);
        assert_eq!(remembered.kept.len(), 42 - FORGOTTEN_AT_ONCE);
        remembered.add(mixed(43), later, later);
        remembered.add(mixed(44), later, later);
        assert!((1..=40).all(|hash| !remembered.contains(mixed(hash))));
        assert!((41..=44).all(|hash| remembered.contains(mixed(hash))));
        assert_eq!(remembered.kept.forgotten_until, 5 * DAY + 7);
    }

    #[test]
    fn what_is_forgotten_is_never_dated_ahead() {
        let (now, ahead) = (100 * DAY, 900 * DAY);
        let mut remembered = filled(1..=20, now);
        remembered.add(mixed(21), ahead, ahead);
        assert_eq!(remembered.kept.forgotten_until, now);
        remembered.add(mixed(22), ahead + 41 * DAY, ahead + 41 * DAY);
        assert!(remembered.kept.forgotten_until >= ahead);
        remembered.pass(ahead + 41 * DAY);
        assert!(remembered.kept.forgotten_until >= ahead, "the clock is as it was");
        remembered.pass(now + 50);
        assert_eq!(remembered.kept.forgotten_until, now + 50);
        let mut remembered = filled(1..=20, ahead);
        remembered.pass(now);
        remembered.forget_oldest();
        assert_eq!(remembered.kept.forgotten_until, now);
    }

    #[test]
    fn of_a_chunk_that_was_dated_ahead_nothing_is_forgotten_for_later() {
        let (now, ahead) = (100 * DAY, 108 * DAY);
        let mut kept = full().kept;
        let dates = [ahead, now + MAX_AHEAD_S, now + MAX_AHEAD_S + 1, 7];
        for (chunk, newest) in kept.chunks.iter_mut().zip(dates) {
            (chunk.day, chunk.newest) = (100, newest);
        }
        let mut live = Remembered::new(kept);
        live.pass(now);
        let mut restored = Remembered::new(live.kept.clone());
        for remembered in [&mut live, &mut restored] {
            remembered.pass(now);
            remembered.add(mixed(1 << 60), now + DAY, now + DAY);
            assert_eq!(remembered.kept.forgotten_until, now);
            let newest = remembered.kept.chunks.iter().map(|chunk| chunk.newest);
            assert_eq!(newest.take(4).collect::<Vec<_>>(), [now, now + MAX_AHEAD_S, now, 7]);
        }
        assert_eq!(live.kept, restored.kept);
    }

    #[test]
    fn however_the_clock_goes_chunks_are_bounded() {
        let mut remembered = Remembered::new(RememberedIds::default());
        for number in 1..1000 {
            for hash in 0..20 {
                let at = (number as u32 % 3 * 500 + number as u32) * DAY;
                remembered.add(mixed(number * 100 + hash), at, at);
            }
            assert!(remembered.kept.chunks.len() <= MAX_CHUNKS);
        }
        assert_eq!(remembered.kept.hashes().count(), remembered.kept.len());
    }

    #[test]
    fn what_is_restored_keeps_to_the_bounds() {
        let chunk = |hashes: usize| HashChunk { day: 1, newest: 2, hashes: Arc::new(vec![7; hashes]) };
        assert!(RememberedIds::default().restore(chunk(0)).is_err());
        assert!(RememberedIds::default().restore(chunk(CHUNK_HASHES + 1)).is_err());
        let mut many = RememberedIds::default();
        let most = MAX_REMEMBERED / CHUNK_HASHES;
        (0..=most).for_each(|_| many.restore(chunk(CHUNK_HASHES)).unwrap());
        assert!(many.restore(chunk(1)).is_err());
        assert!(many.clone().restored(CHUNK_HASHES as u32, 0).is_err());
        assert!(many.restored(0, 0).is_err(), "too many");
        let mut few = RememberedIds::default();
        (0..MAX_CHUNKS).for_each(|_| few.restore(chunk(3)).unwrap());
        assert!(few.restore(chunk(1)).is_err() && few.restored(2, 9).is_ok());
        assert_eq!((few.len(), few.hashes().count()), (3 * MAX_CHUNKS - 2, 3 * MAX_CHUNKS - 2));
        assert!(
            RememberedIds::default().restored(0, 5).is_ok()
                && RememberedIds::default().restored(1, 5).is_err()
        );
    }
}
