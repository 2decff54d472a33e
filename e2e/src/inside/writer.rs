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

/// A read-only server is asked again on the same connection this often before the Service is asked for another one: the
/// candidate of a failover is read-only for a moment, and a storm of log-ins would only make that longer.
const REFUSALS: u32 = 20;

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
        let mut refusals = 0;
        for sequence in 0.. {
            let pass = self.gate.pass().await;
            let outcome = match self.connected(&mut session).await {
                Some(session) => self.attempt(session, worker, row_id(worker, sequence), &payload).await,
                None => Err(Failure::Unknown),
            };
            drop(pass);
            refusals = if outcome == Err(Failure::Refused) { refusals + 1 } else { 0 };
            if outcome == Err(Failure::Unknown) || refusals == REFUSALS {
                session = None;
                refusals = 0;
            }
            let pause = if outcome.is_ok() { Duration::from_millis(self.options.pause_ms) } else { RETRY };
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }

    /// The open session, or a new one through the Service.
    async fn connected<'a>(&self, session: &'a mut Option<Session>) -> Option<&'a mut Session> {
        if session.is_none() {
            *session = Session::open(&self.options.address, &self.options.login, STATEMENT_LIMIT).await.ok();
        }
        session.as_mut()
    }

    /// One row, with an id of its own whatever becomes of it.
    async fn attempt(&self, session: &mut Session, worker: u32, id: u64, payload: &str) -> Result<(), Failure> {
        let statement = format!("INSERT INTO writes (id, worker, payload) VALUES ({id}, {worker}, '{payload}')");
        let outcome = session.write(&statement).await;
        let at = Stamp::now();
        match outcome {
            Ok(()) => {
                if let Err(error) = self.journal.append(id, at) {
                    eprintln!("row {id} was acknowledged and cannot be noted: {error}");
                }
                self.ledger().acknowledge(worker, id, at);
            }
            Err(failure) => {
                self.ledger().fail(failure);
                if failure == Failure::Unknown {
                    eprintln!("row {id}: outcome unknown");
                }
            }
        }
        outcome
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
