//! The binlog server: gives the binary logs of a dead primary to replicas, over TCP.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};

use super::binlog_files::{BinlogError, BinlogFiles};
use super::log_reader::LogReader;
use crate::binlog::{Keys, LogEnd};
use crate::gtid::GtidPosition;
use crate::protocol::{Connection, Login, Place, ProtocolError, Scramble, Settings, Step};

/// A cluster has at most nine members, each with a stream and for a moment a connection that sends KILL.
const MAX_CONNECTIONS: usize = 32;
/// A replica sends its next statement within a round trip; who has not asked for the stream after so long is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes taken from a client at once: replicas send little.
const RECEIVE: usize = 4096;

/// Serves the binary logs of one server that does not run any more.
#[derive(Debug)]
pub struct BinlogServer {
    files: Arc<BinlogFiles>,
}

/// Why a connection ended.
#[derive(Debug, Error)]
enum Ended {
    #[error("network: {0}")]
    Network(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("the client did not ask for the stream within {} seconds", PATIENCE.as_secs())]
    Silent,
    #[error("the client closed the connection")]
    Closed,
    #[error("{0}")]
    Files(String),
}

impl BinlogServer {
    /// Reads the index and the whole last file of the logs `basename` in `directory`.
    ///
    /// # Errors
    /// The logs cannot be read; see [`BinlogError`].
    pub async fn open(directory: &Path, basename: &str, keys: Keys) -> Result<Self, BinlogError> {
        Ok(Self { files: Arc::new(BinlogFiles::open(directory, basename, keys).await?) })
    }

    /// Reads the relay logs of a stopped server in `directory`, by their index, and serves them as binary logs of their
    /// source, by GTID.
    ///
    /// # Errors
    /// The logs cannot be read, or hold no complete transaction; see [`BinlogError`].
    pub async fn open_relay_logs(directory: &Path, keys: Keys) -> Result<Self, BinlogError> {
        Ok(Self { files: Arc::new(BinlogFiles::open_relay_logs(directory, keys).await?) })
    }

    /// `server_id` of the server that wrote the last file, as its head says.
    #[must_use]
    pub fn source_id(&self) -> u32 {
        self.files.catalogue().last_head().server_id
    }

    /// Where the logs end, which is where every replica will be that follows this server.
    #[must_use]
    pub fn end(&self) -> LogEnd {
        self.files.catalogue().end()
    }

    /// About how many bytes a replica that is at `had` would be sent; `None` when it would be refused.
    pub async fn bytes_after(&self, had: &GtidPosition) -> Option<u64> {
        let (files, had) = (Arc::clone(&self.files), had.clone());
        spawn_blocking(move || files.bytes_after(&had)).await.ok()?
    }

