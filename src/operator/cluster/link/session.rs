//! The protocol over one stream: greeting, pings, orders with deadlines in the agent's clock.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::channels::Channels;
use super::lines::Lines;
use super::transport::Stream;
use crate::control::effect::Command;
use crate::control::input::LinkEvent;
use crate::control::pod::PodTarget;
use crate::orders::{AgentState, BootMillis, Down, OrderEnvelope, PROTOCOL_VERSION, Up};
use crate::time::whole_millis;

/// Time between two pings.
const PING: Duration = Duration::from_secs(2);
/// Time between two pings while the member is in doubt: a stream whose other end stopped must not hide a death.
const DOUBT_PING: Duration = Duration::from_millis(500);
/// So many pings in a row without a word: the stream is gone. Pings are counted, not time: an operator that stood still itself
/// has sent none, and has yet to read what was said to it.
const UNANSWERED: u32 = 3;
/// The agent greets as soon as it is connected.
const GREETING: Duration = Duration::from_secs(3);
/// A line is taken by the kernel or the API server at once, or the stream is stuck.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// The agent's clock as estimated from what it told: never ahead of the real one.
#[derive(Debug, Clone, Copy)]
struct AgentClock {
    boot_ms: BootMillis,
    heard: Instant,
}

impl AgentClock {
    fn deadline(self, limit: Duration) -> BootMillis {
        let ahead = self.heard.elapsed() + limit;
        BootMillis(self.boot_ms.0.saturating_add(whole_millis(ahead)))
    }

    /// The later estimate is the better one: the delay of a line only makes it too early.
    fn learn(&mut self, state: &AgentState) {
        let heard = Instant::now();
        if state.boot_ms > self.deadline(Duration::ZERO) {
            *self = Self { boot_ms: state.boot_ms, heard };
        }
    }
}

/// Holds one stream until it ends: whether the agent had greeted, and why it ended.
pub(super) async fn hold(link: &mut Channels, pod: &PodTarget, stream: Stream) -> (bool, String) {
    let Stream { up, down, guard: _guard } = stream;
    let mut lines = Lines::new(up);
    let state = match greeting(&mut lines, pod).await {
        Ok(state) => state,
        Err(error) => return (false, error.to_string()),
    };
    let clock = AgentClock { boot_ms: state.boot_ms, heard: Instant::now() };
    link.tell(LinkEvent::Greeted { state: Box::new(state) });
    let why = match converse(link, pod, lines, down, clock).await {
        Ok(why) => why.to_owned(),
        Err(error) => error.to_string(),
    };
    (true, why)
}

async fn greeting(
    lines: &mut Lines<Box<dyn tokio::io::AsyncRead + Send + Unpin>>,
    pod: &PodTarget,
) -> io::Result<AgentState> {
    let first =
        timeout(GREETING, lines.next::<Up>()).await.map_err(|_| io::Error::other("the agent does not greet"))?;
    match first? {
        Some(Up::Hello { v, .. }) if v != PROTOCOL_VERSION => Err(io::Error::other(format!(
            "the agent speaks protocol version {v}, this operator {PROTOCOL_VERSION}: restart the pod to renew its agent"
        ))),
        Some(Up::Hello { state, .. }) if state.pod_uid != pod.uid => {
            Err(io::Error::other(format!("another pod answered: {}, not {}", state.pod_uid, pod.uid)))
        }
        Some(Up::Hello { state, .. }) => Ok(state),
        Some(_) => Err(io::Error::other("the agent's first line is not a greeting")),
        None => Err(io::Error::other("the stream ended before the agent greeted")),
    }
}

async fn converse(
    link: &mut Channels,
    pod: &PodTarget,
    mut lines: Lines<Box<dyn tokio::io::AsyncRead + Send + Unpin>>,
    mut down: Box<dyn AsyncWrite + Send + Unpin>,
    mut clock: AgentClock,
) -> io::Result<&'static str> {
    let mut doubt = *link.doubt.borrow_and_update();
    let mut pings = pings(doubt);
    let mut n = 0;
    // Since something was heard, in the present pace.
    let mut unanswered = 0;
    loop {
        tokio::select! {
            line = lines.next::<Up>() => {
                let Some(up) = line? else { return Ok("the agent closed the stream") };
                unanswered = 0;
                clock.learn(up.state());
                link.tell(LinkEvent::Told { up: Box::new(up) });
            }
            command = link.orders.recv() => {
                let Some(command) = command else { return Ok("no longer needed") };
                write(&mut down, &Down::Order(sign(command, clock))).await?;
            }
            _ = pings.tick() => {
                if unanswered >= UNANSWERED {
                    return Ok("three pings were not answered");
                }
                (n, unanswered) = (n + 1, unanswered + 1);
                write(&mut down, &Down::Ping { n }).await?;
            }
            changed = link.doubt.changed() => {
                if changed.is_err() {
                    return Ok("no longer needed");
                }
                let now = *link.doubt.borrow_and_update();
                if now != doubt {
                    doubt = now;
                    // The first ping goes out at once; only what it and the next ones meet counts.
                    (pings, unanswered) = (self::pings(doubt), 0);
                }
            }
            changed = link.pod.changed() => {
                if changed.is_err() {
                    return Ok("no longer needed");
                }
                if link.pod.borrow_and_update().as_ref().is_none_or(|now| now.uid != pod.uid) {
                    return Ok("the pod is gone");
                }
            }
        }
    }
}

fn pings(doubt: bool) -> Interval {
    let mut pings = interval(if doubt { DOUBT_PING } else { PING });
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

fn sign(command: Command, clock: AgentClock) -> OrderEnvelope {
    let Command { id, token, order, limit } = command;
    OrderEnvelope { v: PROTOCOL_VERSION, id, token, deadline: clock.deadline(limit), order }
}

async fn write(down: &mut (impl AsyncWrite + Unpin), line: &Down) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let written = async {
        down.write_all(&bytes).await?;
        down.flush().await
    };
    timeout(WRITE_LIMIT, written).await.map_err(|_| io::Error::other("the stream takes no more lines"))?
}
