//! Plans made for one kind of fault each.

use std::ops::Range;

use beachmaster::topology::policy::{MemberPolicy, Mode, WhenNoAcker};

use crate::dice::Dice;
use crate::number;
use crate::plan::{self, Plan};
use crate::stats::Stats;
use crate::world::{Mutant, World};

/// Plans in which the member being promoted has two pods.
const SECOND_CANDIDATES: u64 = 1_000;

/// Plans in which the old primary's agent goes away while it serves.
const LOST_DONORS: u64 = 600;

/// Plans in which somebody puts the status back.
const ROLLED_BACK: u64 = 1_500;
/// Histories in which it is put back and a volume is lost.
const EMPTY_VOLUMES: u64 = 500;
/// Histories in which replicas are made writable.
const MADE_WRITABLE: u64 = 1_500;

/// Plans in which the replica of two members is drained.
const DRAINED: u64 = 200;

/// Plans in which the preferred candidate is held up by a lock.
const LOCKED_CANDIDATES: u64 = 200;
/// Plans in which the primary dies behind a stream that is half open.
const HALF_OPEN: u64 = 200;
/// A reading, three missed pings of a member in doubt (the first before its death), the failover.
pub const SEEN_WITHIN_MS: u64 = 1_500;
/// Two seconds for it to be seen, four for a freeze that ends in a kill, the rest for the failover.
const YIELDS_WITHIN_MS: u64 = 12_000;
/// A failover without the two seconds in which a candidate is seen to be held up.
const PASSED_OVER_WITHIN_MS: u64 = 1_500;

/// A late `promote` reaches the pod whose volume has moved to its successor: it cannot store the token and refuses.
#[test]
fn a_second_pod_of_the_member_being_promoted_does_no_harm() {
    let mut refused = 0;
    for seed in 0..SECOND_CANDIDATES {
        let mut dice = Dice::new(seed);
        let policy = plan::policy(&mut dice);
        let mut world = World::planned(dice, policy, Plan::of_a_second_candidate(seed), (None, false));
        world.run();
        assert_eq!(world.violation, None, "plan {seed}");
        refused += world.stats.without_volume;
    }
    println!("{refused} orders were refused by a pod without its volume");
    assert!(refused > 0);
}

pub fn of_a_lost_donor(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
    let mut dice = Dice::new(seed);
    let policy = plan::policy(&mut dice);
    let plan = Plan::of_a_lost_donor(seed, policy.members.len());
    World::planned(dice, policy, plan, (mutant, trace))
}

/// The donor is lost when the candidate has thrown away what it acknowledged, and has not fetched it again.
fn of_lost_donors(mutant: Option<Mutant>) -> (Vec<Stats>, Option<String>) {
    let mut all = Vec::new();
    for seed in 0..LOST_DONORS {
        let mut world = of_a_lost_donor(seed, mutant, false);
        world.run();
        if let Some(violation) = world.violation {
            return (all, Some(format!("plan {seed}: {violation}")));
        }
        all.push(world.stats);
    }
    (all, None)
}

#[test]
fn a_donor_that_is_lost_takes_nothing_along() {
    let (stats, violation) = of_lost_donors(None);
    assert_eq!(violation, None);
    let recovered: u64 = stats.iter().map(|stats| stats.recovered).sum();
    println!("{recovered} times relay logs were recovered that the candidate had thrown away");
    assert!(recovered > 0);
    let (_, violation) = of_lost_donors(Some(Mutant::DroppedIgnored));
    println!("{:?} found by {}", Mutant::DroppedIgnored, violation.as_deref().unwrap_or("none"));
    assert!(violation.is_some_and(|violation| violation.contains("invariant")), "what was thrown away is of no use");
}

pub fn of_a_status_rolled_back(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
    of_a_plan(seed, plan::with_a_status_rolled_back, (mutant, trace))
}

/// The first of these plans in which something breaks.
pub fn of_statuses_rolled_back(mut plans: Range<u64>, mutant: Option<Mutant>) -> Option<String> {
    plans.find_map(|seed| {
        let mut world = of_a_status_rolled_back(seed, mutant, false);
        world.run();
        let broken = world.violation.filter(|broken| mutant.is_none() || broken.contains("invariant"));
        broken.map(|broken| format!("plan {seed}: {broken}"))
    })
}

pub fn of_an_empty_volume(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
    of_a_plan(seed, plan::with_an_empty_volume, (mutant, trace))
}

/// The first of these plans in which something breaks.
pub fn of_empty_volumes(mut plans: Range<u64>, mutant: Option<Mutant>) -> Option<String> {
    plans.find_map(|seed| {
        let mut world = of_an_empty_volume(seed, mutant, false);
        world.run();
        let broken = world.violation.filter(|broken| mutant.is_none() || broken.contains("invariant"));
        broken.map(|broken| format!("plan {seed}: {broken}"))
    })
}

/// A volume that knows of no term proves nothing.
#[test]
fn an_empty_volume_is_no_reason_to_take_over() {
    assert_eq!(of_empty_volumes(0..number("HISTORIES").unwrap_or(EMPTY_VOLUMES), None), None);
}

/// Nothing is lost by a status from the past, and the cluster goes on.
#[test]
fn a_status_that_was_rolled_back_does_no_harm() {
    let plans = number("HISTORIES").unwrap_or(ROLLED_BACK);
    assert_eq!(of_statuses_rolled_back(0..plans, None), None);
    let first = (0..100).map(|seed| {
        let mut world = of_a_status_rolled_back(seed, None, false);
        world.run();
        world.stats.rollbacks
    });
    assert!(first.sum::<u64>() > 0, "no status was put back");
}

pub fn of_replicas_made_writable(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
    of_a_plan(seed, plan::with_replicas_made_writable, (mutant, trace))
}

