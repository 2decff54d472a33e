//! The object's status as the cluster's record: the one place that decides what is believed of it.
//!
//! Every write carries the resourceVersion of what was read. After a write that did not clearly succeed nothing is
//! believed until the object was read again; and this leader's term counts as its own only while the record is exactly
//! the one it wrote itself. A status that somebody else put in its place is not believed: the record as written is put back
//! under a new term.

use std::collections::VecDeque;

use thiserror::Error;

use super::effect::Effect;
use super::input::CallFailed;
use super::pause::Pause;
use super::record_codec::{self, RecordError};
use crate::api::{ClusterStatus, ReplicationCluster};
use crate::orders::Term;
use crate::time::Millis;
use crate::topology::record::Record;

/// Why the record could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum StoreError {
    /// The API server.
    #[error("status of {name}: {}", failed.message)]
    Call {
        /// The object.
        name: String,
        /// What happened.
        failed: CallFailed,
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

/// What a read showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record to go on from.
    Record,
    /// Somebody else put another status in the place of ours: the record stays as this leader wrote it, and is to be
    /// written under a new term.
    Overwritten,
}

/// Versions of the object that are remembered as our own: a watch shows them late, one after the other.
const VERSIONS: usize = 32;

/// The call under way: one at a time.
#[derive(Debug)]
enum Call {
    Write(Box<Record>),
    Read,
}

/// The record of one cluster.
#[derive(Debug)]
pub(crate) struct StatusStore {
    object: ReplicationCluster,
    record: Record,
    /// A write of unknown outcome.
    attempt: Option<Record>,
    my_term: Option<Term>,
    certain: bool,
    /// The status says something else than what this leader wrote last.
    overwritten: bool,
    versions: VecDeque<String>,
    /// The version that this leader has read or written last.
    ours: Option<String>,
    /// When a version was read or written first that somebody else may have had a part in.
    since: Option<Millis>,
    call: Option<Call>,
    /// The newest version that a watch has shown during the call.
    shown: Option<ReplicationCluster>,
    pause: Pause,
}

impl StatusStore {
    /// The record of an object as it was read last.
    ///
    /// # Errors
    /// When its status cannot be continued from.
    pub(crate) fn open(object: ReplicationCluster) -> Result<Self, RecordError> {
        let record = record_codec::read(name(&object), object.status.as_ref())?;
        let mut store = Self {
            attempt: None,
            my_term: None,
            certain: true,
            overwritten: false,
            record,
            versions: VecDeque::with_capacity(VERSIONS),
            ours: object.metadata.resource_version.clone(),
            since: None,
            call: None,
            shown: None,
            pause: Pause::default(),
            object,
        };
        store.note_version();
        Ok(store)
    }

    fn note_version(&mut self) {
        self.versions.truncate(VERSIONS - 1);
        self.versions.push_front(self.object.metadata.resource_version.clone().unwrap_or_default());
    }

    /// What is recorded.
    #[must_use]
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The whole status as written last; none when the object has none.
    #[must_use]
    pub(crate) fn status(&self) -> Option<&ClusterStatus> {
        self.object.status.as_ref()
    }

    /// The term this leader wrote, while the status says so.
    #[must_use]
    pub(crate) fn my_term(&self) -> Option<Term> {
        self.my_term.filter(|_| !self.overwritten)
    }

    /// When the status was read first after somebody else may have written it; none before that.
    #[must_use]
    pub(crate) fn since(&self) -> Option<Millis> {
        self.since
    }

    fn note_ours(&mut self, before: Option<&String>, now: Millis) {
        if self.ours.as_ref() != before {
            self.since = Some(now);
        }
        self.ours.clone_from(&self.object.metadata.resource_version);
    }

    /// True when the record is known and nothing is under way: decisions may be made from it.
    #[must_use]
    pub(crate) fn is_certain(&self) -> bool {
        self.certain && self.call.is_none()
    }

    /// When it may be tried again.
    #[must_use]
    pub(crate) fn wakes_at(&self, now: Millis) -> Option<Millis> {
        self.pause.ends_at(now).filter(|_| self.call.is_none())
    }

    /// Takes over a newer version of the object that says the same: the next write then need not be repeated. Another status
    /// that this leader has neither read nor written is read at once: what a watch shows may be old, but somebody wrote it.
    pub(crate) fn shown(&mut self, seen: &ReplicationCluster) {
        if self.call.is_some() {
            // Its end says what is ours.
            self.shown = Some(seen.clone());
        } else if self.certain && seen.metadata.uid == self.object.metadata.uid {
            self.compare(seen);
        }
    }

