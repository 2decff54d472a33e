//! The numbers of one cluster among those of the process.

use std::sync::Arc;
use std::time::Duration;

use crate::control::effect::Count;
use crate::control::gauges::Gauges;
use crate::operator::metrics::{ClusterLabels, MemberLabels, Metrics, RoleLabels, WordLabels};
use crate::orders::{Ordinal, member_name};
use crate::topology::record::Durability;
use crate::topology::report::Role;

/// Sets and counts. Dropping it takes the gauges away: nobody watches the cluster any more, or another process does. What
/// was counted stays.
pub(crate) struct ClusterMetrics {
    metrics: Arc<Metrics>,
    namespace: String,
    cluster: String,
    members: usize,
}

impl ClusterMetrics {
    /// The numbers of a cluster.
    #[must_use]
    pub(crate) fn new(metrics: Arc<Metrics>, namespace: String, cluster: String) -> Self {
        Self { metrics, namespace, cluster, members: 0 }
    }

    /// Shows how it is now.
    pub(crate) fn show(&mut self, gauges: &Gauges) {
        let Gauges { members, failover_ready, durability, blocked_ms } = gauges;
        self.members = self.members.max(members.len());
        for (ordinal, member) in (0..).map(Ordinal).zip(members) {
            let labels = self.member_labels(ordinal);
            self.metrics.member_up.get_or_create(&labels).set(i64::from(member.up));
            match member.lag_s {
                Some(lag) => {
                    self.metrics.lag.get_or_create(&labels).set(lag.into());
                }
                None => {
                    self.metrics.lag.remove(&labels);
                }
            }
            for (role, labels) in self.role_labels(ordinal) {
                self.metrics.role.get_or_create(&labels).set(i64::from(member.role == role));
            }
        }
        self.metrics.failover_ready.get_or_create(&self.labels()).set(i64::from(*failover_ready));
        for word in Durability::ALL {
            let holds = i64::from(*durability == Some(word));
            self.metrics.durability.get_or_create(&self.word(&format!("{word:?}"))).set(holds);
        }
        let seconds = Duration::from_millis(*blocked_ms).as_secs_f64();
        self.metrics.blocked_seconds.get_or_create(&self.labels()).set(seconds);
    }

    /// Counts something.
    pub(crate) fn count(&self, count: Count) {
        match count {
            Count::MariadbdExit(ordinal) => {
                self.metrics.mariadbd_exits.get_or_create(&self.member_labels(ordinal)).inc();
            }
            Count::Failover => {
                self.metrics.failovers.get_or_create(&self.word("Promoted")).inc();
            }
            Count::Reached(point, ms) => {
                let seconds = Duration::from_millis(ms).as_secs_f64();
                self.metrics.transition_seconds.get_or_create(&self.word(point.as_str())).observe(seconds);
            }
        }
    }

    fn word(&self, value: &str) -> WordLabels {
        WordLabels { namespace: self.namespace.clone(), cluster: self.cluster.clone(), value: value.to_owned() }
    }

    fn labels(&self) -> ClusterLabels {
        ClusterLabels { namespace: self.namespace.clone(), cluster: self.cluster.clone() }
    }

    fn member_labels(&self, ordinal: Ordinal) -> MemberLabels {
        let member = member_name(&self.cluster, ordinal);
        MemberLabels { namespace: self.namespace.clone(), cluster: self.cluster.clone(), member }
    }

    fn role_labels(&self, ordinal: Ordinal) -> [(Role, RoleLabels); 2] {
        let MemberLabels { namespace, cluster, member } = self.member_labels(ordinal);
        let labels = |role: &str| RoleLabels {
            namespace: namespace.clone(),
            cluster: cluster.clone(),
            member: member.clone(),
            role: role.to_owned(),
        };
        [(Role::Primary, labels("primary")), (Role::Replica, labels("replica"))]
    }
}

impl Drop for ClusterMetrics {
    fn drop(&mut self) {
        for ordinal in (0..).map(Ordinal).take(self.members) {
            let labels = self.member_labels(ordinal);
            self.metrics.member_up.remove(&labels);
            self.metrics.lag.remove(&labels);
            for (_, labels) in self.role_labels(ordinal) {
                self.metrics.role.remove(&labels);
            }
        }
        self.metrics.failover_ready.remove(&self.labels());
        self.metrics.blocked_seconds.remove(&self.labels());
        for durability in Durability::ALL {
            self.metrics.durability.remove(&self.word(&format!("{durability:?}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::gauges::MemberGauges;

    #[test]
    fn what_nobody_watches_any_more_is_not_shown() {
        let metrics = Arc::new(Metrics::default());
        let mut of_cluster = ClusterMetrics::new(Arc::clone(&metrics), "prod".to_owned(), "shop".to_owned());
        let member = MemberGauges { up: true, role: Role::Replica, lag_s: Some(7) };
        let gauges = Gauges { members: vec![member; 2], durability: Some(Durability::Enforced), ..Gauges::default() };
        of_cluster.show(&gauges);
        of_cluster.count(Count::Failover);
        let text = metrics.text();
        for line in [
            r#"beachmaster_lag_seconds{namespace="prod",cluster="shop",member="shop-1"} 7"#,
            r#"beachmaster_role{namespace="prod",cluster="shop",member="shop-1",role="replica"} 1"#,
            r#"beachmaster_durability{namespace="prod",cluster="shop",value="Enforced"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        drop(of_cluster);
        let text = metrics.text();
        assert!(!text.contains("shop-1") && text.contains("beachmaster_failovers_total{"), "{text}");
    }
}
