//! Everything that can happen to a cluster, as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;

use super::desired::Desired;
use super::pod::{PodFacts, Trouble};
use crate::api::ReplicationCluster;
use crate::orders::{AgentState, Ordinal, Up};
use crate::time::Millis;
use crate::topology::observation::ServerView;

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// A member's agent said something, or its stream ended.
    Link { ordinal: Ordinal, event: LinkEvent },
    /// A member's mariadbd answered, or did not.
    Probe { ordinal: Ordinal, reading: Reading },
    /// A new connection to a member's mariadbd was tried, beginning at `begun`.
    NewConnection { ordinal: Ordinal, begun: Millis, outcome: Try },
    /// The cluster's pods changed.
    Pods(Vec<PodFacts>),
    /// Why members have no pod, of those for which that is known.
    Absent(BTreeMap<Ordinal, Trouble>),
    /// A watch shows a version of the object; its status may be an old one.
    Desired(Arc<Desired>),
    /// The end of [`super::effect::Effect::WriteStatus`]: the object as it stands then.
    StatusWritten(Result<Box<ReplicationCluster>, CallFailed>),
    /// The end of [`super::effect::Effect::ReadStatus`]; none when there is no such object.
    StatusRead(Result<Option<Box<ReplicationCluster>>, CallFailed>),
    /// The end of [`super::effect::Effect::CheckStatus`].
    StatusChecked(Result<Option<Box<ReplicationCluster>>, CallFailed>),
    /// The end of [`super::effect::Effect::ReadService`].
    ServiceRead(Result<Option<Box<Service>>, CallFailed>),
    /// The end of [`super::effect::Effect::WriteService`].
    ServiceWritten(Result<(), CallFailed>),
    /// A watch shows that somebody changed or deleted NAME-primary.
    ServiceChanged,
}

/// A call to the API server that did not clearly succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailed {
    /// The object has changed since it was read: nothing was written.
    pub conflict: bool,
    /// What the API server, or the way there, said.
    pub message: String,
}

/// What the stream to an agent tells.
#[derive(Debug)]
pub enum LinkEvent {
    /// A stream is open.
    Greeted { state: Box<AgentState> },
    /// The agent said something.
    Told { up: Box<Up> },
    /// No stream.
    Away { why: String },
}

/// What one look showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// It answered; `first` on a new connection.
    Answers { view: Box<ServerView>, first: bool },
    /// The connection was refused or closed.
    Refused,
    /// No answer within the limit, or no way there.
    Silent,
    /// An error instead of an answer.
    Sick { message: String },
    /// The operator's own account is refused.
    Denied { message: String },
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Try {
    /// The server greeted and logged the probe in.
    Accepted,
    /// No answer within the limit.
    Hung,
    /// The server answered with an error that other clients get, too.
    TurnedAway { message: String },
    /// Nothing that says what new clients meet: nobody listens, no way there, or our own account is refused.
    Unknown,
}
