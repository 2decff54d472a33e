//! The socket under a session: bytes of [`Client`] go out, bytes of the server come in.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

use super::error::WireError;
use crate::protocol::{Answer, Bounds, Client, Credentials};

/// Bytes that are read at once: most answers are shorter.
const CHUNK: usize = 8 * 1024;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Its Unix socket.
    Socket(PathBuf),
    /// Host name or IP address, and port.
    Tcp { host: String, port: u16 },
}

/// A connection that is logged in.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    client: Client,
    chunk: Box<[u8]>,
}

#[derive(Debug)]
enum Stream {
    Socket(UnixStream),
    Tcp(TcpStream),
}

impl Wire {
    /// Connects and logs in. The caller sets a limit of time.
    pub(crate) async fn log_in(address: &Address, credentials: Credentials, bounds: Bounds) -> Result<Self, WireError> {
        let stream = match address {
            Address::Socket(path) => Stream::Socket(connect(path).await?),
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
        };
        let chunk = vec![0; CHUNK].into_boxed_slice();
        let mut wire = Self { stream, client: Client::new(credentials, bounds), chunk };
        wire.answer().await?.map_err(WireError::Refused)?;
        Ok(wire)
    }

    /// Asks a statement and waits for the whole answer. When the caller does not wait, the wire is of no use any more.
    pub(crate) async fn ask(&mut self, statement: &str) -> Result<Answer, WireError> {
        self.client.ask(statement)?;
        self.answer().await
    }

    pub(crate) fn set_bounds(&mut self, bounds: Bounds) {
        self.client.set_bounds(bounds);
    }

    pub(crate) fn connection_id(&self) -> u32 {
        self.client.connection_id()
    }

    async fn answer(&mut self) -> Result<Answer, WireError> {
        loop {
            let output = self.client.take_output();
            if !output.is_empty() {
                self.stream.write_all(&output).await?;
            }
            if let Some(answer) = self.client.take_answer() {
                return Ok(answer);
            }
            let count = self.stream.read(&mut self.chunk).await?;
            let bytes = self.chunk.get(..count).filter(|bytes| !bytes.is_empty()).ok_or(WireError::Closed)?;
            self.client.receive(bytes)?;
        }
    }
}

/// Waits while the server's queue is full: then connect(2) fails at once with EAGAIN, which says that the server does not accept,
/// not that nobody listens.
async fn connect(path: &Path) -> io::Result<UnixStream> {
    const PAUSE: Duration = Duration::from_millis(10);
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE).await,
            connected => return connected,
        }
    }
}

/// Without its farewell mariadbd logs each session as an aborted connection. There is room for five bytes, or nobody reads.
impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(farewell) = self.client.farewell() {
            let _ = self.stream.try_write(&farewell);
        }
    }
}

impl Stream {
    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Socket(stream) => stream.write_all(bytes).await,
            Self::Tcp(stream) => stream.write_all(bytes).await,
        }
    }

    async fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.read(chunk).await,
            Self::Tcp(stream) => stream.read(chunk).await,
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_write(bytes),
            Self::Tcp(stream) => stream.try_write(bytes),
        }
    }
}
