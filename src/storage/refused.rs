//! Why a data directory is refused: where it is wrong, what was found, and what to try.

use std::fmt;
use std::io;
use std::path::Path;

use super::journal::mark;

/// A refusal to open, verify or repair a data directory. Unless it says otherwise, nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What sort of reason it is; it decides the hint.
    pub kind: RefusedKind,
    /// The file that it is about, or the directory.
    pub file: Option<String>,
    /// At which byte of the file.
    pub offset: Option<u64>,
    /// The first record that cannot be trusted.
    pub sequence: Option<u64>,
    /// What was expected and found, as a sentence.
    pub what: String,
}

/// The sorts of reasons to refuse a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// Something that was durable is altered or gone.
    Damaged,
    /// Something is damaged, but a start does not need it.
    Spare,
    /// One of two copies is damaged. A start needs only the other, and writes both anew.
    SpareCopy,
    /// The keys that sign tokens are damaged or gone. No record depends on them.
    TokenKeys,
    /// A later release wrote it.
    Newer,
    /// Another process uses the directory.
    InUse,
    /// The system refused to read or write.
    Io,
}

impl Refused {
    /// A refusal that is about the directory as a whole.
    pub(crate) fn of_all(kind: RefusedKind, what: String) -> Refused {
        Refused { kind, file: None, offset: None, sequence: None, what }
    }

    pub(crate) fn damaged(file: &str, offset: u64, sequence: u64, what: String) -> Refused {
        let sequence = Some(sequence).filter(|sequence| *sequence > 0);
        Refused {
            kind: RefusedKind::Damaged,
            file: Some(file.to_owned()),
            offset: Some(offset),
            sequence,
            what,
        }
    }

    pub(crate) fn newer(file: &str, found: u32, known: u32) -> Refused {
        let what = format!(
            "it was written by a later release (version {found}, this release knows {known}); nothing was touched"
        );
        Refused { kind: RefusedKind::Newer, file: Some(file.to_owned()), offset: None, sequence: None, what }
    }

    pub(crate) fn in_use(path: &Path) -> Refused {
        let what = "another process has this data directory".to_owned();
        Refused {
            kind: RefusedKind::InUse,
            file: Some(path.display().to_string()),
            offset: None,
            sequence: None,
            what,
        }
    }

    #[expect(clippy::needless_pass_by_value)] // as `map_err` gives it
    pub(crate) fn io(file: &str, e: io::Error) -> Refused {
        Refused {
            kind: RefusedKind::Io,
            file: Some(file.to_owned()),
            offset: None,
            sequence: None,
            what: e.to_string(),
        }
    }

    /// Notes that a start does not need what is damaged.
    pub(crate) fn spare(&mut self) {
        if self.kind == RefusedKind::Damaged {
            self.kind = RefusedKind::Spare;
        }
    }

    /// Whether a start succeeds although this is so.
    pub(crate) fn is_spare(&self) -> bool {
        matches!(self.kind, RefusedKind::Spare | RefusedKind::SpareCopy)
    }

    /// What to try, if anything is known to help; commands name `directory`, where this was found.
    pub fn hint(&self, directory: &Path) -> Option<String> {
        let directory = directory.display();
        match (self.kind, self.sequence) {
            (RefusedKind::Damaged, None) if self.file.as_deref() == Some(mark::NAME) => Some(format!(
                "if everything else is whole, `usher verify {directory}` shows the last record N, and \
                 `usher repair {directory} --cut-at N+1` makes a new mark and gives up nothing"
            )),
            (RefusedKind::Damaged, Some(sequence)) => Some(format!(
                "restore the directory from a copy, or give up record {sequence} and everything after it: \
                 usher repair {directory} --cut-at {sequence}"
            )),
            (RefusedKind::Damaged, None) => {
                Some(format!("restore the directory from a copy; `usher verify {directory}` shows what is whole"))
            }
            (RefusedKind::Spare, _) => Some(
                "a start does not need it: start the server and run `usher compact`, which makes new files in its place"
                    .into(),
            ),
            (RefusedKind::SpareCopy, _) => {
                Some("the other copy is whole: start the server, and it writes both anew".into())
            }
            (RefusedKind::TokenKeys, _) => Some(format!(
                "restore the file from a copy of the directory. Without one, remove what is left of it: \
                 `usher keys new {directory}/token.keys` makes a new key, and tokens that are out are refused from then on"
            )),
            (RefusedKind::Newer, _) => Some("start it with the release that wrote it, or a later one".into()),
            (RefusedKind::InUse, _) => {
                Some("stop that process first; each node needs a directory of its own".into())
            }
            (RefusedKind::Io, _) => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}")?;
            if let Some(offset) = self.offset {
                write!(f, ", byte {offset}")?;
            }
            if let Some(sequence) = self.sequence {
                write!(f, ", record {sequence}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refused {}
