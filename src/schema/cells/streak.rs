//! Consecutive periods with an event: one bit for each of the newest 64 periods, and the length of the run
//! that ends right before them. With the bits a late event can close the gap that it belongs to. An event
//! before those periods is ignored.

use super::ring::newest;

const KEPT: u32 = 64;

/// Adds an event of this period.
pub(super) fn update(words: &mut [u64], period: u32) {
    let [head, bits, ..] = words else { return };
    match newest(&[*head]) {
        Some(newest) if period <= newest => {
            if newest - period < KEPT {
                *bits |= 1 << (newest - period);
            }
        }
        Some(newest) => {
            let passed = period - newest;
            let run = if passed > KEPT { 0 } else { run_before((*head >> 32) as u32, *bits, passed) };
            *bits = bits.checked_shl(passed).unwrap_or(0) | 1;
            *head = u64::from(run) << 32 | (u64::from(period) + 1);
        }
        None => (*head, *bits) = (u64::from(period) + 1, 1),
    }
}

/// Makes `period` the newest if the newest is later than `latest`. What happened then counts in `period`.
pub(super) fn rewind(words: &mut [u64], latest: u32, period: u32) {
    let [head, bits, ..] = words else { return };
    let Some(newest) = newest(&[*head]).filter(|newest| *newest > latest.max(period)) else { return };
    let ahead = newest - period;
    let run = if ahead < KEPT { *head >> 32 } else { 0 };
    *bits = bits.checked_shr(ahead).unwrap_or(0) | 1;
    *head = run << 32 | (u64::from(period) + 1);
}

/// The length of the run that ends with the last of the `passed` oldest bits; `before` is the length of the
/// run before them.
fn run_before(before: u32, bits: u64, passed: u32) -> u32 {
    let dropped = (0..passed).map(|nth| bits >> (KEPT - 1 - nth) & 1);
    dropped.fold(before, |run, bit| if bit == 1 { run.saturating_add(1) } else { 0 })
}

/// The length of the run that `today` belongs to. A period without an event so far does not end the run that
/// came before.
pub(super) fn length(words: &[u64], today: u32) -> i64 {
    let Some(newest) = newest(words) else { return 0 };
    // From here the run is counted backwards: from today, or from yesterday if today has no event.
    let is_known = |period: u32| period <= newest && newest - period < KEPT;
    let bits = words.get(1).copied().unwrap_or(0);
    let happened = |period: u32| is_known(period) && bits >> (newest - period) & 1 == 1;
    let last = if happened(today) { Some(today) } else { today.checked_sub(1).filter(|day| happened(*day)) };
    let Some(last) = last else { return 0 };
    let passed = newest - last;
    let run = (bits >> passed).trailing_ones();
    let before = if passed + run == KEPT { (words[0] >> 32) as u32 } else { 0 };
    i64::from(run) + i64::from(before)
}
