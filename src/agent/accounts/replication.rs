//! The account a member replicates with: shut until its member is let in.

use super::error::AccountError;
use super::policy::Policy;
use super::statement_parts::{Row, UNLIMITED, Wanted, account, identified};
use super::stored::{self, Stored};
use crate::layout::repl_user;
use crate::mariadb::{Session, SqlError};
use crate::orders::Ordinal;

/// The account of a member that was never let in: locked from its first moment on, and without rights.
pub(super) async fn keep_shut(
    session: &mut Session,
    policy: &Policy,
    row: Row<'_>,
    wanted: &Wanted,
) -> Result<(), AccountError> {
    let Wanted { user, hash, .. } = wanted;
    let account = account(user, "%");
    let how = identified(hash);
    match row.stored {
        Some(stored) if stored.is_whole(stored::NOTHING, hash) && !stored.is_expired() && !stored.may_expire() => {
            Ok(())
        }
        Some(_) => {
            // Under a password policy ALTER USER fails with another error than those that are known (1396 instead of 1290).
            policy.set_hash(session, &format!("GRANT USAGE ON *.* TO {account} {how} {UNLIMITED}")).await?;
            Ok(session.execute(&format!("ALTER USER {account} PASSWORD EXPIRE NEVER")).await?)
        }
        None => {
            // Where only memory has it, as after a restore of mysql.*, the first of them does nothing.
            let (or_replace, if_not_exists) = if row.twice { ("OR REPLACE ", "") } else { ("", "IF NOT EXISTS ") };
            let shut = format!("{how} {UNLIMITED} ACCOUNT LOCK PASSWORD EXPIRE NEVER");
            policy.set_hash(session, &format!("CREATE {or_replace}USER {if_not_exists}{account} {shut}")).await
        }
    }
}

/// Lets a member in. Half done, the account looks like one that was shut out, and stays locked.
///
/// # Errors
/// As the statements fail; the first one does where there is no such account, which GRANT might make without a password.
pub(crate) async fn admit(session: &mut Session, ordinal: Ordinal) -> Result<(), SqlError> {
    let user = repl_user(ordinal.0);
    let account = account(&user, "%");
    let query = format!("SELECT Priv FROM mysql.global_priv WHERE User = '{user}' AND Host = '%'");
    let rows: Vec<String> = session.rows(&query).await?;
    let has_rights = |row: &String| Stored::of_row(row).is_some_and(|stored| stored.has(stored::REPLICATION));
    if !rows.iter().any(has_rights) {
        session.execute(&format!("ALTER USER {account} ACCOUNT LOCK")).await?;
        session.execute(&format!("GRANT {} ON *.* TO {account}", stored::REPLICATION.names)).await?;
    }
    session.execute(&format!("ALTER USER {account} ACCOUNT UNLOCK")).await
}
