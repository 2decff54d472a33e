//! A client against the server's side, without a network.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::auth::{Login, Scramble, token};
use super::connection::{Connection, Settings, Step};
use super::dump::Place;
use super::packet::{PacketWriter, ProtocolError};
use crate::binlog::testing::{LogFile, catalogue};
use crate::binlog::{
    Catalogue, Checksum, EventBody, EventHeader, EventType, FileScan, HEADER_LEN, Head, Rotate, decode,
};
use crate::gtid::GtidPosition;

mod places;

const QUERIES: [&str; 4] = [
    "SET @master_heartbeat_period= 250000000",
    "SET @master_binlog_checksum= @@global.binlog_checksum",
    "SELECT @master_binlog_checksum",
    "SET @slave_gtid_strict_mode=1",
];

/// Both ends and the files.
struct Bench {
    files: Vec<LogFile>,
    catalogue: Arc<Catalogue>,
    heads: Vec<Arc<Head>>,
    server: Connection,
    scramble: Scramble,
    received: Vec<u8>,
    /// A heartbeat's period passes in each scan.
    beats: bool,
}

impl Bench {
    fn new(files: Vec<LogFile>) -> Self {
        let scramble = Scramble::from_random([5; 20]);
        let login = Login::new("tail", "secret").unwrap();
        let (catalogue, heads) = catalogue(&files);
        let catalogue = Arc::new(catalogue);
        let settings = Settings { catalogue: Arc::clone(&catalogue), login, scramble, connection_id: 7 };
        Self {
            files,
            catalogue,
            heads,
            server: Connection::new(settings),
            scramble,
            received: Vec::new(),
            beats: false,
        }
    }

    fn logged_in(files: Vec<LogFile>) -> Self {
        let mut bench = Self::new(files);
        bench.log_in("secret").unwrap();
        bench
    }

    fn log_in(&mut self, password: &str) -> Result<(), ProtocolError> {
        let mut payload = 0x8a20d_u32.to_le_bytes().to_vec();
        payload.extend([0; 28]);
        payload.extend(b"tail\0\x14");
        payload.extend(token(password.as_bytes(), &self.scramble));
        self.send(1, &payload)
    }

    fn send(&mut self, sequence: u8, payload: &[u8]) -> Result<(), ProtocolError> {
        let mut bytes = Vec::new();
        PacketWriter::new(sequence).payload(&mut bytes, payload);
        // One byte at a time: a packet may arrive in any pieces.
        bytes.chunks(1).try_for_each(|byte| self.server.receive(byte, 1_700_000_000))
    }

    fn query(&mut self, text: &str) {
        self.send(0, &[b"\x03", text.as_bytes()].concat()).unwrap();
    }

    /// Asks for the stream and returns the payloads of everything that comes until the server waits.
    fn dump(&mut self, had: &str, more: &[&str]) -> Vec<Vec<u8>> {
        self.query(&format!("SET @slave_connect_state='{had}'"));
        self.dump_from("", 4, more)
    }

    /// The same from an offset of a file on, unless a GTID position was set before.
    fn dump_from(&mut self, file: &str, offset: u32, more: &[&str]) -> Vec<Vec<u8>> {
        for query in QUERIES.iter().chain(more) {
            self.query(query);
            self.run();
        }
        self.send(0, b"\x15\x02\0\0\0").unwrap();
        self.run();
        self.received.clear();
        self.send(0, &[b"\x12", &offset.to_le_bytes()[..], b"\x02\0\x02\0\0\0", file.as_bytes()].concat()).unwrap();
        self.run();
        payloads(&std::mem::take(&mut self.received))
    }

