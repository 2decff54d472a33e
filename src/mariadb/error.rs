//! What can go wrong between us and a server.

use std::io;
use std::time::Duration;

use thiserror::Error;

use super::text::shown;
use crate::errno;
use crate::protocol::{ClientError, Refusal};

/// What ended a connection or a statement, before it is known whose and which.
#[derive(Debug)]
pub(super) enum WireError {
    /// The network or the socket.
    Io(io::Error),
    /// The server closed the connection.
    Closed,
    /// It does not speak as a MariaDB does.
    Client(ClientError),
    /// It said no.
    Refused(Refusal),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ClientError> for WireError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// A statement or a connection failed. Statements are named by their first words only: they may carry passwords.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SqlError {
    /// Nobody listens there.
    #[error("{address}: nothing listens ({message}); is mariadbd running?")]
    Refused { address: String, message: String },
    /// The connection ended.
    #[error("{what}: the connection ended ({message}); mariadbd may have stopped")]
    Closed { what: String, message: String },
    /// The session is not used again.
    #[error(
        "{what}: an earlier statement of this session got no answer, or ended it; the next try opens a new session"
    )]
    Broken { what: String },
    /// No answer in time. The session is not used again.
    #[error("{what}: no answer within {limit:?}; the server hangs, is overloaded or cannot be reached")]
    Silent { what: String, limit: Duration },
    /// No way there: that says nothing about the server.
    #[error("{what}: cannot be reached ({message}); is there a network policy or a broken network between?")]
    Unreachable { what: String, message: String },
    /// The server said no.
    #[error("{what}: error {code}: {message}")]
    Server { what: String, code: u16, message: String },
    /// The server wants more of a password than the answer to a challenge.
    #[error("{what}: {message}: it may not belong to this cluster, or the account was dropped or has another plugin")]
    Plugin { what: String, message: String },
    /// The answer is not what this program understands.
    #[error("{what}: {message}; this version of MariaDB may be unknown to this program")]
    Unexpected { what: String, message: String },
}

impl SqlError {
    /// The server's error number, when the server answered with an error.
    #[must_use]
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// True when nobody listens or the connection ended: mariadbd does not run, or stops.
    #[must_use]
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Closed { .. })
    }

    /// True when the server refused our own account: its password, its rights, its lock, or its plugin.
    #[must_use]
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Plugin { .. }) || self.code().is_some_and(|code| DENIED.contains(&code))
    }

    /// True when the server has no connection left.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.code() == Some(errno::CON_COUNT_ERROR)
    }

    pub(super) fn of_connection(address: &str, error: WireError) -> Self {
        match Self::of_statement(address, error) {
            Self::Closed { what, message } => Self::Refused { address: what, message },
            other => other,
        }
    }

    pub(super) fn of_statement(what: &str, error: WireError) -> Self {
        let what = what.to_owned();
        match error {
            WireError::Refused(Refusal { code, message }) => Self::Server { what, code, message: shown(&message) },
            WireError::Io(error) if is_silence(&error) => Self::Unreachable { what, message: error.to_string() },
            WireError::Io(error) => Self::Closed { what, message: error.to_string() },
            WireError::Closed => Self::Closed { what, message: "closed by the server".to_owned() },
            WireError::Client(error @ ClientError::Ended(_)) => {
                Self::Closed { what, message: shown(&error.to_string()) }
            }
            WireError::Client(error @ ClientError::Plugin { .. }) => Self::Plugin { what, message: error.to_string() },
            WireError::Client(error) => Self::Unexpected { what, message: error.to_string() },
        }
    }
}

/// Numbers of errors about an account.
const DENIED: [u16; 10] = [
    errno::DBACCESS_DENIED_ERROR,
    errno::ACCESS_DENIED_ERROR,
    errno::HOST_NOT_PRIVILEGED,
    errno::SPECIFIC_ACCESS_DENIED_ERROR,
    errno::PLUGIN_IS_NOT_LOADED,
    errno::ACCESS_DENIED_NO_PASSWORD_ERROR,
    errno::MUST_CHANGE_PASSWORD,
    errno::MUST_CHANGE_PASSWORD_LOGIN,
    errno::USER_IS_BLOCKED,
    errno::ACCOUNT_HAS_BEEN_LOCKED,
];

/// No way to the host, from our own network or by a router's word, says nothing about mariadbd there.
fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let kinds = [Kind::HostUnreachable, Kind::NetworkUnreachable, Kind::NetworkDown, Kind::TimedOut];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(EHOSTDOWN)
}

/// Linux's errno of a host that does not answer ARP; std has no kind for it.
const EHOSTDOWN: i32 = 112;

#[cfg(test)]
mod tests {
    use super::*;

    fn of_errno(errno: i32) -> SqlError {
        SqlError::of_connection("p@10.0.0.1:3306", io::Error::from_raw_os_error(errno).into())
    }

    #[test]
    fn no_way_to_a_server_is_no_answer_of_it() {
        // ENETDOWN, ENETUNREACH, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH.
        for errno in [100, 101, 110, 112, 113] {
            let error = of_errno(errno);
            assert!(matches!(error, SqlError::Unreachable { .. }), "{errno}: {error:?}");
            assert!(!error.is_gone());
        }
        assert!(of_errno(111).is_gone(), "ECONNREFUSED: nobody listens");
        assert!(of_errno(104).is_gone(), "ECONNRESET");
    }

    #[test]
    fn a_refused_account_is_told_from_other_errors() {
        let server = |code| SqlError::Server { what: "p".to_owned(), code, message: String::new() };
        assert!([1045, 1862, 4150, 4151].into_iter().all(|code| server(code).is_denied()));
        assert!(![1040, 1021, 1290].into_iter().any(|code| server(code).is_denied()));
    }
}
