//! What an order acts through.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::clock;
use crate::agent::order_gate::AcceptedOrder;
use crate::agent::record_file::Stored;
use crate::agent::sql_sessions::{OrderSession, not_running, sql_error};
use crate::agent::state::Agent;
use crate::agent::supervisor::unkept;
use crate::agent::volume::superseded;
use crate::gtid::GtidPosition;
use crate::mariadb::read::{self, Globals, Slave};
use crate::mariadb::{Session, SqlError};
use crate::orders::{Incarnation, OrderEnvelope, OrderError, Reason, Volume};

/// STOP SLAVE waits for the IO thread's farewell to its source, which has a limit of a second of its own; more means
/// that it hangs (full disk, name look-up).
const STOP_LIMIT: Duration = Duration::from_secs(4);

/// A killed mariadbd is reaped within 30 ms; more means that a disk holds it.
pub(super) const KILL_LIMIT: Duration = Duration::from_secs(2);

/// One order being carried out.
pub(crate) struct OrderContext<'a> {
    agent: &'a Agent,
    case: &'a AcceptedOrder,
    session: Option<OrderSession>,
    persisted: bool,
    doing: Option<&'static str>,
}

impl<'a> OrderContext<'a> {
    /// Nothing done yet.
    #[must_use]
    pub(crate) fn new(agent: &'a Agent, case: &'a AcceptedOrder) -> Self {
        Self { agent, case, session: None, persisted: false, doing: None }
    }

