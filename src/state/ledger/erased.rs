//! Who was erased, and when: what was said to a customer before is void, and so is what is told of them.
//!
//! Of an erased customer a hash is kept, with a salt that is random. It is kept as long as a token can
//! live; then it goes. It finds the one whose id is in hand, and says nothing of those whose id is not.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use crate::customer::event::{Event, Fate};
use crate::customer::id::CustomerId;
use crate::customer::update::{Erasure, SALT_BYTES};
use crate::intake::token::{MAX_AHEAD, MAX_LIFE};

/// The most erasures that are remembered. Of one more the oldest is forgotten, and tokens that are as old
/// are accepted of nobody.
pub const MAX_ERASED: usize = 1 << 20;
/// Seconds for which an erasure is remembered: as long as any token can live, whatever life is configured,
/// and as far as the clock of the node that decided may be ahead.
pub const ERASED_KEPT_S: u32 = MAX_LIFE + MAX_AHEAD;

/// How many erasures that are past their time go with each event or erasure that comes.
const FORGOTTEN_AT_ONCE: usize = 16;
/// The time of a forgotten erasure that had none yet: it gets that of the next record that has one.
const UNDATED: u32 = u32::MAX;
/// What the key of the hashes is derived for.
const PURPOSE: &str = "usher 2026 erased customer";

/// Erasures with a look-up.
pub(super) struct Erased {
    kept: ErasedIds,
    /// By hash: the latest erasure, and how many are remembered.
    by_hash: BTreeMap<u64, (u32, u32)>,
    /// The latest of all.
    newest: u32,
    key: [u8; blake3::KEY_LEN],
}

/// The erasures that are remembered. A clone is cheap: they are shared until they change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErasedIds {
    /// What the hashes are salted with.
    pub salt: [u8; SALT_BYTES],
    /// The latest time of an erasure that was forgotten, in seconds since 1970; 0 if none was.
    pub forgotten_until: u32,
    /// Hashes in the order in which they came, each with the time of its erasure. The time is 0 as long as
    /// it is not known: those of an earlier release get the time of the next record that has one.
    pub hashes: Arc<VecDeque<(u64, u32)>>,
}

impl Erased {
    /// Remembers what was kept, and nothing else.
    pub(super) fn new(kept: ErasedIds) -> Erased {
        let key = blake3::derive_key(PURPOSE, &kept.salt);
        let hashes = Arc::clone(&kept.hashes);
        let mut erased = Erased { kept, by_hash: BTreeMap::new(), newest: 0, key };
        hashes.iter().for_each(|(hash, at)| erased.look_up_later(*hash, *at));
        erased
    }

    pub(super) fn kept(&self) -> &ErasedIds {
        &self.kept
    }

    /// Remembers that this customer was erased. The salt counts while no other is in use.
    pub(super) fn add(&mut self, customer: &CustomerId, erasure: &Erasure) {
        if erasure.at != 0 {
            self.pass(erasure.at);
        }
        if self.kept.hashes.is_empty() {
            self.kept.salt = erasure.salt;
            self.key = blake3::derive_key(PURPOSE, &erasure.salt);
        }
        if self.kept.hashes.len() >= MAX_ERASED {
            self.forget_oldest();
        }
        let hash = self.hash(customer);
        Arc::make_mut(&mut self.kept.hashes).push_back((hash, erasure.at));
        self.look_up_later(hash, erasure.at);
    }

    fn look_up_later(&mut self, hash: u64, at: u32) {
        let (latest, count) = self.by_hash.entry(hash).or_default();
        (*latest, *count) = ((*latest).max(at), *count + 1);
        self.newest = self.newest.max(at);
    }

    /// Why an event is void: it tells of a time before its customer was erased, or of one when they may have
    /// been. `None` if it is to be taken.
    pub(super) fn refusal(&mut self, customer: &CustomerId, event: &Event) -> Option<Fate> {
        if self.kept.hashes.is_empty() && self.kept.forgotten_until == 0 {
            return None;
        }
        self.pass(event.received);
        let decided = event.outcome.as_deref().filter(|outcome| outcome.nonce != 0).map(|it| it.decided);
        // What does not say when it happened comes after the erasure, as its record does.
        let before = decided.or_else(|| Some(event.at).filter(|at| *at < event.received))?;
        if decided.is_some_and(|decided| decided <= self.kept.forgotten_until) {
            return Some(Fate::ErasureForgotten);
        }
        if before > self.newest {
            return None; // of almost all events: so they need no hash
        }
        self.by_hash.get(&self.hash(customer)).is_some_and(|(at, _)| before <= *at).then_some(Fate::Erased)
    }

