//! Whether mariadbd takes new connections, as the agent itself finds: the operator's own tries may be lost on the way.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::sleep;

use super::sql_sessions::SqlSessions;
use super::supervisor::Supervisor;
use crate::mariadb::{Session, SqlError};
use crate::orders::Mariadbd;
use crate::sync::locked;

/// Between two tries: with [`LIMIT`] the operator's own finding is confirmed or refuted within 2 s.
const PERIOD: Duration = Duration::from_secs(1);
/// As long as the operator's.
const LIMIT: Duration = Duration::from_secs(1);

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
pub(crate) async fn watch(supervisor: &Supervisor, access: &SqlSessions, found: &NewConnections) {
    loop {
        // Also when the agent has lost its own sessions: a server that takes no new ones lets it have no other.
        let runs = matches!(supervisor.view(), Mariadbd::Running { .. });
        let connected = if runs { Some(access.connect_within(LIMIT).await) } else { None };
        found.note(connected.and_then(|connected| judge(&connected)));
        sleep(PERIOD).await;
    }
}

fn judge(connected: &Result<Session, SqlError>) -> Option<bool> {
    match connected {
        Ok(_) => Some(true),
        Err(SqlError::Silent { .. }) => Some(false),
        Err(_) => None,
    }
}
