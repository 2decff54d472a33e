//! Relay logs told as binary logs of the source they came from.
//!
//! A relay log holds the source's events word for word, between events of the replica's own: its FORMAT_DESCRIPTION and
//! STOP, the ROTATE of relay logs (`LOG_EVENT_RELAY_LOG_F`), and what the source made up for the stream
//! (`LOG_EVENT_ARTIFICIAL_F`). What is left are transactions, and they are all that a replica in GTID mode needs. One may
//! be spread over two files, and one that a reconnect cut off is begun anew. Sources: `sql/slave.cc` (`queue_event`),
//! `sql/log.cc` (`MYSQL_BIN_LOG::new_file_impl`).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use thiserror::Error;

use super::artificial::{plain_format_description, plain_gtid_list};
use super::body::{EventBody, FormatDescription};
use super::event::{Event, EventHeader};
use super::event_type::EventType;
use super::event_type::MAGIC;
use super::file::Head;
use super::group::{GroupError, GroupStep, GroupTracker};
use super::index::LogName;
use crate::gtid::{Gtid, GtidPosition};

/// Stands for the source's file when no ROTATE named it. A replica that is served by GTID keeps no names.
const UNNAMED: &str = "source.000001";

/// Part of a relay log file that came from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Index of the relay log.
    pub(crate) file: usize,
    /// Where the part begins in it.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) length: u64,
}

/// A binary log put together from relay logs: `head`, then the parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spliced {
    /// Name of the source's file.
    pub(crate) name: LogName,
    /// Magic number, FORMAT_DESCRIPTION and GTID_LIST.
    pub(crate) head: Vec<u8>,
    /// Complete transactions, in their order.
    pub(crate) parts: Vec<Part>,
}

/// Why relay logs cannot be told as binary logs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpliceError {
    /// Nothing says how the transaction's events are to be read.
    #[error("transaction {0} comes before the first FORMAT_DESCRIPTION of a source: a relay log is missing")]
    NoSource(Gtid),
    /// The source's file has a name no server gives.
    #[error("the source's file {0:?} is not named like a binary log")]
    Name(String),
    /// Events in an order no server writes.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// What stands in the relay logs is not one history.
    #[error("transaction {gtid} follows {after}: the relay logs are not of one source")]
    NotRising {
        /// The transaction.
        gtid: Gtid,
        /// The one before it in its domain.
        after: Gtid,
    },
}

/// Follows the events of relay logs, in the files' order.
#[derive(Debug, Default)]
pub(crate) struct Splicer {
    file: usize,
    source: Source,
    groups: GroupTracker,
    /// The source and the parts of the group that has begun and not ended.
    open: Vec<Part>,
    position: GtidPosition,
    /// The transaction before the first one of each domain.
    starts: BTreeMap<u32, Gtid>,
    logs: Vec<Draft>,
}

/// What the source's events last said of it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Source {
    /// `None` before the first ROTATE: a relay log that another one reached its size before has none at its head.
    name: Option<String>,
    format: Option<(u32, FormatDescription)>,
}

/// A log whose GTID_LIST is not known before the end.
#[derive(Debug)]
struct Draft {
    source: Source,
    before: GtidPosition,
    parts: Vec<Part>,
}

impl Splicer {
    /// The next file begins.
    pub(crate) fn next_file(&mut self) {
        self.file += 1;
    }

