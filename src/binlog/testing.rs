//! Log files made in memory, for tests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::checksum::Checksum;
use super::encryption::testing::NONCE;
use super::event::EventHeader;
use super::event_type::MAGIC;
use super::event_type::{EventType, HEADER_LEN};
use super::file::{FileScan, FileScanner, Head};
use super::index::LogName;
use super::scan_result::ScanError;
use super::{Catalogue, Keys};
use crate::gtid::{Gtid, GtidPosition};

/// A log file that grows by events.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    pub(crate) bytes: Vec<u8>,
    /// After each complete group: the position and the offset.
    pub(crate) ends: Vec<(GtidPosition, u64)>,
    /// Where encryption begins.
    pub(crate) encrypted_from: Option<usize>,
    checksum: Checksum,
    position: GtidPosition,
    /// Inside transactions end positions are 0, as from 11.8 on.
    no_ends_inside: bool,
}

impl LogFile {
    /// A file that begins after `start`.
    pub(crate) fn new(start: &str, checksum: Checksum) -> Self {
        Self::begin(start, checksum, false)
    }

    /// A file that says that it is encrypted, but still is not.
    pub(crate) fn encrypted(start: &str, checksum: Checksum) -> Self {
        Self::begin(start, checksum, true)
    }

    fn begin(start: &str, checksum: Checksum, encrypted: bool) -> Self {
        let position: GtidPosition = start.parse().unwrap();
        let (bytes, ends) = (MAGIC.to_vec(), Vec::new());
        let mut file =
            Self { bytes, ends, encrypted_from: None, checksum: Checksum::Crc32, position, no_ends_inside: false };
        file.event(EventType::FORMAT_DESCRIPTION, 1, EventHeader::IN_USE, &format_body(checksum));
        file.checksum = checksum;
        if encrypted {
            file.event(EventType::START_ENCRYPTION, 1, 0, &[&[1, 1, 0, 0, 0], &NONCE[..]].concat());
            file.encrypted_from = Some(file.bytes.len());
        }
        let mut list = u32::try_from(file.position.domains()).unwrap().to_le_bytes().to_vec();
        for gtid in file.position.iter() {
            list.extend(gtid.domain.to_le_bytes());
            list.extend(gtid.server.to_le_bytes());
            list.extend(gtid.sequence.to_le_bytes());
        }
        file.event(EventType::GTID_LIST, 1, 0, &list);
        file.event(EventType::BINLOG_CHECKPOINT, 1, 0, b"\x0a\0\0\0bin.000001");
        file
    }

    /// A relay log of server 2 with events of `source`, a file of server 1, that begins with a connection.
    pub(crate) fn relay(source: &str, checksum: Checksum) -> Self {
        Self::relay_of_nothing().connected(source, checksum)
    }

    /// A relay log that begins within a connection, because the one before reached its size: no ROTATE names the source's file
    /// (`MYSQL_BIN_LOG::open`).
    pub(crate) fn relay_by_size(checksum: Checksum) -> Self {
        let mut file = Self::relay_of_nothing();
        let mut body = format_body(checksum);
        body[52..56].fill(0);
        file.event(EventType::FORMAT_DESCRIPTION, 1, EventHeader::ARTIFICIAL, &body);
        file.checksum = checksum;
        file
    }

    /// A relay log as a server begins it when it starts.
    pub(crate) fn relay_of_nothing() -> Self {
        let (bytes, position) = (MAGIC.to_vec(), GtidPosition::empty());
        let mut file = Self {
            bytes,
            ends: Vec::new(),
            encrypted_from: None,
            checksum: Checksum::Crc32,
            position,
            no_ends_inside: false,
        };
        file.event(EventType::FORMAT_DESCRIPTION, 2, EventHeader::RELAY_LOG, &format_body(Checksum::Crc32));
        file
    }

    /// What a source sends first on a connection.
    pub(crate) fn connected(mut self, source: &str, checksum: Checksum) -> Self {
        let rotate = [&4_u64.to_le_bytes()[..], source.as_bytes()].concat();
        self.event(EventType::ROTATE, 1, EventHeader::ARTIFICIAL, &rotate);
        self.checksum = Checksum::Crc32;
        self.event(EventType::FORMAT_DESCRIPTION, 1, 0, &format_body(checksum));
        self.checksum = checksum;
        self.event(EventType::GTID_LIST, 1, EventHeader::ARTIFICIAL, &[0, 0, 0, 0, 0, 0]);
        self
    }

    /// The replica goes on in its next relay log.
    pub(crate) fn continued(mut self) -> Self {
        self.event(EventType::ROTATE, 2, EventHeader::RELAY_LOG, b"\x04\0\0\0\0\0\0\0relay.000002");
        self
    }

    /// From here on as a server of 11.8 writes.
    pub(crate) fn of_11_8(mut self) -> Self {
        self.no_ends_inside = true;
        self
    }

    /// Events word for word.
    pub(crate) fn copied(mut self, events: &[u8]) -> Self {
        self.bytes.extend(events);
        self
    }

