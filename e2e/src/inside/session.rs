//! A client's SQL connection with a limit on every wait, as a careful application would have it.

use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder};
use tokio::time::timeout;

use super::ledger::Failure;

/// A dead address must not hold an application up for longer.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
/// `ER_OPTION_PREVENTS_STATEMENT`: the server runs with read_only.
const READ_ONLY: u16 = 1290;
/// Given, so that connecting costs no query for it.
const MAX_PACKET: usize = 16 << 20;
const WAIT_TIMEOUT_S: usize = 28_800;

/// Where to write, and as whom.
#[derive(Debug, Clone, clap::Args)]
pub struct Login {
    #[arg(long, default_value = "e2e")]
    pub user: String,
    #[arg(long, env = "E2E_PASSWORD", hide_env_values = true)]
    pub password: String,
    #[arg(long, default_value = "e2e")]
    pub database: String,
    #[arg(long, default_value_t = 3306)]
    pub port: u16,
}

/// An open connection.
pub struct Session {
    conn: Conn,
    limit: Duration,
}

impl Session {
    /// Connects to an address.
    ///
    /// # Errors
    /// When the server does not greet within the limit, or refuses.
    pub async fn open(address: &str, login: &Login, limit: Duration) -> Result<Self> {
        let options = OptsBuilder::default()
            .ip_or_hostname(address)
            .tcp_port(login.port)
            .user(Some(&login.user))
            .pass(Some(&login.password))
            .db_name(Some(&login.database))
            .prefer_socket(false)
            .stmt_cache_size(0)
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(WAIT_TIMEOUT_S));
        let conn = timeout(CONNECT_LIMIT, Conn::new(options)).await.context("no greeting within the limit")??;
        Ok(Self { conn, limit })
    }

    /// Runs one statement in autocommit: `Ok` means the server acknowledged it.
    ///
    /// # Errors
    /// What is known of a statement that was not acknowledged.
    pub async fn write(&mut self, statement: &str) -> Result<(), Failure> {
        match timeout(self.limit, self.conn.query_drop(statement)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::Server(error))) if error.code == READ_ONLY => Err(Failure::Refused),
            Ok(Err(_)) | Err(_) => Err(Failure::Unknown),
        }
    }
}
