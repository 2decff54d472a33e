//! One client's connection, from the greeting to the stream.

use std::sync::Arc;
use std::time::Duration;

use super::auth::{Login, Scramble};
use super::dump::{Dump, Need, Request};
use super::greeting;
use super::packet::{MAX_LOGIN_PACKET, MAX_PACKET, Packet, PacketReader, PacketWriter, ProtocolError};
use super::query::{self, Query};
use super::reply::{OK, ResultSet, ServerError};
use crate::binlog::{Catalogue, FileScan};

/// The commands a replica sends (`enum_server_command`).
mod command {
    pub const QUIT: u8 = 1;
    pub const QUERY: u8 = 3;
    pub const PING: u8 = 14;
    pub const BINLOG_DUMP: u8 = 18;
    pub const REGISTER_SLAVE: u8 = 21;
}

/// What a connection is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The logs that are served.
    pub catalogue: Arc<Catalogue>,
    /// Who may read them.
    pub login: Login,
    /// A challenge of this connection alone.
    pub scramble: Scramble,
    /// Number of the connection, as KILL names it.
    pub connection_id: u32,
}

/// What the caller does next, after it has sent [`Connection::take_output`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Wait for bytes of the client. Before the stream begins the caller may lose patience.
    Receive,
    /// Scan this file (its index in the catalogue) and call [`Connection::scanned`]. Meanwhile bytes may come, and a
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
pub struct Connection {
    settings: Settings,
    input: PacketReader,
    output: Vec<u8>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Greeted,
    Asking(Session),
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
    until: bool,
}

impl Connection {
    /// A connection that begins with the greeting in its output.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let version = &settings.catalogue.last().head.format.server_version;
        let greeting = greeting::greeting(version, settings.connection_id, &settings.scramble);
        let mut output = Vec::new();
        PacketWriter::new(0).payload(&mut output, &greeting);
        Self { settings, input: PacketReader::default(), output, phase: Phase::Greeted }
    }

    /// Bytes to send to the client.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// True once the client has logged in and asked for the stream.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        matches!(self.phase, Phase::Streaming(_))
    }

    /// Takes bytes of the client; `now` is the time in seconds since 1970.
    ///
    /// # Errors
    /// The client does not speak the protocol: close the connection.
    pub fn receive(&mut self, bytes: &[u8], now: u64) -> Result<(), ProtocolError> {
        self.input.feed(bytes);
        loop {
            let limit = if matches!(self.phase, Phase::Greeted) { MAX_LOGIN_PACKET } else { MAX_PACKET };
            let Some(packet) = self.input.next(limit)? else { return Ok(()) };
            self.packet(&packet, now)?;
        }
    }

    /// What to do next. Send [`Self::take_output`] before doing it.
    pub fn step(&mut self) -> Step {
        let dump = match &mut self.phase {
            Phase::Greeted | Phase::Asking(_) => return Step::Receive,
            Phase::Closed => return Step::Close,
            Phase::Streaming(dump) => dump,
        };
        let heartbeat = dump.heartbeat_period();
        match dump.need(&mut self.output) {
            Ok(Need::Scan(file)) => Step::Scan { file, heartbeat },
            Ok(Need::Bytes { file, offset, length }) => Step::Read { file, offset, length },
            Ok(Need::Nothing) => Step::Idle { heartbeat },
            Err(error) => self.end_stream(&error),
        }
    }

    /// The contents of a file that [`Step::Scan`] asked for.
    pub fn scanned(&mut self, file: usize, scan: &Arc<FileScan>) {
        if let Phase::Streaming(dump) = &mut self.phase
            && let Err(error) = dump.scanned(file, scan)
        {
            self.end_stream(&error);
        }
    }

    /// The bytes that [`Step::Read`] asked for, or the first of them.
    pub fn file_bytes(&mut self, bytes: &[u8]) {
        if let Phase::Streaming(dump) = &mut self.phase
            && let Err(error) = dump.bytes(bytes, &mut self.output)
        {
            self.end_stream(&error);
        }
    }

    /// A heartbeat's period has passed.
    pub fn heartbeat(&mut self) {
        if let Phase::Streaming(dump) = &mut self.phase {
            dump.heartbeat(&mut self.output);
        }
    }

    /// A file cannot be read: tells the replica and closes.
    pub fn fail(&mut self, reason: &str) {
        self.end_stream(&ServerError::binlog(reason));
    }

    fn end_stream(&mut self, error: &ServerError) -> Step {
        if let Phase::Streaming(dump) = &mut self.phase {
            dump.refuse(error, &mut self.output);
        }
        self.phase = Phase::Closed;
        Step::Close
    }

    fn packet(&mut self, packet: &Packet, now: u64) -> Result<(), ProtocolError> {
        match self.phase {
            Phase::Greeted => {
                expect_sequence(packet, 1)?;
                self.log_in(&packet.payload)
            }
            Phase::Asking(_) => {
                expect_sequence(packet, 0)?;
                self.command(&packet.payload, now)
            }
            Phase::Streaming(_) => {
                // Everything else is an acknowledgement of semi-sync, which nobody waits for.
                if packet.payload == [command::QUIT] {
                    self.phase = Phase::Closed;
                }
                Ok(())
            }
            Phase::Closed => Ok(()),
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
                answer(query, session, &self.settings.catalogue, now, &mut reply);
            }
            command::PING | command::REGISTER_SLAVE => reply.ok(),
            command::QUIT => self.phase = Phase::Closed,
            command::BINLOG_DUMP => self.phase = start_stream(session, &self.settings.catalogue, reply.out),
            _ => reply.error(&ServerError::unknown_command()),
        }
        Ok(())
    }
}

