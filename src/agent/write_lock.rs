//! Whether statements that write get the locks they need. FLUSH TABLES WITH READ LOCK that somebody forgot stops all writes, and
//! neither a variable nor a reading shows it.

use crate::mariadb::{Session, SqlError, read};

/// So many looks in a row must find it: a backup holds such a lock for a moment.
const LOOKS: u32 = 2;
/// ER_LOCK_WAIT_TIMEOUT.
const NOT_AT_ONCE: u16 = 1205;
/// Tables that every server has, of two databases: a dump locks the tables of one after the other, and that is no lock on
/// everything.
const TABLES: [&str; 2] = ["mysql.gtid_slave_pos", "sys.sys_config"];

/// What was found so far.
#[derive(Debug, Default)]
pub struct WriteLock {
    found: u32,
    /// What is told, the same as long as the lock lasts.
    told: Option<String>,
}

impl WriteLock {
    /// True when the next look decides.
    pub fn is_doubtful(&self) -> bool {
        self.found > 0 && self.found < LOOKS
    }

    /// Looks once more. What holds the lock in words, while it lasts. `own` are the agent's other sessions.
    ///
    /// # Errors
    /// As the statements fail: then nothing is known.
    pub async fn look(&mut self, session: &mut Session, own: &[u32]) -> Result<Option<String>, SqlError> {
        let before = std::mem::take(self);
        if !(blocks_statements(session).await? || blocks_commits(session).await?) {
            return Ok(None);
        }
        self.found = before.found.saturating_add(1);
        if self.found >= LOOKS {
            let holders = match before.told {
                Some(told) => told,
                None => told(&read::lock_holders(session, own).await?),
            };
            self.told = Some(holders);
        }
        Ok(self.told.clone())
    }
}

fn told(holders: &str) -> String {
    format!(
        "a lock keeps writes waiting (FLUSH TABLES WITH READ LOCK, BACKUP STAGE); sessions that may hold it: {holders}"
    )
}

/// A locking read takes the same lock as a statement that writes, and writes nothing (`open_table`: MDL_BACKUP_DML).
async fn blocks_statements(session: &mut Session) -> Result<bool, SqlError> {
    for table in TABLES {
        let locking = format!("SET STATEMENT lock_wait_timeout=0 FOR SELECT 1 FROM {table} LIMIT 0 FOR UPDATE");
        match session.rows::<u8>(&locking).await {
            Ok(_) => return Ok(false),
            Err(error) if error.code() == Some(NOT_AT_ONCE) => {}
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
