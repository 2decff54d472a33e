//! One program for both ends of a scenario: on the host it runs scenarios and the demo; inside pods it writes and observes.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

mod demo;
mod harness;
mod inside;
mod scenarios;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use scenarios::Scenario;

#[derive(Parser)]
#[command(about = "End-to-end scenarios of Beachmaster", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the scenarios' names, one a line
    List {
        /// Include those that only `make acceptance` runs
        #[arg(long)]
        all: bool,
    },
    /// Run a scenario on the cluster of $KUBECONFIG; the result is in target/e2e/NAME.json
    Run {
        #[arg(value_enum)]
        scenario: Scenario,
        /// How often the primary is killed (default: the scenario's own number)
        #[arg(long)]
        runs: Option<u32>,
    },
    /// Kill a primary and show what happens
    Demo,
    /// Inside a pod: write through a Service and remember what was acknowledged
    Writer(inside::writer::Options),
    /// Inside a pod: write to every member and look for two that acknowledge at once
    Observer(inside::observer::Options),
    /// Inside a pod: open a new connection through a Service again and again
    Knocker(inside::knocker::Options),
    /// Inside a pod: let HTTP requests that never end hang on servers
    HalfOpen(inside::half_open::Options),
    /// Inside a pod: command the program that runs there
    Ctl {
        #[arg(long, default_value = "/run/e2e/control.sock")]
        socket: PathBuf,
        words: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match dispatch(Arguments::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `false`: everything ran, and what was looked for was not found true.
async fn dispatch(command: Command) -> Result<bool> {
    match command {
        Command::List { all } => {
            scenarios::names(all).for_each(|name| println!("{name}"));
            Ok(true)
        }
        Command::Run { scenario, runs } => scenarios::run(scenario, runs).await,
        Command::Demo => demo::run().await,
        Command::Writer(options) => inside::writer::run(options).await.map(|()| true),
        Command::Observer(options) => inside::observer::run(options).await.map(|()| true),
        Command::Knocker(options) => inside::knocker::run(options).await.map(|()| true),
        Command::HalfOpen(options) => inside::half_open::run(options).await.map(|()| true),
        Command::Ctl { socket, words } => inside::control::client(&socket, &words).await.map(|()| true),
    }
}
