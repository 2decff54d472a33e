//! launch: main process of container `mariadb`. It starts, signals and reaps mariadbd and MariaDB's tools on the agent's
//! word, and knows nothing of databases, orders or clusters: what to start, and when, is decided by the agent.
//!
//! [`protocol`] is shared with the agent; the other modules are the program. One thread, one poll loop, no look-ups of
//! users or hosts, so that a statically linked binary runs in any image.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

pub mod client;
mod connection;
pub mod install;
mod output;
mod process;
pub mod protocol;
pub mod server;
mod signals;
