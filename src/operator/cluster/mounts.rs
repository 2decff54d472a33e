//! Why a pod on a node starts no container: only its Events say that a Secret it mounts does not exist.

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use tracing::debug;

use crate::control::pod::{PodFacts, SECRET_NOT_FOUND, Trouble};

/// Reason of the kubelet's Events about what it cannot mount.
const FAILED: &str = "FailedMount";

/// True when a pod has a node and no network yet: that comes after the mounts.
#[must_use]
pub(crate) fn waits_for_mounts(pod: &PodFacts) -> bool {
    pod.node.is_some() && pod.ip.is_none() && !pod.deleting
}

/// What the Events of the pod say about its mounts.
pub(crate) async fn look(events: &Api<Event>, pod: &PodFacts) -> Option<Trouble> {
    let about = format!("involvedObject.kind=Pod,involvedObject.uid={}", pod.uid);
    match events.list(&ListParams::default().fields(&about)).await {
        Ok(found) => found.items.iter().rev().find_map(trouble),
        Err(error) => {
            debug!(pod = pod.name, %error, "the Events of a pod cannot be read");
            None
        }
    }
}

fn trouble(event: &Event) -> Option<Trouble> {
    let message = event.message.clone().unwrap_or_default();
    let no_secret = message.contains("secret \"") && message.contains("not found");
    let no_key = message.contains("non-existent secret key");
    let reason = if no_secret || no_key { SECRET_NOT_FOUND } else { FAILED };
    (event.reason.as_deref() == Some(FAILED)).then(|| Trouble { reason: reason.to_owned(), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str, message: &str) -> Event {
        Event { reason: Some(reason.to_owned()), message: Some(message.to_owned()), ..Event::default() }
    }

    #[test]
    fn a_missing_secret_is_told_by_its_name() {
        for message in [
            "MountVolume.SetUp failed for volume \"encryption\" : secret \"shop-keys\" not found",
            "MountVolume.SetUp failed for volume \"encryption\" : references non-existent secret key: keys",
        ] {
            let told = trouble(&event(FAILED, message)).unwrap();
            assert_eq!((told.reason.as_str(), told.message.as_str()), (SECRET_NOT_FOUND, message));
        }
        assert_eq!(trouble(&event(FAILED, "the node is busy")).unwrap().reason, FAILED);
        assert_eq!(trouble(&event("Scheduled", "secret \"a\" not found")), None);
    }
}
