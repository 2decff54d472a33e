//! What tests and benchmarks stand on: real servers of both versions, whole members without a pod, and served logs.
//!
//! Everything here panics with what went wrong, as a test does. A process that is started ends when its value is dropped.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

pub mod disk;
pub mod mariadb;
pub mod member;
pub mod ports;
mod programs;
mod stream;
pub mod tail;
mod user;
mod version;

pub use programs::program;
pub use user::{as_server, give_to_server};
pub use version::Version;
