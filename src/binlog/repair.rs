//! What a crash left undone between a server's binary log, its tables and its replication position, and how to mend it.
//!
//! MariaDB writes a transaction, its binary log and its position together, but not DDL and XA: those stand in the binary
//! log first (XA) or at last (DDL), and `gtid_slave_pos` follows in a transaction of its own. Killed in between, a replica
//! has in its binary log what its position does not have (START SLAVE: error 1950), and of XA perhaps what its engine does
//! not have. Which of them can only be told by the kind of each group and by XA RECOVER.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::body::XaOutcome;
use super::classified_groups::{GroupKind, KnownGroup};
use super::file::is_at_or_before;
use super::xid::Xid;
use crate::gtid::{Gtid, GtidPosition, Shown};

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Its `server_id`, if what it wrote itself did not come from a source.
    pub(crate) own_server: Option<u32>,
    /// `gtid_slave_pos`.
    pub(crate) position: GtidPosition,
    /// XA RECOVER.
    pub(crate) prepared: BTreeSet<Xid>,
}

/// Compares [`Claims`] with the groups of the binary log, which must be given in their order and contain everything
/// beyond the position.
#[derive(Debug)]
pub(crate) struct Review {
    claims: Claims,
    /// The last group of each domain so far.
    end: GtidPosition,
    /// Groups beyond the position.
    beyond: Vec<KnownGroup>,
    /// Prepared according to the log.
    open: BTreeMap<Xid, Again>,
    /// Ended according to the log, prepared according to the engine.
    unfinished: BTreeMap<Xid, (Gtid, Option<XaOutcome>)>,
    refusal: Option<Refusal>,
    dropped: Vec<Again>,
}

/// How to make the server what its binary log says: `finish`, then `again`, then the position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// XA transactions to end by hand, without logging it.
    pub(crate) finish: Vec<Finish>,
    /// Groups whose changes are not there: to be executed again, without logging them.
    pub(crate) again: Vec<Again>,
    /// What `gtid_slave_pos` must be afterwards.
    pub(crate) position: GtidPosition,
    /// The groups that are beyond the position as it is.
    pub(crate) beyond: Vec<KnownGroup>,
}

/// An XA transaction that the log has ended and the engine has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finish {
    /// The group that ends it.
    pub(crate) gtid: Gtid,
    /// Its name.
    pub(crate) xid: Xid,
    /// How.
    pub(crate) outcome: XaOutcome,
}

/// A group to execute again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Again {
    /// The group.
    pub(crate) gtid: Gtid,
    /// The one before it in its domain.
    pub(crate) before: Option<Gtid>,
    /// XA PREPARE of this name, else a DROP.
    pub(crate) xid: Option<Xid>,
}

/// Why nothing can be mended without guessing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// Its changes may be in the tables or not.
    #[error(
        "transaction {0} is in the binary log and not in gtid_slave_pos, and it is neither DDL nor XA, so it is not \
         known whether its changes are in the tables (non-transactional tables, or gtid_slave_pos was set by hand): \
         compare those tables with the primary's and set gtid_slave_pos yourself"
    )]
    Transaction(Gtid),
    /// Nobody else has it.
    #[error(
        "transaction {0} was written by this member itself while it was a replica: find out who wrote it and compare with \
         the primary; the member stays out, this version does not rebuild members"
    )]
    Errant(Gtid),
    /// The log does not tell.
    #[error(
        "XA transaction {xid} was ended by {gtid} and is still prepared, but the binary log's compressed text does not \
         show whether by XA COMMIT or XA ROLLBACK: end it by hand as the primary did, under SET sql_log_bin=0"
    )]
    UnknownOutcome {
        /// The group that ended it.
        gtid: Gtid,
        /// Its name.
        xid: String,
    },
    /// The groups do not reach back far enough.
    #[error(
        "gtid_slave_pos {} is before everything the binary log has ({log}): set gtid_slave_pos to what the tables \
         have",
        Shown(.position)
    )]
    TooOld {
        /// `gtid_slave_pos`.
        position: GtidPosition,
        /// Where the binary log begins.
        log: GtidPosition,
    },
}

impl Review {
    /// Begins before the first of the groups, at `start`.
    #[must_use]
    pub(crate) fn new(claims: Claims, start: &GtidPosition) -> Self {
        let uncovered = start.iter().any(|gtid| !is_at_or_before(gtid, &claims.position));
        let refusal = uncovered.then(|| Refusal::TooOld { position: claims.position.clone(), log: start.clone() });
        Self {
            claims,
            end: start.clone(),
            beyond: Vec::new(),
            open: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            refusal,
            dropped: Vec::new(),
        }
    }

