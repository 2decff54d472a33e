//! The server's greeting, our answer to it, and the one other challenge that is answered.

use std::fmt;

use super::super::auth::{PLUGIN, SCRAMBLE_LEN, Scramble, token};
use super::super::capability;
use super::error::ClientError;
use crate::binlog::{FieldError, Reader};

const PROTOCOL: u8 = 10;
/// utf8mb4_general_ci, which all versions have.
const CHARSET: u8 = 45;
/// Bytes of the challenge before and behind what else the greeting says.
const PARTS: (usize, usize) = (8, 12);

/// Who logs in. Without a password only a server that knows the client's process takes it (`unix_socket`).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The account.
    pub(crate) user: String,
    /// Its password.
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// `Protocol::HandshakeV10`.
pub(super) struct Greeting {
    pub(crate) connection_id: u32,
    pub(crate) scramble: Scramble,
}

impl Greeting {
    /// Whatever plugin it names: the account's own is what counts, and the server asks for that.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, ClientError> {
        let mut reader = Reader::new(payload);
        if field(reader.u8("protocol"))? != PROTOCOL {
            return Err(ClientError::Old);
        }
        field(reader.until_nul("server version"))?;
        let connection_id = field(reader.u32("connection id"))?;
        let first = field(reader.bytes("first part of the challenge", PARTS.0))?;
        field(reader.u8("filler"))?;
        let low = field(reader.u16("capabilities"))?;
        field(reader.bytes("character set and status", 1 + 2))?;
        let high = field(reader.u16("more capabilities"))?;
        let capabilities = u32::from(high) << 16 | u32::from(low);
        if capabilities & capability::NEEDED != capability::NEEDED {
            return Err(ClientError::Old);
        }
        field(reader.bytes("length of the challenge and reserved bytes", 1 + 10))?;
        let second = field(reader.bytes("second part of the challenge", PARTS.1))?;
        Ok(Self { connection_id, scramble: challenge(&[first, second].concat())? })
    }
}

/// `AuthSwitchRequest`, behind its first byte.
pub(super) struct Switch {
    pub(crate) scramble: Scramble,
}

impl Switch {
    pub(crate) fn read(rest: &[u8]) -> Result<Self, ClientError> {
        let mut reader = Reader::new(rest);
        // Without a name it asks for the hash of before 4.1, which tells the password.
        let plugin = reader.until_nul("plugin").unwrap_or(b"mysql_old_password");
        if plugin != PLUGIN.as_bytes() {
            let shown = &plugin[..plugin.len().min(LONGEST_NAME)];
            return Err(ClientError::Plugin { plugin: String::from_utf8_lossy(shown).into_owned() });
        }
        Ok(Self { scramble: challenge(field(reader.bytes("challenge", SCRAMBLE_LEN))?)? })
    }
}

/// Bytes of a plugin's name that are shown.
const LONGEST_NAME: usize = 64;

fn challenge(bytes: &[u8]) -> Result<Scramble, ClientError> {
    field(Reader::new(bytes).array::<SCRAMBLE_LEN>("challenge")).map(Scramble::of_server)
}

fn field<T>(read: Result<T, FieldError>) -> Result<T, ClientError> {
    read.map_err(|error| ClientError::Packet(error.into()))
}

/// `Protocol::HandshakeResponse41`.
pub(super) fn response(credentials: &Credentials, scramble: &Scramble) -> Vec<u8> {
    /// The longest packet of an answer, as servers want to know it: they do not care.
    const MAX_PACKET: u32 = 0xff_ffff;
    let mut out = capability::USED.to_le_bytes().to_vec();
    out.extend(MAX_PACKET.to_le_bytes());
    out.push(CHARSET);
    out.extend([0; 23]);
    // A NUL would end the name early.
    out.extend(credentials.user.bytes().filter(|byte| *byte != 0));
    out.push(0);
    let token = token_for(credentials, scramble);
    out.push(u8::try_from(token.len()).unwrap_or_default());
    out.extend(token);
    out.extend(PLUGIN.bytes());
    out.push(0);
    out
}

/// The answer to a challenge; nothing without a password.
pub(super) fn token_for(credentials: &Credentials, scramble: &Scramble) -> Vec<u8> {
    let password = credentials.password.as_deref().filter(|password| !password.is_empty());
    password.map(|password| token(password.as_bytes(), scramble).to_vec()).unwrap_or_default()
}
