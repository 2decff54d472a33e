//! One task per cluster: observe, decide, act.
//!
//! [`task`] is the loop and the only place that acts; [`crew`] holds what watches the members, [`book`] the record in the
//! object's status, [`router`] the primary's Service. [`member`], [`chronicle`], [`record`], [`people`] and [`limits`] are
//! values and rules without I/O. What to do next is decided in `topology`, never here; Kubernetes objects of the cluster
//! are applied by the controller, never here.

pub mod absent;
pub mod book;
pub mod chronicle;
pub mod claims;
pub mod crew;
pub mod failover_record;
pub mod input;
pub mod limits;
pub mod link;
pub mod member;
pub mod mounts;
pub mod narrator;
pub mod newcomer;
pub mod parts;
pub mod people;
pub mod pod_labels;
pub mod pods;
pub mod probe;
pub mod record;
pub mod router;
pub mod service_watch;
pub mod task;
pub mod wish;
