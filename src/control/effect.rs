//! Everything a cluster's machine wants done, as values. What becomes of it comes back as an
//! [`Input`](super::input::Input), where something does.

use std::net::IpAddr;
use std::time::Duration;

use super::event_reason::EventReason;
use super::gauges::Gauges;
use super::labels::LabelPatch;
use super::pod::PodTarget;
use super::timeline::{Point, Story};
use crate::api::ReplicationCluster;
use crate::orders::{Order, Ordinal, Term, Token};

/// Something to do.
#[derive(Debug)]
pub enum Effect {
    /// Replace the object's status; the resourceVersion in it must still be the newest. Ends in `StatusWritten`.
    WriteStatus(Box<ReplicationCluster>),
    /// Read the object. Ends in `StatusRead`.
    ReadStatus,
    /// Read the object, to see whether the record still says what NAME-primary is to be put back to. Ends in
    /// `StatusChecked`.
    CheckStatus,
    /// Read NAME-primary. Ends in `ServiceRead`.
    ReadService,
    /// Write the selector and the term of NAME-primary. Ends in `ServiceWritten`.
    WriteService(ServicePatch),
    /// Watch a member like this from now on.
    Watch { ordinal: Ordinal, how: Watching },
    /// Send an order. Ends in an answer, or in the machine's own deadline.
    Order { ordinal: Ordinal, command: Command },
    /// Put labels on a pod.
    Label(LabelPatch),
    /// Create or fill the Failover object.
    Failover(FailoverRecord),
    /// Publish an Event about the cluster.
    Event(News),
    /// Show these numbers from now on.
    Show(Box<Gauges>),
    /// Count something.
    Count(Count),
    /// The object is gone, or its record cannot be continued from: the machine has ended.
    End,
}

/// A new selector for NAME-primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePatch {
    /// The member it is to lead to.
    pub member: Ordinal,
    /// The term in which that is written.
    pub term: Term,
    /// The version of the Service that was read: a write that arrives late undoes no newer one.
    pub resource_version: Option<String>,
}

/// How a member is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watching {
    /// The pods were read once: before that nobody knows whether there is one.
    pub known: bool,
    /// The pod to hold a stream to.
    pub pod: Option<PodTarget>,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// Port of its mariadbd for the operator, once its agent has told it.
    pub extra_port: Option<u16>,
    /// Probe it often.
    pub eager: bool,
    /// Ping its agent often.
    pub doubt: bool,
    /// Raised to ask for a look at once.
    pub looks: u64,
}

/// A record in a Failover object.
#[derive(Debug, Clone)]
pub enum FailoverRecord {
    /// A failover is committed: a successor finds the record even if this process ends now.
    Begin(Box<Story>),
    /// It has ended.
    Complete(Box<Story>),
    /// An earlier leader may have left the record of this term open.
    CompleteLeftOver(Term),
}

/// An Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Its reason.
    pub reason: EventReason,
    /// The term it belongs to.
    pub(crate) term: Term,
    /// What else tells it from another one of that reason: a member's name, mostly.
    pub(crate) subject: String,
    /// What is told.
    pub note: String,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// A member's mariadbd ended.
    MariadbdExit(Ordinal),
    /// A failover ended in a promotion.
    Failover,
    /// A transition reached a point, so many milliseconds after it began.
    Reached(Point, u64),
}

/// An order on its way to the agent.
#[derive(Debug, Clone)]
pub struct Command {
    /// Unique among all orders to this member.
    pub id: String,
    /// The right to give it.
    pub token: Token,
    /// What to do.
    pub order: Order,
    /// For how long the agent may work on it.
    pub limit: Duration,
}
