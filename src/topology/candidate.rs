//! Who should be promoted: those that can be, did not fail at it a moment ago and are not held up by a lock, then the
//! preferred, then the one that has received most, then the one that has the least to apply.

use std::cmp::Reverse;

use super::member::{is_refused, slave, sql_or_volume_trouble};
use super::observation::{MemberView, Observation, ReplicatedFrom, ServerView};
use super::policy::Policy;
use super::record::Record;
use super::record::written_outside_terms;
use crate::gtid::GtidPosition;
use crate::orders::Ordinal;

/// The order that takes a member off the old primary, by its word.
const FOLLOW: &str = "follow";

/// Candidates, best first, and why the others are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranking {
    /// Best first.
    pub(crate) candidates: Vec<Ordinal>,
    /// So many of the first differ only in what they have received and applied.
    pub(crate) alike: usize,
    /// A sentence for each member that is none.
    pub(crate) rejected: Vec<String>,
}

impl Ranking {
    /// The one to promote.
    #[must_use]
    pub(crate) fn best(&self) -> Option<Ordinal> {
        self.candidates.first().copied()
    }
}

/// Ranks the members that could replace `from`. `end` is where the old primary's files end, when they were read.
#[must_use]
pub(crate) fn rank(
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    from: Ordinal,
    end: Option<&GtidPosition>,
) -> Ranking {
    let mut ranking = Ranking::default();
    let mut fit: Vec<&MemberView> = Vec::new();
    for member in seen.members.iter().filter(|member| member.ordinal != from) {
        match rejection(policy, record, member, end) {
            Some(why) => ranking.rejected.push(format!("{}: {why}", policy.name(member.ordinal))),
            None => fit.push(member),
        }
    }
    let best = fit.iter().fold(GtidPosition::empty(), |all, member| all.union(&received(member)));
    let class = |member: &MemberView| {
        let priority = if is_within_lag(policy, member) { policy.member(member.ordinal).priority } else { 0 };
        // Equal for all when all are held up: then the best of them is waited for.
        let held = member.stumbled || member.progress.held.is_some();
        (held, !is_of_this_term(policy, member, from), Reverse(priority))
    };
    fit.sort_by_key(|member| {
        let behind = best.distance(&received(member));
        (class(member), behind, unapplied(member), member.ordinal)
    });
    let best = fit.first().map(|member| class(member));
    ranking.alike = fit.iter().take_while(|member| Some(class(member)) == best).count();
    ranking.candidates = fit.iter().map(|member| member.ordinal).collect();
    ranking
}

/// Why `member` cannot be promoted, if it cannot.
fn rejection(policy: &Policy, record: &Record, member: &MemberView, end: Option<&GtidPosition>) -> Option<String> {
    let Some(state) = member.state() else { return Some("its agent cannot be reached".to_owned()) };
    if let Some(trouble) = sql_or_volume_trouble(record, &policy.cluster, member) {
        return Some(trouble.message());
    }
    if let Some(refused) = slave(member).filter(|slave| is_refused(slave)) {
        return Some(format!("{} does not have its position: {}", refused.host, refused.io_error));
    }
    if policy.member(member.ordinal).never_primary {
        return Some("its policy says neverPrimary".to_owned());
    }
    if !member.is_running() {
        return Some("its mariadbd does not run".to_owned());
    }
    if let Some(failure) = member.progress.given_up() {
        return Some(format!("{} failed {} times: {}", failure.order, failure.count, failure.error));
    }
    if state.record().is_some_and(|record| record.hold) {
        return Some("its volume is held".to_owned());
    }
    errant(record, member, end)
}

/// Transactions beyond the old primary's files that the old primary did not write, or that no primary wrote.
fn errant(record: &Record, member: &MemberView, end: Option<&GtidPosition>) -> Option<String> {
    let received = received(member);
    if let Some(gtid) = written_outside_terms(&received) {
        return Some(format!("it has an errant transaction, {gtid}"));
    }
    let end = end?;
    if let Some((theirs, files)) = received.conflict(end) {
        return Some(format!("it has {theirs} where the old primary has {files}"));
    }
    let primary = record.primary_server_id();
    let ahead = received.beyond(end).into_iter().find(|range| Some(range.server) != primary);
    ahead.map(|range| format!("it has transactions the old primary never had, {range}"))
}

/// What `member` has received: as answered when it was frozen, else as read last.
#[must_use]
pub(crate) fn received(member: &MemberView) -> GtidPosition {
    match member.frozen() {
        Some(frozen) => frozen.received.clone(),
        None => member.view().map(ServerView::received).unwrap_or_default(),
    }
}

