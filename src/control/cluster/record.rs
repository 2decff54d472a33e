//! The record: written, read, and followed into the timeline.

use tracing::{error, info, warn};

use super::{Cluster, Moment, Write};
use crate::api::ReplicationCluster;
use crate::control::effect::{Effect, FailoverRecord};
use crate::control::input::CallFailed;
use crate::control::record_codec;
use crate::control::status_store::{Found, StoreError};
use crate::control::timeline::{Milestone, Point};
use crate::topology::decide::Decision;
use crate::topology::observation::Observation;
use crate::topology::record::Record;
use crate::topology::report::report;
use crate::topology::transition::{Step, TransitionKind};

impl Cluster {
    /// One status write with the next record.
    pub(super) fn write(&mut self, next: &Record, why: &str, seen: &Observation, decision: &Decision, at: Moment) {
        let told = report(&self.desired.policy, next, seen, decision);
        let mut status = self.compose(next, seen, &told, at);
        record_codec::write(&self.desired.cluster.name, next, &mut status, at.wall);
        self.writing = Some(Write::Record {
            before: Box::new(self.store.record().clone()),
            next: Box::new(next.clone()),
            why: why.to_owned(),
            rejected: decision.rejected.clone(),
        });
        let write = self.store.write(next.clone(), status);
        self.effects.push(write);
    }

    pub(super) fn written(&mut self, result: Result<Box<ReplicationCluster>, CallFailed>, at: Moment) {
        let Some(write) = self.writing.take() else { return };
        let result = match result {
            Err(failed) if self.mistakes.lost_write_believed && !failed.conflict => Ok(self.store.as_if_written()),
            result => result,
        };
        let result = self.store.written(result, at.now);
        if let Err(error) = &result {
            let term = self.store.record().term;
            warn!(cluster = %self.desired.cluster, %term, %error, "status not written; it is read again");
        }
        match write {
            Write::People => self.people_failed = result.is_err(),
            Write::Record { before, next, why, rejected } if result.is_ok() => {
                self.people_at = Some(at.now);
                self.telemetry.written(&before, &next, &why);
                self.record_changed(&before);
                if next.transition.as_ref().is_some_and(|transition| transition.step() == Step::Promoting) {
                    self.telemetry.passed_over(next.term, &rejected);
                    self.timeline.passed_over(&rejected);
                }
                self.note_record(false, &why, at);
            }
            Write::Record { .. } => {}
        }
    }

    pub(super) fn read(&mut self, result: Result<Option<Box<ReplicationCluster>>, CallFailed>, at: Moment) {
        let before = self.store.record().clone();
        self.read_at = Some(at.now);
        match self.store.read(result, at.now) {
            Ok(found) => {
                if found == Found::Overwritten {
                    self.telemetry.overwritten(before.term);
                }
                self.record_changed(&before);
                if before != *self.store.record() {
                    self.note_record(true, "read again", at);
                }
            }
            Err(StoreError::Gone { name }) => {
                info!(name, "the object is gone; its task ends");
                self.end();
            }
            // Without a record nothing can be decided or told here: the controller tells it, and begins anew once it can be read.
            Err(StoreError::Record(error)) => {
                error!(cluster = %self.desired.cluster, %error, "the cluster's task ends");
                self.end();
            }
            Err(error) => error!(cluster = %self.desired.cluster, %error, "the record cannot be read"),
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.effects.push(Effect::End);
    }

    pub(super) fn record_changed(&mut self, before: &Record) {
        if before.term != self.store.record().term {
            self.members.enter_term();
            self.login = None;
        }
    }

    /// Follows the record into the timeline.
    pub(super) fn note_record(&mut self, resumed: bool, why: &str, at: Moment) {
        let record = self.store.record();
        for milestone in self.timeline.recorded(record, resumed, at.now, at.wall) {
            self.telemetry.milestone(record.term, &milestone, why);
            match milestone {
                Milestone::Began => {
                    self.timeline.because(why.to_owned());
                    let failover = self.timeline.story().filter(|story| story.kind == TransitionKind::Failover);
                    if let Some(story) = failover.filter(|_| !resumed) {
                        self.telemetry.failover_began(story, why);
                    }
                }
                Milestone::Passed(Point::Committed, _) => {
                    if let Some(story) = self.timeline.story() {
                        self.effects.push(Effect::Failover(FailoverRecord::Begin(Box::new(story.clone()))));
                    }
                }
                Milestone::Passed(..) => {}
                Milestone::Ended(story) => self.effects.push(Effect::Failover(FailoverRecord::Complete(story))),
            }
        }
    }
}
