//! What the operator is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

/// Everything configurable of one operator process.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The Lease that decides which process acts.
    pub(crate) lease: LeaseSettings,
    /// Unique among all processes that ever ran: the holder of the Lease.
    pub(crate) identity: String,
    /// Only this namespace is managed; all when none.
    pub(crate) namespace: Option<String>,
    /// DNS domain of the Kubernetes cluster.
    pub(crate) cluster_domain: String,
    /// The operator's image: agents run it.
    pub(crate) agent_image: String,
    /// Where `/healthz` and `/readyz` listen.
    pub(crate) health_listen: SocketAddr,
    /// Where `/metrics` listens.
    pub(crate) metrics_listen: SocketAddr,
}

/// Name and times of the Lease.
#[derive(Debug, Clone)]
pub(crate) struct LeaseSettings {
    /// Its name.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Others may take it this long after they saw its last renewal.
    pub(crate) duration: Duration,
    /// The holder gives up this long after its last renewal; shorter than `duration` by what clocks and aborts need.
    pub(crate) renew_deadline: Duration,
    /// Between two renewals, or two looks of a process that waits.
    pub(crate) retry_period: Duration,
}

impl LeaseSettings {
    /// `namespace/name`: who manages a cluster (`status.managedBy`).
    #[must_use]
    pub(crate) fn manager(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
