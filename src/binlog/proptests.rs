//! Whatever happens to a file's bytes: no panic, no transaction that was not complete, and nothing dropped in silence
//! that a crash cannot have cut off.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::checksum::Checksum;
use super::scan_result::{Fault, TornReason};
use super::testing::{LogFile, scan};

fn file(checksum: Checksum) -> LogFile {
    filled(LogFile::new("0-1-4,7-3-9", checksum))
}

fn filled(file: LogFile) -> LogFile {
    file.transaction("0-1-5", 40).statement("0-1-6").committed("7-2-10").transaction("0-2-7", 300).statement("0-2-8")
}

fn checksums() -> impl Strategy<Value = Checksum> {
    prop_oneof![Just(Checksum::None), Just(Checksum::Crc32)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_file_ends_at_its_last_complete_group(
        checksum in checksums(), cut in 0_usize..2000, no_ends: bool, chunk in 1_usize..500,
    ) {
        let file = LogFile::new("0-1-4,7-3-9", checksum);
        let file = filled(if no_ends { file.of_11_8() } else { file });
        let size = cut.min(file.bytes.len());
        let found = scan(&file.bytes[..size], chunk).expect("a cut is no damage");
        let whole = file.ends.iter().rev().find(|(_, end)| *end <= size as u64);
        match (found, whole) {
            (Some((_, found)), Some((position, end))) => {
                prop_assert_eq!((&found.position, found.end), (position, *end));
                prop_assert_eq!(found.torn.is_some(), *end != size as u64);
            }
            (Some((head, found)), None) => prop_assert_eq!((found.position, found.end), (head.start(), head.end)),
            (None, whole) => prop_assert!(whole.is_none()),
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_and_never_completes_a_group(
        at in any::<prop::sample::Index>(), bit in 0_u8..8, cut in 0_usize..100, chunk in 1_usize..500,
    ) {
        let file = file(Checksum::Crc32);
        let mut bytes = file.bytes.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        bytes.truncate(bytes.len() - cut);
        if let Ok(Some((head, found))) = scan(&bytes, chunk) {
            let known = file.ends.iter().any(|(position, end)| (position, *end) == (&found.position, found.end));
            prop_assert!(known || found.end == head.end);
            // IN_USE of the FORMAT_DESCRIPTION is the one bit that may be either.
            let in_use = at == 4 + 17 && bit == 0;
            prop_assert!(in_use || found.end <= at as u64 || at >= bytes.len());
        }
    }

    #[test]
    fn damage_with_data_behind_it_is_an_error(
        at in any::<prop::sample::Index>(), bit in 0_u8..8, no_ends: bool, chunk in 1_usize..5000,
    ) {
        let file = LogFile::new("0-1-4,7-3-9", Checksum::Crc32);
        let file = filled(if no_ends { file.of_11_8() } else { file });
        let (_, last_group) = &file.ends[file.ends.len() - 2];
        let at = at.index(usize::try_from(*last_group).unwrap());
        let mut bytes = file.bytes.clone();
        bytes[at] ^= 1 << bit;
        prop_assume!(!(at == 4 + 17 && bit == 0));
        prop_assert!(scan(&bytes, chunk).is_err(), "flip at {at}");
    }

    /// The length of an event inside a transaction, whose end position says nothing of it.
    #[test]
    fn a_length_that_hides_whole_events_is_an_error(
        checksum in checksums(), event in 0_usize..2, bit in 12_u8..32, cut in 0_usize..31, chunk in 1_usize..500,
    ) {
        let file = LogFile::new("0-1-4", checksum).of_11_8().transaction("0-1-5", 40).transaction("0-1-6", 300);
        let (mut bytes, mut at) = (file.bytes, usize::try_from(file.ends[0].1).unwrap());
        for _ in 0..=event {
            at += usize::try_from(u32::from_le_bytes(bytes[at + 9..at + 13].try_into().unwrap())).unwrap();
        }
        bytes[at + 9 + usize::from(bit / 8)] ^= 1 << (bit % 8);
        let error = scan(&bytes, chunk).expect_err("its end is there");
        prop_assert!(matches!(error.fault, Fault::Follows { .. }), "{}", error);
        // Cut within the event that ends the transaction: that is what a crash leaves, too.
        bytes.truncate(bytes.len() - 1 - cut.min(22 + checksum.length()));
        if event == 1 {
            prop_assert!(scan(&bytes, chunk).unwrap().unwrap().1.torn.is_some());
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), chunk in 1_usize..99) {
        let _ = scan(&bytes, chunk);
        let with_head = [file(Checksum::None).bytes, bytes].concat();
        let _ = scan(&with_head, chunk);
    }
}

#[test]
fn blocks_that_never_reached_the_disk_are_a_torn_end() {
    let file = file(Checksum::Crc32);
    let (position, end) = file.ends[3].clone();
    for lost in [usize::try_from(end).unwrap() + 10, usize::try_from(end).unwrap()] {
        let mut bytes = file.bytes.clone();
        bytes[lost..].fill(0);
        bytes.extend([0; 5000]);
        let (_, found) = scan(&bytes, 100).unwrap().unwrap();
        assert_eq!((found.position, found.end), (position.clone(), end));
        let torn = found.torn.unwrap();
        assert!(matches!(torn.reason, TornReason::LastEvent(_)), "{torn}");
        assert_eq!(torn.offset, end);
    }
    assert_eq!(scan(&[0; 8192], 100), Ok(None), "a head that never reached the disk");
}

#[test]
fn what_no_server_writes_is_refused_by_name() {
    let fault = |file: LogFile| file.scan(64).unwrap_err().fault;
    let nested = LogFile::new("", Checksum::Crc32).begun("0-1-1").transaction("0-1-2", 9);
    assert!(matches!(fault(nested), Fault::Group(_)));
    let again = LogFile::new("0-1-5", Checksum::Crc32).transaction("0-2-5", 9);
    assert!(matches!(fault(again), Fault::NotRising { .. }));
    assert_eq!(scan(b"\x7fELF and more", 3).unwrap_err().fault, Fault::Magic);
}

#[test]
fn an_unfinished_group_is_named() {
    let (_, found) = file(Checksum::None).begun("0-2-9").scan(64).unwrap().unwrap();
    let torn = found.torn.unwrap();
    assert_eq!((torn.offset, torn.to_string().contains("transaction 0-2-9 has no end")), (found.end, true));
}

#[test]
fn transactions_are_found_exactly_and_the_start_is_near() {
    let mut log = LogFile::new("0-1-10", Checksum::None);
    for sequence in 11..=400 {
        log = log.transaction(&format!("0-{}-{sequence}", 1 + sequence / 300), 20_000);
    }
    let (head, found) = log.scan(1 << 20).unwrap().unwrap();
    for (text, expected) in [
        ("0-1-11", true),
        ("0-1-299", true),
        ("0-2-300", true),
        ("0-2-400", true),
        ("0-1-10", false),
        ("0-2-11", false),
        ("0-1-300", false),
        ("0-2-401", false),
        ("1-1-11", false),
    ] {
        assert_eq!(found.contains(text.parse().unwrap()), expected, "{text}");
    }
    for (position, end) in &log.ends {
        let start = found.offset_for(position);
        assert!(start <= *end && end - start < 2 << 20, "{position}: {start}");
    }
    assert_eq!(found.offset_for(&head.start()), head.end);
    assert_eq!(found.offset_for(&log.ends.last().unwrap().0), found.end);
}
