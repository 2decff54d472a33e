//! Publishes the Events that users read in `kubectl describe`, in the background: publishing never holds up an act.

mod ledger;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

use self::ledger::{Ledger, Told, Write};
use crate::api::ReplicationCluster;
use crate::control::event_reason::EventReason;
use crate::orders::Term;

/// Events that wait for the API server. A leader that tells more than this at once is in trouble itself, and logs tell
/// the same; what does not fit is left out.
const WAITING: usize = 256;
/// Longest a write of an Event may take: the next one waits for it.
const WRITE_LIMIT: Duration = Duration::from_secs(3);

/// Publishes Events about clusters.
#[derive(Clone)]
pub(crate) struct Events(mpsc::Sender<Told>);

impl Events {
    /// Publishes as the process `instance`, in the order in which things happen.
    #[must_use]
    pub(crate) fn new(client: Client, instance: String) -> Self {
        let (sender, told) = mpsc::channel(WAITING);
        tokio::spawn(write_all(client, Ledger::new(instance), told));
        Self(sender)
    }

    /// Publishes in the background. Events of one reason, term and subject become one that counts, with the newest note
    /// and time.
    pub(crate) fn publish(&self, cluster: &ReplicationCluster, reason: EventReason, about: (Term, &str), note: String) {
        self.publish_about(&cluster.metadata, reason, about, note);
    }

    /// The same for a ReplicationCluster of which only the metadata can be read.
    pub(crate) fn publish_about(
        &self,
        cluster: &ObjectMeta,
        reason: EventReason,
        (term, subject): (Term, &str),
        note: String,
    ) {
        let about = ObjectReference {
            api_version: Some(ReplicationCluster::api_version(&()).into_owned()),
            kind: Some(ReplicationCluster::kind(&()).into_owned()),
            name: cluster.name.clone(),
            namespace: cluster.namespace.clone(),
            uid: cluster.uid.clone(),
            ..ObjectReference::default()
        };
        let subject = format!("Term{term} {subject}").trim_end().to_owned();
        let told = Told { about, reason, subject, note: bounded(note), at: Timestamp::now() };
        if self.0.try_send(told).is_err() {
            debug!(reason = reason.as_str(), "an Event was dropped: too many wait for the API server");
        }
    }
}

/// Writes one after the other, until nobody can tell anything any more.
async fn write_all(client: Client, mut ledger: Ledger, mut told: mpsc::Receiver<Told>) {
    while let Some(told) = told.recv().await {
        let api: Api<Event> = Api::namespaced(client.clone(), told.about.namespace.as_deref().unwrap_or("default"));
        let reason = told.reason.as_str();
        let written = timeout(WRITE_LIMIT, write(&api, ledger.enter(&told))).await;
        let failed = match written {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {WRITE_LIMIT:?}"),
        };
        // Perhaps it was deleted meanwhile: the next one is a new Event.
        ledger.forget(&told);
        debug!(error = failed, reason, "an Event was not published");
    }
}

async fn write(api: &Api<Event>, write: Write) -> Result<(), kube::Error> {
    match write {
        Write::Create(event) => api.create(&PostParams::default(), &event).await.map(drop),
        Write::Again { name, change, whole } => {
            match api.patch(&name, &PatchParams::default(), &Patch::Merge(&change)).await {
                // Events live for an hour.
                Err(kube::Error::Api(status)) if status.is_not_found() => {
                    api.create(&PostParams::default(), &whole).await.map(drop)
                }
                other => other.map(drop),
            }
        }
    }
}

/// Longer notes are no notes.
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
