//! What the scenarios stand on: a Kubernetes client, the installed chart, a cluster under test, writers and observers in
//! pods, the search for lost rows, and results.
//!
//! No scenario's own story belongs here, and nothing of Beachmaster's code is used: what users cannot see is not looked at.

pub mod check;
pub mod cluster;
pub mod cut;
pub mod dump;
pub mod failover;
pub mod host;
pub mod install;
pub mod kube;
pub mod metrics;
pub mod pods;
pub mod report;
pub mod settings;
pub mod stage;
pub mod steps;
pub mod turn;
pub mod vitals;
pub mod wait;
