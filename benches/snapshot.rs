//! Snapshots of a million customers with ids of 16 bytes and rows of 96. Four questions: How fast are they
//! written, against plainly writing and syncing as many bytes? How fast are they loaded, against reading the
//! file? How much memory do they take meanwhile? What does a reader of rows notice?
//!
//! `cargo bench --bench snapshot` measures; `-- 10000000` measures that many customers, and `-- 10000000 3`
//! in three rounds instead of five. `-- load` or `-- write` does only that, for a profiler. The figures are
//! medians of rounds in which everything takes turns, because disks and neighbours change from minute to
//! minute. The directory is `USHER_BENCH_DIR`, or a temporary one. Cold figures need root, because only root
//! may empty the page cache.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use usher::customer::id::CustomerId;
use usher::customer::row::Row;
use usher::customer::update::{Change, Update};
use usher::schema::FeatureId;
use usher::state::State;
use usher::state::record::Record;
use usher::state::store::Customers;
use usher::storage::disk::{Disk, Folder, read_exact_at, write_all_at};
use usher::storage::snapshot;
use usher::storage::snapshot::WrittenSnapshot;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SALT: u64 = 2026;
const WORDS: u16 = 12;
const CHUNK: usize = 1 << 20;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let bench = arguments.iter().any(|argument| argument == "--bench");
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse().ok());
    let (count, rounds) = (numbers.next(), numbers.next());
    let place = std::env::var("USHER_BENCH_DIR").map_or_else(|_| tempfile::tempdir(), tempfile::tempdir_in);
    let place = place.unwrap();
    let count = count.unwrap_or(if bench { 1_000_000 } else { 10_000 }); // `cargo test` runs this too
    let rounds = rounds.unwrap_or(if bench { 5 } else { 1 });
    let bench =
        Bench { disk: Folder::open(place.path()).unwrap(), place: place.path(), state: filled(count), count };
    let only = |what: &str| arguments.iter().any(|argument| argument == what);
    match (only("load"), only("write")) {
        (true, _) => bench.only_load(rounds),
        (_, true) => bench.only_write(rounds),
        _ => bench.run(rounds),
    }
}

struct Bench<'p> {
    disk: Folder,
    place: &'p Path,
    state: State,
    count: usize,
}

