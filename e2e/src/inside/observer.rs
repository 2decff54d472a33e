//! The second pair of eyes: writes to every member directly, all the time, and looks for two that acknowledge at once.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::sleep;

use super::clock::Stamp;
use super::control::{self, Commanded, Gate};
use super::ledger::Failure;
use super::session::{Login, Session};

/// Longest wait for one write.
const WRITE_LIMIT: Duration = Duration::from_secs(1);
/// Pause between two attempts on a member: dense enough to hit a window of milliseconds, light enough for two cores.
const PERIOD: Duration = Duration::from_millis(10);

/// Whom to observe.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A member and its pod's address, as `shop-0=10.0.0.7`; once for each.
    #[arg(long = "member", required = true)]
    members: Vec<Member>,
    #[command(flatten)]
    login: Login,
    #[arg(long, default_value = "/run/e2e/control.sock")]
    socket: PathBuf,
}

#[derive(Debug, Clone)]
struct Member {
    name: String,
    address: String,
}

impl FromStr for Member {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').ok_or_else(|| format!("{text}: not NAME=ADDRESS"))?;
        Ok(Self { name: name.into(), address: address.into() })
    }
}

impl Member {
    fn ordinal(&self) -> &str {
        self.name.rsplit('-').next().unwrap_or(&self.name)
    }
}

/// An acknowledged write: begun and answered, `CLOCK_MONOTONIC` microseconds of the observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub begun_us: u64,
    pub answered_us: u64,
}

/// What was seen between two instants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Writes acknowledged by the new primary.
    pub by_new: usize,
    /// Writes acknowledged by anybody else before that.
    pub by_others: usize,
    /// When the new primary acknowledged the first of them, `CLOCK_REALTIME` in microseconds.
    pub first_by_new_us: Option<u64>,
    /// Writes on another member that began after the new primary had acknowledged one, and were acknowledged: none may exist.
    pub violations: Vec<(String, Acknowledged)>,
}

/// Judges one term: `others` and `new` hold the acknowledged writes since the old primary was killed, oldest first;
/// `realtime` translates from the monotonic clock.
#[must_use]
pub fn judge(new: &[Acknowledged], others: &[(String, Acknowledged)], realtime: impl Fn(u64) -> u64) -> Verdict {
    let first = new.iter().map(|write| write.answered_us).min();
    let late = |write: &Acknowledged| first.is_some_and(|first| write.begun_us > first);
    let violations: Vec<_> = others.iter().filter(|(_, write)| late(write)).cloned().collect();
    let first_by_new_us = first.map(realtime);
    Verdict { by_new: new.len(), by_others: others.len() - violations.len(), first_by_new_us, violations }
}

struct Observer {
    options: Options,
    gate: Gate,
    seen: Vec<Mutex<Vec<Acknowledged>>>,
}

/// Observes until the pod ends.
///
/// # Errors
/// When the socket cannot be made.
pub async fn run(options: Options) -> Result<()> {
    let seen = options.members.iter().map(|_| Mutex::default()).collect();
    let observer = Arc::new(Observer { options, gate: Gate::default(), seen });
    for index in 0..observer.options.members.len() {
        tokio::spawn(observer.clone().watch(index));
    }
    control::serve(&observer.options.socket.clone(), observer).await
}

impl Observer {
    async fn watch(self: Arc<Self>, index: usize) {
        let member = &self.options.members[index];
        let mut session = None;
        // Ids go up with time: a row of an earlier life of this pod is never met.
        let mut id = Stamp::now().realtime_us;
        loop {
            let pass = self.gate.pass().await;
            if session.is_none() {
                session = Session::open(&member.address, &self.options.login, WRITE_LIMIT).await.ok();
            }
            if let Some(open) = &mut session {
                id += 1;
                let statement = format!("INSERT INTO observer_{} (id) VALUES ({id})", member.ordinal());
                let begun_us = Stamp::now().monotonic_us;
                match open.write(&statement).await {
                    Ok(()) => self.seen(index).push(Acknowledged { begun_us, answered_us: Stamp::now().monotonic_us }),
                    // Kept open: a connection that outlives a change of roles is the dangerous one.
                    Err(Failure::Refused) => {}
                    Err(Failure::Unknown) => session = None,
                }
            }
            drop(pass);
            sleep(PERIOD).await;
        }
    }

    fn seen(&self, index: usize) -> MutexGuard<'_, Vec<Acknowledged>> {
        self.seen[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since(&self, new: &str, since_us: u64) -> Result<Verdict> {
        if !self.options.members.iter().any(|member| member.name == new) {
            bail!("no member {new} is observed");
        }
        let (mut by_new, mut by_others) = (Vec::new(), Vec::new());
        for (index, member) in self.options.members.iter().enumerate() {
            let seen = self.seen(index);
            let writes = seen.iter().copied().filter(|write| write.begun_us >= since_us);
            if member.name == new {
                by_new.extend(writes);
            } else {
                by_others.extend(writes.map(|write| (member.name.clone(), write)));
            }
        }
        let now = Stamp::now();
        Ok(judge(&by_new, &by_others, |at| now.realtime_us - now.monotonic_us.saturating_sub(at)))
    }
}

impl Commanded for Observer {
    async fn command(&self, words: &[&str]) -> Result<Value> {
        match words {
            ["now"] => Ok(Stamp::now().monotonic_us.into()),
            ["judge", new, since] => {
                let since = since.parse().context("the second word is a time in microseconds")?;
                Ok(serde_json::to_value(self.since(new, since)?)?)
            }
            ["pause"] => {
                self.gate.close().await;
                Ok(Value::Null)
            }
            ["resume"] => {
                self.gate.open();
                Ok(Value::Null)
            }
            other => bail!("unknown command {other:?}: now, judge NEW SINCE, pause or resume"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(begun_us: u64, answered_us: u64) -> Acknowledged {
        Acknowledged { begun_us, answered_us }
    }

    #[test]
    fn a_write_begun_on_the_old_primary_after_the_new_one_acknowledged_is_a_violation() {
        let new = [write(100, 110), write(120, 130)];
        let before = ("shop-0".to_owned(), write(90, 140));
        let after = ("shop-0".to_owned(), write(111, 115));
        let verdict = judge(&new, &[before, after.clone()], |at| at + 1_000);
        let expected = Verdict { by_new: 2, by_others: 1, first_by_new_us: Some(1_110), violations: vec![after] };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn nothing_is_judged_while_the_new_primary_acknowledged_nothing() {
        let verdict = judge(&[], &[("shop-0".to_owned(), write(1, 2))], |at| at);
        assert!(verdict.violations.is_empty());
    }
}
