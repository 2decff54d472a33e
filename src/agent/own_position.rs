//! Before anybody reads a server's position for the first time in a run: rows of mysql.gtid_slave_pos that came with a dump, or by
//! hand, are not taken for history. A running server does not look at them, but one that starts reads its position from there.
//!
//! Whatever a member applies it logs (`log_slave_updates`). So a server that never stands in its binary log's state wrote nothing
//! that this member has applied.

use tracing::warn;

use crate::gtid::{Gtid, GtidPosition};
use crate::mariadb::read::Slave;
use crate::mariadb::text::quote;
use crate::mariadb::{Session, SqlError, read};
use crate::topology::observation::IoThread;

/// Corrects the position of a server whose replication stands still. `is_relaxed`: what its binary log had may be lost, so that it
/// proves nothing.
///
/// # Errors
/// As the statements fail; then nothing was changed.
pub(crate) async fn correct(session: &mut Session, is_relaxed: bool) -> Result<(), SqlError> {
    let globals = read::globals(session).await?;
    let logged = read::logged(session).await?;
    if is_relaxed || !has_foreign(&globals.slave_position, &logged) {
        return Ok(());
    }
    let runs = |slave: Slave| slave.status.sql || slave.status.io != IoThread::No;
    if read::slave(session).await?.is_some_and(runs) {
        // In memory it is right: only a server that starts reads the table.
        return Ok(());
    }
    type Columns = (u32, u32, u64);
    let rows: Vec<Columns> = session.rows("SELECT domain_id, server_id, seq_no FROM mysql.gtid_slave_pos").await?;
    let rows = rows.into_iter().map(|(domain, server, sequence)| Gtid { domain, server, sequence }).collect::<Vec<_>>();
    let position = without_foreign(&globals.slave_position, &rows, &logged, &globals.binlog_position);
    warn!(found = %globals.slave_position, %position, "mysql.gtid_slave_pos had positions of another cluster");
    session.execute(&format!("SET GLOBAL gtid_slave_pos={}", quote(&position.to_string()))).await
}

fn is_foreign(gtid: Gtid, logged: &[Gtid]) -> bool {
    !logged.iter().any(|own| (own.domain, own.server) == (gtid.domain, gtid.server))
}

/// A binary log without anything proves nothing: it may be lost.
fn has_foreign(position: &GtidPosition, logged: &[Gtid]) -> bool {
    !logged.is_empty() && position.iter().any(|gtid| is_foreign(gtid, logged))
}

/// `position`, and instead of what is foreign the last own row of that domain, without one what the binary log has there.
fn without_foreign(
    position: &GtidPosition,
    rows: &[Gtid],
    logged: &[Gtid],
    binlog_position: &GtidPosition,
) -> GtidPosition {
    let own = |domain| {
        let rows = rows.iter().filter(|row| row.domain == domain && !is_foreign(**row, logged)).copied();
        rows.max_by_key(|row| row.sequence).or_else(|| binlog_position.get(domain))
    };
    position.iter().filter_map(|gtid| if is_foreign(gtid, logged) { own(gtid.domain) } else { Some(gtid) }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn gtids(text: &str) -> Vec<Gtid> {
        text.split(',').filter(|gtid| !gtid.is_empty()).map(|gtid| gtid.parse().unwrap()).collect()
    }

    fn corrected(position: &str, rows: &str, logged: &str, binlog: &str) -> String {
        let (position, logged) = (position.parse().unwrap(), gtids(logged));
        if !has_foreign(&position, &logged) {
            return "unchanged".to_owned();
        }
        without_foreign(&position, &gtids(rows), &logged, &binlog.parse().unwrap()).to_string()
    }

    #[test]
    fn what_came_with_a_dump_is_no_history() {
        let primary = corrected("0-146-6426", "0-146-6426", "0-17-90", "0-17-90");
        assert_eq!(primary, "0-17-90", "of a primary its binary log is");
        let replica = corrected("0-146-6426", "0-146-133,0-146-6426,0-17-89", "0-17-90", "0-17-90");
        assert_eq!(replica, "0-17-89", "of a replica its own last row is: the crash may have come in between");
        assert_eq!(corrected("0-17-90,7-20-5", "7-20-5,0-17-90", "0-17-90", "0-17-90"), "0-17-90");
    }

    #[test]
    fn no_real_position_is_lost() {
        assert_eq!(
            corrected("0-17-90", "0-17-90", "0-17-80,0-33-95", "0-33-95"),
            "unchanged",
            "its log's end may be lost"
        );
        assert_eq!(corrected("0-17-90", "0-17-90", "", ""), "unchanged", "its log is lost");
        assert_eq!(corrected("", "", "0-17-90", "0-17-90"), "unchanged");
    }
}
