//! Where a stream of events begins.

use crate::gtid::GtidPosition;

/// Where a replica wants the stream to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// GTID mode: behind the transactions it has.
    After(GtidPosition),
    /// Position mode.
    At {
        /// Name of a file; empty for the first one.
        file: String,
        /// Offset of an event in it.
        offset: u64,
    },
}
