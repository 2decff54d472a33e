//! From a file's bytes to those the server would send, piece by piece.

use super::cipher::{EventCipher, FileCipher};
use super::keys::Keys;
use crate::binlog::body::{EventBody, StartEncryption, decode};
use crate::binlog::event::EventHeader;
use crate::binlog::event_type::{EventType, HEADER_LEN, MAGIC};

/// Where an event's length stands. In its place the server puts the first bytes of the ciphertext's counterpart: the
/// encrypted event begins with what belongs here.
const LENGTH: std::ops::Range<usize> = 9..13;
/// Bytes no FORMAT_DESCRIPTION and no START_ENCRYPTION has; what says so is not followed.
const MOST: usize = 64 << 10;

/// Takes a log file's bytes in their order and gives the decrypted ones, as many and at the same offsets, the last few
/// only when their block is complete. What is not encrypted or cannot be decrypted passes as it is: the scanner behind
/// says what is wrong with it.
#[derive(Debug)]
pub struct Decryptor {
    offset: u64,
    stage: Stage,
    cipher: Option<FileCipher>,
}

#[derive(Debug)]
enum Stage {
    /// Before it is known whether the file is encrypted.
    Head { keys: Keys, seen: Vec<u8> },
    /// Nothing to do, or nothing that can be done.
    Plain,
    /// Between two events; `head` is the part of the next one's beginning that has come.
    Between { file: FileCipher, head: Vec<u8> },
    /// Inside an event.
    Inside { file: FileCipher, event: Box<Event> },
}

/// An event that is being decrypted.
#[derive(Debug)]
struct Event {
    cipher: EventCipher,
    /// Its header as it stands in the file, until the first block is complete.
    header: Option<[u8; HEADER_LEN]>,
    /// Bytes to come.
    left: u64,
}

impl Decryptor {
    /// For a file from its beginning on.
    #[must_use]
    pub(crate) fn new(keys: Keys) -> Self {
        Self { offset: 0, stage: Stage::Head { keys, seen: Vec::new() }, cipher: None }
    }

    /// For an encrypted file from the event at `offset` on, be it one of the head, which is not encrypted.
    #[must_use]
    pub(crate) fn at(file: FileCipher, offset: u64) -> Self {
        Self { offset, cipher: Some(file.clone()), stage: Stage::Between { file, head: Vec::new() } }
    }

    /// How the file is encrypted, once its head was read; `None` when it is not.
    #[must_use]
    pub(crate) fn file_cipher(&self) -> Option<&FileCipher> {
        self.cipher.as_ref()
    }

    /// True when bytes pass as they are from here on.
    #[must_use]
    pub(crate) fn passes(&self) -> bool {
        matches!(self.stage, Stage::Plain)
    }

    /// Takes the next bytes of the file and appends decrypted ones to `out`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            bytes = match &mut self.stage {
                Stage::Plain => {
                    self.offset += bytes.len() as u64;
                    out.extend_from_slice(bytes);
                    return;
                }
                Stage::Head { .. } => self.head(bytes, out),
                Stage::Between { .. } => self.between(bytes, out),
                Stage::Inside { .. } => self.inside(bytes, out),
            };
        }
    }

    /// The file ends here: gives the bytes that still wait, as they are, because their event is not complete.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.stage, Stage::Plain) {
            Stage::Head { .. } | Stage::Plain => {}
            Stage::Between { head, .. } => out.extend(head),
            Stage::Inside { event, .. } => out.extend(event.into_rest()),
        }
    }

    /// The head is not encrypted: its bytes are looked at in passing.
    fn head<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let Stage::Head { keys, seen } = &mut self.stage else { return bytes };
        let wanted = match look(seen) {
            Look::More(wanted) => wanted,
            Look::Done(start) => {
                self.cipher = start.and_then(|start| FileCipher::new(keys, &start, self.offset));
                let between = |file| Stage::Between { file, head: Vec::new() };
                self.stage = self.cipher.clone().map_or(Stage::Plain, between);
                return bytes;
            }
        };
        let (now, later) = bytes.split_at_checked(wanted.saturating_sub(seen.len())).unwrap_or((bytes, &[]));
        seen.extend_from_slice(now);
        out.extend_from_slice(now);
        self.offset += now.len() as u64;
        later
    }

    fn between<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let Stage::Between { file, head } = &mut self.stage else { return bytes };
        if let Some(plain) = file.begins().checked_sub(self.offset).filter(|plain| *plain > 0) {
            let plain = usize::try_from(plain).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at_checked(plain).unwrap_or((bytes, &[]));
            out.extend_from_slice(now);
            self.offset += now.len() as u64;
            return later;
        }
        let (now, later) = bytes.split_at_checked(HEADER_LEN - head.len()).unwrap_or((bytes, &[]));
        head.extend_from_slice(now);
        let Ok(header) = <[u8; HEADER_LEN]>::try_from(head.as_slice()) else { return later };
        let Some(event) = Event::begin(file.event(self.offset), header) else {
            // No event has such a length: where the next one begins cannot be known.
            out.extend_from_slice(head);
            self.stage = Stage::Plain;
            return later;
        };
        self.stage = Stage::Inside { file: file.clone(), event: Box::new(event) };
        self.offset += HEADER_LEN as u64;
        self.inside(later, out)
    }

    fn inside<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let Stage::Inside { file, event } = &mut self.stage else { return bytes };
        let count = usize::try_from(event.left).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        event.update(now, out);
        self.offset += now.len() as u64;
        if event.left == 0 {
            event.finish(out);
            self.stage = Stage::Between { file: file.clone(), head: Vec::with_capacity(HEADER_LEN) };
        }
        later
    }
}

