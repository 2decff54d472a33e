//! What the end positions in the headers of events are counted from.
//!
//! In a binary log they are the file's own offsets. In a relay log the replica's events are so, too, but the source's
//! have offsets of the source's file (from 11.8 on 0 inside of transactions): what is added to the file's own offsets only
//! grows while the source's file is the same, because there are events that a replica is not sent or does not keep.

use super::event::EventHeader;
use super::event_type::EventType;

/// Follows the events of one file.
#[derive(Debug, Default)]
pub(super) struct EndPositions {
    /// The file is a relay log.
    pub(crate) is_relay_log: bool,
    /// In a relay log: what is added to offsets, modulo 2^32, when events of the source's current file have told.
    shift: Option<u32>,
}

impl EndPositions {
    /// False when the end position of an event at `offset` contradicts its length.
    pub(crate) fn agree(&self, offset: u64, header: EventHeader) -> bool {
        if header.end_position == 0 {
            return true;
        }
        // The STOP of a relay log is the replica's own, too, but not marked as such.
        if header.end_position == end(offset, header, 0) {
            return true;
        }
        if self.is_of_this_file(header) {
            return false;
        }
        // What the source sent compressed is longer here than there, so only its beginning is known.
        let length = if can_be_compressed(header.event_type) { 1 } else { header.length };
        let least = |shift| end(offset, EventHeader { length, ..header }, shift);
        // Numbers modulo 2^32: half of them are ahead, half behind.
        self.shift.is_none_or(|shift| header.end_position.wrapping_sub(least(shift)) <= u32::MAX / 2)
    }

    /// An event was read.
    pub(crate) fn passed(&mut self, offset: u64, header: EventHeader) {
        let is_format = header.event_type == EventType::FORMAT_DESCRIPTION;
        self.is_relay_log |= is_format && header.flags & EventHeader::RELAY_LOG != 0;
        // START_ENCRYPTION is of the file, but not marked as such.
        let begins = is_format || [EventType::ROTATE, EventType::START_ENCRYPTION].contains(&header.event_type);
        // An event that came compressed, and does not tell where it ended.
        let is_of_unknown_length = header.end_position == 0 && can_be_compressed(header.event_type);
        if begins || is_of_unknown_length || header.flags & EventHeader::ARTIFICIAL != 0 {
            self.shift = None;
        } else if header.end_position != 0 {
            self.shift = Some(header.end_position.wrapping_sub(end(offset, header, 0)));
        }
    }

    /// True for a FORMAT_DESCRIPTION whose checksum nobody computes: a source that writes none changes the event without
    /// it when a stream begins in the middle of a file (`send_format_descriptor_event` in `sql/sql_repl.cc`).
    pub(crate) fn is_changed_by_the_source(&self, header: EventHeader) -> bool {
        let is_format = header.event_type == EventType::FORMAT_DESCRIPTION;
        is_format && header.end_position == 0 && !self.is_of_this_file(header)
    }

    fn is_of_this_file(&self, header: EventHeader) -> bool {
        !self.is_relay_log || header.flags & EventHeader::RELAY_LOG != 0
    }
}

/// With `log_bin_compress` these are sent compressed, and the replica uncompresses them (`sql/slave.cc`, `queue_event`).
fn can_be_compressed(event_type: EventType) -> bool {
    event_type == EventType::QUERY || event_type.is_rows()
}

/// Where an event ends, modulo 2^32.
#[allow(clippy::cast_possible_truncation, reason = "end positions are counted modulo 2^32")]
fn end(offset: u64, header: EventHeader, shift: u32) -> u32 {
    (offset as u32).wrapping_add(header.length).wrapping_add(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: EventType, length: u32, end_position: u32, flags: u16) -> EventHeader {
        EventHeader { timestamp: 7, event_type, server_id: 1, length, end_position, flags }
    }

    #[test]
    fn in_a_binary_log_they_are_offsets() {
        let mut ends = EndPositions::default();
        ends.passed(4, event(EventType::FORMAT_DESCRIPTION, 252, 256, EventHeader::IN_USE));
        assert!(ends.agree(256, event(EventType::XID, 31, 287, 0)));
        assert!(ends.agree(256, event(EventType::XID, 31, 0, 0)));
        assert!(!ends.agree(256, event(EventType::XID, 32, 287, 0)));
        assert!(ends.agree(5 << 32, event(EventType::XID, 31, 31, 0)));
        assert!(!ends.is_changed_by_the_source(event(EventType::FORMAT_DESCRIPTION, 252, 0, 0)));
    }

    #[test]
    fn in_a_relay_log_they_are_offsets_of_the_source_s_file() {
        let mut ends = EndPositions::default();
        ends.passed(4, event(EventType::FORMAT_DESCRIPTION, 252, 256, EventHeader::RELAY_LOG));
        ends.passed(256, event(EventType::START_ENCRYPTION, 40, 296, 0));
        assert!(ends.agree(296, event(EventType::ROTATE, 41, 884_991, 0)), "nothing is known yet");
        ends.passed(256, event(EventType::ROTATE, 41, 0, EventHeader::ARTIFICIAL));
        let format = event(EventType::FORMAT_DESCRIPTION, 252, 0, 0);
        assert!(ends.is_changed_by_the_source(format));
        ends.passed(297, format);
        assert!(ends.agree(549, event(EventType::GTID, 42, 90_000, 0)), "nothing is known yet");
        ends.passed(549, event(EventType::GTID, 42, 90_000, 0));
        ends.passed(591, event(EventType::TABLE_MAP, 50, 0, 0));
        assert!(ends.agree(641, event(EventType::XID, 31, 90_081, 0)));
        assert!(!ends.agree(641, event(EventType::XID, 33, 90_081, 0)));
        assert!(ends.agree(641, event(EventType::ROTATE, 43, 684, EventHeader::RELAY_LOG)));
        assert!(!ends.agree(641, event(EventType::ROTATE, 43, 90_093, EventHeader::RELAY_LOG)));
    }
}
