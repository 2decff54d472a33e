//! Files that no server wrote like that: each gets its own error, at its place, and nothing behind it is taken for good.
#![allow(clippy::unwrap_used)]

use super::checksum::Checksum;
use super::event::EventHeader;
use super::scan_result::{Fault, Torn, TornReason};
use super::testing::{LogFile, scan};

fn file() -> LogFile {
    LogFile::new("0-1-4", Checksum::Crc32).transaction("0-1-5", 40).transaction("0-1-6", 40).transaction("0-1-7", 40)
}

/// The file with the length of the event at `offset` changed.
fn with_length(offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = file().bytes;
    let at = usize::try_from(offset).unwrap() + 9;
    bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[test]
fn each_bad_file_is_refused_for_what_is_wrong_with_it() {
    let second = file().ends[0].1;
    let mut flipped = file().bytes;
    flipped[usize::try_from(second).unwrap() + 30] ^= 1;
    let mut events_only = file().bytes;
    events_only.drain(4..256);
    for (what, bytes, expected) in [
        ("text", b"# Log of a server".to_vec(), "does not begin with the magic number"),
        ("another program's", b"\x7fELF\x02\x01\x01".repeat(100), "does not begin with the magic number"),
        ("without FORMAT_DESCRIPTION", events_only, "does not begin with a FORMAT_DESCRIPTION"),
        ("length 0", with_length(second, 0), "length 0 is shorter than an event's header and checksum"),
        ("length 18", with_length(second, 18), "length 18 is shorter than an event's header and checksum"),
        ("length 4 GiB", with_length(second, u32::MAX), "length 4294967295 reaches beyond the file and contradicts"),
        ("a GTID_LIST of 2 GiB", with_length(256, 1 << 31), "contradicts the end position"),
        ("a flipped bit in the middle", flipped, "GTID event at offset"),
    ] {
        let error = scan(&bytes, 1000).map(drop).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn a_file_with_nothing_in_it_is_empty_and_no_error() {
    for size in 0..4 {
        assert_eq!(scan(&b"\xfebin"[..size], 10), Ok(None), "{size} bytes");
    }
    assert_eq!(scan(b"\xfebin", 10), Ok(None), "only the magic number");
    assert_eq!(scan(&[0; 4096], 10), Ok(None), "blocks that never reached the disk");
}

#[test]
fn damage_at_the_very_end_is_a_torn_end_and_in_the_middle_it_is_not() {
    let file = file();
    let last = file.ends[1].1;
    let mut bytes = file.bytes.clone();
    let end = bytes.len();
    bytes[end - 10] ^= 1;
    let (_, found) = scan(&bytes, 77).unwrap().unwrap();
    assert_eq!((found.position.to_string(), found.end), ("0-1-6".to_owned(), last));
    let Some(Torn { reason: TornReason::LastEvent(Fault::Checksum { .. }), .. }) = found.torn else {
        panic!("{:?}", found.torn)
    };
    bytes.extend(file.bytes[usize::try_from(last).unwrap()..].iter());
    let error = scan(&bytes, 77).unwrap_err();
    assert!(matches!(error.fault, Fault::Checksum { .. }), "{error}");
}

/// A source with `log_bin_compress` writes end positions that say nothing of the length in a relay log.
#[test]
fn a_long_query_of_a_relay_log_with_whole_events_behind_it_is_damage() {
    let relay = LogFile::relay("bin.000001", Checksum::Crc32);
    let query = relay.clone().begun("0-1-5").bytes.len();
    let mut bytes = relay.committed("0-1-5").bytes;
    bytes[query + 11] ^= 1;
    let mut scanner = super::Scanner::new(bytes.len() as u64, &super::Keys::missing(""));
    let mut input = bytes.as_slice();
    let error = loop {
        match scanner.advance(&mut input) {
            Ok(super::Progress::Event(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.offset, error.event_type), (query as u64, Some(super::EventType::QUERY)));
    assert!(error.to_string().contains("but a whole event follows at offset"), "{error}");
}

#[test]
fn a_length_that_was_not_checked_is_never_allocated() {
    // The header of an event of 3 GiB, in a file that says it is larger still: its bytes are counted, not kept.
    let mut bytes = file().bytes;
    let offset = bytes.len() as u64;
    let length = 3 << 30;
    let event_type = super::EventType::WRITE_ROWS_V1;
    let header = EventHeader { timestamp: 0, event_type, server_id: 1, length, end_position: 0, flags: 0 };
    bytes.extend(header.to_bytes());
    let mut scanner = super::FileScanner::new(offset + u64::from(length), &super::Keys::missing(""));
    scanner.feed(&bytes).unwrap();
    let chunk = vec![7; 1 << 20];
    (0..100).for_each(|_| scanner.feed(&chunk).unwrap());
    assert!(!scanner.is_done());
}