    /// Lets time go on: dates what has no time yet, and forgets some of what is past its time.
    fn pass(&mut self, now: u32) {
        if self.kept.forgotten_until == UNDATED {
            self.kept.forgotten_until = now;
        }
        let undated = self.kept.hashes.iter().rev().take_while(|(_, at)| *at == 0).count();
        if undated > 0 {
            for (hash, at) in Arc::make_mut(&mut self.kept.hashes).iter_mut().rev().take(undated) {
                *at = now;
                if let Some((latest, _)) = self.by_hash.get_mut(hash) {
                    *latest = (*latest).max(now);
                }
            }
            self.newest = self.newest.max(now);
        }
        for _ in 0..FORGOTTEN_AT_ONCE {
            match self.kept.hashes.front() {
                Some((_, at)) if at.saturating_add(ERASED_KEPT_S) < now => self.forget_oldest(),
                _ => return,
            }
        }
    }

    fn forget_oldest(&mut self) {
        let Some((hash, at)) = Arc::make_mut(&mut self.kept.hashes).pop_front() else { return };
        let at = if at == 0 { UNDATED } else { at };
        self.kept.forgotten_until = self.kept.forgotten_until.max(at);
        if let Entry::Occupied(mut known) = self.by_hash.entry(hash) {
            known.get_mut().1 -= 1;
            if known.get().1 == 0 {
                known.remove();
            }
        }
    }

