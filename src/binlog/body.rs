//! Bodies of the events that must be understood; all others pass by their length.

use super::checksum::Checksum;
use super::event_type::{EventType, HEADER_LEN};
use super::reader::{FieldError, Reader};
use super::xid::Xid;
use crate::gtid::Gtid;

/// Rows events tell in their flags (after the table id of 6 bytes) that they end the statement: `STMT_END_F`.
const STATEMENT_END: u16 = 1;

/// What is known of an event's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventBody {
    /// FORMAT_DESCRIPTION: how the events after it are to be read.
    FormatDescription(FormatDescription),
    /// GTID: a group begins.
    Gtid(GtidEvent),
    /// GTID_LIST: the binlog state at the start of the file, the last transaction of each domain and server.
    GtidList(Vec<Gtid>),
    /// ROTATE: the next file.
    Rotate(Rotate),
    /// QUERY whose text is COMMIT or ROLLBACK: it ends a transaction without XID.
    CommitQuery,
    /// QUERY that ends a prepared XA transaction.
    XaEnd(XaOutcome),
    /// DROP that crash recovery of DDL wrote: it may name only some of what the statement was to drop.
    RecoveredDrop,
    /// QUERY of another text.
    Query,
    /// XID: the transaction is committed.
    Xid,
    /// XA_PREPARE: the XA transaction is prepared (or committed in one phase).
    XaPrepare,
    /// Rows; `ends_statement` when no more rows of the statement follow.
    Rows {
        /// `STMT_END_F` is set.
        ends_statement: bool,
    },
    /// START_ENCRYPTION: what follows can be read with a key only.
    StartEncryption(StartEncryption),
    /// STOP: the server was shut down cleanly.
    Stop,
    /// Anything else.
    Other,
}

/// FORMAT_DESCRIPTION (`Format_description_log_event`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    /// Version of the server that wrote the file, such as `10.11.19-MariaDB-log`.
    pub(crate) server_version: String,
    /// Seconds since 1970 at which the server started, when this is the first file after a start; else 0.
    pub(crate) created: u32,
    /// How the events after this one are checked.
    pub(crate) checksum: Checksum,
    /// The body's bytes without the checksum, for sending it on.
    pub(crate) body: Vec<u8>,
}

impl FormatDescription {
    /// Bytes of the whole event, which always has a checksum.
    #[must_use]
    pub(crate) fn length(&self) -> u64 {
        (HEADER_LEN + self.body.len() + Checksum::Crc32.length()) as u64
    }
}

/// How a prepared XA transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XaOutcome {
    /// XA COMMIT.
    Commit,
    /// XA ROLLBACK.
    Rollback,
}

/// A GTID event (`Gtid_log_event`), without its commit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GtidEvent {
    /// The transaction's id; its server is the one in the event's header.
    pub gtid: Gtid,
    /// What kind of group follows.
    pub(crate) flags: GtidFlags,
    /// The XA transaction that the group prepares or ends.
    pub(crate) xid: Option<Xid>,
}

/// `flags2` of a GTID event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GtidFlags(pub(crate) u8);

impl GtidFlags {
    /// The group is one statement without a COMMIT: DDL, a statement on non-transactional tables, XA COMMIT.
    #[must_use]
    pub(crate) fn is_standalone(self) -> bool {
        self.0 & 0x1 != 0
    }

    /// The group was committed together with others: a commit id follows the flags.
    fn has_commit_id(self) -> bool {
        self.0 & 0x2 != 0
    }