    /// Does what the server asks for until it waits or closes.
    fn run(&mut self) -> Step {
        loop {
            let step = self.server.step();
            self.received.extend(self.server.take_output());
            match step {
                Step::Scan { file, .. } => {
                    if self.beats {
                        self.server.heartbeat();
                    }
                    let (head, scan) = self.scan(file);
                    self.server.scanned(file, Some((&head, &scan)));
                }
                Step::Start(place) => {
                    let start = match place {
                        Place::After(had) => self.catalogue.start(&had, |index| self.heads.get(index).cloned()),
                        Place::At { file, offset } => self.catalogue.start_at(&file, offset),
                    };
                    let start = start.map(|start| (Arc::clone(self.head(start.file)), start));
                    self.server
                        .started(start.as_ref().map(|(head, start)| (start.clone(), &**head)).map_err(Clone::clone));
                }
                Step::Position { file, offset } => {
                    let whole = |(_, end): &&(GtidPosition, u64)| *end <= offset;
                    self.server.position(self.files[file].ends.iter().rev().find(whole).map(|(position, _)| position));
                }
                Step::Read { file, offset, length } => {
                    let from = usize::try_from(offset).unwrap();
                    let bytes = &self.files[file].bytes[from..from + usize::try_from(length).unwrap()];
                    self.server.file_bytes(bytes);
                }
                Step::Receive | Step::Idle { .. } | Step::Close => return step,
            }
        }
    }

    fn scan(&self, file: usize) -> (Head, Arc<FileScan>) {
        let (head, scan) = self.files[file].scan(1 << 16).unwrap().unwrap();
        (head, Arc::new(scan))
    }

    fn head(&self, file: usize) -> &Arc<Head> {
        self.heads.get(file).unwrap_or(self.catalogue.last_head())
    }
}

/// Takes packets apart and joins those of one payload.
fn payloads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut payload = Vec::new();
    while let Some(([low, middle, high, _], rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
        payload.extend(&rest[..length]);
        bytes = &rest[length..];
        if length < 0xff_ffff {
            all.push(std::mem::take(&mut payload));
        }
    }
    assert!(bytes.is_empty() && payload.is_empty(), "a packet is cut off");
    all
}

/// The events of the stream; each must begin with OK and have a right checksum.
fn events(payloads: &[Vec<u8>], checksum: Checksum) -> Vec<(EventHeader, EventBody)> {
    let event = |payload: &Vec<u8>| {
        assert_eq!(payload[0], 0, "{}", String::from_utf8_lossy(payload));
        let event = &payload[1..];
        let header = EventHeader::read(event).unwrap();
        assert_eq!(usize::try_from(header.length).unwrap(), event.len());
        let is_format = header.event_type == EventType::FORMAT_DESCRIPTION;
        let checksum = if is_format { Checksum::Crc32 } else { checksum };
        let (content, crc) = event.split_at(event.len() - checksum.length());
        if checksum == Checksum::Crc32 {
            assert_eq!(crc, crc32fast::hash(content).to_le_bytes());
        }
        (header, decode(header.event_type, header.server_id, &content[HEADER_LEN..]).unwrap())
    };
    payloads.iter().map(event).collect()
}

fn gtids(events: &[(EventHeader, EventBody)]) -> Vec<String> {
    let gtid = |body: &EventBody| if let EventBody::Gtid(event) = body { Some(event.gtid.to_string()) } else { None };
    events.iter().filter_map(|(_, body)| gtid(body)).collect()
}

/// The first file ends in a crash: the number of its unfinished transaction is given again in the next one.
fn files(checksum: Checksum) -> Vec<LogFile> {
    vec![
        LogFile::new("0-1-10", checksum)
            .transaction("0-1-11", 9)
            .statement("3-1-1")
            .transaction("0-1-12", 9)
            .begun("0-1-13"),
        LogFile::new("0-1-12,3-1-1", checksum).committed("0-1-13").transaction("0-2-14", 3_000).rotated(),
        LogFile::new("0-2-14,3-1-1", checksum).transaction("3-2-2", 9).statement("0-2-15").begun("0-2-16"),
    ]
}