    /// Takes the next event of the file; true when it is one of the source's that counts.
    ///
    /// # Errors
    /// Events no server writes in this order, or of more than one history.
    pub(crate) fn event(&mut self, event: &Event) -> Result<bool, SpliceError> {
        if event.header.flags & EventHeader::RELAY_LOG != 0 {
            return Ok(false);
        }
        match &event.body {
            EventBody::FormatDescription(format) => {
                self.source.format = Some((event.header.server_id, format.clone()));
                return Ok(false);
            }
            EventBody::Rotate(rotate) => {
                self.source.name = Some(rotate.file.clone());
                return Ok(false);
            }
            EventBody::GtidList(_) | EventBody::Stop | EventBody::StartEncryption(_) => return Ok(false),
            EventBody::Gtid(_) => self.begin(),
            _ if event.header.flags & EventHeader::ARTIFICIAL != 0 => return Ok(false),
            _ if event.header.event_type == EventType::BINLOG_CHECKPOINT => return Ok(false),
            // The rest of a transaction whose beginning was purged with the file before: it was applied.
            _ if self.groups.open().is_none() && self.logs.is_empty() => return Ok(true),
            _ => {}
        }
        let step = self.groups.take(event)?;
        self.keep(event);
        match step {
            GroupStep::Ended(group) => self.complete(group.gtid)?,
            GroupStep::Inside => {}
            GroupStep::Outside => self.add(),
        }
        Ok(true)
    }

    /// A transaction that a reconnect cut off is begun anew: what came of it before does not count.
    fn begin(&mut self) {
        self.groups = GroupTracker::default();
        self.open.clear();
    }

    fn keep(&mut self, event: &Event) {
        let part = Part { file: self.file, offset: event.offset, length: u64::from(event.header.length) };
        join(&mut self.open, part);
    }

    fn complete(&mut self, gtid: Gtid) -> Result<(), SpliceError> {
        match self.position.get(gtid.domain) {
            Some(after) if after.sequence >= gtid.sequence => return Err(SpliceError::NotRising { gtid, after }),
            Some(_) => {}
            None => {
                let before = Gtid { server: Head::UNKNOWN_SERVER, sequence: gtid.sequence.saturating_sub(1), ..gtid };
                self.starts.insert(gtid.domain, before);
            }
        }
        if self.source.format.is_none() {
            return Err(SpliceError::NoSource(gtid));
        }
        self.add();
        self.position.set(gtid);
        Ok(())
    }

    /// Puts the open parts into the log of the source as it is told now.
    fn add(&mut self) {
        if self.logs.last().is_none_or(|log| log.source != self.source) {
            self.logs.push(Draft { source: self.source.clone(), before: self.position.clone(), parts: Vec::new() });
        }
        let Some(log) = self.logs.last_mut() else { return };
        self.open.drain(..).for_each(|part| join(&mut log.parts, part));
    }

    /// The binary logs. A transaction without an end is left out.
    ///
    /// # Errors
    /// A source's file with a name no server gives.
    pub(crate) fn finish(self) -> Result<Vec<Spliced>, SpliceError> {
        let starts: GtidPosition = self.starts.into_values().filter(|before| before.sequence > 0).collect();
        let spliced = |draft: Draft| {
            let name = draft.source.name.as_deref().unwrap_or(UNNAMED);
            let basename = name.rsplit_once('.').map_or("", |(basename, _)| basename);
            let name = LogName::parse(name, basename).ok_or_else(|| SpliceError::Name(name.to_owned()))?;
            let (server_id, format) = draft.source.format.ok_or_else(|| SpliceError::Name(name.to_string()))?;
            // Before its first transaction a domain is where the relay logs begin.
            let mut before = starts.clone();
            draft.before.iter().for_each(|gtid| before.set(gtid));
            let format_description = plain_format_description(server_id, &format);
            let list = plain_gtid_list(server_id, &before, format.checksum, MAGIC.len() + format_description.len());
            Ok(Spliced { name, head: [&MAGIC[..], &format_description, &list].concat(), parts: draft.parts })
        };
        self.logs.into_iter().map(spliced).collect()
    }
}

/// Adds a part; one that continues the last makes it longer.
fn join(parts: &mut Vec<Part>, part: Part) {
    match parts.last_mut() {
        Some(last) if last.file == part.file && last.offset + last.length == part.offset => last.length += part.length,
        _ => parts.push(part),
    }
}
