//! A bank for a story: a server on a bundle and a data directory of its own, asked over one connection, and
//! stopped or killed and started again in the middle.

use super::{Connection, Process};
use crate::cli_support::program;

pub struct Bank {
    bundle: &'static str,
    pub data: tempfile::TempDir,
    pub process: Process,
    pub connection: Connection,
}

impl Bank {
    pub fn of(bundle: &'static str) -> Bank {
        Bank::started(bundle, tempfile::tempdir().unwrap())
    }

    fn started(bundle: &'static str, data: tempfile::TempDir) -> Bank {
        let path = data.path().to_str().unwrap();
        let serve = ["serve", "--models", bundle, "--listen", "127.0.0.1:0", "--data", path];
        let process = Process::spawn(program(&serve));
        process.wait_until_ready();
        let connection = process.connect().unwrap();
        Bank { bundle, data, process, connection }
    }

    /// Stops the server, and starts it again on what it wrote.
    pub fn restart(self) -> Bank {
        let Bank { bundle, data, process, connection } = self;
        drop(connection);
        process.terminate();
        Bank::started(bundle, data)
    }

    /// As [`restart`](Bank::restart), after the server was killed: from the journal, without a snapshot.
    pub fn kill(self) -> Bank {
        let Bank { bundle, data, process, connection } = self;
        drop(connection);
        process.kill();
        drop(process);
        Bank::started(bundle, data)
    }
}
