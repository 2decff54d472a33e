//! Encrypted logs.

use std::fs;

use beachmaster::orders::{Answer, LogEvidence, Order};

use testkit::Version;
use testkit::member::{Member, Setup};

/// Binary and relay logs, tables and temporary files.
const ENCRYPT: &str = "encrypt_binlog=ON\nencrypt_tmp_files=ON\ninnodb_encrypt_tables=FORCE\ninnodb_encrypt_log=ON\n";
const KEYS: &str = "# made for a test\n1;5f0a7b3e91c2d4486a7f1b2c3d4e5f60718293a4b5c6d7e8f9011223344556ab\n2;00112233445566778899aabbccddeeff\n";

/// Members whose logs and tables are encrypted.
pub const fn encrypted(version: Version, cipher: &'static str) -> Setup {
    Setup { version, options: ENCRYPT, keys: Some((cipher, KEYS)) }
}

/// A wrong key is no damage, and no reason to take the tail for lost.
pub fn encrypted_logs_are_read_with_their_key_only(setup: Setup) {
    let member = Member::start_like(setup, 0);
    member.init();
    assert!(member.sql("SHOW BINLOG EVENTS LIMIT 5").contains("Start_encryption"));
    let logs = |seq: u64| match member.stream().obey(2, seq, Order::Fence) {
        Answer::Fenced { logs } => logs,
        other => panic!("{other:?}"),
    };
    assert!(matches!(logs(1), LogEvidence::Readable { .. }));
    for (seq, keys, told) in [(2, KEYS.replace("1;5f", "1;6f"), "key"), (3, "2;00".to_owned(), "line 1")] {
        fs::write(member.path("keys"), keys).unwrap();
        let LogEvidence::Unreadable { message } = logs(seq) else { panic!("{told}") };
        println!("{message}");
        assert!(message.contains(told), "{message}");
    }
    fs::write(member.path("keys"), KEYS).unwrap();
    assert!(matches!(logs(4), LogEvidence::Readable { .. }));
}
