//! The accounts of a member, from the mounted Secret: looked at with every start of mariadbd and every few seconds,
//! repaired whole when they differ.
//!
//! All of it runs with sql_log_bin=0 on every member: nothing here may wait for an acknowledgement or be replicated.

mod absent;
mod error;
mod own;
mod policy;
mod replication;
mod statement_parts;
mod stored;

use sha1::{Digest, Sha1};

pub(crate) use self::absent::Absent;
pub(crate) use self::error::AccountError;
use self::policy::Policy;
pub(crate) use self::replication::admit;
use self::statement_parts::{Present, Row, UNLIMITED, Wanted, Whose, account, identified};
use self::stored::{NATIVE, Stored};
use super::config::{Bootstrap, Config, password};
use crate::layout::{AGENT_USER, MAX_MEMBERS, PROBE_KEY, PROBE_USER, repl_key, repl_user};
use crate::mariadb::text::identifier;
use crate::mariadb::{Session, SqlError};
use crate::orders::{Ordinal, Secret};

/// Makes and repairs the agent's, the probe's and every member's replication account, removes replication accounts of members
/// that do not exist, and sets root's password when one is given. Returns the members that were never let in. `absent` is what
/// was missing at the last look.
///
/// # Errors
/// When a password is missing or a statement fails; what was done stays.
pub(crate) async fn ensure(
    session: &mut Session,
    config: &Config,
    absent: &mut Absent,
) -> Result<Vec<Ordinal>, AccountError> {
    let policy = Policy::of(config);
    policy.restore(session).await?;
    let present = present(session).await?;
    let before = absent.look(&present);
    own::repair(session, &present, &before).await?;
    let wanted = wanted(config)?;
    let mut unadmitted = Vec::new();
    for wanted in &wanted {
        let row = Row { stored: present.get(&(wanted.user.clone(), "%".to_owned())), twice: before.has(&wanted.user) };
        match wanted.whose {
            Whose::Replica(ordinal) if row.stored.is_none_or(Stored::is_unadmitted) => {
                replication::keep_shut(session, &policy, row, wanted).await?;
                unadmitted.extend((ordinal.0 != config.ordinal.0).then_some(ordinal));
            }
            _ => repair(session, &policy, row, wanted).await?,
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

/// Each statement leaves a state from which the next call goes on.
async fn repair(
    session: &mut Session,
    policy: &Policy,
    Row { stored: before, twice }: Row<'_>,
    wanted: &Wanted,
) -> Result<(), AccountError> {
    let Wanted { user, rights, hash, whose } = wanted;
    let account = account(user, "%");
    if !before.is_some_and(|stored| stored.is_whole(*rights, hash) && !stored.is_expired()) {
        let (names, how) = (rights.names, identified(hash));
        if before.is_none() && twice {
            // What memory or the table still has of it stands in the way of GRANT.
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

/// Makes the database and the user of a new cluster.
///
/// # Errors
/// As [`ensure`].
pub(crate) async fn bootstrap(session: &mut Session, config: &Config) -> Result<(), AccountError> {
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
