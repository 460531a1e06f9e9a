//! Consecutive periods with an event: bits of the newest 64 of them, so that an event which comes late closes the gap that it
//! belongs to, and the length of the run that ends right before those. An event that is later than that is passed over.

use super::ring::newest;

const KEPT: u32 = 64;

/// Takes in an event of this period.
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

/// The length of the run that ends with the last of the `passed` oldest bits; `before` is that of the run before them.
fn run_before(before: u32, bits: u64, passed: u32) -> u32 {
    let dropped = (0..passed).map(|nth| bits >> (KEPT - 1 - nth) & 1);
    dropped.fold(before, |run, bit| if bit == 1 { run.saturating_add(1) } else { 0 })
}

/// How long the run is that holds this period; one without an event yet does not end the run of the period before.
pub(super) fn length(words: &[u64], today: u32) -> i64 {
    let Some(newest) = newest(words) else { return 0 };
    // From here on it is counted back: from today, from yesterday if there is nothing today.
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