    /// The group is DDL.
    #[must_use]
    pub(crate) fn is_ddl(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// The group prepares an XA transaction.
    #[must_use]
    pub(crate) fn prepares_xa(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// The group ends a prepared XA transaction.
    #[must_use]
    pub(crate) fn ends_xa(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// A ROTATE event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotate {
    /// Offset to go on from in the next file.
    pub(crate) position: u64,
    /// Name of the next file.
    pub(crate) file: String,
}

/// START_ENCRYPTION (`Start_encryption_log_event`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartEncryption {
    /// Encryption scheme.
    pub(crate) scheme: u8,
    /// Version of the key that is needed.
    pub(crate) key_version: u32,
    /// Part of each event's initialisation vector.
    pub(crate) nonce: [u8; 12],
}

impl StartEncryption {
    /// The only scheme there is: key number 1, and a vector of nonce and offset.
    pub(crate) const SCHEME: u8 = 1;
}

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The event is shorter than its fields.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Another format than that of MySQL 5.0 and later.
    #[error("binlog format version {version} with headers of {header} bytes is not supported (only 4 with 19)")]
    Version {
        /// Binlog version.
        version: u16,
        /// Length of the common header.
        header: u8,
    },
    /// A checksum algorithm this reader does not know.
    #[error("checksum algorithm {0} is not supported (only 0 NONE and 1 CRC32)")]
    Checksum(u8),
}

/// Reads `body`: the bytes between header and checksum, at least as far as [`bytes_needed`] says.
pub fn decode(event_type: EventType, server_id: u32, body: &[u8]) -> Result<EventBody, BodyError> {
    Ok(match event_type {
        EventType::FORMAT_DESCRIPTION => EventBody::FormatDescription(format_description(body)?),
        EventType::GTID => EventBody::Gtid(gtid(server_id, body)?),
        EventType::GTID_LIST => EventBody::GtidList(gtid_list(body)?),
        EventType::ROTATE => EventBody::Rotate(rotate(body)?),
        EventType::QUERY => query(body),
        EventType::QUERY_COMPRESSED => EventBody::Query,
        EventType::XID => EventBody::Xid,
        EventType::XA_PREPARE => EventBody::XaPrepare,
        EventType::STOP => EventBody::Stop,
        EventType::START_ENCRYPTION => EventBody::StartEncryption(start_encryption(body)?),
        kind if kind.is_rows() => EventBody::Rows { ends_statement: rows_end_statement(body)? },
        _ => EventBody::Other,
    })
}

/// How many bytes of a body [`decode`] looks at; more need not be kept.
#[must_use]
pub fn bytes_needed(event_type: EventType) -> usize {
    /// A GTID_LIST of 65,536 domains and servers.
    const LIST: usize = 1 << 20;
    /// The longest QUERY that can be a COMMIT: fixed part, status variables (u16) and database name.
    const COMMIT: usize = 1 << 17;
    /// Fixed part, commit id, and the longest name of an XA transaction.
    const GTID: usize = 13 + 8 + 6 + 128;
    match event_type {
        EventType::GTID_LIST => LIST,
        EventType::QUERY => COMMIT,
        EventType::FORMAT_DESCRIPTION | EventType::ROTATE => 1024,
        EventType::START_ENCRYPTION => 32,
        EventType::GTID => GTID,
        kind if kind.is_rows() => 8,
        _ => 0,
    }
}

/// Events whose body must be there as a whole, because their end carries meaning.
#[must_use]
pub(crate) fn must_be_whole(event_type: EventType) -> bool {
    matches!(event_type, EventType::GTID_LIST | EventType::FORMAT_DESCRIPTION | EventType::ROTATE)
}

fn format_description(body: &[u8]) -> Result<FormatDescription, BodyError> {
    let mut reader = Reader::new(body);
    let version = reader.u16("binlog version")?;
    let name = reader.bytes("server version", 50)?;
    let created = reader.u32("created")?;
    let header = reader.u8("header length")?;
    if version != 4 || header != 19 {
        return Err(BodyError::Version { version, header });
    }
    // The scanner hands over everything but the last 4 bytes, which are always a CRC-32: the algorithm comes last.
    let algorithm = reader.rest().last().copied();
    let algorithm = algorithm.ok_or(FieldError { field: "checksum algorithm", needed: 1, left: 0 })?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(FormatDescription {
        server_version: String::from_utf8_lossy(name).into_owned(),
        created,
        checksum: Checksum::from_number(algorithm).ok_or(BodyError::Checksum(algorithm))?,
        body: body.to_vec(),
    })
}

fn gtid(server: u32, body: &[u8]) -> Result<GtidEvent, BodyError> {
    let mut reader = Reader::new(body);
    let sequence = reader.u64("sequence number")?;
    let domain = reader.u32("domain id")?;
    let flags = GtidFlags(reader.u8("flags2")?);
    if flags.has_commit_id() {
        reader.u64("commit id")?;
    }
    let xid = if flags.prepares_xa() || flags.ends_xa() { Some(Xid::read(&mut reader)?) } else { None };
    Ok(GtidEvent { gtid: Gtid { domain, server, sequence }, flags, xid })
}

fn gtid_list(body: &[u8]) -> Result<Vec<Gtid>, BodyError> {
    /// The upper 4 bits of the count are flags.
    const COUNT: u32 = 0x0fff_ffff;
    let mut reader = Reader::new(body);
    let count = reader.u32("GTID count")? & COUNT;
    let mut gtids = Vec::new();
    for _ in 0..count {
        let domain = reader.u32("domain id")?;
        let server = reader.u32("server id")?;
        let sequence = reader.u64("sequence number")?;
        gtids.push(Gtid { domain, server, sequence });
    }
    Ok(gtids)
}

fn rotate(body: &[u8]) -> Result<Rotate, BodyError> {
    let mut reader = Reader::new(body);
    let position = reader.u64("position")?;
    Ok(Rotate { position, file: String::from_utf8_lossy(reader.rest()).into_owned() })
}

fn start_encryption(body: &[u8]) -> Result<StartEncryption, BodyError> {
    let mut reader = Reader::new(body);
    Ok(StartEncryption {
        scheme: reader.u8("scheme")?,
        key_version: reader.u32("key version")?,
        nonce: reader.array("nonce")?,
    })
}

fn rows_end_statement(body: &[u8]) -> Result<bool, BodyError> {
    let mut reader = Reader::new(body);
    reader.bytes("table id", 6)?;
    Ok(reader.u16("rows flags")? & STATEMENT_END != 0)
}

/// COMMIT and ROLLBACK as `Query_log_event::peek_is_commit_rollback` knows them; XA COMMIT and XA ROLLBACK as
/// `binlog_commit_flush_xa_trx_cache` writes them; the comment as `ddl_log.cc` does.
fn query(body: &[u8]) -> EventBody {
    let Ok(text) = query_text(body) else { return EventBody::Query };
    let begins = |words: &[u8]| text.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words));
    if text.eq_ignore_ascii_case(b"COMMIT") || text.eq_ignore_ascii_case(b"ROLLBACK") {
        EventBody::CommitQuery
    } else if begins(b"XA COMMIT ") {
        EventBody::XaEnd(XaOutcome::Commit)
    } else if begins(b"XA ROLLBACK ") {
        EventBody::XaEnd(XaOutcome::Rollback)
    } else if text.ends_with(b"/* generated by ddl recovery */") {
        EventBody::RecoveredDrop
    } else {
        EventBody::Query
    }
}