    /// Takes the next group.
    pub(crate) fn take(&mut self, group: KnownGroup) {
        let gtid = group.gtid;
        let again = Again { gtid, before: self.end.get(gtid.domain), xid: None };
        match group.kind {
            GroupKind::XaPrepare(xid) => {
                self.unfinished.remove(&xid);
                self.open.insert(xid, Again { xid: Some(xid), ..again });
            }
            GroupKind::XaEnd(xid, outcome) => {
                // It could only be ended because it was prepared: a prepare is on disk before it returns.
                self.open.remove(&xid);
                if self.claims.prepared.contains(&xid) {
                    self.unfinished.insert(xid, (gtid, outcome));
                }
            }
            GroupKind::Statement | GroupKind::RecoveredDrop | GroupKind::Transaction => {}
        }
        if !is_at_or_before(gtid, &self.claims.position) {
            self.beyond(group, again);
        }
        self.end.set(gtid);
    }

    fn beyond(&mut self, group: KnownGroup, again: Again) {
        let refusal = if self.claims.own_server == Some(group.gtid.server) {
            Some(Refusal::Errant(group.gtid))
        } else if group.kind == GroupKind::Transaction {
            Some(Refusal::Transaction(group.gtid))
        } else {
            None
        };
        self.refusal = self.refusal.take().or(refusal);
        if group.kind == GroupKind::RecoveredDrop {
            self.dropped.push(again);
        }
        self.beyond.push(group);
    }

    /// What to do.
    ///
    /// # Errors
    /// When it cannot be known.
    pub(crate) fn plan(self) -> Result<Plan, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let mut finish = Vec::new();
        for (xid, (gtid, outcome)) in self.unfinished {
            let outcome = outcome.ok_or_else(|| Refusal::UnknownOutcome { gtid, xid: xid.to_string() })?;
            finish.push(Finish { gtid, xid, outcome });
        }
        let lost = self.open.into_iter().filter(|(xid, _)| !self.claims.prepared.contains(xid)).map(|(_, again)| again);
        let mut again: Vec<Again> = self.dropped.into_iter().chain(lost).collect();
        again.sort_by_key(|again| (again.gtid.domain, again.gtid.sequence));
        finish.sort_by_key(|finish| (finish.gtid.domain, finish.gtid.sequence));
        Ok(Plan { finish, again, position: self.claims.position.union(&self.end), beyond: self.beyond })
    }
}