/// About how many transactions `member` has received and not applied. What it was ordered to fetch counts for nothing: its
/// rank must not change while it fetches.
fn unapplied(member: &MemberView) -> u64 {
    if is_moved(member) {
        return 0;
    }
    let applied = match (&member.progress.applied, member.frozen()) {
        (Some(applied), _) => applied.clone(),
        (None, Some(frozen)) => frozen.applied.clone(),
        (None, None) => member.view().map(ServerView::applied).unwrap_or_default(),
    };
    received(member).distance(&applied)
}

/// True when `member` replicated from `from` or was taken off it in this term. One that did not may have a branch of its
/// own, which shows only when it is refused with 1236: it comes after all others.
fn is_of_this_term(policy: &Policy, member: &MemberView, from: Ordinal) -> bool {
    let host = policy.hosts.get(usize::from(from.0));
    is_moved(member) || replicated(member).is_some_and(|from| Some(&from.host) == host)
}

/// What is remembered of its source counts while it answers: this reader, or the freeze of this term. Nobody waits for one that
/// does neither.
fn replicated(member: &MemberView) -> Option<&ReplicatedFrom> {
    member.replicated.as_ref().filter(|_| member.view().is_some() || member.frozen().is_some())
}

/// The lag of a member on its way to the donor is that of the tail it is given, and says nothing against it; nor does that of
/// one that has applied all it received since.
fn is_within_lag(policy: &Policy, member: &MemberView) -> bool {
    let lag = replicated(member).and_then(|from| from.lag_s);
    is_moved(member) || lag.is_none_or(|lag| lag <= policy.max_candidate_lag_s) || unapplied(member) == 0
}

/// True when `member` was ordered in this term to follow somebody else. Its replica status changes before it has answered,
/// and must not change its rank: that would choose another candidate and begin again.
fn is_moved(member: &MemberView) -> bool {
    member.progress.following.is_some() || member.is_doing(FOLLOW)
}

#[cfg(test)]
mod tests {
    use super::super::member::samples::{cluster, dead, edit, policy, record, replica};
    use super::super::observation::{AgentSight, IoThread, ServerSight};
    use super::*;
    use crate::orders::{Frozen, Incarnation};
    use crate::time::Millis;

    fn best(members: Vec<MemberView>, change: impl Fn(&mut Policy)) -> Option<Ordinal> {
        let mut policy = policy(members.len());
        change(&mut policy);
        rank(&policy, &record(), &cluster(members), Ordinal(0), None).best()
    }

    fn at(ordinal: u8, position: &str) -> MemberView {
        let mut member = replica(ordinal, "p0");
        edit(&mut member, |view| view.binlog_position = position.parse().unwrap());
        member
    }

    #[test]
    fn most_received_wins_then_the_lower_ordinal() {
        assert_eq!(best(vec![dead(0), at(1, "0-17-10"), at(2, "0-17-11")], |_| ()), Some(Ordinal(2)));
        assert_eq!(best(vec![dead(0), at(1, "0-17-11"), at(2, "0-17-11")], |_| ()), Some(Ordinal(1)));
    }

    #[test]
    fn priority_wins_within_the_allowed_lag_only() {
        let prefer = |policy: &mut Policy| policy.members[1].priority = 5;
        assert_eq!(best(vec![dead(0), behind(3), at(2, "0-17-11")], prefer), Some(Ordinal(1)));
        assert_eq!(best(vec![dead(0), behind(300), at(2, "0-17-11")], prefer), Some(Ordinal(2)));
    }

    /// Without its source MariaDB tells no lag (`Seconds_Behind_Master` is NULL): just then it matters.
    #[test]
    fn lag_counts_that_was_told_before_the_source_was_lost_until_all_is_applied() {
        let prefer = |policy: &mut Policy| policy.members[1].priority = 5;
        let mut member = behind(300);
        edit(&mut member, |view| {
            let slave = view.slave.as_mut().unwrap();
            (slave.io, slave.lag_s) = (IoThread::Connecting, None);
        });
        assert_eq!(best(vec![dead(0), member.clone(), at(2, "0-17-11")], prefer), Some(Ordinal(2)));
        edit(&mut member, |view| view.slave_position = "0-17-10".parse().unwrap());
        assert_eq!(best(vec![dead(0), member, at(2, "0-17-11")], prefer), Some(Ordinal(1)));
    }

    #[test]
    fn a_reading_that_fails_changes_no_rank() {
        let prefer = |policy: &mut Policy| policy.members[1].priority = 5;
        let silent = |mut member: MemberView, frozen: bool| {
            let (received, applied) = (received(&member), member.view().map(ServerView::applied).unwrap_or_default());
            let incarnation = Incarnation(1);
            let frozen = frozen.then_some(Frozen {
                incarnation,
                received,
                applied,
                killed: false,
                dropped: false,
                settled: true,
            });
            (member.progress.frozen, member.server) = (frozen, ServerSight::Silent { since: Millis(9) });
            best(vec![dead(0), member, at(2, "0-17-11")], prefer)
        };
        assert_eq!(silent(at(1, "0-17-11"), true), Some(Ordinal(1)));
        assert_eq!(silent(behind(300), true), Some(Ordinal(2)), "its lag is not forgotten either");
        assert_eq!(
            silent(at(1, "0-17-11"), false),
            Some(Ordinal(2)),
            "nobody waits for one that does not answer at all"
        );
    }

