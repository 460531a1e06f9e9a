//! Which customers are in which arm of an experiment. Only a salt and the customer's id decide. So the arm is
//! the same on every node and channel, before and after a customer becomes known, and in a data team's own
//! tools.
//!
//! A customer's *slot* for a salt is the number written by the first eight hexadecimal digits of
//! `sha256("SALT:CUSTOMER")`, modulo 10,000. A slot holds a hundredth of a percent of all customers. The
//! variants of an experiment take slots in the order in which they are written, from 0 on or from where the
//! experiment says.
//!
//! ```text
//! Python      int(hashlib.sha256(f"{salt}:{customer}".encode()).hexdigest()[:8], 16) % 10000
//! PostgreSQL  ('x' || left(encode(sha256(convert_to(salt || ':' || customer, 'UTF8')), 'hex'), 8))
//!                 ::bit(32)::bigint % 10000
//! DuckDB      ('0x' || left(sha256(salt || ':' || customer), 8))::bigint % 10000
//! ```
//!
//! So `plain: 50, photo: 50` with the salt `q4` shows `photo` to customers whose slot is 5,000 or more. Slots
//! are even to 4 in a million, because 2^32 is not a multiple of 10,000.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::customer::numbers::ArmNumber;

/// How many slots there are for all customers together.
pub const SLOTS: u16 = 10_000;

/// The most arms of one engine.
pub const MAX_ARMS: usize = 1_024;

/// The number of an arm in one engine, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArmId(pub u16);

/// A variant of an experiment, or a side of the holdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// `EXPERIMENT.VARIANT`, unique over all active rule sets; for the holdout `holdout.in` and
    /// `holdout.out`.
    pub name: Box<str>,
    /// The name of the experiment that it belongs to.
    pub experiment: Arc<str>,
    /// Its share of all customers in slots, which are hundredths of a percent.
    pub share: u16,
    /// Its number in the catalogue, the same in every engine.
    pub number: ArmNumber,
}

impl Arm {
    /// The name of its variant.
    pub fn variant(&self) -> &str {
        self.name.split_once('.').map_or(&self.name, |(_, variant)| variant)
    }
}

/// The slot of a customer for a salt.
///
/// ```
/// assert_eq!(usher::expression::arm::slot("q4", "c-1001"), 3227);
/// ```
pub fn slot(salt: &str, customer: &str) -> u16 {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(b":");
    hash.update(customer);
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
    (u32::from_be_bytes([a, b, c, d]) % u32::from(SLOTS)) as u16
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn slots_are_those_that_are_documented() {
        // From Python's hashlib.
        for (salt, customer, expected) in VECTORS {
            assert_eq!(slot(salt, customer), expected, "{salt}:{customer}");
        }
    }

    const VECTORS: [(&str, &str, u16); 7] = [
        ("q4", "c-1001", 3227),
        ("q4", "c-1002", 89),
        ("q4", "", 2134),
        ("", "c-1001", 1044),
        ("2026", "c-1001", 8344),
        ("home", "客户-7", 8027),
        ("home", "c:1", 6095),
    ];

    /// Python, if this machine has it.
    fn python(script: &str) -> Option<String> {
        let output = Command::new("python3").args(["-c", script]).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn python_gives_the_same_slots() {
        let script = "import hashlib\nfor i in range(400):\n    customer = f'c-{i:06}' if i % 4 else f'客户 {i}'\n    \
            salt = ['q4', '2026', 'home'][i % 3]\n    \
            print(salt, int(hashlib.sha256(f'{salt}:{customer}'.encode()).hexdigest()[:8], 16) % 10000, customer)";
        let Some(lines) = python(script) else { return };
        assert_eq!(lines.lines().count(), 400);
        for line in lines.lines() {
            let mut parts = line.splitn(3, ' ');
            let [salt, expected, customer] = [0; 3].map(|_| parts.next().unwrap());
            assert_eq!(slot(salt, customer), expected.parse::<u16>().unwrap(), "{line}");
        }
    }

    #[test]
    fn customers_are_spread_evenly_and_each_salt_spreads_them_anew() {
        const CUSTOMERS: usize = 100_000;
        let (mut tens, mut both) = ([0_u32; 10], [[0_u32; 2]; 2]);
        for i in 0..CUSTOMERS {
            let customer = format!("c-{i:06}");
            let (one, other) = (slot("q4", &customer), slot("q5", &customer));
            tens[usize::from(one / 1_000)] += 1;
            both[usize::from(one / 5_000)][usize::from(other / 5_000)] += 1;
        }
        let chi = |counts: &[u32], expected: f64| -> f64 {
            counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
        };
        // One in a thousand is above 27.9 with 9 degrees of freedom, above 16.3 with 3.
        assert!(chi(&tens, CUSTOMERS as f64 / 10.0) < 27.9, "{tens:?}");
        assert!(chi(both.as_flattened(), CUSTOMERS as f64 / 4.0) < 16.3, "{both:?}");
    }
}
