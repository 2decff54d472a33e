//! The shell around one cluster's machine (`control`): everything that touches the world.
//!
//! [`task`] drives the machine, [`world`] does what it says; [`link`], [`probe`], [`new_connection`], [`pods`] and
//! [`service_watch`] tell it what happens. [`absent`], [`claims`] and [`mounts`] read what only Events say about pods. What
//! to do next is decided in `topology`; Kubernetes objects of the cluster are applied by the controller, never here.

pub mod absent;
pub mod claims;
pub mod effects;
pub mod failover_record;
pub mod link;
pub mod metrics;
pub mod mounts;
pub mod new_connection;
pub mod pods;
pub mod probe;
pub mod service_watch;
pub mod task;