#[test]
fn every_replica_gets_exactly_what_it_lacks() {
    let all = ["0-1-11", "3-1-1", "0-1-12", "0-1-13", "0-2-14", "3-2-2", "0-2-15"];
    for checksum in [Checksum::None, Checksum::Crc32] {
        for (had, has) in [
            ("0-1-10", vec![]),
            ("0-1-11", vec![0]),
            ("0-1-12", vec![0, 2]),
            ("0-1-12,3-1-1", vec![0, 1, 2]),
            ("0-1-13,3-2-2", vec![0, 1, 2, 3, 5]),
            ("0-2-15,3-1-1", vec![0, 1, 2, 3, 4, 6]),
            ("0-2-15,3-2-2", vec![0, 1, 2, 3, 4, 5, 6]),
        ] {
            let mut bench = Bench::logged_in(files(checksum));
            let found = events(&bench.dump(had, &[]), checksum);
            let missing: Vec<_> = (0..all.len()).filter(|index| !has.contains(index)).map(|index| all[index]).collect();
            assert_eq!(gtids(&found), missing, "{had}");
            assert_eq!(bench.run(), Step::Idle { heartbeat: Some(Duration::from_millis(250)) });
        }
    }
}

#[test]
fn a_stream_begins_and_changes_files_as_a_primary_does_it() {
    let mut bench = Bench::logged_in(files(Checksum::Crc32));
    let found = events(&bench.dump("0-1-11", &[]), Checksum::Crc32);
    let types: Vec<_> = found.iter().map(|(header, _)| header.event_type).collect();
    assert_eq!(types[..3], [EventType::ROTATE, EventType::FORMAT_DESCRIPTION, EventType::GTID_LIST]);
    assert!(!types.contains(&EventType::STOP));
    let rotates = types.iter().enumerate().filter(|(_, kind)| **kind == EventType::ROTATE);
    let after: Vec<_> = rotates.map(|(index, _)| types[index + 1]).collect();
    assert_eq!(after, [EventType::FORMAT_DESCRIPTION; 3]);
    let (format, _) = found[1];
    assert_eq!((format.flags & EventHeader::IN_USE, format.end_position), (0, 0));
    let EventBody::FormatDescription(ref body) = found[1].1 else { panic!() };
    assert_eq!(body.created, 0);
    assert_eq!(found[2].1, EventBody::GtidList(vec!["0-1-11".parse().unwrap()]));
}

#[test]
fn semi_sync_puts_its_header_before_each_event() {
    let mut bench = Bench::logged_in(files(Checksum::Crc32));
    let with: Vec<_> = bench.dump("0-1-12,3-1-1", &["SET @rpl_semi_sync_slave= 1"]);
    let without = Bench::logged_in(files(Checksum::Crc32)).dump("0-1-12,3-1-1", &[]);
    assert_eq!(with.len(), without.len());
    for (with, without) in with.iter().zip(&without) {
        assert_eq!((&with[..3], &with[3..]), (&[0, 0xef, 0][..], &without[1..]));
    }
    // An acknowledgement is no error.
    bench.send(0, b"\xef\x10\0\0\0\0\0\0\0bin.000001").unwrap();
    bench.server.heartbeat();
    assert!(matches!(bench.run(), Step::Idle { .. }));
    assert_eq!(payloads(&bench.received)[0][7], EventType::HEARTBEAT.0);
}

#[test]
fn an_event_above_16_mib_arrives_whole() {
    let large = 40 << 20;
    let files = vec![LogFile::new("", Checksum::Crc32).transaction("0-1-1", large).transaction("0-1-2", 9)];
    let found = events(&Bench::logged_in(files).dump("", &[]), Checksum::Crc32);
    assert_eq!(gtids(&found), ["0-1-1", "0-1-2"]);
    assert!(found.iter().any(|(header, _)| usize::try_from(header.length).unwrap() > large));
}

