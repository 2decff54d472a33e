//! The resources users see, `beachmaster.dev/v1alpha1`, and what their values mean.
//!
//! `cluster`, `template`, `status` and `failover` are the raw types of the API server (kube's derive only); `validate`
//! turns a raw ReplicationCluster into the [`validate::Cluster`] every other part works with; `owned` is the table of
//! mariadbd options that the operator owns. Nothing here talks to a server, and no object of a cluster is built here.

pub mod cluster;
pub(crate) mod duration;
pub(crate) mod failover;
pub mod owned;
pub(crate) mod status;
pub(crate) mod template;
pub mod validate;
mod words;

pub use cluster::{ReplicationCluster, ReplicationClusterSpec};
pub(crate) use failover::Failover;
pub use status::ClusterStatus;
