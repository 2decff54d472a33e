//! The agent's SQL sessions: one that watches whether mariadbd answers, one for the order that is carried out.
//!
//! A session that was lent to an order and did not come back may still run a statement. It is killed, and seen to be
//! gone, before the next one is lent: an overtaken order changes nothing any more once the newer one begins.

mod keeping;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;
use tracing::{info, warn};

use super::accounts;
use super::config::Config;
use super::master_info;
use super::own_position;
use super::sql_notes::{self, Notes};
use super::supervisor::Supervisor;
use crate::gtid::Gtid;
use crate::layout::AGENT_USER;
use crate::mariadb::session::STATEMENT_LIMIT;
use crate::mariadb::{Address, Login, Session, SqlError, read};
use crate::orders::{Incarnation, Mariadbd, OrderError, Reason};
use crate::sync::locked;

/// Our statements are never replicated, wait for no acknowledgement, stand in no general log (they may carry passwords), and
/// mean the same whatever my.cnf or `SET GLOBAL` says; a session that waits for the next order is not closed as idle.
const SETUP: &str = "SET SESSION autocommit=1, sql_log_bin=0, sql_log_off=1, wait_timeout=31536000, max_statement_time=0, \
                     sql_mode='', tx_read_only=0, sql_select_limit=18446744073709551615";
/// Whether it did is read afterwards: without a thread for acknowledgements it stays off, and nothing is said.
const SEMI_SYNC_ON: &str = "SET GLOBAL rpl_semi_sync_master_enabled=1";
/// The same for a session that was to be closed soon if nothing is said.
pub(crate) const IDLE_FOR_EVER: &str = "SET SESSION wait_timeout=31536000";
/// Beside orders nothing waits for a lock that somebody holds: the session of an order is killed when it is given up, this one
/// ends its statement by itself, before [`STATEMENT_LIMIT`]. Under FLUSH TABLES WITH READ LOCK and LOCK TABLES statements on
/// accounts do not keep to `lock_wait_timeout` (measured with 10.11), but to `max_statement_time`.
const IMPATIENT: &str = "SET SESSION max_statement_time=1.5, lock_wait_timeout=1, innodb_lock_wait_timeout=1";
/// Between two looks whether it still answers; `/readyz` is asked every 2 s.
const LOOK: Duration = Duration::from_millis(500);
/// A look that takes longer means that clients get no answer either.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// Between two tries to set up accounts, and two looks for kept relay logs that are no longer needed.
const UPKEEP: Duration = Duration::from_secs(5);
/// A killed session ends within milliseconds, unless its statement cannot be interrupted.
const KILLED: Duration = Duration::from_secs(2);
/// Between two looks whether it has.
const KILLED_LOOK: Duration = Duration::from_millis(2);

/// A connection's number, with the run that gave it: each run counts from 1 again, and gives it to a client next time.
type ConnectionId = (Incarnation, u32);

/// Sessions of the running mariadbd.
#[derive(Debug)]
pub(crate) struct SqlSessions {
    config: Arc<Config>,
    supervisor: Arc<Supervisor>,
    login: Login,
    observer: Mutex<Option<Session>>,
    /// The observer's connection, readable while it is in use.
    observer_id: std::sync::Mutex<Option<ConnectionId>>,
    /// Looks after the accounts: not the observer, which orders may need at any moment.
    caretaker: Mutex<Option<Session>>,
    /// As the observer's.
    caretaker_id: std::sync::Mutex<Option<ConnectionId>>,
    /// The session that looks for locks and events, which a promotion ends like a client's.
    keeper_id: std::sync::Mutex<Option<ConnectionId>>,
    /// A session that waits for the next order.
    parked: std::sync::Mutex<Option<OrderSession>>,
    /// The session an order has, or had and did not give back.
    lent: std::sync::Mutex<Option<ConnectionId>>,
    /// It may hold a global read lock, with semi-sync off.
    locks: AtomicBool,
    /// Accounts that were missing when looked at last.
    absent: std::sync::Mutex<accounts::Absent>,
    /// Held while kept relay logs are cleaned up.
    cleaning: Arc<Mutex<()>>,
    /// What stands in the way of all this.
    notes: Arc<Notes>,
}

/// A session of one run of mariadbd, lent to an order.
#[derive(Debug)]
pub(crate) struct OrderSession {
    run: Incarnation,
    /// The session.
    pub(crate) session: Session,
}

