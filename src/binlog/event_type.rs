//! The types of events, and the length of the header common to all of them.

use std::fmt;

/// The first bytes of every log file.
pub(super) const MAGIC: [u8; 4] = *b"\xfebin";
/// Bytes of the common header (binlog version 4).
pub const HEADER_LEN: usize = 19;

/// The type of an event, `enum Log_event_type` of the server. Unknown numbers pass through by their length.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventType(pub u8);

macro_rules! event_types {
    ($($name:ident = $number:literal),* $(,)?) => {
        impl EventType {
            $(#[doc = concat!("`", stringify!($name), "_EVENT`.")] pub const $name: Self = Self($number);)*

            /// The server's name of the type.
            #[must_use]
            pub(crate) fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

event_types! {
    QUERY = 2, STOP = 3, ROTATE = 4, INTVAR = 5, RAND = 13, USER_VAR = 14, FORMAT_DESCRIPTION = 15, XID = 16,
    BEGIN_LOAD_QUERY = 17, EXECUTE_LOAD_QUERY = 18, TABLE_MAP = 19, WRITE_ROWS_V1 = 23, UPDATE_ROWS_V1 = 24,
    DELETE_ROWS_V1 = 25, INCIDENT = 26, HEARTBEAT = 27, WRITE_ROWS = 30, UPDATE_ROWS = 31, DELETE_ROWS = 32,
    XA_PREPARE = 38, ANNOTATE_ROWS = 160, BINLOG_CHECKPOINT = 161, GTID = 162, GTID_LIST = 163, START_ENCRYPTION = 164,
    QUERY_COMPRESSED = 165, WRITE_ROWS_COMPRESSED_V1 = 166, UPDATE_ROWS_COMPRESSED_V1 = 167,
    DELETE_ROWS_COMPRESSED_V1 = 168, WRITE_ROWS_COMPRESSED = 169, UPDATE_ROWS_COMPRESSED = 170,
    DELETE_ROWS_COMPRESSED = 171,
}

impl EventType {
    /// True for the events that carry rows.
    #[must_use]
    pub(crate) fn is_rows(self) -> bool {
        matches!(self.0, 23..=25 | 30..=32 | 166..=171)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "type {}", self.0),
        }
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
