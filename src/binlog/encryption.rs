//! Encrypted log files (`encrypt_binlog`): keys, and the way from a file's bytes to those the server would send.
//!
//! Format: `sql/log_event_server.cc` (`Log_event_writer::encrypt_and_write`), `sql/log_event.cc`
//! (`Log_event::read_log_event`), `mysys_ssl/my_crypt.cc` (`MyCTX_nopad`) of the server. After FORMAT_DESCRIPTION comes
//! START_ENCRYPTION with a nonce; each event after it is encrypted by itself, with the nonce and its own offset as the
//! initialisation vector. Offsets and lengths stay as they are, and the length of each event stays readable.

mod block;
mod cipher;
mod decryptor;
mod keys;
#[cfg(test)]
pub(in crate::binlog) mod testing;
#[cfg(test)]
mod tests;

pub use cipher::FileCipher;
pub use decryptor::Decryptor;
pub use keys::{Algorithm, KeyError, Keys};