    /// The agent.
    #[must_use]
    pub(crate) fn agent(&self) -> &'a Agent {
        self.agent
    }

    /// The order.
    #[must_use]
    pub(crate) fn order(&self) -> &'a OrderEnvelope {
        &self.case.order
    }

    /// Time left until the deadline.
    #[must_use]
    pub(crate) fn remaining(&self) -> Duration {
        clock::until(self.case.order.deadline)
    }

    /// True once this order's token is on the volume.
    #[must_use]
    pub(crate) fn is_persisted(&self) -> bool {
        self.persisted
    }

    /// What takes its time now, for people who wait.
    pub(crate) fn doing(&mut self, what: &'static str) {
        self.doing = Some(what);
    }

    /// What took its time.
    #[must_use]
    pub(crate) fn was_doing(&self) -> Option<&'static str> {
        self.doing
    }

    /// The token is on the volume already.
    pub(crate) fn note_persisted(&mut self) {
        self.persisted = true;
    }

    /// An order that was overtaken does nothing more.
    ///
    /// # Errors
    /// [`Reason::Superseded`].
    pub(crate) fn check(&self) -> Result<(), OrderError> {
        if self.case.is_overtaken() { Err(superseded()) } else { Ok(()) }
    }

    /// A volume that was copied from another member or moved here is not obeyed for.
    ///
    /// # Errors
    /// [`Reason::Volume`].
    pub(crate) fn check_identity(&self) -> Result<(), OrderError> {
        let config = &self.agent.config;
        let Volume::Recorded { record } = self.agent.volume.view() else { return Ok(()) };
        let identity = record.identity;
        if identity.cluster == config.cluster && identity.ordinal == config.ordinal {
            return Ok(());
        }
        let (owner, member) = (identity.member(), config.full_name());
        let message = format!("the volume belongs to {owner}, not to {member}: give the member its own volume");
        Err(OrderError::new(Reason::Volume, message))
    }

    /// Stores the token, and what else the order changes of the record, before the order acts.
    ///
    /// # Errors
    /// As [`crate::agent::volume::Volume::update`].
    pub(crate) async fn persist(
        &mut self,
        change: impl FnOnce(&mut Stored) + Send + 'static,
    ) -> Result<Stored, OrderError> {
        self.check()?;
        let (volume, order) = (Arc::clone(&self.agent.volume), self.order());
        let (token, id) = (order.token.clone(), order.id.clone());
        // Not in this task: a disk that hangs must not keep the deadline from being noticed.
        let written = tokio::task::spawn_blocking(move || {
            volume.update(Some(&token.clone()), |stored| {
                stored.record.token = Some(token);
                stored.order_id = id;
                change(stored);
            })
        });
        let cut_off = |error| OrderError::new(Reason::Volume, format!("the write was interrupted: {error}"));
        let stored = written.await.map_err(cut_off)??;
        self.persisted = true;
        Ok(stored)
    }

    /// The order's SQL session, looked at the token first.
    ///
    /// # Errors
    /// [`Reason::Superseded`], [`Reason::NotRunning`] or [`Reason::Sql`].
    pub(crate) async fn sql(&mut self) -> Result<&mut Session, OrderError> {
        self.check()?;
        let session = match self.session.take() {
            Some(session) => session,
            None => self.agent.sessions.lend().await?,
        };
        Ok(&mut self.session.insert(session).session)
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`Self::sql`], and as the statement fails.
    pub(crate) async fn execute(&mut self, statement: &str) -> Result<(), OrderError> {
        self.sql().await?.execute(statement).await.map_err(sql_error)
    }

    /// STOP SLAVE or STOP SLAVE IO_THREAD.
    ///
    /// # Errors
    /// The outer as [`Self::sql`]; the inner one as the statement fails.
    pub(crate) async fn stop(&mut self, statement: &str) -> Result<Result<(), SqlError>, OrderError> {
        Ok(self.sql().await?.execute_within(statement, STOP_LIMIT).await)
    }

    /// Variables of the server.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub(crate) async fn globals(&mut self) -> Result<Globals, OrderError> {
        read::globals(self.sql().await?).await.map_err(sql_error)
    }

    /// Those of these global variables that the server knows.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub(crate) async fn variables(&mut self, names: &[&str]) -> Result<BTreeMap<String, String>, OrderError> {
        read::variables(self.sql().await?, names).await.map_err(sql_error)
    }

    /// Its replica side.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub(crate) async fn slave(&mut self) -> Result<Option<Slave>, OrderError> {
        read::slave(self.sql().await?).await.map_err(sql_error)
    }

    /// True when its IO thread's connection acknowledges.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub(crate) async fn is_acknowledging(&mut self) -> Result<bool, OrderError> {
        read::is_acknowledging(self.sql().await?).await.map_err(sql_error)
    }

    /// The run of mariadbd this order acts on.
    ///
    /// # Errors
    /// [`Reason::NotRunning`].
    pub(crate) fn incarnation(&self) -> Result<Incarnation, OrderError> {
        self.agent
            .supervisor
            .incarnation()
            .ok_or_else(|| OrderError::new(Reason::NotRunning, not_running(&self.agent.supervisor.view())))
    }

    /// An order for an acker is about the run that is recorded as one. A session ends with its run, so that nothing of the
    /// order reaches the next one.
    ///
    /// # Errors
    /// [`Reason::NotRunning`].
    pub(crate) fn check_run(&self, acker: Option<Incarnation>) -> Result<(), OrderError> {
        let run = self.incarnation()?;
        if acker.is_none_or(|acker| acker == run) {
            return Ok(());
        }
        let message =
            format!("mariadbd was restarted after this was decided: run {run} is not recorded as an acker yet");
        Err(OrderError::new(Reason::NotRunning, message))
    }

    /// Links the relay logs. `received` is what they hold when the IO thread stands still and has received something
    /// since it was started; else what they hold is not known.
    ///
    /// # Errors
    /// [`Reason::Volume`]: then nothing that drops them may follow.
    pub(crate) fn keep_relay_logs(&self, received: Option<&GtidPosition>) -> Result<(), OrderError> {
        let run = self.incarnation()?;
        let received = received.filter(|position| !position.is_empty());
        tokio::task::block_in_place(|| self.agent.supervisor.relay_logs().keep(run, received)).map_err(unkept)
    }

    /// Stops both replica threads, with every relay log kept.
    ///
    /// # Errors
    /// As [`Self::execute`] and [`Self::keep_relay_logs`].
    pub(crate) async fn stop_replication(&mut self) -> Result<(), OrderError> {
        self.keep_relay_logs(None)?;
        self.stop("STOP SLAVE").await?.map_err(sql_error)?;
        let received = self.received().await?;
        self.keep_relay_logs(received.as_ref())
    }

    /// What its relay logs hold at most. `None` when it replicates from nobody, or without GTID, where the server does not count
    /// on; or has heard nothing from its source yet: until then the server may say what it had from the one before.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub(crate) async fn received(&mut self) -> Result<Option<GtidPosition>, OrderError> {
        let slave = self.slave().await?.filter(|slave| slave.status.by_gtid && !slave.read.0.is_empty());
        Ok(slave.map(|slave| slave.status.io_position))
    }

    /// True when relay logs of this run were thrown away that held more than `received`, or nobody knows what.
    ///
    /// # Errors
    /// [`Reason::Volume`].
    pub(crate) fn has_dropped(&self, received: &GtidPosition) -> Result<bool, OrderError> {
        let run = self.incarnation()?;
        let logs = self.agent.supervisor.relay_logs();
        tokio::task::block_in_place(|| logs.hold_more(run, received)).map_err(|error| {
            OrderError::new(
                Reason::Volume,
                format!("the kept relay logs of run {run} cannot be read: {error}; repeat the order"),
            )
        })
    }

    /// True when the last statement got no answer, or was cut off.
    #[must_use]
    pub(crate) fn has_broken_session(&self) -> bool {
        self.session.as_ref().is_some_and(|lent| lent.session.is_broken())
    }

    /// Forgets the session: its mariadbd is about to end, or it is to be killed before the next order.
    pub(crate) fn drop_session(&mut self) {
        self.session = None;
    }

    /// Gives the session back.
    pub(crate) fn finish(&mut self) {
        if let Some(session) = self.session.take() {
            self.agent.sessions.give_back(session);
        }
    }
}
