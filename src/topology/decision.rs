//! What a decision is made from, and what it says.

use super::blocked::Blocked;
use super::catch_up::CatchUp;
use super::observation::{MemberView, Observation};
use super::policy::Policy;
use super::record::Record;
use super::rules::Rules;
use super::transition::TransitionKind;
use crate::gtid::{Gtid, GtidPosition};
use crate::orders::{Order, Ordinal};
use crate::time::Millis;

/// News of members that take longer than this, in milliseconds, are told to be waited for.
const NEWS_LATE_MS: u64 = 3_000;

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
    SwitchService {
        /// Whom.
        member: Ordinal,
    },
}

/// What to do next, and why not something else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// To be started now, side by side; a [`Act::Write`] stands alone.
    pub acts: Vec<Act>,
    /// What stands in the way of the next step.
    pub blocked: Option<Blocked>,
    /// Candidates and alternatives that were rejected, and why.
    pub(crate) rejected: Vec<String>,
    /// A long catching up that is waited for.
    pub(crate) progress: Option<CatchUp>,
}

impl Decision {
    pub(super) fn acts(acts: Vec<Act>) -> Self {
        Self { acts, ..Self::default() }
    }

    pub(super) fn blocked(why: impl Into<Blocked>) -> Self {
        Self { blocked: Some(why.into()), ..Self::default() }
    }

    /// What stands in the way, in words.
    pub(super) fn obstacle(&self) -> Option<String> {
        self.blocked.as_ref().map(ToString::to_string)
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
    pub(crate) rules: Rules,
    pub(crate) policy: &'a Policy,
    pub(crate) record: &'a Record,
    pub(crate) seen: &'a Observation,
}

impl<'a> Case<'a> {
    /// What of a member's transactions was given up when the present term began.
    pub(super) fn given_up(&self, theirs: &GtidPosition) -> Option<Gtid> {
        self.record.given_up(theirs).filter(|_| !self.rules.given_up_counts)
    }

    /// A new leader announces itself by a new term before its first order, so that its predecessor's late orders are
    /// refused everywhere.
    ///
    /// A term that is written before the volumes were asked would hide that they have obeyed the same one before. As long as no
    /// agent answers there is nothing to lead; and a volume without this cluster's data knows of no term.
    pub(super) fn take_over(&self) -> Decision {
        if !self.seen.members.iter().all(MemberView::is_sighted) {
            return Decision::default();
        }
        if !self.seen.members.iter().any(|member| member.state().is_some()) {
            return Decision::blocked("no member's agent can be reached");
        }
        if let Some(waits) = self.waits_for_news() {
            // Mostly it is over before anybody could read of it.
            let lasts = self.seen.status_since.is_some_and(|since| self.lasted(since) >= NEWS_LATE_MS);
            return if lasts { Decision::blocked(waits) } else { Decision::default() };
        }
        let knows_terms = self.seen.members.iter().any(|member| self.is_ours(member));
        if !knows_terms && !self.makes_volumes() && !self.rules.any_agent_will_do {
            return Decision::blocked(
                "no member that can be reached has data of this cluster on its volume: \
                 bring back one with its volume",
            );
        }
        let record = Record { term: self.record.term.next(), ..self.record.clone() };
        Decision::write(record, "a new leader takes over")
    }

    /// That members have not told yet how they are since the status was read, when that is so. What they told before may be from
    /// before the time of another leader, who was at work while this one stood still.
    pub(super) fn waits_for_news(&self) -> Option<String> {
        let since = self.seen.status_since.filter(|_| !self.rules.old_proofs)?;
        let old = self.seen.members.iter().filter(|member| !member.is_newer_than(since));
        let names: Vec<String> = old.map(|member| self.policy.name(member.ordinal)).collect();
        (!names.is_empty()).then(|| format!("the operator goes on once {} has reported again", names.join(", ")))
    }

    /// True while volumes are rightly blank: the initialisation has not ended.
    fn makes_volumes(&self) -> bool {
        self.record.transition.as_ref().is_some_and(|transition| transition.kind() == TransitionKind::Initialise)
    }

    /// A member's name, as people know it.
    pub(crate) fn name(&self, ordinal: Ordinal) -> String {
        self.policy.name(ordinal)
    }

    /// The recorded primary.
    pub(crate) fn primary(&self) -> Option<&'a MemberView> {
        self.seen.member(self.record.primary?)
    }

