//! One stream: orders and pings down, answers and events up. Any number of streams may be open; what an order may do is
//! decided by its token, not by its stream.

use std::sync::Arc;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::dispatcher;
use super::state::Agent;
use crate::orders::{Down, MAX_LINE, OrderEnvelope, OrderError, Outcome, PROTOCOL_VERSION, Reason, Up};

/// Lines that may wait for a slow reader; then the stream ends, and the next one begins with the whole state.
const WAITING: usize = 64;

/// Serves a stream to its end. Orders it brought are carried out all the same.
pub(crate) async fn serve(agent: Arc<Agent>, connection: UnixStream) {
    let (read, write) = connection.into_split();
    let (up, lines) = mpsc::channel(WAITING);
    // Subscribed before `hello`: whatever happens after the state was taken comes as an event.
    let events = agent.events();
    let hello = Up::Hello { v: PROTOCOL_VERSION, state: agent.state() };
    let _ = up.send(hello).await;
    let writer = tokio::spawn(write_lines(lines, write));
    let teller = tokio::spawn(tell_events(Arc::clone(&agent), events, up.clone()));
    let mut reader = BufReader::new(read);
    loop {
        match next_line(&mut reader).await {
            Ok(Some(line)) => take(&agent, &line, &up).await,
            Ok(None) => break,
            Err(error) => {
                info!(%error, "a stream ended");
                break;
            }
        }
    }
    teller.abort();
    drop(up);
    // Answers still to come keep the writer alive; a peer that is gone ends it.
    let _ = writer.await;
}

async fn take(agent: &Arc<Agent>, line: &[u8], up: &mpsc::Sender<Up>) {
    match serde_json::from_slice(line) {
        Ok(Down::Ping { n }) => {
            let _ = up.send(Up::Pong { n, state: agent.state() }).await;
        }
        Ok(Down::Order(order)) => submit(agent, order, up),
        Err(error) => {
            warn!(%error, "a line is not an order of this version");
            if let Some(re) = id_of(line) {
                let message =
                    format!("this agent does not know the order ({error}): its version is older, restart its pod");
                let outcome = Outcome::Error(OrderError::new(Reason::Unsupported, message));
                answer(agent, up, re, Some(outcome)).await;
            }
        }
    }
}

/// Id of an order that is otherwise unknown.
fn id_of(line: &[u8]) -> Option<String> {
    let order: serde_json::Value = serde_json::from_slice(line).ok()?;
    Some(order.get("id")?.as_str()?.to_owned())
}

fn submit(agent: &Arc<Agent>, order: OrderEnvelope, up: &mpsc::Sender<Up>) {
    let re = order.id.clone();
    let case = dispatcher::submit(agent, order);
    let (agent, up) = (Arc::clone(agent), up.clone());
    tokio::spawn(async move {
        let outcome = match case {
            Ok(case) => case.outcome().await,
            Err(outcome) => Some(outcome),
        };
        answer(&agent, &up, re, outcome).await;
    });
}

async fn answer(agent: &Agent, up: &mpsc::Sender<Up>, re: String, outcome: Option<Outcome>) {
    if let Some(outcome) = outcome {
        let _ = up.send(Up::Answer { re, outcome, state: agent.state() }).await;
    }
}

async fn tell_events(
    agent: Arc<Agent>,
    mut events: tokio::sync::broadcast::Receiver<crate::orders::Event>,
    up: mpsc::Sender<Up>,
) {
    loop {
        match events.recv().await {
            Ok(event) => {
                if up.send(Up::Event { event, state: agent.state() }).await.is_err() {
                    return;
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn write_lines(mut lines: mpsc::Receiver<Up>, mut write: OwnedWriteHalf) {
    while let Some(line) = lines.recv().await {
        let Ok(mut text) = serde_json::to_vec(&line) else { continue };
        text.push(b'\n');
        if write.write_all(&text).await.is_err() {
            return;
        }
    }
}

/// The next line, none at the end.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = MAX_LINE as u64;
    let length = reader.take(limit).read_until(b'\n', &mut line).await?;
    match (length, line.last()) {
        (0, _) => Ok(None),
        (_, Some(b'\n')) => Ok(Some(line)),
        (length, _) if length as u64 == limit => {
            Err(std::io::Error::other(format!("a line is longer than {MAX_LINE} bytes")))
        }
        _ => Ok(None),
    }
}
