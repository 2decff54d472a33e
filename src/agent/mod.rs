//! The agent: one daemon beside each member's mariadbd. It owns the member's volume (record, kept relay logs), starts
//! and ends mariadbd through launch, and carries out orders, one at a time, the highest token first.
//!
//! `slots`, `record` and `volume` say what is on disk; `launch_client`, `file_locks` and `supervisor` whether mariadbd lives;
//! `sql_sessions` holds the SQL sessions; `order_gate` decides which order may act; `orders/` has one file for each kind of order;
//! `caretaker` is what it looks after by itself.
//! It decides nothing about the cluster and has no Kubernetes credentials.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

pub(crate) mod accounts;
pub mod binlog_files;
pub mod binlog_server;
mod caretaker;
pub(crate) mod caretaker_findings;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod ddl_recovery;
mod dispatcher;
pub(crate) mod events;
pub(crate) mod file_locks;
pub(crate) mod half_done_groups;
pub(crate) mod launch_client;
pub(crate) mod log_reader;
pub(crate) mod master_info;
pub(crate) mod new_connections;
pub(crate) mod order_gate;
pub(crate) mod orders;
pub(crate) mod own_position;
pub(crate) mod purge;
pub(crate) mod readyz;
pub(crate) mod record_file;
pub(crate) mod record_slots;
pub mod relay_as_binlog;
pub(crate) mod relay_content;
pub mod relay_logs;
pub(crate) mod serving;
mod shutdown;
pub(crate) mod single_flight;
pub(crate) mod sql_notes;
pub(crate) mod sql_sessions;
pub(crate) mod state;
pub(crate) mod stdio_bridge;
pub(crate) mod stream;
pub(crate) mod supervisor;
mod truncate_binlog;
pub mod unsynced;

pub(crate) mod volume;
pub(crate) mod volume_lock;
pub(crate) mod write_lock;

pub(crate) use config::Config;
pub(crate) use daemon::run;
