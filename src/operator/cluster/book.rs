//! The object's status as the cluster's record: the one place that writes it.
//!
//! Every write carries the resourceVersion of what was read. After a write that did not clearly succeed nothing is
//! believed until the object was read again; and this leader's term counts as its own only while the record is exactly
//! the one it wrote itself. A status that somebody else put in its place is not believed: the record as written is put back
//! under a new term.

use std::collections::VecDeque;

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

/// Versions of the object that are remembered as our own: a watch shows them late, one after the other.
const VERSIONS: usize = 32;

/// The record of one cluster.
pub struct Book {
    api: Api<ReplicationCluster>,
    leadership: Leadership,
    object: ReplicationCluster,
    record: Record,
    /// A write of unknown outcome.
    attempt: Option<Record>,
    my_term: Option<Term>,
    certain: bool,
    /// The status says something else than what this leader wrote last.
    overwritten: bool,
    versions: VecDeque<String>,
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
        let mut book = Self {
            api,
            leadership,
            object,
            record,
            attempt: None,
            my_term: None,
            certain: true,
            overwritten: false,
            versions: VecDeque::with_capacity(VERSIONS),
        };
        book.note_version();
        Ok(book)
    }

    fn note_version(&mut self) {
        self.versions.truncate(VERSIONS - 1);
        self.versions.push_front(self.object.metadata.resource_version.clone().unwrap_or_default());
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

    /// The term this leader wrote, while the status says so.
    #[must_use]
    pub fn my_term(&self) -> Option<Term> {
        self.my_term.filter(|_| !self.overwritten)
    }

    /// False when the object must be read before anything is decided.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.certain
    }

    /// Takes over a newer version of the object that says the same: the next write then need not be repeated. Another status
    /// that this leader has neither read nor written is read at once: what a watch shows may be old, but somebody wrote it.
    pub fn refresh(&mut self, seen: &ReplicationCluster) {
        if !self.certain || seen.metadata.uid != self.object.metadata.uid {
            return;
        }
        if seen.status == self.object.status {
            self.object = seen.clone();
            self.note_version();
        } else if !seen.metadata.resource_version.as_ref().is_some_and(|version| self.versions.contains(version)) {
            self.certain = false;
        }
    }

    /// The object is read before anything else is decided.
    pub fn doubt(&mut self) {
        self.certain = false;
    }

    /// Writes a status whose record is `next`.
    ///
    /// # Errors
    /// When it did not clearly succeed: the book is then uncertain.
    pub async fn write(&mut self, next: Record, status: ClusterStatus) -> Result<(), BookError> {
        let name = name(&self.object).to_owned();
        let object = ReplicationCluster { status: Some(status), ..self.object.clone() };
        self.certain = false;
        self.attempt = Some(next.clone());
        let params = PostParams::default();
        let written = call(&self.leadership, self.api.replace_status(&name, &params, &object)).await;
        self.object = written.map_err(|source| BookError::Call { name, source })?;
        if next != self.record {
            self.my_term = Some(next.term);
        }
        // What is written for people beside another record puts nothing back.
        let still = self.overwritten && next == self.record;
        self.record = next;
        self.settled();
        self.overwritten = still;
        Ok(())
    }

    /// What the object says is known again.
    fn settled(&mut self) {
        self.note_version();
        (self.attempt, self.certain, self.overwritten) = (None, true, false);
    }

    /// Reads the object again. True when somebody else put another status in the place of ours: the record stays as this
    /// leader wrote it, and is to be written under a new term.
    ///
    /// # Errors
    /// When it cannot be read, cannot be continued from, or is gone.
    pub async fn reload(&mut self) -> Result<bool, BookError> {
        let name = name(&self.object).to_owned();
        let found = call(&self.leadership, self.api.get_opt(&name)).await;
        let found = found.map_err(|source| BookError::Call { name: name.clone(), source })?;
        let found = found.filter(|found| found.metadata.uid == self.object.metadata.uid);
        let Some(found) = found else { return Err(BookError::Gone { name }) };
        let record = record::read(&name, found.status.as_ref());
        let term = found.status.as_ref().and_then(|status| status.term).unwrap_or_default();
        let overwritten = match &record {
            Ok(record) => is_overwritten(&self.record, self.attempt.as_ref(), record),
            // Words that no leader of this version wrote.
            Err(_) => term <= self.record.term,
        };
        if self.my_term.is_some() && overwritten {
            self.object = found;
            self.settled();
            self.overwritten = true;
            return Ok(true);
        }
        let record = record?;
        self.object = found;
        if record != self.record {
            // Another leader's write, or our own of unknown outcome: only a new term is surely ours.
            self.my_term = None;
        }
        self.record = record;
        self.settled();
        Ok(false)
    }
}

/// True when nobody who leads can have written `found` after this leader wrote `ours`: another leader would have begun with a
/// higher term, and what this one may have written itself is `attempt`.
fn is_overwritten(ours: &Record, attempt: Option<&Record>, found: &Record) -> bool {
    found != ours && Some(found) != attempt && found.term <= ours.term
}

fn name(object: &ReplicationCluster) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::Ordinal;

    #[test]
    fn a_status_that_no_leader_wrote_is_not_believed() {
        let ours = Record { term: Term(7), primary: Some(Ordinal(1)), ..Record::default() };
        let at = |term| Record { term: Term(term), primary: Some(Ordinal(0)), ..Record::default() };
        assert!(!is_overwritten(&ours, None, &ours));
        assert!(is_overwritten(&ours, None, &at(4)), "a status from a backup");
        assert!(is_overwritten(&ours, None, &at(7)), "an edit by hand");
        assert!(is_overwritten(&ours, None, &Record::default()), "no status at all");
        assert!(!is_overwritten(&ours, Some(&at(7)), &at(7)), "our own write, whose answer was lost");
        assert!(!is_overwritten(&ours, None, &at(8)), "another leader's");
    }
}
