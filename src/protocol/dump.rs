//! The stream of events after COM_BINLOG_DUMP.
//!
//! First an artificial ROTATE and the file's FORMAT_DESCRIPTION, then what the replica does not have, up to the end of each
//! file's last complete group. In GTID mode an artificial GTID_LIST comes before, and groups the replica has are left out;
//! in position mode the events from the offset on are sent as they stand. Between files an artificial ROTATE, followed at
//! once by the next file's FORMAT_DESCRIPTION: without it the replica cannot queue what follows. The files' own ROTATE and
//! STOP are never sent, so that a file can be the last one whatever it says; nor START_ENCRYPTION, because what is sent is
//! decrypted.

use std::sync::Arc;
use std::time::Duration;

use super::packet::PacketWriter;
pub(crate) use super::place::Place;
use super::reply::ServerError;
use super::until::Until;
use crate::binlog::{
    self, Catalogue, Checksum, EventBody, EventHeader, EventType, FileScan, HEADER_LEN, Head, NoStart, Start,
    bytes_needed, decode, is_at_or_before,
};
use crate::gtid::{Gtid, GtidPosition};

/// Bytes asked for at once, kept twice for each replica. Each piece wakes a thread that reads it: a quarter of it makes two
/// replicas on two cores a tenth slower.
const READ: u64 = 1 << 20;
/// Every file begins with a magic number of 4 bytes.
const FILE_START: u64 = 4;
/// Header of an event when the replica asked for semi-sync: magic, and "no acknowledgement wanted".
const SEMI_SYNC: [u8; 2] = [0xef, 0];

/// What the replica asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(crate) place: Place,
    pub(crate) until: Option<Until>,
    pub(crate) semi_sync: bool,
    pub(crate) heartbeat: Option<Duration>,
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
    /// In GTID mode, what the replica has.
    had: GtidPosition,
    until: Option<Until>,
    semi_sync: bool,
    heartbeat: Option<Duration>,
    writer: PacketWriter,
    /// Transactions the replica has that must stand in these files.
    must_exist: Vec<(usize, Gtid)>,
    file: usize,
    announced: Announced,
    /// `None` until it is known what the file holds.
    scan: Option<Arc<FileScan>>,
    /// The position at the end of the file before.
    behind: GtidPosition,
    /// Everything of the file before this offset is sent or skipped.
    at: u64,
    /// Where the replica believes to be at least, from the lengths and end positions of what it was sent (those of relay logs
    /// are the source's, not the file's). A heartbeat that is behind it is an error to the replica.
    told: u64,
    /// In position mode, offset of the first event that is sent; else 0.
    from: u64,
    /// Bytes of the current event still to be sent.
    event_left: u64,
    /// The current group is not sent.
    skipping: bool,
    /// The end was told.
    ended: bool,
}

/// What the replica was told last.
#[derive(Debug, Clone)]
struct Announced {
    file: usize,
    server_id: u32,
    checksum: Checksum,
}

impl Dump {
    /// Starts the stream in the file that has this head; its first packet has sequence number 1.
    pub(crate) fn begin(
        catalogue: Arc<Catalogue>,
        request: Request,
        (start, head): (Start, &Head),
        out: &mut Vec<u8>,
    ) -> Self {
        let checksum = catalogue.last_head().format.checksum;
        let announced = Announced { file: start.file, server_id: head.server_id, checksum };
        let (had, from) = match request.place {
            Place::After(had) => (had, 0),
            Place::At { offset, .. } => (GtidPosition::empty(), offset),
        };
        let mut dump = Self {
            catalogue,
            until: request.until.map(|until| until.for_replica_at(&had)),
            had,
            semi_sync: request.semi_sync,
            heartbeat: request.heartbeat,
            writer: PacketWriter::new(1),
            must_exist: start.must_exist,
            file: start.file,
            announced,
            scan: None,
            behind: GtidPosition::empty(),
            at: FILE_START,
            told: from.max(FILE_START),
            from,
            event_left: 0,
            skipping: false,
            ended: false,
        };
        dump.open_first(head, out);
        dump
    }

