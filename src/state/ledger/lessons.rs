//! What was learned of each offer, on each placement and in each segment.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::shared::SharedMap;
use crate::learning::Learned;
use crate::learning::lesson::LessonKey;

/// Of so many something is learned at most; outcomes of others teach nothing.
pub const MAX_LESSONS: usize = 65_536;

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
