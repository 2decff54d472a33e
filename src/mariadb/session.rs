//! One connection with a time limit on every statement.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::error::{SqlError, WireError};
use super::row::FromRow;
use super::text::summary;
use super::wire::{Address, Wire};
use crate::errno;
use crate::orders::Secret;
use crate::protocol::{Answer, Bounds, Credentials, Row};

/// Limit of a statement unless said otherwise: nothing we send takes longer on a healthy server.
pub(crate) const STATEMENT_LIMIT: Duration = Duration::from_secs(2);
/// What an answer of our own server may hold, over its socket: prepared XA transactions are the longest list.
const LOCAL: Bounds = Bounds { rows: 100_000, bytes: 16 * 1024 * 1024 };

/// Who connects, and where.
#[derive(Debug, Clone)]
pub struct Login {
    /// Where.
    pub address: Address,
    /// The account.
    pub user: String,
    /// Its password; none for unix_socket authentication.
    pub password: Option<Secret>,
    /// A statement that makes the session what its owner needs.
    pub setup: Option<&'static str>,
}

impl Login {
    fn name(&self) -> String {
        match &self.address {
            Address::Socket(path) => format!("{}@{}", self.user, path.display()),
            Address::Tcp { host, port } => format!("{}@{host}:{port}", self.user),
        }
    }

    fn credentials(&self) -> Credentials {
        let password = self.password.as_ref().map(|password| password.0.clone());
        Credentials { user: self.user.clone(), password }
    }
}

/// A connection. After an error that is not the server's own answer it is broken: drop it. So it is when whoever waits for a
/// statement is cut off: the answer that is still to come would be taken for the next statement's.
#[derive(Debug)]
pub struct Session {
    wire: Wire,
    limit: Duration,
    broken: bool,
}

impl Session {
    /// Connects within `limit`, which is also the limit of its statements.
    ///
    /// # Errors
    /// Refused, silent, or the server's own answer (wrong password, connections used up).
    pub async fn connect(login: &Login, limit: Duration) -> Result<Self, SqlError> {
        let name = login.name();
        let wire = timeout(limit, Wire::log_in(&login.address, login.credentials(), LOCAL)).await;
        let wire = wire.map_err(|_| SqlError::Silent { what: name.clone(), limit })?;
        let wire = wire.map_err(|error| SqlError::of_connection(&name, error))?;
        let mut session = Self { wire, limit, broken: false };
        if let Some(setup) = login.setup {
            session.execute(setup).await?;
        }
        Ok(session)
    }

    /// The same session with other bounds of its answers.
    #[must_use]
    pub(crate) fn bounded(mut self, bounds: Bounds) -> Self {
        self.wire.set_bounds(bounds);
        self
    }

    /// The server's number for this connection, for KILL.
    #[must_use]
    pub(crate) fn id(&self) -> u32 {
        self.wire.connection_id()
    }

    /// True when it must not be used again.
    #[must_use]
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// As [`SqlError`] says.
    pub async fn execute(&mut self, statement: &str) -> Result<(), SqlError> {
        self.execute_within(statement, self.limit).await
    }

    /// Runs a statement that may take longer than others.
    ///
    /// # Errors
    /// As [`SqlError`] says.
    pub(crate) async fn execute_within(&mut self, statement: &str, limit: Duration) -> Result<(), SqlError> {
        self.ask(statement, limit).await.map(drop)
    }

    /// Ends another session, without waiting until it is gone: a killed session begins nothing new. One that has ended by
    /// itself is no error.
    ///
    /// # Errors
    /// As [`SqlError`] says.
    pub(crate) async fn kill(&mut self, id: u32) -> Result<(), SqlError> {
        match self.execute(&format!("KILL CONNECTION {id}")).await {
            Err(error) if error.code() == Some(errno::NO_SUCH_THREAD) => Ok(()),
            done => done,
        }
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// As [`SqlError`] says; [`SqlError::Unexpected`] when there are more than the session's bounds allow.
    pub(crate) async fn rows<T: FromRow>(&mut self, query: &str) -> Result<Vec<T>, SqlError> {
        let rows = self.ask(query, self.limit).await?;
        let unread = |message| SqlError::Unexpected { what: summary(query), message };
        rows.iter().map(|row| T::from_row(row).map_err(unread)).collect()
    }

    /// The only row of a query.
    ///
    /// # Errors
    /// As [`SqlError`] says; [`SqlError::Unexpected`] when there is none.
    pub(crate) async fn row<T: FromRow>(&mut self, query: &str) -> Result<T, SqlError> {
        let missing = || SqlError::Unexpected { what: summary(query), message: "no row".to_owned() };
        self.rows(query).await?.into_iter().next().ok_or_else(missing)
    }

    /// Broken until the answer is there: the end is not reached when the caller is cut off.
    async fn ask(&mut self, statement: &str, limit: Duration) -> Result<Vec<Row>, SqlError> {
        if std::mem::replace(&mut self.broken, true) {
            // The answer to an earlier statement may still come, and would be taken for this one's.
            return Err(SqlError::Broken { what: summary(statement) });
        }
        let done = limited(statement, limit, self.wire.ask(statement)).await;
        self.broken = done.as_ref().err().is_some_and(|error| error.code().is_none_or(ends_session));
        done
    }
}

/// The server closes the connection behind these.
fn ends_session(code: u16) -> bool {
    const ENDS: [u16; 4] =
        [errno::SERVER_SHUTDOWN, errno::NET_READ_INTERRUPTED, errno::NEW_ABORTING_CONNECTION, errno::CONNECTION_KILLED];
    ENDS.contains(&code)
}

async fn limited(
    statement: &str,
    limit: Duration,
    work: impl Future<Output = Result<Answer, WireError>>,
) -> Result<Vec<Row>, SqlError> {
    let began = Instant::now();
    let done = timeout(limit, work).await;
    tracing::debug!(statement = summary(statement), took = ?began.elapsed(), "sql");
    let done = done.map_err(|_| SqlError::Silent { what: summary(statement), limit })?;
    done.and_then(|answer| answer.map_err(WireError::Refused))
        .map_err(|error| SqlError::of_statement(&summary(statement), error))
}

#[cfg(test)]
mod tests;
