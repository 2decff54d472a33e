//! What one log file holds: its head, the end of its last complete group, and where each transaction stands.

use super::body::{EventBody, FormatDescription};
use super::encryption::{FileCipher, Keys};
use super::event::Event;
use super::group::{Group, GroupStep, GroupTracker};
use super::ranges::GtidSet;
use super::scan_result::{Fault, Progress, ScanError, Torn, TornReason};
use super::scanner::Scanner;
use crate::gtid::{Gtid, GtidPosition};

/// Between two remembered offsets of a file lie about so many bytes: small enough to be read through within a
/// millisecond, large enough that a file of 1 GB needs a thousand of them.
const MARK_EVERY: u64 = 1 << 20;

/// What stands before the first transaction of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `server_id` of the server that wrote the file.
    pub(crate) server_id: u32,
    /// The FORMAT_DESCRIPTION event.
    pub(crate) format: FormatDescription,
    /// The last transaction of each domain and server before this file.
    pub gtid_list: Vec<Gtid>,
    /// Offset of the byte after the GTID_LIST.
    pub end: u64,
}

impl Head {
    /// In a GTID_LIST of relay logs: which server wrote the transaction before the first one is not known. No server has
    /// this id (`server_id`: 1 to 2^32 - 1).
    pub(crate) const UNKNOWN_SERVER: u32 = 0;

    /// The position before the file's first transaction. Of several servers of a domain the list names the one that
    /// wrote last at the end.
    #[must_use]
    pub fn start(&self) -> GtidPosition {
        self.gtid_list.iter().copied().collect()
    }
}

/// What one whole file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileScan {
    /// Offset of the byte after the last complete group, or after the head when there is none.
    pub end: u64,
    /// Offset of the byte after the last event that is whole and in no incomplete group: behind `end` when the file ends with
    /// events between groups.
    pub(crate) events_end: u64,
    /// The position after the last complete group.
    pub position: GtidPosition,
    /// Set when the file ends in an incomplete event or group.
    pub torn: Option<Torn>,
    transactions: GtidSet,
    marks: Vec<Mark>,
}

/// A boundary between groups.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    offset: u64,
    position: GtidPosition,
}

impl FileScan {
    /// True when the file holds exactly this transaction, complete.
    #[must_use]
    pub fn contains(&self, gtid: Gtid) -> bool {
        self.transactions.contains(gtid)
    }

    /// The last known boundary between groups at or before `offset`; `None` when `offset` lies in the head.
    #[must_use]
    pub(crate) fn boundary_before(&self, offset: u64) -> Option<u64> {
        let behind = self.marks.partition_point(|mark| mark.offset <= offset);
        Some(self.marks.get(behind.checked_sub(1)?)?.offset)
    }

    /// An offset before which no transaction is missing in `had`; the first missing one is near behind it.
    #[must_use]
    pub(crate) fn offset_for(&self, had: &GtidPosition) -> u64 {
        let has_all = |mark: &Mark| mark.position.iter().all(|gtid| is_at_or_before(gtid, had));
        let behind = self.marks.partition_point(has_all);
        // The first mark is the file's start position, which the caller's choice of the file says is covered.
        self.marks.get(behind.saturating_sub(1)).map_or(self.end, |mark| mark.offset)
    }
}

/// True when a member at `had` has `gtid` already: sequence numbers rise within a domain.
#[must_use]
pub fn is_at_or_before(gtid: Gtid, had: &GtidPosition) -> bool {
    had.get(gtid.domain).is_some_and(|last| gtid.sequence <= last.sequence)
}

/// Scans one file. Feed it the file's bytes from the start.
#[derive(Debug)]
pub struct FileScanner {
    scanner: Scanner,
    groups: GroupTracker,
    format: Option<(u32, FormatDescription)>,
    head: Option<Head>,
    scan: FileScan,
    done: bool,
}

impl FileScanner {
    /// A scanner of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64, keys: &Keys) -> Self {
        let scan = FileScan {
            end: 0,
            events_end: 0,
            position: GtidPosition::empty(),
            torn: None,
            transactions: GtidSet::default(),
            marks: Vec::new(),
        };
        Self {
            scanner: Scanner::new(size, keys),
            groups: GroupTracker::default(),
            format: None,
            head: None,
            scan,
            done: false,
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// Damage, encryption, or events in an order no server writes.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), ScanError> {
        while !self.done {
            match self.scanner.advance(&mut bytes)? {
                Progress::NeedMore => break,
                Progress::Event(event) => self.event(&event)?,
                Progress::End(torn) => self.ended(torn),
            }
        }
        Ok(())
    }

    /// The file's head, once it was read.
    #[must_use]
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// How the file is encrypted, once its head was read; `None` when it is not.
    #[must_use]
    pub(crate) fn file_cipher(&self) -> Option<&FileCipher> {
        self.scanner.file_cipher()
    }

    /// True when the end of the file was reached.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// What was found; `None` when the file ended before its head did: nothing was ever written to it.
    #[must_use]
    pub fn finish(self) -> Option<(Head, FileScan)> {
        if !self.done {
            return None;
        }
        self.head.map(|head| (head, self.scan))
    }

    fn event(&mut self, event: &Event) -> Result<(), ScanError> {
        let error = |fault| ScanError { offset: event.offset, event_type: Some(event.header.event_type), fault };
        match (&event.body, &self.head) {
            (EventBody::FormatDescription(format), None) => {
                self.format = Some((event.header.server_id, format.clone()));
            }
            (EventBody::GtidList(list), None) => self.begin(list, event.end()),
            (EventBody::Gtid(_), None) => return Err(error(Fault::NoGtidList)),
            _ => {}
        }
        let step = self.groups.take(event).map_err(|fault| error(fault.into()))?;
        if step != GroupStep::Inside {
            self.scan.events_end = event.end();
        }
        match step {
            GroupStep::Ended(group) => self.group(group).map_err(error),
            GroupStep::Inside | GroupStep::Outside => Ok(()),
        }
    }

    fn begin(&mut self, list: &[Gtid], end: u64) {
        // The scanner lets nothing through before a FORMAT_DESCRIPTION.
        let Some((server_id, format)) = self.format.take() else { return };
        let head = Head { server_id, format, gtid_list: list.to_vec(), end };
        self.scan.position = head.start();
        self.scan.end = end;
        self.mark();
        self.head = Some(head);
    }

    fn group(&mut self, group: Group) -> Result<(), Fault> {
        let gtid = group.gtid;
        if let Some(after) = self.scan.position.get(gtid.domain).filter(|after| after.sequence >= gtid.sequence) {
            return Err(Fault::NotRising { gtid, after });
        }
        self.scan.transactions.insert(gtid);
        self.scan.position.set(gtid);
        self.scan.end = group.end;
        if self.scan.marks.last().is_none_or(|mark| group.end - mark.offset >= MARK_EVERY) {
            self.mark();
        }
        Ok(())
    }

    fn mark(&mut self) {
        self.scan.marks.push(Mark { offset: self.scan.end, position: self.scan.position.clone() });
    }

    fn ended(&mut self, torn: Option<Torn>) {
        let unfinished =
            self.groups.open().map(|gtid| Torn { offset: self.scan.end, reason: TornReason::UnfinishedGroup(gtid) });
        self.scan.torn = torn.or(unfinished);
        if self.scan.marks.last().is_some_and(|mark| mark.offset < self.scan.end) {
            self.mark();
        }
        self.done = true;
    }
}
