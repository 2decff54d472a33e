//! Why accounts could not be set.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::mariadb::SqlError;

/// Accounts could not be set.
#[derive(Debug, Error)]
pub(crate) enum AccountError {
    /// A password is missing.
    #[error("{0}")]
    Password(String),
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// It cannot be noted that `strict_password_validation` is off.
    #[error("{}: {error}", path.display())]
    Note {
        /// The note.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}
