//! Settings of the room for customers.

use std::time::Duration;

use super::{Typed, read};
use crate::input::problem::Problems;
use crate::node::memory;
use crate::node::room::{NodeBounds, UnknownCustomers};
use crate::schema::span;
use crate::state::store::MAX_CUSTOMERS;

/// The share of the machine's memory that the process may take by default. The rest is for the system and its
/// cache of files.
pub(super) const DEFAULT_MEMORY_PERCENT: u64 = 75;
/// How long customers stay of whom only events are known, once nothing of them counts any more.
const DEFAULT_LIFE: Duration = Duration::from_secs(30 * 86_400);
const LEAST_LIFE: Duration = Duration::from_secs(60);
const MOST_LIFE: Duration = Duration::from_secs(3_650 * 86_400);
/// The least bound of memory: an empty server with a rule set takes some 20 MiB.
pub(super) const LEAST_MEMORY: u64 = 128 << 20;

pub(super) fn read_bounds<'t>(
    get: impl Fn(&'static str) -> Option<&'t Typed>,
    problems: &mut Problems,
) -> NodeBounds {
    let default = NodeBounds::default();
    let customers = read(get("max_customers"), problems, read_max_customers);
    let memory = read(get("max_memory"), problems, read_max_memory);
    NodeBounds {
        customers: customers.unwrap_or(default.customers),
        memory: memory.unwrap_or_else(|| share_of_machine(DEFAULT_MEMORY_PERCENT)),
        unknown: read(get("unknown_customers"), problems, read_unknown).unwrap_or_default(),
        unknown_life: read(get("unknown_customers_life"), problems, read_life).unwrap_or(Some(DEFAULT_LIFE)),
    }
}

fn read_max_customers(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MAX_CUSTOMERS).contains(number));
    number.ok_or_else(|| format!("expected a number from 1 to {MAX_CUSTOMERS}, found {text:?}"))
}

/// Reads `1500M`, `6G`, `75%` of the machine's memory, or `off`.
fn read_max_memory(text: &str) -> Result<Option<u64>, String> {
    let number = |text: &str| text.parse().ok().filter(|number: &u64| *number > 0);
    let bytes = |text: &str, shift: u32| number(text).and_then(|number| number.checked_mul(1 << shift));
    let found = match text.split_at_checked(text.len().saturating_sub(1)) {
        _ if text == "off" => return Ok(None),
        Some((percent, "%")) => number(percent).filter(|percent| *percent <= 100).map(share_of_machine),
        Some((mib, "M")) => bytes(mib, 20).map(Some),
        Some((gib, "G")) => bytes(gib, 30).map(Some),
        _ => None,
    };
    let found = found.filter(|bytes| bytes.is_none_or(|bytes| bytes >= LEAST_MEMORY));
    found.ok_or_else(|| {
        let least = LEAST_MEMORY >> 20;
        format!("expected {least}M or more, such as 1500M, 6G or 75%, or off, found {text:?}")
    })
}

/// This share of the machine's memory, in bytes; `None` where the system does not tell how much there is.
fn share_of_machine(percent: u64) -> Option<u64> {
    memory::of_machine().map(|all| (all / 100 * percent).max(LEAST_MEMORY))
}

fn read_life(text: &str) -> Result<Option<Duration>, String> {
    if matches!(text, "never" | "0") {
        return Ok(None);
    }
    let life = span::seconds(text).map(|seconds| Duration::from_secs(seconds.into()));
    let life = life.filter(|life| (LEAST_LIFE..=MOST_LIFE).contains(life));
    life.map(Some)
        .ok_or_else(|| format!("expected from 1m to 3650d, such as 30d or 12h, or never, found {text:?}"))
}

fn read_unknown(text: &str) -> Result<UnknownCustomers, String> {
    match text {
        "create" => Ok(UnknownCustomers::Create),
        "refuse" => Ok(UnknownCustomers::Refuse),
        _ => Err(format!("expected create or refuse, found {text:?}")),
    }
}