impl Event {
    /// `None` for a length no event has.
    fn begin(mut cipher: EventCipher, header: [u8; HEADER_LEN]) -> Option<Self> {
        let length = u32::from_le_bytes(*header.get(LENGTH)?.as_array()?);
        let left = u64::from(length).checked_sub(HEADER_LEN as u64)?;
        let mut encrypted = header;
        // What was put to the front comes back to its place; the length itself is not encrypted.
        encrypted.copy_within(0..4, LENGTH.start);
        // 15 bytes are no block: nothing comes out yet.
        cipher.update(encrypted.get(4..)?, &mut Vec::new());
        Some(Self { cipher, header: Some(header), left })
    }

    fn update(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let begin = out.len();
        self.left -= bytes.len() as u64;
        self.cipher.update(bytes, out);
        self.complete_header(begin, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let begin = out.len();
        self.cipher.finish(out);
        self.complete_header(begin, out);
    }

    /// The first bytes that come out, at `begin`, are the header's from the fifth on, with the timestamp in the place of
    /// the length.
    fn complete_header(&mut self, begin: usize, out: &mut Vec<u8>) {
        if out.len() == begin {
            return;
        }
        if let Some(header) = self.header.take() {
            let timestamp = begin + LENGTH.start - 4..begin + LENGTH.end - 4;
            let timestamp: Vec<u8> = out.splice(timestamp, header[LENGTH].iter().copied()).collect();
            out.splice(begin..begin, timestamp);
        }
    }

    /// What of the event has not come out, as it stands in the file.
    fn into_rest(self) -> Vec<u8> {
        self.header.map_or_else(|| self.cipher.into_pending(), |header| header.to_vec())
    }
}

enum Look {
    /// So many bytes from the file's beginning on are needed.
    More(usize),
    /// It is known how the file goes on.
    Done(Option<StartEncryption>),
}

/// What is to be looked at next, from the file's first bytes: FORMAT_DESCRIPTION and the event behind it.
fn look(seen: &[u8]) -> Look {
    let header = |offset: usize| seen.get(offset..).and_then(|bytes| EventHeader::read(bytes).ok());
    let end = |offset: usize, header: EventHeader| {
        usize::try_from(header.length)
            .ok()
            .filter(|length| (HEADER_LEN..MOST).contains(length))
            .map(|length| offset + length)
    };
    let Some(format) = header(MAGIC.len()) else { return Look::More(MAGIC.len() + HEADER_LEN) };
    let Some(second) = end(MAGIC.len(), format) else { return Look::Done(None) };
    let Some(start) = header(second) else { return Look::More(second + HEADER_LEN) };
    let is_start =
        (format.event_type, start.event_type) == (EventType::FORMAT_DESCRIPTION, EventType::START_ENCRYPTION);
    match end(second, start).filter(|_| is_start) {
        None => Look::Done(None),
        Some(end) if seen.len() < end => Look::More(end),
        Some(end) => {
            match decode(start.event_type, start.server_id, seen.get(second + HEADER_LEN..end).unwrap_or_default()) {
                Ok(EventBody::StartEncryption(start)) => Look::Done(Some(start)),
                _ => Look::Done(None),
            }
        }
    }
}
