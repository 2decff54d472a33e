//! Numbers for Prometheus.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::sync::locked;

type Number = Gauge<f64, AtomicU64>;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ClusterLabels {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) cluster: String,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MemberLabels {
    /// Namespace of its cluster.
    pub(crate) namespace: String,
    /// Its cluster.
    pub(crate) cluster: String,
    /// Its name.
    pub(crate) member: String,
}

/// One of several words about a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct WordLabels {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) cluster: String,
    /// The word.
    pub(crate) value: String,
}

/// One of several words about a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RoleLabels {
    /// Namespace of its cluster.
    pub(crate) namespace: String,
    /// Its cluster.
    pub(crate) cluster: String,
    /// Its name.
    pub(crate) member: String,
    /// primary or replica.
    pub(crate) role: String,
}

/// Bounds in seconds: a failover takes tenths of a second, a bad one minutes.
const SECONDS: [f64; 13] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 1.5, 3.0, 10.0, 60.0, 600.0];

/// All metrics of this process.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    /// 1 while this process leads.
    pub(crate) lease_held: Gauge,
    /// 1 for the role a member has.
    pub(crate) role: Family<RoleLabels, Gauge>,
    /// Seconds behind the primary.
    pub(crate) lag: Family<MemberLabels, Number>,
    /// 1 while a member answers SQL.
    pub(crate) member_up: Family<MemberLabels, Gauge>,
    /// mariadbd ended, for whatever reason.
    pub(crate) mariadbd_exits: Family<MemberLabels, Counter>,
    /// 1 while the death of the primary would be survived.
    pub(crate) failover_ready: Family<ClusterLabels, Gauge>,
    /// 1 for what an acknowledgement means.
    pub(crate) durability: Family<WordLabels, Gauge>,
    /// Failovers by how they ended.
    pub(crate) failovers: Family<WordLabels, Counter>,
    /// Seconds from the first sign of trouble to a point of the transition.
    pub(crate) transition_seconds: Family<WordLabels, Histogram, SecondsConstructor>,
    /// For how long the next step has not been possible.
    pub(crate) blocked_seconds: Family<ClusterLabels, Number>,
}

/// Makes the histograms of [`Metrics::transition_seconds`].
#[derive(Clone)]
pub(crate) struct SecondsConstructor;

impl MetricConstructor<Histogram> for SecondsConstructor {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("beachmaster")),
            lease_held: Gauge::default(),
            role: Family::default(),
            lag: Family::default(),
            member_up: Family::default(),
            mariadbd_exits: Family::default(),
            failover_ready: Family::default(),
            durability: Family::default(),
            failovers: Family::default(),
            transition_seconds: Family::new_with_constructor(SecondsConstructor),
            blocked_seconds: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&self) {
        let mut registry = locked(&self.registry);
        registry.register("lease_held", "1 while this process leads", self.lease_held.clone());
        registry.register("role", "1 for the role a member has", self.role.clone());
        registry.register("lag_seconds", "Lag of a replica behind its primary, in seconds", self.lag.clone());
        registry.register("member_up", "1 while a member answers SQL", self.member_up.clone());
        registry.register("mariadbd_exits", "Exits of mariadbd, for any reason", self.mariadbd_exits.clone());
        let help = "1 while the cluster can survive losing its primary";
        registry.register("failover_ready", help, self.failover_ready.clone());
        registry.register(
            "durability",
            "1 for the durability that an acknowledged commit has now",
            self.durability.clone(),
        );
        registry.register("failovers", "Failovers by result", self.failovers.clone());
        let help = "Seconds from the first sign of a failure to each step of the transition";
        registry.register("transition_seconds", help, self.transition_seconds.clone());
        let help = "Seconds for which the next step has been blocked; 0 while it is not";
        registry.register("blocked_seconds", help, self.blocked_seconds.clone());
    }

    /// Forgets what only a leader knows: another process tells it now.
    pub(crate) fn step_down(&self) {
        self.lease_held.set(0);
        self.role.clear();
        self.lag.clear();
        self.member_up.clear();
        self.failover_ready.clear();
        self.durability.clear();
        self.blocked_seconds.clear();
    }

    /// The text Prometheus reads.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let registry = locked(&self.registry);
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_metric_that_was_touched() {
        let metrics = Metrics::default();
        let cluster = ClusterLabels { namespace: "prod".to_owned(), cluster: "shop".to_owned() };
        let word = |value: &str| WordLabels {
            namespace: "prod".to_owned(),
            cluster: "shop".to_owned(),
            value: value.to_owned(),
        };
        metrics.lease_held.set(1);
        metrics.failover_ready.get_or_create(&cluster).set(1);
        metrics.failovers.get_or_create(&word("Promoted")).inc();
        metrics.transition_seconds.get_or_create(&word("routed")).observe(0.398);
        let text = metrics.text();
        for line in [
            "beachmaster_lease_held 1",
            r#"beachmaster_failover_ready{namespace="prod",cluster="shop"} 1"#,
            r#"beachmaster_failovers_total{namespace="prod",cluster="shop",value="Promoted"} 1"#,
            r#"beachmaster_transition_seconds_bucket{le="0.5",namespace="prod",cluster="shop",value="routed"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        metrics.step_down();
        let text = metrics.text();
        assert!(!text.contains("failover_ready{") && text.contains("failovers_total{"), "{text}");
    }
}
