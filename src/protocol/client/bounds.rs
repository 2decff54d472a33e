//! How much is taken of a server.

/// What an answer may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Rows of a result.
    pub(crate) rows: usize,
    /// Bytes of its columns and rows.
    pub(crate) bytes: usize,
}

impl Bounds {
    /// The longest packet: one that is split into several is taken as too long.
    pub(super) fn packet(self) -> usize {
        self.bytes.min(0xff_fffe)
    }
}
