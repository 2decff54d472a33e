//! Whether mariadbd takes new connections, as the agent itself finds: the operator's own tries may be lost on the way.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::sleep;

use super::config::Config;
use super::sql_sessions::SqlSessions;
use super::supervisor::Supervisor;
use crate::layout::PROBE_KEY;
use crate::mariadb::{Session, SqlError, probe};
use crate::orders::Mariadbd;
use crate::sync::locked;

/// Between two tries: with [`LIMIT`] the operator's own finding is confirmed or refuted within 2 s.
const PERIOD: Duration = Duration::from_secs(1);
/// As long as the operator's.
const LIMIT: Duration = Duration::from_secs(1);

/// The pod's own.
const LOOPBACK: &str = "127.0.0.1";

/// How the last try ended.
#[derive(Debug, Default)]
pub(crate) struct NewConnections(Mutex<Option<bool>>);

impl NewConnections {
    /// True when it was taken, false when it got no answer; none when mariadbd does not run or turned it away.
    #[must_use]
    pub(crate) fn taken(&self) -> Option<bool> {
        *locked(&self.0)
    }

    fn note(&self, taken: Option<bool>) {
        *locked(&self.0) = taken;
    }
}

/// Tries for ever.
pub(crate) async fn watch(config: &Config, supervisor: &Supervisor, access: &SqlSessions, found: &NewConnections) {
    loop {
        // Also when the agent has lost its own sessions: a server that takes no new ones lets it have no other.
        let runs = matches!(supervisor.view(), Mariadbd::Running { .. });
        let taken = if runs { try_ports(config, access).await } else { None };
        found.note(taken);
        sleep(PERIOD).await;
    }
}

/// When clients have used up all connections, a server that hangs turns the agent away all the same: its other port tells.
async fn try_ports(config: &Config, access: &SqlSessions) -> Option<bool> {
    let connected = access.connect_within(LIMIT).await;
    if !connected.as_ref().is_err_and(SqlError::is_full) {
        return judge(&connected);
    }
    let password = config.account_password(PROBE_KEY).ok()?;
    let connected = probe::connect(LOOPBACK, config.extra_port, password, LIMIT).await;
    judge(&connected).filter(|taken| !taken)
}

fn judge(connected: &Result<Session, SqlError>) -> Option<bool> {
    match connected {
        Ok(_) => Some(true),
        Err(SqlError::Silent { .. }) => Some(false),
        Err(_) => None,
    }
}
