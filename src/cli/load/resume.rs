//! How far a load came, noted in a file, so that another can go on from there.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rows::FileRows;
use crate::cli::ending::Failure;

/// The note of a load.
pub(super) struct Resume {
    path: PathBuf,
    /// How far an earlier load came.
    pub(super) reached: Reached,
}

/// How far a load came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reached {
    /// How many rows of the file are done, the rejected ones included.
    pub(super) rows: u64,
    /// The hash of these rows, to know the file again.
    pub(super) hash: u64,
    /// The length of the file of rejected rows, in bytes.
    #[serde(default)]
    pub(super) reject_bytes: u64,
}

impl Resume {
    /// Reads the note at `path`, if there is one.
    pub(super) fn read(path: &Path) -> Result<Resume, Failure> {
        let reached = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                let failure =
                    Failure::new(format!("{} does not say how far a load came: {e}", path.display()));
                failure.hint("remove it to load the file from its start")
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Reached::default(),
            Err(e) => return Err(Failure::new(format!("cannot read {}: {e}", path.display()))),
        };
        Ok(Resume { path: path.to_owned(), reached })
    }

    /// Passes over the rows that are done.
    ///
    /// # Errors
    /// They are not the rows that were done.
    pub(super) fn pass(&self, rows: &mut FileRows) -> Result<(), Failure> {
        for _ in 0..self.reached.rows {
            if rows.read_next()?.is_none() {
                return Err(self.other("it has fewer rows than were loaded"));
            }
        }
        if self.reached.rows > 0 && rows.hash() != self.reached.hash {
            return Err(self.other("its first rows are not those that were loaded"));
        }
        Ok(())
    }

    fn other(&self, why: &str) -> Failure {
        let failure = Failure::new(format!("{} is of another file: {why}", self.path.display()));
        failure.hint("remove it to load the file from its start")
    }

    /// Notes how far the load came. The note before stays until the new one is whole.
    pub(super) fn note(&mut self, reached: Reached) -> Result<(), Failure> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let text = serde_json::to_vec(&reached).unwrap_or_default();
        let written = fs::File::create(&new).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", self.path.display())))?;
        self.reached = reached;
        Ok(())
    }

    /// Removes the note: the load is done.
    pub(super) fn done(self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::new(format!("cannot remove {}: {e}", self.path.display())))
            }
            _ => Ok(()),
        }
    }
}
