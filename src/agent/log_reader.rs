//! A log file's bytes as its server would send them: decrypted, and of relay logs only what came from the source.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::binlog::{Decryptor, FileCipher};

/// Where the bytes of a log are.
#[derive(Debug, Clone)]
pub(crate) enum LogSource {
    /// In one file.
    File {
        /// The file.
        path: PathBuf,
        /// Of an encrypted file.
        cipher: Option<FileCipher>,
    },
    /// In pieces.
    Spliced(Arc<[Piece]>),
}

/// A piece of a log; each begins and ends between two events.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Offset in the log.
    pub(crate) start: u64,
    /// Bytes.
    pub(crate) length: u64,
    /// What they are.
    pub(crate) content: PieceContent,
}

/// What a piece consists of.
#[derive(Debug, Clone)]
pub(crate) enum PieceContent {
    /// Bytes that are in no file.
    Bytes(Vec<u8>),
    /// Part of a file.
    Part {
        /// The file.
        path: PathBuf,
        /// Of an encrypted file.
        cipher: Option<FileCipher>,
        /// Where the part begins in the file.
        offset: u64,
    },
}

/// Reads one log, mostly forward.
#[derive(Debug)]
pub(crate) struct LogReader(Inner);

#[derive(Debug)]
enum Inner {
    Plain(File),
    Encrypted(Box<Encrypted>),
    /// `open` is the reader of the piece at that index.
    Spliced {
        pieces: Arc<[Piece]>,
        open: Option<(usize, Box<LogReader>)>,
    },
}

impl LogReader {
    /// Opens the log.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn open(source: &LogSource) -> io::Result<Self> {
        Ok(Self(match source {
            LogSource::File { path, cipher: None } => Inner::Plain(File::open(path)?),
            LogSource::File { path, cipher: Some(cipher) } => {
                Inner::Encrypted(Box::new(Encrypted::new(File::open(path)?, cipher.clone())))
            }
            LogSource::Spliced(pieces) => Inner::Spliced { pieces: Arc::clone(pieces), open: None },
        }))
    }

    /// Puts up to `length` bytes from `offset` on into `bytes`; fewer at the end of a piece, none at the end of the log. In
    /// an encrypted log `offset` is the beginning of an event or lies in what was read last.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn read_into(&mut self, offset: u64, length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.0 {
            Inner::Plain(file) => {
                bytes.resize(length, 0);
                let count = file.read_at(bytes, offset)?;
                bytes.truncate(count);
                Ok(())
            }
            Inner::Encrypted(file) => file.read_into(offset, length, bytes),
            Inner::Spliced { pieces, open } => read_spliced(pieces, open, (offset, length), bytes),
        }
    }
}

fn read_spliced(
    pieces: &Arc<[Piece]>,
    open: &mut Option<(usize, Box<LogReader>)>,
    (offset, length): (u64, usize),
    out: &mut Vec<u8>,
) -> io::Result<()> {
    out.clear();
    let index = pieces.partition_point(|piece| piece.start + piece.length <= offset);
    let Some(piece) = pieces.get(index) else { return Ok(()) };
    let within = offset - piece.start;
    let length = length.min(usize::try_from(piece.length - within).unwrap_or(usize::MAX));
    match &piece.content {
        PieceContent::Bytes(bytes) => {
            let start = usize::try_from(within).unwrap_or(usize::MAX);
            out.extend_from_slice(bytes.get(start..start.saturating_add(length)).unwrap_or_default());
            Ok(())
        }
        PieceContent::Part { path, cipher, offset: part } => {
            let reader = match open {
                Some((at, reader)) if *at == index => reader,
                _ => {
                    let source = LogSource::File { path: path.clone(), cipher: cipher.clone() };
                    &mut open.insert((index, Box::new(LogReader::open(&source)?))).1
                }
            };
            reader.read_into(part + within, length, out)
        }
    }
}

/// An encrypted file.
#[derive(Debug)]
struct Encrypted {
    file: File,
    cipher: FileCipher,
    decryptor: Decryptor,
    /// Offset of the next byte that the decryptor takes.
    next: u64,
    /// Decrypted bytes that may be asked for again, and where they begin.
    ready: Vec<u8>,
    ready_at: u64,
}

impl Encrypted {
    fn new(file: File, cipher: FileCipher) -> Self {
        let decryptor = Decryptor::at(cipher.clone(), 0);
        Self { file, cipher, decryptor, next: 0, ready: Vec::new(), ready_at: 0 }
    }

    fn read_into(&mut self, offset: u64, length: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let end = self.ready_at + self.ready.len() as u64;
        if !(self.ready_at..=end).contains(&offset) || self.next == 0 {
            self.decryptor = Decryptor::at(self.cipher.clone(), offset);
            (self.next, self.ready_at) = (offset, offset);
            self.ready.clear();
        }
        self.ready.drain(..usize::try_from(offset - self.ready_at).unwrap_or(usize::MAX));
        self.ready_at = offset;
        while self.ready.len() < length {
            let mut bytes = vec![0; length];
            let count = self.file.read_at(&mut bytes, self.next)?;
            self.next += count as u64;
            self.decryptor.feed(bytes.get(..count).unwrap_or_default(), &mut self.ready);
            if count == 0 {
                break;
            }
        }
        out.clear();
        out.extend_from_slice(self.ready.get(..length).unwrap_or(&self.ready));
        Ok(())
    }
}
