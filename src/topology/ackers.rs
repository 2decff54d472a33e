//! Who may acknowledge commits, and what an acknowledgement therefore means (invariant 6).
//!
//! Adding an entry is always safe: it only makes 8(b) ask for more. Leaving is what can lose data, so an entry leaves only
//! after its acknowledging is known to be off and a remaining acker has received the primary's position read after that.

use super::member::{is_locked_out, trouble, volume_trouble};
use super::observation::{IoThread, MemberView, Observation, ServerSight, ServerView};
use super::policy::Policy;
use super::record::{Acker, Durability, Record};
use super::rules::Rules;
use super::safety::matches_acker;
use crate::orders::{AgentState, Ended, Incarnation, Ordinal, VolumeRecord};
use crate::time::Millis;

/// More ackers only make 8(b) harder to fulfil; one alone stops writes whenever it restarts.
pub(crate) const WANTED: usize = 2;
/// An acker that was away this long is evicted by the primary, in milliseconds: long enough for a restart of its agent,
/// short enough that a lost member does not block failovers for minutes.
pub(crate) const AWAY_BEFORE_EVICTION_MS: u64 = 10_000;

/// A mariadbd that answers nothing for this long, in milliseconds, does not acknowledge either, as far as can be told.
const SILENT_BEFORE_EVICTION_MS: u64 = 3_000;

/// An IO thread tries again once a second (MASTER_CONNECT_RETRY): until then it shows the error of its last try.
const RECONNECT_MS: u64 = 1_500;

/// The entry for what `member` runs now.
#[must_use]
pub(crate) fn entry_of(member: &MemberView) -> Option<Acker> {
    let state = member.state()?;
    Some(Acker {
        member: member.ordinal,
        pod_uid: state.pod_uid.clone(),
        boot_id: state.boot_id.clone(),
        incarnation: member.incarnation()?,
    })
}

/// The present run of `member`, when it is recorded as an acker and acknowledgements are waited for.
#[must_use]
pub(crate) fn recorded_run(record: &Record, member: &MemberView) -> Option<Incarnation> {
    member.incarnation().filter(|_| waits(record.durability) && is_recorded(record, member))
}

/// True when the present run of `member` is recorded as an acker.
#[must_use]
pub(crate) fn is_recorded(record: &Record, member: &MemberView) -> bool {
    record.ackers.iter().any(|acker| matches_acker(member, acker))
}

/// Members whose present run is recorded.
pub(crate) fn live<'a>(record: &'a Record, seen: &'a Observation) -> impl Iterator<Item = &'a MemberView> {
    seen.members.iter().filter(|member| is_recorded(record, member))
}

/// Members that acknowledge now: recorded, connected to the primary, with semi-sync active.
pub(crate) fn active<'a>(
    policy: &'a Policy,
    record: &'a Record,
    seen: &'a Observation,
) -> impl Iterator<Item = &'a MemberView> {
    live(record, seen).filter(|member| {
        member.current_view().is_some_and(|view| view.acker_active && is_connected(policy, record, view))
    })
}

/// True when the server of `view` is connected to the primary of the record: one that still follows another member
/// acknowledges nothing to it.
fn is_connected(policy: &Policy, record: &Record, view: &ServerView) -> bool {
    let host = record.primary.and_then(|primary| policy.hosts.get(usize::from(primary.0)));
    view.slave.as_ref().is_some_and(|slave| slave.io == IoThread::Yes && Some(&slave.host) == host)
}

/// True when at least one recorded acker is connected.
#[must_use]
pub(crate) fn any_active(policy: &Policy, record: &Record, seen: &Observation) -> bool {
    active(policy, record, seen).next().is_some()
        || seen.members.iter().any(|member| is_seen_acknowledging(policy, record, seen, member))
}

/// True when `member`, whose agent cannot be asked, acknowledges as far as its own mariadbd tells: it is connected to its
/// source, acknowledges, and has what the primary had one reading ago. Only an order that was recorded switches that on.
/// No proof of which run it is, but reason enough not to shut it out: an agent that is away says nothing about mariadbd.
fn is_seen_acknowledging(policy: &Policy, record: &Record, seen: &Observation, member: &MemberView) -> bool {
    let recorded = record.ackers.iter().any(|acker| acker.member == member.ordinal);
    let Some(view) = member.view().filter(|_| recorded && member.state().is_none()) else { return false };
    let connected = is_connected(policy, record, view);
    let primary = record.primary.and_then(|primary| seen.member(primary));
    let before = primary.and_then(MemberView::before);
    // A commit that waits and a primary that does not move: what this member says it acknowledges does not arrive.
    let waits = primary.is_some_and(|primary| {
        let still = primary.view().zip(before).filter(|(now, before)| now.binlog_position == before.binlog_position);
        still.is_some_and(|(now, before)| now.semi_sync.wait_sessions > 0 && before.semi_sync.wait_sessions > 0)
    });
    !waits && view.acker_active && connected && keeps_pace(member, view, primary)
}

