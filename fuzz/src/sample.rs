//! Log files made in memory.

use crate::binlog::{Checksum, EventHeader, EventType, HEADER_LEN};

const MAGIC: [u8; 4] = *b"\xfebin";

/// A log file that grows by events; each has its length, end position and checksum right.
pub struct LogFile {
    pub bytes: Vec<u8>,
    checksum: Checksum,
}

impl LogFile {
    /// Magic number and FORMAT_DESCRIPTION with these flags.
    pub fn new(checksum: Checksum, flags: u16) -> Self {
        let mut file = Self { bytes: MAGIC.to_vec(), checksum: Checksum::Crc32 };
        let mut body = vec![4, 0];
        body.extend(b"10.11.19-MariaDB-log");
        body.resize(52, 0);
        body.extend([9, 9, 9, 9, 19]);
        body.extend([0; 171]);
        body.push(u8::from(checksum == Checksum::Crc32));
        file.event(EventType::FORMAT_DESCRIPTION, flags, &body);
        file.checksum = checksum;
        file
    }

    pub fn event(&mut self, event_type: EventType, flags: u16, body: &[u8]) {
        let length = (HEADER_LEN + body.len() + self.checksum.length()) as u32;
        let end_position = self.bytes.len() as u32 + length;
        let header = EventHeader { timestamp: 7, event_type, server_id: 1, length, end_position, flags };
        let event = [&header.to_bytes()[..], body].concat();
        self.bytes.extend(&event);
        if self.checksum == Checksum::Crc32 {
            self.bytes.extend(crc32fast::hash(&event).to_le_bytes());
        }
    }

    /// START_ENCRYPTION with a nonce of zero bytes.
    pub fn encrypted(mut self) -> Self {
        let mut body = vec![1, 1, 0, 0, 0];
        body.extend([0; 12]);
        self.event(EventType::START_ENCRYPTION, 0, &body);
        self
    }

    /// A GTID_LIST that names the transaction 0-1-`sequence`, or none.
    pub fn after(mut self, sequence: u64) -> Self {
        let mut body = vec![u8::from(sequence > 0), 0, 0, 0];
        if sequence > 0 {
            body.extend([0, 0, 0, 0, 1, 0, 0, 0]);
            body.extend(sequence.to_le_bytes());
        }
        self.event(EventType::GTID_LIST, 0, &body);
        self
    }

    /// The transaction 0-1-`sequence` with rows of `size` bytes.
    pub fn transaction(mut self, sequence: u64, size: usize) -> Self {
        let mut gtid = sequence.to_le_bytes().to_vec();
        gtid.extend([0; 11]);
        self.event(EventType::GTID, 0, &gtid);
        self.event(EventType::TABLE_MAP, 0, &[1; 20]);
        self.event(EventType::WRITE_ROWS_V1, 0, &vec![1; size]);
        self.event(EventType::XID, 0, &[3; 8]);
        self
    }
}
