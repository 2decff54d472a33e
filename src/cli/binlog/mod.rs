//! `beachmaster binlog`: looks into binary and relay logs, compares them and serves them, without a cluster.

mod diff;
mod files;
mod inspect;
mod serve;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;

use crate::gtid::GtidRange;

/// Arguments of `beachmaster binlog`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tells what log files hold and how they end. Exits with 1 when one is damaged or no log.
    Inspect(inspect::Args),
    /// Compares the transactions of two sets of logs. Exits with 1 when they differ, with 2 when one cannot be read.
    Diff(diff::Args),
    /// Serves the binary or relay logs of a stopped server to replicas, as a primary would, until it is interrupted.
    Serve(serve::Args),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Runs `beachmaster binlog`.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Inspect(args) => inspect::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Serve(args) => serve::run(args),
    }
}

/// What a shell tells of a program that SIGPIPE ended.
const PIPE_CLOSED: i32 = 128 + 13;

/// Prints a line of the result. Ends the program without a word when nobody reads on, as `head` does when it has enough.
fn say(line: impl fmt::Display) {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(PIPE_CLOSED),
        Err(error) => {
            eprintln!("beachmaster binlog: the result cannot be printed: {error}");
            std::process::exit(1)
        }
    }
}

/// `0-1-3 to 0-1-7 (5)`.
fn range_text(range: &GtidRange) -> String {
    format!("{} to {} ({})", range.gtid(range.first), range.gtid(range.last), grouped(range.count()))
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_grouped_from_the_right() {
        let texts = [0, 999, 1_000, 1_234_567].map(super::grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }
}
