//! `init`: the datadir of a blank volume.
//!
//! The identity is recorded first, so data never lies on a volume that does not say whose it is; the datadir gets its
//! name when it is complete. A crash at any point leaves a volume on which `init` continues.

use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use launch::protocol::Command;
use tokio::task::block_in_place;

use super::context::OrderContext;
use crate::agent::accounts::{self, AccountError};
use crate::agent::config::Config;
use crate::agent::sql_sessions::sql_error;
use crate::api::owned::KeyFile;
use crate::orders::{Answer, Identity, OrderError, Reason, Volume};
use crate::topology::last_error_line::shown;

pub(super) async fn init(work: &mut OrderContext<'_>, identity: Identity) -> Result<Answer, OrderError> {
    claim(work, identity).await?;
    if !work.agent().config.data_dir().exists() {
        make_datadir(work).await?;
    }
    super::start::run_mariadbd(work).await?;
    if !work.agent().volume.stored().is_some_and(|stored| stored.initialised) {
        let config = Arc::clone(&work.agent().config);
        let done = accounts::bootstrap(work.sql().await?, &config).await;
        done.map_err(account_error)?;
        work.persist(|stored| stored.initialised = true).await?;
    }
    Ok(Answer::Done)
}

/// Writes whose the volume is, or finds that it is ours already.
async fn claim(work: &mut OrderContext<'_>, identity: Identity) -> Result<(), OrderError> {
    let config = &work.agent().config;
    let order = work.order();
    let for_us = identity.cluster == config.cluster
        && identity.ordinal == config.ordinal
        && identity.data_uid == order.token.data_uid;
    if !for_us {
        let message = format!("init for {identity:?} came to {}", config.full_name());
        return Err(OrderError::new(Reason::Unsupported, message));
    }
    match work.agent().volume.view() {
        Volume::Recorded { record } if record.identity == identity => work.persist(|_| {}).await.map(drop),
        Volume::Recorded { record } => {
            let (owner, data) = (record.identity.member(), record.identity.data_uid.0);
            let message = format!("the volume belongs to {owner} (data {data}): nothing is initialised over it");
            Err(OrderError::new(Reason::Volume, message))
        }
        Volume::Unusable { message } => Err(OrderError::new(Reason::Volume, message)),
        Volume::Blank => {
            work.check()?;
            let (volume, token, id) = (&work.agent().volume, order.token.clone(), order.id.clone());
            block_in_place(|| volume.create(identity, token, id))?;
            work.note_persisted();
            Ok(())
        }
    }
}

async fn make_datadir(work: &OrderContext<'_>) -> Result<(), OrderError> {
    let config = &work.agent().config;
    // What a crash has left of an earlier try: it never became a datadir.
    block_in_place(|| clear(config)).map_err(volume_error)?;
    let (exit, output) = work.agent().launcher.run(install_command(config)).await?;
    if !exit.success() {
        let message = format!("{} ended with {exit}: {}", config.install_db, shown(&output.join("\n")));
        return Err(OrderError::new(Reason::Launch, message));
    }
    work.check()?;
    block_in_place(|| name(config)).map_err(volume_error)
}

fn install_command(config: &Config) -> Command {
    let mut args = vec![
        format!("--defaults-file={}", config.my_cnf.display()),
        format!("--datadir={}", config.new_data_dir().display()),
        "--skip-test-db".to_owned(),
        "--auth-root-authentication-method=socket".to_owned(),
        // Without it the agent's user would be locked out.
        "--auth-root-socket-user=mysql".to_owned(),
    ];
    // my.cnf may ask for encrypted tables, which the datadir is made with.
    args.extend(config.keys.iter().flat_map(KeyFile::options));
    let env = vec![("TMPDIR".to_owned(), config.tmp_dir.display().to_string())];
    Command { program: config.install_db.clone(), args, env }
}

fn clear(config: &Config) -> io::Result<()> {
    match fs::remove_dir_all(config.new_data_dir()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Everything on disk first, then the name, then the name on disk.
fn name(config: &Config) -> io::Result<()> {
    let root = File::open(&config.volume)?;
    rustix::fs::syncfs(&root)?;
    fs::rename(config.new_data_dir(), config.data_dir())?;
    root.sync_all()
}

fn volume_error(error: io::Error) -> OrderError {
    OrderError::new(Reason::Volume, format!("the datadir cannot be created: {error}"))
}

fn account_error(error: AccountError) -> OrderError {
    match error {
        AccountError::Sql(error) => sql_error(error),
        AccountError::Password(message) => OrderError::new(Reason::Unsupported, message),
        error @ AccountError::Note { .. } => OrderError::new(Reason::Volume, error.to_string()),
    }
}
