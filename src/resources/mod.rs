//! The Kubernetes objects of a cluster, as they should be: pure builders from a validated cluster and the [`Site`] it runs
//! on to Kubernetes' own types.
//!
//! Nothing here reads or writes a server. What only a transition may write, the selector of NAME-primary and the pods'
//! role labels, is not built here.

mod config;
mod disruption;
pub mod labels;
mod meta;
mod ownership;
mod pod;
mod secret;
mod services;
mod stateful_set;
#[cfg(test)]
mod tests;

pub(crate) use config::config_map;
pub(crate) use disruption::disruption_budget;
pub(crate) use ownership::stranger;
pub(crate) use secret::{AccountPasswords, accounts_secret};
pub(crate) use services::{members_service, primary_service, replicas_service};
pub(crate) use stateful_set::stateful_set;

/// What an installation decides for all its clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// Image of the init container and the agent: the operator's own.
    pub(crate) operator_image: String,
    /// DNS domain of the Kubernetes cluster, `cluster.local` nearly everywhere.
    pub(crate) cluster_domain: String,
}

/// Names of a cluster's objects.
pub(crate) mod names {
    /// The Service that leads to the primary.
    #[must_use]
    pub(crate) fn primary(cluster: &str) -> String {
        format!("{cluster}-primary")
    }

    /// The Service that leads to readable replicas.
    #[must_use]
    pub(crate) fn replicas(cluster: &str) -> String {
        format!("{cluster}-replicas")
    }

    /// The headless Service that gives members their DNS names.
    #[must_use]
    pub(crate) fn members(cluster: &str) -> String {
        format!("{cluster}-members")
    }

    /// The Secret with the passwords of our accounts.
    #[must_use]
    pub(crate) fn accounts(cluster: &str) -> String {
        format!("{cluster}-accounts")
    }

    /// The ConfigMap with my.cnf.
    #[must_use]
    pub(crate) fn config(cluster: &str) -> String {
        format!("{cluster}-config")
    }

    /// The StatefulSet and the PodDisruptionBudget.
    #[must_use]
    pub(crate) fn stateful_set(cluster: &str) -> String {
        cluster.to_owned()
    }
}
