//! The command line. Each command has a file. They share how they end, and the client of a running server.
//!
//! Exit codes: 0 done, 1 something is wrong, 2 could not run.

/// Prints to standard output as lines. The last line is ended exactly once, whether the text ends it or not.
macro_rules! say {
    ($($arg:tt)*) => { $crate::cli::terminal::print(&mut std::io::stdout().lock(), &format!($($arg)*)) };
}

/// Prints to standard error, in the same way as [`say`].
macro_rules! complain {
    ($($arg:tt)*) => { $crate::cli::terminal::print(&mut std::io::stderr().lock(), &format!($($arg)*)) };
}

mod backup;
mod check;
mod client;
mod compact;
mod completions;
pub mod config;
mod count;
mod decide;
mod definition;
mod demo;
mod diff;
mod eval;
mod evaluate;
mod event;
mod explain;
mod health;
mod init;
mod keys;
mod load;
mod man;
mod ending;
mod push;
mod repair;
mod restore;
mod rollback;
mod serve;
mod stats;
mod terminal;
mod test;
mod verify;
mod versions;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::ending::Ending;

/// Decides, per login and in microseconds, which banner and which next-best-offer a bank's customer sees.
#[derive(Debug, Parser)]
#[command(name = "usher", version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  usher demo                                         see it work: example bank, 100,000 customers
  usher init bank --from customers.csv               begin a bundle that fits this file
  usher check models/retail-bank                     check this bundle: is everything correct?
  usher test models/retail-bank                      make its golden decisions, and show what differs
  usher serve --models models/retail-bank --data data   start a server with it that keeps its state in `data`
  usher load customers.csv                           load customers: a column `customer`, others by feature
  usher decide c-1001 home_banner --locale zh-CN     ask what a customer is shown
  usher explain c-1001 home_banner steady_r2         say in two sentences why this offer is shown, or is not
  usher count 'age >= 60 && consent_marketing'       count the customers for whom this condition holds
  usher stats --by offer,channel                     show how often offers were chosen, and with what outcomes
  usher push models/retail-bank/rule-sets/wealth.yaml   change a rule set while the server runs
  usher diff wealth                                  show what the active version says differently
  usher rollback wealth                              go back to the version before
  usher evaluate log.csv                             estimate what another policy would have earned
  usher verify data                                  check every byte of the journal and the snapshots
  usher backup --data data backups/monday            copy the data directory, also while the server runs
  usher keys new token.keys                          make a key for several nodes, used with --token-keys

Exit codes: 0 done, 1 something is wrong, 2 could not run.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Init(init::Args),
    Check(check::Args),
    Serve(Box<serve::Args>),
    Test(test::Args),
    Push(push::Args),
    Versions(versions::Args),
    Diff(diff::Args),
    Rollback(rollback::Args),
    Load(load::Args),
    Event(event::Args),
    Decide(decide::Args),
    Explain(explain::Args),
    Count(count::Args),
    Stats(stats::Args),
    Eval(eval::Args),
    Evaluate(evaluate::Args),
    Health(health::Args),
    Compact(compact::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Keys(keys::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Stack of the command's thread. A deeply nested condition needs more than a process's first thread has.
const STACK_BYTES: usize = 16 << 20;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse(); // prints help and usage errors itself, and then ends with 0 or 2
    let thread = std::thread::Builder::new().name("usher".into()).stack_size(STACK_BYTES);
    let code = thread.spawn(move || execute(arguments.command)).map(std::thread::JoinHandle::join);
    match code {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => ExitCode::from(2), // the panic has been printed
        Err(e) => {
            complain!(
                "error: the system gives no thread: {e}\n  = raise `ulimit -u`, or the `pids` limit of the service or container"
            );
            ExitCode::from(2)
        }
    }
}

fn execute(command: Command) -> ExitCode {
    if !matches!(command, Command::Serve(_)) {
        let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for warning in config::misspelt(variables) {
            complain!("warning: {warning}");
        }
    }
    let outcome = match command {
        Command::Demo(args) => demo::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Push(args) => push::run(&args),
        Command::Versions(args) => versions::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Event(args) => event::run(&args),
        Command::Decide(args) => decide::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Count(args) => count::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Compact(args) => compact::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Completions(args) => completions::run(&args, Arguments::command()),
        Command::Man(args) => man::run(&args, Arguments::command()),
    };
    match outcome {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::FoundWrong) => ExitCode::FAILURE,
        Err(failure) => {
            complain!("{failure}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
