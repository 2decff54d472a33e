//! The Events users read in `kubectl describe`: every reason is named here, and publishing never holds up an act.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::debug;

use crate::api::ReplicationCluster;
use crate::orders::Term;

/// Name under which Events are reported.
const CONTROLLER: &str = "beachmaster";

/// What an Event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The one initialisation is done.
    Initialised,
    /// A failover was announced.
    FailoverStarted,
    /// The dead primary's unsent transactions were brought to the candidate.
    TailSalvaged,
    /// The candidate has a long tail to apply.
    CatchingUp,
    /// A member became primary.
    Promoted,
    /// A failover is done.
    FailoverComplete,
    /// The old primary became primary again.
    Resumed,
    /// The next step is not possible.
    Blocked,
    /// A member's mariadbd ended.
    MariadbdExited,
    /// A member follows the primary again.
    MemberRejoined,
    /// A member has transactions the primary does not have, or foreign data.
    MemberQuarantined,
    /// An acknowledgement now means something else.
    DurabilityChanged,
    /// The spec cannot be used.
    InvalidSpec,
    /// A pod of the cluster does not start.
    MemberPending,
}

impl Reason {
    /// The Event's reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initialised => "Initialised",
            Self::FailoverStarted => "FailoverStarted",
            Self::TailSalvaged => "TailSalvaged",
            Self::CatchingUp => "CatchingUp",
            Self::Promoted => "Promoted",
            Self::FailoverComplete => "FailoverComplete",
            Self::Resumed => "Resumed",
            Self::Blocked => "Blocked",
            Self::MariadbdExited => "MariadbdExited",
            Self::MemberRejoined => "MemberRejoined",
            Self::MemberQuarantined => "MemberQuarantined",
            Self::DurabilityChanged => "DurabilityChanged",
            Self::InvalidSpec => "InvalidSpec",
            Self::MemberPending => "MemberPending",
        }
    }

    fn type_(self) -> EventType {
        match self {
            Self::FailoverStarted
            | Self::Blocked
            | Self::MariadbdExited
            | Self::MemberQuarantined
            | Self::InvalidSpec
            | Self::MemberPending => EventType::Warning,
            _ => EventType::Normal,
        }
    }
}

/// Publishes Events about clusters.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// Publishes as the process `instance`.
    #[must_use]
    pub fn new(client: kube::Client, instance: String) -> Self {
        Self(Recorder::new(client, Reporter { controller: CONTROLLER.to_owned(), instance: Some(instance) }))
    }

    /// Publishes in the background. Events of one reason, term and subject are counted, not repeated.
    pub fn publish(&self, cluster: &ReplicationCluster, reason: Reason, (term, subject): (Term, &str), note: String) {
        let recorder = self.0.clone();
        let about: ObjectReference = cluster.object_ref(&());
        let event = Event {
            type_: reason.type_(),
            reason: reason.as_str().to_owned(),
            note: Some(bounded(note)),
            // Kubernetes tells Events apart by everything but the note.
            action: format!("Term{term} {subject}").trim_end().to_owned(),
            secondary: None,
        };
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &about).await {
                debug!(%error, reason = event.reason, "an Event was not published");
            }
        });
    }
}

/// The API server refuses longer notes.
const MAX_NOTE: usize = 1024;

fn bounded(mut note: String) -> String {
    let mut end = MAX_NOTE.min(note.len());
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.truncate(end);
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_between_characters() {
        let note = bounded("ä".repeat(600) + "x");
        assert!(note.len() <= MAX_NOTE && note.ends_with('ä'));
        assert_eq!(bounded("short".to_owned()), "short");
    }
}
