#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "tests may fail loudly")]
//! A clock that a test sets, for the real program. It is faked by libfaketime.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where libfaketime is installed.
const FOLDERS: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// A clock for the programs that are run with it.
pub struct FakedClock {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl FakedClock {
    /// A clock that is right. `None`, and a line that says so, where no clock can be faked.
    pub fn new() -> Option<FakedClock> {
        let mut paths = FOLDERS.iter().map(|folder| Path::new(folder).join("faketime/libfaketime.so.1"));
        let Some(library) = paths.find(|path| path.exists()) else {
            let _ = writeln!(std::io::stderr(), "skipped: libfaketime is not installed");
            return None;
        };
        let clock = FakedClock { folder: tempfile::tempdir().unwrap(), library };
        clock.set("+0");
        Some(clock)
    }

    /// Sets the clock this far from the real one, such as `+8d`; also for programs that run.
    pub fn set(&self, offset: &str) {
        // In one step, because a program may look at any moment.
        let next = self.folder.path().join("next");
        std::fs::write(&next, offset).unwrap();
        std::fs::rename(next, self.file()).unwrap();
    }

    /// Lets a program go by this clock. What has passed since the machine started stays real.
    pub fn fake(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", self.file());
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }
}
