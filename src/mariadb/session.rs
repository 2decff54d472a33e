//! One connection with a time limit on every statement.

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder, Row, Value};
use tokio::time::timeout;

use super::error::SqlError;
use super::text::summary;
use crate::orders::Secret;

/// Limit of a statement unless said otherwise: nothing we send takes longer on a healthy server.
pub const STATEMENT_LIMIT: Duration = Duration::from_secs(2);
/// Our statements and answers are small; asking the server for its own limit would cost a round trip.
const MAX_PACKET: usize = 16 * 1024 * 1024;
/// What answers over the network may be anything: the longest honest packet is a position of some thousand domains.
const MAX_PACKET_TCP: usize = 1024 * 1024;
/// The server's default, for the same reason; a session it closed is opened again.
const IDLE_SECONDS: usize = 28_800;

/// What an answer may hold at most: whoever answers may not be the server one thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Rows of a result.
    pub rows: usize,
    /// Bytes of its values.
    pub bytes: usize,
}

impl Bounds {
    /// Of our own server, over its socket: prepared XA transactions are the longest list.
    pub const LOCAL: Self = Self { rows: 100_000, bytes: 16 * 1024 * 1024 };
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Its Unix socket.
    Socket(PathBuf),
    /// Host name or IP address, and port.
    Tcp { host: String, port: u16 },
}

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

    fn options(&self) -> OptsBuilder {
        let options = OptsBuilder::default()
            .user(Some(&self.user))
            .pass(self.password.as_ref().map(|password| &password.0))
            .prefer_socket(false)
            .max_allowed_packet(Some(match &self.address {
                Address::Socket(_) => MAX_PACKET,
                Address::Tcp { .. } => MAX_PACKET_TCP,
            }))
            .wait_timeout(Some(IDLE_SECONDS))
            .stmt_cache_size(0);
        match &self.address {
            Address::Socket(path) => options.socket(Some(path.to_string_lossy())),
            Address::Tcp { host, port } => options.ip_or_hostname(host).tcp_port(*port).tcp_nodelay(true),
        }
    }
}

/// A connection. After an error that is not the server's own answer it is broken: drop it. So it is when whoever waits for a
/// statement is cut off: the answer that is still to come would be taken for the next statement's.
#[derive(Debug)]
pub struct Session {
    conn: Conn,
    limit: Duration,
    bounds: Bounds,
    broken: bool,
}

impl Session {
    /// Connects within `limit`, which is also the limit of its statements.
    ///
    /// # Errors
    /// Refused, silent, or the server's own answer (wrong password, connections used up).
    pub async fn connect(login: &Login, limit: Duration) -> Result<Self, SqlError> {
        let name = login.name();
        let conn = timeout(limit, Conn::new(login.options())).await;
        let conn = conn.map_err(|_| SqlError::Silent { what: name.clone(), limit })?;
        let conn = conn.map_err(|error| SqlError::of_connection(&name, error))?;
        let mut session = Self { conn, limit, bounds: Bounds::LOCAL, broken: false };
        if let Some(setup) = login.setup {
            session.execute(setup).await?;
        }
        Ok(session)
    }

    /// The same session with other bounds of its answers.
    #[must_use]
    pub fn bounded(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The server's number for this connection, for KILL.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.conn.id()
    }

    /// True when it must not be used again.
    #[must_use]
    pub fn is_broken(&self) -> bool {
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
    pub async fn execute_within(&mut self, statement: &str, limit: Duration) -> Result<(), SqlError> {
        let whole = self.begin();
        let done = limited(statement, limit, self.conn.query_drop(statement)).await;
        self.end(whole, done)
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// As [`SqlError`] says; [`SqlError::Unexpected`] when there are more than the session's bounds allow.
    pub async fn rows<T: FromRow + Send + 'static>(&mut self, query: &str) -> Result<Vec<T>, SqlError> {
        let bounds = self.bounds;
        let whole = self.begin();
        let done = limited(query, self.limit, collect(&mut self.conn, query, bounds)).await;
        let within = || SqlError::Unexpected {
            what: summary(query),
            message: format!("the answer is longer than {} rows or {} bytes", bounds.rows, bounds.bytes),
        };
        let done = done.and_then(|rows| rows.ok_or_else(within));
        let rows = self.end(whole, done)?;
        let read = |row| {
            mysql_async::from_row_opt(row).map_err(|error| SqlError::Unexpected {
                what: summary(query),
                message: format!("a row cannot be read ({error})"),
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// The only row of a query.
    ///
    /// # Errors
    /// As [`SqlError`] says; [`SqlError::Unexpected`] when there is none.
    pub async fn row<T: FromRow + Send + 'static>(&mut self, query: &str) -> Result<T, SqlError> {
        let missing = || SqlError::Unexpected { what: summary(query), message: "no row".to_owned() };
        self.rows(query).await?.into_iter().next().ok_or_else(missing)
    }

    /// Broken until the answer is there: [`Self::end`] is not reached when the caller is cut off. True when it was whole.
    fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.broken, true)
    }

    fn end<T>(&mut self, whole: bool, done: Result<T, SqlError>) -> Result<T, SqlError> {
        let answered = done.as_ref().err().is_none_or(|error| error.code().is_some());
        self.broken = !(whole && answered);
        done
    }
}

/// The rows of a query; none when there are more than `bounds` allow, and the rest is then still to come.
async fn collect(conn: &mut Conn, query: &str, bounds: Bounds) -> Result<Option<Vec<Row>>, mysql_async::Error> {
    let mut stream = conn.query_stream::<Row, _>(query).await?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = stream.try_next().await? {
        bytes += size(&row);
        if rows.len() >= bounds.rows || bytes > bounds.bytes {
            return Ok(None);
        }
        rows.push(row);
    }
    Ok(Some(rows))
}

/// Bytes a row holds, about.
fn size(row: &Row) -> usize {
    let value = |index| match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => bytes.len(),
        _ => 0,
    };
    (0..row.len()).map(|index| size_of::<Value>() + value(index)).sum()
}

async fn limited<T>(
    statement: &str,
    limit: Duration,
    work: impl Future<Output = Result<T, mysql_async::Error>>,
) -> Result<T, SqlError> {
    let began = Instant::now();
    let done = timeout(limit, work).await;
    tracing::debug!(statement = summary(statement), took = ?began.elapsed(), "sql");
    let done = done.map_err(|_| SqlError::Silent { what: summary(statement), limit })?;
    done.map_err(|error| SqlError::of_statement(&summary(statement), error))
}

#[cfg(test)]
mod tests;