/// All measurements, by the name of what was measured.
#[derive(Default)]
struct Figures(BTreeMap<&'static str, Vec<f64>>);

impl Figures {
    fn add(&mut self, what: &'static str, figure: f64) {
        self.0.entry(what).or_default().push(figure);
    }
    fn median(&self, what: &str) -> f64 {
        let mut figures = self.0.get(what).cloned().unwrap_or_default();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    }
    fn say(&self, what: &'static str, unit: &str, against: &'static str) {
        let (figure, other) = (self.median(what), self.median(against));
        println!("{what:>36}: {figure:>9.3} {unit}, {:.2} of {against}", figure / other);
    }
}

impl Bench<'_> {
    fn run(mut self, rounds: usize) {
        let mut figures = Figures::default();
        for round in 0..rounds {
            let written = self.write("write", &mut figures, false);
            let compressed = self.write("write, compressed", &mut figures, true);
            let bytes = written.bytes;
            if round == 0 {
                println!("{} customers, {bytes} bytes, {} compressed", self.count, compressed.bytes);
            }
            let written = self.write("write", &mut figures, false); // under the same name
            self.plain(&mut figures, bytes);
            self.verify(&mut figures, &written);
            self.read("read, warm", &mut figures, &written.name);
            self.load("load, warm", &mut figures, &written);
            self.write_loaded(&mut figures, &written);
            if drop_caches() {
                self.read("read, cold", &mut figures, &written.name);
                drop_caches();
                self.load("load, cold", &mut figures, &written);
            }
            self.noticed(&mut figures);
            self.while_writing(&mut figures);
        }
        let speed = |what| figures.median("bytes") / figures.median(what) / 1e6;
        println!("plain {:.0} MB/s, snapshot {:.0} MB/s", speed("plain write and sync"), speed("write"));
        figures.say("write", "s", "plain write and sync");
        figures.say("write, after a load", "s", "plain write and sync");
        figures.say("write, compressed", "s", "plain write and sync");
        figures.say("verify, warm", "s", "read, warm");
        figures.say("load, warm", "s", "read, warm");
        figures.say("load, cold", "s", "read, cold");
        figures.say("row p50 during a snapshot", "ns", "row p50");
        figures.say("row p99 during a snapshot", "ns", "row p99");
        figures.say("row p99.9 during a snapshot", "ns", "row p99.9");
        figures.say("peak memory", "MB", "memory before");
        figures.say("peak memory, writer at full speed", "MB", "memory before");
        println!(
            "with a writer at full speed, {:.2} M updates/s: {:.3} s, given up in {} of {rounds} rounds",
            figures.median("updates") / 1e6,
            figures.median("write beside a writer"),
            figures.0.get("given up").map_or(0, Vec::len)
        );
    }

    fn only_write(mut self, rounds: usize) {
        for _ in 0..4 * rounds {
            let mut figures = Figures::default();
            self.write("write", &mut figures, false);
            println!("{:.3} s", figures.median("write"));
        }
    }

    fn only_load(mut self, rounds: usize) {
        let written = self.write("write", &mut Figures::default(), false);
        self.state = State::new();
        for _ in 0..rounds {
            let started = Instant::now();
            let loaded = snapshot::load(&self.disk, SALT, &written.name, &|_, _| {}).unwrap();
            println!("{:.3} s", started.elapsed().as_secs_f64());
            assert_eq!(loaded.digest, written.digest);
        }
    }

    fn write(&mut self, what: &'static str, figures: &mut Figures, compress: bool) -> WrittenSnapshot {
        let memory = resident("VmRSS:");
        reset_peak();
        let started = Instant::now();
        let frozen = self.state.freeze().unwrap();
        let stop = AtomicBool::new(false);
        let written = snapshot::write(&self.disk, SALT, frozen, 0, 0, compress, &stop).unwrap();
        figures.add(what, started.elapsed().as_secs_f64());
        if what == "write" {
            figures.add("bytes", written.bytes as f64);
            figures.add("memory before", memory);
            figures.add("peak memory", resident("VmHWM:"));
        }
        written
    }

    /// Writes a loaded state: its memory already lies in the order in which it is written.
    fn write_loaded(&mut self, figures: &mut Figures, written: &WrittenSnapshot) {
        let loaded = snapshot::load(&self.disk, SALT, &written.name, &|_, _| {}).unwrap().state;
        let grown = std::mem::replace(&mut self.state, loaded);
        self.write("write, after a load", figures, false);
        self.state = grown;
    }

    fn plain(&self, figures: &mut Figures, bytes: u64) {
        let chunk: Vec<u8> = (0..CHUNK).map(|at| (at * 31) as u8).collect();
        let started = Instant::now();
        let file = self.disk.create("plain").unwrap();
        for at in (0..bytes).step_by(CHUNK) {
            write_all_at(&*file, at, &chunk[..CHUNK.min((bytes - at) as usize)]).unwrap();
        }
        file.sync().unwrap();
        figures.add("plain write and sync", started.elapsed().as_secs_f64());
        fs::remove_file(self.place.join("plain")).unwrap();
    }

    fn verify(&self, figures: &mut Figures, written: &WrittenSnapshot) {
        let started = Instant::now();
        let checked = snapshot::verify(&self.disk, SALT, &written.name).unwrap();
        figures.add("verify, warm", started.elapsed().as_secs_f64());
        assert_eq!((checked.digest, checked.head), (written.digest, written.head));
    }

    fn read(&self, what: &'static str, figures: &mut Figures, name: &str) {
        let file = self.disk.open(name).unwrap();
        let mut chunk = vec![0; CHUNK];
        let started = Instant::now();
        let bytes = file.length().unwrap();
        for at in (0..bytes).step_by(CHUNK) {
            let length = CHUNK.min((bytes - at) as usize);
            assert!(read_exact_at(&*file, at, &mut chunk[..length]).unwrap());
        }
        figures.add(what, started.elapsed().as_secs_f64());
    }

    fn load(&self, what: &'static str, figures: &mut Figures, written: &WrittenSnapshot) {
        let started = Instant::now();
        let loaded = snapshot::load(&self.disk, SALT, &written.name, &|_, _| {}).unwrap();
        figures.add(what, started.elapsed().as_secs_f64());
        assert_eq!(loaded.digest, written.digest);
        if figures.0[what].len() == 1 {
            assert_eq!(loaded.state.digest(), self.state.digest());
        }
    }

    /// Measures what a reader notices of a snapshot.
    fn noticed(&mut self, figures: &mut Figures) {
        let customers = self.state.customers().clone();
        let without = reads(&customers, self.count, |stop| {
            thread::sleep(Duration::from_secs(1));
            stop();
        });
        let during = reads(&customers, self.count, |stop| {
            self.write("write", &mut Figures::default(), false);
            stop();
        });
        for (what, during_what, share) in [
            ("row p50", "row p50 during a snapshot", 0.5),
            ("row p99", "row p99 during a snapshot", 0.99),
            ("row p99.9", "row p99.9 during a snapshot", 0.999),
        ] {
            let at = |times: &[u32]| f64::from(times[(times.len() as f64 * share) as usize]);
            figures.add(what, at(&without));
            figures.add(during_what, at(&during));
        }
    }

    /// Takes a snapshot while a thread applies updates as fast as it can.
    fn while_writing(&mut self, figures: &mut Figures) {
        let frozen = self.state.freeze().unwrap();
        let (disk, state, count) = (&self.disk, &mut self.state, self.count);
        let done = AtomicBool::new(false);
        reset_peak();
        let started = Instant::now();
        let updates = thread::scope(|scope| {
            scope.spawn(|| {
                let stop = AtomicBool::new(false);
                let written = snapshot::write(disk, SALT, frozen, 0, 0, false, &stop);
                if matches!(written, Err(snapshot::WriteError::GivenUp)) {
                    figures.add("given up", 1.0);
                } else {
                    written.unwrap();
                }
                figures.add("write beside a writer", started.elapsed().as_secs_f64());
                done.store(true, Ordering::Relaxed);
            });
            let mut random = fastrand::Rng::with_seed(2026);
            let mut updates = 0;
            while !done.load(Ordering::Relaxed) {
                let who = (0..64).map(|_| update(random.usize(..count), random.u64(..))).collect();
                state.apply(state.sequence() + 1, &Record::Customers(who)).unwrap();
                updates += 64;
            }
            updates
        });
        figures.add("updates", f64::from(updates) / started.elapsed().as_secs_f64());
        figures.add("peak memory, writer at full speed", resident("VmHWM:"));
    }
}

