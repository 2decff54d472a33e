//! The password check of `mysql_native_password`.

use std::fmt;

use sha1::{Digest, Sha1};

/// Bytes of the challenge in the greeting.
pub const SCRAMBLE_LEN: usize = 20;
/// The plugin's name on the wire.
pub(super) const PLUGIN: &str = "mysql_native_password";

/// The one-time login of a binlog server.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    password: String,
}

impl Login {
    /// A login; `None` when the password is empty, which would let everybody in.
    #[must_use]
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Option<Self> {
        let login = Self { user: user.into(), password: password.into() };
        (!login.password.is_empty()).then_some(login)
    }

    /// True when `user` answered `scramble` as only someone who knows the password can.
    #[must_use]
    pub(super) fn admits(&self, user: &[u8], answer: &[u8], scramble: &Scramble) -> bool {
        let same_user = equal(user, self.user.as_bytes());
        let same_answer = equal(answer, &token(self.password.as_bytes(), scramble));
        same_user & same_answer
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The challenge of one connection: random, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scramble([u8; SCRAMBLE_LEN]);

impl Scramble {
    /// A challenge from random bytes. NUL would end it early in the greeting and `$` is avoided by servers, so every
    /// byte is mapped into printable ASCII without them.
    #[must_use]
    pub(crate) fn from_random(bytes: [u8; SCRAMBLE_LEN]) -> Self {
        /// `%` to `~`.
        const FIRST: u8 = 0x25;
        const COUNT: u8 = 0x7f - FIRST;
        Self(bytes.map(|byte| FIRST + byte % COUNT))
    }

    /// The challenge that a server sent.
    #[must_use]
    pub(super) fn of_server(bytes: [u8; SCRAMBLE_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes as they go over the wire.
    #[must_use]
    pub(super) fn bytes(&self) -> &[u8; SCRAMBLE_LEN] {
        &self.0
    }
}

/// `SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password)))`.
pub(super) fn token(password: &[u8], scramble: &Scramble) -> [u8; 20] {
    let once: [u8; 20] = Sha1::digest(password).into();
    let twice: [u8; 20] = Sha1::digest(once).into();
    let mut mask: [u8; 20] = Sha1::new().chain_update(scramble.0).chain_update(twice).finalize().into();
    mask.iter_mut().zip(once).for_each(|(byte, other)| *byte ^= other);
    mask
}

/// Compares without telling by its time where the difference is.
fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_user_with_the_right_answer_is_admitted() {
        let login = Login::new("tail", "secret").unwrap();
        let scramble = Scramble::from_random([200; 20]);
        let answer = token(b"secret", &scramble);
        assert!(login.admits(b"tail", &answer, &scramble));
        assert!(!login.admits(b"root", &answer, &scramble));
        assert!(!login.admits(b"tail", &answer[1..], &scramble));
        assert!(!login.admits(b"tail", b"", &scramble));
        assert!(!login.admits(b"tail", &answer, &Scramble::from_random([1; 20])));
        assert_eq!(Login::new("tail", ""), None);
        assert!(!format!("{login:?}").contains("secret"));
    }

    #[test]
    fn a_scramble_is_printable_whatever_the_random_bytes_are() {
        for byte in 0..=255 {
            assert!(Scramble::from_random([byte; 20]).bytes().iter().all(|byte| (0x25..0x7f).contains(byte)));
        }
    }
}
