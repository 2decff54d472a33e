//! One client's connection, from the greeting to the stream.

use std::sync::Arc;
use std::time::Duration;

use super::auth::{Login, Scramble};
use super::command;
use super::dump::{Dump, Need, Place, Request};
use super::greeting;
use super::packet::{MAX_LOGIN_PACKET, MAX_PACKET, Packet, PacketReader, PacketWriter, ProtocolError};
use super::query::{self, Query};
use super::reply::{OK, ResultSet, ServerError};
use super::until::Until;
use crate::binlog::{Catalogue, FileScan, Head, NoStart, Reader, Start};
use crate::gtid::GtidPosition;

/// What a connection is made of.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The logs that are served.
    pub(crate) catalogue: Arc<Catalogue>,
    /// Who may read them.
    pub(crate) login: Login,
    /// A challenge of this connection alone.
    pub(crate) scramble: Scramble,
    /// Number of the connection, as KILL names it.
    pub(crate) connection_id: u32,
}

/// What the caller does next, after it has sent [`Connection::take_output`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for bytes of the client. Before the stream begins the caller may lose patience.
    Receive,
    /// Find out the position at an offset of this file and call [`Connection::position`].
    Position {
        /// Index of the file in the catalogue.
        file: usize,
        /// Offset in it.
        offset: u64,
    },
    /// Find out where the stream begins and call [`Connection::started`].
    Start(Place),
    /// Find out what this file (its index in the catalogue) holds and call [`Connection::scanned`]. Meanwhile bytes may come, and a
    /// heartbeat is due in each period.
    Scan {
        /// Index of the file in the catalogue.
        file: usize,
        /// Period of heartbeats; `None` when the replica wants none.
        heartbeat: Option<Duration>,
    },
    /// Read so many bytes and call [`Connection::file_bytes`].
    Read {
        /// Index of the file in the catalogue.
        file: usize,
        /// Where to read.
        offset: u64,
        /// How much to read.
        length: u64,
    },
    /// Everything was sent: wait for bytes of the client, a heartbeat is due in each period.
    Idle {
        /// Period of heartbeats; `None` when the replica wants none.
        heartbeat: Option<Duration>,
    },
    /// Close the connection.
    Close,
}

/// The server's side of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    settings: Settings,
    input: PacketReader,
    output: Vec<u8>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Greeted,
    Asking(Session),
    /// Asked for the position at an offset of a file.
    Locating(Session, usize, u64),
    /// Asked for the stream.
    Starting(Request),
    Streaming(Box<Dump>),
    Closed,
}

/// What the replica has set so far.
#[derive(Debug, Default)]
struct Session {
    connect_state: Option<String>,
    heartbeat: Option<Duration>,
    checksum_aware: bool,
    semi_sync: bool,
    until: Option<String>,
    until_before: bool,
}

impl Connection {
    /// A connection that begins with the greeting in its output.
    #[must_use]
    pub(crate) fn new(settings: Settings) -> Self {
        let version = &settings.catalogue.last_head().format.server_version;
        let greeting = greeting::greeting(version, settings.connection_id, &settings.scramble);
        let mut output = Vec::new();
        PacketWriter::new(0).payload(&mut output, &greeting);
        Self { settings, input: PacketReader::default(), output, phase: Phase::Greeted }
    }

    /// Bytes to send to the client.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Takes back what [`Self::take_output`] gave, once it is sent: its memory is used for what comes next, because fresh memory
    /// for each piece of a long tail costs more than the bytes in it.
    pub(crate) fn reuse(&mut self, mut sent: Vec<u8>) {
        if self.output.is_empty() {
            sent.clear();
            self.output = sent;
        }
    }

    /// True once the client has logged in, and until the connection is to be closed.
    #[must_use]
    pub(crate) fn is_logged_in(&self) -> bool {
        !matches!(self.phase, Phase::Greeted | Phase::Closed)
    }

