//! The accounts of a member, from the mounted Secret: looked at with every start of mariadbd and every few seconds,
//! repaired whole when they differ.
//!
//! All of it runs with sql_log_bin=0 on every member: nothing here may wait for an acknowledgement or be replicated.

mod error;
mod policy;
mod stored;

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};

pub use self::error::AccountError;
use self::policy::Policy;
use self::stored::{NATIVE, Rights, SOCKET, Stored};
use super::config::{Bootstrap, Config, password};
use crate::layout::{AGENT_USER, MAX_MEMBERS, PROBE_KEY, PROBE_USER, repl_key, repl_user};
use crate::mariadb::text::{identifier, quote};
use crate::mariadb::{Session, SqlError};
use crate::orders::{Ordinal, Secret};

/// What an account of ours may have been limited by.
const UNLIMITED: &str = "REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0 \
     MAX_USER_CONNECTIONS 0 MAX_STATEMENT_TIME 0";

/// Accounts by user and host, as the server keeps them.
type Present = BTreeMap<(String, String), Stored>;

/// An account over the network that belongs to us.
struct Wanted {
    user: String,
    rights: Rights,
    hash: String,
    whose: Whose,
}

/// Who logs in with an account.
#[derive(Clone, Copy)]
enum Whose {
    Probe,
    /// A member's IO thread. Its lock belongs to the orders `evict-acker` and `readmit-acker`.
    Replica(Ordinal),
}

/// Makes and repairs the agent's, the probe's and every member's replication account, removes replication accounts of members
/// that do not exist, and sets root's password when one is given. Returns the members that were never let in.
///
/// # Errors
/// When a password is missing or a statement fails; what was done stays.
pub async fn ensure(session: &mut Session, config: &Config) -> Result<Vec<Ordinal>, AccountError> {
    let policy = Policy::of(config);
    policy.restore(session).await?;
    let present = present(session).await?;
    own(session, &present).await?;
    let wanted = wanted(config)?;
    let mut unadmitted = Vec::new();
    for wanted in &wanted {
        let before = present.get(&(wanted.user.clone(), "%".to_owned()));
        match wanted.whose {
            Whose::Replica(ordinal) if before.is_none_or(Stored::is_unadmitted) => {
                keep_shut(session, &policy, before, wanted).await?;
                unadmitted.extend((ordinal.0 != config.ordinal.0).then_some(ordinal));
            }
            _ => repair(session, &policy, before, wanted).await?,
        }
    }
    forgive(session, &wanted).await?;
    for ordinal in config.members..MAX_MEMBERS {
        if present.contains_key(&(repl_user(ordinal), "%".to_owned())) {
            session.execute(&format!("DROP USER IF EXISTS {}", account(&repl_user(ordinal), "%"))).await?;
        }
    }
    root(session, config, &policy, &present).await?;
    Ok(unadmitted)
}

/// Lets a member in. Half done, the account looks like one that was shut out, and stays locked.
///
/// # Errors
/// As the statements fail; the first one does where there is no such account, which GRANT might make without a password.
pub async fn admit(session: &mut Session, ordinal: Ordinal) -> Result<(), SqlError> {
    let account = account(&repl_user(ordinal.0), "%");
    session.execute(&format!("ALTER USER {account} ACCOUNT LOCK")).await?;
    session.execute(&format!("GRANT {} ON *.* TO {account}", stored::REPLICATION.names)).await?;
    session.execute(&format!("ALTER USER {account} ACCOUNT UNLOCK")).await
}

fn wanted(config: &Config) -> Result<Vec<Wanted>, AccountError> {
    let hash = |key: &str| config.account_password(key).map(|password| hash(&password)).map_err(AccountError::Password);
    let probe =
        Wanted { user: PROBE_USER.to_owned(), rights: stored::PROBE, hash: hash(PROBE_KEY)?, whose: Whose::Probe };
    let replication = (0..config.members.min(MAX_MEMBERS)).map(|ordinal| {
        let hash = hash(&repl_key(ordinal))?;
        let whose = Whose::Replica(Ordinal(ordinal));
        Ok(Wanted { user: repl_user(ordinal), rights: stored::REPLICATION, hash, whose })
    });
    std::iter::once(Ok(probe)).chain(replication).collect()
}

/// The account of a member that was never let in: locked from its first moment on, and without rights.
async fn keep_shut(
    session: &mut Session,
    policy: &Policy,
    before: Option<&Stored>,
    wanted: &Wanted,
) -> Result<(), AccountError> {
    let Wanted { user, hash, .. } = wanted;
    let account = account(user, "%");
    let how = identified(hash);
    match before {
        Some(before) if before.is_whole(stored::NOTHING, hash) => Ok(()),
        Some(_) => policy.set_hash(session, &format!("ALTER USER {account} {how} {UNLIMITED}")).await,
        None => {
            let shut = format!("{how} {UNLIMITED} ACCOUNT LOCK PASSWORD EXPIRE NEVER");
            // The table has no such row; what memory may still have of one, as after a restore of mysql.*, goes.
            policy.set_hash(session, &format!("CREATE OR REPLACE USER {account} {shut}")).await
        }
    }
}