fn query_text(body: &[u8]) -> Result<&[u8], FieldError> {
    let mut reader = Reader::new(body);
    reader.bytes("thread id and seconds", 8)?;
    let database = reader.u8("database length")?;
    reader.u16("error code")?;
    let variables = reader.u16("status variables length")?;
    reader.bytes("status variables", usize::from(variables))?;
    reader.bytes("database and its NUL", usize::from(database) + 1)?;
    Ok(reader.rest())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query_body(text: &str) -> Vec<u8> {
        let mut body = vec![0; 8];
        body.extend([1, 0, 0, 3, 0, 9, 9, 9, b'd', 0]);
        body.extend(text.as_bytes());
        body
    }

    #[test]
    fn commit_and_rollback_end_a_transaction_and_other_queries_do_not() {
        for (text, expected) in
            [("COMMIT", true), ("rollback", true), ("ROLLBACK TO `a`", false), ("SELECT 'COMMIT'", false), ("", false)]
        {
            let body = decode(EventType::QUERY, 1, &query_body(text)).unwrap();
            assert_eq!(body == EventBody::CommitQuery, expected, "{text}");
        }
    }

    #[test]
    fn the_ends_of_xa_transactions_and_recovered_drops_are_known() {
        for (text, expected) in [
            ("XA COMMIT X'67',X'',1", EventBody::XaEnd(XaOutcome::Commit)),
            ("XA ROLLBACK X'67',X'',1", EventBody::XaEnd(XaOutcome::Rollback)),
            ("XA START X'67',X'',1", EventBody::Query),
            ("DROP TABLE IF EXISTS `d`.`t` /* generated by ddl recovery */", EventBody::RecoveredDrop),
            ("DROP TABLE IF EXISTS `d`.`t` /* generated by server */", EventBody::Query),
        ] {
            assert_eq!(decode(EventType::QUERY, 1, &query_body(text)).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn the_xa_name_stands_behind_the_commit_id() {
        let fixed = |flags| [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags];
        let name = [1, 0, 0, 0, 1, 0, b'g'];
        for body in [[&fixed(0x4c)[..], &name].concat(), [&fixed(0x8f)[..], &[9; 8], &name].concat()] {
            let EventBody::Gtid(event) = decode(EventType::GTID, 33, &body).unwrap() else { panic!() };
            assert_eq!(event.xid, Xid::new(1, 1, b"g"));
        }
        assert!(decode(EventType::GTID, 33, &fixed(0x40)).is_err());
    }

    #[test]
    fn a_count_larger_than_the_event_is_an_error_and_allocates_nothing() {
        let body = [0xff, 0xff, 0xff, 0x0f];
        let error = decode(EventType::GTID_LIST, 1, &body).unwrap_err();
        assert_eq!(error, BodyError::Field(FieldError { field: "domain id", needed: 4, left: 0 }));
    }

    #[test]
    fn the_server_of_a_gtid_is_that_of_the_header() {
        let body = [7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let EventBody::Gtid(event) = decode(EventType::GTID, 33, &body).unwrap() else { panic!() };
        assert_eq!(event.gtid.to_string(), "2-33-7");
        assert!(event.flags.is_standalone());
    }
}