    /// What the stream needs next; moves on to the next file where one is done.
    pub(crate) fn need(&mut self, out: &mut Vec<u8>) -> Need {
        if self.ended {
            return Need::Nothing;
        }
        if let Some((file, _)) = self.must_exist.first() {
            return Need::Scan(*file);
        }
        let Some(scan) = &self.scan else { return Need::Scan(self.file) };
        if self.at < scan.end {
            let length = READ.min(scan.end - self.at);
            return Need::Bytes { file: self.file, offset: self.at, length };
        }
        if self.until.as_ref().is_some_and(Until::is_reached) {
            self.end(out);
            return Need::Nothing;
        }
        if self.file + 1 >= self.catalogue.count() {
            return Need::Nothing;
        }
        self.behind = scan.position.clone();
        self.file += 1;
        self.scan = None;
        Need::Scan(self.file)
    }

    /// Takes what was found in a file, or that it has no head and so no transactions.
    pub(crate) fn scanned(
        &mut self,
        file: usize,
        contents: Option<(&Head, &Arc<FileScan>)>,
        out: &mut Vec<u8>,
    ) -> Result<(), ServerError> {
        let holds = |gtid| contents.is_some_and(|(_, scan)| scan.contains(gtid));
        if let Some((_, gtid)) = self.must_exist.iter().find(|(at, gtid)| *at == file && !holds(*gtid)) {
            return Err(ServerError::binlog(NoStart::Diverged(*gtid).to_string()));
        }
        self.must_exist.retain(|(at, _)| *at != file);
        if file != self.file || self.scan.is_some() {
            return Ok(());
        }
        let Some((head, scan)) = contents else {
            self.file += 1;
            return Ok(());
        };
        if self.announced.file == file {
            self.begin_first(head, scan)?;
        } else {
            self.open_next(head, out)?;
        }
        self.scan = Some(Arc::clone(scan));
        Ok(())
    }

    /// Finds the first event to look at.
    fn begin_first(&mut self, head: &Head, scan: &FileScan) -> Result<(), ServerError> {
        self.at = match self.from {
            0 => scan.offset_for(&self.had),
            from if from > scan.events_end => {
                let name = self.catalogue.name(self.file);
                let text = format!(
                    "Client requested master to start replication from position {from} of {name}, whose last complete \
                     transaction ends at {}",
                    scan.end
                );
                return Err(ServerError::binlog(text));
            }
            from => scan.boundary_before(from).unwrap_or(FILE_START + head.format.length()),
        };
        if (FILE_START + 1..self.at).contains(&self.from) {
            self.at = FILE_START;
            return Err(self.impossible());
        }
        Ok(())
    }

