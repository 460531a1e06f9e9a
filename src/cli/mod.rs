//! The command line: one command per file, and what they share: how they fail, and the client of a running server.
//!
//! Exit codes: 0 done, 1 something was found wrong, 2 could not run.

/// Prints to standard output; one line feed ends it, whether the text has one or not.
macro_rules! say {
    ($($arg:tt)*) => { $crate::cli::terminal::print(&mut std::io::stdout().lock(), &format!($($arg)*)) };
}

/// Prints to standard error, as [`say`] does.
macro_rules! complain {
    ($($arg:tt)*) => { $crate::cli::terminal::print(&mut std::io::stderr().lock(), &format!($($arg)*)) };
}

mod check;
mod client;
mod compact;
pub mod config;
mod count;
mod decide;
mod definition;
mod demo;
mod eval;
mod evaluate;
mod health;
mod keys;
mod load;
mod ending;
mod push;
mod repair;
mod rollback;
mod serve;
mod stats;
mod terminal;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
  usher check models/retail-bank                     is everything in this bundle right?
  usher serve --models models/retail-bank --data data   start a server with it that keeps its state in `data`
  usher load customers.csv                           give it customers: a column `customer`, others by feature
  usher decide c-1001 home_banner --locale zh-CN     ask it
  usher count 'age >= 60 && consent_marketing'       how many customers does that mean?
  usher stats --by offer,channel                     what was decided, and what came of it?
  usher push models/retail-bank/rule-sets/wealth.yaml   change a rule set while it runs
  usher rollback wealth                              and back to the version before
  usher evaluate log.csv                             what would another policy have brought?
  usher verify data                                  is everything in this data directory whole?
  usher keys new token.keys                          a key for several nodes: each is started with --token-keys

Exit codes: 0 done, 1 something was found wrong, 2 could not run.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Check(check::Args),
    Serve(serve::Args),
    Push(push::Args),
    Rollback(rollback::Args),
    Load(load::Args),
    Decide(decide::Args),
    Count(count::Args),
    Stats(stats::Args),
    Eval(eval::Args),
    Evaluate(evaluate::Args),
    Health(health::Args),
    Compact(compact::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Keys(keys::Args),
}

/// Stack of a command's thread: parsing a deeply nested condition takes more than a process begins with.
const STACK_BYTES: usize = 16 << 20;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse(); // prints help or a usage error by itself, and ends with 0 or 2
    let thread = std::thread::Builder::new().name("usher".into()).stack_size(STACK_BYTES);
    let code = thread.spawn(move || execute(arguments.command)).map(std::thread::JoinHandle::join);
    match code {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => ExitCode::from(2), // the panic has been printed
        Err(e) => {
            complain!("cannot start: {e}");
            ExitCode::from(2)
        }
    }
}

fn execute(command: Command) -> ExitCode {
    let outcome = match command {
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Push(args) => push::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Decide(args) => decide::run(&args),
        Command::Count(args) => count::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Compact(args) => compact::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Keys(args) => keys::run(&args),
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
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
