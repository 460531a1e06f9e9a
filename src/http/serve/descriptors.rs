//! How many connections the file descriptors of this process allow. A socket takes one, and so does a file.
//! If sockets took all, the journal could not begin a file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http::bounds::MAX_SPARE_CONNECTIONS;

/// Descriptors kept back for files: the journal, snapshots that are written and read back, the directory.
const KEPT_FOR_FILES: usize = 32;
/// Descriptors of the process itself: standard streams, the lock, signals, and what the system opens in
/// passing.
const OWN: usize = 24;
/// Descriptors of each thread: its listener, and what its runtime waits with.
const PER_THREAD: usize = 6;
/// The fewest connections with which a server is worth starting.
const FEWEST: usize = 4;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) ordinary: usize,
    /// For health checks, when the ordinary places are taken.
    pub(crate) spare: usize,
}

/// There are too few file descriptors to serve with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFewDescriptors {
    /// The limit of open files.
    pub limit: usize,
    /// The smallest limit that will do.
    pub fewest: usize,
}

/// Raises the limit of open files as far as these connections and threads need it and the system lets us.
/// Returns how many connections there may be: all of `wanted`, or fewer.
///
/// # Errors
/// [`TooFewDescriptors`] if the limit leaves hardly any.
pub(crate) fn allow(wanted: usize, threads: usize) -> Result<Allowed, TooFewDescriptors> {
    let needed = wanted.saturating_add(kept_back(threads) + MAX_SPARE_CONNECTIONS) as u64;
    let found = getrlimit(Resource::Nofile);
    let limit = match found.current {
        Some(soft) if soft < needed => raised(found, needed).unwrap_or(soft),
        Some(soft) => soft,
        None => u64::MAX,
    };
    within(usize::try_from(limit).unwrap_or(usize::MAX), wanted, threads)
}

/// Descriptors that are not for connections.
fn kept_back(threads: usize) -> usize {
    KEPT_FOR_FILES + OWN + PER_THREAD * threads
}

/// Raises the soft limit to `needed`, or to the hard limit if that is lower. Returns the new one.
fn raised(found: Rlimit, needed: u64) -> Option<u64> {
    let soft = found.maximum.map_or(needed, |hard| hard.min(needed));
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: found.maximum }).ok()?;
    Some(soft)
}

/// How many of `wanted` connections there may be under `limit`.
fn within(limit: usize, wanted: usize, threads: usize) -> Result<Allowed, TooFewDescriptors> {
    let kept_back = kept_back(threads);
    let left = limit.saturating_sub(kept_back);
    let spare = MAX_SPARE_CONNECTIONS.min(left / 2);
    let ordinary = (left - spare).min(wanted);
    if ordinary < FEWEST.min(wanted) {
        return Err(TooFewDescriptors { limit, fewest: kept_back + 2 * FEWEST - 1 });
    }
    Ok(Allowed { ordinary, spare })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_bounded_below_the_limit_with_descriptors_kept_back() {
        for (limit, threads, expected) in [
            (usize::MAX, 8, Ok((10_000, 64))),
            (1_048_576, 8, Ok((10_000, 64))),
            (1_024, 2, Ok((892, 64))),
            (256, 2, Ok((124, 64))),
            (128, 2, Ok((30, 30))),
            (76, 2, Ok((4, 4))),
            (75, 2, Ok((4, 3))),
            (74, 2, Err(75)),
            (0, 2, Err(75)),
            (75, 1, Ok((7, 6))),
        ] {
            let found = within(limit, 10_000, threads);
            let found = found.map(|it| (it.ordinary, it.spare)).map_err(|it| it.fewest);
            assert_eq!(found, expected, "{limit} descriptors, {threads} threads");
            if let Ok((ordinary, spare)) = found {
                assert!(ordinary + spare + kept_back(threads) <= limit);
            }
        }
        assert_eq!(within(1_024, 2, 2), Ok(Allowed { ordinary: 2, spare: 64 }));
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let before = getrlimit(Resource::Nofile);
        let allowed = allow(10, 1).unwrap();
        assert_eq!(allowed, Allowed { ordinary: 10, spare: MAX_SPARE_CONNECTIONS });
        assert!(getrlimit(Resource::Nofile).current >= before.current);
        assert_eq!(getrlimit(Resource::Nofile).maximum, before.maximum);
    }
}
