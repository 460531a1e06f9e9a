//! Numbers of single precision, and the decimal numbers that they stand for. A feature that holds 0.7 in 32
//! bits holds 0.699999988079071…; it reads as 0.7, the shortest decimal number that rounds to the same bits.
//! So a number means the same in the data, in a condition, in a model and in an answer.

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19,
];
/// By the exponent's bits of a number: the power of ten that makes a whole number of its first six digits, or
/// of five where a power of ten is near. NaN where that is none of [`POWERS`].
const SIX_DIGITS: [f64; 256] = {
    let (mut powers, mut bits) = ([f64::NAN; 256], 0);
    while bits < 256 {
        let places = 5 - first_digit(bits as u32);
        if 0 <= places && places < POWERS.len() as i32 {
            powers[bits] = POWERS[places as usize];
        }
        bits += 1;
    }
    powers
};

/// Adding and subtracting it rounds a number of up to 2^51 to a whole one, whatever its sign: it is 1.5 times
/// 2^52, where doubles are whole.
const WHOLE: f64 = 6_755_399_441_055_744.0;

/// The power of ten of the first digit of a number whose exponent has these bits. Where a power of ten lies
/// between such numbers, it is that of the greatest.
const fn first_digit(bits: u32) -> i32 {
    match bits as i32 - 126 {
        0 => -1,                              // from 0.5 to 1
        exponent => (exponent * 1_233) >> 12, // by log10(2), and rounded down
    }
}

/// The double nearest to the shortest decimal number that rounds to `x`. Greater numbers become greater
/// doubles, and each is `x` again when it is rounded.
#[inline]
pub(crate) fn widened(x: f32) -> f64 {
    let power = SIX_DIGITS[(x.to_bits() >> 23 & 0xff) as usize];
    // One rounding: a whole number of six digits and these powers are exact. Zero has no power, so its sign
    // is not lost here.
    let found = (f64::from(x) * power + WHOLE - WHOLE) / power;
    if found as f32 == x { found } else { longer(x) }
}

/// As [`widened`], for numbers of more than six digits, and those far from 1.
#[inline(never)]
fn longer(x: f32) -> f64 {
    let wide = f64::from(x);
    if wide == 0.0 {
        return wide; // also -0.0
    }
    // Six digits were tried. Nine always tell the numbers of single precision apart; an attempt with too few
    // only fails.
    let seven = usize::try_from(6 - first_digit(x.to_bits() >> 23 & 0xff));
    let powers = seven.ok().and_then(|places| POWERS.get(places..)).unwrap_or_default();
    for power in powers.iter().take(4) {
        let found = (wide * power + WHOLE - WHOLE) / power;
        if found as f32 == x {
            return found;
        }
    }
    x.to_string().parse().unwrap_or(wide)
}

/// A number as a feature of single precision reads once it was given it. Numbers beyond its range stay as
/// they are.
pub(crate) fn in_single(x: f64) -> f64 {
    let single = x as f32;
    if single.is_finite() { widened(single) } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rounds;

    #[test]
    fn a_number_of_single_precision_is_the_shortest_decimal_that_rounds_to_it() {
        let check = |x: f32| {
            let wide = widened(x);
            // Of two decimals that are equally near, either may be meant.
            assert_eq!(format!("{wide:e}").len(), format!("{x:e}").len(), "{x:e} as {wide:e}");
            assert_eq!((wide as f32).to_bits(), x.to_bits(), "{x:e}");
        };
        for x in [
            0.7,
            0.1,
            0.01,
            9.999_999e-3,
            1e-10,
            1e10,
            1e9,
            16_777_216.0,
            123_456_789.0,
            0.0,
            f32::MIN_POSITIVE,
        ] {
            check(x);
            check(-x);
        }
        for x in [f32::MAX, 1e-45, 1.234_57e-40, 0.3, 4.35, 19.99] {
            check(x);
            check(x.next_down());
            check(x.next_up().min(f32::MAX));
        }
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..rounds(20_000, 4_000_000) {
            let x = f32::from_bits(rng.u32(..));
            if x.is_finite() {
                check(x);
            }
            check(rng.f32() * 10_f32.powi(rng.i32(-6..9)));
            check(rng.u32(..1_000_000) as f32 / 10_f32.powi(rng.i32(0..8)));
        }
    }

    #[test]
    fn greater_numbers_stay_greater() {
        let mut rng = fastrand::Rng::with_seed(6);
        for _ in 0..rounds(20_000, 1_000_000) {
            let x = f32::from_bits(rng.u32(..));
            if x.is_finite() && x.next_up().is_finite() {
                assert!(widened(x) < widened(x.next_up()) || x == 0.0, "{x:e}");
            }
        }
    }

    #[test]
    fn what_a_decimal_number_of_six_digits_was_is_what_it_reads_as() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..rounds(20_000, 1_000_000) {
            let text = format!("{}e{}", rng.i32(-999_999..=999_999), rng.i32(-38..33));
            let x: f64 = text.parse().unwrap();
            assert_eq!(in_single(x).to_bits(), x.to_bits(), "{text}");
        }
        assert_eq!(in_single(1e39), 1e39);
    }
}
