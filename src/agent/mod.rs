//! The agent: one daemon beside each member's mariadbd, the only part that touches its volume.

pub mod binlog_files;
pub mod binlog_server;
