//! What is read of a member's mariadbd: over the held session, and by new connections.

use super::Member;
use crate::control::input::{Reading, Try};
use crate::time::Millis;
use crate::topology::ackers;
use crate::topology::observation::{NewConnection, ReplicatedFrom, ServerSight};

impl Member {
    /// What the probe tells.
    pub(crate) fn probed(&mut self, mut reading: Reading, now: Millis) {
        if let (Reading::Answers { view, .. }, true) = (&mut reading, self.mistakes.stale_reading_believed) {
            view.begun = now;
        }
        if let (Reading::Answers { view, .. }, Some(dead)) = (&reading, self.dead_since)
            && view.begun <= dead
        {
            // Begun while it lived, told after its death.
            return;
        }
        if let Reading::Answers { view, .. } = &reading {
            self.answered_last = Some(view.begun);
            self.replicated = ReplicatedFrom::after(self.replicated.take(), view);
        }
        self.server = match (reading, std::mem::take(&mut self.server)) {
            (Reading::Answers { view, first: false }, ServerSight::Answers { view: before, .. }) => {
                ServerSight::Answers { view, before: Some(before) }
            }
            (Reading::Answers { view, .. }, _) => ServerSight::Answers { view, before: None },
            (Reading::Refused, ServerSight::Refused { since }) => ServerSight::Refused { since },
            (Reading::Refused, _) => ServerSight::Refused { since: now },
            (Reading::Silent, ServerSight::Silent { since }) => ServerSight::Silent { since },
            (Reading::Silent, _) => ServerSight::Silent { since: now },
            (Reading::Sick { message }, _) => ServerSight::Sick { message },
            (Reading::Denied { message }, _) => ServerSight::Denied { message },
        };
        // What took no writes, now and one reading ago, has acknowledged nothing in between.
        if let (None, ServerSight::Answers { view, before }) = (&self.weakened, &self.server)
            && !(view.read_only && before.as_ref().is_none_or(|before| before.read_only))
        {
            self.weakened = ackers::weakens(view, before.as_deref());
        }
    }

    /// What its readings have shown of acknowledgements until now is recorded, or was not to be relied upon anyway.
    pub(crate) fn forget_weakness(&mut self) {
        self.weakened = None;
    }

    /// How a try to open a new connection ended that began at `begun`.
    pub(crate) fn connection_tried(&mut self, begun: Millis, outcome: Try) {
        if self.runs.is_some_and(|(_, since)| begun <= since) {
            // Begun before this run was known: it may have met the one before.
            return;
        }
        self.new_connection = match (outcome, &self.new_connection) {
            (Try::Accepted, _) => NewConnection::Accepted,
            (Try::Hung, NewConnection::Hangs { since, .. }) => NewConnection::Hangs { since: *since, tried: begun },
            (Try::Hung, _) => NewConnection::Hangs { since: begun, tried: begun },
            (Try::TurnedAway { message }, _) => NewConnection::TurnedAway { message },
            (Try::Unknown, _) => NewConnection::Unknown,
        };
    }
}