    fn hash(&self, customer: &CustomerId) -> u64 {
        let hash = blake3::keyed_hash(&self.key, customer.as_str().as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl ErasedIds {
    /// Adds hashes that a snapshot kept.
    ///
    /// # Errors
    /// A sentence: there are too many.
    pub(super) fn restore(&mut self, hashes: &[(u64, u32)]) -> Result<(), String> {
        if self.hashes.len() + hashes.len() > MAX_ERASED {
            return Err(format!("more than {MAX_ERASED} erasures"));
        }
        Arc::make_mut(&mut self.hashes).extend(hashes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customer::outcome::Outcome;
    use crate::customer::update::Change;
    use crate::state::testing::{BEGIN, happening, id};

    const DATED: Erasure = Erasure { at: BEGIN, salt: [7; SALT_BYTES] };

    fn outcome(decided: u32, received: u32) -> Event {
        let Change::Event(event) = happening(5).change else { return Event::default() };
        let outcome = event.outcome.map(|outcome| Box::new(Outcome { decided, ..*outcome }));
        Event { at: received, received, outcome, ..Event::default() }
    }

    fn told(at: u32, received: u32) -> Event {
        Event { at, received, ..Event::default() }
    }

    fn of(erasures: &[(u32, Erasure)]) -> Erased {
        let mut erased = Erased::new(ErasedIds::default());
        erasures.iter().for_each(|(who, erasure)| erased.add(&id(*who), erasure));
        erased
    }

    #[test]
    fn what_is_from_before_the_erasure_is_void_and_what_is_from_after_it_is_not() {
        let now = BEGIN + 100;
        for (who, event, fate) in [
            (1, outcome(BEGIN - 1, now), Some(Fate::Erased)),
            (1, outcome(BEGIN, now), Some(Fate::Erased)),
            (1, outcome(BEGIN + 1, now), None),
            (2, outcome(BEGIN - 1, now), None),
            (1, told(BEGIN, now), Some(Fate::Erased)),
            (1, told(BEGIN + 1, now), None),
            (1, told(now, now), None),
            (1, told(BEGIN, BEGIN), None),
            (2, told(BEGIN - 1, now), None),
        ] {
            let mut erased = of(&[(3, DATED), (1, DATED)]);
            assert_eq!(erased.refusal(&id(who), &event), fate, "{who} {event:?}");
            let mut again = Erased::new(erased.kept().clone());
            assert_eq!(again.refusal(&id(who), &event), fate, "restored: {who} {event:?}");
        }
    }

    #[test]
    fn an_erasure_without_a_time_gets_that_of_the_next_record() {
        let mut erased = of(&[(1, Erasure::default()), (2, Erasure::default())]);
        assert_eq!(erased.refusal(&id(1), &outcome(BEGIN + 9, BEGIN + 9)), Some(Fate::Erased));
        assert_eq!(erased.refusal(&id(2), &outcome(BEGIN + 10, BEGIN + 11)), None);
        let mut erased = of(&[(1, Erasure::default()), (2, DATED)]);
        assert_eq!(erased.kept().hashes.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [BEGIN, BEGIN]);
        assert_eq!(erased.refusal(&id(1), &outcome(BEGIN, BEGIN + 9)), Some(Fate::Erased));
    }

    #[test]
    fn an_erasure_goes_when_no_token_from_before_it_can_live() {
        let last = BEGIN + ERASED_KEPT_S;
        let mut erased = of(&[(1, DATED), (2, Erasure { at: BEGIN + 1, ..DATED })]);
        assert_eq!(erased.refusal(&id(1), &told(BEGIN, last)), Some(Fate::Erased));
        assert_eq!(erased.refusal(&id(1), &told(BEGIN, last + 1)), None, "it says what it knows itself");
        assert_eq!((erased.kept().hashes.len(), erased.kept().forgotten_until), (1, BEGIN));
        assert_eq!(erased.refusal(&id(9), &outcome(BEGIN, last + 1)), Some(Fate::ErasureForgotten));
        assert_eq!(erased.refusal(&id(9), &outcome(BEGIN + 1, last + 1)), None);
        assert_eq!(erased.refusal(&id(2), &outcome(BEGIN + 1, last + 1)), Some(Fate::Erased));
        erased.add(&id(3), &Erasure { at: last + 2, salt: [8; SALT_BYTES] });
        let kept = erased.kept();
        assert_eq!((kept.hashes.len(), kept.salt, kept.forgotten_until), (1, [8; SALT_BYTES], BEGIN + 1));
    }

    #[test]
    fn of_too_many_the_oldest_goes_and_tokens_as_old_are_refused_for_all() {
        let hashes = (0..MAX_ERASED as u64).map(|hash| (hash << 20, BEGIN)).collect::<Vec<_>>();
        let mut kept = ErasedIds::default();
        kept.restore(&hashes).unwrap();
        assert!(kept.clone().restore(&[(1, 1)]).is_err());
        let mut erased = Erased::new(kept);
        erased.add(&id(1), &Erasure { at: BEGIN + 5, ..DATED });
        assert_eq!((erased.kept().hashes.len(), erased.kept().forgotten_until), (MAX_ERASED, BEGIN));
        assert_eq!(erased.refusal(&id(2), &outcome(BEGIN, BEGIN + 9)), Some(Fate::ErasureForgotten));
        assert_eq!(erased.refusal(&id(2), &outcome(BEGIN + 1, BEGIN + 9)), None);
        assert_eq!(erased.refusal(&id(1), &outcome(BEGIN + 5, BEGIN + 9)), Some(Fate::Erased));
    }

    #[test]
    fn who_is_erased_again_and_again_is_remembered_until_the_last_of_them_goes() {
        let later = |after: u32| Erasure { at: BEGIN + after, ..DATED };
        let mut erased = of(&[(1, later(0)), (1, later(0)), (1, later(50))]);
        let now = BEGIN + 50 + ERASED_KEPT_S;
        assert_eq!(erased.refusal(&id(1), &told(BEGIN + 50, now)), Some(Fate::Erased));
        assert_eq!(erased.kept().hashes.len(), 1);
        assert_eq!(erased.refusal(&id(1), &told(BEGIN + 50, now + 1)), None);
        assert!(erased.by_hash.is_empty() && erased.kept().hashes.is_empty());
    }

    #[test]
    fn no_id_is_in_what_is_kept_and_the_salt_changes_every_hash() {
        let hash = |salt: u8| of(&[(1, Erasure { at: BEGIN, salt: [salt; SALT_BYTES] })]).kept().hashes[0].0;
        assert_ne!(hash(1), hash(2));
        assert_eq!(hash(1), hash(1));
    }
}
