//! SQL to a live server: the one place of the project that talks it, used by the agent (over the socket) and by the
//! operator's probe (over TCP).
//!
//! Every statement has a time limit, and a session that missed one is never used again. What is read comes back as the
//! values of `topology::observation`. What an order changes, and in which sequence, belongs to `agent::orders`. On a
//! primary nothing here may wait behind commits: no SHOW MASTER STATUS, SHOW BINARY LOGS, FLUSH.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

pub(crate) mod error;
pub mod probe;
pub mod read;
pub(crate) mod row;
pub(crate) mod session;
pub(crate) mod text;
mod wire;

pub(crate) use error::SqlError;
pub use session::{Login, Session};
pub use wire::Address;
