//! Looks for a whole event in bytes of which it is not known where events begin.
//!
//! Where the length of an event leads beyond the file, a crash may have cut the event off, or a disk may have changed its
//! length. Then whole events follow, and they give themselves away: an end position that is their offset and length, and a
//! right checksum. Only short ones are looked for: GTID, which begins a transaction, and XID, which ends one, are.

use super::checksum::Checksum;
use super::event::EventHeader;
use super::event_type::HEADER_LEN;

/// The longest event that is looked for: a GTID event with the longest XA name has 178 bytes and its checksum.
const LONGEST: usize = 256;
/// So many bytes are looked at together: more than the part that is looked at twice, and little memory.
const PIECE: usize = 64 << 10;

/// A search through the rest of a file.
#[derive(Debug)]
pub(super) struct WholeEventSearch {
    /// Offset in the file of the first byte of `window`.
    offset: u64,
    /// Bytes that an event may still begin in.
    window: Vec<u8>,
    /// Bytes of the file that are still to come.
    left: u64,
    checksum: Checksum,
    /// The end positions are those of another file, and only the checksum tells.
    is_relay_log: bool,
}

impl WholeEventSearch {
    /// From `offset` on, in a file of `size` bytes.
    pub(crate) fn new(offset: u64, size: u64, checksum: Checksum, is_relay_log: bool) -> Self {
        Self { offset, window: Vec::new(), left: size.saturating_sub(offset), checksum, is_relay_log }
    }

    /// Takes the next bytes; the offset of the first whole event, when there is one.
    pub(crate) fn feed(&mut self, input: &mut &[u8]) -> Option<u64> {
        let of_this_file = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let (bytes, rest) = input.split_at_checked(of_this_file).unwrap_or((input, &[]));
        *input = rest;
        bytes.chunks(PIECE).find_map(|piece| self.piece(piece))
    }

    /// True when the end of the file was reached.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }

    fn piece(&mut self, piece: &[u8]) -> Option<u64> {
        self.window.extend_from_slice(piece);
        self.left -= piece.len() as u64;
        // What begins later may be longer than the bytes that are here; at the end of the file nothing comes any more.
        let later = if self.is_done() { 0 } else { LONGEST - 1 };
        let starts = self.window.len().saturating_sub(later);
        let found = (0..starts).find(|start| self.is_whole_event(*start));
        if found.is_none() {
            self.window.drain(..starts);
            self.offset += starts as u64;
        }
        Some(self.offset + found? as u64)
    }

    fn is_whole_event(&self, start: usize) -> bool {
        let bytes = self.window.get(start..).unwrap_or_default();
        let overhead = HEADER_LEN + self.checksum.length();
        // The length alone rules out nearly every place.
        let length = bytes.get(9..13).and_then(|field| Some(u32::from_le_bytes(*field.first_chunk()?)));
        let Some(length) = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= LONGEST)
        else {
            return false;
        };
        let (Some(event), Ok(header)) = (bytes.get(..length), EventHeader::read(bytes)) else { return false };
        if length < overhead || header.event_type.name().is_none() {
            return false;
        }
        let ends_here = header.ends_at(self.offset + start as u64);
        match self.checksum {
            Checksum::None => ends_here,
            Checksum::Crc32 => (ends_here || self.is_relay_log) && has_its_checksum(event),
        }
    }
}

fn has_its_checksum(event: &[u8]) -> bool {
    event.split_last_chunk().is_some_and(|(checked, stored)| crc32fast::hash(checked) == u32::from_le_bytes(*stored))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::testing::LogFile;

    /// Searches in pieces of `chunk`.
    fn found(bytes: &[u8], from: usize, chunk: usize, checksum: Checksum, is_relay_log: bool) -> Option<u64> {
        let mut search = WholeEventSearch::new(from as u64, bytes.len() as u64, checksum, is_relay_log);
        let found = bytes[from..].chunks(chunk).find_map(|mut piece| search.feed(&mut piece));
        assert!(found.is_some() || search.is_done());
        found
    }

    #[test]
    fn the_first_whole_event_is_found_in_pieces_of_any_size() {
        for checksum in [Checksum::Crc32, Checksum::None] {
            let file = LogFile::new("", checksum).transaction("0-1-1", 70_000).transaction("0-1-2", 9);
            let (_, first) = file.ends[0];
            let xid = first - (HEADER_LEN + 8 + checksum.length()) as u64;
            for chunk in [1, 100, 1 << 20] {
                assert_eq!(found(&file.bytes, 500, chunk, checksum, false), Some(xid), "{checksum:?}");
            }
            let beyond = usize::try_from(first).unwrap() + 1;
            let end = file.bytes.len();
            assert!(found(&file.bytes, beyond, 50, checksum, false).is_some());
            assert_eq!(found(&file.bytes, end - 20, 50, checksum, false), None, "nothing whole is left");
            let moved = [&[0; 7], &file.bytes[..]].concat();
            assert_eq!(found(&moved, 500, 50, checksum, false), None, "an event of another place");
            let of_another_file = found(&moved, 507, 50, checksum, true);
            assert_eq!(of_another_file, (checksum == Checksum::Crc32).then_some(xid + 7));
        }
        assert_eq!(found(&[0; 9000], 4, 1000, Checksum::Crc32, true), None);
    }
}
