//! Starting and killing mariadbd.

use super::*;

/// Starting and killing.
impl Supervisor {
    /// Starts mariadbd unless it runs; with `token`, only while no higher one is stored. Returns its run.
    ///
    /// # Errors
    /// When it may not start, the start cannot be recorded, or launch does not start it.
    pub(crate) async fn start(&self, token: Option<&Token>) -> Result<Incarnation, OrderError> {
        let _turn = self.starting.lock().await;
        self.start_in_turn(token, &[]).await
    }

    /// Ends mariadbd by SIGKILL and starts it again with further `options`, which win over its usual ones. Nobody else
    /// starts it in between.
    ///
    /// # Errors
    /// As [`Self::start`]; [`Reason::StillRunning`] when it does not end in time.
    pub(crate) async fn restart(&self, token: &Token, options: &[&str]) -> Result<Incarnation, OrderError> {
        let _turn = self.starting.lock().await;
        timeout(RESTART_KILL, self.kill_until_dead()).await.map_err(|_| self.undead(RESTART_KILL))?;
        self.start_in_turn(Some(token), options).await
    }

    async fn start_in_turn(&self, token: Option<&Token>, options: &[&str]) -> Result<Incarnation, OrderError> {
        match self.view() {
            Mariadbd::Running { incarnation, .. } => return Ok(incarnation),
            Mariadbd::Unknown { message } => return Err(OrderError::new(Reason::StillRunning, message)),
            Mariadbd::NotStarted | Mariadbd::Exited { .. } => {}
        }
        if !self.config.data_dir().is_dir() {
            return Err(OrderError::new(Reason::Volume, "there is no datadir: give the member `init` first"));
        }
        self.mend_logs().await;
        let count = |stored: &mut crate::agent::record_file::Stored| {
            if !stored.record.hold {
                stored.record.incarnation.0 += 1;
                stored.record.clean_stop = false;
            }
        };
        let stored = block_in_place(|| {
            // What a run before the agent's own start has left.
            if let Some(stored) = self.volume.stored() {
                self.relay_logs.keep(stored.record.incarnation, None).map_err(unkept)?;
            }
            self.volume.update(token, count)
        })?;
        // A fence may have come while the disk was written to, or while DDL was recovered.
        if self.fenced.load(Ordering::SeqCst) {
            return Err(superseded());
        }
        if stored.record.hold {
            return Err(OrderError::new(Reason::Unsupported, "the volume is held: give `start` to lift it"));
        }
        self.spawn(stored.record.incarnation, options).await
    }

    /// What mariadbd itself does not mend as it starts.
    async fn mend_logs(&self) {
        let Some(stored) = self.volume.stored().filter(|stored| !stored.record.hold) else { return };
        if self.fenced.load(Ordering::SeqCst) {
            return;
        }
        if !stored.record.clean_stop {
            truncate_binlog::cut(&self.config).await;
        }
        // A former primary's own statement has no other source.
        if stored.record.role == MemberRole::Replica {
            ddl_recovery::recover(&self.config, &self.launcher, &self.relay_logs).await;
        }
    }

    async fn spawn(&self, run: Incarnation, options: &[&str]) -> Result<Incarnation, OrderError> {
        let mut view = self.subscribe();
        let mut args = self.config.command_line();
        args.extend(options.iter().map(|option| (*option).to_owned()));
        let command = Command { program: self.config.mariadbd.clone(), args, env: Vec::new() };
        self.launcher.ask(Request::Spawn { run: run.0, command }).await?;
        let seen = |view: &Mariadbd| match view {
            Mariadbd::Running { incarnation, .. } | Mariadbd::Exited { incarnation, .. } => *incarnation == run,
            _ => false,
        };
        match timeout(NOTICE, view.wait_for(seen)).await {
            Ok(Ok(_)) => Ok(run),
            _ => Err(OrderError::new(Reason::Launch, "launch did not report that mariadbd was started")),
        }
    }

    /// Lets mariadbd start again after a fence.
    pub(crate) fn lift_fence(&self) {
        self.fenced.store(false, Ordering::SeqCst);
    }

    /// From now on nothing starts mariadbd, whatever the record says.
    pub(crate) fn fence(&self) {
        self.fenced.store(true, Ordering::SeqCst);
    }

    /// SIGKILLs mariadbd and waits until it is proven dead, for `limit` at most.
    ///
    /// # Errors
    /// [`Reason::StillRunning`] when that is not proven in time.
    pub(crate) async fn kill(&self, limit: Duration) -> Result<(), OrderError> {
        // A start under way either has spawned mariadbd by the end of this, or looks at the fence before it does.
        let turn = timeout(START_TURN, self.starting.lock()).await;
        let killed = timeout(limit, self.kill_until_dead()).await;
        drop(turn);
        killed.map_err(|_| self.undead(limit))
    }

    fn undead(&self, limit: Duration) -> OrderError {
        let view = self.view();
        OrderError::new(Reason::StillRunning, format!("mariadbd is not proven dead within {limit:?}: {view:?}"))
    }

    async fn kill_until_dead(&self) {
        const SIGKILL: i32 = 9;
        let mut view = self.subscribe();
        loop {
            if view.borrow_and_update().is_dead() {
                return;
            }
            // launch may be away or see no process any more; then the locks decide.
            let _ = self.launcher.ask(Request::Signal { signal: SIGKILL }).await;
            let _ = timeout(LOCK_CHECK, view.changed()).await;
        }
    }
}
