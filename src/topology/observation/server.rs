//! What a live mariadbd says of itself over SQL.

use super::Drift;
use crate::gtid::{Gtid, GtidPosition, is_logged};
use crate::time::Millis;
use crate::topology::record::written_outside_terms;

/// State of a replica's IO thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoThread {
    /// Connected.
    Yes,
    /// Tries to connect.
    Connecting,
    /// Stopped.
    No,
}

/// `SHOW ALL SLAVES STATUS` of the default connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlaveStatus {
    /// `Master_Host`.
    pub host: String,
    /// `Master_Port`.
    pub port: u16,
    /// `Slave_IO_Running`.
    pub io: IoThread,
    /// `Slave_SQL_Running`.
    pub sql: bool,
    /// `Gtid_IO_Pos`: received, complete groups only.
    pub io_position: GtidPosition,
    /// `Last_IO_Errno`, 0 when none.
    pub io_errno: u32,
    /// `Last_IO_Error`.
    pub io_error: String,
    /// `Last_SQL_Errno`, 0 when none.
    pub sql_errno: u32,
    /// `Last_SQL_Error`.
    pub sql_error: String,
    /// `Seconds_Behind_Master`; none when not replicating.
    pub lag_s: Option<u64>,
    /// `Using_Gtid` is not `No`.
    pub by_gtid: bool,
}

impl SlaveStatus {
    /// True when the IO thread ended by an error of a server's. After a client's, from 2000 on, it connects again by itself.
    #[must_use]
    pub(crate) fn is_refused(&self) -> bool {
        self.io == IoThread::No && (1_000..2_000).contains(&self.io_errno)
    }
}

/// Semi-sync on the source's side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SemiSyncSource {
    /// `rpl_semi_sync_master_enabled`.
    pub enabled: bool,
    /// `rpl_semi_sync_master_wait_no_slave`.
    pub wait_no_slave: bool,
    /// `Rpl_semi_sync_master_clients`.
    pub clients: u64,
    /// `Rpl_semi_sync_master_wait_sessions`: sessions that wait for an acknowledgement.
    pub wait_sessions: u64,
    /// `Rpl_semi_sync_master_no_tx`: commits that went through unacknowledged.
    pub no_tx: u64,
}

/// One reading of a live mariadbd over SQL. Settings and semi-sync state are read before the positions: so the positions
/// cover everything that was written before those settings held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// When the reading began: what it shows is not older.
    pub begun: Millis,
    /// `@@server_id`.
    pub server_id: u32,
    /// `@@read_only`.
    pub read_only: bool,
    /// `@@gtid_binlog_pos`.
    pub binlog_position: GtidPosition,
    /// `@@gtid_slave_pos`.
    pub slave_position: GtidPosition,
    /// Semi-sync as a source.
    pub semi_sync: SemiSyncSource,
    /// `rpl_semi_sync_slave_enabled`: what the next connection of the IO thread will do.
    pub acker_wanted: bool,
    /// `Rpl_semi_sync_slave_status`: what the present connection does.
    pub acker_active: bool,
    /// The replica side, when configured.
    pub slave: Option<SlaveStatus>,
    /// Owned settings that do not have the owned value.
    pub drift: Vec<Drift>,
    /// The last transaction of each server in its binary log (`@@gtid_binlog_state`), of one whose last transaction no primary
    /// wrote: its number says nothing of what came before.
    pub logged: Vec<Gtid>,
}

impl ServerView {
    /// True when its binary log has everything up to `position`: by number, and of one that took writes of its own by server,
    /// too.
    #[must_use]
    pub(crate) fn has_logged(&self, position: &GtidPosition) -> bool {
        let own = written_outside_terms(&self.binlog_position).is_some();
        self.binlog_position.covers(position) && (!own || is_logged(&self.logged, position))
    }

    /// Everything the member has in its binary log or has applied.
    #[must_use]
    pub(crate) fn applied(&self) -> GtidPosition {
        self.binlog_position.union(&self.slave_position)
    }

    /// Everything the member has in its binary log, has applied or has received.
    #[must_use]
    pub(crate) fn received(&self) -> GtidPosition {
        match &self.slave {
            Some(slave) => self.applied().union(&slave.io_position),
            None => self.applied(),
        }
    }
}
