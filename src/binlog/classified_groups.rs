//! Groups of one file with what kind of change they are.

use super::body::{EventBody, GtidEvent, XaOutcome};
use super::encryption::Keys;
use super::event::{Event, EventHeader};
use super::group::{GroupStep, GroupTracker};
use super::scan_result::{Fault, Progress, ScanError};
use super::scanner::Scanner;
use super::xid::Xid;
use crate::gtid::{Gtid, GtidPosition};

/// A complete group and its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownGroup {
    /// The transaction.
    pub(crate) gtid: Gtid,
    /// What it is.
    pub(crate) kind: GroupKind,
}

/// Kinds of groups that differ in what a crash can leave of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupKind {
    /// One statement that commits by itself, such as DDL: logged after it was executed.
    Statement,
    /// A DROP that crash recovery logged: executed, but perhaps only a part of what the source dropped.
    RecoveredDrop,
    /// XA PREPARE: logged before the engine prepares.
    XaPrepare(Xid),
    /// XA COMMIT or XA ROLLBACK: logged before the engine obeys. Which of them is not known when the text is compressed.
    XaEnd(Xid, Option<XaOutcome>),
    /// A transaction: with transactional tables it and its position are kept or lost together.
    Transaction,
}

/// What stands at the head of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownHead {
    /// The first file of a run of the server.
    pub(crate) begins_run: bool,
    /// The server did not close the file: it is in use, or the server was killed.
    pub(crate) left_open: bool,
    /// The last transaction of each domain before this file.
    pub(crate) start: GtidPosition,
}

/// Reads one file of a server's own binary log. Feed it the file's bytes from the start.
#[derive(Debug)]
pub(crate) struct KnownGroups {
    scanner: Scanner,
    tracker: GroupTracker,
    format: Option<(bool, bool)>,
    head: Option<KnownHead>,
    open: Option<(GtidEvent, EventBody)>,
    done: bool,
}

impl KnownGroups {
    /// For a file of `size` bytes; what a running server writes behind them does not count.
    #[must_use]
    pub(crate) fn new(size: u64, keys: &Keys) -> Self {
        Self {
            scanner: Scanner::new(size, keys),
            tracker: GroupTracker::default(),
            format: None,
            head: None,
            open: None,
            done: false,
        }
    }

    /// Takes the next bytes and gives every complete group to `take`.
    ///
    /// # Errors
    /// Damage, encryption, or events in an order no server writes. A torn end is none.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(KnownGroup)) -> Result<(), ScanError> {
        while !self.done {
            match self.scanner.advance(&mut bytes)? {
                Progress::NeedMore => break,
                Progress::End(_) => self.done = true,
                Progress::Event(event) => {
                    if let Some(group) = self.event(event)? {
                        take(group);
                    }
                }
            }
        }
        Ok(())
    }

    /// The head, once it was read.
    #[must_use]
    pub(crate) fn head(&self) -> Option<&KnownHead> {
        self.head.as_ref()
    }

    /// True at the end of the file.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    fn event(&mut self, event: Event) -> Result<Option<KnownGroup>, ScanError> {
        let error = |fault: Fault| ScanError { offset: event.offset, event_type: Some(event.header.event_type), fault };
        let step = self.tracker.take(&event).map_err(|fault| error(fault.into()))?;
        match event.body {
            EventBody::FormatDescription(format) if self.format.is_none() => {
                self.format = Some((format.created != 0, event.header.flags & EventHeader::IN_USE != 0));
            }
            EventBody::GtidList(list) if self.head.is_none() => {
                let (begins_run, left_open) = self.format.unwrap_or_default();
                self.head = Some(KnownHead { begins_run, left_open, start: list.into_iter().collect() });
            }
            EventBody::Gtid(gtid) => self.open = Some((gtid, EventBody::Gtid(gtid))),
            body => {
                if let Some((_, last)) = &mut self.open {
                    *last = body;
                }
            }
        }
        let GroupStep::Ended(group) = step else { return Ok(None) };
        let kind = self.open.take().map_or(GroupKind::Transaction, |(gtid, last)| kind(gtid, &last));
        Ok(Some(KnownGroup { gtid: group.gtid, kind }))
    }
}

/// The kind of a group by its GTID event and its last event.
fn kind(gtid: GtidEvent, last: &EventBody) -> GroupKind {
    match gtid.xid {
        Some(xid) if gtid.flags.prepares_xa() => GroupKind::XaPrepare(xid),
        Some(xid) => GroupKind::XaEnd(xid, if let EventBody::XaEnd(outcome) = last { Some(*outcome) } else { None }),
        None if !gtid.flags.is_standalone() => GroupKind::Transaction,
        None if *last == EventBody::RecoveredDrop => GroupKind::RecoveredDrop,
        // Rows without BEGIN are changes of a table.
        None if matches!(last, EventBody::Rows { .. }) => GroupKind::Transaction,
        None => GroupKind::Statement,
    }
}
