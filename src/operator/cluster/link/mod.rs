//! The held stream to one member's agent: orders down, answers and events up.
//!
//! [`Transport`] opens a stream (today by exec through the API server), [`session`](mod@session) speaks the protocol over
//! one stream, [`Link`] keeps one open for as long as the pod exists. What an answer means is not decided here.

mod channels;
mod exec;
mod lines;
mod session;
#[cfg(test)]
mod tests;
mod transport;

pub(crate) use exec::ExecTransport;
pub(crate) use transport::Transport;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::debug;

use self::channels::Channels;
use crate::control::effect::Command;
use crate::control::input::{Input, LinkEvent};
use crate::control::pod::PodTarget;
use crate::orders::Ordinal;

/// Longest the opening of a stream may take: through API server and kubelet it takes about 0.1 s.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// The same while the member is in doubt: another try may take another way.
const DOUBT_OPEN_LIMIT: Duration = Duration::from_secs(1);
/// First pause before a stream is opened again, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Orders must work again within 3 s after an agent was killed, and the kubelet takes one or two of them.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What the cluster task holds of a link.
pub(crate) struct LinkHandle {
    /// Where orders go. They are dropped while no stream is open.
    pub(crate) orders: mpsc::UnboundedSender<Command>,
    /// The pod to hold a stream to. Nothing is told before the first word about it.
    pub(crate) pod: watch::Sender<Option<PodTarget>>,
    /// True while the member is in doubt: the stream is pinged often.
    pub(crate) doubt: watch::Sender<bool>,
}

/// Keeps a stream to one member open.
pub(crate) struct Link {
    transport: Arc<dyn Transport>,
    channels: Channels,
}

impl Link {
    /// A link that tells `inputs` what happens; [`Self::run`] makes it work.
    #[must_use]
    pub(crate) fn new(
        ordinal: Ordinal,
        transport: Arc<dyn Transport>,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> (Self, LinkHandle) {
        let (orders, received) = mpsc::unbounded_channel();
        let (pod, target) = watch::channel(None);
        let (doubt, doubted) = watch::channel(false);
        let channels = Channels { ordinal, inputs, orders: received, pod: target, doubt: doubted };
        (Self { transport, channels }, LinkHandle { orders, pod, doubt })
    }

    /// Works until the handle is dropped.
    pub(crate) async fn run(mut self) {
        // Until the pods have been looked at once, nobody knows whether there is one.
        if self.channels.pod.changed().await.is_err() {
            return;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(pod) = self.channels.pod.borrow_and_update().clone() else {
                self.channels.tell(LinkEvent::Away { why: "there is no pod".to_owned() });
                if self.channels.pod.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let (greeted, why) = self.hold(&pod).await;
            debug!(member = %self.channels.ordinal, pod = pod.name, %why, "no stream to the agent");
            self.channels.tell(LinkEvent::Away { why });
            if greeted {
                pause = FIRST_PAUSE;
                continue;
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                changed = self.channels.pod.changed() => match changed {
                    Ok(()) => pause = FIRST_PAUSE,
                    Err(_) => return,
                },
            }
        }
    }

    /// Opens a stream and holds it to its end: whether the agent had greeted, and why it ended.
    async fn hold(&mut self, pod: &PodTarget) -> (bool, String) {
        let limit = if *self.channels.doubt.borrow() { DOUBT_OPEN_LIMIT } else { OPEN_LIMIT };
        let stream = match timeout(limit, self.transport.open(pod)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return (false, error.to_string()),
            Err(_) => return (false, format!("not opened within {limit:?}")),
        };
        // Orders from before this stream were reported as unanswered already.
        while self.channels.orders.try_recv().is_ok() {}
        session::hold(&mut self.channels, pod, stream).await
    }
}
