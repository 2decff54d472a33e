//! Why a connection is of no use any more.

use thiserror::Error;

use super::super::auth::PLUGIN;
use super::super::packet::ProtocolError;
use super::bounds::Bounds;
use super::err_packet::Refusal;

/// The connection is of no use any more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ClientError {
    /// Packets that are none.
    #[error(transparent)]
    Packet(#[from] ProtocolError),
    /// Somebody else's protocol, or one from before 2004.
    #[error("the server does not offer what is needed: protocol 10 with secure authentication by plugins")]
    Old,
    /// The password is shown to nobody.
    #[error("the server asks for a login with {plugin:?}; only {PLUGIN} is supported")]
    Plugin {
        /// As the server names it.
        plugin: String,
    },
    /// A packet that has no place there.
    #[error("the server sent a packet of {length} bytes that is no {expected}")]
    Unexpected {
        /// What was due.
        expected: &'static str,
        /// Bytes of its payload.
        length: usize,
    },
    /// More columns than any statement of ours has.
    #[error("the answer announces {columns} columns; at most {most} are accepted")]
    Columns {
        /// Announced.
        columns: u64,
        /// Taken.
        most: usize,
    },
    /// The server has ended the session unasked.
    #[error("the server ended the session: error {}: {}", .0.code, .0.message)]
    Ended(Refusal),
    /// More rows or bytes than allowed.
    #[error("the answer is longer than {} rows or {} bytes", .0.rows, .0.bytes)]
    TooLong(Bounds),
}
