//! The answer to a statement: OK, or columns and rows as text (`Protocol::Text Resultset`).

use std::sync::Arc;

use super::super::packet::ProtocolError;
use super::bounds::Bounds;
use super::error::ClientError;
use crate::binlog::{FieldError, Reader};

/// One row, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    columns: Arc<[String]>,
    payload: Vec<u8>,
}

impl Row {
    /// Names of its columns.
    #[must_use]
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Its values in the order of the columns, NULL as none.
    ///
    /// # Errors
    /// The row does not hold as many, or holds more.
    pub(crate) fn values(&self) -> Result<Vec<Option<&[u8]>>, FieldError> {
        let mut reader = Reader::new(&self.payload);
        let values = self.columns.iter().map(|_| text(&mut reader)).collect::<Result<_, _>>()?;
        match reader.left() {
            0 => Ok(values),
            left => Err(FieldError { field: "nothing behind the last value", needed: 0, left }),
        }
    }
}

/// Most columns: `SHOW ALL SLAVES STATUS` has some 60.
const MOST_COLUMNS: usize = 256;
/// First byte of what ends an answer without rows.
pub(super) const OK: u8 = 0x00;
/// First byte and longest payload of what ends columns and rows.
const EOF: (u8, usize) = (0xfe, 8);
/// `SERVER_MORE_RESULTS_EXISTS`, in the status of an OK or EOF packet.
const MORE_RESULTS: u16 = 8;
/// First byte of a request for a file of ours.
const LOCAL_INFILE: u8 = 0xfb;
/// What a row or a column costs beside its bytes.
const OVERHEAD: usize = 40;

/// An answer that is arriving.
#[derive(Debug)]
pub(super) struct Collecting {
    bounds: Bounds,
    part: Part,
    bytes: usize,
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Part {
    Header,
    /// So many columns are still to come.
    Columns(Vec<String>, usize),
    Rows(Arc<[String]>),
}

impl Collecting {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, part: Part::Header, bytes: 0, rows: Vec::new() }
    }

    /// Takes the next packet, which is not empty and no error; the rows once the answer is whole.
    pub(crate) fn take(&mut self, payload: &[u8]) -> Result<Option<Vec<Row>>, ClientError> {
        self.bytes += payload.len() + OVERHEAD;
        if self.bytes > self.bounds.bytes {
            return Err(ClientError::TooLong(self.bounds));
        }
        match &mut self.part {
            Part::Header => return self.header(payload),
            Part::Columns(names, 0) => {
                ended(payload)?;
                self.part = Part::Rows(std::mem::take(names).into());
            }
            Part::Columns(names, left) => {
                names.push(column_name(payload).map_err(ProtocolError::Field)?);
                *left -= 1;
            }
            Part::Rows(_) if is_end(payload) => return ended(payload).map(|()| Some(std::mem::take(&mut self.rows))),
            Part::Rows(_) if self.rows.len() >= self.bounds.rows => return Err(ClientError::TooLong(self.bounds)),
            Part::Rows(columns) => {
                self.rows.push(Row { columns: Arc::clone(columns), payload: payload.to_vec() });
            }
        }
        Ok(None)
    }

    fn header(&mut self, payload: &[u8]) -> Result<Option<Vec<Row>>, ClientError> {
        let mut reader = Reader::new(payload);
        match payload.first() {
            Some(&OK) => return done(payload).map(|()| Some(Vec::new())),
            Some(&LOCAL_INFILE) => return Err(unexpected("answer: it asks for a file", payload)),
            _ => {}
        }
        let columns = number(&mut reader).map_err(ProtocolError::Field)?;
        let columns = columns.filter(|_| reader.left() == 0).ok_or_else(|| unexpected("number of columns", payload))?;
        let count = usize::try_from(columns).ok().filter(|count| (1..=MOST_COLUMNS).contains(count));
        let count = count.ok_or(ClientError::Columns { columns, most: MOST_COLUMNS })?;
        self.part = Part::Columns(Vec::new(), count);
        Ok(None)
    }
}

/// An OK packet after which nothing comes.
fn done(payload: &[u8]) -> Result<(), ClientError> {
    let mut reader = Reader::new(payload);
    let mut status = || {
        reader.u8("OK")?;
        number(&mut reader)?;
        number(&mut reader)?;
        reader.u16("status")
    };
    last(status().map_err(ProtocolError::Field)?, payload)
}

fn is_end(payload: &[u8]) -> bool {
    payload.first() == Some(&EOF.0) && payload.len() <= EOF.1
}

/// An EOF packet after which no other result comes.
fn ended(payload: &[u8]) -> Result<(), ClientError> {
    if !is_end(payload) {
        return Err(unexpected("end of columns", payload));
    }
    let mut reader = Reader::new(payload);
    let mut status = || reader.bytes("EOF and warnings", 1 + 2).and_then(|_| reader.u16("status"));
    last(status().map_err(ProtocolError::Field)?, payload)
}

fn last(status: u16, payload: &[u8]) -> Result<(), ClientError> {
    if status & MORE_RESULTS == 0 { Ok(()) } else { Err(unexpected("only answer", payload)) }
}

fn unexpected(expected: &'static str, payload: &[u8]) -> ClientError {
    ClientError::Unexpected { expected, length: payload.len() }
}

/// The name of a `Protocol::ColumnDefinition41`: behind catalog, schema, table and the table's own name.
fn column_name(payload: &[u8]) -> Result<String, FieldError> {
    let mut reader = Reader::new(payload);
    for _ in 0..4 {
        text(&mut reader)?;
    }
    text(&mut reader).map(|name| String::from_utf8_lossy(name.unwrap_or_default()).into_owned())
}

/// A length-encoded text; NULL is none.
fn text<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, FieldError> {
    let Some(length) = number(reader)? else { return Ok(None) };
    // More than there can be: the reader says so.
    reader.bytes("text", usize::try_from(length).unwrap_or(usize::MAX)).map(Some)
}

/// A length-encoded number; none where NULL stands.
fn number(reader: &mut Reader<'_>) -> Result<Option<u64>, FieldError> {
    const FIELD: &str = "length-encoded number";
    Ok(Some(match reader.u8(FIELD)? {
        0xfb => return Ok(None),
        0xfc => u64::from(reader.u16(FIELD)?),
        0xfd => {
            let [low, middle, high] = reader.array(FIELD)?;
            u64::from(u32::from_le_bytes([low, middle, high, 0]))
        }
        0xfe => reader.u64(FIELD)?,
        0xff => return Err(FieldError { field: FIELD, needed: 1, left: 0 }),
        small => u64::from(small),
    }))
}
