//! Events a primary makes up for the stream; they are in no file.

use super::body::FormatDescription;
use super::checksum::Checksum;
use super::event::EventHeader;
use super::event_type::{EventType, HEADER_LEN};
use super::file::Head;
use crate::gtid::GtidPosition;

/// Offset of `created` in the body of a FORMAT_DESCRIPTION: after version and server name.
const CREATED: std::ops::Range<usize> = 52..56;

/// ROTATE: what follows comes from `position` of `file`.
#[must_use]
pub(crate) fn rotate(server_id: u32, file: &str, position: u64, checksum: Checksum) -> Vec<u8> {
    let mut body = position.to_le_bytes().to_vec();
    body.extend(file.as_bytes());
    artificial(EventType::ROTATE, server_id, 0, &body, checksum)
}

/// GTID_LIST: the stream starts after `position`.
#[must_use]
pub(crate) fn gtid_list(server_id: u32, position: &GtidPosition, checksum: Checksum) -> Vec<u8> {
    artificial(EventType::GTID_LIST, server_id, 0, &list(position, 0), checksum)
}

/// GTID_LIST: everything up to `position`, the end the replica asked for, was sent.
#[must_use]
pub(crate) fn until_reached(server_id: u32, position: &GtidPosition, checksum: Checksum) -> Vec<u8> {
    /// `Gtid_list_log_event::FLAG_UNTIL_REACHED`, in the upper bits of the count.
    const UNTIL_REACHED: u32 = 1 << 28;
    artificial(EventType::GTID_LIST, server_id, 0, &list(position, UNTIL_REACHED), checksum)
}

fn list(position: &GtidPosition, flags: u32) -> Vec<u8> {
    let count = u32::try_from(position.domains()).unwrap_or(u32::MAX);
    let mut body = (count | flags).to_le_bytes().to_vec();
    for gtid in position.iter() {
        body.extend(gtid.domain.to_le_bytes());
        body.extend(gtid.server.to_le_bytes());
        body.extend(gtid.sequence.to_le_bytes());
    }
    if position.is_empty() {
        // The server pads an empty list to six bytes (`Gtid_list_log_event::write`).
        body.extend([0, 0]);
    }
    body
}

/// HEARTBEAT: alive, nothing new after `position` of `file`. A position from 4 GiB on stands in front of the name, behind an
/// end position of 0 (`HB_SUB_HEADER_LEN`, `send_heartbeat_event` in `sql/sql_repl.cc`).
#[must_use]
pub(crate) fn heartbeat(server_id: u32, file: &str, position: u64, checksum: Checksum) -> Vec<u8> {
    let event = |end_position, body: &[u8]| artificial(EventType::HEARTBEAT, server_id, end_position, body, checksum);
    match u32::try_from(position) {
        Ok(end_position) => event(end_position, file.as_bytes()),
        Err(_) => event(0, &[&position.to_le_bytes(), file.as_bytes()].concat()),
    }
}

/// The file's own FORMAT_DESCRIPTION for the stream, marked as closed. When the stream starts inside the file
/// (`midway`), also without its creation time: with it the replica would drop temporary tables.
#[must_use]
pub(crate) fn format_description_for(head: &Head, midway: bool) -> Vec<u8> {
    let mut body = head.format.body.clone();
    if midway && let Some(created) = body.get_mut(CREATED) {
        created.fill(0);
    }
    let length = head.format.length();
    let header = EventHeader {
        timestamp: 0,
        event_type: EventType::FORMAT_DESCRIPTION,
        server_id: head.server_id,
        length: u32::try_from(length).unwrap_or(u32::MAX),
        // The event stands at the front of its file, behind 4 bytes of magic number.
        end_position: if midway { 0 } else { u32::try_from(length + 4).unwrap_or(0) },
        flags: 0,
    };
    with_checksum(header, &body, Checksum::Crc32)
}

/// A FORMAT_DESCRIPTION as it stands at the front of a closed file.
pub(super) fn plain_format_description(server_id: u32, format: &FormatDescription) -> Vec<u8> {
    let length = u32::try_from(format.length()).unwrap_or(u32::MAX);
    let event_type = EventType::FORMAT_DESCRIPTION;
    let header =
        EventHeader { timestamp: 0, event_type, server_id, length, end_position: length.saturating_add(4), flags: 0 };
    with_checksum(header, &format.body, Checksum::Crc32)
}

/// A GTID_LIST as it stands at the offset `at` of a file.
pub(super) fn plain_gtid_list(server_id: u32, position: &GtidPosition, checksum: Checksum, at: usize) -> Vec<u8> {
    let body = list(position, 0);
    let length = HEADER_LEN + body.len() + checksum.length();
    let header = EventHeader {
        timestamp: 0,
        event_type: EventType::GTID_LIST,
        server_id,
        length: u32::try_from(length).unwrap_or(u32::MAX),
        end_position: u32::try_from(at + length).unwrap_or(u32::MAX),
        flags: 0,
    };
    with_checksum(header, &body, checksum)
}

fn artificial(event_type: EventType, server_id: u32, end_position: u32, body: &[u8], checksum: Checksum) -> Vec<u8> {
    let length = HEADER_LEN + body.len() + checksum.length();
    let header = EventHeader {
        timestamp: 0,
        event_type,
        server_id,
        length: u32::try_from(length).unwrap_or(u32::MAX),
        end_position,
        flags: EventHeader::ARTIFICIAL,
    };
    with_checksum(header, body, checksum)
}

fn with_checksum(header: EventHeader, body: &[u8], checksum: Checksum) -> Vec<u8> {
    let mut event = header.to_bytes().to_vec();
    event.extend(body);
    if checksum == Checksum::Crc32 {
        let crc = crc32fast::hash(&event);
        event.extend(crc.to_le_bytes());
    }
    event
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_from_4_gib_on_has_its_position_in_front_of_the_name() {
        let parts = |position| {
            let event = heartbeat(7, "bin.000001", position, Checksum::Crc32);
            let header = EventHeader::read(&event).unwrap();
            assert_eq!(header.length as usize, event.len());
            (header.end_position, event[HEADER_LEN..event.len() - 4].to_vec())
        };
        assert_eq!(parts(0xffff_ffff), (u32::MAX, b"bin.000001".to_vec()));
        assert_eq!(parts(0x1_0000_0000), (0, b"\0\0\0\0\x01\0\0\0bin.000001".to_vec()));
        assert_eq!(parts(0x2_0000_0104), (0, b"\x04\x01\0\0\x02\0\0\0bin.000001".to_vec()));
    }
}
