//! The two slots of a volume's record, as bytes: pure, so that every torn write can be tried.
//!
//! A slot is 4096 bytes: magic, counter (u64), length (u32), crc32c over counter, length and text (u32), JSON text,
//! zeros; numbers little-endian. The slot with the higher counter is valid. A write goes to the other one, so a torn
//! write leaves the record before it.

use thiserror::Error;

/// Bytes of a slot: one block of any disk we know.
pub(crate) const SLOT: usize = 4096;
/// Bytes of the file.
pub(crate) const FILE: usize = 2 * SLOT;

const MAGIC: &[u8; 8] = b"beachmr1";
const HEADER: usize = 24;

/// The text is longer than a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a record of {0} bytes does not fit into a slot of {SLOT}")]
pub(crate) struct TooLong(pub(crate) usize);

/// What the two slots hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slots {
    /// Nothing was ever written completely, and nothing else is there.
    Empty,
    /// The newest complete text, and where the next one goes.
    Newest { counter: u64, text: Vec<u8>, next: usize },
    /// Bytes that are no record.
    Damaged,
}

/// A slot with this counter and text.
///
/// # Errors
/// When the text does not fit.
pub(crate) fn encode(counter: u64, text: &[u8]) -> Result<[u8; SLOT], TooLong> {
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= SLOT - HEADER).ok_or(TooLong(text.len()))?;
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..16].copy_from_slice(&counter.to_le_bytes());
    slot[16..20].copy_from_slice(&length.to_le_bytes());
    slot[20..24].copy_from_slice(&checksum(counter, length, text).to_le_bytes());
    slot[HEADER..HEADER + text.len()].copy_from_slice(text);
    Ok(slot)
}

/// Reads both slots. A short file reads as if zeros followed.
#[must_use]
pub(crate) fn read(file: &[u8]) -> Slots {
    let slots = [file.get(..SLOT).unwrap_or(file), file.get(SLOT..).unwrap_or_default()];
    let newest = slots.iter().enumerate().filter_map(|(index, slot)| {
        let (counter, text) = decode(slot)?;
        Some((counter, text, 1 - index))
    });
    if let Some((counter, text, next)) = newest.max_by_key(|(counter, ..)| *counter) {
        return Slots::Newest { counter, text, next };
    }
    if file.iter().all(|byte| *byte == 0) { Slots::Empty } else { Slots::Damaged }
}

fn decode(slot: &[u8]) -> Option<(u64, Vec<u8>)> {
    let header = slot.get(..HEADER)?;
    let counter = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let length = u32::from_le_bytes(header[16..20].try_into().ok()?);
    let sum = u32::from_le_bytes(header[20..24].try_into().ok()?);
    let text = slot.get(HEADER..)?.get(..usize::try_from(length).ok()?)?;
    (header[..8] == *MAGIC && sum == checksum(counter, length, text)).then(|| (counter, text.to_vec()))
}

fn checksum(counter: u64, length: u32, text: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&counter.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &length.to_le_bytes()), text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn newest(file: &[u8]) -> Option<(u64, String, usize)> {
        match read(file) {
            Slots::Newest { counter, text, next } => Some((counter, String::from_utf8(text).unwrap(), next)),
            Slots::Empty | Slots::Damaged => None,
        }
    }

    #[test]
    fn the_higher_counter_wins_and_the_other_slot_is_next() {
        let mut file = [0; FILE];
        assert_eq!(read(&file), Slots::Empty);
        assert_eq!(read(&[]), Slots::Empty);
        file[..SLOT].copy_from_slice(&encode(1, b"one").unwrap());
        assert_eq!(newest(&file), Some((1, "one".to_owned(), 1)));
        file[SLOT..].copy_from_slice(&encode(2, b"two").unwrap());
        assert_eq!(newest(&file), Some((2, "two".to_owned(), 0)));
    }

    #[test]
    fn a_write_torn_at_any_byte_leaves_the_record_before_or_the_new_one() {
        let mut before = [0; FILE];
        before[..SLOT].copy_from_slice(&encode(7, b"the seventh record").unwrap());
        before[SLOT..].copy_from_slice(&encode(6, b"the sixth record, which is longer").unwrap());
        let new = encode(8, b"the eighth").unwrap();
        for cut in 0..=SLOT {
            let mut head = before;
            head[SLOT..SLOT + cut].copy_from_slice(&new[..cut]);
            let mut tail = before;
            tail[SLOT + cut..].copy_from_slice(&new[cut..]);
            for torn in [head, tail] {
                let (counter, text, next) = newest(&torn).unwrap();
                assert!(counter == 7 && text == "the seventh record" || counter == 8 && text == "the eighth", "{cut}");
                assert_eq!(next, if counter == 7 { 1 } else { 0 }, "{cut}");
            }
        }
    }

    #[test]
    fn each_changed_byte_of_a_record_is_noticed() {
        let good = encode(3, b"text").unwrap();
        for index in 0..HEADER + 4 {
            let mut file = [0; FILE];
            file[..SLOT].copy_from_slice(&good);
            file[index] ^= 0x10;
            assert_eq!(read(&file), Slots::Damaged, "byte {index}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(encode(1, &[b'x'; SLOT - HEADER]).is_ok());
        assert_eq!(encode(1, &[b'x'; SLOT - HEADER + 1]), Err(TooLong(SLOT - HEADER + 1)));
    }
}
