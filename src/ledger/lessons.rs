//! What was learned of each offer, on each placement and in each segment.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::shared::SharedMap;
use crate::catalogue::OfferNumber;
use crate::event::Lesson;

/// Of so many something is learned at most; outcomes of others teach nothing.
pub const MAX_LESSONS: usize = 65_536;
/// Words of a [`Learned`].
pub const LEARNED_WORDS: usize = 2;

/// What is learned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LessonKey {
    /// The offer.
    pub offer: OfferNumber,
    /// The placement's number.
    pub placement: u16,
    /// The segment of customers.
    pub segment: u8,
}

/// How fast is learned and forgotten, from [`Lesson`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long after its decision an impression waits for a click.
    pub window_s: u32,
    /// After this time a yes and a no count half; 0: they never fade.
    pub half_life_s: u32,
}

/// Impressions and clicks, without windows and without fading.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Learned {
    shown: u64,
    clicked: u64,
}

impl Learned {
    /// Counts an impression of an offer that was decided at `_decided_s`.
    pub fn shown(&mut self, _decided_s: u32, _now_s: u32, _pace: Pace) {
        self.shown += 1;
    }

    /// Counts a click on an offer that was decided at `_decided_s`; each impression's first only.
    pub fn clicked(&mut self, _decided_s: u32, _now_s: u32, _pace: Pace) {
        self.clicked += 1;
    }

    /// For snapshot and digest.
    pub fn words(&self) -> [u64; LEARNED_WORDS] {
        [self.shown, self.clicked]
    }

    /// Of its [`words`](Self::words); `None` if no `Learned` has such.
    pub fn from_words(words: &[u64; LEARNED_WORDS]) -> Option<Learned> {
        Some(Learned { shown: words[0], clicked: words[1] })
    }
}

impl From<Lesson> for Pace {
    fn from(Lesson { window_s, half_life_s, .. }: Lesson) -> Pace {
        Pace { window_s, half_life_s }
    }
}

/// All that was learned. Written by one thread, read by any without a lock.
pub(super) struct Lessons {
    learned: SharedMap<LessonKey, ArcSwap<Learned>>,
}

impl Lessons {
    pub(super) fn new(all: &[(LessonKey, Learned)]) -> Lessons {
        let learned = all.iter().map(|(key, learned)| (*key, ArcSwap::from_pointee(learned.clone())));
        Lessons { learned: SharedMap::new(learned) }
    }

    pub(super) fn learned(&self, key: &LessonKey) -> Option<Arc<Learned>> {
        self.learned.with(key, ArcSwap::load_full)
    }

    /// Changes what was learned of this, if there is room for it.
    pub(super) fn teach(&self, key: LessonKey, teach: impl FnOnce(&mut Learned)) {
        let before = self.learned(&key);
        if before.is_none() && self.learned.len() >= MAX_LESSONS {
            return;
        }
        let mut next = before.as_deref().cloned().unwrap_or_default();
        teach(&mut next);
        match before {
            Some(_) => drop(self.learned.with(&key, |learned| learned.store(Arc::new(next)))),
            None => self.learned.insert(key, ArcSwap::from_pointee(next)),
        }
    }

    pub(super) fn all(&self) -> Vec<(LessonKey, Learned)> {
        self.learned.all(|key, learned| (key, (**learned.load()).clone()))
    }
}