    /// A transaction with rows of `size` bytes, ended by XID.
    pub(crate) fn transaction(mut self, gtid: &str, size: usize) -> Self {
        let gtid = self.gtid(gtid, 0);
        self.event(EventType::TABLE_MAP, gtid.server, 0, &[1; 20]);
        self.event(EventType::WRITE_ROWS_V1, gtid.server, 0, &vec![1; size.max(8)]);
        self.event(EventType::XID, gtid.server, 0, &[3; 8]);
        self.ended(gtid)
    }

    /// A transaction ended by a COMMIT query.
    pub(crate) fn committed(mut self, gtid: &str) -> Self {
        let gtid = self.gtid(gtid, 0);
        self.event(EventType::QUERY, gtid.server, 0, &query("INSERT INTO m VALUES ('COMMIT')"));
        self.event(EventType::QUERY, gtid.server, 0, &query("COMMIT"));
        self.ended(gtid)
    }

    /// DDL: one statement after a user variable.
    pub(crate) fn statement(mut self, gtid: &str) -> Self {
        let gtid = self.gtid(gtid, 1);
        self.event(EventType::USER_VAR, gtid.server, 0, &[1; 9]);
        self.event(EventType::QUERY, gtid.server, 0, &query("CREATE TABLE t (a INT)"));
        self.ended(gtid)
    }

    /// The first event of a group, and no more.
    pub(crate) fn begun(mut self, gtid: &str) -> Self {
        self.gtid(gtid, 0);
        self
    }

    /// ROTATE, as at the end of a file that was closed.
    pub(crate) fn rotated(mut self) -> Self {
        self.event(EventType::ROTATE, 1, 0, b"\x04\0\0\0\0\0\0\0bin.000002");
        self
    }

    /// Scans the bytes in pieces of `chunk`.
    pub(crate) fn scan(&self, chunk: usize) -> Result<Option<(Head, FileScan)>, ScanError> {
        scan(&self.bytes, chunk)
    }

    fn gtid(&mut self, gtid: &str, flags: u8) -> Gtid {
        let gtid: Gtid = gtid.parse().unwrap();
        let mut body = gtid.sequence.to_le_bytes().to_vec();
        body.extend(gtid.domain.to_le_bytes());
        body.extend([flags, 0, 0, 0, 0, 0, 0]);
        self.event(EventType::GTID, gtid.server, 0, &body);
        gtid
    }

    fn ended(mut self, gtid: Gtid) -> Self {
        self.position.set(gtid);
        self.ends.push((self.position.clone(), self.bytes.len() as u64));
        self
    }

    fn event(&mut self, event_type: EventType, server_id: u32, flags: u16, body: &[u8]) {
        let length = u32::try_from(HEADER_LEN + body.len() + self.checksum.length()).unwrap();
        let is_inside = [EventType::TABLE_MAP, EventType::WRITE_ROWS_V1, EventType::USER_VAR].contains(&event_type);
        let has_end = !(self.no_ends_inside && is_inside);
        let end_position = if has_end { u32::try_from(self.bytes.len()).unwrap() + length } else { 0 };
        let mut header = EventHeader { timestamp: 7, event_type, server_id, length, end_position, flags: 0 };
        header.flags = flags & !EventHeader::IN_USE;
        let checked = [&header.to_bytes()[..], body].concat();
        header.flags = flags;
        self.bytes.extend(header.to_bytes());
        self.bytes.extend(body);
        if self.checksum == Checksum::Crc32 {
            self.bytes.extend(crc32fast::hash(&checked).to_le_bytes());
        }
    }
}

/// Scans `bytes` in pieces of `chunk`.
pub(crate) fn scan(bytes: &[u8], chunk: usize) -> Result<Option<(Head, FileScan)>, ScanError> {
    scan_with(bytes, chunk, &Keys::missing("tests have none"))
}

/// Scans `bytes` in pieces of `chunk`.
pub(crate) fn scan_with(bytes: &[u8], chunk: usize, keys: &Keys) -> Result<Option<(Head, FileScan)>, ScanError> {
    let mut scanner = FileScanner::new(bytes.len() as u64, keys);
    scanner.feed(&[])?;
    for piece in bytes.chunks(chunk) {
        scanner.feed(piece)?;
    }
    Ok(scanner.finish())
}

/// A catalogue of these files, named from `bin.000001` on, and their heads.
pub(crate) fn catalogue(files: &[LogFile]) -> (Catalogue, Vec<Arc<Head>>) {
    let name = |number: usize| LogName::parse(&format!("bin.{number:06}"), "bin").unwrap();
    let mut read = files.iter().map(|file| file.scan(1000).unwrap().unwrap());
    let last = read.next_back().unwrap();
    let heads: Vec<_> = read.map(|(head, _)| Arc::new(head)).collect();
    let names = (1..files.len()).map(name).collect();
    (Catalogue::new(names, name(files.len()), Arc::new(last.0), last.1.into()), heads)
}

fn format_body(checksum: Checksum) -> Vec<u8> {
    let mut body = vec![4, 0];
    body.extend(b"10.11.19-MariaDB-log");
    body.resize(52, 0);
    body.extend([9, 9, 9, 9, 19]);
    body.extend([0; 171]);
    body.push(u8::from(checksum == Checksum::Crc32));
    body
}

fn query(text: &str) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend([1, 0, 0, 0, 0, b'd', 0]);
    body.extend(text.as_bytes());
    body
}
