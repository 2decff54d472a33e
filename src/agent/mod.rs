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

pub mod accounts;
pub mod binlog_files;
pub mod binlog_server;
mod caretaker;
pub mod clock;
pub mod config;
pub mod crash_scan;
pub mod daemon;
pub mod ddl_recovery;
mod dispatcher;
pub mod events;
pub mod file_locks;
pub mod keeper;
pub mod launch_client;
pub mod log_reader;
pub mod master_info;
pub mod new_connections;
pub mod order_gate;
pub mod orders;
pub mod own_position;
pub mod purge;
pub mod readyz;
pub mod record;
pub mod relay_as_binlog;
pub mod relay_content;
pub mod relay_logs;
pub mod serving;
mod shutdown;
pub mod single_flight;
pub mod slots;
pub mod sql_notes;
pub mod sql_sessions;
pub mod state;
pub mod stdio_bridge;
pub mod stream;
pub mod supervisor;
mod truncate_binlog;
pub mod unsynced;

pub mod volume;
pub mod volume_lock;
pub mod write_lock;

pub use config::Config;
pub use daemon::run;
