//! Commands to a writer or observer in a pod: a socket in the pod, one line down, one JSON line up.
//!
//! The scenarios run `e2e ctl COMMAND…` by exec, which is the client side of this.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// Answers commands.
pub trait Commanded: Send + Sync + 'static {
    /// Carries out a command, given as words.
    fn command(&self, words: &[&str]) -> impl Future<Output = Result<Value>> + Send;
}

/// Serves commands for ever.
///
/// # Errors
/// When the socket cannot be made.
pub async fn serve(socket: &Path, commanded: Arc<impl Commanded>) -> Result<()> {
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let commanded = commanded.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &*commanded).await {
                eprintln!("control: {error:#}");
            }
        });
    }
}

async fn answer(stream: UnixStream, commanded: &impl Commanded) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let reply = match commanded.command(&words).await {
        Ok(value) => serde_json::json!({ "ok": value }),
        Err(error) => serde_json::json!({ "error": format!("{error:#}") }),
    };
    write.write_all(&serde_json::to_vec(&reply)?).await?;
    write.shutdown().await?;
    Ok(())
}

/// Sends a command and prints the answer.
///
/// # Errors
/// When nobody listens, or the command failed.
pub async fn client(socket: &Path, words: &[String]) -> Result<()> {
    let mut stream =
        UnixStream::connect(socket).await.with_context(|| format!("nobody listens on {}", socket.display()))?;
    stream.write_all(format!("{}\n", words.join(" ")).as_bytes()).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    let mut reply: Value = serde_json::from_slice(&reply)?;
    if let Some(error) = reply.get("error") {
        bail!("{error}");
    }
    println!("{}", reply["ok"].take());
    Ok(())
}

/// Lets workers run or makes them rest, and knows when all of them do.
pub struct Gate {
    open: watch::Sender<bool>,
    busy: watch::Sender<u32>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: watch::Sender::new(true), busy: watch::Sender::new(0) }
    }
}

impl Gate {
    /// Waits until work is allowed; the worker counts as busy until the returned pass is dropped.
    pub async fn pass(&self) -> Pass<'_> {
        let mut open = self.open.subscribe();
        loop {
            // Counted before the look at the gate: one who closes it and then counts cannot miss us.
            let pass = Pass::new(self);
            if *open.borrow_and_update() {
                return pass;
            }
            drop(pass);
            let _ = open.changed().await;
        }
    }

    /// Closes the gate and waits until nobody works.
    pub async fn close(&self) {
        self.open.send_replace(false);
        let _ = self.busy.subscribe().wait_for(|busy| *busy == 0).await;
    }

    /// Lets everybody work.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

/// Permission for one attempt.
pub struct Pass<'a>(&'a Gate);

impl<'a> Pass<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.busy.send_modify(|busy| *busy += 1);
        Self(gate)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy -= 1);
    }
}