    /// Serves replicas that know `login` until `stop` is ready; then all connections are closed. Dropping the future
    /// does the same.
    pub async fn serve(&self, listener: TcpListener, login: Login, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let mut number = 0;
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) if connections.len() < MAX_CONNECTIONS => {
                        number += 1;
                        connections.spawn(client(stream, peer, Arc::clone(&self.files), login.clone(), number));
                    }
                    Ok((_, peer)) => tracing::warn!(%peer, "too many connections to the binlog server"),
                    Err(error) => {
                        tracing::warn!(%error, "the binlog server cannot accept a connection");
                        // Out of descriptors: the next try would fail at once, too.
                        sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

async fn client(stream: TcpStream, peer: SocketAddr, files: Arc<BinlogFiles>, login: Login, number: u32) {
    let settings = Settings {
        catalogue: Arc::clone(files.catalogue()),
        login,
        scramble: Scramble::from_random(rand::random()),
        connection_id: number,
    };
    let mut client = Client { stream, files, connection: Connection::new(settings), open: None, bytes: Vec::new() };
    match client.run().await {
        Ok(()) => tracing::debug!(%peer, "binlog server: connection done"),
        Err(error) => tracing::info!(%peer, %error, "binlog server: connection ended"),
    }
}

struct Client {
    stream: TcpStream,
    files: Arc<BinlogFiles>,
    connection: Connection,
    /// The file being streamed, by its index.
    open: Option<(usize, LogReader)>,
    /// What was read of it last; kept for its memory.
    bytes: Vec<u8>,
}

impl Client {
    async fn run(&mut self) -> Result<(), Ended> {
        self.stream.set_nodelay(true)?;
        // Also who says something now and then must have asked for the stream by then.
        let patience = Instant::now() + PATIENCE;
        loop {
            let step = self.connection.step();
            let output = self.connection.take_output();
            self.stream.write_all(&output).await?;
            self.connection.reuse(output);
            match step {
                Step::Receive => timeout_at(patience, self.receive()).await.map_err(|_| Ended::Silent)??,
                Step::Position { file, offset } => self.position(file, offset).await?,
                Step::Start(place) => self.start(place).await?,
                Step::Scan { file, heartbeat } => self.scan(file, heartbeat).await?,
                Step::Read { file, offset, length } => self.read(file, offset, length).await?,
                Step::Idle { heartbeat } => self.wait(heartbeat).await?,
                Step::Close => return Ok(self.stream.shutdown().await?),
            }
        }
    }

    async fn receive(&mut self) -> Result<(), Ended> {
        let mut buffer = [0; RECEIVE];
        let count = self.stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(Ended::Closed);
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(self.connection.receive(bytes, now)?)
    }

    /// Waits for the client, at most until the next heartbeat is due.
    async fn wait(&mut self, heartbeat: Option<Duration>) -> Result<(), Ended> {
        tokio::select! {
            received = self.receive() => received,
            () = period(heartbeat) => {
                self.connection.heartbeat();
                Ok(())
            }
        }
    }

    /// Scans on through the heartbeats: a replica gives up when it hears nothing for its `slave_net_timeout`.
    async fn scan(&mut self, file: usize, heartbeat: Option<Duration>) -> Result<(), Ended> {
        let files = Arc::clone(&self.files);
        let mut scan = std::pin::pin!(files.contents(file));
        let found = loop {
            tokio::select! {
                found = &mut scan => break found,
                () = period(heartbeat) => {
                    self.connection.heartbeat();
                    let output = self.connection.take_output();
                    self.stream.write_all(&output).await?;
                }
            }
        };
        match found {
            Ok(found) => self.connection.scanned(file, found.as_ref().map(|found| (&*found.head, &found.scan))),
            Err(error) => self.fail(&error.to_string()),
        }
        Ok(())
    }

    async fn read(&mut self, file: usize, offset: u64, length: u64) -> Result<(), Ended> {
        let length = usize::try_from(length).map_err(|error| Ended::Files(error.to_string()))?;
        let (open, files) = (self.open.take(), Arc::clone(&self.files));
        let mut bytes = std::mem::take(&mut self.bytes);
        let read = move || {
            let mut reader = match open {
                Some((index, reader)) if index == file => reader,
                _ => files.reader(file).map_err(|error| error.to_string())?,
            };
            let read = reader.read_into(offset, length, &mut bytes);
            read.map(|()| (bytes, reader)).map_err(|error| format!("reading a log at offset {offset}: {error}"))
        };
        match blocking(read).await? {
            Ok((bytes, reader)) => {
                self.connection.file_bytes(&bytes);
                (self.open, self.bytes) = (Some((file, reader)), bytes);
            }
            Err(reason) => self.fail(&reason),
        }
        Ok(())
    }

    async fn position(&mut self, file: usize, offset: u64) -> Result<(), Ended> {
        let files = Arc::clone(&self.files);
        let found = blocking(move || files.position_at(file, offset)).await?;
        self.connection.position(found.as_ref());
        Ok(())
    }

    async fn start(&mut self, place: Place) -> Result<(), Ended> {
        let files = Arc::clone(&self.files);
        let found = blocking(move || match place {
            Place::After(had) => files.start(&had),
            Place::At { file, offset } => files.start_at(&file, offset),
        });
        let found = found.await?;
        self.connection.started(found.as_ref().map(|(start, head)| (start.clone(), &**head)).map_err(Clone::clone));
        Ok(())
    }

    fn fail(&mut self, reason: &str) {
        tracing::warn!(reason, "binlog server: stream ends");
        self.connection.fail(reason);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Ended> {
    spawn_blocking(work).await.map_err(|error| Ended::Files(error.to_string()))
}

async fn period(heartbeat: Option<Duration>) {
    match heartbeat {
        Some(period) => sleep(period).await,
        None => std::future::pending().await,
    }
}
