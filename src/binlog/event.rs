//! The header common to all events.

use super::body::EventBody;
use super::event_type::{EventType, HEADER_LEN};
use super::reader::{FieldError, Reader};

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
    pub(crate) const IN_USE: u16 = 0x1;
    /// Made up for the stream, in no file of the source.
    pub(crate) const ARTIFICIAL: u16 = 0x20;
    /// Written by a replica into its relay log for itself.
    pub const RELAY_LOG: u16 = 0x40;

    /// Reads the header at the front of `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, FieldError> {
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
    pub(crate) fn ends_at(&self, offset: u64) -> bool {
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
