//! The stream of events after COM_BINLOG_DUMP, in GTID mode.
//!
//! First an artificial ROTATE, the file's FORMAT_DESCRIPTION and an artificial GTID_LIST; then the groups the replica
//! does not have, up to the end of each file's last complete group. Between files an artificial ROTATE, followed at
//! once by the next file's FORMAT_DESCRIPTION: without it the replica cannot queue what follows. The files' own ROTATE
//! and STOP are never sent, so that a file can be the last one whatever it says.

use std::sync::Arc;
use std::time::Duration;

use super::packet::PacketWriter;
use super::reply::ServerError;
use crate::binlog::{
    self, Catalogue, Checksum, EventBody, EventHeader, EventType, FileScan, HEADER_LEN, Log, decode, is_at_or_before,
};
use crate::gtid::{Gtid, GtidPosition};

/// Bytes asked for at once: large enough for full speed, small enough to hold for many replicas.
const READ: u64 = 256 * 1024;
/// A GTID event is understood from so many bytes.
const GTID_LEN: usize = HEADER_LEN + 13;
/// Every file begins with a magic number of 4 bytes.
const FILE_START: u64 = 4;
/// Header of an event when the replica asked for semi-sync: magic, and "no acknowledgement wanted".
const SEMI_SYNC: [u8; 2] = [0xef, 0];

/// What the replica asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub had: GtidPosition,
    pub semi_sync: bool,
    pub heartbeat: Option<Duration>,
}

/// What the stream needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    Scan(usize),
    Bytes { file: usize, offset: u64, length: u64 },
    Nothing,
}

/// One replica's stream.
#[derive(Debug)]
pub(super) struct Dump {
    catalogue: Arc<Catalogue>,
    request: Request,
    writer: PacketWriter,
    /// Transactions the replica has that must stand in these files.
    must_exist: Vec<(usize, Gtid)>,
    file: usize,
    is_first: bool,
    scan: Option<Arc<FileScan>>,
    /// Everything of the file before this offset is sent or skipped.
    at: u64,
    /// Bytes of the current event still to be sent.
    event_left: u64,
    /// The current group is one the replica has.
    skipping: bool,
}

impl Dump {
    /// Starts the stream; its first packet has sequence number `sequence`.
    pub fn begin(
        catalogue: Arc<Catalogue>,
        request: Request,
        sequence: u8,
        out: &mut Vec<u8>,
    ) -> Result<Self, ServerError> {
        let start = catalogue.start(&request.had).map_err(|refusal| ServerError::binlog(refusal.to_string()))?;
        let announced = catalogue.last().head.format.checksum;
        let mut dump = Self {
            catalogue,
            request,
            writer: PacketWriter::new(sequence),
            must_exist: start.must_exist,
            file: start.file,
            is_first: true,
            scan: None,
            at: FILE_START,
            event_left: 0,
            skipping: false,
        };
        dump.open(announced, out);
        Ok(dump)
    }

    /// What the stream needs next; moves on to the next file where one is done.
    pub fn need(&mut self, out: &mut Vec<u8>) -> Result<Need, ServerError> {
        if let Some((file, _)) = self.must_exist.first() {
            return Ok(Need::Scan(*file));
        }
        let Some(scan) = self.scan.clone() else { return Ok(Need::Scan(self.file)) };
        if self.at < scan.end {
            let length = READ.min(scan.end - self.at);
            return Ok(Need::Bytes { file: self.file, offset: self.at, length });
        }
        if self.file + 1 >= self.catalogue.count() {
            return Ok(Need::Nothing);
        }
        self.next_file(&scan, out)?;
        Ok(Need::Scan(self.file))
    }

    /// Takes what was found in a file.
    pub fn scanned(&mut self, file: usize, scan: &Arc<FileScan>) -> Result<(), ServerError> {
        if let Some((_, gtid)) = self.must_exist.iter().find(|(at, gtid)| *at == file && !scan.contains(*gtid)) {
            return Err(ServerError::binlog(binlog::NoStart::Diverged(*gtid).to_string()));
        }
        self.must_exist.retain(|(at, _)| *at != file);
        if file == self.file && self.scan.is_none() {
            if self.is_first {
                self.at = scan.offset_for(&self.request.had);
            }
            self.scan = Some(Arc::clone(scan));
        }
        Ok(())
    }

