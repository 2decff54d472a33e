//! Where a replica connects, and as whom.

use super::context::OrderContext;
use crate::layout::{repl_key, repl_user};
use crate::mariadb::text::quote;
use crate::orders::{OrderError, Reason, Secret, Source};

/// Between two tries to connect, in seconds: the least MariaDB takes.
const CONNECT_RETRY: u32 = 1;
/// Seconds between signs of life of an idle source: a silent one is noticed within `slave_net_timeout`.
pub(super) const HEARTBEAT: &str = "0.5";

/// Where to connect, and as whom.
pub(super) struct Login {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub user: String,
    pub password: Secret,
}

impl Login {
    /// From another member it takes its own replication account, which there can be locked without touching others.
    pub(super) fn of(work: &OrderContext<'_>, source: &Source) -> Result<Self, OrderError> {
        match source.clone() {
            Source::BinlogServer { host, port, user, password } => Ok(Self { host, port, user, password }),
            Source::Member { host, port } => {
                let config = &work.agent().config;
                let unsupported = |message| OrderError::new(Reason::Unsupported, message);
                let password = config.account_password(&repl_key(config.ordinal.0)).map_err(unsupported)?;
                Ok(Self { host, port, user: repl_user(config.ordinal.0), password })
            }
        }
    }

    pub(super) fn change_master(&self) -> String {
        format!(
            "CHANGE MASTER TO MASTER_HOST={}, MASTER_PORT={}, MASTER_USER={}, MASTER_PASSWORD={}, \
             MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY={CONNECT_RETRY}, \
             MASTER_HEARTBEAT_PERIOD={HEARTBEAT}, MASTER_SSL=0",
            quote(&self.host),
            self.port,
            quote(&self.user),
            quote(&self.password.0),
        )
    }
}
