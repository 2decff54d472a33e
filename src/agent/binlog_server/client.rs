//! One client of the binlog server: what the protocol asks for, done with sockets, files and time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::agent::binlog_files::BinlogFiles;
use crate::agent::log_reader::LogReader;
use crate::protocol::{Connection, Place, ProtocolError, Settings, Step};

/// A replica sends its next statement within a round trip; who has not asked for the stream after so long is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// As `net_write_timeout` of a primary: a client that has taken nothing for so long is gone. A replica that was only slow
/// comes again.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// Bytes taken from a client at once: replicas send little.
const RECEIVE: usize = 4096;

/// Why a connection ended.
#[derive(Debug, Error)]
enum Ended {
    #[error("network: {0}")]
    Network(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("the client did not ask for the stream within {} seconds", PATIENCE.as_secs())]
    Silent,
    #[error("the client read nothing for {} seconds", WRITE_PATIENCE.as_secs())]
    Stalled,
    #[error("the client closed the connection")]
    Closed,
    #[error("{0}")]
    Files(String),
}

/// A connected client.
pub(super) struct Client {
    stream: TcpStream,
    peer: SocketAddr,
    files: Arc<BinlogFiles>,
    connection: Connection,
    /// Until when it must have asked for the stream, also when it says something now and then.
    patience: Instant,
    /// The file being streamed, by its index.
    open: Option<(usize, LogReader)>,
    /// What was read of it last; kept for its memory.
    bytes: Vec<u8>,
}

impl Client {
    /// A client that has just connected.
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, files: Arc<BinlogFiles>, settings: Settings) -> Self {
        let (connection, patience) = (Connection::new(settings), Instant::now() + PATIENCE);
        Self { stream, peer, files, connection, patience, open: None, bytes: Vec::new() }
    }

    /// Its address.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The client, once it has logged in; `None` when it does not.
    pub(super) async fn log_in(mut self) -> Option<Self> {
        let done = self.greet().await;
        if done.is_ok() && self.connection.is_logged_in() {
            return Some(self);
        }
        self.report(&done);
        None
    }

    /// Serves a client that has logged in until it leaves.
    pub(super) async fn run(mut self) {
        let done = self.serve().await;
        self.report(&done);
    }

    fn report(&self, done: &Result<(), Ended>) {
        let peer = self.peer;
        match done {
            Ok(()) => tracing::debug!(%peer, "binlog server: connection done"),
            Err(error) => tracing::info!(%peer, %error, "binlog server: connection ended"),
        }
    }

    async fn greet(&mut self) -> Result<(), Ended> {
        self.stream.set_nodelay(true)?;
        while !self.connection.is_logged_in() {
            match self.next().await? {
                Step::Close => return Ok(self.stream.shutdown().await?),
                // Before the login nothing else is asked for.
                _ => self.receive_in_time().await?,
            }
        }
        Ok(())
    }

    async fn serve(&mut self) -> Result<(), Ended> {
        loop {
            match self.next().await? {
                Step::Receive => self.receive_in_time().await?,
                Step::Position { file, offset } => self.position(file, offset).await?,
                Step::Start(place) => self.start(place).await?,
                Step::Scan { file, heartbeat } => self.scan(file, heartbeat).await?,
                Step::Read { file, offset, length } => self.read(file, offset, length).await?,
                Step::Idle { heartbeat } => self.wait(heartbeat).await?,
                Step::Close => return Ok(self.stream.shutdown().await?),
            }
        }
    }

    /// What to do next, when everything before it is sent.
    async fn next(&mut self) -> Result<Step, Ended> {
        let step = self.connection.step();
        let output = self.connection.take_output();
        send(&mut self.stream, &output, WRITE_PATIENCE).await?;
        self.connection.reuse(output);
        Ok(step)
    }

    async fn receive_in_time(&mut self) -> Result<(), Ended> {
        timeout_at(self.patience, self.receive()).await.map_err(|_| Ended::Silent)?
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
                    send(&mut self.stream, &output, WRITE_PATIENCE).await?;
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

/// Waits without a limit for a client that takes something now and then, and `patience` long for one that takes nothing.
async fn send(client: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], patience: Duration) -> Result<(), Ended> {
    while !bytes.is_empty() {
        let taken = timeout(patience, client.write(bytes)).await.map_err(|_| Ended::Stalled)??;
        if taken == 0 {
            return Err(Ended::Network(io::ErrorKind::WriteZero.into()));
        }
        bytes = bytes.get(taken..).unwrap_or_default();
    }
    Ok(())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn a_slow_client_is_waited_for_and_one_that_takes_nothing_is_not() {
        let patience = Duration::from_secs(1);
        let (mut server, mut client) = duplex(1);
        let slow = async {
            let mut byte = [0];
            for _ in 0..7 {
                sleep(patience / 4).await;
                client.read_exact(&mut byte).await.unwrap();
            }
        };
        tokio::join!(async { send(&mut server, b"8 bytes.", patience).await.unwrap() }, slow);
        assert!(matches!(send(&mut server, b"!", patience).await, Err(Ended::Stalled)));
    }
}
