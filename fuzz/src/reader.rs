//! The reader: files of any bytes, with and without a head that is right, in pieces of any size.

use crate::binlog::{
    Algorithm, Checksum, Event, EventHeader, EventType, FileScanner, Inspector, Keys, Progress, ScanError, Scanner,
    Splicer, Torn, parse_index,
};
use crate::sample::LogFile;

/// The keys of the corpus of `tests/corpus`, so that its encrypted files can be read.
const LONG_KEY: &str = "1;000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const SHORT_KEY: &str = "1;000102030405060708090a0b0c0d0e0f";

/// Bits of the first byte.
const HEAD: u8 = 0x07;
const COUNTER_MODE: u8 = 0x20;
const WHOLE_EVENTS: u8 = 0x40;

pub fn run(data: &[u8]) {
    let Some((mode, chunk, rest)) = crate::split(data) else { return };
    let bytes = file(mode, rest);
    let keys = if mode & COUNTER_MODE == 0 {
        Keys::parse(LONG_KEY, Algorithm::AesCbc)
    } else {
        Keys::parse(SHORT_KEY, Algorithm::AesCtr)
    };
    let keys = keys.expect("the key file is right");
    let found = scan(&bytes, bytes.len().max(1), &keys);
    assert_eq!(found, scan(&bytes, chunk, &keys), "the pieces make a difference");
    check(&found, bytes.len() as u64);
    let whole = scan_file(&bytes, bytes.len().max(1), &keys);
    assert_eq!(whole, scan_file(&bytes, chunk, &keys), "the pieces make a difference");
    inspect(&bytes, chunk, &keys);
    splice(&found.0);
    let _ = parse_index(rest, "/var/lib/mysql", "bin");
}

/// The bytes as they are, or behind a head, or as bodies of events.
fn file(mode: u8, rest: &[u8]) -> Vec<u8> {
    let mut file = match mode & HEAD {
        1 => LogFile::new(Checksum::None, EventHeader::IN_USE).after(4),
        2 => LogFile::new(Checksum::Crc32, 0).after(0),
        3 => LogFile::new(Checksum::None, 0).encrypted(),
        4 => LogFile::new(Checksum::None, EventHeader::RELAY_LOG),
        5 => LogFile::new(Checksum::Crc32, EventHeader::RELAY_LOG),
        _ => return rest.to_vec(),
    };
    if mode & WHOLE_EVENTS == 0 {
        file.bytes.extend(rest);
        return file.bytes;
    }
    for part in crate::parts(rest) {
        let ([event_type, flags], body) = part.split_first_chunk().unwrap_or((&[16, 0], part));
        file.event(EventType(*event_type), u16::from(*flags), body);
    }
    file.bytes
}

type Found = (Vec<Event>, Result<Option<Torn>, ScanError>);

fn scan(bytes: &[u8], chunk: usize, keys: &Keys) -> Found {
    let mut scanner = Scanner::new(bytes.len() as u64, keys);
    let mut events = Vec::new();
    for piece in std::iter::once(&[][..]).chain(bytes.chunks(chunk)) {
        let mut input = piece;
        loop {
            match scanner.advance(&mut input) {
                Ok(Progress::Event(event)) => events.push(event),
                Ok(Progress::NeedMore) => break,
                Ok(Progress::End(torn)) => return (events, Ok(torn)),
                Err(error) => return (events, Err(error)),
            }
        }
        assert!(input.is_empty(), "the scanner wants more but leaves {} bytes", input.len());
    }
    panic!("the scanner wants more than the file has");
}

fn check((events, end): &Found, size: u64) {
    let mut offset = 4;
    for event in events {
        assert_eq!(event.offset, offset, "events follow each other");
        offset = event.end();
    }
    let last = match end {
        Ok(None) => size,
        Ok(Some(torn)) => torn.offset,
        Err(error) => error.offset,
    };
    assert!(events.is_empty() || (offset == last && offset <= size), "events end at {offset}, the file at {last}");
}

/// Where the last complete group ends and which position that is, if the file can be read.
fn scan_file(bytes: &[u8], chunk: usize, keys: &Keys) -> Option<(u64, String)> {
    let mut scanner = FileScanner::new(bytes.len() as u64, keys);
    for piece in std::iter::once(&[][..]).chain(bytes.chunks(chunk)) {
        scanner.feed(piece).ok()?;
    }
    let (head, scan) = scanner.finish()?;
    assert!(head.end <= scan.end && scan.end <= bytes.len() as u64);
    assert!(scan.torn.is_none_or(|torn| scan.end <= torn.offset), "what is torn lies behind the last group");
    Some((scan.end, scan.position.to_string()))
}

fn inspect(bytes: &[u8], chunk: usize, keys: &Keys) {
    let mut inspector = Inspector::new(bytes.len() as u64, keys);
    let mut groups = 0;
    for piece in std::iter::once(&[][..]).chain(bytes.chunks(chunk)) {
        inspector.feed(piece, |event, group| {
            groups += u64::from(group.is_some());
            assert!(group.is_none_or(|group| group.start < group.end && group.end == event.end()));
        });
    }
    assert!(inspector.is_done(), "the file was given as a whole");
    let (found, _) = inspector.finish();
    assert!(found.transactions == groups && found.last_end <= found.size);
}

fn splice(events: &[Event]) {
    let mut splicer = Splicer::default();
    if events.iter().all(|event| splicer.event(event).is_ok()) {
        let _ = splicer.finish();
    }
}
