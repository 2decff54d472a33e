//! What the status records: the only memory that outlives the operator, and the only thing safety believes.

use super::transition::Transition;
pub use crate::api::owned::boot_server_id;
use crate::gtid::{Gtid, GtidPosition};
use crate::orders::{DataUid, Incarnation, Ordinal, Term};

/// Bit that all ids members boot with have, and no primary's id has.
const BOOT_ID_BIT: u32 = 0x8000_0000;
/// The last term whose `server_id`s differ from those of all others: one failover a second for four years.
const LAST_TERM: Term = Term(0x07ff_ffff);
/// Bits of a `server_id` that tell the member; those above tell the term.
const MEMBER_BITS: u32 = 4;

/// What an acknowledged commit means now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// An acker of the list has received it.
    Enforced,
    /// Commits wait for an acker, but none has yet proved to have everything.
    #[default]
    CatchingUp,
    /// Waiting was given up on purpose until an acker returns.
    Degraded,
    /// Commits never wait.
    Async,
}

impl Durability {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::Enforced, Self::CatchingUp, Self::Degraded, Self::Async];
}

/// One run of one member that may acknowledge commits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acker {
    /// The member.
    pub member: Ordinal,
    /// Its pod.
    pub pod_uid: String,
    /// The boot of its node.
    pub boot_id: String,
    /// The run of its mariadbd.
    pub incarnation: Incarnation,
}

/// The recorded state of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Identity of the data; none before the initialisation.
    pub data_uid: Option<DataUid>,
    /// The term.
    pub term: Term,
    /// The primary, from the point of no return of its promotion on.
    pub primary: Option<Ordinal>,
    /// Term in which that primary was promoted; with the ordinal it makes its `server_id`.
    pub promoted_in: Term,
    /// What that primary had when its term began: nothing that was acknowledged in an earlier term lies beyond. None in a
    /// status that an earlier release wrote.
    pub(crate) began: Option<GtidPosition>,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// Every run that could have acknowledged a commit which no other acker has received yet.
    pub ackers: Vec<Acker>,
    /// What is under way.
    pub transition: Option<Transition>,
}

impl Record {
    /// `server_id` of the primary of this record.
    #[must_use]
    pub(crate) fn primary_server_id(&self) -> Option<u32> {
        self.primary.map(|primary| server_id(self.promoted_in, primary))
    }

    /// The first transaction in `position` that an earlier term wrote beyond the beginning of the present one: nobody
    /// acknowledged it, and it was given up. Only ids of earlier terms count: a session may write under any other.
    #[must_use]
    pub(crate) fn given_up(&self, position: &GtidPosition) -> Option<Gtid> {
        let began = self.began.as_ref()?;
        let earlier = |gtid: &Gtid| term_of(gtid.server).is_some_and(|term| term < self.promoted_in);
        let kept =
            |gtid: &Gtid| began.iter().any(|start| start.domain == gtid.domain && start.sequence >= gtid.sequence);
        position.iter().find(|gtid| earlier(gtid) && !kept(gtid))
    }
}

/// `server_id` of a member promoted in `term`: new at every promotion, so that a GTID tells its term and no member meets
/// its own id in a stream. The upper bit is left to the ids members boot with; a term beyond 2^27 wraps.
#[must_use]
pub(crate) fn server_id(term: Term, ordinal: Ordinal) -> u32 {
    let bits = u32::try_from(term.0 & LAST_TERM.0).unwrap_or_default();
    bits << MEMBER_BITS | u32::from(ordinal.0 + 1)
}

/// The term that a `server_id` tells; none of one that members boot with, or that a session chose.
#[must_use]
pub(crate) fn term_of(server_id: u32) -> Option<Term> {
    let term = u64::from(server_id >> MEMBER_BITS);
    (server_id & BOOT_ID_BIT == 0 && term > 0).then_some(Term(term))
}

/// The member a `server_id` belongs to, whether it booted with it or was promoted with it.
#[must_use]
pub fn member_of(server_id: u32) -> Option<Ordinal> {
    let number = u8::try_from(server_id & ((1 << MEMBER_BITS) - 1)).ok()?;
    number.checked_sub(1).map(Ordinal)
}

/// A GTID in `position` whose server id is one that members boot with: written on a member that was no primary.
#[must_use]
pub fn written_outside_terms(position: &GtidPosition) -> Option<String> {
    position.iter().find(|gtid| gtid.server & BOOT_ID_BIT != 0).map(|gtid| gtid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_term_wrote_beyond_the_beginning_of_this_one_is_given_up() {
        let record = Record {
            primary: Some(Ordinal(1)),
            promoted_in: Term(5),
            began: Some("0-17-153".parse().unwrap()),
            ..Record::default()
        };
        let given_up = |text: &str| record.given_up(&text.parse().unwrap()).map(|gtid| gtid.to_string());
        assert_eq!(given_up("0-17-153"), None, "what the term began with");
        assert_eq!(given_up("0-17-140"), None, "behind");
        assert_eq!(given_up("0-17-155").as_deref(), Some("0-17-155"));
        assert_eq!(given_up("0-82-155"), None, "written in this term");
        assert_eq!(given_up("0-98-155"), None, "written by a later one");
        assert_eq!(given_up("0-1-155"), None, "a session's own id");
        assert_eq!(given_up("0-17-1,7-17-1").as_deref(), Some("7-17-1"), "a domain that was not there yet");
        let older = Record { began: None, ..record.clone() };
        assert_eq!(older.given_up(&"0-17-155".parse().unwrap()), None, "an earlier release recorded no beginning");
    }

    #[test]
    fn two_terms_and_two_members_never_share_a_server_id() {
        let mut seen = std::collections::BTreeSet::new();
        for term in 1..200 {
            for ordinal in 0..9 {
                assert!(seen.insert(server_id(Term(term), Ordinal(ordinal))));
            }
        }
        assert!((0..9).all(|ordinal| seen.insert(boot_server_id(Ordinal(ordinal)))));
        let ids = |ordinal| [boot_server_id(Ordinal(ordinal)), server_id(Term(9), Ordinal(ordinal))];
        assert!((0..9).all(|ordinal| ids(ordinal).map(member_of) == [Some(Ordinal(ordinal)); 2]));
    }
}
