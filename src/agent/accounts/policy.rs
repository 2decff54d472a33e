//! Giving accounts their hashes where a password policy holds.
//!
//! A password validation plugin refuses hashes, whose passwords it cannot look at, while `strict_password_validation` is on
//! (its default). The variable is global only, so it is off for one statement; a note beside mariadbd's socket says so.

use std::fs;
use std::io;
use std::path::PathBuf;

use tokio::task::block_in_place;

use super::error::AccountError;
use crate::agent::config::Config;
use crate::errno;
use crate::mariadb::Session;

const ON: &str = "SET GLOBAL strict_password_validation=1";
const OFF: &str = "SET GLOBAL strict_password_validation=0";

/// The password policy of a member.
pub(crate) struct Policy {
    /// There while it may be off because of us: whoever is killed in the middle leaves it behind.
    note: PathBuf,
}

impl Policy {
    /// Of the member whose configuration this is.
    pub(crate) fn of(config: &Config) -> Self {
        Self { note: config.run_dir.join("strict_password_validation.off") }
    }

    /// Runs a statement that gives an account a hash. One statement of several, so that the end of this agent in the middle of
    /// it leaves nothing switched off; only KILL does, which runs no handler.
    pub(crate) async fn set_hash(&self, session: &mut Session, statement: &str) -> Result<(), AccountError> {
        match session.execute(statement).await {
            Err(error) if error.code() == Some(errno::OPTION_PREVENTS_STATEMENT) => {}
            done => return Ok(done?),
        }
        block_in_place(|| fs::write(&self.note, "")).map_err(|error| self.failed(error))?;
        let block = format!(
            "BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN {ON}; RESIGNAL; END; {OFF}; {statement}; {ON}; END"
        );
        let done = session.execute(&block).await;
        if !session.is_broken() {
            self.restore(session).await?;
        }
        Ok(done?)
    }

    /// Puts back what somebody who was killed has left off.
    pub(crate) async fn restore(&self, session: &mut Session) -> Result<(), AccountError> {
        if block_in_place(|| self.note.exists()) {
            session.execute(ON).await?;
            block_in_place(|| fs::remove_file(&self.note)).map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> AccountError {
        AccountError::Note { path: self.note.clone(), error }
    }
}
