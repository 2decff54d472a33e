//! Workers that write one row per transaction through a Service and remember what was acknowledged.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;
use tokio::time::sleep;

use super::clock::Stamp;
use super::control::{self, Commanded, Gate};
use super::journal::Journal;
use super::ledger::{Failure, Ledger, row_id};
use super::session::{Login, Session};

/// Pause after anything that failed: short, so that the outage measured is the database's and not ours.
const RETRY: Duration = Duration::from_millis(5);
/// A statement that waits longer has an unknown outcome.
const STATEMENT_LIMIT: Duration = Duration::from_secs(2);

/// How to write.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Address of the Service (an IP: no name is looked up).
    #[arg(long)]
    address: String,
    #[command(flatten)]
    login: Login,
    /// Connections that write side by side.
    #[arg(long, default_value_t = 8)]
    workers: u32,
    /// Size of each row's payload.
    #[arg(long, default_value_t = 100)]
    payload_bytes: usize,
    /// Least time between two rows of a worker, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Where the list of acknowledged rows is kept.
    #[arg(long, default_value = "/run/e2e/acknowledged")]
    journal: PathBuf,
    #[arg(long, default_value = "/run/e2e/control.sock")]
    socket: PathBuf,
}

struct Writer {
    options: Options,
    gate: Gate,
    ledger: Mutex<Ledger>,
    journal: Journal,
}

/// Writes until the pod ends.
///
/// # Errors
/// When journal or socket cannot be made.
pub async fn run(options: Options) -> Result<()> {
    let writer = Arc::new(Writer {
        gate: Gate::default(),
        ledger: Mutex::new(Ledger::new(options.workers)),
        journal: Journal::create(&options.journal)?,
        options,
    });
    for worker in 0..writer.options.workers {
        tokio::spawn(writer.clone().work(worker));
    }
    control::serve(&writer.options.socket.clone(), writer).await
}

impl Writer {
    async fn work(self: Arc<Self>, worker: u32) {
        let payload = "x".repeat(self.options.payload_bytes);
        let mut session = None;
        let mut sequence = 0;
        loop {
            let pass = self.gate.pass().await;
            let open = match session.take() {
                Some(open) => Some(open),
                None => Session::open(&self.options.address, &self.options.login, STATEMENT_LIMIT).await.ok(),
            };
            if let Some(open) = open {
                let id = row_id(worker, sequence);
                sequence += 1;
                session = self.attempt(open, worker, id, &payload).await;
            }
            drop(pass);
            if session.is_none() {
                sleep(RETRY).await;
            } else if self.options.pause_ms > 0 {
                sleep(Duration::from_millis(self.options.pause_ms)).await;
            }
        }
    }

    /// One row. Gives the session back when it is still good: after any failure a new connection asks the Service again.
    async fn attempt(&self, mut session: Session, worker: u32, id: u64, payload: &str) -> Option<Session> {
        let statement = format!("INSERT INTO writes (id, worker, payload) VALUES ({id}, {worker}, '{payload}')");
        let outcome = session.write(&statement).await;
        let at = Stamp::now();
        match outcome {
            Ok(()) => {
                if let Err(error) = self.journal.append(id, at) {
                    eprintln!("row {id} was acknowledged and cannot be noted: {error}");
                }
                self.ledger().acknowledge(worker, id, at);
                Some(session)
            }
            Err(failure) => {
                self.ledger().fail(failure);
                if failure == Failure::Unknown {
                    eprintln!("row {id}: outcome unknown");
                }
                None
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self) -> Result<Value> {
        self.journal.sync()?;
        Ok(serde_json::to_value(&*self.ledger())?)
    }
}

impl Commanded for Writer {
    async fn command(&self, words: &[&str]) -> Result<Value> {
        match words {
            ["report"] => self.report(),
            ["count"] => Ok(self.ledger().acknowledged.into()),
            ["pause"] => {
                self.gate.close().await;
                self.ledger().interrupt();
                self.report()
            }
            ["resume"] => {
                self.gate.open();
                Ok(Value::Null)
            }
            other => bail!("unknown command {other:?}: report, count, pause or resume"),
        }
    }
}