/// True unless a reading of `member` that is newer than the primary's last but one lacks what that one shows, and shows
/// nothing new either: a busy member may be half a second late, and its readings, too.
fn keeps_pace(member: &MemberView, view: &ServerView, primary: Option<&MemberView>) -> bool {
    let Some((now, before)) = primary.and_then(|primary| primary.view().zip(primary.before())) else { return true };
    let is_older = view.begun < now.begun;
    let moves = member.before().is_some_and(|before| before.received() != view.received());
    is_older || moves || view.received().covers(&before.binlog_position)
}

/// Entries for up to [`WANTED`] ackers in all, taken from `fit`, those that may become primary first.
#[must_use]
pub(crate) fn missing(policy: &Policy, record: &Record, seen: &Observation, primary: &MemberView) -> Vec<Acker> {
    let is_fit = |member: &&MemberView| trouble(record, &policy.cluster, member, Some(primary)).is_none();
    // One that is out of replication stays recorded as long as it runs, and does not take the place of one that is not.
    let have = live(record, seen).filter(is_fit).count();
    let mut spare: Vec<&MemberView> = seen
        .members
        .iter()
        .filter(|member| member.ordinal != primary.ordinal && member.is_running() && !is_recorded(record, member))
        .filter(|member| member.current_view().is_some())
        .filter(|member| is_fit(member))
        .collect();
    spare.sort_by_key(|member| (policy.member(member.ordinal).never_primary, member.ordinal));
    spare.into_iter().filter_map(entry_of).take(WANTED.saturating_sub(have)).collect()
}

/// Entries that may leave now.
#[must_use]
pub(crate) fn leaving(
    rules: Rules,
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    primary: &MemberView,
) -> Vec<Acker> {
    record.ackers.iter().filter(|acker| may_leave(rules, policy, record, seen, primary, acker)).cloned().collect()
}

fn may_leave(
    rules: Rules,
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    primary: &MemberView,
    acker: &Acker,
) -> bool {
    let member = seen.member(acker.member);
    if member.is_some_and(|member| matches_acker(member, acker)) {
        return false;
    }
    if rules.acker_leaves_at_once {
        return true;
    }
    let Some(off) = off_since(rules, seen, primary, acker) else { return false };
    active(policy, record, seen).any(|remaining| has_received_since(remaining, primary, off))
}

/// Since when the run `acker` certainly acknowledges nothing.
fn off_since(rules: Rules, seen: &Observation, primary: &MemberView, acker: &Acker) -> Option<Millis> {
    let evicted = primary.progress.evicted.get(&acker.member).copied();
    evicted.or_else(|| {
        let member = seen.member(acker.member)?;
        let ended = has_ended(rules, member, acker);
        ended.then(|| member.running_since.or(member.dead_since)).flatten()
    })
}

/// True when the run `acker` is proven over: what its member is now speaks for that run, and is a later one or none at all;
/// or its own pod has seen it end and left that on the volume, for the pod that has the volume now.
fn has_ended(rules: Rules, member: &MemberView, acker: &Acker) -> bool {
    let Some(state) = member.state() else { return false };
    let later = member.incarnation().is_some_and(|now| now > acker.incarnation);
    if rules.entries_stay {
        return later && state.pod_uid == acker.pod_uid;
    }
    let told = state.record().filter(|record| record.identity.ordinal == acker.member);
    let ends = |ended: &Ended| {
        (ended.pod_uid == acker.pod_uid || rules.any_pod_ends_a_run) && ended.incarnation >= acker.incarnation
    };
    if told.is_some_and(|record| record.ended.iter().any(ends)) {
        return true;
    }
    (later || state.mariadbd.is_dead()) && (speaks_for(state, acker) || rules.any_pod_ends_a_run)
}

/// True when what an agent says of its mariadbd holds for the run `acker`, too: in the same pod; or on the same volume under
/// the same kernel, whose file locks let one mariadbd at a time use it. A pod of the same name elsewhere proves nothing, nor
/// does one with another volume.
fn speaks_for(state: &AgentState, acker: &Acker) -> bool {
    let of_member = |record: &VolumeRecord| record.identity.ordinal == acker.member;
    let same_volume =
        || state.record().is_some_and(|record| of_member(record) && record.incarnation >= acker.incarnation);
    state.pod_uid == acker.pod_uid || state.boot_id == acker.boot_id && same_volume()
}

