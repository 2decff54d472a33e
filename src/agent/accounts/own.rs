//! The agent's own account, while it is still logged in: the next login must succeed, too.

use super::absent::Absent;
use super::statement_parts::{Present, UNLIMITED, account};
use super::stored::SOCKET;
use crate::errno;
use crate::layout::AGENT_USER;
use crate::mariadb::{Session, SqlError};

pub(super) async fn repair(session: &mut Session, present: &Present, before: &Absent) -> Result<(), SqlError> {
    let account = account(AGENT_USER, "localhost");
    let Some(stored) = present.get(&(AGENT_USER.to_owned(), "localhost".to_owned())) else {
        return if before.has(AGENT_USER) { make_anew(session, &account).await } else { Ok(()) };
    };
    if !stored.has_own_rights() {
        session.execute(&rights(&account, "")).await?;
    }
    if stored.is_expired() || !stored.takes_socket() {
        session.execute(&format!("ALTER USER {account} IDENTIFIED VIA {SOCKET} {UNLIMITED}")).await?;
    }
    if stored.may_expire() {
        session.execute(&format!("ALTER USER {account} PASSWORD EXPIRE NEVER")).await?;
    }
    if stored.is_locked() {
        session.execute(&format!("ALTER USER {account} ACCOUNT UNLOCK")).await?;
    }
    Ok(())
}

/// Somebody has dropped it, and only sessions that are open still have its rights: in one statement where that is possible.
async fn make_anew(session: &mut Session, account: &str) -> Result<(), SqlError> {
    /// Memory or the table still has something of it.
    const LEFTOVERS: [u16; 3] =
        [errno::PASSWORD_NO_MATCH, errno::CANNOT_USER, errno::COL_COUNT_DOESNT_MATCH_PLEASE_UPDATE];
    match session.execute(&rights(account, &format!("IDENTIFIED VIA {SOCKET}"))).await {
        Err(error) if error.code().is_some_and(|code| LEFTOVERS.contains(&code)) => {}
        done => return done,
    }
    session.execute(&format!("CREATE OR REPLACE USER {account} IDENTIFIED VIA {SOCKET}")).await?;
    session.execute(&rights(account, "")).await
}

fn rights(account: &str, how: &str) -> String {
    format!("GRANT ALL PRIVILEGES ON *.* TO {account} {how} WITH GRANT OPTION")
}
