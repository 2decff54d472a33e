//! mariadbd's life: what is known of it, starting it, killing it, and starting a replica again by itself.

mod moves;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use launch::protocol::{Command, Request, Server};
use tokio::sync::{Mutex, broadcast, watch};
use tokio::task::block_in_place;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::config::Config;
use super::ddl_recovery;
use super::file_locks;
use super::launch_client::{LaunchClient, Seen};
use super::relay_logs::RelayLogs;
use super::truncate_binlog;
use super::volume::{Volume, superseded};
use crate::orders::{
    BootMillis, Ended, Event, ExitStatus, Incarnation, Mariadbd, MemberRole, OrderError, Reason, Token,
    Volume as VolumeView,
};
use crate::sync::locked;

/// How long a replica waits before each start by itself: at once after a crash, slower while it keeps failing.
const START_DELAYS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// A run that lasted this long was no failed start.
const GOOD_RUN: Duration = Duration::from_secs(60);
/// Between two looks at mariadbd's file locks while launch is away.
const LOCK_CHECK: Duration = Duration::from_millis(20);
/// A start that is under way has spawned mariadbd by then, or will look at the hold before it does.
const START_TURN: Duration = Duration::from_secs(1);
/// A killed mariadbd is reaped within 30 ms; more means that a disk holds it.
const RESTART_KILL: Duration = Duration::from_secs(5);
/// launch tells a spawn or an exit within a millisecond.
const NOTICE: Duration = Duration::from_secs(2);

/// Watches and moves one mariadbd.
#[derive(Debug)]
pub(crate) struct Supervisor {
    config: Arc<Config>,
    volume: Arc<Volume>,
    launcher: Arc<LaunchClient>,
    relay_logs: RelayLogs,
    view: watch::Sender<Mariadbd>,
    events: broadcast::Sender<Event>,
    /// One start at a time.
    starting: Mutex<()>,
    /// A fence was obeyed whose hold may not be on disk yet.
    fenced: AtomicBool,
    /// The run that was seen alive and not dead since.
    alive: std::sync::Mutex<Option<Incarnation>>,
}

impl Supervisor {
    /// Knows nothing yet.
    #[must_use]
    pub(crate) fn new(
        config: Arc<Config>,
        volume: Arc<Volume>,
        launcher: Arc<LaunchClient>,
        events: broadcast::Sender<Event>,
    ) -> Self {
        let relay_logs = RelayLogs::new(config.data_dir(), config.state_dir().join("relay"), config.log_keys());
        let unknown = Mariadbd::Unknown { message: "launch has not been asked yet".to_owned() };
        let view = watch::Sender::new(unknown);
        Self {
            config,
            volume,
            launcher,
            relay_logs,
            view,
            events,
            starting: Mutex::new(()),
            fenced: AtomicBool::new(false),
            alive: std::sync::Mutex::new(None),
        }
    }

    /// What is known now.
    #[must_use]
    pub(crate) fn view(&self) -> Mariadbd {
        self.view.borrow().clone()
    }

    /// What is known, and every change.
    #[must_use]
    pub(crate) fn subscribe(&self) -> watch::Receiver<Mariadbd> {
        self.view.subscribe()
    }

