//! Cuts a log file's bytes into verified events, with memory bounded by what is decoded, not by the size of events.
//!
//! A file that a crash cut off ends *torn*: everything before is good. Bytes that cannot be read with more data behind
//! them are *damage*: what follows would be lost silently, so that is an error.

use super::body::{self, BodyError, EventBody, StartEncryption};
use super::checksum::Checksum;
use super::encryption::{Decryptor, FileCipher, Keys};
use super::end_positions::EndPositions;
use super::event::{Event, EventHeader};
use super::event_type::{EventType, HEADER_LEN, MAGIC};
use super::pending::{Pending, collect, start_hash, take_content};
use super::scan_result::{Fault, Progress, ScanError, Torn, TornReason};
use super::whole_event::WholeEventSearch;

/// Reads one file from its start. Feed it the file's bytes in order, in chunks of any size.
#[derive(Debug)]
pub struct Scanner {
    /// Size of the file.
    size: u64,
    keys: Keys,
    decryptor: Decryptor,
    /// Bytes given so far, as they stand in the file.
    given: u64,
    /// Decrypted bytes, from `taken` on not yet scanned.
    decrypted: Vec<u8>,
    taken: usize,
    /// Where the first encrypted event begins.
    encrypted_from: Option<u64>,
    /// Where the current event begins.
    offset: u64,
    /// Of the last FORMAT_DESCRIPTION; `None` before the first.
    checksum: Option<Checksum>,
    end_positions: EndPositions,
    /// The part of magic, header or body collected so far.
    kept: Vec<u8>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Magic,
    Header,
    Body(Pending),
    /// Something cannot be read: torn when only zero bytes follow, else damage.
    Suspect {
        error: ScanError,
        left: u64,
    },
    /// A length that reaches beyond the file: torn unless whole events follow.
    Beyond {
        header: EventHeader,
        search: WholeEventSearch,
    },
}

