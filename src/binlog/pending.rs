//! An event of which the header was read and the body has not come as a whole.

use super::event::EventHeader;
use super::event_type::EventType;

/// An event whose header was read.
#[derive(Debug)]
pub(super) struct Pending {
    pub(crate) header: EventHeader,
    /// Bytes of the body not yet seen, without the checksum.
    pub(crate) content_left: usize,
    /// Bytes of the body to keep.
    pub(crate) keep: usize,
    pub(crate) hash: Option<crc32fast::Hasher>,
    pub(crate) stored: Vec<u8>,
}

/// Moves bytes from `input` to `buffer` until it holds `wanted`; true when it does.
pub(super) fn collect(buffer: &mut Vec<u8>, input: &mut &[u8], wanted: usize) -> bool {
    let missing = wanted.saturating_sub(buffer.len());
    let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
    buffer.extend_from_slice(taken);
    *input = rest;
    buffer.len() >= wanted
}

/// Hashes the body's bytes that are in `input` and keeps the first of them.
pub(super) fn take_content(pending: &mut Pending, kept: &mut Vec<u8>, input: &mut &[u8]) {
    let (taken, rest) = input.split_at_checked(pending.content_left).unwrap_or((input, &[]));
    if let Some(hash) = &mut pending.hash {
        hash.update(taken);
    }
    let room = pending.keep.saturating_sub(kept.len());
    kept.extend_from_slice(taken.get(..room).unwrap_or(taken));
    pending.content_left -= taken.len();
    *input = rest;
}

/// A file's FORMAT_DESCRIPTION is checked as if it had been closed: the server clears IN_USE in place.
pub(super) fn start_hash(mut header: EventHeader) -> crc32fast::Hasher {
    if header.event_type == EventType::FORMAT_DESCRIPTION {
        header.flags &= !EventHeader::IN_USE;
    }
    let mut hash = crc32fast::Hasher::new();
    hash.update(&header.to_bytes());
    hash
}
