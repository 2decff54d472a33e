//! Packets: 3 bytes length, 1 byte sequence number, payload. Longer payloads go in several packets.

use thiserror::Error;

use crate::binlog::FieldError;

/// Bytes of a packet's header.
const HEADER: usize = 4;
/// The longest payload of one packet; a packet of this length is followed by another one.
const FULL: usize = 0xff_ffff;
/// The longest packet that the binlog server takes. A replica's longest is its GTID position (30 bytes a domain).
pub(crate) const MAX_PACKET: usize = 1 << 20;
/// Before the login less is needed, on either side, and strangers may not make us keep more.
pub(super) const MAX_LOGIN_PACKET: usize = 4096;

/// Why a connection is dropped: the other side does not speak the protocol as it must.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ProtocolError {
    /// More than any honest peer sends: no MariaDB, or a hostile one.
    #[error("a packet of {length} bytes is announced; at most {limit} are accepted")]
    TooLong {
        /// Announced length.
        length: usize,
        /// What is taken at this point.
        limit: usize,
    },
    /// Packets were lost or this is another protocol.
    #[error("a packet has sequence number {found}, expected {expected}")]
    Sequence {
        /// The number in the packet.
        found: u8,
        /// The number due.
        expected: u8,
    },
    /// A packet without its fields.
    #[error("a packet is malformed: {0}")]
    Field(#[from] FieldError),
    /// A packet without its first byte, which says what it is.
    #[error("a packet is empty")]
    Empty,
    /// The client wants TLS, which the greeting did not offer.
    #[error("the client asks for TLS, which this server does not offer: set MASTER_SSL=0")]
    Tls,
    /// The client speaks the protocol of before 4.1.
    #[error("the client does not speak protocol 4.1 with secure authentication")]
    Old,
}

/// A packet from the other side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(crate) sequence: u8,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    /// An error unless this is the packet that is due.
    pub(crate) fn expect(&self, sequence: u8) -> Result<(), ProtocolError> {
        if self.sequence == sequence {
            return Ok(());
        }
        Err(ProtocolError::Sequence { found: self.sequence, expected: sequence })
    }
}

/// Collects packets from bytes; keeps no more than one packet of the limit and one chunk of input.
#[derive(Debug, Default)]
pub(super) struct PacketReader {
    buffer: Vec<u8>,
}

impl PacketReader {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet, when it is there as a whole.
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<Packet>, ProtocolError> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER>() else { return Ok(None) };
        let [low, middle, high, sequence] = *header;
        let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        if length > limit {
            return Err(ProtocolError::TooLong { length, limit });
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let payload = payload.to_vec();
        self.buffer.drain(..HEADER + length);
        Ok(Some(Packet { sequence, payload }))
    }
}

/// Writes payloads as packets; a payload may come in pieces.
#[derive(Debug)]
pub(super) struct PacketWriter {
    sequence: u8,
    /// Bytes of the payload not yet written.
    payload_left: usize,
    /// Bytes of the current packet not yet written.
    packet_left: usize,
    /// The current packet has the greatest length, so another one follows, be it empty.
    full: bool,
}

impl PacketWriter {
    /// A writer whose first packet has this sequence number.
    pub(crate) fn new(sequence: u8) -> Self {
        Self { sequence, payload_left: 0, packet_left: 0, full: false }
    }

    /// One whole payload.
    pub(crate) fn payload(&mut self, out: &mut Vec<u8>, payload: &[u8]) {
        self.begin(out, payload.len());
        self.write(out, payload);
    }

    /// Begins a payload of `length` bytes.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>, length: usize) {
        self.payload_left = length;
        self.header(out);
    }

    /// Writes the next bytes of the payload; bytes beyond its length are ignored.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.payload_left > 0 {
            let (now, later) = bytes.split_at_checked(self.packet_left).unwrap_or((bytes, &[]));
            out.extend_from_slice(now);
            self.packet_left -= now.len();
            self.payload_left -= now.len();
            bytes = later;
            if self.packet_left == 0 && self.full {
                self.header(out);
            }
        }
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        self.packet_left = self.payload_left.min(FULL);
        self.full = self.packet_left == FULL;
        let [low, middle, high, ..] = self.packet_left.to_le_bytes();
        out.extend([low, middle, high, self.sequence]);
        self.sequence = self.sequence.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(mut out: &[u8]) -> Vec<(usize, u8)> {
        let mut found = Vec::new();
        while let Some(([low, middle, high, sequence], rest)) = out.split_first_chunk::<HEADER>() {
            let length = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
            found.push((length, *sequence));
            out = &rest[length..];
        }
        found
    }

    #[test]
    fn a_payload_of_16_mib_or_more_goes_in_several_packets() {
        for (length, expected) in [
            (0, vec![(0, 254)]),
            (FULL - 1, vec![(FULL - 1, 254)]),
            (FULL, vec![(FULL, 254), (0, 255)]),
            (2 * FULL + 5, vec![(FULL, 254), (FULL, 255), (5, 0)]),
        ] {
            let mut writer = PacketWriter::new(254);
            let mut out = Vec::new();
            writer.begin(&mut out, length);
            for piece in vec![7; length].chunks(1 << 20) {
                writer.write(&mut out, piece);
            }
            assert_eq!(lengths(&out), expected, "{length}");
        }
    }

    #[test]
    fn packets_arrive_in_any_pieces_and_too_long_ones_are_refused_by_their_header() {
        let mut reader = PacketReader::default();
        for byte in [3, 0, 0, 9, b'a', b'b'] {
            reader.feed(&[byte]);
            assert_eq!(reader.next(100), Ok(None));
        }
        reader.feed(b"c\x00\x00\x00\x0a");
        assert_eq!(reader.next(100), Ok(Some(Packet { sequence: 9, payload: b"abc".to_vec() })));
        assert_eq!(reader.next(100), Ok(Some(Packet { sequence: 10, payload: Vec::new() })));
        reader.feed(b"GET / HTTP/1.1\r\n");
        assert_eq!(reader.next(100), Err(ProtocolError::TooLong { length: 0x54_4547, limit: 100 }));
    }
}
