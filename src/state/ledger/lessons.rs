//! What was learned of each offer, on each placement and in each segment.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::shared::SharedMap;
use crate::learning::Learned;
use crate::learning::lesson::LessonKey;
use crate::rules::catalogue::Gone;

/// The most combinations of offer, placement and segment that something is learned of. Outcomes of
/// others teach nothing.
pub const MAX_LESSONS: usize = 65_536;

/// All that was learned. One thread writes it, any thread reads it without a lock.
pub(super) struct LearnedLessons {
    learned: SharedMap<LessonKey, ArcSwap<Learned>>,
}

impl LearnedLessons {
    pub(super) fn new(all: &[(LessonKey, Learned)]) -> LearnedLessons {
        let learned = all.iter().map(|(key, learned)| (*key, ArcSwap::from_pointee(learned.clone())));
        LearnedLessons { learned: SharedMap::new(learned) }
    }

    pub(super) fn learned(&self, key: &LessonKey) -> Option<Arc<Learned>> {
        self.learned.with(key, ArcSwap::load_full)
    }

    /// Changes what was learned of this combination, if it is known or there is room for it.
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

    /// Forgets what was learned of numbers that are free from now on.
    pub(super) fn forget(&self, gone: &Gone) {
        self.learned.retain(|key| !gone.learned(key));
    }

    pub(super) fn all(&self) -> Vec<(LessonKey, Learned)> {
        self.learned.all(|key, learned| (key, (**learned.load()).clone()))
    }
}
