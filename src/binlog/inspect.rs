//! What one log file holds, told for people: its head, counts, transactions and how it ends. Also of relay logs, and of
//! files that are damaged: then as far as they can be read.

use std::collections::BTreeMap;

use serde::Serialize;

use super::body::EventBody;
use super::encryption::Keys;
use super::event::{Event, EventHeader};
use super::group::{Group, GroupError, GroupStep, GroupTracker};
use super::ranges::GtidSet;
use super::scan_result::{Progress, ScanError, TornReason};
use super::scanner::Scanner;
use crate::gtid::{Gtid, GtidRange};

/// Oddities kept word for word; more of them say nothing new.
const NOTES: usize = 20;

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Bytes of the file.
    pub(crate) size: u64,
    /// `server_id` of the server that wrote the file.
    pub(crate) server_id: Option<u32>,
    /// Version of that server, or of the source in a relay log.
    pub server_version: Option<String>,
    /// `CRC32` or `NONE`.
    pub(crate) checksum: Option<String>,
    /// The GTID_LIST: the last transaction of each domain and server before this file. Relay logs may have none.
    pub(crate) starts_after: Vec<Gtid>,
    /// How many events of each type.
    pub(crate) events: BTreeMap<String, u64>,
    /// How many complete transactions (event groups).
    pub transactions: u64,
    /// Which ones.
    pub ranges: Vec<GtidRange>,
    /// The last complete transaction.
    pub last: Option<Gtid>,
    /// Offset of the byte after it, or after the head when there is none.
    pub(crate) last_end: u64,
    /// How the file ends.
    pub end: End,
    /// Oddities, the first few.
    pub notes: Vec<String>,
}

/// How a file ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum End {
    /// With ROTATE or STOP: the server closed it.
    Closed,
    /// With a complete event, but not closed: in use, or left by a crash.
    Open,
    /// In the middle of an event or a transaction, as a crash leaves it. What is before is good.
    Torn {
        /// Where the incomplete part begins.
        offset: u64,
        /// What is incomplete.
        message: String,
    },
    /// It cannot be read on although data follows.
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong.
        message: String,
    },
}

/// Inspects one file. Feed it the file's bytes from the start, beginning with none.
#[derive(Debug)]
pub struct Inspector {
    scanner: Scanner,
    groups: GroupTracker,
    transactions: GtidSet,
    closed: bool,
    done: bool,
    found: Inspection,
}

impl Inspector {
    /// For a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64, keys: &Keys) -> Self {
        let found = Inspection {
            size,
            server_id: None,
            server_version: None,
            checksum: None,
            starts_after: Vec::new(),
            events: BTreeMap::new(),
            transactions: 0,
            ranges: Vec::new(),
            last: None,
            last_end: 0,
            end: End::Open,
            notes: Vec::new(),
        };
        Self {
            scanner: Scanner::new(size, keys),
            groups: GroupTracker::default(),
            transactions: GtidSet::default(),
            closed: false,
            done: false,
            found,
        }
    }

    /// Takes the next bytes of the file and shows each event and each complete group.
    pub fn feed(&mut self, mut bytes: &[u8], mut show: impl FnMut(&Event, Option<Group>)) {
        while !self.done {
            match self.scanner.advance(&mut bytes) {
                Ok(Progress::NeedMore) => return,
                Ok(Progress::Event(event)) => {
                    let group = self.event(&event);
                    show(&event, group);
                }
                Ok(Progress::End(torn)) => {
                    self.done = true;
                    if let Some(torn) = torn {
                        self.found.end = End::Torn { offset: torn.offset, message: torn.reason.to_string() };
                    } else if let Some(open) = self.groups.open() {
                        let message = TornReason::UnfinishedGroup(open).to_string();
                        self.found.end = End::Torn { offset: self.found.last_end, message };
                    } else if self.closed {
                        self.found.end = End::Closed;
                    }
                }
                Err(error) => self.damaged(&error),
            }
        }
    }

    /// True when more bytes tell nothing new.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// What was found, and the transactions as a set.
    #[must_use]
    pub fn finish(self) -> (Inspection, GtidSet) {
        (Inspection { ranges: self.transactions.ranges(), ..self.found }, self.transactions)
    }

    fn damaged(&mut self, error: &ScanError) {
        self.done = true;
        self.found.end = End::Damaged { offset: error.offset, message: format!("{}: {}", error.what(), error.fault) };
    }

    fn event(&mut self, event: &Event) -> Option<Group> {
        let found = &mut self.found;
        *found.events.entry(event.header.event_type.to_string()).or_default() += 1;
        // A relay log has ROTATE events of its source's stream in the middle: the last event counts.
        self.closed = false;
        match &event.body {
            EventBody::FormatDescription(format) => {
                // A relay log has a second one, of its source, for the events behind it.
                found.server_id = Some(event.header.server_id);
                found.server_version = Some(format.server_version.clone());
                found.checksum = Some(format!("{:?}", format.checksum).to_uppercase());
                if found.transactions == 0 {
                    found.last_end = event.end();
                }
            }
            EventBody::GtidList(list) if found.starts_after.is_empty() => {
                found.starts_after.clone_from(list);
                found.last_end = event.end();
            }
            EventBody::Rotate(_) => self.closed = event.header.flags & EventHeader::ARTIFICIAL == 0,
            EventBody::Stop => self.closed = true,
            _ => {}
        }
        let step = match self.groups.take(event) {
            Err(GroupError::NotEnded(open)) => {
                self.note(event, &format!("transaction {open} has no end before it"));
                self.groups = GroupTracker::default();
                self.groups.take(event).ok()
            }
            Err(error @ GroupError::NoGtid) => {
                self.note(event, &error.to_string());
                None
            }
            Ok(step) => Some(step),
        };
        let Some(GroupStep::Ended(group)) = step else { return None };
        self.transactions.insert(group.gtid);
        self.found.transactions += 1;
        (self.found.last, self.found.last_end) = (Some(group.gtid), group.end);
        Some(group)
    }

    fn note(&mut self, event: &Event, what: &str) {
        if self.found.notes.len() < NOTES {
            self.found.notes.push(format!("{} event at offset {}: {what}", event.header.event_type, event.offset));
        }
    }
}
