//! The greeting and the client's answer to it.

use super::auth::{PLUGIN, Scramble};
use super::capability;
use super::packet::ProtocolError;
use crate::binlog::Reader;

const PROTOCOL: u8 = 10;
/// utf8mb3_general_ci.
const CHARSET: u8 = 33;
const AUTOCOMMIT: u16 = 2;
/// MariaDB replicas of all versions look behind this prefix for the version (`RPL_VERSION_HACK`).
const VERSION_PREFIX: &str = "5.5.5-";

/// The first packet's payload.
pub(super) fn greeting(server_version: &str, connection_id: u32, scramble: &Scramble) -> Vec<u8> {
    let [c0, c1, c2, c3] = capability::OFFERED.to_le_bytes();
    let (first, second) = scramble.bytes().split_at(8);
    let mut out = vec![PROTOCOL];
    out.extend(VERSION_PREFIX.bytes().chain(server_version.trim_start_matches(VERSION_PREFIX).bytes()));
    out.push(0);
    out.extend(connection_id.to_le_bytes());
    out.extend(first);
    out.extend([0, c0, c1, CHARSET]);
    out.extend(AUTOCOMMIT.to_le_bytes());
    // Length of the scramble with its NUL, then 10 reserved bytes.
    out.extend([c2, c3, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(second);
    out.push(0);
    out.extend(PLUGIN.bytes());
    out.push(0);
    out
}

/// Who wants in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(crate) user: &'a [u8],
    pub(crate) token: &'a [u8],
}

/// Reads the client's answer (`Protocol::HandshakeResponse41`).
pub(super) fn answer(payload: &[u8]) -> Result<Answer<'_>, ProtocolError> {
    let mut reader = Reader::new(payload);
    let capabilities = reader.u32("capabilities")?;
    if capabilities & capability::SSL != 0 {
        return Err(ProtocolError::Tls);
    }
    if capabilities & capability::PROTOCOL_41 == 0 || capabilities & capability::SECURE_CONNECTION == 0 {
        return Err(ProtocolError::Old);
    }
    reader.bytes("packet size, character set and reserved bytes", 4 + 1 + 23)?;
    let user = reader.until_nul("user")?;
    let length = reader.u8("length of the password's token")?;
    Ok(Answer { user, token: reader.bytes("password's token", usize::from(length))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_tls_or_halves_are_refused() {
        let mut payload = (capability::OFFERED).to_le_bytes().to_vec();
        payload.extend([0; 28]);
        payload.extend(b"tail\0\x03abcmysql_native_password\0");
        assert_eq!(answer(&payload), Ok(Answer { user: b"tail", token: b"abc" }));
        for end in 0..40 {
            assert!(answer(&payload[..end]).is_err(), "{end}");
        }
        payload[1] |= 0x8;
        assert_eq!(answer(&payload), Err(ProtocolError::Tls));
    }
}
