//! What the sessions do beside orders: whether mariadbd answers, accounts, kept relay logs.

use super::*;

/// The watch.
impl SqlSessions {
    /// For ever: connects to each run of mariadbd, prepares it, and notes whether it answers.
    pub(crate) async fn keep(&self) {
        let mut view = self.supervisor.subscribe();
        loop {
            let run = self.supervisor.incarnation();
            if let Some(run) = run {
                self.keep_run(run).await;
            }
            *self.observer.lock().await = None;
            *self.caretaker.lock().await = None;
            *locked(&self.parked) = None;
            self.notes.clear();
            if self.supervisor.incarnation().is_none() && view.changed().await.is_err() {
                return;
            }
        }
    }

    async fn keep_run(&self, run: Incarnation) {
        let mut refusals = 0_u32;
        while let Err(error) = self.prepare(run).await {
            if !error.is_gone() {
                warn!(%error, "mariadbd cannot be prepared yet");
            }
            refusals = if sql_notes::is_refusal(&error) { refusals.saturating_add(1) } else { 0 };
            self.ended_within(run, sql_notes::pause(&error, refusals)).await;
            if self.supervisor.incarnation() != Some(run) {
                return;
            }
        }
        info!(incarnation = run.0, "mariadbd answers");
        self.supervisor.note_sql(run, true);
        let mut upkeep = Instant::now();
        while self.supervisor.incarnation() == Some(run) {
            let answers = self.look().await;
            self.supervisor.note_sql(run, answers);
            if answers && upkeep.elapsed() > UPKEEP {
                self.upkeep().await;
                upkeep = Instant::now();
            }
            self.ended_within(run, LOOK).await;
        }
    }

    /// Waits for `limit`; an exit of the run ends the wait at once.
    async fn ended_within(&self, run: Incarnation, limit: Duration) {
        let mut view = self.supervisor.subscribe();
        let gone = view.wait_for(|_| self.supervisor.incarnation() != Some(run));
        let _ = tokio::time::timeout(limit, gone).await;
    }

    /// Before the first order: whatever an earlier agent left is ended, and the accounts are as the Secret says.
    async fn prepare(&self, run: Incarnation) -> Result<(), SqlError> {
        let session = self.connect_impatient().await;
        self.notes.login(session.as_ref().map(drop));
        let mut session = session?;
        let theirs = format!(
            "SELECT id FROM information_schema.processlist WHERE user = '{AGENT_USER}' AND id <> {}",
            session.id()
        );
        let left: Vec<u32> = session.rows(&theirs).await?;
        end_sessions(&mut session, &left).await.map_err(|error| SqlError::Unexpected {
            what: "sessions of an earlier agent".to_owned(),
            message: error.message,
        })?;
        if let Err(error) = own_position::correct(&mut session, self.supervisor.is_relaxed()).await {
            warn!(%error, "the position could not be compared with the binary log");
        }
        self.ensure_accounts(&mut session).await;
        let parked = Session::connect(&self.login, STATEMENT_LIMIT).await?;
        *locked(&self.observer_id) = Some((run, session.id()));
        *self.observer.lock().await = Some(session);
        self.forget_lent();
        *locked(&self.parked) = Some(OrderSession { run, session: parked });
        Ok(())
    }

    async fn ensure_accounts(&self, session: &mut Session) {
        let mut absent = locked(&self.absent).clone();
        let done = accounts::ensure(session, &self.config, &mut absent).await;
        *locked(&self.absent) = absent;
        self.notes.accounts(&done);
        if let Err(error) = done {
            warn!(%error, "accounts cannot be set; tried again");
        }
    }

    /// False also while somebody else has the observer for long.
    async fn look(&self) -> bool {
        let Ok(mut observer) = tokio::time::timeout(LOOK_LIMIT, self.observer.lock()).await else { return false };
        let replaced = tokio::time::timeout(LOOK_LIMIT, self.replace_if_broken(&mut observer)).await;
        if !matches!(replaced, Ok(Ok(()))) {
            return false;
        }
        let Some(session) = observer.as_mut() else { return false };
        session.execute_within("DO 1", LOOK_LIMIT).await.is_ok()
    }

    async fn upkeep(&self) {
        let mut caretaker = self.caretaker.lock().await;
        if !self.replace_broken(&mut caretaker).await {
            return;
        }
        let Some(session) = caretaker.as_mut() else { return };
        self.ensure_accounts(session).await;
        let logged = read::logged(session).await;
        drop(caretaker);
        if let (Ok(logged), Some(run)) = (logged, self.supervisor.incarnation()) {
            self.clean(run, logged);
        }
    }

    /// False while the statement of the last one has not ended, whatever it waits for: there is never more than one.
    async fn replace_broken(&self, caretaker: &mut Option<Session>) -> bool {
        if let Some(broken) = caretaker.as_ref().filter(|session| session.is_broken()) {
            if !self.has_ended(broken.id()).await {
                warn!(id = broken.id(), "the session that repairs accounts was killed and its statement still runs");
                return false;
            }
            *caretaker = None;
        }
        if caretaker.is_none() {
            let run = self.supervisor.incarnation();
            *caretaker = self.connect_impatient().await.ok();
            *locked(&self.caretaker_id) = run.zip(caretaker.as_ref().map(Session::id));
        }
        true
    }

    /// Kills a session and looks once: orders may need the observer.
    async fn has_ended(&self, id: u32) -> bool {
        let Ok(mut observer) = self.observer().await else { return false };
        let Some(session) = observer.as_mut() else { return false };
        // It may have ended by itself; the next look tells.
        let _ = session.kill(id).await;
        let query = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {id}");
        session.row::<u64>(&query).await.is_ok_and(|count| count == 0)
    }

    /// Beside everything else: gigabytes of relay logs take their time. Not while what is logged may still vanish.
    fn clean(&self, run: Incarnation, logged: Vec<Gtid>) {
        let relaxed = self.supervisor.is_relaxed();
        let Ok(turn) = Arc::clone(&self.cleaning).try_lock_owned() else { return };
        let logs = self.supervisor.relay_logs().clone();
        let (notes, config) = (Arc::clone(&self.notes), Arc::clone(&self.config));
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            notes.password(master_info::has_changed(&config));
            let cleaned = logs.measure(run).and_then(|()| if relaxed { Ok(()) } else { logs.forget(&logged) });
            if let Err(error) = cleaned {
                warn!(%error, "kept relay logs cannot be cleaned up");
            }
        });
    }
}
