//! `beachmaster binlog`: looks into binary and relay logs, compares them and serves them, without a cluster.

mod diff;
mod files;
mod inspect;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Subcommand;

/// Arguments of `beachmaster binlog`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints what log files hold and how they end. Exits with 1 when one is damaged or is not a log.
    Inspect(inspect::Args),
    /// Compares the transactions of two sets of logs. Exits with 1 when they differ, with 2 when one cannot be read.
    Diff(diff::Args),
    /// Serves the binary or relay logs of a stopped server to replicas, as a primary would, until it is interrupted.
    Serve(serve::Args),
}

/// Runs `beachmaster binlog`.
#[must_use]
pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Inspect(args) => inspect::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Serve(args) => serve::run(args),
    }
}
