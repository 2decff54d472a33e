//! What runs inside pods: writer, observer, knocker and half-open requests, and the socket by which the scenarios command
//! them.
//!
//! They measure from where applications are: behind the Services, with ordinary accounts. They know nothing of
//! Kubernetes; addresses come as arguments, so nothing here looks a name up.

pub mod clock;
pub mod control;
pub mod half_open;
pub mod journal;
pub mod knocker;
pub mod ledger;
pub mod observer;
pub mod session;
pub mod writer;
