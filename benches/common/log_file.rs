//! Binary logs of row events as a server writes them, made without one: `CREATE TABLE d.t (a INT, v VARCHAR(2000))`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use beachmaster::binlog::{EventHeader, EventType, HEADER_LEN};

/// `server_id` of all events.
const SERVER: u32 = 1;
/// `binlog_row_event_max_size`: rows of a statement go into events of about this size.
const ROWS_EVENT: usize = 8192;
const CRC: usize = 4;

/// What each transaction is.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Rows of its one statement.
    pub rows: usize,
    /// Bytes of `v`.
    pub row_size: usize,
}

/// A log file that grows by transactions of server 1 in domain 0.
pub struct LogFile {
    file: BufWriter<File>,
    /// Bytes written.
    pub size: u64,
    /// Events written.
    pub events: u64,
    /// Sequence number of the last transaction.
    pub sequence: u64,
    bytes: Vec<u8>,
}

impl LogFile {
    /// A file that begins behind transaction `sequence`; 0 for none.
    pub fn begin(path: &Path, sequence: u64) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut log = Self { file, size: 0, events: 0, sequence, bytes: Vec::new() };
        log.file.write_all(b"\xfebin")?;
        log.size = 4;
        log.event(EventType::FORMAT_DESCRIPTION, &format_description())?;
        log.event(EventType::GTID_LIST, &gtid_list(sequence))?;
        log.event(EventType::BINLOG_CHECKPOINT, b"\x0a\0\0\0bin.000001")?;
        Ok(log)
    }

    /// GTID, ANNOTATE_ROWS, TABLE_MAP, WRITE_ROWS_V1 …, XID.
    pub fn transaction(&mut self, shape: Shape) -> io::Result<()> {
        /// Transactional, and may be applied in parallel.
        const FLAGS: u8 = 0x4 | 0x8;
        self.sequence += 1;
        let gtid = [&self.sequence.to_le_bytes()[..], &[0, 0, 0, 0, FLAGS, 0, 0, 0, 0, 0, 0]].concat();
        self.event(EventType::GTID, &gtid)?;
        self.event(EventType::ANNOTATE_ROWS, b"INSERT INTO t SELECT seq, REPEAT(MD5(seq), 31) FROM seq_1_to_100")?;
        self.event(EventType::TABLE_MAP, &table_map())?;
        let rows_in_event = (ROWS_EVENT / (shape.row_size + 7)).max(1);
        let mut left = shape.rows;
        while left > 0 {
            let now = left.min(rows_in_event);
            left -= now;
            self.event(EventType::WRITE_ROWS_V1, &rows(now, shape.row_size, left == 0))?;
        }
        self.event(EventType::XID, &self.sequence.to_le_bytes())
    }

    /// ROTATE, as at the end of a file that was closed.
    pub fn rotated(mut self, next: &str) -> io::Result<()> {
        self.event(EventType::ROTATE, &[b"\x04\0\0\0\0\0\0\0", next.as_bytes()].concat())?;
        self.file.flush()
    }

    /// The file stays open, as in a crash.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn event(&mut self, event_type: EventType, body: &[u8]) -> io::Result<()> {
        let length = HEADER_LEN + body.len() + CRC;
        self.size += length as u64;
        let header = EventHeader {
            timestamp: 1_700_000_000,
            event_type,
            server_id: SERVER,
            length: u32::try_from(length).map_err(io::Error::other)?,
            // Modulo 2^32, as the server does.
            end_position: self.size as u32,
            flags: 0,
        };
        self.events += 1;
        self.bytes.clear();
        self.bytes.extend(header.to_bytes());
        self.bytes.extend(body);
        let crc = crc32fast::hash(&self.bytes);
        self.bytes.extend(crc.to_le_bytes());
        self.file.write_all(&self.bytes)
    }
}

/// Writes the index of the logs `bin` in `directory`.
pub fn index(directory: &Path, names: &[String]) -> io::Result<()> {
    fs::write(directory.join("bin.index"), names.iter().map(|name| format!("./{name}\n")).collect::<String>())
}

fn format_description() -> Vec<u8> {
    const CRC32: u8 = 1;
    let mut body = vec![4, 0];
    body.extend(b"10.11.14-MariaDB-log");
    body.resize(2 + 50 + 4, 0);
    body.push(19);
    body.extend([0; 171]);
    body.push(CRC32);
    body
}

fn gtid_list(sequence: u64) -> Vec<u8> {
    if sequence == 0 {
        return vec![0; 6];
    }
    [&[1, 0, 0, 0, 0, 0, 0, 0][..], &SERVER.to_le_bytes(), &sequence.to_le_bytes()].concat()
}

fn table_map() -> Vec<u8> {
    // Table id, flags, names, two columns: INT and VARCHAR with its length, neither NOT NULL.
    let mut body = vec![20, 0, 0, 0, 0, 0, 1, 0];
    body.extend(b"\x01d\0\x01t\0");
    body.extend([2, 3, 15, 2]);
    body.extend(2000_u16.to_le_bytes());
    body.push(3);
    body
}

fn rows(count: usize, size: usize, ends_statement: bool) -> Vec<u8> {
    let mut body = vec![20, 0, 0, 0, 0, 0, u8::from(ends_statement), 0, 2, 0xff];
    for row in 0..count {
        body.push(0xfc);
        body.extend((row as u32).to_le_bytes());
        body.extend((size as u16).to_le_bytes());
        body.resize(body.len() + size, b'a' + (row % 26) as u8);
    }
    body
}
