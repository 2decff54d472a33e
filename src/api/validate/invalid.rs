//! Why a spec cannot be used.

use thiserror::Error;

/// A spec that cannot be used: which field, what is wrong with it, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct Invalid {
    /// Path of the field.
    pub(crate) field: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Invalid {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), remedy: remedy.into() }
    }
}
