//! The accounts of a member, from the mounted Secret: made at every start of mariadbd, changed only when they differ.
//!
//! All of it runs with sql_log_bin=0 on every member: nothing here may wait for an acknowledgement or be replicated.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};
use thiserror::Error;

use super::config::{Bootstrap, Config, password};
use crate::layout::{MAX_MEMBERS, PROBE_KEY, PROBE_USER, repl_key, repl_user};
use crate::mariadb::text::{identifier, quote};
use crate::mariadb::{Session, SqlError};
use crate::orders::Secret;

/// What the probe reads: positions, replication state, owned settings, sessions.
const PROBE_RIGHTS: &str = "BINLOG MONITOR, SLAVE MONITOR, PROCESS";

/// Accounts could not be set.
#[derive(Debug, Error)]
pub enum AccountError {
    /// A password is missing.
    #[error("{0}")]
    Password(String),
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// Makes the probe's and every member's replication account, and sets root's password when one is given.
///
/// # Errors
/// When a password is missing or a statement fails; what was done stays.
pub async fn ensure(session: &mut Session, config: &Config) -> Result<(), AccountError> {
    let present = present(session).await?;
    let probe = config.account_password(PROBE_KEY).map_err(AccountError::Password)?;
    let mut wanted = vec![(PROBE_USER.to_owned(), PROBE_RIGHTS, probe)];
    for ordinal in 0..MAX_MEMBERS {
        let password = config.account_password(&repl_key(ordinal)).map_err(AccountError::Password)?;
        wanted.push((repl_user(ordinal), "REPLICATION SLAVE", password));
    }
    for (user, rights, password) in wanted {
        let hash = hash(&password);
        let account = account(&user, "%");
        match present.get(&(user, "%".to_owned())) {
            None => grant(session, rights, &account, &hash).await?,
            Some(privileges) if !privileges.contains(&hash) => {
                session.execute(&format!("ALTER USER {account} IDENTIFIED BY PASSWORD '{hash}'")).await?;
            }
            Some(_) => {}
        }
    }
    root(session, config, &present).await
}

/// Makes the database and the user of a new cluster.
///
/// # Errors
/// As [`ensure`].
pub async fn bootstrap(session: &mut Session, bootstrap: &Bootstrap) -> Result<(), AccountError> {
    let Bootstrap { database, username, password: file } = bootstrap;
    if let Some(database) = database {
        session.execute(&format!("CREATE DATABASE IF NOT EXISTS {}", identifier(database))).await?;
    }
    if let Some(username) = username {
        let hash = hash(&password(file).map_err(AccountError::Password)?);
        let account = account(username, "%");
        session.execute(&format!("CREATE USER IF NOT EXISTS {account} IDENTIFIED BY PASSWORD '{hash}'")).await?;
        if let Some(database) = database {
            let database = identifier(&database.replace('_', "\\_"));
            session.execute(&format!("GRANT ALL PRIVILEGES ON {database}.* TO {account}")).await?;
        }
    }
    Ok(())
}

/// root over the network and, beside the socket, by password.
async fn root(
    session: &mut Session,
    config: &Config,
    present: &BTreeMap<(String, String), String>,
) -> Result<(), AccountError> {
    if !config.root_password.exists() {
        return Ok(());
    }
    let hash = hash(&password(&config.root_password).map_err(AccountError::Password)?);
    for host in ["%", "localhost"] {
        let account = account("root", host);
        match present.get(&("root".to_owned(), host.to_owned())) {
            Some(privileges) if privileges.contains(&hash) => {}
            Some(_) => {
                let socket = if host == "localhost" { "unix_socket OR " } else { "" };
                let how = format!("{socket}mysql_native_password USING '{hash}'");
                session.execute(&format!("ALTER USER {account} IDENTIFIED VIA {how}")).await?;
            }
            None => {
                let statement =
                    format!("GRANT ALL ON *.* TO {account} IDENTIFIED BY PASSWORD '{hash}' WITH GRANT OPTION");
                session.execute(&statement).await?;
            }
        }
    }
    Ok(())
}

/// One statement makes account and rights, so a crash cannot leave one without the other.
async fn grant(session: &mut Session, rights: &str, account: &str, hash: &str) -> Result<(), SqlError> {
    session.execute(&format!("GRANT {rights} ON *.* TO {account} IDENTIFIED BY PASSWORD '{hash}'")).await
}

async fn present(session: &mut Session) -> Result<BTreeMap<(String, String), String>, SqlError> {
    const QUERY: &str =
        "SELECT User, Host, Priv FROM mysql.global_priv WHERE User = 'root' OR User LIKE 'beachmaster%'";
    let rows: Vec<(String, String, String)> = session.rows(QUERY).await?;
    Ok(rows.into_iter().map(|(user, host, privileges)| ((user, host), privileges)).collect())
}

fn account(user: &str, host: &str) -> String {
    format!("{}@{}", quote(user), quote(host))
}

/// What mysql_native_password stores (MariaDB Knowledge Base, "PASSWORD"): the password itself never appears in a
/// statement.
fn hash(password: &Secret) -> String {
    let stages = Sha1::digest(Sha1::digest(password.0.as_bytes()));
    stages.iter().fold("*".to_owned(), |text, byte| format!("{text}{byte:02X}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_mariadb_does() {
        // SELECT PASSWORD('secret')
        assert_eq!(hash(&Secret("secret".to_owned())), "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
    }
}
