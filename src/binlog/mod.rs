//! Reading MariaDB's binary logs: bytes in, events, groups and positions out.
//!
//! Here belongs what is known of the file format: framing, checksums, the events the operator must understand, where
//! groups end, the index file, and which file holds a GTID. Not here: files and sockets (callers feed bytes), and how
//! events travel to a replica (`protocol`). Nothing here panics on any input or allocates by a length read from it.
//!
//! Formats: MariaDB Knowledge Base, "Replication Protocol", and `sql/log_event.h` of the server.

mod artificial;
mod body;
mod catalogue;
mod checksum;
mod classified_groups;
mod encryption;
mod end_positions;
mod event;
mod event_type;
mod file;
mod group;
mod index;
mod inspect;
mod pending;
mod ranges;
mod reader;
mod repair;
mod scan_result;
mod scanner;
mod splice;
mod whole_event;
mod xid;

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod proptests;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use artificial::{format_description_for, gtid_list, heartbeat, rotate, until_reached};
pub use body::{
    BodyError, EventBody, FormatDescription, GtidEvent, GtidFlags, Rotate, StartEncryption, XaOutcome, bytes_needed,
    decode,
};
pub(crate) use catalogue::{Catalogue, LogEnd, NoStart, Start};
pub(crate) use checksum::Checksum;
pub(crate) use classified_groups::{KnownGroup, KnownGroups, KnownHead};
pub use encryption::{Algorithm, Decryptor, FileCipher, KeyError, Keys};
pub use event::{Event, EventHeader};
pub use event_type::{EventType, HEADER_LEN};
pub use file::{FileScan, FileScanner, Head, is_at_or_before};
pub use group::{Group, GroupError, GroupStep, GroupTracker};
pub(crate) use index::{IndexError, LogName, parse_index, present};
pub use inspect::{End, Inspection, Inspector};
pub(crate) use ranges::GtidSet;
pub(crate) use reader::{FieldError, Reader};
pub(crate) use repair::{Again, Claims, Finish, Plan, Refusal, Review};
pub use scan_result::{Fault, Progress, ScanError, Torn, TornReason};
pub use scanner::Scanner;
pub(crate) use splice::{SpliceError, Spliced, Splicer};
pub(crate) use xid::Xid;