fn identified(hash: &str) -> String {
    format!("IDENTIFIED VIA {NATIVE} USING '{hash}'")
}

/// Each statement leaves a state from which the next call goes on.
async fn repair(
    session: &mut Session,
    policy: &Policy,
    before: Option<&Stored>,
    wanted: &Wanted,
) -> Result<(), AccountError> {
    let Wanted { user, rights, hash, whose } = wanted;
    let account = account(user, "%");
    if !before.is_some_and(|stored| stored.is_whole(*rights, hash) && !stored.is_expired()) {
        let (names, how) = (rights.names, identified(hash));
        if before.is_none() {
            // What memory or the table may still have of it stands in the way of GRANT.
            policy.set_hash(session, &format!("CREATE OR REPLACE USER {account} {how}")).await?;
        }
        policy.set_hash(session, &format!("GRANT {names} ON *.* TO {account} {how} {UNLIMITED}")).await?;
    }
    if before.is_none_or(Stored::may_expire) {
        session.execute(&format!("ALTER USER {account} PASSWORD EXPIRE NEVER")).await?;
    }
    if matches!(whose, Whose::Probe) && before.is_some_and(Stored::is_locked) {
        session.execute(&format!("ALTER USER {account} ACCOUNT UNLOCK")).await?;
    }
    Ok(())
}

/// `max_password_errors` failed logins in a row block an account until it is changed (error 4150), and no table shows it. A
/// replica that tries an old password once a second would shut itself out, and anybody could shut out the probe. CONNECTION
/// ADMIN does not help: only root@localhost is exempt.
async fn forgive(session: &mut Session, wanted: &[Wanted]) -> Result<(), SqlError> {
    /// The default: nobody is blocked.
    const NEVER: u64 = 4_294_967_295;
    if session.row::<u64>("SELECT @@global.max_password_errors").await? >= NEVER {
        return Ok(());
    }
    let accounts = wanted.iter().map(|wanted| account(&wanted.user, "%"));
    for account in accounts.chain([account(AGENT_USER, "localhost")]) {
        session.execute(&format!("ALTER USER {account} PASSWORD EXPIRE NEVER")).await?;
    }
    Ok(())
}

/// The agent's own account, while it is still logged in: the next login must succeed, too.
async fn own(session: &mut Session, present: &Present) -> Result<(), SqlError> {
    let account = account(AGENT_USER, "localhost");
    let Some(stored) = present.get(&(AGENT_USER.to_owned(), "localhost".to_owned())) else {
        // Somebody has dropped it, and only sessions that are open still have its rights.
        session.execute(&format!("CREATE OR REPLACE USER {account} IDENTIFIED VIA {SOCKET}")).await?;
        return session.execute(&format!("GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION")).await;
    };
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

/// Makes the database and the user of a new cluster.
///
/// # Errors
/// As [`ensure`].
pub async fn bootstrap(session: &mut Session, config: &Config) -> Result<(), AccountError> {
    let Bootstrap { database, username, password: file } = &config.bootstrap;
    if let Some(database) = database {
        session.execute(&format!("CREATE DATABASE IF NOT EXISTS {}", identifier(database))).await?;
    }
    if let Some(username) = username {
        let hash = hash(&password(file).map_err(AccountError::Password)?);
        let account = account(username, "%");
        let policy = Policy::of(config);
        policy
            .set_hash(session, &format!("CREATE USER IF NOT EXISTS {account} IDENTIFIED BY PASSWORD '{hash}'"))
            .await?;
        if let Some(database) = database {
            let database = identifier(&database.replace('_', "\\_"));
            session.execute(&format!("GRANT ALL PRIVILEGES ON {database}.* TO {account}")).await?;
        }
    }
    Ok(())
}

/// root over the network and, beside the socket, by password.
async fn root(session: &mut Session, config: &Config, policy: &Policy, present: &Present) -> Result<(), AccountError> {
    if !config.root_password.exists() {
        return Ok(());
    }
    let hash = hash(&password(&config.root_password).map_err(AccountError::Password)?);
    for host in ["%", "localhost"] {
        let account = account("root", host);
        let statement = match present.get(&("root".to_owned(), host.to_owned())) {
            Some(stored) if stored.takes(&hash) => continue,
            Some(_) => {
                let socket = if host == "localhost" { "unix_socket OR " } else { "" };
                format!("ALTER USER {account} IDENTIFIED VIA {socket}{NATIVE} USING '{hash}'")
            }
            None => format!("GRANT ALL ON *.* TO {account} IDENTIFIED BY PASSWORD '{hash}' WITH GRANT OPTION"),
        };
        policy.set_hash(session, &statement).await?;
    }
    Ok(())
}

async fn present(session: &mut Session) -> Result<Present, SqlError> {
    let query = format!(
        "SELECT User, Host, Priv FROM mysql.global_priv WHERE User IN ('root', '{AGENT_USER}') OR User LIKE 'beachmaster%'"
    );
    let rows: Vec<(String, String, String)> = session.rows(&query).await?;
    let stored =
        |(user, host, privileges): (String, String, String)| Some(((user, host), Stored::of_row(&privileges)?));
    Ok(rows.into_iter().filter_map(stored).collect())
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
