//! What a decision is made from, and what it says.

use super::catch_up::CatchUp;
use super::observation::{AgentSight, MemberView, Observation};
use super::policy::Policy;
use super::record::Record;
use super::safety::Rules;
use crate::orders::{Order, Ordinal};
use crate::time::Millis;

/// Something to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Write this record to the status. Nothing else happens until it has returned.
    Write {
        /// What the status must say.
        record: Box<Record>,
        /// Why, for logs and events.
        why: String,
    },
    /// Give a member an order. At most one is in flight for each member.
    Order {
        /// Whom.
        member: Ordinal,
        /// What.
        order: Order,
    },
    /// Make NAME-primary select this member.
    Route {
        /// Whom.
        member: Ordinal,
    },
}

/// What to do next, and why not something else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// To be started now, side by side; a [`Act::Write`] stands alone.
    pub acts: Vec<Act>,
    /// What stands in the way of the next step, for people: names what is missing.
    pub blocked: Option<String>,
    /// Candidates and alternatives that were rejected, and why.
    pub rejected: Vec<String>,
    /// A long catching up that is waited for.
    pub progress: Option<CatchUp>,
}

impl Decision {
    pub(super) fn acts(acts: Vec<Act>) -> Self {
        Self { acts, ..Self::default() }
    }

    pub(super) fn blocked(why: impl Into<String>) -> Self {
        Self { blocked: Some(why.into()), ..Self::default() }
    }

    pub(super) fn write(record: Record, why: impl Into<String>) -> Self {
        Self::acts(vec![Act::Write { record: Box::new(record), why: why.into() }])
    }

    pub(super) fn rejecting(mut self, rejected: Vec<String>) -> Self {
        self.rejected = rejected;
        self
    }
}

/// Everything a decision is made from.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub rules: Rules,
    pub policy: &'a Policy,
    pub record: &'a Record,
    pub seen: &'a Observation,
}

impl<'a> Case<'a> {
    /// A new leader announces itself by a new term before its first order, so that its predecessor's late orders are
    /// refused everywhere.
    ///
    /// A term that is written before the volumes were asked would hide that they have obeyed the same one before. As long as no
    /// agent answers there is nothing to lead.
    pub(super) fn take_over(&self) -> Decision {
        if !self.seen.members.iter().all(MemberView::is_sighted) {
            return Decision::default();
        }
        let mut agents = self.seen.members.iter().map(|member| &member.agent);
        if !agents.any(|agent| matches!(agent, AgentSight::Present(_))) {
            return Decision::blocked("no member's agent can be reached");
        }
        let record = Record { term: self.record.term.next(), ..self.record.clone() };
        Decision::write(record, "a new leader takes over")
    }

    /// The recorded primary.
    pub fn primary(&self) -> Option<&'a MemberView> {
        self.seen.member(self.record.primary?)
    }

    /// All members but `one`.
    pub fn others(&self, one: Ordinal) -> impl Iterator<Item = &'a MemberView> + use<'a> {
        self.seen.members.iter().filter(move |member| member.ordinal != one)
    }

    /// True when the member's volume holds this cluster's data.
    pub fn is_ours(&self, member: &MemberView) -> bool {
        self.record.data_uid.as_ref().is_some_and(|data_uid| member.holds(&self.policy.cluster, data_uid))
    }

    /// Absolute name of a member's mariadbd.
    pub fn host(&self, ordinal: Ordinal) -> String {
        self.policy.hosts.get(usize::from(ordinal.0)).cloned().unwrap_or_default()
    }

    /// True when a failover may be announced: the user allows it, or it is what a transition that has begun needs to end.
    pub fn may_fail_over(&self) -> bool {
        self.policy.failover_enabled && !self.rests_paused()
    }

    /// What stands in the way, and that the user may have forbidden what would help.
    pub fn unless_disabled(&self, why: String) -> String {
        if self.policy.failover_enabled {
            return why;
        }
        format!("{why}; spec.failover.enabled is false, so no other member is promoted: set it to true")
    }

    /// True when members are to be left alone: the user paused the cluster, and no transition has begun.
    pub fn rests_paused(&self) -> bool {
        self.policy.paused && self.record.transition.is_none()
    }

    /// How long `since` has lasted, in milliseconds.
    pub fn lasted(&self, since: Millis) -> u64 {
        self.seen.now.since(since)
    }
}

/// An order for `member`, when no other one is in flight.
pub(super) fn order(member: &MemberView, order: Order) -> Option<Act> {
    member.is_free().then_some(Act::Order { member: member.ordinal, order })
}