/// True when the run `acker` is known to acknowledge nothing any more, whoever becomes primary: it is frozen in this term,
/// or it has ended. An entry that is not over stays in the list across a change of the primary: its IO thread still tries
/// to reach the host it knew, and that host may be primary again.
#[must_use]
pub(crate) fn is_over(rules: Rules, seen: &Observation, acker: &Acker) -> bool {
    let Some(member) = seen.member(acker.member) else { return false };
    if matches_acker(member, acker) { member.frozen().is_some() } else { has_ended(rules, member, acker) }
}

/// Members that might acknowledge to `primary` without being recorded once it is promoted: not known to be harmless, and
/// not yet shut out by it.
#[must_use]
pub(crate) fn to_shut_out(record: &Record, seen: &Observation, primary: &MemberView) -> Option<Ordinal> {
    let recorded = |member: &MemberView| record.ackers.iter().any(|acker| acker.member == member.ordinal);
    let mut strangers = seen.members.iter().filter(|member| member.ordinal != primary.ordinal && !recorded(member));
    strangers
        .find(|member| !is_harmless(member) && !primary.progress.evicted.contains_key(&member.ordinal))
        .map(|m| m.ordinal)
}

/// True when the present run of `member` is known not to acknowledge, now or after a reconnect of its own.
fn is_harmless(member: &MemberView) -> bool {
    let obeyed = member.frozen().is_some() || member.progress.following.is_some();
    let dead = member.state().is_some_and(|state| state.mariadbd.is_dead());
    let off = member.current_view().is_some_and(|view| !view.acker_wanted && !view.acker_active);
    member.state().is_some() && (obeyed || dead || off)
}

/// True when `acker` has received a position of the primary that was read after `moment`.
#[must_use]
pub(crate) fn has_received_since(acker: &MemberView, primary: &MemberView, moment: Millis) -> bool {
    let (Some(primary), Some(acker)) = (primary.current_view(), acker.current_view()) else { return false };
    primary.begun > moment && acker.received().covers(&primary.binlog_position)
}

/// True when writes on `primary` are known to wait for ackers and one of them has all that was written before.
#[must_use]
pub(crate) fn is_enforced(policy: &Policy, record: &Record, seen: &Observation, primary: &MemberView) -> bool {
    // An order still on its way could switch waiting off after the reading; one of an earlier term could be obeyed as long
    // as the primary has not heard of this one.
    let Some(now) = primary.settled_view().filter(|_| primary.is_free() && has_heard(record, primary)) else {
        return false;
    };
    // A reading takes the settings before the position, so the position covers all that was written before they held.
    let has_all =
        |acker: &MemberView| acker.current_view().is_some_and(|view| view.received().covers(&now.binlog_position));
    !now.read_only && weakened(primary).is_none() && active(policy, record, seen).any(has_all)
}

/// True when the agent of `member` has obeyed an order of this term: it refuses those of all earlier ones.
#[must_use]
pub(crate) fn has_heard(record: &Record, member: &MemberView) -> bool {
    let token = member.state().and_then(|state| state.record()).and_then(|volume| volume.token.as_ref());
    token.is_some_and(|token| token.term >= record.term)
}

/// Why an acknowledgement no longer means what `Enforced` says, if so: by the last readings, or by an earlier one that came
/// in while nothing could be decided.
#[must_use]
pub(crate) fn weakened(primary: &MemberView) -> Option<String> {
    primary.weakened.clone().or_else(|| weakens(primary.current_view()?, primary.before()))
}

/// Why an acknowledgement of the server that shows `now`, and `before` one reading ago, does not mean what `Enforced` says.
#[must_use]
pub(crate) fn weakens(now: &ServerView, before: Option<&ServerView>) -> Option<String> {
    if !now.semi_sync.enabled || !now.semi_sync.wait_no_slave {
        return Some("semi-sync or rpl_semi_sync_master_wait_no_slave was switched off on the primary".to_owned());
    }
    if before.is_some_and(|before| now.semi_sync.no_tx > before.semi_sync.no_tx) {
        return Some("commits went through unacknowledged on the primary".to_owned());
    }
    if before.is_some_and(|before| !now.binlog_position.covers(&before.binlog_position)) {
        return Some("the primary's binary log position went backwards".to_owned());
    }
    let drift: Vec<&str> = now.drift.iter().filter(|drift| drift.durability).map(|drift| drift.text.as_str()).collect();
    (!drift.is_empty()).then(|| format!("owned settings were changed: {}", drift.join(", ")))
}

