//! A bounded reader over bytes: each read either succeeds or names the field that did not fit.

use thiserror::Error;

/// A field that does not fit into the bytes it should stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{field} needs {needed} bytes, {left} are left")]
pub struct FieldError {
    /// Name of the field, as the format's description calls it.
    pub(crate) field: &'static str,
    /// Bytes the field needs.
    pub(crate) needed: usize,
    /// Bytes that were left.
    pub(crate) left: usize,
}

/// Reads little-endian fields from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next `count` bytes.
    pub(crate) fn bytes(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], FieldError> {
        let error = FieldError { field, needed: count, left: self.bytes.len() };
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(error)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], FieldError> {
        let error = FieldError { field, needed: N, left: self.bytes.len() };
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(error)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// One byte.
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, FieldError> {
        self.array::<1>(field).map(u8::from_le_bytes)
    }

    /// Two bytes, little endian.
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, FieldError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// Four bytes, little endian.
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, FieldError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Eight bytes, little endian.
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, FieldError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// Bytes up to a NUL, which is consumed; an error when there is none.
    pub(crate) fn until_nul(&mut self, field: &'static str) -> Result<&'a [u8], FieldError> {
        let length = self.bytes.iter().position(|byte| *byte == 0);
        let length = length.ok_or(FieldError { field, needed: self.bytes.len() + 1, left: self.bytes.len() })?;
        let taken = self.bytes(field, length)?;
        self.u8(field)?;
        Ok(taken)
    }

    /// Number of bytes not yet read.
    #[must_use]
    pub(crate) fn left(&self) -> usize {
        self.bytes.len()
    }

    /// All bytes not yet read.
    #[must_use]
    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_field_is_named_and_nothing_is_consumed() {
        let mut reader = Reader::new(&[1, 0, 2]);
        assert_eq!(reader.u16("first"), Ok(1));
        assert_eq!(reader.u64("second"), Err(FieldError { field: "second", needed: 8, left: 1 }));
        assert_eq!(reader.bytes("huge", usize::MAX).unwrap_err().left, 1);
        assert!(reader.until_nul("text").is_err());
        assert_eq!(reader.u8("third"), Ok(2));
    }
}
