//! The binlog server: gives the binary logs of a dead primary to replicas, over TCP.

mod client;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinError, JoinSet, spawn_blocking};
use tokio::time::sleep;

use self::client::Client;
use super::binlog_files::{BinlogError, BinlogFiles};
use crate::binlog::{Keys, LogEnd};
use crate::gtid::GtidPosition;
use crate::protocol::{Login, Scramble, Settings};

/// A cluster has at most nine members, each with a stream and for a moment a connection that sends KILL.
const MAX_LOGGED_IN: usize = 32;
/// A replica logs in within two round trips, and does not all at once with so many others.
const MAX_NEWCOMERS: usize = 16;

/// Serves the binary logs of one server that does not run any more.
#[derive(Debug)]
pub struct BinlogServer {
    files: Arc<BinlogFiles>,
}

impl BinlogServer {
    /// Reads the index and the whole last file of the logs `basename` in `directory`.
    ///
    /// # Errors
    /// The logs cannot be read; see [`BinlogError`].
    pub async fn open(directory: &Path, basename: &str, keys: Keys) -> Result<Self, BinlogError> {
        Ok(Self { files: Arc::new(BinlogFiles::open(directory, basename, keys).await?) })
    }

    /// Reads the relay logs `basename` of a stopped server in `directory`, by their index, and serves them as binary logs of
    /// their source, by GTID.
    ///
    /// # Errors
    /// The logs cannot be read, or hold no complete transaction; see [`BinlogError`].
    pub async fn open_relay_logs(directory: &Path, basename: &str, keys: Keys) -> Result<Self, BinlogError> {
        Ok(Self { files: Arc::new(BinlogFiles::open_relay_logs(directory, basename, keys).await?) })
    }

    /// `server_id` of the server that wrote the last file, as its head says.
    #[must_use]
    pub(crate) fn source_id(&self) -> u32 {
        self.files.catalogue().last_head().server_id
    }

    /// Where the logs end, which is where every replica will be that follows this server.
    #[must_use]
    pub fn end(&self) -> LogEnd {
        self.files.catalogue().end()
    }

    /// About how many bytes a replica that is at `had` would be sent; `None` when it would be refused.
    pub(crate) async fn bytes_after(&self, had: &GtidPosition) -> Option<u64> {
        let (files, had) = (Arc::clone(&self.files), had.clone());
        spawn_blocking(move || files.bytes_after(&had)).await.ok()?
    }

    /// Serves replicas that know `login` until `stop` is ready; then all connections are closed. Dropping the future
    /// does the same.
    pub async fn serve(&self, listener: TcpListener, login: Login, stop: impl Future<Output = ()>) {
        let mut connections = Connections::default();
        let mut number = 0;
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                Some(newcomer) = connections.newcomers.join_next() => connections.logged_in(newcomer),
                Some(_) = connections.logged_in.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok(newcomer) => {
                        number += 1;
                        let settings = self.settings(login.clone(), number);
                        connections.accepted(newcomer, Arc::clone(&self.files), settings);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the binlog server cannot accept a connection");
                        // Out of descriptors: the next try would fail at once, too.
                        sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    fn settings(&self, login: Login, connection_id: u32) -> Settings {
        let scramble = Scramble::from_random(rand::random());
        Settings { catalogue: Arc::clone(self.files.catalogue()), login, scramble, connection_id }
    }
}

/// Who has not logged in takes no place from replicas, and gives its own to the next one who comes.
#[derive(Default)]
struct Connections {
    newcomers: JoinSet<Option<Client>>,
    /// The oldest one first.
    waiting: VecDeque<AbortHandle>,
    logged_in: JoinSet<()>,
}

impl Connections {
    fn accepted(&mut self, (stream, peer): (TcpStream, SocketAddr), files: Arc<BinlogFiles>, settings: Settings) {
        self.waiting.retain(|newcomer| !newcomer.is_finished());
        if self.waiting.len() >= MAX_NEWCOMERS
            && let Some(oldest) = self.waiting.pop_front()
        {
            tracing::info!("binlog server: too many connections without a login; the oldest is closed");
            oldest.abort();
        }
        self.waiting.push_back(self.newcomers.spawn(Client::new(stream, peer, files, settings).log_in()));
    }

    fn logged_in(&mut self, newcomer: Result<Option<Client>, JoinError>) {
        let Ok(Some(client)) = newcomer else { return };
        if self.logged_in.len() < MAX_LOGGED_IN {
            self.logged_in.spawn(client.run());
        } else {
            tracing::warn!(peer = %client.peer(), "too many connections to the binlog server");
        }
    }
}
