//! Event groups: what is applied as a whole.
//!
//! A group begins with a GTID event. A standalone group ends with its one statement; any other ends with XID,
//! XA_PREPARE or a COMMIT or ROLLBACK query (`sql_repl.cc`, skipping of groups).

use thiserror::Error;

use super::body::{EventBody, GtidEvent};
use super::event::Event;
use super::event_type::EventType;
use crate::gtid::Gtid;

/// A complete group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The transaction.
    pub gtid: Gtid,
    /// Where its GTID event begins.
    pub start: u64,
    /// Offset of the byte after its last event.
    pub end: u64,
}

/// What an event means for the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupStep {
    /// The event belongs to no group.
    Outside,
    /// The event belongs to a group that goes on.
    Inside,
    /// The event ended this group.
    Ended(Group),
}

/// Events in an order no server writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GroupError {
    /// The open group has no end.
    #[error("it is inside transaction {0}, which has no end")]
    NotEnded(Gtid),
    /// An event of a transaction without GTID.
    #[error("it belongs to a transaction, but no GTID event precedes it")]
    NoGtid,
}

/// Follows the events of one file.
#[derive(Debug, Default)]
pub struct GroupTracker {
    open: Option<(u64, GtidEvent)>,
}

impl GroupTracker {
    /// The group that has begun and not ended.
    #[must_use]
    pub(crate) fn open(&self) -> Option<Gtid> {
        self.open.map(|(_, event)| event.gtid)
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// When a group begins inside another one or events of a group stand outside.
    pub(crate) fn take(&mut self, event: &Event) -> Result<GroupStep, GroupError> {
        match (&event.body, self.open) {
            (EventBody::Gtid(_), Some((_, open))) => Err(GroupError::NotEnded(open.gtid)),
            (EventBody::Gtid(gtid), None) => {
                self.open = Some((event.offset, *gtid));
                Ok(GroupStep::Inside)
            }
            (_, None) if is_between_groups(event) => Ok(GroupStep::Outside),
            (_, Some((_, open))) if is_between_groups(event) => Err(GroupError::NotEnded(open.gtid)),
            (_, None) => Err(GroupError::NoGtid),
            (body, Some((start, open))) => Ok(self.inside(event, start, open, ends(body, open))),
        }
    }

    fn inside(&mut self, event: &Event, start: u64, open: GtidEvent, ends: bool) -> GroupStep {
        if !ends || leads_a_statement(event.header.event_type) {
            return GroupStep::Inside;
        }
        self.open = None;
        GroupStep::Ended(Group { gtid: open.gtid, start, end: event.end() })
    }
}

/// Events the server writes between groups only.
fn is_between_groups(event: &Event) -> bool {
    matches!(
        event.header.event_type,
        EventType::FORMAT_DESCRIPTION
            | EventType::GTID_LIST
            | EventType::BINLOG_CHECKPOINT
            | EventType::ROTATE
            | EventType::STOP
            | EventType::INCIDENT
            | EventType::START_ENCRYPTION
            | EventType::HEARTBEAT
    )
}

fn ends(body: &EventBody, open: GtidEvent) -> bool {
    match body {
        EventBody::Xid | EventBody::XaPrepare | EventBody::CommitQuery => true,
        EventBody::Rows { ends_statement } => open.flags.is_standalone() && *ends_statement,
        _ => open.flags.is_standalone(),
    }
}

/// Events that only prepare the statement after them, also in a standalone group.
fn leads_a_statement(event_type: EventType) -> bool {
    matches!(
        event_type,
        EventType::INTVAR
            | EventType::RAND
            | EventType::USER_VAR
            | EventType::TABLE_MAP
            | EventType::ANNOTATE_ROWS
            | EventType::BEGIN_LOAD_QUERY
    )
}