impl Scanner {
    /// A scanner of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64, keys: &Keys) -> Self {
        Self {
            size,
            keys: keys.clone(),
            decryptor: Decryptor::new(keys.clone()),
            given: 0,
            decrypted: Vec::new(),
            taken: 0,
            encrypted_from: None,
            offset: 0,
            checksum: None,
            end_positions: EndPositions::default(),
            kept: Vec::new(),
            stage: Stage::Magic,
        }
    }

    /// How the file is encrypted, once its head was read; `None` when it is not.
    #[must_use]
    pub(crate) fn file_cipher(&self) -> Option<&FileCipher> {
        self.decryptor.file_cipher()
    }

    /// Takes bytes from the front of `input` until an event is whole or the input is used up.
    ///
    /// # Errors
    /// Damage, encryption or a file that is no log. The scanner must not be used after an error.
    pub fn advance(&mut self, input: &mut &[u8]) -> Result<Progress, ScanError> {
        if self.decryptor.passes() && self.decrypted.is_empty() {
            return self.scan(input);
        }
        loop {
            let mut decrypted = std::mem::take(&mut self.decrypted);
            let mut rest = decrypted.get(self.taken..).unwrap_or_default();
            let before = rest.len();
            let progress = self.scan(&mut rest);
            self.taken += before - rest.len();
            if !matches!(progress, Ok(Progress::NeedMore)) {
                self.decrypted = decrypted;
                return progress;
            }
            decrypted.clear();
            self.taken = 0;
            if input.is_empty() {
                self.decrypted = decrypted;
                return progress;
            }
            if self.decryptor.passes() {
                self.decrypted = decrypted;
                return self.scan(input);
            }
            self.given += input.len() as u64;
            self.decryptor.feed(input, &mut decrypted);
            if self.given >= self.size {
                self.decryptor.finish(&mut decrypted);
            }
            *input = &[];
            self.decrypted = decrypted;
        }
    }

    fn scan(&mut self, input: &mut &[u8]) -> Result<Progress, ScanError> {
        if let Some(event) = self.whole(input)? {
            return Ok(Progress::Event(event));
        }
        loop {
            let done = match &mut self.stage {
                Stage::Magic => self.magic(input)?,
                Stage::Header => self.header(input)?,
                Stage::Body(_) => self.body(input)?,
                Stage::Suspect { .. } => self.suspect(input)?,
                Stage::Beyond { .. } => self.beyond(input)?,
            };
            if let Some(progress) = done {
                return Ok(progress);
            }
        }
    }

    /// The next event, when `input` holds all of it and nothing is wrong: then its bytes need not be collected. What is out of
    /// the ordinary is left to the stages.
    fn whole(&mut self, input: &mut &[u8]) -> Result<Option<Event>, ScanError> {
        let Some((header, content)) = self.intact(input) else { return Ok(None) };
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let event = self.finished(header, content)?;
        *input = input.get(length..).unwrap_or_default();
        Ok(Some(event))
    }

    /// The event at the front of `input` and of its body what is decoded, its checksum verified.
    fn intact<'a>(&self, input: &'a [u8]) -> Option<(EventHeader, &'a [u8])> {
        if !matches!(self.stage, Stage::Header) || !self.kept.is_empty() {
            return None;
        }
        let header = EventHeader::read(input).ok()?;
        // A FORMAT_DESCRIPTION has a checksum of another kind.
        let checksum = self.checksum.filter(|_| header.event_type != EventType::FORMAT_DESCRIPTION)?;
        let (content, keep) = self.lengths(header, checksum, self.size - self.offset).ok()?;
        let checked = input.get(..HEADER_LEN + content)?;
        if checksum == Checksum::Crc32 {
            let stored = input.get(checked.len()..)?.first_chunk()?;
            if crc32fast::hash(checked) != u32::from_le_bytes(*stored) {
                return None;
            }
        }
        let body = checked.get(HEADER_LEN..)?;
        Some((header, body.get(..keep).unwrap_or(body)))
    }

    fn magic(&mut self, input: &mut &[u8]) -> Result<Option<Progress>, ScanError> {
        if self.size < MAGIC.len() as u64 {
            return Ok(Some(self.short_header()));
        }
        if !collect(&mut self.kept, input, MAGIC.len()) {
            return Ok(Some(Progress::NeedMore));
        }
        let found = std::mem::take(&mut self.kept);
        if found != MAGIC {
            return self.suspicious(None, Fault::Magic, MAGIC.len(), found.iter().all(|byte| *byte == 0));
        }
        self.offset = MAGIC.len() as u64;
        self.stage = Stage::Header;
        Ok(None)
    }

    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Progress>, ScanError> {
        let left = self.size - self.offset;
        if left == 0 {
            return Ok(Some(Progress::End(None)));
        }
        if left < HEADER_LEN as u64 {
            return Ok(Some(self.short_header()));
        }
        if !collect(&mut self.kept, input, HEADER_LEN) {
            return Ok(Some(Progress::NeedMore));
        }
        let header = EventHeader::read(&self.kept).map_err(|error| self.error(None, BodyError::from(error).into()))?;
        match self.pending(header, left) {
            Ok(pending) => self.stage = Stage::Body(pending),
            Err(Refused::Short) if self.is_surely_torn(header) => return Ok(Some(self.short_event(header))),
            Err(Refused::Short) => self.stage = Stage::Beyond { header, search: self.search() },
            Err(Refused::Fault(fault)) => {
                let kind = Some(header.event_type);
                return self.suspicious(kind, fault, HEADER_LEN, true);
            }
        }
        self.kept.clear();
        Ok(None)
    }

    /// Checks a header against the `left` bytes of the file that begin with it.
    fn pending(&self, header: EventHeader, left: u64) -> Result<Pending, Refused> {
        let is_format = header.event_type == EventType::FORMAT_DESCRIPTION;
        let checksum = if is_format { Some(Checksum::Crc32) } else { self.checksum };
        let checksum = checksum.ok_or(Refused::Fault(Fault::NoFormat))?;
        let (content_left, keep) = self.lengths(header, checksum, left)?;
        let hash = (checksum == Checksum::Crc32).then(|| start_hash(header));
        Ok(Pending { header, content_left, keep, hash, stored: Vec::with_capacity(4) })
    }

    /// How long the event's body is without its checksum, and how much of it is kept.
    fn lengths(&self, header: EventHeader, checksum: Checksum, left: u64) -> Result<(usize, usize), Refused> {
        if self.encrypted_from == Some(self.offset) && !self.is_sensible(header) {
            return Err(Refused::Fault(Fault::WrongKey));
        }
        let overhead = HEADER_LEN + checksum.length();
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let content = length.checked_sub(overhead).ok_or(Refused::Fault(Fault::TooShort(header.length)))?;
        if u64::from(header.length) > left {
            return Err(self.beyond_the_file(header));
        }
        let keep = body::bytes_needed(header.event_type);
        if content > keep && body::must_be_whole(header.event_type) {
            return Err(Refused::Fault(Fault::TooLong(header.length)));
        }
        Ok((content, keep))
    }

    /// Decrypted with a wrong key, a header is random; without checksums nothing else would tell.
    fn is_sensible(&self, header: EventHeader) -> bool {
        header.event_type.name().is_some() && self.end_positions.agree(self.offset, header)
    }

    /// A crash leaves an event whose end position agrees with its length; a flipped bit in the length does not.
    fn beyond_the_file(&self, header: EventHeader) -> Refused {
        if self.end_positions.agree(self.offset, header) {
            return Refused::Short;
        }
        Refused::Fault(Fault::Length { length: header.length, end_position: header.end_position })
    }

    /// Also in an encrypted file: where the length of an event is wrong, nothing behind it can be decrypted.
    fn is_surely_torn(&self, header: EventHeader) -> bool {
        header.ends_at(self.offset) || self.encrypted_from.is_some()
    }

    /// For whole events behind the header that was read.
    fn search(&self) -> WholeEventSearch {
        let checksum = self.checksum.unwrap_or(Checksum::Crc32);
        WholeEventSearch::new(self.offset + HEADER_LEN as u64, self.size, checksum, self.end_positions.is_relay_log)
    }

    fn beyond(&mut self, input: &mut &[u8]) -> Result<Option<Progress>, ScanError> {
        let Stage::Beyond { header, search } = &mut self.stage else { return Ok(None) };
        let header = *header;
        if let Some(next) = search.feed(input) {
            return Err(self.error(Some(header.event_type), Fault::Follows { length: header.length, next }));
        }
        let is_done = search.is_done();
        Ok(Some(if is_done { self.short_event(header) } else { Progress::NeedMore }))
    }

    fn body(&mut self, input: &mut &[u8]) -> Result<Option<Progress>, ScanError> {
        let Stage::Body(pending) = &mut self.stage else { return Ok(None) };
        take_content(pending, &mut self.kept, input);
        let trailer = pending.hash.as_ref().map_or(0, |_| Checksum::Crc32.length());
        if pending.content_left > 0 || !collect(&mut pending.stored, input, trailer) {
            return Ok(Some(Progress::NeedMore));
        }
        let header = pending.header;
        let stored = <[u8; 4]>::try_from(pending.stored.as_slice()).map_or(0, u32::from_le_bytes);
        let computed = pending.hash.take().map(crc32fast::Hasher::finalize).filter(|value| *value != stored);
        if let Some(computed) = computed.filter(|_| !self.has_no_true_checksum(header)) {
            let length = usize::try_from(header.length).unwrap_or(usize::MAX);
            let fault = Fault::Checksum { found: stored, computed };
            return self.suspicious(Some(header.event_type), fault, length, true);
        }
        let kept = std::mem::take(&mut self.kept);
        self.finished(header, &kept).map(|event| Some(Progress::Event(event)))
    }

    /// Of a FORMAT_DESCRIPTION, whose last byte tells whether the events after it have one.
    fn has_no_true_checksum(&self, header: EventHeader) -> bool {
        let writes_none = self.kept.last().is_some_and(|byte| Checksum::from_number(*byte) == Some(Checksum::None));
        writes_none && self.end_positions.is_changed_by_the_source(header)
    }

    /// `body` is what was kept of the event's body.
    fn finished(&mut self, header: EventHeader, body: &[u8]) -> Result<Event, ScanError> {
        let decoded = body::decode(header.event_type, header.server_id, body);
        let body = decoded.map_err(|error| self.error(Some(header.event_type), error.into()))?;
        match &body {
            EventBody::FormatDescription(format) => self.checksum = Some(format.checksum),
            EventBody::StartEncryption(start) => {
                self.encrypted(start).map_err(|fault| self.error(Some(header.event_type), fault))?;
                self.encrypted_from = Some(self.offset + u64::from(header.length));
            }
            _ => {}
        }
        self.end_positions.passed(self.offset, header);
        let event = Event { offset: self.offset, header, body };
        self.offset = event.end();
        self.stage = Stage::Header;
        Ok(event)
    }

    /// Can what follows be decrypted?
    fn encrypted(&self, start: &StartEncryption) -> Result<(), Fault> {
        if start.scheme != StartEncryption::SCHEME {
            return Err(Fault::Scheme(start.scheme));
        }
        let missing = |missing| Fault::Encrypted { key_version: start.key_version, missing };
        self.keys.check(start.key_version).map_err(missing)
    }

    /// `consumed` bytes from the event's start on are bad; `maybe_torn` unless they already prove damage.
    fn suspicious(
        &mut self,
        event_type: Option<EventType>,
        fault: Fault,
        consumed: usize,
        maybe_torn: bool,
    ) -> Result<Option<Progress>, ScanError> {
        let error = self.error(event_type, fault);
        if !maybe_torn {
            return Err(error);
        }
        let left = (self.size - self.offset).saturating_sub(consumed as u64);
        self.stage = Stage::Suspect { error, left };
        Ok(None)
    }

    fn suspect(&mut self, input: &mut &[u8]) -> Result<Option<Progress>, ScanError> {
        let Stage::Suspect { error, left } = &mut self.stage else { return Ok(None) };
        if input.iter().any(|byte| *byte != 0) {
            return Err(error.clone());
        }
        *left = left.saturating_sub(input.len() as u64);
        *input = &[];
        if *left > 0 {
            return Ok(Some(Progress::NeedMore));
        }
        let torn = Torn { offset: error.offset, reason: TornReason::LastEvent(error.fault.clone()) };
        Ok(Some(Progress::End(Some(torn))))
    }

    fn short_header(&self) -> Progress {
        let reason = TornReason::ShortHeader { have: self.size - self.offset };
        Progress::End(Some(Torn { offset: self.offset, reason }))
    }

    fn short_event(&self, header: EventHeader) -> Progress {
        let EventHeader { event_type, length, .. } = header;
        let reason = TornReason::ShortEvent { event_type, length, have: self.size - self.offset };
        Progress::End(Some(Torn { offset: self.offset, reason }))
    }

    fn error(&self, event_type: Option<EventType>, fault: Fault) -> ScanError {
        if self.encrypted_from == Some(self.offset) {
            return ScanError { offset: self.offset, event_type: None, fault: Fault::WrongKey };
        }
        ScanError { offset: self.offset, event_type, fault }
    }
}

/// Why an event's body is not read.
enum Refused {
    /// The file ends within it.
    Short,
    Fault(Fault),
}