fn expect_sequence(packet: &Packet, expected: u8) -> Result<(), ProtocolError> {
    let found = packet.sequence;
    if found == expected { Ok(()) } else { Err(ProtocolError::Sequence { found, expected }) }
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

fn answer(query: Query, session: &mut Session, catalogue: &Catalogue, now: u64, reply: &mut Reply<'_>) {
    let head = &catalogue.last().head;
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
        Query::OtherSelect => reply.rows(&ResultSet::value("NULL", None)),
        Query::OtherVariable => reply.rows(&ResultSet::variable(None)),
        Query::Unknown => reply.error(&ServerError::unknown_statement()),
        setting => {
            apply(setting, session);
            reply.ok();
        }
    }
}

/// Statements that are answered with OK.
fn apply(setting: Query, session: &mut Session) {
    match setting {
        Query::HeartbeatPeriod(nanoseconds) => {
            session.heartbeat = (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds));
        }
        Query::ChecksumAware => session.checksum_aware = true,
        Query::ConnectState(position) => session.connect_state = Some(position),
        Query::Until => session.until = true,
        Query::SemiSync => session.semi_sync = true,
        _ => {}
    }
}

fn start_stream(session: &mut Session, catalogue: &Arc<Catalogue>, out: &mut Vec<u8>) -> Phase {
    let stream = request(session).and_then(|request| Dump::begin(Arc::clone(catalogue), request, 1, out));
    match stream {
        Ok(dump) => Phase::Streaming(Box::new(dump)),
        Err(error) => {
            PacketWriter::new(1).payload(out, &error.payload());
            Phase::Closed
        }
    }
}

fn request(session: &mut Session) -> Result<Request, ServerError> {
    let refused = |text: &str| Err(ServerError::binlog(text));
    let Some(state) = session.connect_state.take() else {
        return refused("This server serves GTID positions only: use CHANGE MASTER TO MASTER_USE_GTID=slave_pos");
    };
    if session.until {
        return refused("This server does not serve START SLAVE UNTIL: use MASTER_GTID_WAIT on the replica");
    }
    if !session.checksum_aware {
        return refused("Slave can not handle replication events with the checksum that master is configured to log");
    }
    let had = state.parse().map_err(|error| ServerError::binlog(format!("@slave_connect_state: {error}")))?;
    Ok(Request { had, semi_sync: session.semi_sync, heartbeat: session.heartbeat })
}
