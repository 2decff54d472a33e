//! Position mode and START SLAVE UNTIL.

use super::*;

fn position_bench(checksum: Checksum) -> Bench {
    Bench::logged_in(files(checksum))
}

/// Where each event of a file begins.
fn boundaries(file: &LogFile) -> Vec<u64> {
    let mut at = 4;
    let mut all = Vec::new();
    while let Some(header) = file.bytes.get(at..).and_then(|bytes| EventHeader::read(bytes).ok()) {
        all.push(at as u64);
        at += usize::try_from(header.length).unwrap();
    }
    all
}

#[test]
fn from_an_offset_on_every_event_is_sent_and_none_before() {
    for checksum in [Checksum::None, Checksum::Crc32] {
        let file = &files(checksum)[1];
        let end = file.ends.last().unwrap().1;
        for from in boundaries(file).into_iter().filter(|from| *from <= end) {
            let from = u32::try_from(from).unwrap();
            let found = events(&position_bench(checksum).dump_from("bin.000002", from, &[]), checksum);
            let types: Vec<_> = found.iter().map(|(header, _)| header.event_type).collect();
            assert_eq!(types[..2], [EventType::ROTATE, EventType::FORMAT_DESCRIPTION], "{from}");
            let rotate = EventBody::Rotate(Rotate { position: from.into(), file: "bin.000002".into() });
            assert_eq!(found[0].1, rotate);
            // Events that stand in the file name their end in it.
            let next = found[2..].iter().take_while(|(header, _)| header.event_type != EventType::ROTATE);
            let sent: Vec<u32> = next.map(|(header, _)| header.end_position).collect();
            let all = boundaries(file).into_iter().skip(1).filter(|at| *at > from.into() && *at <= end);
            let mut expected: Vec<u32> = all.map(|at| u32::try_from(at).unwrap()).collect();
            if from == 4 {
                expected.remove(0);
            }
            assert_eq!(sent, expected, "{from}");
            assert_eq!(gtids(&found).last().unwrap(), "0-2-15", "the next file follows");
        }
    }
}

#[test]
fn the_first_file_may_be_left_unnamed() {
    let found = events(&position_bench(Checksum::Crc32).dump_from("", 4, &[]), Checksum::Crc32);
    assert_eq!(gtids(&found).first().unwrap(), "0-1-11");
    let EventBody::FormatDescription(ref format) = found[1].1 else { panic!() };
    assert_ne!(format.created, 0, "from its beginning on, the file is told as it is");
}

#[test]
fn places_that_are_not_there_are_refused_with_1236() {
    let file = &files(Checksum::Crc32)[2];
    let end = u32::try_from(file.ends.last().unwrap().1).unwrap();
    for (name, offset, text) in [
        ("bin.000009", 4, "Could not find first log file name in binary log index file: bin.000009"),
        ("../bin.000001", 4, "Could not find first log file"),
        ("bin.000003", 3, "impossible position 3"),
        ("bin.000003", 5, "impossible position: no event begins at 5"),
        ("bin.000003", end - 1, "impossible position: no event begins at"),
        ("bin.000003", end + 1, "whose last complete transaction ends at"),
        ("bin.000003", u32::MAX, "whose last complete transaction ends at"),
    ] {
        let mut bench = position_bench(Checksum::Crc32);
        let last = bench.dump_from(name, offset, &[]).pop().unwrap();
        assert_eq!(last[..9], *b"\xff\xd4\x04#HY000", "{name}:{offset}");
        assert!(String::from_utf8_lossy(&last).contains(text), "{name}:{offset}: {}", String::from_utf8_lossy(&last));
        assert_eq!(bench.run(), Step::Close);
    }
}

#[test]
fn a_replica_may_stand_behind_the_events_between_transactions() {
    let fresh = LogFile::new("0-1-10", Checksum::Crc32);
    let end = u32::try_from(fresh.bytes.len()).unwrap();
    let mut bench = Bench::logged_in(vec![fresh]);
    let found = events(&bench.dump_from("bin.000001", end, &[]), Checksum::Crc32);
    assert_eq!(found.len(), 2, "only the head");
    bench.received.clear();
    bench.server.heartbeat();
    assert!(matches!(bench.run(), Step::Idle { .. }));
    let header = EventHeader::read(&payloads(&bench.received)[0][1..]).unwrap();
    assert_eq!((header.event_type, header.end_position), (EventType::HEARTBEAT, end));
}

