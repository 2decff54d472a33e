//! Names of XA transactions.

use std::fmt;

use super::reader::{FieldError, Reader};

/// Longest `gtrid` plus `bqual` (`XIDDATASIZE`).
const DATA: usize = 128;

/// The name of an XA transaction, as MariaDB keeps it (`struct xid_t`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Xid {
    format: u32,
    gtrid: usize,
    bqual: usize,
    data: [u8; DATA],
}

impl Xid {
    /// From what XA RECOVER shows: `data` is `gtrid` followed by `bqual`. `None` when it is longer than names can be.
    #[must_use]
    pub(crate) fn new(format: u32, gtrid: usize, data: &[u8]) -> Option<Self> {
        let bqual = data.len().checked_sub(gtrid)?;
        let mut kept = [0; DATA];
        kept.get_mut(..data.len())?.copy_from_slice(data);
        Some(Self { format, gtrid, bqual, data: kept })
    }

    /// From a GTID event: format u32, two lengths u8, the bytes (`Gtid_log_event`).
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, FieldError> {
        let format = reader.u32("XA format id")?;
        let gtrid = usize::from(reader.u8("gtrid length")?);
        let bqual = usize::from(reader.u8("bqual length")?);
        let data = reader.bytes("XA name", gtrid + bqual)?;
        Self::new(format, gtrid, data).ok_or(FieldError { field: "XA name", needed: gtrid + bqual, left: DATA })
    }
}

/// As SQL takes it: `X'67',X'',1`.
impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            f.write_str("X'")?;
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str("',")
        };
        let (gtrid, rest) = self.data.split_at_checked(self.gtrid).unwrap_or_default();
        hex(f, gtrid)?;
        hex(f, rest.get(..self.bqual).unwrap_or_default())?;
        write!(f, "{}", self.format)
    }
}

impl fmt::Debug for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_and_written_as_sql_takes_it() {
        let event = [1, 0, 0, 0, 2, 1, b'g', b'1', b'b', 9];
        let read = Xid::read(&mut Reader::new(&event)).unwrap();
        assert_eq!(read.to_string(), "X'6731',X'62',1");
        assert_eq!(Xid::new(1, 2, b"g1b"), Some(read));
        assert_ne!(Xid::new(1, 1, b"g1b"), Some(read), "the same bytes, cut elsewhere");
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        assert_eq!(Xid::new(1, 3, b"g1"), None);
        assert_eq!(Xid::new(1, 1, &[0; 129]), None);
        assert!(Xid::read(&mut Reader::new(&[1, 0, 0, 0, 200, 200])).is_err());
        assert!(Xid::read(&mut Reader::new(&[&[1, 0, 0, 0, 100, 100][..], &[7; 200]].concat())).is_err());
    }
}