/// Nanoseconds of reads of random rows, sorted. Reads go on while `meanwhile` runs, until it calls its
/// argument.
fn reads(customers: &Customers, count: usize, meanwhile: impl FnOnce(&dyn Fn())) -> Vec<u32> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(7);
            let (mut times, mut row) = (Vec::with_capacity(1 << 22), Row::new());
            while !stop.load(Ordering::Relaxed) && times.len() < times.capacity() {
                let id = id(random.usize(..count));
                let started = Instant::now();
                assert!(customers.read(id.as_str(), &mut row));
                times.push(started.elapsed().as_nanos() as u32);
            }
            times.sort_unstable();
            times
        });
        meanwhile(&|| stop.store(true, Ordering::Relaxed));
        reader.join().unwrap()
    })
}

fn filled(count: usize) -> State {
    let mut state = State::new();
    let features = (0..WORDS).map(|word| format!("  f{word}: {{kind: float, precision: double}}\n"));
    let text = format!("schema: s\nfeatures:\n{}", features.collect::<String>());
    state.apply(1, &Record::Schema { text }).unwrap();
    for first in (0..count).step_by(512) {
        let updates = (first..count.min(first + 512)).map(|number| update(number, number as u64)).collect();
        state.apply(state.sequence() + 1, &Record::Customers(updates)).unwrap();
    }
    state
}

fn update(number: usize, value: u64) -> Update {
    let code = |word: u16| (value + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(u32::from(word)) | 1;
    let fields = (0..WORDS).map(|word| (FeatureId(word), code(word))).collect();
    Update { customer: id(number), change: Change::Replace(fields) }
}

fn id(number: usize) -> CustomerId {
    CustomerId::new(&format!("c-{number:014}")).unwrap()
}

/// Whether the page cache could be emptied.
fn drop_caches() -> bool {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "1").is_ok()
}

/// Starts a new count of this process's peak of memory.
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Megabytes that this process has or had in memory; 0 where the system does not count them as Linux does.
fn resident(what: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}
