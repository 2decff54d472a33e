//! What the operator reads of a member, over one held connection.

use std::time::Duration;

use super::error::SqlError;
use super::read::{self, ACKER_ACTIVE};
use super::session::{Login, Session};
use super::text::shown;
use super::wire::Address;
use crate::api::owned;
use crate::layout::PROBE_USER;
use crate::orders::Secret;
use crate::protocol::Bounds;
use crate::time::Millis;
use crate::topology::observation::{Drift, SemiSyncSource, ServerView};
use crate::topology::record::written_outside_terms;

/// What one answer to the probe may hold: its longest list are a hundred variables. The member's pod belongs to the
/// cluster's owner, the operator to everybody.
const BOUNDS: Bounds = Bounds { rows: 1_000, bytes: 1024 * 1024 };

/// With a `sql_select_limit` of 0, set globally, a new session reads nothing: no variable and no status either.
const SETUP: &str = "SET SESSION sql_select_limit=18446744073709551615";

/// Connects as the probe to a member.
///
/// # Errors
/// As [`Session::connect`].
pub async fn connect(host: &str, port: u16, password: Secret, limit: Duration) -> Result<Session, SqlError> {
    let address = Address::Tcp { host: host.to_owned(), port };
    let login = Login { address, user: PROBE_USER.to_owned(), password: Some(password), setup: Some(SETUP) };
    Ok(Session::connect(&login, limit).await?.bounded(BOUNDS))
}

/// How many connections clients may have, when all of them are used. The probe's account gets in all the same, by the one that is
/// kept for CONNECTION ADMIN.
///
/// # Errors
/// As the statement fails.
pub async fn used_up(session: &mut Session) -> Result<Option<u64>, SqlError> {
    const QUERY: &str = "SELECT @@global.max_connections, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                         WHERE VARIABLE_NAME = 'THREADS_CONNECTED'";
    let (most, used): (u64, u64) = session.row(QUERY).await?;
    Ok((used > most).then_some(most))
}

/// Reads the server's view. `begun` is the caller's clock before the call, `gtid_domain` the cluster's domain.
///
/// # Errors
/// As the statements fail; each has the session's limit.
pub(crate) async fn read(session: &mut Session, begun: Millis, gtid_domain: u32) -> Result<ServerView, SqlError> {
    let globals = read::globals(session).await?;
    let status = read::status(session, "Rpl_semi_sync%").await?;
    let slave = read::slave(session).await?.map(|slave| slave.status);
    let scheduler = owned::event_scheduler(globals.read_only, slave.is_some());
    let drift = drift(session, gtid_domain, scheduler).await?;
    let logged = match written_outside_terms(&globals.binlog_position) {
        Some(_) => read::logged(session).await?,
        None => Vec::new(),
    };
    let number = |name: &str| status.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    Ok(ServerView {
        begun,
        server_id: globals.server_id,
        read_only: globals.read_only,
        binlog_position: globals.binlog_position,
        slave_position: globals.slave_position,
        semi_sync: SemiSyncSource {
            enabled: globals.source_enabled,
            wait_no_slave: globals.wait_no_slave,
            clients: number("Rpl_semi_sync_master_clients"),
            wait_sessions: number("Rpl_semi_sync_master_wait_sessions"),
            no_tx: number("Rpl_semi_sync_master_no_tx"),
        },
        acker_wanted: globals.acker_wanted,
        acker_active: status.get(ACKER_ACTIVE).is_some_and(|value| value == "ON"),
        slave,
        drift,
        logged,
    })
}

/// Owned settings that somebody changed.
async fn drift(
    session: &mut Session,
    gtid_domain: u32,
    scheduler: Option<(&'static str, String)>,
) -> Result<Vec<Drift>, SqlError> {
    let mut expected = owned::read_back(gtid_domain);
    expected.extend(scheduler);
    let names: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    let found = read::variables(session, &names).await?;
    let differs = |(name, value): &(&str, String)| found.get(*name).is_some_and(|found| found != value);
    let told = |(name, value): (&str, String)| {
        let found = found.get(name).map(|value| shown(value)).unwrap_or_default();
        Drift {
            text: format!("{name}={found} (must be {value})"),
            durability: owned::is_durability(name),
            stops_writes: owned::stops_writes(name),
        }
    };
    Ok(expected.into_iter().filter(differs).map(told).collect())
}
