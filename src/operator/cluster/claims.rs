//! Why a pod waits for its volume: only the Events of its claim say that a StorageClass does not exist.

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use tracing::debug;

use crate::control::pod::{CLASS_NOT_FOUND, PodFacts, Trouble};
use crate::layout::DATA_VOLUME;

/// Reason of the volume controller's Events about claims it cannot serve.
const FAILED: &str = "ProvisioningFailed";

/// True when a pod has no node because its claim has no volume.
#[must_use]
pub(crate) fn waits_for_volume(pod: &PodFacts) -> bool {
    pod.node.is_none() && pod.trouble.as_ref().is_some_and(|trouble| trouble.message.contains("PersistentVolumeClaim"))
}

/// What the Events of the pod's claim say, when they say more than the pod.
pub(crate) async fn look(events: &Api<Event>, pod: &PodFacts) -> Option<Trouble> {
    let claim = format!("{DATA_VOLUME}-{}", pod.name);
    let about = format!("involvedObject.kind=PersistentVolumeClaim,involvedObject.name={claim}");
    match events.list(&ListParams::default().fields(&about)).await {
        Ok(found) => found.items.iter().rev().find_map(|event| trouble(&claim, event)),
        Err(error) => {
            debug!(claim, %error, "the Events of a claim cannot be read");
            None
        }
    }
}

fn trouble(claim: &str, event: &Event) -> Option<Trouble> {
    let message = event.message.clone().unwrap_or_default();
    let about_class = message.contains("storageclass") && message.contains("not found");
    let reason = if about_class { CLASS_NOT_FOUND } else { FAILED };
    (event.reason.as_deref() == Some(FAILED))
        .then(|| Trouble { reason: reason.to_owned(), message: format!("claim {claim}: {message}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str, message: &str) -> Event {
        Event { reason: Some(reason.to_owned()), message: Some(message.to_owned()), ..Event::default() }
    }

    #[test]
    fn a_missing_class_is_told_by_its_name() {
        let told = trouble("data-shop-0", &event(FAILED, "storageclass.storage.k8s.io \"nope\" not found")).unwrap();
        assert_eq!(told.reason, CLASS_NOT_FOUND);
        assert!(told.message.contains("data-shop-0") && told.message.contains("nope"), "{}", told.message);
        assert_eq!(trouble("c", &event(FAILED, "quota exceeded")).unwrap().reason, FAILED);
        assert_eq!(trouble("c", &event("WaitForFirstConsumer", "waiting")), None);
    }
}
