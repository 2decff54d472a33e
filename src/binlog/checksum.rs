//! Checksums of events (`binlog_checksum`).

/// How the events of a file are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// No checksum follows the body.
    None,
    /// Four bytes of CRC-32 (the polynomial of zlib) follow the body.
    Crc32,
}

impl Checksum {
    /// The algorithm for the number in a FORMAT_DESCRIPTION event (`enum_binlog_checksum_alg`).
    #[must_use]
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Crc32),
            _ => None,
        }
    }

    /// Bytes the checksum takes at the end of an event.
    #[must_use]
    pub(crate) fn length(self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc32 => 4,
        }
    }

    /// The value of `@@global.binlog_checksum`.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Crc32 => "CRC32",
        }
    }
}
