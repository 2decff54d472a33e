//! Reading a server's state, typed. None of these waits behind commits.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use super::error::SqlError;
use super::row::FromValue;
use super::session::Session;
use super::text::{quote, shown};
use crate::binlog::Xid;
use crate::gtid::{Gtid, GtidError, GtidPosition};
use crate::protocol::Row;
use crate::topology::observation::{IoThread, SlaveStatus};

/// Global variables that say what a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Globals {
    /// `server_id`.
    pub(crate) server_id: u32,
    /// `read_only`.
    pub(crate) read_only: bool,
    /// `gtid_binlog_pos`.
    pub(crate) binlog_position: GtidPosition,
    /// `gtid_slave_pos`.
    pub(crate) slave_position: GtidPosition,
    /// `rpl_semi_sync_master_enabled`.
    pub(crate) source_enabled: bool,
    /// `rpl_semi_sync_master_wait_no_slave`.
    pub(crate) wait_no_slave: bool,
    /// `rpl_semi_sync_slave_enabled`.
    pub(crate) acker_wanted: bool,
}

impl Globals {
    /// What its binary log holds and what its SQL thread applied.
    #[must_use]
    pub(crate) fn applied(&self) -> GtidPosition {
        self.binlog_position.union(&self.slave_position)
    }
}

/// The replica side, with what only the agent asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slave {
    /// What everybody asks for.
    pub status: SlaveStatus,
    /// `Master_User`.
    pub(crate) user: String,
    /// `Master_Log_File` and `Read_Master_Log_Pos`: how far the IO thread has read.
    pub(crate) read: (String, u64),
    /// `Slave_received_heartbeats` since the last `CHANGE MASTER`. A source sends them once it has sent all else.
    pub(crate) heartbeats: u64,
}

/// Reads [`Globals`].
///
/// # Errors
/// As the statement fails.
pub(crate) async fn globals(session: &mut Session) -> Result<Globals, SqlError> {
    const QUERY: &str = "SELECT @@global.server_id, @@global.read_only, @@global.gtid_binlog_pos, \
         @@global.gtid_slave_pos, @@global.rpl_semi_sync_master_enabled, \
         @@global.rpl_semi_sync_master_wait_no_slave, @@global.rpl_semi_sync_slave_enabled";
    type Columns = (u32, bool, String, String, bool, bool, bool);
    let (server_id, read_only, binlog, slave, source_enabled, wait_no_slave, acker_wanted): Columns =
        session.row(QUERY).await?;
    Ok(Globals {
        server_id,
        read_only,
        binlog_position: parsed("gtid_binlog_pos", &binlog)?,
        slave_position: parsed("gtid_slave_pos", &slave)?,
        source_enabled,
        wait_no_slave,
        acker_wanted,
    })
}

/// The last transaction of each server in each domain that the binary log has had (`gtid_binlog_state`), also where the files
/// were purged since.
///
/// # Errors
/// As the statement fails.
pub(crate) async fn logged(session: &mut Session) -> Result<Vec<Gtid>, SqlError> {
    let state: String = session.row("SELECT @@global.gtid_binlog_state").await?;
    let gtids = state.split(',').map(str::trim).filter(|text| !text.is_empty());
    gtids.map(|gtid| parsed("gtid_binlog_state", gtid)).collect()
}

/// The default replication connection, when one is configured.
///
/// # Errors
/// As the statement fails, or when a column has another shape.
pub async fn slave(session: &mut Session) -> Result<Option<Slave>, SqlError> {
    let rows: Vec<Row> = session.rows("SHOW ALL SLAVES STATUS").await?;
    for row in &rows {
        let columns = Columns { names: row.columns(), values: row.values().map_err(unexpected_slave)? };
        if columns.get::<String>("Connection_name")?.is_empty() {
            return columns.slave().map(Some);
        }
    }
    Ok(None)
}

/// Those of these global variables that the server knows.
///
/// # Errors
/// As the statement fails.
pub(crate) async fn variables(session: &mut Session, names: &[&str]) -> Result<BTreeMap<String, String>, SqlError> {
    let names: Vec<String> = names.iter().map(|name| quote(name)).collect();
    let query = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})", names.join(","));
    Ok(session.rows::<(String, String)>(&query).await?.into_iter().collect())
}