    /// Takes bytes of the client; `now` is the time in seconds since 1970.
    ///
    /// # Errors
    /// The client does not speak the protocol: close the connection.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: u64) -> Result<(), ProtocolError> {
        self.input.feed(bytes);
        loop {
            if matches!(self.phase, Phase::Locating(..) | Phase::Starting(_)) {
                // What comes behind the question waits for the answer.
                return Ok(());
            }
            let limit = if matches!(self.phase, Phase::Greeted) { MAX_LOGIN_PACKET } else { MAX_PACKET };
            let Some(packet) = self.input.next(limit)? else { return Ok(()) };
            self.packet(&packet, now)?;
        }
    }

    /// What to do next. Send [`Self::take_output`] before doing it.
    pub(crate) fn step(&mut self) -> Step {
        let dump = match &mut self.phase {
            Phase::Greeted | Phase::Asking(_) => return Step::Receive,
            Phase::Locating(_, file, offset) => return Step::Position { file: *file, offset: *offset },
            Phase::Starting(request) => return Step::Start(request.place.clone()),
            Phase::Closed => return Step::Close,
            Phase::Streaming(dump) => dump,
        };
        let heartbeat = dump.heartbeat_period();
        match dump.need(&mut self.output) {
            Need::Scan(file) => Step::Scan { file, heartbeat },
            Need::Bytes { file, offset, length } => Step::Read { file, offset, length },
            Need::Nothing => Step::Idle { heartbeat },
        }
    }

    /// The answer to [`Step::Position`]; `None` when it cannot be told.
    pub(crate) fn position(&mut self, position: Option<&GtidPosition>) {
        if let Phase::Locating(session, ..) = &mut self.phase {
            let session = std::mem::take(session);
            let mut reply = Reply { writer: PacketWriter::new(1), out: &mut self.output };
            reply.rows(&ResultSet::value("binlog_gtid_pos()", position.map(ToString::to_string)));
            self.phase = Phase::Asking(session);
        }
    }

    /// The answer to [`Step::Start`]: where, and the head of that file. Refusals have the text a primary sends.
    pub(crate) fn started(&mut self, start: Result<(Start, &Head), NoStart>) {
        let Phase::Starting(request) = &mut self.phase else { return };
        match start {
            Ok((start, head)) => {
                let dump =
                    Dump::begin(Arc::clone(&self.settings.catalogue), request.clone(), (start, head), &mut self.output);
                self.phase = Phase::Streaming(Box::new(dump));
            }
            Err(refusal) => {
                PacketWriter::new(1).payload(&mut self.output, &ServerError::binlog(refusal.to_string()).payload());
                self.phase = Phase::Closed;
            }
        }
    }

    /// The contents of a file that [`Step::Scan`] asked for; `None` when it has no head.
    pub(crate) fn scanned(&mut self, file: usize, contents: Option<(&Head, &Arc<FileScan>)>) {
        if let Phase::Streaming(dump) = &mut self.phase
            && let Err(error) = dump.scanned(file, contents, &mut self.output)
        {
            self.end_stream(&error);
        }
    }

    /// The bytes that [`Step::Read`] asked for, or the first of them.
    pub(crate) fn file_bytes(&mut self, bytes: &[u8]) {
        if let Phase::Streaming(dump) = &mut self.phase
            && let Err(error) = dump.bytes(bytes, &mut self.output)
        {
            self.end_stream(&error);
        }
    }

    /// A heartbeat's period has passed.
    pub(crate) fn heartbeat(&mut self) {
        if let Phase::Streaming(dump) = &mut self.phase {
            dump.heartbeat(&mut self.output);
        }
    }

    /// A file cannot be read: tells the replica and closes.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.end_stream(&ServerError::binlog(reason));
    }

    fn end_stream(&mut self, error: &ServerError) -> Step {
        match &mut self.phase {
            Phase::Streaming(dump) => dump.refuse(error, &mut self.output),
            Phase::Starting(_) => PacketWriter::new(1).payload(&mut self.output, &error.payload()),
            _ => {}
        }
        self.phase = Phase::Closed;
        Step::Close
    }

    fn packet(&mut self, packet: &Packet, now: u64) -> Result<(), ProtocolError> {
        match self.phase {
            Phase::Greeted => {
                packet.expect(1)?;
                self.log_in(&packet.payload)
            }
            Phase::Asking(_) => {
                packet.expect(0)?;
                self.command(&packet.payload, now)
            }
            Phase::Streaming(_) => {
                // Everything else is an acknowledgement of semi-sync, which nobody waits for.
                if packet.payload == [command::QUIT] {
                    self.phase = Phase::Closed;
                }
                Ok(())
            }
            Phase::Locating(..) | Phase::Starting(_) | Phase::Closed => Ok(()),
        }
    }

    fn log_in(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        let answer = greeting::answer(payload)?;
        let mut reply = Reply { writer: PacketWriter::new(2), out: &mut self.output };
        if self.settings.login.admits(answer.user, answer.token, &self.settings.scramble) {
            reply.ok();
            self.phase = Phase::Asking(Session::default());
        } else {
            reply.error(&ServerError::denied(answer.user));
            self.phase = Phase::Closed;
        }
        Ok(())
    }

    fn command(&mut self, payload: &[u8], now: u64) -> Result<(), ProtocolError> {
        let Phase::Asking(session) = &mut self.phase else { return Ok(()) };
        let (command, argument) = payload.split_first().ok_or(ProtocolError::Empty)?;
        let mut reply = Reply { writer: PacketWriter::new(1), out: &mut self.output };
        match *command {
            command::QUERY => {
                let query = query::read(&String::from_utf8_lossy(argument));
                if let Some((file, offset)) = answer(query, session, &self.settings.catalogue, now, &mut reply) {
                    self.phase = Phase::Locating(std::mem::take(session), file, offset);
                }
            }
            command::PING | command::REGISTER_SLAVE => reply.ok(),
            command::QUIT => self.phase = Phase::Closed,
            command::BINLOG_DUMP => match request(session, argument)? {
                Ok(request) => self.phase = Phase::Starting(request),
                Err(refusal) => {
                    reply.error(&refusal);
                    self.phase = Phase::Closed;
                }
            },
            _ => reply.error(&ServerError::unknown_command()),
        }
        Ok(())
    }
}

