//! What the user wants of a cluster, in the values decisions are made with.

use super::refusal::Refusal;
use crate::api::ReplicationCluster;
use crate::api::validate::{Cluster, Commits, FailoverSettings, member_ordinal};
use crate::orders::Term;
use crate::resources::labels;
use crate::time::whole_millis;
use crate::topology::policy::{GivenUp, MemberPolicy, Mode, Policy, Retention, WhenNoAcker};

/// The newest valid spec of a cluster, and what was said about it.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The object as the watch showed it.
    pub object: ReplicationCluster,
    /// The newest spec that could be used.
    pub cluster: Cluster,
    /// The same for decisions.
    pub policy: Policy,
    /// Generation of that spec.
    pub generation: i64,
    /// The object's present spec cannot be used, so that the one before stays in force; or an object of the cluster is
    /// not as it should be.
    pub refusal: Option<Refusal>,
}

impl Desired {
    /// What an object asks for whose spec can be used.
    #[must_use]
    pub fn new(object: ReplicationCluster, cluster: Cluster, cluster_domain: &str) -> Self {
        let generation = object.metadata.generation.unwrap_or_default();
        let policy = Policy { given_up: given_up(&object), ..policy(&cluster, cluster_domain) };
        Self { object, cluster, policy, generation, refusal: None }
    }

    /// The same, with what is wrong with the cluster's objects.
    #[must_use]
    pub(crate) fn refused(self, refusal: Option<Refusal>) -> Self {
        Self { refusal, ..self }
    }

    /// What stays in force when the object cannot be followed any further.
    #[must_use]
    pub(crate) fn superseded(&self, object: ReplicationCluster, refusal: Refusal) -> Self {
        Self { object, refusal: Some(refusal), ..self.clone() }
    }
}

/// What decisions see of a spec.
#[must_use]
pub(crate) fn policy(cluster: &Cluster, cluster_domain: &str) -> Policy {
    let (mode, when_no_acker) = commits(cluster.spec.commits);
    let retention = cluster.spec.retention;
    let FailoverSettings { enabled, max_candidate_lag, .. } = cluster.spec.failover;
    let member = |ordinal| {
        let preference = cluster.preference(ordinal);
        MemberPolicy { priority: preference.priority, never_primary: preference.never_primary }
    };
    Policy {
        members: cluster.ordinals().map(member).collect(),
        mode,
        when_no_acker,
        failover_enabled: enabled,
        paused: cluster.spec.paused,
        max_candidate_lag_s: max_candidate_lag.as_secs(),
        retention: Retention { time_s: retention.time.as_secs(), bytes: retention.bytes },
        cluster: cluster.path(),
        hosts: cluster.ordinals().map(|ordinal| cluster.host(ordinal, cluster_domain)).collect(),
        given_up: None,
    }
}

/// The members that the object's annotation gives up, and the term for which it does: `shop-1,shop-2@7`. None when it cannot
/// be read: nothing is given up then.
fn given_up(object: &ReplicationCluster) -> Option<GivenUp> {
    let cluster = object.metadata.name.as_deref()?;
    let (names, term) = object.metadata.annotations.as_ref()?.get(labels::GIVEN_UP)?.split_once('@')?;
    let members = names.split(',').map(|name| member_ordinal(cluster, name.trim())).collect::<Option<Vec<_>>>()?;
    Some(GivenUp { members, term: Term(term.trim().parse().ok()?) })
}

fn commits(commits: Commits) -> (Mode, WhenNoAcker) {
    match commits {
        Commits::Async => (Mode::Async, WhenNoAcker::Wait),
        Commits::SemiSyncWait => (Mode::SemiSync, WhenNoAcker::Wait),
        Commits::SemiSyncDegrade { after } => (Mode::SemiSync, WhenNoAcker::Degrade { after_ms: whole_millis(after) }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::orders::Ordinal;

    /// A cluster of three members as a user would write it.
    pub(crate) fn example() -> ReplicationCluster {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "beachmaster.dev/v1alpha1", "kind": "ReplicationCluster",
            "metadata": {"name": "shop", "namespace": "prod", "uid": "u-1", "generation": 4, "resourceVersion": "7"},
            "spec": {
                "image": "localhost/mariadb:10.11", "storage": {"size": "1Gi"},
                "replication": {"whenNoAcker": "Degrade", "degradeAfter": "30s"},
                "memberPolicies": [{"ordinal": 1, "priority": 10}, {"ordinal": 2, "neverPrimary": true}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn decisions_see_what_the_user_wrote() {
        let cluster = Cluster::parse(&example()).unwrap();
        let policy = policy(&cluster, "cluster.local");
        assert_eq!(policy.cluster, "prod/shop");
        assert_eq!(policy.hosts[2], "shop-2.shop-members.prod.svc.cluster.local.");
        assert_eq!(policy.when_no_acker, WhenNoAcker::Degrade { after_ms: 30_000 });
        assert_eq!(policy.member(Ordinal(1)).priority, 10);
        assert!(policy.member(Ordinal(2)).never_primary && policy.failover_enabled && !policy.paused);
    }

    #[test]
    fn members_are_given_up_by_name_and_for_one_term() {
        let read = |value: &str| {
            let mut object = example();
            object.metadata.annotations = Some([(labels::GIVEN_UP.to_owned(), value.to_owned())].into());
            given_up(&object)
        };
        let both = GivenUp { members: vec![Ordinal(1), Ordinal(2)], term: Term(7) };
        assert_eq!(read("shop-1, shop-2@7"), Some(both));
        for wrong in ["shop-1", "shop-1@", "1@7", "shop-1,@7", "other-1@7", "@7", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(given_up(&example()), None);
    }

    #[test]
    fn a_spec_that_cannot_be_used_leaves_the_one_before_in_force() {
        let cluster = Cluster::parse(&example()).unwrap();
        let desired = Desired::new(example(), cluster, "cluster.local");
        let mut broken = example();
        broken.spec.members = 12;
        broken.metadata.generation = Some(5);
        let invalid = Cluster::parse(&broken).unwrap_err();
        let refused = desired.superseded(broken, Refusal::of_spec(&invalid));
        assert_eq!((refused.cluster.spec.members, refused.generation), (3, 4));
        assert!(refused.refusal.unwrap().message.contains("spec.members"));
    }
}