/// An acker that has all the primary waits for, while the primary waits all the same: it will never be acknowledged.
#[must_use]
pub(crate) fn stuck<'a>(
    policy: &'a Policy,
    record: &'a Record,
    seen: &'a Observation,
    primary: &MemberView,
) -> Option<&'a MemberView> {
    let (now, before) = (primary.current_view()?, primary.before()?);
    let waits = now.semi_sync.wait_sessions > 0 && before.semi_sync.wait_sessions > 0 && now.semi_sync.clients > 0;
    if !waits || now.binlog_position != before.binlog_position {
        return None;
    }
    active(policy, record, seen).find(|acker| {
        let has_all = |view: &ServerView| view.received().covers(&now.binlog_position);
        acker.is_free() && acker.settled_view().is_some_and(has_all) && acker.before().is_some_and(has_all)
    })
}

/// A recorded acker whose run cannot be asked and which the primary must therefore shut out.
#[must_use]
pub(crate) fn to_evict(
    rules: Rules,
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    primary: &MemberView,
) -> Option<Ordinal> {
    // An entry leaves only when somebody else acknowledges meanwhile and can take over; without, shutting it out would gain
    // nothing and stop all writes. Both pods of a name share an account: shutting out the old one shuts out the new one, too.
    // Nor does one count that has just been shut out itself and was not seen connected since.
    let is_seen_back = |other: &MemberView| {
        let evicted = primary.progress.evicted.get(&other.ordinal);
        evicted.is_none_or(|at| other.current_view().is_some_and(|view| view.begun > *at))
    };
    let has_another =
        |ordinal| active(policy, record, seen).any(|other| other.ordinal != ordinal && is_seen_back(other));
    record.ackers.iter().find_map(|acker| {
        let gone = match seen.member(acker.member) {
            None => true,
            Some(member) => {
                is_elsewhere(member, acker) && !has_ended(rules, member, acker)
                    || is_long_away(member, seen.now)
                        && (rules.away_is_gone || !is_seen_acknowledging(policy, record, seen, member))
            }
        };
        let evict = gone
            && (has_another(acker.member) || rules.away_is_gone)
            && !primary.progress.evicted.contains_key(&acker.member);
        evict.then_some(acker.member)
    })
}

/// True when its agent has been away for long, and its mariadbd has not fallen silent just now: one late answer says nothing.
fn is_long_away(member: &MemberView, now: Millis) -> bool {
    if matches!(member.server, ServerSight::Silent { since } if now.since(since) < SILENT_BEFORE_EVICTION_MS) {
        return false;
    }
    matches!(member.agent, super::observation::AgentSight::Away { since } if now.since(since) >= AWAY_BEFORE_EVICTION_MS)
}

fn is_elsewhere(member: &MemberView, acker: &Acker) -> bool {
    member.state().is_some_and(|state| state.pod_uid != acker.pod_uid && state.boot_id != acker.boot_id)
}

/// True when `source` has never let `member` in.
#[must_use]
pub(crate) fn is_unadmitted(member: &MemberView, source: &MemberView) -> bool {
    source.state().is_some_and(|state| state.sql_notes.unadmitted.contains(&member.ordinal))
}

/// True when `member` is locked out by `source` and is to be let in. Its IO thread finds out only when it tries again.
#[must_use]
pub(crate) fn is_readmitted(
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    member: &MemberView,
    source: &MemberView,
) -> bool {
    let settled = source.answered_at.is_none_or(|answered| seen.now.since(answered) > RECONNECT_MS);
    (is_unadmitted(member, source) || settled && is_locked_out(member)) && may_return(policy, record, member)
}

/// True when `member` may be let in again after an eviction: it answers, its volume is the right one, and its next
/// connection acknowledges only if it is recorded.
#[must_use]
pub(crate) fn may_return(policy: &Policy, record: &Record, member: &MemberView) -> bool {
    let known = is_recorded(record, member) || member.settled_view().is_some_and(|view| !view.acker_wanted);
    member.is_running() && known && volume_trouble(record, &policy.cluster, member).is_none()
}

/// True when `durability` lets commits wait.
#[must_use]
pub(crate) fn waits(durability: Durability) -> bool {
    matches!(durability, Durability::Enforced | Durability::CatchingUp)
}

#[cfg(test)]
mod tests;