    fn compare(&mut self, seen: &ReplicationCluster) {
        if seen.status == self.object.status {
            self.object = seen.clone();
            self.note_version();
        } else if !seen.metadata.resource_version.as_ref().is_some_and(|version| self.versions.contains(version)) {
            self.certain = false;
        }
    }

    /// The object is read before anything else is decided.
    pub(crate) fn doubt(&mut self) {
        self.certain = false;
    }

    /// Reads the object, when that is due.
    pub(crate) fn poll(&mut self, now: Millis) -> Option<Effect> {
        if self.certain || self.call.is_some() || self.pause.ends_at(now).is_some() {
            return None;
        }
        // The read shows what is newer than anything that a watch has shown before.
        (self.call, self.shown) = (Some(Call::Read), None);
        Some(Effect::ReadStatus)
    }

    /// Begins to write a status whose record is `next`. Until its end nothing is certain.
    #[must_use]
    pub(crate) fn write(&mut self, next: Record, status: ClusterStatus) -> Effect {
        let object = ReplicationCluster { status: Some(status), ..self.object.clone() };
        self.certain = false;
        self.attempt = Some(next.clone());
        self.call = Some(Call::Write(Box::new(next)));
        Effect::WriteStatus(Box::new(object))
    }

    /// The object as it would be after the write under way; only for a test that proves that such a belief is noticed.
    pub(super) fn as_if_written(&self) -> Box<ReplicationCluster> {
        Box::new(self.object.clone())
    }

    /// The write has ended. After a conflict the object is read at once; an API server in trouble gets a pause.
    ///
    /// # Errors
    /// When it did not clearly succeed: the record is then uncertain.
    pub(crate) fn written(
        &mut self,
        result: Result<Box<ReplicationCluster>, CallFailed>,
        now: Millis,
    ) -> Result<(), StoreError> {
        let Some(Call::Write(next)) = self.call.take() else { return Ok(()) };
        let before = self.object.metadata.resource_version.clone();
        self.object = match result {
            Ok(object) => *object,
            Err(failed) => {
                self.pause.failed(&failed, now);
                return Err(StoreError::Call { name: name(&self.object).to_owned(), failed });
            }
        };
        self.note_ours(before.as_ref(), now);
        self.pause.done();
        if *next != self.record {
            self.my_term = Some(next.term);
        }
        // What is written for people beside another record puts nothing back.
        let still = self.overwritten && *next == self.record;
        self.record = *next;
        self.settled(still);
        Ok(())
    }

    /// What the object says is known again.
    fn settled(&mut self, overwritten: bool) {
        self.note_version();
        (self.attempt, self.certain, self.overwritten) = (None, true, overwritten);
        if let Some(seen) = self.shown.take().filter(|seen| seen.metadata.uid == self.object.metadata.uid) {
            self.compare(&seen);
        }
    }

    /// The object was read.
    ///
    /// # Errors
    /// When it cannot be read, cannot be continued from, or is gone.
    pub(crate) fn read(
        &mut self,
        result: Result<Option<Box<ReplicationCluster>>, CallFailed>,
        now: Millis,
    ) -> Result<Found, StoreError> {
        self.call = None;
        let name = name(&self.object).to_owned();
        let found = match result {
            Ok(found) => found,
            Err(failed) => {
                self.pause.failed(&failed, now);
                return Err(StoreError::Call { name, failed });
            }
        };
        let found = found.filter(|found| found.metadata.uid == self.object.metadata.uid);
        let Some(found) = found else { return Err(StoreError::Gone { name }) };
        let record = record_codec::read(&name, found.status.as_ref());
        let term = found.status.as_ref().and_then(|status| status.term).unwrap_or_default();
        let overwritten = match &record {
            Ok(record) => is_overwritten(&self.record, self.attempt.as_ref(), record),
            // Words that no leader of this version wrote.
            Err(_) => term <= self.record.term,
        };
        let version = found.metadata.resource_version.clone();
        if self.my_term.is_some() && overwritten {
            self.object = *found;
            self.note_ours(version.as_ref(), now);
            self.settled(true);
            return Ok(Found::Overwritten);
        }
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                self.pause.begin(now);
                return Err(error.into());
            }
        };
        self.object = *found;
        self.note_ours(version.as_ref(), now);
        if record != self.record {
            // Another leader's write, or our own of unknown outcome: only a new term is surely ours.
            self.my_term = None;
        }
        self.record = record;
        self.settled(false);
        Ok(Found::Record)
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
mod tests;