    /// Member 1 with one transaction that it has received and not applied.
    fn behind(lag: u64) -> MemberView {
        let mut member = at(1, "0-17-9");
        edit(&mut member, |view| {
            let slave = view.slave.as_mut().unwrap();
            (slave.io_position, slave.lag_s) = ("0-17-10".parse().unwrap(), Some(lag));
            view.slave_position = "0-17-9".parse().unwrap();
        });
        member
    }

    #[test]
    fn a_candidate_on_its_way_to_the_donor_stays_the_candidate() {
        let mut moving = at(1, "0-17-10");
        edit(&mut moving, |view| {
            let slave = view.slave.as_mut().unwrap();
            slave.host = "donor".to_owned();
            slave.lag_s = Some(300);
        });
        let lost = best(vec![dead(0), moving.clone(), at(2, "0-17-10")], |_| ());
        assert_eq!(lost, Some(Ordinal(2)), "one that follows somebody else without an order comes last");
        moving.busy = Some("follow");
        assert_eq!(best(vec![dead(0), moving.clone(), at(2, "0-17-10")], |_| ()), Some(Ordinal(1)));
        let prefer = |policy: &mut Policy| policy.members[1].priority = 5;
        assert_eq!(best(vec![dead(0), moving, at(2, "0-17-11")], prefer), Some(Ordinal(1)));
    }

    #[test]
    fn who_failed_a_moment_ago_comes_last_whatever_its_priority() {
        let mut stumbled = at(1, "0-17-11");
        stumbled.stumbled = true;
        let prefer = |policy: &mut Policy| policy.members[1].priority = 5;
        assert_eq!(best(vec![dead(0), stumbled.clone(), at(2, "0-17-10")], prefer), Some(Ordinal(2)));
        assert_eq!(best(vec![dead(0), stumbled], prefer), Some(Ordinal(1)), "better than nobody");
    }

    #[test]
    fn among_equals_the_one_with_the_least_to_apply_wins() {
        let behind = |ordinal, applied: &str| {
            let mut member = at(ordinal, applied);
            edit(&mut member, |view| {
                view.slave_position = applied.parse().unwrap();
                view.slave.as_mut().unwrap().io_position = "0-17-10".parse().unwrap();
            });
            member
        };
        assert_eq!(best(vec![dead(0), behind(1, "0-17-4"), behind(2, "0-17-9")], |_| ()), Some(Ordinal(2)));
        assert_eq!(best(vec![dead(0), behind(1, "0-17-9"), behind(2, "0-17-9")], |_| ()), Some(Ordinal(1)));
    }

    #[test]
    fn who_is_held_up_yields_to_whoever_is_not() {
        let held = |ordinal| {
            let mut member = at(ordinal, "0-17-10");
            member.progress.held = Some("Waiting for table metadata lock".to_owned());
            member
        };
        let prefer = |policy: &mut Policy| policy.members[1].priority = 5;
        assert_eq!(best(vec![dead(0), held(1), at(2, "0-17-10")], prefer), Some(Ordinal(2)));
        assert_eq!(best(vec![dead(0), held(1), held(2)], prefer), Some(Ordinal(1)), "the best of them is waited for");
        let mut stumbled = at(2, "0-17-10");
        stumbled.stumbled = true;
        assert_eq!(best(vec![dead(0), held(1), stumbled], prefer), Some(Ordinal(1)), "no going back and forth");
    }

    #[test]
    fn unfit_members_are_named_with_the_reason() {
        let mut unreachable = at(1, "0-17-10");
        unreachable.agent = AgentSight::default();
        let errant = at(2, "0-2147483651-11");
        let never = at(3, "0-17-10");
        let mut policy = policy(4);
        policy.members[3].never_primary = true;
        let ranking = rank(&policy, &record(), &cluster(vec![dead(0), unreachable, errant, never]), Ordinal(0), None);
        assert_eq!(ranking.best(), None);
        let said = ranking.rejected.join("\n");
        for part in ["c-1: its agent", "c-2: it has an errant", "c-3: its policy says neverPrimary"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn ahead_of_the_files_in_the_terms_own_id_is_ahead_in_another_id_errant() {
        let end = "0-17-9".parse().unwrap();
        let check = |member: MemberView| {
            rank(&policy(2), &record(), &cluster(vec![dead(0), member]), Ordinal(0), Some(&end)).best()
        };
        assert_eq!(check(at(1, "0-17-12")), Some(Ordinal(1)));
        assert_eq!(check(at(1, "0-33-12")), None);
    }
}
