//! Beachmaster: high availability for MariaDB replication sets on Kubernetes.
//!
//! Folders depend on each other in this order only (a later one may use an earlier one):
//! `errno`, `time`, `gtid`, `orders`, `layout`, `api`, `binlog`, `protocol`, `topology`, `resources`, `control` are pure: values in, values out, no
//! clock, no files, no network. `http`, `mariadb`, `agent`, `operator` and `cli` do the work that touches the world.

pub mod agent;
pub mod api;
pub mod binlog;
pub mod cli;
pub mod control;
mod errno;
pub mod gtid;
pub mod http;
pub mod layout;
mod listen;
pub mod mariadb;
pub mod operator;
pub mod orders;
pub mod protocol;
pub mod resources;
mod sync;
pub mod time;
pub mod topology;
