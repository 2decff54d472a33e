//! One member's agent: its parts and its state.

use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;

use super::binlog_files::BinlogError;
use super::binlog_server::BinlogServer;
use super::caretaker_findings::Keeper;
use super::clock;
use super::config::Config;
use super::half_done_groups::NoPlan;
use super::launch_client::LaunchClient;
use super::new_connections::NewConnections;
use super::order_gate::OrderGate;
use super::serving::Serving;
use super::single_flight::SingleFlight;
use super::sql_sessions::SqlSessions;
use super::supervisor::Supervisor;
use super::volume::Volume;
use crate::binlog::Plan;
use crate::layout::BINLOGS;
use crate::orders::{AgentState, Answer, Event, MemberRole, Secret, Volume as VolumeView};
use crate::sync::locked;

/// Events a slow stream may be behind before it loses some; each stream's next line has the whole state anyway.
const EVENTS: usize = 64;

/// One member's agent.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Its surroundings.
    pub(crate) config: Arc<Config>,
    /// Its volume.
    pub(crate) volume: Arc<Volume>,
    /// launch.
    pub(crate) launcher: Arc<LaunchClient>,
    /// mariadbd.
    pub(crate) supervisor: Arc<Supervisor>,
    /// SQL sessions.
    pub(crate) sessions: Arc<SqlSessions>,
    /// Held by the order that acts.
    pub(crate) turn: tokio::sync::Mutex<()>,
    pub(super) gate: Mutex<OrderGate>,
    serving: Mutex<Option<Serving>>,
    /// The logs as the fence read them: nobody writes them until mariadbd is started again.
    read_by_fence: Mutex<Option<BinlogServer>>,
    logs: SingleFlight<Result<BinlogServer, BinlogError>>,
    /// How to mend what a crash has left.
    pub(crate) plan: SingleFlight<Result<Plan, NoPlan>>,
    /// What is told of the member's upkeep.
    pub(crate) keeper: Keeper,
    /// Whether mariadbd takes new connections.
    pub(crate) new_connections: NewConnections,
    /// Held while binary logs are purged.
    pub(crate) purging: Arc<tokio::sync::Mutex<()>>,
    events: broadcast::Sender<Event>,
    boot_id: String,
}

impl Agent {
    pub(super) fn new(config: Config) -> Self {
        let config = Arc::new(config);
        let boot_id = clock::boot_id();
        let volume = Arc::new(Volume::open(&config.volume, &boot_id));
        let launcher = Arc::new(LaunchClient::new(config.launch_socket()));
        let events = broadcast::Sender::new(EVENTS);
        let supervisor =
            Arc::new(Supervisor::new(Arc::clone(&config), Arc::clone(&volume), Arc::clone(&launcher), events.clone()));
        let sessions = Arc::new(SqlSessions::new(Arc::clone(&config), Arc::clone(&supervisor)));
        let highest = volume.stored().and_then(|stored| Some((stored.record.token?, stored.order_id)));
        Self {
            config,
            volume,
            launcher,
            supervisor,
            sessions,
            turn: tokio::sync::Mutex::new(()),
            gate: Mutex::new(OrderGate::new(highest)),
            serving: Mutex::new(None),
            read_by_fence: Mutex::new(None),
            logs: SingleFlight::default(),
            plan: SingleFlight::default(),
            keeper: Keeper::default(),
            new_connections: NewConnections::default(),
            purging: Arc::default(),
            events,
            boot_id,
        }
    }

    /// The whole state, without waiting for anything.
    #[must_use]
    pub(crate) fn state(&self) -> AgentState {
        AgentState {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pod_uid: self.config.pod_uid.clone(),
            boot_id: self.boot_id.clone(),
            boot_ms: clock::now(),
            volume: self.volume.view(),
            mariadbd: self.supervisor.view(),
            extra_port: Some(self.config.extra_port),
            serving: locked(&self.serving).as_ref().map(|serving| serving.port),
            running: locked(&self.gate).running().map(|case| case.order.order.name().to_owned()),
            takes_connections: self.new_connections.taken(),
            sql_notes: self.sessions.notes().get(),
            upkeep: self.keeper.told(),
        }
    }

    /// Role last ordered.
    #[must_use]
    pub(crate) fn role(&self) -> Option<MemberRole> {
        match self.volume.view() {
            VolumeView::Recorded { record } => Some(record.role),
            VolumeView::Blank | VolumeView::Unusable { .. } => None,
        }
    }

    /// Events from now on.
    #[must_use]
    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The answer of the binlog server that serves this login.
    #[must_use]
    pub(crate) fn serving_to(&self, user: &str, password: &Secret) -> Option<Answer> {
        locked(&self.serving).as_ref()?.answer_to(user, password)
    }

    /// From now on this binlog server serves.
    pub(crate) fn set_serving(&self, serving: Serving) {
        *locked(&self.serving) = Some(serving);
    }

    /// The dead mariadbd's logs have been read; `serve-binlog` need not do so again.
    pub(crate) fn keep_read(&self, server: BinlogServer) {
        *locked(&self.read_by_fence) = Some(server);
    }

    /// The binary logs of a dead mariadbd, read to their end.
    ///
    /// # Errors
    /// The logs cannot be read.
    pub(crate) async fn read_logs(&self) -> Result<BinlogServer, BinlogError> {
        let run = self.volume.stored().map(|stored| stored.record.incarnation).unwrap_or_default();
        let (directory, keys) = (self.config.data_dir(), self.config.log_keys());
        let begin = || tokio::spawn(async move { BinlogServer::open(&directory, BINLOGS, keys).await });
        self.logs.result(run, begin).await?
    }

    /// What the fence read, once.
    pub(crate) fn take_read(&self) -> Option<BinlogServer> {
        locked(&self.read_by_fence).take()
    }

    /// True while the binlog server serves.
    #[must_use]
    pub(crate) fn is_serving(&self) -> bool {
        locked(&self.serving).is_some()
    }

    /// Ends the binlog server.
    pub(crate) fn stop_serving(&self) {
        *locked(&self.serving) = None;
        *locked(&self.read_by_fence) = None;
    }
}