#[test]
fn the_position_at_an_offset_is_told() {
    let mut bench = position_bench(Checksum::Crc32);
    let (position, end) = bench.files[0].ends[1].clone();
    for (query, expected) in [
        (format!("SELECT binlog_gtid_pos('bin.000001',{end})"), position.to_string()),
        ("SELECT binlog_gtid_pos('bin.000007',4)".to_owned(), "\u{fb}".to_owned()),
    ] {
        bench.run();
        bench.received.clear();
        bench.query(&query);
        assert_eq!(bench.run(), Step::Receive);
        let row = payloads(&bench.received)[3].clone();
        let row = if row == [0xfb] { "\u{fb}".to_owned() } else { String::from_utf8_lossy(&row[1..]).into_owned() };
        assert_eq!(row, expected, "{query}");
    }
}

#[test]
fn until_a_position_the_stream_ends_with_a_sign() {
    for (had, until, before, expected) in [
        ("0-1-10", "0-1-12", false, vec!["0-1-11", "0-1-12"]),
        ("0-1-10", "0-1-12", true, vec!["0-1-11"]),
        ("0-1-10", "0-1-12,3-2-2", false, vec!["0-1-11", "3-1-1", "0-1-12", "3-2-2"]),
        ("0-1-12,3-1-1", "0-2-15", false, vec!["0-1-13", "0-2-14", "0-2-15"]),
        ("0-1-12,3-1-1", "0-1-12", false, vec![]),
    ] {
        let mut bench = position_bench(Checksum::Crc32);
        let settings = [
            format!("SET @slave_until_gtid='{until}'"),
            format!("SET @slave_gtid_until_before_gtids={}", u8::from(before)),
        ];
        let payloads = bench.dump(had, &[&settings[0], &settings[1]]);
        let found = events(&payloads, Checksum::Crc32);
        assert_eq!(gtids(&found), expected, "{had} until {until}");
        assert_eq!(found.last().unwrap().0.event_type, EventType::GTID_LIST);
        let flags = payloads.last().unwrap()[1 + HEADER_LEN + 3];
        assert_eq!(flags, 0x10, "FLAG_UNTIL_REACHED");
        assert!(matches!(bench.run(), Step::Idle { .. }));
    }
    let mut bench = position_bench(Checksum::Crc32);
    let payloads = bench.dump("0-1-10", &["SET @slave_until_gtid='0-2-99'"]);
    assert_eq!(gtids(&events(&payloads, Checksum::Crc32)).last().unwrap(), "0-2-15", "all there is");
    assert_ne!(payloads.last().unwrap()[5], EventType::GTID_LIST.0, "and the end is not there yet");
}

/// A replica takes a heartbeat that is behind what it was told before for an error (1623).
#[test]
fn a_heartbeat_while_a_file_is_scanned_is_not_behind_what_was_told() {
    for (position, from) in [("'0-1-10'", 4), ("'0-1-12'", 4), ("", 4)] {
        let mut bench = position_bench(Checksum::Crc32);
        bench.beats = true;
        if !position.is_empty() {
            bench.query(&format!("SET @slave_connect_state={position}"));
        }
        let (mut told, mut heartbeats) = (0, 0);
        for (header, body) in events(&bench.dump_from("bin.000001", from, &[]), Checksum::Crc32) {
            match (header.event_type, body) {
                (EventType::ROTATE, EventBody::Rotate(rotate)) => told = u32::try_from(rotate.position).unwrap(),
                (EventType::HEARTBEAT, _) => {
                    assert!(header.end_position >= told, "{position}: {} after {told}", header.end_position);
                    heartbeats += 1;
                }
                _ => told = told.max(header.end_position),
            }
        }
        assert!(heartbeats > 1, "{position}: {heartbeats}");
    }
}