    /// All members but `one`.
    pub(crate) fn others(&self, one: Ordinal) -> impl Iterator<Item = &'a MemberView> + use<'a> {
        self.seen.members.iter().filter(move |member| member.ordinal != one)
    }

    /// True when the member's volume holds this cluster's data.
    pub(crate) fn is_ours(&self, member: &MemberView) -> bool {
        self.record.data_uid.as_ref().is_some_and(|data_uid| member.holds(&self.policy.cluster, data_uid))
    }

    /// Absolute name of a member's mariadbd.
    pub(crate) fn host(&self, ordinal: Ordinal) -> String {
        self.policy.hosts.get(usize::from(ordinal.0)).cloned().unwrap_or_default()
    }

    /// True when a failover may be announced: the user allows it, or it is what a transition that has begun needs to end.
    pub(crate) fn may_fail_over(&self) -> bool {
        self.policy.failover_enabled && !self.rests_paused()
    }

    /// What stands in the way, and that the user may have forbidden what would help.
    pub(crate) fn unless_disabled(&self, why: String) -> String {
        if self.policy.failover_enabled {
            return why;
        }
        format!("{why}; spec.failover.enabled is false, so no other member is promoted: set it to true")
    }

    /// True when members are to be left alone: the user paused the cluster, and no transition has begun.
    pub(crate) fn rests_paused(&self) -> bool {
        self.policy.paused && self.record.transition.is_none()
    }

    /// How long `since` has lasted, in milliseconds.
    pub(crate) fn lasted(&self, since: Millis) -> u64 {
        self.seen.now.since(since)
    }
}

/// An order for `member`, when no other one is in flight.
pub(super) fn order(member: &MemberView, order: Order) -> Option<Act> {
    member.is_free().then_some(Act::Order { member: member.ordinal, order })
}

#[cfg(test)]
mod tests {
    use super::super::decide::decide;
    use super::super::member::samples::{cluster, policy, record, replica, running};
    use super::super::observation::AgentSight;
    use super::super::transition::Transition;
    use super::*;
    use crate::orders::Volume;

    fn blank(ordinal: u8) -> MemberView {
        let mut member = replica(ordinal, "p0");
        if let AgentSight::Present(state) = &mut member.agent {
            state.volume = Volume::Blank;
        }
        member
    }

    fn away(ordinal: u8) -> MemberView {
        MemberView { agent: AgentSight::Away { since: Millis(1) }, ..running(ordinal) }
    }

    fn of_a_new_leader(record: &Record, members: Vec<MemberView>) -> Decision {
        decide(&policy(members.len()), record, &Observation { my_term: None, ..cluster(members) })
    }

    #[test]
    fn a_new_leader_waits_for_a_volume_that_knows_of_terms() {
        let begins =
            |decision: &Decision| matches!(&decision.acts[..], [Act::Write { record, .. }] if record.term.0 == 4);
        assert!(begins(&of_a_new_leader(&record(), vec![away(0), replica(1, "p0")])));
        assert!(begins(&of_a_new_leader(&record(), vec![blank(0), replica(1, "p0")])));
        let empty = of_a_new_leader(&record(), vec![away(0), blank(1)]);
        assert!(empty.acts.is_empty() && empty.blocked.is_some_and(|why| why.message().contains("bring back one")));
        let seen = cluster(vec![away(0), replica(1, "p0")]);
        let read_again =
            |now| Observation { my_term: None, status_since: Some(Millis(1_000)), now: Millis(now), ..seen.clone() };
        assert_eq!(decide(&policy(2), &record(), &read_again(1_100)), Decision::default());
        let waits = decide(&policy(2), &record(), &read_again(4_000));
        assert!(
            waits.acts.is_empty() && waits.blocked.is_some_and(|why| why.message().contains("c-1 has reported again"))
        );
        let nobody = of_a_new_leader(&record(), vec![away(0), away(1)]);
        assert_eq!(nobody.blocked, Some("no member's agent can be reached".into()));
    }

    #[test]
    fn volumes_are_blank_while_the_cluster_is_initialised() {
        let transition = Transition::Initialise { first: Ordinal(0) };
        let record = Record { primary: None, transition: Some(transition), ..record() };
        assert_eq!(of_a_new_leader(&record, vec![blank(0), blank(1)]).acts.len(), 1);
    }
}
