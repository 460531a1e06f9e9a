//! A ring keeps the newest of many buckets of equal width. A bucket's number decides its place.

/// How many buckets a ring keeps, and how many bits each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ring {
    count: u32,
    bits: u32,
}

impl Ring {
    /// A ring of `count` buckets of `bits` bits, which are 1, 16 or 64.
    pub(super) fn new(count: u32, bits: u32) -> Ring {
        Ring { count, bits }
    }

    /// How many words of a row it takes.
    pub(super) fn words(self) -> usize {
        (self.head() + self.count * self.bits).div_ceil(64) as usize
    }

    /// The place of a bucket, which now counts as one of the newest. `None` if it is older than all that are
    /// kept.
    pub(super) fn place(self, words: &mut [u64], bucket: u32) -> Option<u32> {
        match newest(words) {
            Some(newest) if bucket <= newest => {
                return (newest - bucket < self.count).then_some(bucket % self.count);
            }
            // The buckets between were empty. They take the places of buckets from the round before.
            Some(newest) if bucket - newest < self.count => {
                (newest + 1..=bucket).for_each(|skipped| self.set(words, skipped % self.count, 0));
            }
            _ => words.fill(0),
        }
        words[0] = words[0] & !HEAD | (u64::from(bucket) + 1);
        Some(bucket % self.count)
    }

    /// Makes `bucket` the newest, which is older than the newest. What newer ones hold counts in it.
    pub(super) fn rewind(self, words: &mut [u64], bucket: u32, merged: impl Fn(u64, u64) -> u64) {
        let Some(newest) = newest(words).filter(|newest| *newest > bucket) else { return };
        let mut held = 0;
        for later in (bucket + 1).max((newest + 1).saturating_sub(self.count))..=newest {
            held = merged(held, self.get(words, later % self.count));
            self.set(words, later % self.count, 0);
        }
        let place = bucket % self.count;
        // A bucket that the ring does not reach has lost its place to one of those above.
        let before = if newest - bucket < self.count { self.get(words, place) } else { 0 };
        self.set(words, place, merged(before, held));
        words[0] = words[0] & !HEAD | (u64::from(bucket) + 1);
    }

    /// What the bucket at this place holds.
    pub(super) fn get(self, words: &[u64], place: u32) -> u64 {
        let (word, shift) = self.at(place);
        words.get(word).map_or(0, |word| word >> shift & self.mask())
    }

    /// Stores a value at a place. A value that is too big for the bits becomes the biggest that fits.
    pub(super) fn set(self, words: &mut [u64], place: u32, value: u64) {
        let (word, shift) = self.at(place);
        if let Some(word) = words.get_mut(word) {
            *word = *word & !(self.mask() << shift) | value.min(self.mask()) << shift;
        }
    }

    /// What the kept buckets hold from number `oldest` on, oldest first.
    pub(super) fn since(self, words: &[u64], oldest: i64) -> impl Iterator<Item = u64> {
        let newest = newest(words).map_or(-1, i64::from);
        let first = oldest.max(newest + 1 - i64::from(self.count)).max(0);
        (first..=newest).map(move |bucket| self.get(words, (bucket % i64::from(self.count)) as u32))
    }

    /// How many bits lie before the first bucket.
    fn head(self) -> u32 {
        if self.bits == 64 { 64 } else { 32 }
    }

    fn at(self, place: u32) -> (usize, u32) {
        let bit = self.head() + place * self.bits;
        ((bit / 64) as usize, bit % 64)
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }
}

/// The bits that hold the number of the newest bucket, plus one.
const HEAD: u64 = 0xffff_ffff;

/// The number of the newest bucket; `None` if nothing ever happened.
pub(super) fn newest(words: &[u64]) -> Option<u32> {
    (words.first().map_or(0, |word| word & HEAD) as u32).checked_sub(1)
}