#[test]
fn positions_that_cannot_be_served_are_refused_with_1236() {
    for (had, text) in [
        ("", "have been purged"),
        ("0-2-16", "not in the master's binlog"),
        ("0-9-13,3-1-1", "has diverged"),
        ("nonsense", "is not a GTID position"),
    ] {
        let mut bench = Bench::logged_in(files(Checksum::None));
        let last = bench.dump(had, &[]).pop().unwrap();
        assert_eq!(last[..9], *b"\xff\xd4\x04#HY000");
        assert!(String::from_utf8_lossy(&last).contains(text), "{had}: {}", String::from_utf8_lossy(&last));
        assert_eq!(bench.run(), Step::Close);
    }
}

#[test]
fn a_file_missing_between_others_ends_the_stream() {
    let mut all = files(Checksum::Crc32);
    all.remove(1);
    let last = Bench::logged_in(all).dump("0-1-11", &[]).pop().unwrap();
    assert!(String::from_utf8_lossy(&last).contains("begins after GTID 0-2-14, which is in no file before it"));
}

#[test]
fn strangers_are_dropped() {
    let mut wrong = Bench::new(files(Checksum::None));
    wrong.server.take_output();
    wrong.log_in("guess").unwrap();
    assert!(String::from_utf8_lossy(&wrong.server.take_output()).contains("Access denied for user 'tail'"));
    assert_eq!(wrong.run(), Step::Close);

    let bench = || Bench::new(files(Checksum::None)).server;
    assert!(matches!(bench().receive(b"GET / HTTP/1.1\r\n", 0), Err(ProtocolError::TooLong { .. })));
    assert!(matches!(bench().receive(b"\x01\0\0\x05x", 0), Err(ProtocolError::Sequence { found: 5, expected: 1 })));
    assert!(matches!(bench().receive(b"\x01\0\0\x01x", 0), Err(ProtocolError::Field(_))));
    let mut logged_in = Bench::logged_in(files(Checksum::None));
    assert!(matches!(logged_in.server.receive(b"\xff\xff\xff\0", 0), Err(ProtocolError::TooLong { .. })));
}

#[test]
fn commands_that_are_no_replica_s_get_an_error_and_the_connection_stays() {
    let mut bench = Bench::logged_in(files(Checksum::None));
    for payload in [&b"\x03DROP DATABASE d"[..], b"\x02d", b"\x99"] {
        bench.server.take_output();
        bench.send(0, payload).unwrap();
        assert_eq!(bench.server.take_output()[4], 0xff);
    }
    for payload in [&b"\x0e"[..], b"\x03KILL 7"] {
        bench.send(0, payload).unwrap();
        assert_eq!(bench.server.take_output()[4], 0);
    }
    bench.send(0, b"\x01").unwrap();
    assert_eq!(bench.run(), Step::Close);
}

proptest! {
    #[test]
    fn any_bytes_of_a_client_are_taken_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), logged_in: bool, chunk in 1_usize..50,
    ) {
        let mut bench = Bench::new(files(Checksum::None));
        if logged_in {
            bench.log_in("secret").unwrap();
        }
        let _ = bytes.chunks(chunk).try_for_each(|piece| bench.server.receive(piece, 0));
        bench.run();
    }

    #[test]
    fn files_that_change_while_they_are_served_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bench = Bench::logged_in(files(Checksum::None));
        bench.query("SET @master_binlog_checksum=1");
        bench.query("SET @slave_connect_state='0-1-11'");
        bench.send(0, b"\x12\x04\0\0\0\x02\0\x02\0\0\0").unwrap();
        let start = bench.catalogue.start(&"0-1-11".parse().unwrap(), |index| bench.heads.get(index).cloned());
        let start = start.unwrap();
        let head = Arc::clone(bench.head(start.file));
        bench.server.started(Ok((start, &*head)));
        while let Step::Scan { file, .. } = bench.server.step() {
            let (head, scan) = bench.scan(file);
            bench.server.scanned(file, Some((&head, &scan)));
        }
        bench.server.file_bytes(&bytes);
        bench.run();
    }
}
