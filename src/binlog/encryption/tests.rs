//! Encrypted files read as the same files in plain text. That the format is the server's the corpus shows.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::decryptor::Decryptor;
use super::keys::{Algorithm, KeyError, Keys};
use super::testing::{encrypt, keys};
use crate::binlog::checksum::Checksum;
use crate::binlog::scan_result::Fault;
use crate::binlog::testing::{LogFile, scan_with};

fn file(checksum: Checksum) -> LogFile {
    LogFile::encrypted("0-1-4,7-3-9", checksum)
        .transaction("0-1-5", 40)
        .statement("0-1-6")
        .committed("7-2-10")
        .transaction("0-2-7", 300)
        .rotated()
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::AesCbc), Just(Algorithm::AesCtr)]
}

fn checksums() -> impl Strategy<Value = Checksum> {
    prop_oneof![Just(Checksum::None), Just(Checksum::Crc32)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_encrypted_file_reads_as_the_plain_one(
        algorithm in algorithms(), checksum in checksums(), cut in 0_usize..1500, chunk in 1_usize..200,
    ) {
        let file = file(checksum);
        let encrypted = encrypt(&file.bytes, file.encrypted_from.unwrap(), algorithm);
        let size = cut.min(encrypted.len());
        let whole = file.ends.iter().rev().find(|(_, end)| *end <= size as u64);
        match scan_with(&encrypted[..size], chunk, &keys(algorithm)).unwrap() {
            None => prop_assert!(whole.is_none()),
            Some((head, scan)) => {
                let (position, end) = whole.cloned().unwrap_or_else(|| (head.start(), head.end));
                prop_assert_eq!((&scan.position, scan.end), (&position, end));
            }
        }
    }

    #[test]
    fn a_flipped_bit_never_completes_a_group(
        algorithm in algorithms(), at in any::<prop::sample::Index>(), bit in 0_u8..8, chunk in 1_usize..200,
    ) {
        let file = file(Checksum::Crc32);
        let mut bytes = encrypt(&file.bytes, file.encrypted_from.unwrap(), algorithm);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(Some((head, scan))) = scan_with(&bytes, chunk, &keys(algorithm)) {
            let known = file.ends.iter().any(|(position, end)| (position, *end) == (&scan.position, scan.end));
            prop_assert!(known || scan.end == head.end);
        }
    }

    #[test]
    fn any_bytes_behind_an_encrypted_head_are_read_without_a_panic(
        algorithm in algorithms(), bytes in prop::collection::vec(any::<u8>(), 0..400), chunk in 1_usize..99,
    ) {
        let file = file(Checksum::None);
        let head = &file.bytes[..file.encrypted_from.unwrap()];
        let _ = scan_with(&[head, &bytes].concat(), chunk, &keys(algorithm));
    }
}

#[test]
fn reading_may_begin_at_any_event() {
    for algorithm in [Algorithm::AesCbc, Algorithm::AesCtr] {
        let file = file(Checksum::Crc32);
        let encrypted = encrypt(&file.bytes, file.encrypted_from.unwrap(), algorithm);
        let mut whole = Decryptor::new(keys(algorithm));
        whole.feed(&encrypted, &mut Vec::new());
        let ends = file.ends.iter().map(|(_, end)| usize::try_from(*end).unwrap());
        for start in [0, 4, 256, file.encrypted_from.unwrap()].into_iter().chain(ends) {
            let mut decryptor = Decryptor::at(whole.file_cipher().unwrap().clone(), start as u64);
            let mut plain = Vec::new();
            encrypted[start..].chunks(61).for_each(|bytes| decryptor.feed(bytes, &mut plain));
            assert!(plain == file.bytes[start..], "from {start}");
        }
    }
}

#[test]
fn a_missing_and_a_wrong_key_are_told_apart() {
    for checksum in [Checksum::None, Checksum::Crc32] {
        let file = file(checksum);
        let bytes = encrypt(&file.bytes, file.encrypted_from.unwrap(), Algorithm::AesCbc);
        let fault = |keys: &Keys| scan_with(&bytes, 64, keys).unwrap_err().fault;
        let missing = fault(&Keys::missing("set spec.encryption"));
        assert!(missing.to_string().contains("not available here: set spec.encryption"), "{missing}");
        assert_eq!(
            fault(&Keys::parse("1;00112233445566778899aabbccddeeff", Algorithm::AesCbc).unwrap()),
            Fault::WrongKey
        );
        assert_eq!(fault(&keys(Algorithm::AesCtr)), Fault::WrongKey, "the right key, used in another way");
    }
}

#[test]
fn a_key_file_without_the_key_is_refused_by_line() {
    let parse = |text: &str| Keys::parse(text, Algorithm::AesCbc).map(|_| ());
    for digits in [32, 48, 64] {
        assert_eq!(parse(&format!("1;{}", "a".repeat(digits))), Ok(()));
    }
    assert_eq!(parse("# only a comment\n2;00112233445566778899aabbccddeeff"), Err(KeyError::NoLogKey));
    assert_eq!(parse("\n1;0011"), Err(KeyError::Line { line: 2 }));
    assert_eq!(parse("1;zz112233445566778899aabbccddeeff"), Err(KeyError::Line { line: 1 }));
    assert_eq!(parse("Salted__\u{1}\u{2}"), Err(KeyError::Sealed));
    assert!(!format!("{:?}", keys(Algorithm::AesCbc)).contains("30"), "keys are not printed");
}
