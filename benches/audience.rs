//! Counting customers by conditions of one, three and six atoms, over rows of 64 features in 96 bytes with a
//! header of 8. The figures are rows a second, with the writer idle and at full speed. Beside them stands the
//! floor: copying the rows, and a loop over plain columns of small numbers.
//!
//! `cargo bench --bench audience` measures 1 and 10 million customers; `-- 3000000` measures that many. Every
//! count is checked against the plain loop before anything is timed. `-- answer 10000000` counts the
//! conditions that come line by line on standard input. `peers/duckdb` uses that, and makes its data by the
//! same formula.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use usher::customer::id::CustomerId;
use usher::expression::{Expression, Scope, Syntax};
use usher::input::origin::Origin;
use usher::insight::audience::{Audience, AudienceCount};
use usher::schema::Schema;
use usher::schema::value::{Time, Value};
use usher::state::store;
use usher::state::store::{BATCH_ROWS, Customers, CustomersWriter};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORDS: usize = 13;
const RUNS: usize = 15;
/// The time of all counts, in seconds since 1970.
const NOW: u64 = 1_800_000_000;
/// The farthest that times lie back, in seconds.
const BACK: u64 = 14_400_000;
/// One number in this many is missing.
const NULL: u64 = 50;

/// A name, a condition, and the same condition over a plain customer.
type Case = (&'static str, &'static str, fn(&Plain) -> bool);

const CASES: [Case; 5] = [
    ("1 atom", "i0 >= 200", |c| c.i0.is_some_and(|i| i >= 200)),
    ("3 atoms", "e0 == 'w3' && i0 >= 64 && b0", |c| c.e0 == 3 && c.i0.is_some_and(|i| i >= 64) && c.b0),
    (
        "6 atoms",
        "e0 == 'w3' && i0 >= 64 && i1 <= 200 && b0 && f0 < 0.75 && now - t0 < duration('2400h')",
        |c| {
            let numbers = c.i0.is_some_and(|i| i >= 64) && c.i1.is_some_and(|i| i <= 200);
            c.e0 == 3 && numbers && c.b0 && c.f0 < 0.75 && NOW - u64::from(c.t0) < 2400 * 3600
        },
    ),
    ("3 ways", "e0 in ['w1', 'w5'] || i0 > 250 || (b0 && i1 < 10)", |c| {
        [1, 5].contains(&c.e0) || c.i0.is_some_and(|i| i > 250) || (c.b0 && c.i1.is_some_and(|i| i < 10))
    }),
    ("evaluated", "b0 && e0 == 'w3' && i0 * i1 > 60000", |c| {
        c.b0 && c.e0 == 3 && c.i0.zip(c.i1).is_some_and(|(a, b)| u32::from(a) * u32::from(b) > 60_000)
    }),
];

/// The facts that the conditions read, as plain numbers.
struct Plain {
    b0: bool,
    e0: u8,
    i0: Option<u16>,
    i1: Option<u16>,
    f0: f32,
    t0: u32,
}

/// Scattered numbers below 2^31, one for each customer and column. A few words of SQL can make the same ones.
fn scattered(customer: u64, column: u64) -> u64 {
    const P: u64 = 2_147_483_647;
    let x = (customer * 1_103_515_245 + column * 7_654_321 + 1) % P;
    x * x % P
}

