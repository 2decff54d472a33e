//! The object's status as the cluster's record: the one place that writes it.
//!
//! Every write carries the resourceVersion of what was read. After a write that did not clearly succeed nothing is
//! believed until the object was read again; and this leader's term counts as its own only while the record is exactly
//! the one it wrote itself.

use kube::Api;
use kube::api::PostParams;
use thiserror::Error;

use super::record::{self, RecordError};
use crate::api::{ClusterStatus, ReplicationCluster};
use crate::operator::clients::{CallError, call};
use crate::operator::lease::Leadership;
use crate::orders::Term;
use crate::topology::record::Record;

/// Why the record could not be written or read.
#[derive(Debug, Error)]
pub enum BookError {
    /// The API server.
    #[error("status of {name}: {source}")]
    Call {
        /// The object.
        name: String,
        /// What happened.
        source: CallError,
    },
    /// What stands there cannot be continued from.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The object was deleted, or is another one of that name.
    #[error("{name} was deleted")]
    Gone {
        /// The object.
        name: String,
    },
}

impl BookError {
    /// True when the object has changed since it was read.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.is_conflict())
    }
}

/// The record of one cluster.
pub struct Book {
    api: Api<ReplicationCluster>,
    leadership: Leadership,
    object: ReplicationCluster,
    record: Record,
    my_term: Option<Term>,
    certain: bool,
}

impl Book {
    /// Opens the record of an object as it was read last.
    ///
    /// # Errors
    /// When its status cannot be continued from.
    pub fn open(
        api: Api<ReplicationCluster>,
        leadership: Leadership,
        object: ReplicationCluster,
    ) -> Result<Self, RecordError> {
        let record = record::read(name(&object), object.status.as_ref())?;
        Ok(Self { api, leadership, object, record, my_term: None, certain: true })
    }

    /// What is recorded.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The whole status as written last.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        self.object.status.clone().unwrap_or_default()
    }

    /// The term this leader wrote.
    #[must_use]
    pub fn my_term(&self) -> Option<Term> {
        self.my_term
    }

    /// False when the object must be read before anything is decided.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.certain
    }

    /// Takes over a newer version of the object that says the same: the next write then need not be repeated.
    pub fn refresh(&mut self, seen: &ReplicationCluster) {
        if self.certain && seen.metadata.uid == self.object.metadata.uid && seen.status == self.object.status {
            self.object = seen.clone();
        }
    }

    /// Writes a status whose record is `next`.
    ///
    /// # Errors
    /// When it did not clearly succeed: the book is then uncertain.
    pub async fn write(&mut self, next: Record, status: ClusterStatus) -> Result<(), BookError> {
        let name = name(&self.object).to_owned();
        let object = ReplicationCluster { status: Some(status), ..self.object.clone() };
        self.certain = false;
        let params = PostParams::default();
        let written = call(&self.leadership, self.api.replace_status(&name, &params, &object)).await;
        self.object = written.map_err(|source| BookError::Call { name, source })?;
        if next != self.record {
            self.my_term = Some(next.term);
        }
        self.record = next;
        self.certain = true;
        Ok(())
    }

    /// Reads the object again.
    ///
    /// # Errors
    /// When it cannot be read, cannot be continued from, or is gone.
    pub async fn reload(&mut self) -> Result<(), BookError> {
        let name = name(&self.object).to_owned();
        let found = call(&self.leadership, self.api.get_opt(&name)).await;
        let found = found.map_err(|source| BookError::Call { name: name.clone(), source })?;
        let found = found.filter(|found| found.metadata.uid == self.object.metadata.uid);
        let Some(found) = found else { return Err(BookError::Gone { name }) };
        let record = record::read(&name, found.status.as_ref())?;
        if record != self.record {
            // Somebody else's write, or our own of unknown outcome: only a new term is surely ours.
            self.my_term = None;
        }
        self.record = record;
        self.object = found;
        self.certain = true;
        Ok(())
    }
}

fn name(object: &ReplicationCluster) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}