/// Status variables whose names match `pattern`.
///
/// # Errors
/// As the statement fails.
pub(crate) async fn status(session: &mut Session, pattern: &str) -> Result<BTreeMap<String, String>, SqlError> {
    let rows: Vec<(String, String)> = session.rows(&format!("SHOW GLOBAL STATUS LIKE '{pattern}'")).await?;
    Ok(rows.into_iter().collect())
}

/// True when the IO thread's present connection acknowledges.
///
/// # Errors
/// As the statement fails.
pub(crate) async fn is_acknowledging(session: &mut Session) -> Result<bool, SqlError> {
    let status = status(session, ACKER_ACTIVE).await?;
    Ok(status.get(ACKER_ACTIVE).is_some_and(|value| value == "ON"))
}

/// What the threads that apply are doing, and the longest of other people's sessions, which may hold what they wait for: at
/// most three of each, in words. `own` are the caller's own sessions.
///
/// # Errors
/// As the statement fails.
pub(crate) async fn held_by(session: &mut Session, own: &[u32]) -> Result<String, SqlError> {
    // A SQL thread that starts is called Connect.
    const APPLYING: &str = "SELECT CONCAT(IFNULL(STATE, ''), ' (', LEFT(IFNULL(INFO, ''), 100), ')') \
                            FROM information_schema.PROCESSLIST \
                            WHERE USER = 'system user' AND COMMAND IN ('Slave_SQL', 'Slave_worker', 'Connect') \
                            ORDER BY STATE LIKE '%lock%' DESC, STATE LIKE 'Waiting for work%', INFO IS NULL LIMIT 3";
    let applying: Vec<String> = session.rows(APPLYING).await?;
    let others = other_sessions(session, own).await?;
    Ok(format!("its SQL thread: {}; sessions that may hold what it waits for: {others}", applying.join(", ")))
}

/// As [`other_sessions`], for a lock on everything: first those that are at taking it, then those whose user may take it.
/// `lasts` is for how long it has been there at most: who began with what it does before that has not taken it.
///
/// # Errors
/// As the statement fails.
pub(crate) async fn lock_holders(
    session: &mut Session,
    own: &[u32],
    lasts: Option<Duration>,
) -> Result<String, SqlError> {
    // `'name'@'host'`; a role may give the right, too.
    const MAY_LOCK: &str = "USER IN (SELECT SUBSTRING_INDEX(SUBSTRING(GRANTEE, 2), '\\'@', 1) \
                            FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'RELOAD') DESC,";
    let order = format!("IFNULL({LOCKING}, 0) DESC, {MAY_LOCK}");
    if let Some(lasts) = lasts {
        let lately = format!("AND (TIME_MS <= {} OR IFNULL({LOCKING}, 0))", lasts.as_millis());
        let found = sessions(session, own, (&lately, &order)).await?;
        if !found.is_empty() {
            return Ok(listed(&found));
        }
    }
    Ok(listed(&sessions(session, own, ("", &order)).await?))
}

/// The longest of other people's sessions that wait for no lock themselves, in words: who may hold one. Of their statements
/// only the first word, for others may read this. `own` are the caller's: their user is the administrator's, too.
///
/// # Errors
/// As the statement fails.
pub(crate) async fn other_sessions(session: &mut Session, own: &[u32]) -> Result<String, SqlError> {
    Ok(listed(&sessions(session, own, ("", "")).await?))
}

/// A statement that takes a lock on everything, or waits for it: what comes after it waits, too.
const LOCKING: &str = "INFO REGEXP '^[[:space:]]*(FLUSH|BACKUP)'";

