//! The program's command line: one file for each subcommand, which reads its arguments and calls the library.
//!
//! No logic that another part could need belongs here.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

pub(crate) mod agent;
pub(crate) mod binlog;
pub(crate) mod crd;
pub(crate) mod operator;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// High availability for MariaDB replication sets on Kubernetes.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs or reaches the agent of a member.
    Agent(agent::AgentArgs),
    /// Inspects, compares and serves binary and relay logs.
    Binlog(binlog::Args),
    /// Prints the CustomResourceDefinitions, or writes them into folders.
    Crd(crd::Args),
    /// Runs the operator.
    Operator(Box<operator::Args>),
}

/// Runs the program.
#[must_use]
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Agent(args) => agent::run(args),
        Command::Binlog(args) => binlog::run(&args),
        Command::Crd(args) => crd::run(&args),
        Command::Operator(args) => operator::run(*args),
    }
}
