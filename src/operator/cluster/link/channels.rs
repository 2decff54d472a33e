//! What a link is told, and where it tells what happens.

use tokio::sync::{mpsc, watch};

use crate::control::effect::Command;
use crate::control::input::{Input, LinkEvent};
use crate::control::pod::PodTarget;
use crate::orders::Ordinal;

/// The link's ends of its channels.
pub(super) struct Channels {
    /// The member it leads to.
    pub(crate) ordinal: Ordinal,
    /// Where it tells what happens.
    pub(crate) inputs: mpsc::UnboundedSender<Input>,
    /// Orders for the agent.
    pub(crate) orders: mpsc::UnboundedReceiver<Command>,
    /// The pod to hold a stream to.
    pub(crate) pod: watch::Receiver<Option<PodTarget>>,
    /// True while the member is in doubt.
    pub(crate) doubt: watch::Receiver<bool>,
}

impl Channels {
    /// Tells what happened to the stream.
    pub(crate) fn tell(&self, event: LinkEvent) {
        // A cluster task that has ended needs no news.
        let _ = self.inputs.send(Input::Link { ordinal: self.ordinal, event });
    }
}
