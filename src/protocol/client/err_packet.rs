//! An error that the server sent (`ERR_Packet`).

use crate::binlog::{FieldError, Reader};

/// An error that the server sent (`ERR_Packet`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The server's error number.
    pub(crate) code: u16,
    /// Its text, whatever bytes it had.
    pub(crate) message: String,
}

impl Refusal {
    /// Reads an error behind its first byte. Before the login it has no SQLSTATE.
    pub(super) fn read(rest: &[u8]) -> Result<Self, FieldError> {
        let mut reader = Reader::new(rest);
        let code = reader.u16("error number")?;
        let rest = reader.rest();
        let text = match rest.split_first() {
            Some((b'#', text)) => text.get(5..).unwrap_or_default(),
            _ => rest,
        };
        Ok(Self { code, message: String::from_utf8_lossy(text).into_owned() })
    }
}
