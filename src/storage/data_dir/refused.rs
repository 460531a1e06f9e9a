//! Why a data directory is not opened.

use std::fmt;
use std::io;
use std::path::Path;

/// Where, what was expected and found, and what to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which sort of reason.
    pub kind: Kind,
    /// The file it is about.
    pub file: Option<String>,
    /// The byte in it.
    pub offset: Option<u64>,
    /// The first record that cannot be trusted.
    pub sequence: Option<u64>,
    /// What was found.
    pub what: String,
}

/// Sorts of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something that was durable is altered or gone.
    Damaged,
    /// The same, but a start has another way.
    Spare,
    /// Written by a later release.
    Newer,
    /// Another process has it.
    InUse,
    /// The system refused to read or write.
    Io,
}

impl Refused {
    /// Of the directory as a whole.
    pub(crate) fn of_all(kind: Kind, what: String) -> Refused {
        Refused { kind, file: None, offset: None, sequence: None, what }
    }

    pub(crate) fn not_a_data_directory() -> Refused {
        let what = format!("there is no `{}`: this is not a data directory", super::identity::NAME);
        Refused::of_all(Kind::Io, what)
    }

    pub(crate) fn damaged(file: &str, offset: u64, sequence: u64, what: String) -> Refused {
        let sequence = Some(sequence).filter(|sequence| *sequence > 0);
        Refused { kind: Kind::Damaged, file: Some(file.to_owned()), offset: Some(offset), sequence, what }
    }

    pub(crate) fn newer(file: &str, found: u32, known: u32) -> Refused {
        let what = format!(
            "it was written by a later release (version {found}, known is {known}); nothing was touched"
        );
        Refused { kind: Kind::Newer, file: Some(file.to_owned()), offset: None, sequence: None, what }
    }

    pub(crate) fn in_use(path: &Path) -> Refused {
        let what = "another process has this data directory".to_owned();
        Refused {
            kind: Kind::InUse,
            file: Some(path.display().to_string()),
            offset: None,
            sequence: None,
            what,
        }
    }

    pub(crate) fn no_identity(name: &str) -> Refused {
        let what = format!(
            "there is no `{}`, but there is `{name}`: this is not an empty directory, and not a whole data directory",
            super::identity::NAME
        );
        Refused::of_all(Kind::Damaged, what)
    }

    #[expect(clippy::needless_pass_by_value)] // as `map_err` gives it
    pub(crate) fn io(file: &str, e: io::Error) -> Refused {
        Refused {
            kind: Kind::Io,
            file: Some(file.to_owned()),
            offset: None,
            sequence: None,
            what: e.to_string(),
        }
    }

    /// It turned out that a start has another way.
    pub(crate) fn spare(&mut self) {
        if self.kind == Kind::Damaged {
            self.kind = Kind::Spare;
        }
    }

    /// What to try, if there is something.
    pub fn hint(&self) -> Option<String> {
        match (self.kind, self.sequence) {
            (Kind::Damaged, Some(sequence)) => Some(format!(
                "restore the directory from a copy, or give up record {sequence} and everything after it knowingly: \
                 usher repair DIR --cut-at {sequence}"
            )),
            (Kind::Damaged, None) => {
                Some("restore the directory from a copy; `usher verify DIR` shows what is whole".into())
            }
            (Kind::Spare, _) => Some(
                "a start does not need it: start the server and run `usher compact`, which makes new files in its place"
                    .into(),
            ),
            (Kind::Newer, _) => Some("start it with the release that wrote it, or a later one".into()),
            (Kind::InUse, _) => {
                Some("stop that process first; each node needs a directory of its own".into())
            }
            (Kind::Io, _) => None,
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
