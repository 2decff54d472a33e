//! Whether statements that write get the locks they need. FLUSH TABLES WITH READ LOCK that somebody forgot stops all writes, and
//! neither a variable nor a reading shows it.

use std::time::{Duration, Instant};

use crate::errno;
use crate::mariadb::{Session, SqlError, read};

/// So many looks in a row must find it: a backup holds such a lock for a moment.
const LOOKS: u32 = 2;
/// The same for a lock on one table that the SQL thread waits for: DDL waits for readers.
const LOOKS_AT_TABLES: u32 = 3;
/// Clocks of statements count from when they began, in their own steps.
const SLACK: Duration = Duration::from_secs(1);
/// Tables that every server has, of two databases: a dump locks the tables of one after the other, and that is no lock on
/// everything.
const TABLES: [&str; 2] = ["mysql.gtid_slave_pos", "sys.sys_config"];

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct WriteLock {
    found: u32,
    needed: u32,
    /// Begin of the last look that found nothing.
    free: Option<Instant>,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Statements,
    Commits,
    /// The SQL thread, for a lock on a table.
    Replica,
}

impl WriteLock {
    /// True when one of the next looks decides.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.found > 0 && self.found < self.needed
    }

    /// Looks once more. What holds the lock in words, while it lasts. `own` are the agent's other sessions.
    ///
    /// # Errors
    /// As the statements fail: then nothing is known.
    pub(crate) async fn look(&mut self, session: &mut Session, own: &[u32]) -> Result<Option<String>, SqlError> {
        let began = Instant::now();
        let before = std::mem::take(self);
        let Some(waits) = waits(session).await? else {
            self.free = Some(began);
            return Ok(None);
        };
        (self.found, self.free) = (before.found.saturating_add(1), before.free);
        self.needed = if waits == Waits::Replica { LOOKS_AT_TABLES } else { LOOKS };
        if self.found < self.needed {
            return Ok(None);
        }
        let holders = match waits {
            Waits::Replica => read::other_sessions(session, own).await,
            // Only a lock on statements is seen as soon as it is there.
            _ => {
                let since = self.free.filter(|_| waits == Waits::Statements).map(|free| free.elapsed() + SLACK);
                read::lock_holders(session, own, since).await
            }
        };
        // That there is a lock is known all the same.
        Ok(Some(told(waits, holders.as_deref().unwrap_or("not known yet"))))
    }
}

async fn waits(session: &mut Session) -> Result<Option<Waits>, SqlError> {
    if blocks_statements(session).await? {
        return Ok(Some(Waits::Statements));
    }
    if blocks_commits(session).await? {
        return Ok(Some(Waits::Commits));
    }
    Ok(blocks_the_replica(session).await?.then_some(Waits::Replica))
}

fn told(waits: Waits, holders: &str) -> String {
    let what = match waits {
        Waits::Statements | Waits::Commits => "a lock keeps writes waiting (FLUSH TABLES WITH READ LOCK, BACKUP STAGE)",
        Waits::Replica => "its SQL thread waits for a lock on a table (LOCK TABLES, an open transaction, DDL)",
    };
    format!("{what}; sessions that may hold it: {holders}")
}

/// A locking read takes the same lock as a statement that writes, and writes nothing (`open_table`: MDL_BACKUP_DML).
async fn blocks_statements(session: &mut Session) -> Result<bool, SqlError> {
    for table in TABLES {
        let locking = format!("SET STATEMENT lock_wait_timeout=0 FOR SELECT 1 FROM {table} LIMIT 0 FOR UPDATE");
        match session.rows::<u8>(&locking).await {
            Ok(_) => return Ok(false),
            Err(error) if error.code() == Some(errno::LOCK_WAIT_TIMEOUT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// BACKUP STAGE BLOCK_COMMIT stops commits only, and only who commits finds out.
async fn blocks_commits(session: &mut Session) -> Result<bool, SqlError> {
    const WAITING: &str = "SELECT COUNT(*) > 0 FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for backup lock' \
         AND (COMMAND IN ('Slave_SQL', 'Slave_worker') OR COMMAND IN ('Query', 'Execute') AND TIME_MS > 2000 \
         AND INFO REGEXP '^([[:space:]]|/[*].*[*]/)*(INSERT|UPDATE|DELETE|REPLACE|LOAD|COMMIT)')";
    session.row(WAITING).await
}

/// LOCK TABLES, a transaction that is open, or DDL: its SQL thread does not get on.
async fn blocks_the_replica(session: &mut Session) -> Result<bool, SqlError> {
    const WAITING: &str = "SELECT COUNT(*) > 0 FROM information_schema.PROCESSLIST WHERE COMMAND IN ('Slave_SQL', 'Slave_worker') \
         AND STATE LIKE 'Waiting for table%lock'";
    session.row(WAITING).await
}
