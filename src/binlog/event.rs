//! The header common to all events, and the types of events.

use std::fmt;

use super::body::EventBody;
use super::reader::{FieldError, Reader};

/// Bytes of the common header (binlog version 4).
pub const HEADER_LEN: usize = 19;

/// The type of an event, `enum Log_event_type` of the server. Unknown numbers pass through by their length.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventType(pub u8);

macro_rules! event_types {
    ($($name:ident = $number:literal),* $(,)?) => {
        impl EventType {
            $(#[doc = concat!("`", stringify!($name), "_EVENT`.")] pub const $name: Self = Self($number);)*

            /// The server's name of the type.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

event_types! {
    QUERY = 2, STOP = 3, ROTATE = 4, INTVAR = 5, RAND = 13, USER_VAR = 14, FORMAT_DESCRIPTION = 15, XID = 16,
    BEGIN_LOAD_QUERY = 17, EXECUTE_LOAD_QUERY = 18, TABLE_MAP = 19, WRITE_ROWS_V1 = 23, UPDATE_ROWS_V1 = 24,
    DELETE_ROWS_V1 = 25, INCIDENT = 26, HEARTBEAT = 27, WRITE_ROWS = 30, UPDATE_ROWS = 31, DELETE_ROWS = 32,
    XA_PREPARE = 38, ANNOTATE_ROWS = 160, BINLOG_CHECKPOINT = 161, GTID = 162, GTID_LIST = 163, START_ENCRYPTION = 164,
    QUERY_COMPRESSED = 165, WRITE_ROWS_COMPRESSED_V1 = 166, UPDATE_ROWS_COMPRESSED_V1 = 167,
    DELETE_ROWS_COMPRESSED_V1 = 168, WRITE_ROWS_COMPRESSED = 169, UPDATE_ROWS_COMPRESSED = 170,
    DELETE_ROWS_COMPRESSED = 171,
}

impl EventType {
    /// True for the events that carry rows.
    #[must_use]
    pub fn is_rows(self) -> bool {
        matches!(self.0, 23..=25 | 30..=32 | 166..=171)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "type {}", self.0),
        }
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The common header of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since 1970 at which the statement began; 0 in artificial events.
    pub timestamp: u32,
    /// What follows.
    pub event_type: EventType,
    /// `server_id` of the server that wrote the event first.
    pub server_id: u32,
    /// Bytes of the whole event: header, body and checksum.
    pub length: u32,
    /// Offset of the next event in the source's file, modulo 2^32; 0 in artificial events and, from 11.8, inside
    /// transactions.
    pub end_position: u32,
    /// `LOG_EVENT_*_F`.
    pub flags: u16,
}

impl EventHeader {
    /// The file was not closed: set in the FORMAT_DESCRIPTION of a log in use, and for ever after a crash.
    pub const IN_USE: u16 = 0x1;
    /// Made up for the stream, in no file of the source.
    pub const ARTIFICIAL: u16 = 0x20;
    /// Written by a replica into its relay log for itself.
    pub const RELAY_LOG: u16 = 0x40;

    /// Reads the header at the front of `bytes`.
    pub fn read(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            timestamp: reader.u32("timestamp")?,
            event_type: EventType(reader.u8("event type")?),
            server_id: reader.u32("server id")?,
            length: reader.u32("event length")?,
            end_position: reader.u32("end position")?,
            flags: reader.u16("flags")?,
        })
    }

    /// True when the end position says that the event begins at `offset` of its file and has this length.
    #[must_use]
    pub fn ends_at(&self, offset: u64) -> bool {
        /// End positions are counted modulo 2^32.
        const LOW: u64 = u32::MAX as u64;
        self.end_position != 0 && u64::from(self.end_position) == (offset + u64::from(self.length)) & LOW
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [t0, t1, t2, t3] = self.timestamp.to_le_bytes();
        let [s0, s1, s2, s3] = self.server_id.to_le_bytes();
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        let [e0, e1, e2, e3] = self.end_position.to_le_bytes();
        let [f0, f1] = self.flags.to_le_bytes();
        let kind = self.event_type.0;
        [t0, t1, t2, t3, kind, s0, s1, s2, s3, l0, l1, l2, l3, e0, e1, e2, e3, f0, f1]
    }
}

/// One whole event of a file, its checksum verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where its header starts in the file.
    pub offset: u64,
    /// The common header.
    pub header: EventHeader,
    /// What of the body is needed.
    pub body: EventBody,
}

impl Event {
    /// Offset of the byte after the event.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.header.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_as_written() {
        let header = EventHeader {
            timestamp: 1,
            event_type: EventType::GTID,
            server_id: 0x8000_0001,
            length: 42,
            end_position: 300,
            flags: EventHeader::ARTIFICIAL,
        };
        assert_eq!(EventHeader::read(&header.to_bytes()), Ok(header));
        assert_eq!(EventHeader::read(&[0; 18]).unwrap_err().field, "flags");
        assert_eq!(EventType::GTID.to_string(), "GTID");
        assert_eq!(EventType(99).to_string(), "type 99");
    }
}
