//! The least work that can keep a batch: append its bytes, and sync.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Figure;

pub(crate) struct Floor;

impl Floor {
    /// Writes and syncs batches of `batch` writes of `bytes` bytes each, for `time`.
    pub(crate) fn run(folder: &Path, batch: usize, bytes: usize, time: Duration) -> Figure {
        let batch = batch.max(1);
        let path = folder.join("floor");
        let mut file = File::create(&path).unwrap();
        let content: Vec<u8> = (0..batch * bytes).map(|number| number as u8).collect();
        let (started, mut batches) = (Instant::now(), 0);
        while started.elapsed() < time {
            file.write_all(&content).unwrap();
            file.sync_data().unwrap();
            batches += 1;
        }
        let took = started.elapsed();
        assert_eq!(file.metadata().unwrap().len(), (batches * content.len()) as u64);
        std::fs::remove_file(&path).unwrap();
        Figure { per_second: (batches * batch) as f64 / took.as_secs_f64(), batch: batch as f64 }
    }

    /// Writes and syncs this many batches of `bytes` bytes each; returns the time that it took.
    pub(crate) fn load(folder: &Path, batches: usize, bytes: usize) -> Duration {
        let path = folder.join("floor");
        let mut file = File::create(&path).unwrap();
        let content = vec![1; bytes];
        let started = Instant::now();
        for _ in 0..batches {
            file.write_all(&content).unwrap();
            file.sync_data().unwrap();
        }
        let took = started.elapsed();
        std::fs::remove_file(&path).unwrap();
        took
    }
}