    /// Takes the file's bytes from the offset that was asked for.
    pub(crate) fn bytes(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ServerError> {
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
                    Began::Ended => {
                        self.end(out);
                        return Ok(());
                    }
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
        if self.at < self.from {
            // In position mode: on the way to the first event.
            let passed = self.at + length > self.from;
            return if passed { Err(self.impossible()) } else { Ok(Began::Skipped(length)) };
        }
        if header.event_type == EventType::GTID {
            // The whole event, or as much as is ever read of one.
            let needed = (HEADER_LEN + bytes_needed(EventType::GTID)) as u64;
            let needed = usize::try_from(needed.min(length)).unwrap_or(usize::MAX);
            let Some(start) = bytes.get(..needed) else { return Ok(Began::NeedMore) };
            if self.until.as_ref().is_some_and(Until::is_reached) {
                return Ok(Began::Ended);
            }
            self.begin_group(header, start)?;
        }
        if !self.is_sent(header.event_type) {
            return Ok(Began::Skipped(length));
        }
        let prefix: &[u8] = if self.semi_sync { &SEMI_SYNC } else { &[] };
        self.begin_payload(prefix, length, out);
        self.event_left = length;
        self.told = u64::from(header.end_position).max(self.told + length);
        Ok(Began::Sending)
    }

    fn begin_group(&mut self, header: EventHeader, start: &[u8]) -> Result<(), ServerError> {
        let body = start.get(HEADER_LEN..).unwrap_or_default();
        let Ok(EventBody::Gtid(event)) = decode(header.event_type, header.server_id, body) else {
            return Err(self.changed());
        };
        // `until` must not see what the replica has.
        self.skipping = is_at_or_before(event.gtid, &self.had)
            || self.until.as_mut().is_some_and(|until| !until.admits(event.gtid));
        Ok(())
    }

    /// Events between groups are sent whether or not the groups around them are.
    fn is_sent(&self, event_type: EventType) -> bool {
        match event_type {
            EventType::GTID_LIST | EventType::BINLOG_CHECKPOINT | EventType::INCIDENT => true,
            EventType::START_ENCRYPTION | EventType::ROTATE | EventType::STOP => false,
            _ => !self.skipping,
        }
    }

    /// Tells the replica that everything up to the end it named was sent.
    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(until) = &self.until {
            let list = binlog::until_reached(self.announced.server_id, until.position(), self.announced.checksum);
            self.send(&list, out);
        }
        self.ended = true;
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
    pub(crate) fn heartbeat(&mut self, out: &mut Vec<u8>) {
        let Announced { file, server_id, checksum } = self.announced;
        // While the next file is being looked at, the replica is at the end of the one before.
        let name = self.catalogue.name(file).as_str();
        let event = binlog::heartbeat(server_id, name, self.at.max(self.told), checksum);
        self.send(&event, out);
    }

    /// The period of heartbeats the replica asked for.
    pub(crate) fn heartbeat_period(&self) -> Option<Duration> {
        self.heartbeat
    }

    /// Tells the replica why the stream ends.
    pub(crate) fn refuse(&mut self, error: &ServerError, out: &mut Vec<u8>) {
        // In the middle of an event the packet's remaining bytes are due: an error cannot be told there.
        if self.event_left == 0 {
            self.writer.payload(out, &error.payload());
        }
    }

    /// Announces the first file.
    fn open_first(&mut self, head: &Head, out: &mut Vec<u8>) {
        let is_inside = self.from != FILE_START;
        self.announce(head, FILE_START.max(self.from), is_inside, out);
        if self.from == 0 {
            let list = binlog::gtid_list(head.server_id, &self.had, head.format.checksum);
            self.send(&list, out);
        }
    }

    fn open_next(&mut self, head: &Head, out: &mut Vec<u8>) -> Result<(), ServerError> {
        if let Some(missing) = head.gtid_list.iter().find(|gtid| !is_at_or_before(**gtid, &self.behind)) {
            let name = self.catalogue.name(self.file);
            let text = format!("Log file {name} begins after GTID {missing}, which is in no file before it");
            return Err(ServerError::binlog(text));
        }
        (self.from, self.told, self.skipping) = (0, FILE_START, false);
        self.announce(head, FILE_START, false, out);
        self.at = FILE_START + head.format.length();
        Ok(())
    }

    /// ROTATE and FORMAT_DESCRIPTION of the current file. The first is read by the replica as it read what came before.
    fn announce(&mut self, head: &Head, offset: u64, is_inside: bool, out: &mut Vec<u8>) {
        let name = self.catalogue.name(self.file).as_str();
        let rotate = binlog::rotate(head.server_id, name, offset, self.announced.checksum);
        self.send(&rotate, out);
        self.send(&binlog::format_description_for(head, is_inside), out);
        if !is_inside {
            self.told = self.told.max(FILE_START + head.format.length());
        }
        self.announced = Announced { file: self.file, server_id: head.server_id, checksum: head.format.checksum };
    }

    fn send(&mut self, event: &[u8], out: &mut Vec<u8>) {
        let prefix: &[u8] = if self.semi_sync { &SEMI_SYNC } else { &[] };
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

    fn changed(&self) -> ServerError {
        let name = self.catalogue.name(self.file);
        ServerError::binlog(format!("Log file {name} does not hold at offset {} what was found there before", self.at))
    }

    fn impossible(&self) -> ServerError {
        let name = self.catalogue.name(self.file);
        let text = "Client requested master to start replication from impossible position: no event begins at";
        ServerError::binlog(format!("{text} {} of {name}, one reaches over it from {}", self.from, self.at))
    }
}

enum Began {
    /// The event's packet has begun.
    Sending,
    /// The replica has the event, which is so long.
    Skipped(u64),
    /// Its beginning is not there as a whole.
    NeedMore,
    /// The replica wants no more.
    Ended,
}
