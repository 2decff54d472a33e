//! The agent's side of launch's socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use launch::protocol::{Command, ExitStatus, Reply, Request, State};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::orders::{OrderError, Reason};

/// launch answers within microseconds; seconds mean that it hangs.
const LIMIT: Duration = Duration::from_secs(2);
/// Between two tries to reach launch: a local connect costs nothing.
const RETRY: Duration = Duration::from_millis(20);

/// What the agent sees of launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nobody listens on its socket.
    Away,
    /// Its newest state.
    Present(State),
}

/// launch, as the agent knows it.
#[derive(Debug)]
pub(crate) struct LaunchClient {
    socket: PathBuf,
    seen: watch::Sender<Seen>,
}

impl LaunchClient {
    /// launch at this socket.
    #[must_use]
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket, seen: watch::Sender::new(Seen::Away) }
    }

    /// Follows launch's state for ever; whoever subscribed learns of changes at once.
    pub(crate) async fn watch(&self) {
        loop {
            // Whatever the error, launch cannot be asked now.
            let _ = self.follow().await;
            self.seen.send_if_modified(|seen| std::mem::replace(seen, Seen::Away) != Seen::Away);
            sleep(RETRY).await;
        }
    }

    /// The newest state, and every later one.
    #[must_use]
    pub(crate) fn subscribe(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Starts, signals or asks.
    ///
    /// # Errors
    /// [`Reason::Launch`] when launch does not answer or refuses.
    pub(crate) async fn ask(&self, request: Request) -> Result<State, OrderError> {
        let reply = timeout(LIMIT, self.one_reply(&request)).await;
        match reply.map_err(|_| OrderError::new(Reason::Launch, format!("launch did not answer within {LIMIT:?}")))? {
            Ok(Reply::State(state)) => Ok(state),
            Ok(Reply::Refused { message }) => {
                Err(OrderError::new(Reason::Launch, format!("launch refused: {message}")))
            }
            Ok(reply) => Err(OrderError::new(Reason::Launch, format!("launch gave an unexpected answer: {reply:?}"))),
            Err(error) => Err(self.away(&error)),
        }
    }

    /// Runs a tool to its end and returns how it ended and its last lines. Dropping the future kills the tool.
    ///
    /// # Errors
    /// [`Reason::Launch`] when launch goes away or refuses.
    pub(crate) async fn run(&self, command: Command) -> Result<(ExitStatus, Vec<String>), OrderError> {
        match self.one_reply(&Request::Run { command }).await {
            Ok(Reply::Ended { exit, output }) => Ok((exit, output)),
            Ok(Reply::Refused { message }) => {
                Err(OrderError::new(Reason::Launch, format!("launch refused: {message}")))
            }
            Ok(reply) => Err(OrderError::new(Reason::Launch, format!("launch gave an unexpected answer: {reply:?}"))),
            Err(error) => Err(self.away(&error)),
        }
    }

    async fn follow(&self) -> io::Result<()> {
        let (mut replies, _writer) = self.send(&Request::Subscribe).await?;
        while let Some(line) = replies.next_line().await? {
            if let Reply::State(state) = serde_json::from_str(&line)? {
                self.seen.send_replace(Seen::Present(state));
            }
        }
        Ok(())
    }

    async fn one_reply(&self, request: &Request) -> io::Result<Reply> {
        let (mut replies, _writer) = self.send(request).await?;
        let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ended the connection");
        let line = replies.next_line().await?.ok_or_else(ended)?;
        Ok(serde_json::from_str(&line)?)
    }

    async fn send(&self, request: &Request) -> io::Result<(Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf)> {
        let (read, mut write) = UnixStream::connect(&self.socket).await?.into_split();
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        write.write_all(&line).await?;
        Ok((BufReader::new(read).lines(), write))
    }

    fn away(&self, error: &io::Error) -> OrderError {
        OrderError::new(
            Reason::Launch,
            format!("launch at {}: {error}; container mariadb may be starting", self.socket.display()),
        )
    }
}
