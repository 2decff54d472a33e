//! One cluster's machine: observe, decide, act, as values.
//!
//! [`cluster::Cluster`] takes every [`input::Input`] and says by [`effect::Effect`]s what is to be done; it has no clock, no
//! chance and no network, so that the simulation drives the very machine that the operator runs. In it: [`members`] with
//! what is known of each [`member`], [`status_store`] the record in the object's status, [`primary_service`] where clients
//! are led, [`labels`] on pods, [`timeline`] and [`telemetry`] what is told. [`status`] puts together what people read,
//! [`record_codec`] what the next leader goes on from. What to do next is decided in `topology`, never here.

pub mod cluster;
pub mod desired;
pub mod effect;
pub(crate) mod event_reason;
pub(crate) mod gauges;
pub mod input;
pub(crate) mod labels;
pub mod limits;
pub(crate) mod member;
pub(crate) mod members;
#[doc(hidden)]
pub mod mistakes;
pub(crate) mod pause;
pub mod pod;
pub(crate) mod primary_service;
pub mod record_codec;
pub(crate) mod refusal;
pub(crate) mod status;
pub(crate) mod status_store;
pub(crate) mod telemetry;
pub(crate) mod timeline;