pub fn all_made_writable(plans: u64, mutant: Option<Mutant>) -> (Stats, Option<String>) {
    let mut stats = Stats::default();
    for seed in 0..plans {
        let mut world = of_replicas_made_writable(seed, mutant, false);
        world.run();
        stats.by_strays += world.stats.by_strays;
        stats.failovers += world.stats.failovers;
        let broken = world.violation.filter(|broken| mutant.is_none() || broken.contains("invariant"));
        if let Some(broken) = broken {
            return (stats, Some(format!("plan {seed}: {broken}")));
        }
    }
    (stats, None)
}

/// A script that makes every member it finds writable does not get clients led to them.
#[test]
fn a_replica_that_is_made_writable_does_no_harm() {
    let (stats, broken) = all_made_writable(number("HISTORIES").unwrap_or(MADE_WRITABLE), None);
    println!("{} failovers, {} commits of replicas", stats.failovers, stats.by_strays);
    assert_eq!(broken, None);
}

/// Whoever is held up by a lock yields: a new term acknowledges long before the lock is lifted.
#[test]
fn a_locked_candidate_yields_to_the_next() {
    locked_candidates(500);
}

/// Whoever is known to be held up is not asked first, so that mostly nobody waits for it to yield.
#[test]
fn a_candidate_that_is_known_to_be_locked_is_passed_over() {
    let median = locked_candidates(6_000);
    assert!(median < PASSED_OVER_WITHIN_MS, "{median} ms");
}

/// The preferred candidate is locked so many milliseconds before the primary is killed. The median of the times without a primary.
fn locked_candidates(before: u64) -> u64 {
    let mut times: Vec<u64> = (0..LOCKED_CANDIDATES).map(|seed| locked_candidate(seed, before)).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn locked_candidate(seed: u64, before: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let mut policy = plan::policy(&mut dice);
    policy.members = (0..3_u32).map(|rank| MemberPolicy { priority: 2 - rank, never_primary: false }).collect();
    policy.hosts = (0..3).map(|member| format!("m{member}")).collect();
    (policy.mode, policy.when_no_acker) = (Mode::SemiSync, WhenNoAcker::Wait);
    let mut world = World::planned(dice, policy, Plan::of_a_locked_candidate(seed, 1, before), (None, false));
    world.run();
    assert_eq!(world.violation, None, "plan {seed}");
    let begins = world.first_ack.values().nth(1).copied().expect("a second term");
    let took = begins.saturating_sub(plan::LOCKED_KILL_MS + seed);
    assert!(took < YIELDS_WITHIN_MS, "plan {seed}: {took} ms");
    took
}

/// The run on the node that was drained is over, says its volume: there is no failover that could clean the list of ackers.
#[test]
fn a_replica_of_two_that_was_drained_leaves_the_list_of_ackers() {
    for seed in 0..DRAINED {
        let mut dice = Dice::new(seed);
        let mut policy = plan::policy(&mut dice);
        policy.members = vec![MemberPolicy { priority: 0, never_primary: false }; 2];
        policy.hosts = (0..2).map(|member| format!("m{member}")).collect();
        (policy.mode, policy.when_no_acker) = (Mode::SemiSync, WhenNoAcker::Wait);
        let mut world = World::planned(dice, policy, Plan::of_a_drained_replica(seed), (None, false));
        world.run();
        assert_eq!(world.violation, None, "plan {seed}");
        assert_eq!(world.store.record.ackers.len(), 1, "plan {seed}: {:?}", world.store.record.ackers);
    }
}

/// Nobody is told that the stream to the primary's agent carries nothing, and then its mariadbd dies.
#[test]
fn a_death_behind_a_half_open_stream_is_seen_soon() {
    let median = half_open_streams(None);
    assert!(median < SEEN_WITHIN_MS, "{median} ms");
}

/// The median of the times without a primary. In one of a hundred a freeze takes four seconds.
pub fn half_open_streams(mutant: Option<Mutant>) -> u64 {
    let mut times: Vec<u64> = (0..HALF_OPEN).map(|seed| half_open(seed, mutant)).collect();
    times.sort_unstable();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("without a primary for {median} ms (median), {longest} ms (longest)");
    median
}

/// How long nobody acknowledged.
fn half_open(seed: u64, mutant: Option<Mutant>) -> u64 {
    let mut world = of_a_half_open_stream(seed, mutant, false);
    world.run();
    assert_eq!(world.violation, None, "plan {seed}");
    let begins = world.first_ack.values().nth(1).copied().expect("a second term");
    begins.saturating_sub(plan::LOCKED_KILL_MS + seed)
}

pub fn of_a_half_open_stream(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
    of_three(seed, Plan::of_a_half_open_stream(seed), (mutant, trace))
}

/// Three members alike, which acknowledge.
pub fn of_three(seed: u64, plan: Plan, how: (Option<Mutant>, bool)) -> World {
    let mut dice = Dice::new(seed);
    let mut policy = plan::policy(&mut dice);
    policy.members = vec![MemberPolicy { priority: 0, never_primary: false }; 3];
    policy.hosts = (0..3).map(|member| format!("m{member}")).collect();
    (policy.mode, policy.when_no_acker) = (Mode::SemiSync, WhenNoAcker::Wait);
    World::planned(dice, policy, plan, how)
}

/// A history of its own plan.
pub fn of_a_plan(seed: u64, plan: fn(&mut Dice, usize) -> Plan, how: (Option<Mutant>, bool)) -> World {
    let mut dice = Dice::new(seed);
    let policy = plan::policy(&mut dice);
    let plan = plan(&mut dice, policy.members.len());
    World::planned(dice, policy, plan, how)
}
