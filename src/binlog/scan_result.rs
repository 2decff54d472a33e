//! What scanning a log file comes to: events, a torn end, or an error with its place.

use thiserror::Error;

use super::body::BodyError;
use super::event::Event;
use super::event_type::EventType;
use crate::gtid::Gtid;

/// What [`Scanner::advance`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The next event.
    Event(Event),
    /// The input is used up; feed the bytes that follow it in the file.
    NeedMore,
    /// The file's size is reached; `Some` when its last bytes are no whole event.
    End(Option<Torn>),
}

/// A log that ends in the middle of something, as a crash leaves it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("torn at offset {offset}: {reason}")]
pub struct Torn {
    /// Where the incomplete part begins.
    pub(crate) offset: u64,
    /// What is incomplete.
    pub(crate) reason: TornReason,
}

/// What is incomplete at the end of a torn log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TornReason {
    /// Not even a header.
    #[error("{have} bytes are left, too few for an event header")]
    ShortHeader {
        /// Bytes present.
        have: u64,
    },
    /// A header, and a part of the body.
    #[error("a {event_type} event of {length} bytes has only {have}")]
    ShortEvent {
        /// Type of the event.
        event_type: EventType,
        /// Its length.
        length: u32,
        /// Bytes present.
        have: u64,
    },
    /// An event that cannot be read, and nothing but zero bytes (or nothing) after it: its blocks never reached the disk.
    #[error("{0}, with no data behind it")]
    LastEvent(Fault),
    /// All events are whole, the last group is not.
    #[error("transaction {0} has no end")]
    UnfinishedGroup(Gtid),
}

/// A place of a log that cannot be read although data follows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} at offset {offset}: {fault}", what = self.what())]
pub struct ScanError {
    /// Where the event begins.
    pub(crate) offset: u64,
    /// Its type, when its header could be read.
    pub(crate) event_type: Option<EventType>,
    /// What is wrong.
    pub(crate) fault: Fault,
}

impl ScanError {
    /// What cannot be read: the event by its type, else `bytes`.
    #[must_use]
    pub(crate) fn what(&self) -> String {
        self.event_type.map_or("bytes".to_owned(), |kind| format!("{kind} event"))
    }
}

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The file is no log.
    #[error("the file does not begin with the magic number of a MariaDB log")]
    Magic,
    /// The first event must say how the others are written.
    #[error("the file does not begin with a FORMAT_DESCRIPTION event")]
    NoFormat,
    /// A length no event can have.
    #[error("length {0} is shorter than an event's header and checksum")]
    TooShort(u32),
    /// A length this event never has.
    #[error("length {0} is too long for this event")]
    TooLong(u32),
    /// Length and end position contradict each other.
    #[error("length {length} reaches beyond the file and contradicts the end position {end_position}")]
    Length {
        /// Length in the header.
        length: u32,
        /// End position in the header.
        end_position: u32,
    },
    /// The end position says nothing of the length.
    #[error("length {length} reaches beyond the file, but a whole event follows at offset {next}")]
    Follows {
        /// Length in the header.
        length: u32,
        /// Offset of an event within that length.
        next: u64,
    },
    /// The bytes are not those that were written.
    #[error("checksum is {found:#010x}, the bytes give {computed:#010x}")]
    Checksum {
        /// What stands in the file.
        found: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// The body does not have its fields.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// What follows cannot be read without a key.
    #[error("the log is encrypted with version {key_version} of key 1, which is not available here: {missing}")]
    Encrypted {
        /// Version of the key that is needed.
        key_version: u32,
        /// Why there is no key, and what to do.
        missing: String,
    },
    /// Another way of encryption than any server known writes.
    #[error("encryption scheme {0} is not supported (only 1)")]
    Scheme(u8),
    /// Nothing sensible comes out.
    #[error("the first encrypted event cannot be read with the key given: is it the key this log was written with?")]
    WrongKey,
    /// A group begins inside another one, or a transaction's events stand outside of one.
    #[error(transparent)]
    Group(#[from] super::group::GroupError),
    /// The file's head has no GTID_LIST, so positions cannot be told.
    #[error("a transaction comes before the file's GTID_LIST")]
    NoGtidList,
    /// Sequence numbers must rise for a position to say what is missing (`gtid_strict_mode`).
    #[error("transaction {gtid} follows {after}: sequence numbers do not rise (was gtid_strict_mode off?)")]
    NotRising {
        /// The transaction.
        gtid: Gtid,
        /// The one before it in its domain.
        after: Gtid,
    },
}