    /// The run that is alive.
    #[must_use]
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        match *self.view.borrow() {
            Mariadbd::Running { incarnation, .. } => Some(incarnation),
            _ => None,
        }
    }

    /// True while commits may not be on disk yet.
    #[must_use]
    pub(crate) fn is_relaxed(&self) -> bool {
        self.volume.stored().is_some_and(|stored| stored.relaxed_in_boot.is_some())
    }

    /// The member's relay logs.
    #[must_use]
    pub(crate) fn relay_logs(&self) -> &RelayLogs {
        &self.relay_logs
    }

    /// Notes whether that run answers SQL.
    pub(crate) fn note_sql(&self, run: Incarnation, answers: bool) {
        let changed = self.view.send_if_modified(|view| match view {
            Mariadbd::Running { incarnation, sql } if *incarnation == run => std::mem::replace(sql, answers) != answers,
            _ => false,
        });
        if changed && answers {
            self.tell(Event::Answers);
        }
    }

    /// Follows launch for ever, and starts a member that may start by itself.
    pub(crate) async fn watch(&self) {
        let mut launch = self.launcher.subscribe();
        let mut failures = 0_usize;
        let mut started: Option<Instant> = None;
        loop {
            let seen = launch.borrow_and_update().clone();
            self.digest(&seen);
            let proven = !matches!(self.view(), Mariadbd::Unknown { .. });
            if self.may_start_by_itself(&seen) {
                if started.is_some_and(|at| at.elapsed() > GOOD_RUN) {
                    failures = 0;
                }
                let delay = START_DELAYS[failures.min(START_DELAYS.len() - 1)];
                failures += 1;
                // An order may change what may be, so it is looked at again after the delay.
                let _ = timeout(delay, launch.wait_for(|now| *now != seen)).await;
                let seen = launch.borrow_and_update().clone();
                self.digest(&seen);
                if self.may_start_by_itself(&seen) {
                    started = Some(Instant::now());
                    let mut start = pin!(self.start_by_itself());
                    // Whoever starts mariadbd waits for what is digested here.
                    while !ends_before_change(start.as_mut(), &mut launch).await {
                        let seen = launch.borrow_and_update().clone();
                        self.digest(&seen);
                    }
                }
            } else if proven {
                // launch changes, or an order lifted the hold: the latter starts mariadbd itself.
                let _ = launch.changed().await;
            } else {
                let _ = timeout(LOCK_CHECK, launch.changed()).await;
            }
        }
    }

    async fn start_by_itself(&self) {
        match self.start(None).await {
            Ok(incarnation) => info!(incarnation = incarnation.0, "mariadbd of a replica was started without an order"),
            Err(error) => warn!(%error, "mariadbd of a replica cannot be started without an order"),
        }
    }

    fn may_start_by_itself(&self, seen: &Seen) -> bool {
        let VolumeView::Recorded { record } = self.volume.view() else { return false };
        let ours = record.identity.cluster == self.config.cluster && record.identity.ordinal == self.config.ordinal;
        let ready = matches!(seen, Seen::Present(state) if !state.stopping);
        let wanted = record.role == MemberRole::Replica && !record.hold && !self.fenced.load(Ordering::SeqCst);
        ours && ready && wanted && self.view().is_dead()
    }

    /// Takes over what launch says, or what the file locks say without it.
    fn digest(&self, seen: &Seen) {
        match seen {
            Seen::Present(state) => match &state.server {
                Server::Running { run, .. } => self.is_running(Incarnation(*run)),
                Server::Exited { run, exit, output, at_ms, .. } => {
                    self.is_dead(Incarnation(*run), *exit, output.join("\n"), at_ms.map(BootMillis));
                }
                Server::Idle => self.look_at_locks("launch was restarted, and mariadbd ended with it"),
            },
            Seen::Away => self.look_at_locks("launch ended, and mariadbd with it"),
        }
    }

    fn is_running(&self, run: Incarnation) {
        self.note_alive(Some(run));
        let before = self.view();
        if !matches!(before, Mariadbd::Running { incarnation, .. } if incarnation == run) {
            self.view.send_replace(Mariadbd::Running { incarnation: run, sql: false });
            self.tell(Event::Started);
            self.take_back_the_end(run);
        }
    }

    /// launch knows better than the file locks, which mariadbd takes only some time after its start.
    fn take_back_the_end(&self, run: Incarnation) {
        let is_wrong = |ended: &Ended| ended.pod_uid == self.config.pod_uid && ended.incarnation >= run;
        if self.volume.stored().is_none_or(|stored| !stored.record.ended.iter().any(is_wrong)) {
            return;
        }
        let change = |stored: &mut super::record_file::Stored| stored.record.ended.retain(|ended| !is_wrong(ended));
        if let Err(error) = block_in_place(|| self.volume.update(None, change)) {
            error!(%error, "the volume's note that the run has ended is wrong and cannot be removed");
        }
    }

    fn is_dead(&self, run: Incarnation, status: ExitStatus, message: String, at: Option<BootMillis>) {
        self.note_alive(None);
        if matches!(self.view(), Mariadbd::Exited { incarnation, .. } if incarnation == run) {
            return;
        }
        // Told before anything is written: the disk may be what killed it.
        self.view.send_replace(Mariadbd::Exited { incarnation: run, status, message, at });
        self.tell(Event::Exited);
        info!(incarnation = run.0, %status, "mariadbd ended");
        block_in_place(|| {
            if let Err(error) = self.relay_logs.keep(run, None) {
                error!(%error, "relay logs could not be linked");
            }
            let clean = status.code == Some(0);
            let ended = Ended { pod_uid: self.config.pod_uid.clone(), incarnation: run };
            let over = |stored: &mut super::record_file::Stored| {
                stored.record.clean_stop = clean;
                stored.record.note_end(ended);
            };
            if let Err(error) = self.volume.update(None, over) {
                warn!(%error, "the exit could not be recorded");
            }
        });
    }

    fn look_at_locks(&self, why: &str) {
        let unknown = |message: String| {
            self.view.send_if_modified(|view| {
                let now = Mariadbd::Unknown { message };
                std::mem::replace(view, now.clone()) != now
            });
        };
        match file_locks::are_held(&self.config.data_dir()) {
            Ok(true) => unknown("launch does not know mariadbd, yet its files are locked".to_owned()),
            Err(error) => unknown(format!("mariadbd's file locks cannot be read: {error}")),
            Ok(false) => {
                let alive = *locked(&self.alive);
                if let Some(run) = alive {
                    self.is_dead(run, ExitStatus { code: None, signal: None }, why.to_owned(), None);
                } else if matches!(self.view(), Mariadbd::Unknown { .. }) {
                    self.view.send_replace(Mariadbd::NotStarted);
                }
            }
        }
    }

    fn note_alive(&self, run: Option<Incarnation>) {
        *locked(&self.alive) = run;
    }

    fn tell(&self, event: Event) {
        // Nobody listening is no error: the next stream begins with the whole state.
        let _ = self.events.send(event);
    }
}

async fn ends_before_change(work: impl Future<Output = ()>, launch: &mut watch::Receiver<Seen>) -> bool {
    tokio::select! {
        biased;
        _ = launch.changed() => false,
        () = work => true,
    }
}

/// Relay logs that cannot be kept must not be dropped.
#[must_use]
pub(crate) fn unkept(error: std::io::Error) -> OrderError {
    OrderError::new(
        Reason::Volume,
        format!("relay logs cannot be linked, so nothing is done that would drop them: {error}"),
    )
}
