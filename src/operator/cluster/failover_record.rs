//! The Failover object that tells what happened. Creating and filling it may be repeated.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, OwnerReference, Time};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource};
use tokio::time::sleep;
use tracing::warn;

use crate::api::ReplicationCluster;
use crate::api::failover::{
    ClusterRef, Equalised, Failover, FailoverCause, FailoverSpec, FailoverStatus, Lost, Salvaged, TimelineStep,
    record_name,
};
use crate::control::timeline::{Point, Story};
use crate::gtid::{GtidRange, join_ranges};
use crate::operator::clients::{CallError, call};
use crate::operator::lease::Leadership;
use crate::orders::{Ordinal, Term, member_name};
use crate::topology::transition::TransitionKind;

/// A record is worth some tries; it is written at rest.
const TRIES: u32 = 5;
/// Pause after the first try that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Writes the records of one cluster's failovers.
#[derive(Clone)]
pub(crate) struct FailoverRecords {
    /// Where they are.
    pub(crate) api: Api<Failover>,
    /// Until when this process may act.
    pub(crate) leadership: Leadership,
    /// The cluster they are about.
    pub(crate) cluster: ReplicationCluster,
}

impl FailoverRecords {
    fn name(&self, term: Term) -> String {
        record_name(self.cluster.metadata.name.as_deref().unwrap_or_default(), term)
    }

    /// Creates the record in the background, when a failover is committed: a successor finds it even if this process
    /// ends now. Other transitions have no record.
    pub(crate) fn begin_soon(&self, story: &Story) {
        if story.kind != TransitionKind::Failover {
            return;
        }
        let (records, story) = (self.clone(), story.clone());
        tokio::spawn(async move {
            if let Err(error) = records.begin(&story).await {
                warn!(term = %story.term, %error, "the Failover record was not created; it is created at the end");
            }
        });
    }

    /// Completes the record in the background, when a failover has ended.
    pub(crate) fn complete_soon(&self, story: Story) {
        if story.kind != TransitionKind::Failover {
            return;
        }
        let records = self.clone();
        tokio::spawn(async move {
            for attempt in 1..=TRIES {
                match records.complete(&story).await {
                    Ok(()) => return,
                    Err(error) => warn!(term = %story.term, %error, attempt, "the Failover record was not written"),
                }
                sleep(PAUSE * attempt).await;
            }
        });
    }

    /// Completes the record of the last promotion in the background, should an earlier leader have left it open.
    pub(crate) fn complete_left_over_soon(&self, term: Term) {
        let records = self.clone();
        tokio::spawn(async move {
            if let Err(error) = records.complete_left_over(term).await {
                warn!(%term, %error, "the Failover record of an earlier leader was not completed");
            }
        });
    }

    async fn begin(&self, story: &Story) -> Result<Failover, CallError> {
        let name = self.name(story.term);
        let params = PostParams::default();
        let created = call(&self.leadership, self.api.create(&params, &object(&self.cluster, &name, story))).await;
        match created {
            Err(error) if error.is_already_exists() => call(&self.leadership, self.api.get(&name)).await,
            other => other,
        }
    }

    /// Fills the record, which is created when there is none.
    async fn complete(&self, story: &Story) -> Result<(), CallError> {
        let found = self.begin(story).await?;
        self.fill(found, status(&self.cluster, story, Timestamp::now())).await
    }

    /// Fills what an earlier leader began and could not complete, with what is known.
    async fn complete_left_over(&self, term: Term) -> Result<(), CallError> {
        let found = call(&self.leadership, self.api.get_opt(&self.name(term))).await?;
        let open = found.filter(|found| found.status.as_ref().is_none_or(|status| status.conditions.is_empty()));
        let Some(found) = open else { return Ok(()) };
        let status = left_over(&found, Timestamp::now());
        self.fill(found, status).await
    }

    async fn fill(&self, found: Failover, status: FailoverStatus) -> Result<(), CallError> {
        let name = found.metadata.name.clone().unwrap_or_default();
        let filled = Failover { status: Some(status), ..found };
        let params = PostParams::default();
        call(&self.leadership, self.api.replace_status(&name, &params, &filled)).await.map(drop)
    }
}

fn left_over(found: &Failover, now: Timestamp) -> FailoverStatus {
    FailoverStatus {
        observed_generation: Some(1),
        term: found.spec.expected_term,
        from: found.spec.expected_primary.clone(),
        to: found.spec.to.clone(),
        cause: Some(FailoverCause::ProcessExited),
        finished_at: Some(MicroTime(now)),
        conditions: vec![complete(true, now)],
        ..FailoverStatus::default()
    }
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
        timeline: timeline(story),
        conditions: vec![complete(story.is_resumed(), now)],
    }
}

/// As it went: what is done side by side may end in any order.
fn timeline(story: &Story) -> Vec<TimelineStep> {
    let mut points: Vec<(u64, Point)> = story.points.iter().map(|(point, ms)| (*ms, *point)).collect();
    points.sort_unstable();
    let step = |(ms, point): (u64, Point)| TimelineStep {
        step: point.as_str().to_owned(),
        ms: i64::try_from(ms).unwrap_or(i64::MAX),
    };
    points.into_iter().map(step).collect()
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

fn complete(resumed: bool, now: Timestamp) -> Condition {
    let note = if resumed {
        "an earlier leader began it: times count from the take-over, and only what was seen since is recorded"
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
    use crate::control::desired::tests::example;
    use crate::control::timeline::tests::told_story;

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