/// Writes the answer to one command.
struct Reply<'a> {
    writer: PacketWriter,
    out: &'a mut Vec<u8>,
}

impl Reply<'_> {
    fn ok(&mut self) {
        self.writer.payload(self.out, OK);
    }

    fn error(&mut self, error: &ServerError) {
        self.writer.payload(self.out, &error.payload());
    }

    fn rows(&mut self, rows: &ResultSet) {
        for payload in rows.payloads() {
            self.writer.payload(self.out, &payload);
        }
    }
}

/// Answers, or says which file and offset must be looked at for it.
fn answer(
    query: Query,
    session: &mut Session,
    catalogue: &Catalogue,
    now: u64,
    reply: &mut Reply<'_>,
) -> Option<(usize, u64)> {
    let head = catalogue.last_head();
    match query {
        Query::UnixTimestamp => reply.rows(&ResultSet::value("UNIX_TIMESTAMP()", Some(now.to_string()))),
        Query::ServerId => reply.rows(&ResultSet::variable(Some(("server_id", head.server_id.to_string())))),
        Query::Checksum => {
            reply.rows(&ResultSet::value("@master_binlog_checksum", Some(head.format.checksum.name().to_owned())));
        }
        Query::DomainId => {
            let domain = catalogue.last_scan().position.iter().next().map_or(0, |gtid| gtid.domain);
            reply.rows(&ResultSet::value("@@GLOBAL.gtid_domain_id", Some(domain.to_string())));
        }
        Query::GtidPosition(file, offset) => match catalogue.index_of(&file) {
            Some(file) => return Some((file, offset)),
            None => reply.rows(&ResultSet::value("binlog_gtid_pos()", None)),
        },
        Query::OtherSelect => reply.rows(&ResultSet::value("NULL", None)),
        Query::OtherVariable => reply.rows(&ResultSet::variable(None)),
        Query::Unknown => reply.error(&ServerError::unknown_statement()),
        setting => {
            apply(setting, session);
            reply.ok();
        }
    }
    None
}

/// Statements that are answered with OK.
fn apply(setting: Query, session: &mut Session) {
    match setting {
        Query::HeartbeatPeriod(nanoseconds) => {
            session.heartbeat = (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds));
        }
        Query::ChecksumAware => session.checksum_aware = true,
        Query::ConnectState(position) => session.connect_state = Some(position),
        Query::Until(position) => session.until = Some(position),
        Query::UntilBefore(before) => session.until_before = before,
        Query::SemiSync => session.semi_sync = true,
        _ => {}
    }
}

/// What a replica wants, from COM_BINLOG_DUMP and what it has set before.
fn request(session: &mut Session, argument: &[u8]) -> Result<Result<Request, ServerError>, ProtocolError> {
    let mut reader = Reader::new(argument);
    let offset = u64::from(reader.u32("offset")?);
    reader.bytes("flags and server id", 2 + 4)?;
    let file = String::from_utf8_lossy(reader.rest()).into_owned();
    if !session.checksum_aware {
        let text = "Slave can not handle replication events with the checksum that master is configured to log";
        return Ok(Err(ServerError::binlog(text)));
    }
    let place = match session.connect_state.take() {
        Some(state) => match state.parse() {
            Ok(position) => Place::After(position),
            Err(error) => return Ok(Err(ServerError::binlog(format!("@slave_connect_state: {error}")))),
        },
        None => Place::At { file, offset },
    };
    let until = match session.until.take().map(|text| text.parse::<GtidPosition>()).transpose() {
        Ok(position) => position.map(|position| Until::new(position, session.until_before)),
        Err(error) => return Ok(Err(ServerError::binlog(format!("@slave_until_gtid: {error}")))),
    };
    Ok(Ok(Request { place, until, semi_sync: session.semi_sync, heartbeat: session.heartbeat }))
}
