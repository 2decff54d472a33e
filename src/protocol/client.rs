//! The client's side of one connection: logs in, asks one statement at a time, and takes answers within bounds.
//!
//! The server may be anybody who took a member's address. It logs in by `mysql_native_password` and nothing else:
//! whoever asks for the password itself, in clear or under a key of their own (`caching_sha2_password`), is refused. No
//! memory is taken for what is only announced, and no answer may be longer than the caller's bounds.
//!
//! Sources: MariaDB Knowledge Base, "Connection", "Result Set Packets", "ERR_Packet"; docs/decisions/40-own-sql-client.md
//! for why it is our own.

mod bounds;
mod err_packet;
mod error;
mod login;
mod result;

use std::fmt;

pub(crate) use self::bounds::Bounds;
pub(crate) use self::err_packet::Refusal;
pub(crate) use self::error::ClientError;
pub(crate) use self::login::Credentials;
use self::login::{Greeting, Switch};
pub(crate) use self::result::Row;
use self::result::{Collecting, OK};
use super::command;
use super::packet::{MAX_LOGIN_PACKET, Packet, PacketReader, PacketWriter, ProtocolError};

/// What came of the login or of a statement: rows, none when there is nothing to tell, or the server's error.
pub(crate) type Answer = Result<Vec<Row>, Refusal>;

/// One connection. It begins with the login, whose outcome is the first [`Self::take_answer`].
pub(crate) struct Client {
    credentials: Credentials,
    bounds: Bounds,
    input: PacketReader,
    output: Vec<u8>,
    phase: Phase,
    /// Sequence number of the next packet of the server.
    due: u8,
    connection_id: u32,
}

#[derive(Debug)]
enum Phase {
    /// The greeting is due.
    Connected,
    /// The answer to our login is due. A server may ask once for another challenge to be answered.
    LoggingIn { switched: bool },
    /// Nothing is due; the last answer, until it is taken.
    Idle(Option<Answer>),
    /// The answer to a statement is due.
    Asked(Collecting),
}

/// Without what comes and goes: that may prove the password, or hold one.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { credentials, connection_id, .. } = self;
        f.debug_struct("Client").field("credentials", credentials).field("id", connection_id).finish_non_exhaustive()
    }
}

impl Client {
    /// A connection on which nothing has been sent.
    #[must_use]
    pub(crate) fn new(credentials: Credentials, bounds: Bounds) -> Self {
        let (input, output) = (PacketReader::default(), Vec::new());
        Self { credentials, bounds, input, output, phase: Phase::Connected, due: 0, connection_id: 0 }
    }

    /// Bytes to send to the server.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The server's number for this connection, for KILL; 0 before the greeting.
    #[must_use]
    pub(crate) fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// Other bounds for the answers to come.
    pub(crate) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Asks a statement. The answer to the one before must have been taken: one that is still to come would be taken for
    /// this one's.
    ///
    /// # Errors
    /// The server has said something unasked, as when the session was killed: close the connection.
    pub(crate) fn ask(&mut self, statement: &str) -> Result<(), ClientError> {
        if let Some(packet) = self.input.next(self.bounds.packet())? {
            return Err(match packet.payload.split_first() {
                Some((&ERR, rest)) => ClientError::Ended(Refusal::read(rest).map_err(ProtocolError::Field)?),
                _ => ClientError::Unexpected { expected: "answer: nothing was asked", length: packet.payload.len() },
            });
        }
        let payload: Vec<u8> = std::iter::once(command::QUERY).chain(statement.bytes()).collect();
        PacketWriter::new(0).payload(&mut self.output, &payload);
        self.due = 1;
        self.phase = Phase::Asked(Collecting::new(self.bounds));
        Ok(())
    }

    /// What came of the login or of the statement, once it is there.
    pub(crate) fn take_answer(&mut self) -> Option<Answer> {
        if let Phase::Idle(answer) = &mut self.phase { answer.take() } else { None }
    }

    /// Takes bytes of the server.
    ///
    /// # Errors
    /// Close the connection.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.input.feed(bytes);
        loop {
            let limit = match &self.phase {
                // What comes between an answer and the next statement is read with that.
                Phase::Idle(_) => return Ok(()),
                Phase::Connected | Phase::LoggingIn { .. } => MAX_LOGIN_PACKET,
                Phase::Asked(_) => self.bounds.packet(),
            };
            let Some(packet) = self.input.next(limit)? else { return Ok(()) };
            self.packet(&packet)?;
        }
    }

    fn packet(&mut self, packet: &Packet) -> Result<(), ClientError> {
        let payload = packet.payload.as_slice();
        let (first, rest) = payload.split_first().ok_or(ProtocolError::Empty)?;
        if *first == ERR {
            let refusal = Refusal::read(rest).map_err(ProtocolError::Field)?;
            // It was sent before the server had read the statement: the session is over.
            if matches!(self.phase, Phase::Asked(_)) && packet.sequence != self.due {
                return Err(ClientError::Ended(refusal));
            }
            self.phase = Phase::Idle(Some(Err(refusal)));
            return Ok(());
        }
        packet.expect(self.due)?;
        self.due = self.due.wrapping_add(1);
        match &mut self.phase {
            Phase::Connected => {
                let greeting = Greeting::read(payload)?;
                self.connection_id = greeting.connection_id;
                self.send(&login::response(&self.credentials, &greeting.scramble));
                self.phase = Phase::LoggingIn { switched: false };
            }
            Phase::LoggingIn { switched } => match (*first, *switched) {
                (OK, _) => self.phase = Phase::Idle(Some(Ok(Vec::new()))),
                (SWITCH, false) => {
                    let scramble = Switch::read(rest)?.scramble;
                    self.send(&login::token_for(&self.credentials, &scramble));
                    self.phase = Phase::LoggingIn { switched: true };
                }
                _ => return Err(ClientError::Unexpected { expected: "answer to a login", length: payload.len() }),
            },
            Phase::Asked(collecting) => {
                if let Some(rows) = collecting.take(&packet.payload)? {
                    self.phase = Phase::Idle(Some(Ok(rows)));
                }
            }
            Phase::Idle(_) => {}
        }
        Ok(())
    }

    fn send(&mut self, payload: &[u8]) {
        PacketWriter::new(self.due).payload(&mut self.output, payload);
        self.due = self.due.wrapping_add(1);
    }

    /// The bytes that end a session, so that the server does not log it as aborted; none in the middle of a statement.
    #[must_use]
    pub(crate) fn farewell(&self) -> Option<Vec<u8>> {
        matches!(self.phase, Phase::Idle(_)).then(|| {
            let mut out = Vec::new();
            PacketWriter::new(0).payload(&mut out, &[command::QUIT]);
            out
        })
    }
}

/// First byte of an error.
const ERR: u8 = 0xff;
/// `AuthSwitchRequest`.
const SWITCH: u8 = 0xfe;

#[cfg(test)]
mod tests;
