//! The daemon: its parts, its state, and the way of an order through them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tracing::{info, warn};

use super::access::Access;
use super::binlog_files::BinlogError;
use super::binlog_server::BinlogServer;
use super::clock;
use super::config::Config;
use super::court::{Case, Court, Verdict};
use super::errand::Errand;
use super::launcher::Launcher;
use super::new_connections::{self, NewConnections};
use super::orders::{self, BINLOGS, Donor};
use super::own_log::NoPlan;
use super::supervisor::Supervisor;
use super::upkeep::{self, Keeper};
use super::volume::{Volume, superseded};
use super::{farewell, readyz, stream};
use crate::binlog::Plan;
use crate::orders::{AgentState, Answer, Event, MemberRole, Outcome, Secret, SignedOrder, Volume as VolumeView};

/// Events a slow stream may be behind before it loses some; each stream's next line has the whole state anyway.
const EVENTS: usize = 64;

/// One member's agent.
#[derive(Debug)]
pub struct Agent {
    /// Its surroundings.
    pub config: Arc<Config>,
    /// Its volume.
    pub volume: Arc<Volume>,
    /// launch.
    pub launcher: Arc<Launcher>,
    /// mariadbd.
    pub supervisor: Arc<Supervisor>,
    /// SQL sessions.
    pub access: Arc<Access>,
    /// Held by the order that acts.
    pub turn: tokio::sync::Mutex<()>,
    court: Mutex<Court>,
    serving: Mutex<Option<Donor>>,
    /// The logs as the fence read them: nobody writes them until mariadbd is started again.
    read_by_fence: Mutex<Option<BinlogServer>>,
    logs: Errand<Result<BinlogServer, BinlogError>>,
    /// How to mend what a crash has left.
    pub plan: Errand<Result<Plan, NoPlan>>,
    /// What is told of the member's upkeep.
    pub keeper: Keeper,
    /// Whether mariadbd takes new connections.
    pub new_connections: NewConnections,
    /// Held while binary logs are purged.
    pub purging: Arc<tokio::sync::Mutex<()>>,
    events: broadcast::Sender<Event>,
    boot_id: String,
}

/// The daemon cannot begin.
#[derive(Debug, Error)]
pub enum AgentError {
    /// Its socket cannot be opened.
    #[error("the agent's socket {path}: {source}; is the folder mounted and writable for this user?")]
    Socket { path: String, source: io::Error },
}

/// Runs the daemon, until SIGTERM: whatever goes wrong is an answer or an event.
///
/// # Errors
/// When its socket cannot be opened.
pub async fn run(config: Config) -> Result<(), AgentError> {
    let agent = Arc::new(Agent::new(config));
    let path = agent.config.agent_socket();
    let listener = listen(&path).map_err(|source| AgentError::Socket { path: path.display().to_string(), source })?;
    info!(member = %agent.config.ordinal, cluster = agent.config.cluster, "agent runs");
    let parts = Arc::clone(&agent);
    tokio::spawn(async move { parts.launcher.watch().await });
    let parts = Arc::clone(&agent);
    tokio::spawn(async move {
        // While another agent has the volume, mariadbd and its files are that agent's, too.
        parts.volume.ours().await;
        parts.supervisor.watch().await;
    });
    let parts = Arc::clone(&agent);
    tokio::spawn(async move { parts.access.keep().await });
    let parts = Arc::clone(&agent);
    tokio::spawn(async move { new_connections::watch(&parts).await });
    tokio::spawn(upkeep::keep(Arc::clone(&agent)));
    tokio::spawn(readyz::serve(Arc::clone(&agent)));
    tokio::select! {
        () = accept(&agent, &listener) => Ok(()),
        () = farewell::told(&agent) => Ok(()),
    }
}

