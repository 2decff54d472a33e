//! The shell around one cluster's machine (`control`): everything that touches the world.
//!
//! [`task`] drives the machine, [`world`] does what it says; [`link`], [`probe`], [`new_connection`], [`pods`] and
//! [`service_watch`] tell it what happens. [`absent`], [`claims`] and [`mounts`] read what only Events say about pods. What
//! to do next is decided in `topology`; Kubernetes objects of the cluster are applied by the controller, never here.

pub(crate) mod absent;
pub(crate) mod claims;
pub(crate) mod effects;
pub(crate) mod failover_record;
pub(crate) mod link;
pub(crate) mod metrics;
pub(crate) mod mounts;
pub(crate) mod new_connection;
pub(crate) mod pods;
pub(crate) mod probe;
pub(crate) mod service_watch;
pub(crate) mod task;
