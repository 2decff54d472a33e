//! The agent: one daemon beside each member's mariadbd. It owns the member's volume (record, kept relay logs), starts
//! and ends mariadbd through launch, and carries out orders, one at a time, the highest token first.
//!
//! `slots`, `record` and `volume` say what is on disk; `launcher`, `locks` and `supervisor` whether mariadbd lives;
//! `access` holds the SQL sessions; `court` decides which order may act; `orders/` has one file for each kind of order;
//! `upkeep` is what it looks after by itself.
//! It decides nothing about the cluster and has no Kubernetes credentials.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

pub mod access;
pub mod accounts;
pub mod binlog_files;
pub mod binlog_server;
mod caretaker;
pub mod clock;
pub mod config;
pub mod court;
pub mod daemon;
pub mod ddl_recovery;
mod dispatcher;
pub mod donor;
pub mod errand;
pub mod events;
mod farewell;
pub mod launcher;
pub mod locks;
pub mod log_reader;
pub mod new_connections;
pub mod orders;
pub mod own_log;
pub mod own_position;
pub mod purge;
pub mod readyz;
pub mod record;
pub mod relaxed;
pub mod relay;
pub mod relay_content;
pub mod relay_logs;
pub mod replication_password;
pub mod slots;
pub mod spliced;
pub mod sql_notes;
pub mod state;
pub mod stream;
pub mod supervisor;
mod torn_log;
pub mod upkeep;
pub mod volume;
pub mod volume_lock;
pub mod write_lock;

pub use config::Config;
pub use daemon::run;