impl Plain {
    fn of(customer: u64) -> Plain {
        let number = |column| match scattered(customer, column) {
            missing if missing % NULL == 0 => None,
            number => Some((number / NULL % 256) as u16),
        };
        Plain {
            b0: scattered(customer, 0) / 8 % 2 == 1,
            e0: (scattered(customer, 1) / 8 % 8) as u8,
            i0: number(2),
            i1: number(3),
            f0: (scattered(customer, 4) % 1000) as f32 / 1000.0,
            t0: (NOW - scattered(customer, 5) % BACK) as u32,
        }
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = arguments.iter().find_map(|argument| argument.parse().ok());
    if arguments.iter().any(|argument| argument == "answer") {
        return answer(number.unwrap_or(10_000_000));
    }
    match number {
        Some(customers) => measure(customers),
        None if arguments.iter().any(|argument| argument == "--bench") => {
            [1_000_000, 10_000_000].into_iter().for_each(measure);
        }
        None => measure(10_000), // `cargo test` runs this too
    }
}

fn schema() -> Schema {
    let mut text = String::from("schema: bench\nfeatures:\n");
    let mut declare = |letter: &str, count: usize, kind: &str| {
        (0..count).for_each(|i| text.push_str(&format!("  {letter}{i}: {{kind: {kind}}}\n")));
    };
    declare("t", 8, "time");
    declare("f", 9, "float");
    declare("b", 20, "bool");
    declare("e", 16, "enum, values: [w0, w1, w2, w3, w4, w5, w6, w7]");
    declare("i", 11, "int, min: 0, max: 255");
    let schema = Schema::parse("schema.yaml", &text).unwrap();
    assert_eq!((schema.features().len(), schema.row_words()), (64, WORDS));
    schema
}

fn row(schema: &Schema, customer: u64) -> Vec<u64> {
    let plain = Plain::of(customer);
    let mut row = vec![0; WORDS];
    for (at, feature) in schema.features().iter().enumerate() {
        let int = |value: Option<u16>| value.map_or(Value::Missing, |value| Value::Int(i64::from(value)));
        let other = scattered(customer, 100 + at as u64);
        let value = match (&*feature.name, feature.name.as_bytes()[0]) {
            ("i0", _) => int(plain.i0),
            ("i1", _) => int(plain.i1),
            ("b0", _) => Value::Bool(plain.b0),
            ("e0", _) => Value::Text(format!("w{}", plain.e0).into()),
            ("f0", _) => Value::Double(f64::from(plain.f0)),
            ("t0", _) => Value::Time(Time::from_seconds(i64::from(plain.t0))),
            (_, b'i') => Value::Int((other % 256) as i64),
            (_, b'b') => Value::Bool(other % 2 == 1),
            (_, b'e') => Value::Text(format!("w{}", other % 8).into()),
            (_, b'f') => Value::Double(other as f64),
            _ => Value::Time(Time::from_seconds(other as i64)),
        };
        feature.field.unwrap().write(&mut row, feature.kind.encode(&value));
    }
    row
}

fn id(number: u64) -> CustomerId {
    CustomerId::new(&format!("c-{number:014}")).unwrap()
}

fn filled(schema: &Schema, customers: u64) -> CustomersWriter {
    let (mut writer, _) = store::with_room_for(customers as usize);
    (0..customers).for_each(|customer| writer.put(&id(customer), &row(schema, customer)).unwrap());
    writer
}

fn condition(schema: &Schema, text: &str) -> Expression {
    Scope::of(schema).condition(&Syntax::parse(text, Origin::default()).unwrap()).unwrap()
}

fn counted(schema: &Schema, customers: &Customers, condition: &Expression) -> (AudienceCount, Duration) {
    let mut count = None;
    let took = timed(|| {
        let audience = Audience::new(schema, &[], condition, Time::from_seconds(NOW as i64));
        count = audience.count(customers, || false);
    });
    (count.unwrap(), took)
}

/// For each piece of work the median of several runs, taken in turn.
fn medians(mut work: Vec<Box<dyn FnMut() -> Duration + '_>>) -> Vec<Duration> {
    let mut times = vec![Vec::new(); work.len()];
    for _ in 0..RUNS {
        for (work, times) in work.iter_mut().zip(&mut times) {
            times.push(work());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    times.iter().map(|times| times[RUNS / 2]).collect()
}

/// The time that the work had a core. Others may be at work too, so this is the clock's time only where the
/// system does not count it as Linux does.
fn timed(work: impl FnOnce()) -> Duration {
    let (clock, core) = (Instant::now(), core_time());
    work();
    let clock = clock.elapsed();
    core_time().zip(core).map_or(clock, |(end, begin)| end - begin)
}

/// The time this thread has had a core so far. Yielding first brings the system's count up to date.
fn core_time() -> Option<Duration> {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Reads all words of all rows as a scan does, each row under its sequence lock, and does nothing else.
fn copied(customers: &Customers) -> Duration {
    let words: Vec<usize> = (0..WORDS).collect();
    timed(|| {
        customers.scan(&words, 1, |batch| {
            black_box(batch.column(WORDS - 1)[BATCH_ROWS - 1]);
            ControlFlow::Continue(())
        });
    })
}

fn measure(customers: u64) {
    let schema = schema();
    let mut writer = filled(&schema, customers);
    let store = writer.shared().clone();
    let conditions = CASES.map(|(_, text, _)| condition(&schema, text));
    let plain: Vec<Plain> = (0..customers).map(Plain::of).collect();
    for ((name, _, is), condition) in CASES.iter().zip(&conditions) {
        let matching = plain.iter().filter(|customer| is(customer)).count() as u64;
        assert!(matching > 0, "{name}: nobody, so it would tell nothing");
        assert_eq!(
            counted(&schema, &store, condition).0,
            AudienceCount { matching, total: customers },
            "{name}"
        );
    }
    drop(plain);
    report("writer idle", customers, &schema, &store, &conditions);
    let (stop, puts) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (stop, puts, schema) = (&stop, &puts, &schema);
        scope.spawn(move || {
            let mut rng = fastrand::Rng::with_seed(7);
            let some: Vec<_> = (0..customers.min(100_000)).map(|_| rng.u64(0..customers)).collect();
            let some: Vec<_> = some.into_iter().map(|number| (id(number), row(schema, number))).collect();
            for (id, row) in some.iter().cycle() {
                writer.put(id, row).unwrap();
                puts.fetch_add(1, Ordering::Relaxed);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let begun = Instant::now();
        report("writer at full speed", customers, schema, &store, &conditions);
        let rate = puts.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64() / 1e6;
        println!("  {rate:.1} M puts/s meanwhile");
        stop.store(true, Ordering::Relaxed);
    });
}

fn report(what: &str, customers: u64, schema: &Schema, store: &Customers, conditions: &[Expression]) {
    let memory = vec![1_u64; customers as usize * (1 + WORDS)];
    let read = || timed(|| _ = black_box(memory.iter().fold(0, |all, word| all ^ word)));
    let mut work: Vec<Box<dyn FnMut() -> Duration>> = vec![Box::new(read), Box::new(|| copied(store))];
    for condition in conditions {
        work.push(Box::new(|| counted(schema, store, condition).1));
    }
    println!("{customers} customers, {what}");
    let names = ["memory read", "all words copied"].into_iter().chain(CASES.iter().map(|(name, ..)| *name));
    for (name, median) in names.zip(medians(work)) {
        let rate = customers as f64 / median.as_secs_f64() / 1e6;
        println!("  {name:<17} {rate:>7.0} M rows/s  {:>9.2} ms", median.as_secs_f64() * 1e3);
    }
}

/// Answers each condition that comes in as a line: matching, total, microseconds.
fn answer(customers: u64) {
    let schema = schema();
    let writer = filled(&schema, customers);
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (count, took) = counted(&schema, writer.shared(), &condition(&schema, &line));
        println!("{} {} {}", count.matching, count.total, took.as_micros());
    }
}