async fn sessions(session: &mut Session, own: &[u32], (only, order): (&str, &str)) -> Result<Vec<String>, SqlError> {
    let own: String = own.iter().map(|id| format!(",{id}")).collect();
    let query = format!(
        "SELECT CONCAT(ID, ' (', USER, IF(HOST = '', '', CONCAT('@', SUBSTRING_INDEX(HOST, ':', 1))), \
         IF(COMMAND = 'Sleep', ', idle', ''), IFNULL(CONCAT(', ', LEFT(SUBSTRING_INDEX(LTRIM(INFO), ' ', 1), 16)), ''), ')') \
         FROM information_schema.PROCESSLIST \
         WHERE ID NOT IN (CONNECTION_ID(){own}) AND USER NOT IN ('system user', 'event_scheduler') \
         AND USER NOT LIKE 'beachmaster%' {only} \
         AND (IFNULL(STATE, '') NOT LIKE 'Waiting for%lock%' OR IFNULL({LOCKING}, 0)) ORDER BY {order} TIME DESC LIMIT 100"
    );
    session.rows(&query).await
}

/// The first of them, and how many more there are.
fn listed(sessions: &[String]) -> String {
    const SHOWN: usize = 5;
    let first = sessions.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match sessions.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{first} and {} more", count - SHOWN),
        _ => first,
    }
}

/// XA transactions that are prepared.
///
/// # Errors
/// As the statement fails, or when a name is none.
pub(crate) async fn prepared_xa(session: &mut Session) -> Result<BTreeSet<Xid>, SqlError> {
    let rows: Vec<(i64, usize, usize, Vec<u8>)> = session.rows("XA RECOVER").await?;
    let name = |(format, gtrid, bqual, data): (i64, usize, usize, Vec<u8>)| {
        let format = u32::try_from(format & i64::from(u32::MAX)).ok();
        let name = format.and_then(|format| Xid::new(format, gtrid, &data)).filter(|_| gtrid + bqual == data.len());
        name.ok_or_else(|| SqlError::Unexpected {
            what: "XA RECOVER".to_owned(),
            message: format!("the name {data:?} is not {gtrid} and {bqual} bytes long"),
        })
    };
    rows.into_iter().map(name).collect()
}

/// Status variable of a replica whose present connection acknowledges.
pub(crate) const ACKER_ACTIVE: &str = "Rpl_semi_sync_slave_status";

fn parsed<T: FromStr<Err = GtidError>>(variable: &str, text: &str) -> Result<T, SqlError> {
    text.parse().map_err(|error: GtidError| SqlError::Unexpected {
        what: variable.to_owned(),
        message: shown(&error.to_string()),
    })
}

fn unexpected_slave(error: impl std::fmt::Display) -> SqlError {
    SqlError::Unexpected { what: "SHOW ALL SLAVES STATUS".to_owned(), message: shown(&error.to_string()) }
}

struct Columns<'a> {
    names: &'a [String],
    values: Vec<Option<&'a [u8]>>,
}

impl Columns<'_> {
    fn slave(&self) -> Result<Slave, SqlError> {
        let status = SlaveStatus {
            host: shown(&self.get::<String>("Master_Host")?),
            port: self.get("Master_Port")?,
            io: match self.get::<String>("Slave_IO_Running")?.as_str() {
                "Yes" => IoThread::Yes,
                "No" => IoThread::No,
                // Also `Preparing`: started, not connected yet.
                _ => IoThread::Connecting,
            },
            sql: self.get::<String>("Slave_SQL_Running")? == "Yes",
            io_position: parsed("Gtid_IO_Pos", &self.get::<String>("Gtid_IO_Pos")?)?,
            io_errno: self.get("Last_IO_Errno")?,
            io_error: shown(&self.get::<String>("Last_IO_Error")?),
            sql_errno: self.get("Last_SQL_Errno")?,
            sql_error: shown(&self.get::<String>("Last_SQL_Error")?),
            lag_s: self.get("Seconds_Behind_Master")?,
            by_gtid: self.get::<String>("Using_Gtid")? != "No",
        };
        let user = self.get("Master_User")?;
        let read = (self.get("Master_Log_File")?, self.get("Read_Master_Log_Pos")?);
        Ok(Slave { status, user, read, heartbeats: self.get("Slave_received_heartbeats")? })
    }

    fn get<T: FromValue>(&self, name: &str) -> Result<T, SqlError> {
        let index = self.names.iter().position(|column| column == name);
        let value = index.and_then(|index| self.values.get(index));
        let value = value.ok_or_else(|| unexpected_slave(format!("column {name} is missing")))?;
        T::from_value(*value).ok_or_else(|| unexpected_slave(format!("column {name} has another type")))
    }
}