impl SqlSessions {
    /// Over the socket of this member.
    #[must_use]
    pub(crate) fn new(config: Arc<Config>, supervisor: Arc<Supervisor>) -> Self {
        let address = Address::Socket(config.mariadbd_socket());
        let login = Login { address, user: AGENT_USER.to_owned(), password: None, setup: Some(SETUP) };
        Self {
            config,
            supervisor,
            login,
            observer: Mutex::new(None),
            observer_id: std::sync::Mutex::default(),
            caretaker: Mutex::new(None),
            caretaker_id: std::sync::Mutex::default(),
            keeper_id: std::sync::Mutex::default(),
            parked: std::sync::Mutex::new(None),
            lent: std::sync::Mutex::new(None),
            locks: AtomicBool::new(false),
            absent: std::sync::Mutex::default(),
            cleaning: Arc::default(),
            notes: Arc::default(),
        }
    }

    /// A session for an order, after what an older order left has ended.
    ///
    /// # Errors
    /// [`Reason::NotRunning`] or [`Reason::Sql`].
    pub(crate) async fn lend(&self) -> Result<OrderSession, OrderError> {
        let run = self.running()?;
        self.settle().await?;
        let parked = locked(&self.parked).take_if(|session| session.run == run && !session.session.is_broken());
        let session = match parked {
            Some(session) => session,
            None => {
                OrderSession { run, session: Session::connect(&self.login, STATEMENT_LIMIT).await.map_err(sql_error)? }
            }
        };
        *locked(&self.lent) = Some((run, session.session.id()));
        Ok(session)
    }

    /// A session for what is done beside orders.
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub(crate) async fn connect(&self) -> Result<Session, SqlError> {
        Session::connect(&self.login, STATEMENT_LIMIT).await
    }

    /// A new connection that must be taken within `limit`.
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub(crate) async fn connect_within(&self, limit: Duration) -> Result<Session, SqlError> {
        Session::connect(&self.login, limit).await
    }

    /// The same for what is tried again every few seconds: no try waits for longer than a moment.
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub(crate) async fn connect_impatient(&self) -> Result<Session, SqlError> {
        let mut session = self.connect().await?;
        session.execute(IMPATIENT).await?;
        Ok(session)
    }

    /// Takes a session back. A broken one stays marked, and is killed before the next is lent; one that a newer order has ended is dropped.
    pub(crate) fn give_back(&self, session: OrderSession) {
        let is_lent = *locked(&self.lent) == Some((session.run, session.session.id()));
        if is_lent && !session.session.is_broken() {
            self.forget_lent();
            *locked(&self.parked) = Some(session);
        }
    }

    /// What stands in the way of SQL.
    #[must_use]
    pub(crate) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Ends the session an older order still has.
    ///
    /// # Errors
    /// [`Reason::Sql`] when its statement cannot be ended: then nothing else may be done over SQL yet.
    pub(crate) async fn settle(&self) -> Result<(), OrderError> {
        let lent = *locked(&self.lent);
        let Some((run, id)) = lent else { return Ok(()) };
        if self.supervisor.incarnation() == Some(run) {
            let mut observer = self.observer().await?;
            let session = observer.as_mut().ok_or_else(not_answering)?;
            self.end_lent(session, id).await?;
        }
        self.forget_lent();
        Ok(())
    }

    async fn end_lent(&self, session: &mut Session, id: u32) -> Result<(), OrderError> {
        if self.locks() {
            // The lock goes with the session.
            session.execute(SEMI_SYNC_ON).await.map_err(sql_error)?;
            if !read::globals(session).await.map_err(sql_error)?.source_enabled {
                let message = "semi-sync stays off although it was switched on".to_owned();
                return Err(OrderError::new(Reason::Sql, message));
            }
        }
        end_sessions(session, &[id]).await
    }

    fn forget_lent(&self) {
        *locked(&self.lent) = None;
        self.note_lock(false);
    }

    /// What is lent is about to lock all writes, or has unlocked them.
    pub(crate) fn note_lock(&self, locks: bool) {
        self.locks.store(locks, Ordering::SeqCst);
    }

    /// True when what is lent, or was, may hold a lock on all writes.
    #[must_use]
    pub(crate) fn locks(&self) -> bool {
        self.locks.load(Ordering::SeqCst)
    }