async fn accept(agent: &Arc<Agent>, listener: &UnixListener) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => drop(tokio::spawn(stream::serve(Arc::clone(agent), connection))),
            Err(error) => {
                warn!(%error, "a stream cannot be accepted");
                // Out of descriptors: the next try would fail at once, too.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

fn listen(path: &std::path::Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Agent {
    fn new(config: Config) -> Self {
        let config = Arc::new(config);
        let boot_id = clock::boot_id();
        let volume = Arc::new(Volume::open(&config.volume, &boot_id));
        let launcher = Arc::new(Launcher::new(config.launch_socket()));
        let events = broadcast::Sender::new(EVENTS);
        let supervisor =
            Arc::new(Supervisor::new(Arc::clone(&config), Arc::clone(&volume), Arc::clone(&launcher), events.clone()));
        let access = Arc::new(Access::new(Arc::clone(&config), Arc::clone(&supervisor)));
        let highest = volume.stored().and_then(|stored| Some((stored.record.token?, stored.order_id)));
        Self {
            config,
            volume,
            launcher,
            supervisor,
            access,
            turn: tokio::sync::Mutex::new(()),
            court: Mutex::new(Court::new(highest)),
            serving: Mutex::new(None),
            read_by_fence: Mutex::new(None),
            logs: Errand::default(),
            plan: Errand::default(),
            keeper: Keeper::default(),
            new_connections: NewConnections::default(),
            purging: Arc::default(),
            events,
            boot_id,
        }
    }

    /// The whole state, without waiting for anything.
    #[must_use]
    pub fn state(&self) -> AgentState {
        AgentState {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pod_uid: self.config.pod_uid.clone(),
            boot_id: self.boot_id.clone(),
            boot_ms: clock::now(),
            volume: self.volume.view(),
            mariadbd: self.supervisor.view(),
            serving: locked(&self.serving).as_ref().map(|donor| donor.port),
            running: locked(&self.court).running().map(|case| case.order.order.name().to_owned()),
            takes_connections: self.new_connections.taken(),
            sql_notes: self.access.notes().get(),
            upkeep: self.keeper.told(),
        }
    }

    /// Role last ordered.
    #[must_use]
    pub fn role(&self) -> Option<MemberRole> {
        match self.volume.view() {
            VolumeView::Recorded { record } => Some(record.role),
            VolumeView::Blank | VolumeView::Unusable { .. } => None,
        }
    }

    /// Events from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Judges an order at once, in the order of arrival; carries it out on its own.
    pub fn submit(self: &Arc<Self>, order: SignedOrder) -> Result<Arc<Case>, Outcome> {
        let stored = self.volume.stored();
        let identity = stored.as_ref().map(|stored| stored.record.identity.clone());
        let name = order.order.name();
        let mut court = locked(&self.court);
        // A volume that another agent had tells its highest token late.
        court.learn(stored.and_then(|stored| Some((stored.record.token?, stored.order_id))));
        let verdict = court.judge(order, identity.as_ref(), clock::now());
        drop(court);
        match verdict {
            Err(error) => {
                info!(order = name, %error, "order refused");
                Err(Outcome::Error(error))
            }
            Ok(Verdict::Same(case)) => Ok(case),
            Ok(Verdict::CarryOut(case)) => {
                let (agent, carried) = (Arc::clone(self), Arc::clone(&case));
                tokio::spawn(async move { agent.carry_out(&carried).await });
                Ok(case)
            }
        }
    }

    async fn carry_out(self: &Arc<Self>, case: &Arc<Case>) {
        let began = std::time::Instant::now();
        let (agent, carried) = (Arc::clone(self), Arc::clone(case));
        // A task of its own: a defect in one order must not leave its stream without an answer.
        let done = tokio::spawn(async move { orders::carry_out(&agent, &carried).await }).await;
        let outcome = done.unwrap_or_else(|_| Outcome::Error(superseded()));
        let term = case.order.token.term.0;
        let took = began.elapsed();
        info!(order = case.order.order.name(), term, seq = case.order.token.seq, ?took, ?outcome, "order done");
        case.close(outcome);
    }

    /// The answer of the binlog server that serves this login.
    #[must_use]
    pub fn serving_to(&self, user: &str, password: &Secret) -> Option<Answer> {
        locked(&self.serving).as_ref()?.answer_to(user, password)
    }

    /// From now on this binlog server serves.
    pub fn set_serving(&self, donor: Donor) {
        *locked(&self.serving) = Some(donor);
    }

    /// The dead mariadbd's logs have been read; `serve-binlog` need not do so again.
    pub fn keep_read(&self, server: BinlogServer) {
        *locked(&self.read_by_fence) = Some(server);
    }

    /// The binary logs of a dead mariadbd, read to their end.
    ///
    /// # Errors
    /// The logs cannot be read.
    pub async fn read_logs(&self) -> Result<BinlogServer, BinlogError> {
        let run = self.volume.stored().map(|stored| stored.record.incarnation).unwrap_or_default();
        let (directory, keys) = (self.config.data_dir(), self.config.log_keys());
        let begin = || tokio::spawn(async move { BinlogServer::open(&directory, BINLOGS, keys).await });
        self.logs.result(run, begin).await?
    }

    /// What the fence read, once.
    pub fn take_read(&self) -> Option<BinlogServer> {
        locked(&self.read_by_fence).take()
    }

    /// True while the binlog server serves.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        locked(&self.serving).is_some()
    }

    /// Ends the binlog server.
    pub fn stop_serving(&self) {
        *locked(&self.serving) = None;
        *locked(&self.read_by_fence) = None;
    }
}

/// Every change under these locks is one step, so a panic elsewhere left the value whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
