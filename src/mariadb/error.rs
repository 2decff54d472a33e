//! What can go wrong between us and a server.

use std::io;
use std::time::Duration;

use mysql_async::{DriverError, Error, IoError};
use thiserror::Error as ThisError;

/// A statement or a connection failed. Statements are named by their first words only: they may carry passwords.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum SqlError {
    /// Nobody listens there.
    #[error("{address}: nobody listens ({message}); is mariadbd running?")]
    Refused { address: String, message: String },
    /// The connection ended.
    #[error("{what}: the connection ended ({message}); mariadbd may have stopped")]
    Closed { what: String, message: String },
    /// No answer in time. The session is not used again.
    #[error("{what}: no answer within {limit:?}; the server hangs, is overloaded or cannot be reached")]
    Silent { what: String, limit: Duration },
    /// The server said no.
    #[error("{what}: error {code}: {message}")]
    Server { what: String, code: u16, message: String },
    /// The answer is not what this program understands.
    #[error("{what}: {message}; this version of MariaDB may be unknown to this program")]
    Unexpected { what: String, message: String },
}

impl SqlError {
    /// The server's error number, when the server answered with an error.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// True when nobody listens or the connection ended: mariadbd does not run, or stops.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Closed { .. })
    }

    pub(super) fn of_connection(address: &str, error: Error) -> Self {
        match Self::of_statement(address, error) {
            Self::Closed { what, message } => Self::Refused { address: what, message },
            other => other,
        }
    }

    pub(super) fn of_statement(what: &str, error: Error) -> Self {
        let what = what.to_owned();
        match error {
            Error::Server(error) => Self::Server { what, code: error.code, message: error.message },
            Error::Io(IoError::Io(error)) if is_silence(&error) => {
                Self::Unexpected { what, message: format!("cannot be reached: {error}") }
            }
            Error::Io(error) => Self::Closed { what, message: error.to_string() },
            Error::Driver(DriverError::ConnectionClosed) => {
                Self::Closed { what, message: "closed by the server".to_owned() }
            }
            other => Self::Unexpected { what, message: other.to_string() },
        }
    }
}

/// No way to the host says nothing about mariadbd there.
fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::TimedOut)
}
