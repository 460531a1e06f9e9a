//! Buckets of equal width, of which the newest are kept; each has its place by its number.

/// How many buckets are kept, and bits of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ring {
    count: u32,
    bits: u32,
}

impl Ring {
    /// `bits` is 1, 16 or 64.
    pub(super) fn new(count: u32, bits: u32) -> Ring {
        Ring { count, bits }
    }

    /// Words that it takes.
    pub(super) fn words(self) -> usize {
        (self.head() + self.count * self.bits).div_ceil(64) as usize
    }

    /// The place of a bucket, which is among the newest from now on; `None` if it is older than all that are kept.
    pub(super) fn place(self, words: &mut [u64], bucket: u32) -> Option<u32> {
        match newest(words) {
            Some(newest) if bucket <= newest => {
                return (newest - bucket < self.count).then_some(bucket % self.count);
            }
            // What lies between was empty, and takes the place of what was there a round before.
            Some(newest) if bucket - newest < self.count => {
                (newest + 1..=bucket).for_each(|skipped| self.set(words, skipped % self.count, 0));
            }
            _ => words.fill(0),
        }
        words[0] = words[0] & !HEAD | (u64::from(bucket) + 1);
        Some(bucket % self.count)
    }

    /// What is kept at a place.
    pub(super) fn get(self, words: &[u64], place: u32) -> u64 {
        let (word, shift) = self.at(place);
        words.get(word).map_or(0, |word| word >> shift & self.mask())
    }

    /// Keeps a value at a place; one that is too big as the biggest there is.
    pub(super) fn set(self, words: &mut [u64], place: u32, value: u64) {
        let (word, shift) = self.at(place);
        if let Some(word) = words.get_mut(word) {
            *word = *word & !(self.mask() << shift) | value.min(self.mask()) << shift;
        }
    }

    /// The buckets from number `oldest` on that are kept, oldest first.
    pub(super) fn since(self, words: &[u64], oldest: i64) -> impl Iterator<Item = u64> {
        let newest = newest(words).map_or(-1, i64::from);
        let first = oldest.max(newest + 1 - i64::from(self.count)).max(0);
        (first..=newest).map(move |bucket| self.get(words, (bucket % i64::from(self.count)) as u32))
    }

    /// Bits before the first bucket.
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

/// The bits of the number of the newest bucket.
const HEAD: u64 = 0xffff_ffff;

/// The number of the newest bucket, if anything ever happened.
pub(super) fn newest(words: &[u64]) -> Option<u32> {
    (words.first().map_or(0, |word| word & HEAD) as u32).checked_sub(1)
}