    /// As [`Self::settle`], over a session that is sure to answer.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub(crate) async fn settle_over(&self, session: &mut Session) -> Result<(), OrderError> {
        let lent = *locked(&self.lent);
        if let Some((_, id)) = lent.filter(|(run, _)| self.supervisor.incarnation() == Some(*run)) {
            self.end_lent(session, id).await?;
        }
        self.forget_lent();
        Ok(())
    }

    /// Whether there is a server to talk to.
    ///
    /// # Errors
    /// [`Reason::NotRunning`].
    pub(crate) fn answering(&self) -> Result<(), OrderError> {
        self.running().map(drop)
    }

    /// Connection ids of the agent itself that a promotion spares.
    pub(crate) fn own_ids(&self) -> Vec<u32> {
        self.of_this_run([&self.lent, &self.observer_id, &self.caretaker_id].map(|id| *locked(id)))
    }

    /// All of them: also the one that waits for the next order, which is lent again before it can be in anybody's way, and the one
    /// that looks for locks.
    pub(crate) fn all_own_ids(&self) -> Vec<u32> {
        let parked = locked(&self.parked).as_ref().map(|parked| (parked.run, parked.session.id()));
        let mut ids = self.own_ids();
        ids.extend(self.of_this_run([parked, *locked(&self.keeper_id)]));
        ids
    }

    fn of_this_run<const N: usize>(&self, known: [Option<ConnectionId>; N]) -> Vec<u32> {
        let run = self.supervisor.incarnation();
        known.into_iter().flatten().filter(|(of, _)| Some(*of) == run).map(|(_, id)| id).collect()
    }

    /// The session that looks for locks is this one.
    pub(crate) fn note_keeper(&self, run: Incarnation, id: u32) {
        *locked(&self.keeper_id) = Some((run, id));
    }

    fn running(&self) -> Result<Incarnation, OrderError> {
        match self.supervisor.view() {
            Mariadbd::Running { incarnation, sql: true } => Ok(incarnation),
            Mariadbd::Running { sql: false, .. } => Err(not_answering()),
            view => Err(OrderError::new(Reason::NotRunning, not_running(&view))),
        }
    }

    async fn observer(&self) -> Result<MutexGuard<'_, Option<Session>>, OrderError> {
        let mut observer = self.observer.lock().await;
        self.replace_if_broken(&mut observer).await.map_err(sql_error)?;
        Ok(observer)
    }

    async fn replace_if_broken(&self, observer: &mut Option<Session>) -> Result<(), SqlError> {
        if observer.as_ref().is_none_or(Session::is_broken) {
            *observer = None;
            let run = self.supervisor.incarnation();
            let session = self.connect_impatient().await?;
            *locked(&self.observer_id) = run.map(|run| (run, session.id()));
            *observer = Some(session);
        }
        Ok(())
    }
}

/// Kills sessions and waits until they are gone.
///
/// # Errors
/// [`Reason::Sql`] when one is still there after the limit.
pub(crate) async fn end_sessions(session: &mut Session, ids: &[u32]) -> Result<(), OrderError> {
    if ids.is_empty() {
        return Ok(());
    }
    for id in ids {
        session.kill(*id).await.map_err(sql_error)?;
    }
    let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let query = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id IN ({list})");
    let began = Instant::now();
    while session.row::<u64>(&query).await.map_err(sql_error)? > 0 {
        if began.elapsed() > KILLED {
            let message = format!("sessions {list} were killed {KILLED:?} ago and their statements still run");
            return Err(OrderError::new(Reason::Sql, message));
        }
        sleep(KILLED_LOOK).await;
    }
    Ok(())
}

/// A failed statement as the answer to an order.
#[must_use]
pub(crate) fn sql_error(error: SqlError) -> OrderError {
    let reason = if error.is_gone() { Reason::NotRunning } else { Reason::Sql };
    OrderError::new(reason, error.to_string())
}

/// Why there is nobody to talk SQL to, without mariadbd's last lines: they are in the state that comes with the answer.
#[must_use]
pub(crate) fn not_running(view: &Mariadbd) -> String {
    match view {
        Mariadbd::NotStarted => "mariadbd was not started: give `start` first".to_owned(),
        Mariadbd::Running { .. } => "mariadbd runs".to_owned(),
        Mariadbd::Exited { status, .. } => format!("mariadbd ended with {status}: give `start` first"),
        Mariadbd::Unknown { message } => format!("mariadbd cannot be judged: {message}"),
    }
}

fn not_answering() -> OrderError {
    OrderError::new(Reason::NotRunning, "mariadbd runs but does not answer yet: try again")
}
