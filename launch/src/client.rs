//! Asking launch from a plain program: the liveness check and tests. The agent has its own client, which waits for more.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::protocol::{Reply, Request};

/// launch answers within microseconds; a second means that it is stuck.
const LIMIT: Duration = Duration::from_secs(1);

/// A connection to launch.
pub struct Client(BufReader<UnixStream>);

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens on `socket`.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Waits longer than a second for each reply.
    ///
    /// # Errors
    /// When the socket refuses the limit.
    pub fn wait_up_to(&mut self, limit: Duration) -> io::Result<()> {
        self.0.get_ref().set_read_timeout(Some(limit))
    }

    /// Sends a request and waits for the next line.
    ///
    /// # Errors
    /// When launch does not answer within the limit, or not in this protocol.
    pub fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.0.get_mut().write_all(&line)?;
        self.next_reply()
    }

    /// The next line.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn next_reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "launch ended the connection"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}
