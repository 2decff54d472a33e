//! The ways in which the statements are written to logs.

use std::path::Path;

use beachmaster::binlog::Algorithm;

use testkit::Version;

/// One way.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    pub name: &'static str,
    /// Of the origin and of the replica whose relay logs are kept.
    pub options: &'static [&'static str],
    /// Of 11.8 alone.
    pub options_of_11_8: &'static [&'static str],
    /// The logs are encrypted.
    pub encryption: Option<Encryption>,
    /// `binlog_checksum` is changed while the statements run.
    pub changes_checksum: bool,
    /// The servers are shut down instead of killed.
    pub stopped: bool,
    /// Size of the largest value in kB: above 16 MB an event takes several packets.
    pub blob: u32,
}

/// How `file_key_management` encrypts.
#[derive(Debug, Clone, Copy)]
pub struct Encryption {
    pub algorithm: Algorithm,
    /// Bytes of the key.
    pub key: usize,
}

impl Encryption {
    pub fn options(&self, key_file: &Path) -> [String; 4] {
        let algorithm = match self.algorithm {
            Algorithm::AesCbc => "AES_CBC",
            Algorithm::AesCtr => "AES_CTR",
        };
        [
            "--encrypt-binlog=1".to_owned(),
            "--plugin-load-add=file_key_management".to_owned(),
            format!("--file-key-management-filename={}", key_file.display()),
            format!("--file-key-management-encryption-algorithm={algorithm}"),
        ]
    }
}

const BASE: Variant = Variant {
    name: "plain",
    options: &[],
    options_of_11_8: &[],
    encryption: None,
    changes_checksum: false,
    stopped: false,
    blob: 300,
};

const LARGE: u32 = 21_000;
const CRC32: &str = "--binlog-checksum=CRC32";

pub const VARIANTS: [Variant; 10] = [
    Variant { name: "plain", options: &[CRC32], blob: LARGE, ..BASE },
    Variant { name: "stopped", options: &[CRC32], stopped: true, ..BASE },
    Variant { name: "no_checksum", options: &["--binlog-checksum=NONE"], ..BASE },
    Variant { name: "changed_checksum", options: &[CRC32], changes_checksum: true, ..BASE },
    Variant {
        name: "compressed",
        options: &[CRC32, "--log-bin-compress=1", "--log-bin-compress-min-len=10"],
        blob: LARGE,
        ..BASE
    },
    Variant {
        name: "encrypted_cbc",
        options: &[CRC32],
        encryption: Some(Encryption { algorithm: Algorithm::AesCbc, key: 32 }),
        blob: LARGE,
        ..BASE
    },
    Variant {
        name: "encrypted_ctr",
        options: &["--binlog-checksum=NONE", "--log-bin-compress=1"],
        encryption: Some(Encryption { algorithm: Algorithm::AesCtr, key: 16 }),
        stopped: true,
        ..BASE
    },
    Variant { name: "minimal", options: &["--binlog-row-image=MINIMAL", "--binlog-annotate-row-events=0"], ..BASE },
    Variant { name: "noblob", options: &["--binlog-row-image=NOBLOB", "--binlog-row-metadata=FULL"], ..BASE },
    Variant {
        name: "rotated",
        options: &["--max-binlog-size=4096", "--max-relay-log-size=32768"],
        options_of_11_8: &["--binlog-legacy-event-pos=1"],
        ..BASE
    },
];

impl Variant {
    pub fn of_version(&self, version: Version) -> Vec<&'static str> {
        let own: &[&str] = if version == Version::V11_8 { self.options_of_11_8 } else { &[] };
        [self.options, own].concat()
    }
}
