//! MariaDB's protocol, both sides: a replica connects to us, logs in and is sent binary logs ([`Connection`]); we connect to
//! a server, log in and ask it statements ([`Client`]).
//!
//! Here belongs what goes over the wire: packets, login, the queries a replica asks, the stream of events and when it is
//! refused, the answers to our own statements. Sans-IO: both take bytes, give bytes, and say what they need next. Not
//! here: sockets, files, clocks and random numbers (they come in as values), and the files' format (`binlog`).
//!
//! Sources: MariaDB Knowledge Base, "Client/Server Protocol" and "Replication Protocol"; `sql/slave.cc` for what a
//! replica asks, `sql/sql_repl.cc` for what a primary answers.

mod auth;
mod capability;
mod client;
mod command;
mod connection;
mod dump;
mod greeting;
mod packet;
mod place;
mod query;
mod reply;
#[cfg(test)]
mod tests;
mod until;

pub use auth::{Login, SCRAMBLE_LEN, Scramble};
pub(crate) use client::{Answer, Bounds, Client, ClientError, Credentials, Refusal, Row};
pub(crate) use connection::{Connection, Settings, Step};
pub(crate) use dump::Place;
pub(crate) use packet::ProtocolError;
