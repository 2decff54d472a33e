//! A client that opens a new connection through a Service again and again, as a web application without a pool does, and
//! remembers the longest time in which none was accepted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::sleep;

use super::clock::Stamp;
use super::control::{self, Commanded};
use super::session::{Login, Session};

/// From one try to the next.
const PERIOD: Duration = Duration::from_millis(100);
/// Limit of a statement, none of which is sent.
const LIMIT: Duration = Duration::from_secs(1);

/// Where to knock.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address of the Service (an IP: no name is looked up).
    #[arg(long)]
    address: String,
    #[command(flatten)]
    login: Login,
    #[arg(long, default_value = "/run/e2e/control.sock")]
    socket: PathBuf,
}

/// What was met since the last `begin`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knocks {
    /// Connections accepted.
    pub accepted: u64,
    /// Tries that were refused or not answered.
    pub refused: u64,
    /// Longest time between two accepted ones, or since the last one, in milliseconds.
    pub longest_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Tally {
    knocks: Knocks,
    last_us: u64,
}

impl Tally {
    fn begin() -> Self {
        Self { knocks: Knocks::default(), last_us: Stamp::now().monotonic_us }
    }

    fn note(&mut self, accepted: bool, now_us: u64) {
        if accepted {
            self.knocks = self.until(now_us);
            self.knocks.accepted += 1;
            self.last_us = now_us;
        } else {
            self.knocks.refused += 1;
        }
    }

    fn until(&self, now_us: u64) -> Knocks {
        let gap = now_us.saturating_sub(self.last_us) / 1_000;
        Knocks { longest_ms: self.knocks.longest_ms.max(gap), ..self.knocks }
    }
}

struct Knocker(Mutex<Tally>);

/// Knocks until the pod ends.
///
/// # Errors
/// When the socket cannot be made.
pub async fn run(options: Options) -> Result<()> {
    let knocker = Arc::new(Knocker(Mutex::new(Tally::begin())));
    let socket = options.socket.clone();
    tokio::spawn(Arc::clone(&knocker).knock(options));
    control::serve(&socket, knocker).await
}

impl Knocker {
    async fn knock(self: Arc<Self>, options: Options) {
        loop {
            let accepted = Session::open(&options.address, &options.login, LIMIT).await.is_ok();
            self.tally(|tally| tally.note(accepted, Stamp::now().monotonic_us));
            sleep(PERIOD).await;
        }
    }

    fn tally<T>(&self, act: impl FnOnce(&mut Tally) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Commanded for Knocker {
    async fn command(&self, words: &[&str]) -> Result<Value> {
        match words {
            ["begin"] => {
                self.tally(|tally| *tally = Tally::begin());
                Ok(Value::Null)
            }
            ["report"] => Ok(serde_json::to_value(self.tally(|tally| tally.until(Stamp::now().monotonic_us)))?),
            other => bail!("unknown command {other:?}: begin or report"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_counts_from_one_accepted_connection_to_the_next() {
        let mut tally = Tally { knocks: Knocks::default(), last_us: 0 };
        for (at_ms, accepted) in [(100, true), (600, false), (1_100, false), (1_300, true), (1_400, true)] {
            tally.note(accepted, at_ms * 1_000);
        }
        assert_eq!(tally.until(1_500_000), Knocks { accepted: 3, refused: 2, longest_ms: 1_200 });
        assert_eq!(tally.until(4_000_000).longest_ms, 2_600, "also while nothing is accepted");
    }
}
