//! `usher health`: tells whether a server is ready, for container health checks.

use hyper::StatusCode;

use super::client::ServerArgs;
use super::ending::{Ending, Failure, block_on};

/// Tell whether a server is ready (exit code 0) or not (1)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher health --server http://127.0.0.1:8080")]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let mut client = args.server.client()?;
    let answer = match block_on(client.get("/readyz")) {
        Ok(answer) => answer,
        // An unreachable server is not ready either. Docker knows exit codes 0 and 1 only.
        Err(failure) => {
            complain!("{failure}");
            return Ok(Ending::FoundWrong);
        }
    };
    if answer.status == StatusCode::OK {
        say!("ready");
        return Ok(Ending::Done);
    }
    complain!("not ready: {}", String::from_utf8_lossy(&answer.body).trim());
    Ok(Ending::FoundWrong)
}