impl Plan {
    /// True when everything is as it should be.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.finish.is_empty() && self.again.is_empty() && self.beyond.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn xid(name: u8) -> Xid {
        Xid::new(1, 1, &[name]).unwrap()
    }

    fn gtid(sequence: u64) -> Gtid {
        Gtid { domain: 0, server: 17, sequence }
    }

    fn position(sequence: u64) -> GtidPosition {
        (sequence > 0).then(|| gtid(sequence)).into_iter().collect()
    }

    fn review(done: u64, prepared: &BTreeSet<Xid>, kinds: &[GroupKind]) -> Result<Plan, Refusal> {
        let claims = Claims { own_server: Some(9), position: position(done), prepared: prepared.clone() };
        let mut review = Review::new(claims, &GtidPosition::empty());
        for (sequence, kind) in (1..).zip(kinds) {
            review.take(KnownGroup { gtid: gtid(sequence), kind: *kind });
        }
        review.plan()
    }

    fn prepared(names: &[u8]) -> BTreeSet<Xid> {
        names.iter().map(|name| xid(*name)).collect()
    }

    #[test]
    fn each_kind_has_its_remedy() {
        use GroupKind::{RecoveredDrop, Statement, XaEnd, XaPrepare};
        let ended = XaEnd(xid(1), Some(XaOutcome::Commit));
        let (prepare, none, one) = (XaPrepare(xid(1)), prepared(&[]), prepared(&[1]));
        let again = |sequence, xid| Again { gtid: gtid(sequence), before: position(sequence - 1).get(0), xid };
        for (kinds, has, finish, redo) in [
            (&[Statement, Statement][..], &none, vec![], vec![]),
            (&[prepare, ended], &none, vec![], vec![]),
            (&[prepare, ended], &one, vec![gtid(2)], vec![]),
            (&[Statement, prepare], &one, vec![], vec![]),
            (&[Statement, prepare], &none, vec![], vec![again(2, Some(xid(1)))]),
            (&[Statement, RecoveredDrop], &none, vec![], vec![again(2, None)]),
        ] {
            let plan = review(1, has, kinds).unwrap();
            assert_eq!(plan.finish.iter().map(|finish| finish.gtid).collect::<Vec<_>>(), finish, "{kinds:?}");
            assert_eq!((&plan.again, &plan.position), (&redo, &position(2)), "{kinds:?}");
            assert_eq!(plan.beyond.iter().map(|group| group.gtid).collect::<Vec<_>>(), [gtid(2)]);
        }
    }

    #[test]
    fn what_cannot_be_known_is_refused() {
        use GroupKind::{Statement, Transaction, XaEnd};
        assert_eq!(review(0, &prepared(&[]), &[Transaction]), Err(Refusal::Transaction(gtid(1))));
        assert!(review(1, &prepared(&[]), &[Transaction]).unwrap().is_empty());
        let unknown = [XaEnd(xid(1), None)];
        assert!(matches!(review(0, &prepared(&[1]), &unknown), Err(Refusal::UnknownOutcome { .. })));
        assert!(review(0, &prepared(&[]), &unknown).is_ok());
        let claims = |own| Claims { own_server: Some(own), position: position(0), prepared: prepared(&[]) };
        let mut own = Review::new(claims(17), &GtidPosition::empty());
        own.take(KnownGroup { gtid: gtid(1), kind: Statement });
        assert_eq!(own.plan(), Err(Refusal::Errant(gtid(1))));
        assert!(matches!(Review::new(claims(9), &position(5)).plan(), Err(Refusal::TooOld { .. })));
    }

    /// A replica: what its log holds, and what of it its engine does.
    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    struct Engine {
        statements: BTreeSet<u64>,
        prepared: BTreeSet<Xid>,
        committed: Vec<Xid>,
        rolled_back: Vec<Xid>,
    }

    impl Engine {
        fn obey(&mut self, sequence: u64, kind: GroupKind) {
            match kind {
                GroupKind::XaPrepare(xid) => assert!(self.prepared.insert(xid), "XAER_DUPID"),
                GroupKind::XaEnd(xid, outcome) => self.end(xid, outcome.unwrap()),
                _ => drop(self.statements.insert(sequence)),
            }
        }

        fn end(&mut self, xid: Xid, outcome: XaOutcome) {
            assert!(self.prepared.remove(&xid), "XAER_NOTA");
            match outcome {
                XaOutcome::Commit => self.committed.push(xid),
                XaOutcome::Rollback => self.rolled_back.push(xid),
            }
            self.committed.sort_unstable();
            self.rolled_back.sort_unstable();
        }
    }

    /// What a source can write: an XA transaction ends only after it was prepared, and its name may come again.
    fn history(choices: &[(u8, u8)]) -> Vec<GroupKind> {
        let mut open = BTreeSet::new();
        let kind = |&(what, name): &(u8, u8)| match what {
            0 => GroupKind::Statement,
            1 => GroupKind::Transaction,
            _ if open.remove(&name) => {
                let outcome = if what % 2 == 0 { XaOutcome::Commit } else { XaOutcome::Rollback };
                GroupKind::XaEnd(xid(name), Some(outcome))
            }
            _ => {
                open.insert(name);
                GroupKind::XaPrepare(xid(name))
            }
        };
        choices.iter().map(kind).collect()
    }

    proptest! {
        /// Whatever the last groups lost of their effect and of the position, the plan leaves a server that has all.
        #[test]
        fn after_the_plan_the_engine_is_what_the_log_says(
            choices in prop::collection::vec((0_u8..6, 0_u8..4), 0..30),
            lost in prop::collection::vec(any::<bool>(), 30),
            behind in 0_usize..6,
        ) {
            let kinds = history(&choices);
            let tail = kinds.len().saturating_sub(behind);
            let (mut engine, mut whole, mut done) = (Engine::default(), Engine::default(), 0);
            for (index, kind) in kinds.iter().enumerate() {
                let sequence = index as u64 + 1;
                whole.obey(sequence, *kind);
                // An end in the log proves the prepare; no prepare of that name can follow an end that was lost.
                let later = &kinds[index + 1..];
                let touched = |xid: &Xid| later.iter().any(|kind| {
                    matches!(kind, GroupKind::XaPrepare(other) | GroupKind::XaEnd(other, _) if other == xid)
                });
                let may_be_lost = match kind {
                    GroupKind::XaPrepare(xid) | GroupKind::XaEnd(xid, _) => !touched(xid),
                    _ => false,
                };
                if !(index >= tail && may_be_lost && lost[index]) {
                    engine.obey(sequence, *kind);
                }
                if index < tail || *kind == GroupKind::Transaction {
                    done = sequence;
                }
            }
            let plan = review(done, &engine.prepared, &kinds).unwrap();
            for again in &plan.again {
                engine.obey(again.gtid.sequence, kinds[usize::try_from(again.gtid.sequence).unwrap() - 1]);
            }
            for finish in &plan.finish {
                engine.end(finish.xid, finish.outcome);
            }
            prop_assert_eq!(engine, whole);
            prop_assert_eq!(plan.position, position(kinds.len() as u64));
        }
    }
}
