//! Why a member has no pod: only the Events of the StatefulSet say that a quota, a policy or an admission webhook refuses
//! it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use tracing::debug;

use crate::api::validate::member_ordinal;
use crate::control::pod::{POD_REFUSED, Trouble};
use crate::orders::Ordinal;
use crate::resources::names;

/// Reason of the StatefulSet controller's Events about pods and claims that it could not create.
const FAILED: &str = "FailedCreate";
/// Older Events speak of something that has passed: the controller tries again after 1000 s at the latest.
const LASTS: SignedDuration = SignedDuration::from_mins(20);
/// Events read at most: there is one for each pod and each kind of refusal.
const MOST: u32 = 100;

/// What the Events of a cluster's StatefulSet say about pods that could not be created, by member.
pub(crate) async fn look(events: &Api<Event>, cluster: &str) -> BTreeMap<Ordinal, Trouble> {
    let set = names::stateful_set(cluster);
    let about = format!("involvedObject.kind=StatefulSet,involvedObject.name={set},reason={FAILED}");
    match events.list(&ListParams::default().fields(&about).limit(MOST)).await {
        Ok(found) => troubles(cluster, &found.items, Timestamp::now()),
        Err(error) => {
            debug!(cluster, %error, "the Events of a StatefulSet cannot be read");
            BTreeMap::new()
        }
    }
}

fn troubles(cluster: &str, events: &[Event], now: Timestamp) -> BTreeMap<Ordinal, Trouble> {
    let mut fresh: Vec<(Timestamp, &Event)> = events
        .iter()
        .filter_map(|event| Some((time(event)?, event)))
        .filter(|(at, _)| now.duration_since(*at) < LASTS)
        .collect();
    fresh.sort_by_key(|(at, _)| *at);
    fresh.into_iter().filter_map(|(_, event)| trouble(cluster, event)).collect()
}

fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

/// `create Pod shop-0 in StatefulSet shop failed error: …`, or the same for a claim: `create Claim data-shop-0 for Pod
/// shop-0 in …`.
fn trouble(cluster: &str, event: &Event) -> Option<(Ordinal, Trouble)> {
    let message = event.message.as_deref()?;
    let (_, rest) = message.split_once("Pod ")?;
    let ordinal = member_ordinal(cluster, rest.split_whitespace().next()?)?;
    let words = message.split_once("error: ").map_or(message, |(_, words)| words);
    Some((ordinal, Trouble { reason: POD_REFUSED.to_owned(), message: words.to_owned() }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(message: &str, time: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {}, "reason": FAILED, "message": message, "lastTimestamp": time,
        }))
        .unwrap()
    }

    #[test]
    fn the_newest_refusal_of_each_pod_is_told() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let quota = "pods \"shop-0\" is forbidden: exceeded quota: small";
        let events = [
            event(&format!("create Pod shop-0 in StatefulSet shop failed error: {quota}"), "2026-11-28T11:59:00Z"),
            event("create Pod shop-0 in StatefulSet shop failed error: older", "2026-11-28T11:58:00Z"),
            event(
                "create Claim data-shop-1 Pod shop-1 in StatefulSet shop failed error: no claim",
                "2026-11-28T11:59:00Z",
            ),
            event("create Pod shop-2 in StatefulSet shop failed error: long ago", "2026-11-28T11:00:00Z"),
            event("create Pod other-0 in StatefulSet other failed error: not ours", "2026-11-28T11:59:00Z"),
        ];
        let told = troubles("shop", &events, now);
        let words: Vec<(u8, &str)> = told.iter().map(|(ordinal, told)| (ordinal.0, told.message.as_str())).collect();
        assert_eq!(words, [(0, quota), (1, "no claim")]);
    }
}
