//! The packet layer: packets arrive in any pieces, are written in any pieces, and too long ones are refused.

use crate::packet::{MAX_PACKET, PacketReader, PacketWriter, ProtocolError};

pub fn run(data: &[u8]) {
    let Some((mode, chunk, rest)) = crate::split(data) else { return };
    let limit = if mode & 1 == 0 { 4096 } else { MAX_PACKET };
    assert_eq!(read(rest, usize::MAX, limit), read(rest, chunk, limit), "the pieces make a difference");
    written_packets_read_back(mode, chunk, rest);
}

type Found = (Vec<(u8, Vec<u8>)>, Option<ProtocolError>);

fn read(bytes: &[u8], chunk: usize, limit: usize) -> Found {
    let mut reader = PacketReader::default();
    let mut packets = Vec::new();
    for piece in bytes.chunks(chunk) {
        reader.feed(piece);
        loop {
            match reader.next(limit) {
                Ok(Some(packet)) => packets.push((packet.sequence, packet.payload)),
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
    }
    assert!(packets.iter().all(|(_, payload)| payload.len() <= limit));
    (packets, None)
}

fn written_packets_read_back(sequence: u8, chunk: usize, bytes: &[u8]) {
    let payloads: Vec<&[u8]> = crate::parts(bytes).collect();
    let mut writer = PacketWriter::new(sequence);
    let mut out = Vec::new();
    for payload in &payloads {
        writer.begin(&mut out, payload.len());
        payload.chunks(chunk).for_each(|piece| writer.write(&mut out, piece));
    }
    let (packets, error) = read(&out, chunk, MAX_PACKET);
    assert_eq!(error, None);
    assert_eq!(packets.len(), payloads.len());
    for (number, ((found, payload), expected)) in packets.iter().zip(payloads).enumerate() {
        assert_eq!((*found, payload.as_slice()), (sequence.wrapping_add(number as u8), expected));
    }
}