    /// Takes the file's bytes from the offset that was asked for.
    pub fn bytes(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ServerError> {
        let before = self.at;
        while !bytes.is_empty() {
            if self.event_left == 0 {
                match self.begin_event(bytes, out)? {
                    Began::Sending => {}
                    Began::Skipped(length) => {
                        self.at += length;
                        bytes = usize::try_from(length).ok().and_then(|length| bytes.get(length..)).unwrap_or_default();
                        continue;
                    }
                    Began::NeedMore => break,
                }
            }
            bytes = self.forward(bytes, out);
        }
        if self.at > before { Ok(()) } else { Err(self.changed()) }
    }

    fn begin_event(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Began, ServerError> {
        let Ok(header) = EventHeader::read(bytes) else { return Ok(Began::NeedMore) };
        let length = u64::from(header.length);
        let end = self.scan.as_ref().map_or(0, |scan| scan.end);
        if length < HEADER_LEN as u64 || self.at.saturating_add(length) > end {
            return Err(self.changed());
        }
        if header.event_type == EventType::GTID {
            let Some(start) = bytes.get(..GTID_LEN) else { return Ok(Began::NeedMore) };
            self.begin_group(header, start)?;
        }
        if self.skipping && !is_between_groups(header.event_type) {
            return Ok(Began::Skipped(length));
        }
        let prefix: &[u8] = if self.request.semi_sync { &SEMI_SYNC } else { &[] };
        self.begin_payload(prefix, length, out);
        self.event_left = length;
        Ok(Began::Sending)
    }

    fn begin_group(&mut self, header: EventHeader, start: &[u8]) -> Result<(), ServerError> {
        let body = start.get(HEADER_LEN..).unwrap_or_default();
        let Ok(EventBody::Gtid(event)) = decode(header.event_type, header.server_id, body) else {
            return Err(self.changed());
        };
        self.skipping = is_at_or_before(event.gtid, &self.request.had);
        Ok(())
    }

    /// Sends what of `bytes` belongs to the current event and returns the rest.
    fn forward<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let count = usize::try_from(self.event_left).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        self.writer.write(out, now);
        self.at += now.len() as u64;
        self.event_left -= now.len() as u64;
        later
    }

    /// Alive, nothing new.
    pub fn heartbeat(&mut self, out: &mut Vec<u8>) {
        let log = self.current().clone();
        let event = binlog::heartbeat(log.head.server_id, log.name.as_str(), self.at, log.head.format.checksum);
        self.send(&event, out);
    }

    /// The period of heartbeats the replica asked for.
    pub fn heartbeat_period(&self) -> Option<Duration> {
        self.request.heartbeat
    }

    /// Tells the replica why the stream ends.
    pub fn refuse(&mut self, error: &ServerError, out: &mut Vec<u8>) {
        // In the middle of an event the packet's remaining bytes are due: an error cannot be told there.
        if self.event_left == 0 {
            self.writer.payload(out, &error.payload());
        }
    }

    fn next_file(&mut self, scan: &FileScan, out: &mut Vec<u8>) -> Result<(), ServerError> {
        let checksum = self.current().head.format.checksum;
        self.file += 1;
        self.is_first = false;
        self.scan = None;
        self.skipping = false;
        let next = self.current();
        if let Some(missing) = next.head.gtid_list.iter().find(|gtid| !is_at_or_before(**gtid, &scan.position)) {
            let text = format!("Log file {} begins after GTID {missing}, which is in no file before it", next.name);
            return Err(ServerError::binlog(text));
        }
        self.open(checksum, out);
        Ok(())
    }

    /// Announces the current file. `checksum` is how the replica expects events until it has read the
    /// FORMAT_DESCRIPTION.
    fn open(&mut self, checksum: Checksum, out: &mut Vec<u8>) {
        let log = self.current().clone();
        let head = &log.head;
        let format = binlog::format_description_for(head, self.is_first);
        self.at = FILE_START;
        self.send(&binlog::rotate(head.server_id, log.name.as_str(), FILE_START, checksum), out);
        self.send(&format, out);
        if self.is_first {
            let list = binlog::gtid_list(head.server_id, &self.request.had, head.format.checksum);
            self.send(&list, out);
        } else {
            self.at += format.len() as u64;
        }
    }

    fn send(&mut self, event: &[u8], out: &mut Vec<u8>) {
        let prefix: &[u8] = if self.request.semi_sync { &SEMI_SYNC } else { &[] };
        self.begin_payload(prefix, event.len() as u64, out);
        self.writer.write(out, event);
    }

    /// Begins the payload of an event: a zero byte (OK), the semi-sync header, the event.
    fn begin_payload(&mut self, prefix: &[u8], event: u64, out: &mut Vec<u8>) {
        let length = usize::try_from(event).unwrap_or(usize::MAX).saturating_add(1 + prefix.len());
        self.writer.begin(out, length);
        self.writer.write(out, &[0]);
        self.writer.write(out, prefix);
    }

    fn current(&self) -> &Log {
        // `file` only ever counts up to the last index.
        self.catalogue.log(self.file).unwrap_or(self.catalogue.last())
    }

    fn changed(&self) -> ServerError {
        let name = &self.current().name;
        ServerError::binlog(format!("Log file {name} does not hold at offset {} what was found there before", self.at))
    }
}

enum Began {
    /// The event's packet has begun.
    Sending,
    /// The replica has the event, which is so long.
    Skipped(u64),
    /// Its beginning is not there as a whole.
    NeedMore,
}

/// Events between groups are sent whether or not the groups around them are.
fn is_between_groups(event_type: EventType) -> bool {
    matches!(event_type, EventType::GTID_LIST | EventType::BINLOG_CHECKPOINT | EventType::INCIDENT)
}
