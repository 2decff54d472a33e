//! The Failover object that tells what happened. Creating and filling it may be repeated.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, OwnerReference, Time};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource};

use super::chronicle::Story;
use crate::api::ReplicationCluster;
use crate::api::failover::{
    ClusterRef, Equalised, Failover, FailoverCause, FailoverSpec, FailoverStatus, Lost, Salvaged, TimelineStep,
    record_name,
};
use crate::api::validate::member_name;
use crate::gtid::{GtidRange, join_ranges};
use crate::operator::clients::{CallError, call};
use crate::operator::lease::Leadership;
use crate::orders::Ordinal;

/// Creates or completes the record of a failover.
///
/// # Errors
/// What the API server said; it may be tried again.
pub async fn write(
    api: &Api<Failover>,
    leadership: &Leadership,
    cluster: &ReplicationCluster,
    story: &Story,
) -> Result<(), CallError> {
    let name = record_name(cluster.metadata.name.as_deref().unwrap_or_default(), story.term);
    let created = call(leadership, api.create(&PostParams::default(), &object(cluster, &name, story))).await;
    let mut found = match created {
        Ok(created) => created,
        Err(error) if error.is_already_exists() => call(leadership, api.get(&name)).await?,
        Err(error) => return Err(error),
    };
    found.status = Some(status(cluster, story, Timestamp::now()));
    call(leadership, api.replace_status(&name, &PostParams::default(), &found)).await?;
    Ok(())
}

fn object(cluster: &ReplicationCluster, name: &str, story: &Story) -> Failover {
    let cluster_name = cluster.metadata.name.clone().unwrap_or_default();
    let member = |ordinal: Option<Ordinal>| ordinal.map(|ordinal| member_name(&cluster_name, ordinal));
    Failover {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: cluster.metadata.namespace.clone(),
            owner_references: Some(vec![owner(cluster)]),
            ..ObjectMeta::default()
        },
        spec: FailoverSpec {
            to: member(story.to),
            expected_primary: member(story.from),
            expected_term: Some(story.term),
            cluster_ref: ClusterRef { name: cluster_name },
        },
        status: None,
    }
}

/// Records go with their cluster; they keep nothing from being deleted.
fn owner(cluster: &ReplicationCluster) -> OwnerReference {
    OwnerReference {
        api_version: ReplicationCluster::api_version(&()).into_owned(),
        kind: ReplicationCluster::kind(&()).into_owned(),
        name: cluster.metadata.name.clone().unwrap_or_default(),
        uid: cluster.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

fn status(cluster: &ReplicationCluster, story: &Story, now: Timestamp) -> FailoverStatus {
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let member = |ordinal: Ordinal| member_name(name, ordinal);
    let milliseconds = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    FailoverStatus {
        observed_generation: Some(1),
        term: Some(story.term),
        from: story.from.map(member),
        to: story.to.map(member),
        cause: Some(FailoverCause::ProcessExited),
        evidence: story.evidence.clone(),
        outage: story.outage_ms().filter(|_| !story.is_resumed()).map(|ms| format!("{ms}ms")),
        started_at: Some(MicroTime(story.started_at)),
        finished_at: Some(MicroTime(now)),
        salvaged: salvaged(story, name),
        equalised: story
            .equalised()
            .into_iter()
            .map(|(ordinal, gtids)| Equalised { member: member(ordinal), gtids })
            .collect(),
        lost: Some(Lost::default()),
        timeline: story
            .points
            .iter()
            .map(|(point, ms)| TimelineStep { step: point.as_str().to_owned(), ms: milliseconds(*ms) })
            .collect(),
        conditions: vec![complete(story, now)],
    }
}

fn salvaged(story: &Story, cluster: &str) -> Vec<Salvaged> {
    let ranges = story.salvaged();
    let Some(from) = story.from.filter(|_| !ranges.is_empty()) else { return Vec::new() };
    vec![Salvaged {
        source: member_name(cluster, from),
        gtids: join_ranges(&ranges),
        count: i64::try_from(ranges.iter().map(GtidRange::count).sum::<u64>()).ok(),
    }]
}

fn complete(story: &Story, now: Timestamp) -> Condition {
    let note = if story.is_resumed() {
        "an earlier leader of the operator began it: times count from the take-over, and only what was seen since is told"
    } else {
        "no transaction lost"
    };
    Condition {
        type_: "Complete".to_owned(),
        status: "True".to_owned(),
        reason: "Promoted".to_owned(),
        message: note.to_owned(),
        observed_generation: Some(1),
        last_transition_time: Time(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::cluster::chronicle::tests::told_story;
    use crate::operator::cluster::wish::tests::example;

    #[test]
    fn the_record_tells_what_happened() {
        let story = told_story();
        let status = status(&example(), &story, Timestamp::UNIX_EPOCH);
        let told = serde_json::to_value(&status).unwrap();
        assert_eq!(told["from"], "shop-0");
        assert_eq!(told["to"], "shop-1");
        assert_eq!(told["outage"], "398ms");
        assert_eq!(told["salvaged"], serde_json::json!([{"source": "shop-0", "gtids": "0-10-5001..5007", "count": 7}]));
        assert_eq!(told["equalised"], serde_json::json!([{"member": "shop-2", "gtids": "0-10-4991..5000"}]));
        assert_eq!(told["timeline"][0], serde_json::json!({"step": "decided", "ms": 12}));
        assert_eq!(told["conditions"][0]["message"], "no transaction lost");
    }

    #[test]
    fn its_name_makes_a_second_one_impossible() {
        let object = object(&example(), "shop-8", &told_story());
        assert_eq!(object.metadata.name.as_deref(), Some("shop-8"));
        assert_eq!(object.metadata.owner_references.unwrap()[0].uid, "u-1");
        assert_eq!(object.spec.expected_primary.as_deref(), Some("shop-0"));
    }
}
