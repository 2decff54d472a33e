//! Keys as `file_key_management` keeps them.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::block::Aes;

/// The key all logs are encrypted with (`ENCRYPTION_KEY_SYSTEM_DATA`).
const LOG_KEY: u32 = 1;
/// `file_key_management` knows no other version of a key.
pub(super) const VERSION: u32 = 1;
/// What an encrypted key file begins with.
const SEALED_FILE: &str = "Salted__";

/// `file_key_management_encryption_algorithm`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// The server's default.
    #[default]
    AesCbc,
    /// AES_CTR, which the logs use without authentication.
    AesCtr,
}

/// The key of encrypted logs, or why there is none.
#[derive(Clone)]
pub struct Keys(Result<Arc<Key>, String>);

/// A key and how it is used.
pub(super) struct Key {
    pub(crate) aes: Aes,
    pub(crate) algorithm: Algorithm,
}

/// Why a key file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It is protected by another key.
    #[error("the key file is itself encrypted (file_key_management_filekey): give it in plain text")]
    Sealed,
    /// A line that is no key.
    #[error("line {line} of the key file is not KEY_ID;HEX with 32, 48 or 64 hexadecimal digits")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// The key for logs is missing.
    #[error("the key file has no key with the number {LOG_KEY}, which binary and relay logs are encrypted with")]
    NoLogKey,
}

impl Keys {
    /// No key, and what to do to give one.
    #[must_use]
    pub fn missing(remedy: impl Into<String>) -> Self {
        Self(Err(remedy.into()))
    }

    /// Reads a key file: lines of `KEY_ID;HEX`, comments after `#`
    /// (MariaDB Knowledge Base, "File Key Management Encryption Plugin").
    ///
    /// # Errors
    /// Another format, or no key with the number 1.
    pub fn parse(text: &str, algorithm: Algorithm) -> Result<Self, KeyError> {
        if text.starts_with(SEALED_FILE) {
            return Err(KeyError::Sealed);
        }
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (id, aes) = key(line).ok_or(KeyError::Line { line: number })?;
            if id == LOG_KEY {
                return Ok(Self(Ok(Arc::new(Key { aes, algorithm }))));
            }
        }
        Err(KeyError::NoLogKey)
    }

    /// Is the key of this version there? Else says what is missing.
    pub(in crate::binlog) fn check(&self, version: u32) -> Result<(), String> {
        self.key(version).map(drop)
    }

    /// The key of this version, or what is missing.
    pub(super) fn key(&self, version: u32) -> Result<Arc<Key>, String> {
        match &self.0 {
            Ok(key) if version == VERSION => Ok(Arc::clone(key)),
            Ok(_) => {
                Err(format!("a key file holds version {VERSION} only: the log needs another key management plugin"))
            }
            Err(remedy) => Err(remedy.clone()),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(key) => write!(f, "Keys({:?})", key.algorithm),
            Err(remedy) => write!(f, "Keys(missing: {remedy})"),
        }
    }
}

fn key(line: &str) -> Option<(u32, Aes)> {
    let (id, digits) = line.split_once(';')?;
    Some((id.trim().parse().ok()?, Aes::new(&bytes(digits.trim())?)?))
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(value(high)? << 4 | value(low)?).ok()).collect()
}
