//! Simulation: the real `decide` against a model of members, replication, semi-sync and clients, in virtual time.
//!
//! One seed chooses everything: policy, timing, faults. The model is made of values; the rules it keeps are those of
//! `src/orders/`, docs/contract.md and what was measured on real servers. After every event the invariants of the
//! design are checked, and when the faults stop the cluster must heal. A failing seed prints itself; replay it with
//! `SEED=… cargo test --test simulation replay -- --nocapture`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a model in a test")]

mod agent;
mod api_server;
mod checks;
mod clients;
mod faults;
mod member;
mod operator;
mod plan;
mod replication;
mod roads;
mod steps;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use beachmaster::topology::policy::{MemberPolicy, Mode, WhenNoAcker};

use crate::plan::Plan;
use crate::world::{Dice, LoopMutant, Mutant, Stats, World};

/// Histories of a full run.
const HISTORIES: u64 = 20_000;
/// Within so many histories a mutant must be found.
const MUTANT_HISTORIES: u64 = 5_000;
/// Plans in which the member being promoted has two pods.
const SECOND_CANDIDATES: u64 = 1_000;

/// Plans in which the old primary's agent goes away while it serves.
const LOST_DONORS: u64 = 600;

/// Plans in which somebody puts the status back.
const ROLLED_BACK: u64 = 1_500;
/// Histories in which replicas are made writable.
const MADE_WRITABLE: u64 = 1_500;

/// Plans in which the replica of two members is drained.
const DRAINED: u64 = 200;

/// Plans in which the preferred candidate is held up by a lock.
const LOCKED_CANDIDATES: u64 = 200;
/// Two seconds for it to be seen, four for a freeze that ends in a kill, the rest for the failover.
const YIELDS_WITHIN_MS: u64 = 12_000;
/// A failover without the two seconds in which a candidate is seen to be held up.
const PASSED_OVER_WITHIN_MS: u64 = 1_500;

struct Broken {
    seed: u64,
    violation: String,
}

fn history(seed: u64, mutant: Option<Mutant>) -> Result<Stats, Broken> {
    let mut world = World::new(seed, mutant, false);
    world.run();
    match world.violation {
        // A mutant is found by what it breaks, not by a cluster that does not heal; but for the one whose fault that is.
        Some(violation) if mutant.is_none_or(|mutant| is_of(mutant, &violation)) => Err(Broken { seed, violation }),
        _ => Ok(world.stats),
    }
}

fn is_of(mutant: Mutant, violation: &str) -> bool {
    let heals_not = mutant == Mutant::Loop(LoopMutant::ServiceUnchecked);
    violation.contains(if heals_not { "the Service leads elsewhere" } else { "invariant" })
}

/// Runs seeds on all processors until one breaks an invariant.
fn histories(seeds: std::ops::Range<u64>, mutant: Option<Mutant>) -> (Vec<Stats>, Option<Broken>) {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicU64::new(u64::MAX);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        let mut done = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || seed > stop.load(Ordering::Relaxed) {
                return (done, None);
            }
            match history(seed, mutant) {
                Ok(stats) => done.push(stats),
                Err(broken) => {
                    stop.fetch_min(seed, Ordering::Relaxed);
                    return (done, Some(broken));
                }
            }
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let mut all = Vec::new();
    let mut first: Option<Broken> = None;
    for (done, broken) in results {
        all.extend(done);
        if let Some(broken) = broken
            && first.as_ref().is_none_or(|first| broken.seed < first.seed)
        {
            first = Some(broken);
        }
    }
    (all, first)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn histories_keep_every_invariant() {
    let (count, first) = (number("HISTORIES").unwrap_or(HISTORIES), number("FIRST").unwrap_or(0));
    let (stats, broken) = histories(first..first + count, None);
    if let Some(Broken { seed, violation }) = broken {
        panic!("seed {seed}: {violation}\nreplay: SEED={seed} cargo test --test simulation replay -- --nocapture");
    }
    let sum = |of: fn(&Stats) -> u64| stats.iter().map(of).sum::<u64>();
    let crashed = stats.iter().filter(|stats| stats.crashes_in_failover > 0).count() as u64;
    println!(
        "{} histories: {} failovers, {} resumes, {} relay logs recovered, {} members mended, {} operator crashes inside a failover in {crashed} histories, \
         {} transactions acknowledged ({} times by a pod deleted by force), {} orders, {} lost answers, {} late writes, {} rest blocked rightly",
        stats.len(),
        sum(|stats| stats.failovers),
        sum(|stats| stats.resumes),
        sum(|stats| stats.recovered),
        sum(|stats| stats.mended),
        sum(|stats| stats.crashes_in_failover),
        sum(|stats| stats.acked),
        sum(|stats| stats.by_deleted_pods),
        sum(|stats| stats.orders),
        sum(|stats| stats.lost_answers),
        sum(|stats| stats.late_writes),
        sum(|stats| stats.blocked),
    );
    assert!(sum(|stats| stats.mended) > 0, "no history leaves anything half done");
    assert!(sum(|stats| stats.lost_answers) > 0, "the API server always answers");
    assert!(sum(|stats| stats.recovered) > 0, "no history lets an acker apply its kept relay logs");
    assert!(crashed * 2 >= count, "only {crashed} of {count} histories have an operator crash inside a failover");
}

/// Prints one history, of `PLAN=donor` one of those plans.
#[test]
fn replay() {
    let Some(seed) = number("SEED") else { return };
    let mutant = match std::env::var("MUTANT").as_deref() {
        Ok("ackers") => Some(Mutant::AckerLeavesAtOnce),
        Ok("tokens") => Some(Mutant::AgentTakesLowerTokens),
        Ok("incarnations") => Some(Mutant::IncarnationsIgnored),
        Ok("dropped") => Some(Mutant::DroppedIgnored),
        Ok("unread") => Some(Mutant::ResumedUnread),
        Ok("pods") => Some(Mutant::AnyPodEndsARun),
        Ok("past") => Some(Mutant::PastBelieved),
        Ok("acknowledgements") => Some(Mutant::PastAcknowledgements),
        Ok("strays") => Some(Mutant::StraysIgnored),
        Ok("stale-reading") => Some(Mutant::Loop(LoopMutant::StaleReadingBelieved)),
        Ok("lost-write") => Some(Mutant::Loop(LoopMutant::LostWriteBelieved)),
        Ok("busy") => Some(Mutant::Loop(LoopMutant::OrdersWhileBusy)),
        Ok("service") => Some(Mutant::Loop(LoopMutant::ServiceUnchecked)),
        Ok("any-answer") => Some(Mutant::Loop(LoopMutant::AnyAnswerTaken)),
        _ => None,
    };
    let mut world = match std::env::var("PLAN").as_deref() {
        Ok("donor") => of_a_lost_donor(seed, mutant, true),
        Ok("rollback") => of_a_status_rolled_back(seed, mutant, true),
        Ok("writable") => of_replicas_made_writable(seed, mutant, true),
        _ => World::new(seed, mutant, true),
    };
    world.with_known_gaps = number("GAPS").is_some();
    println!("seed {seed}: {:?}\n{:?}", world.policy, world.plan);
    world.run();
    for line in world.trace.iter().flatten() {
        println!("{line}");
    }
    println!("{:?}", world.violation);
}

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

fn of_a_lost_donor(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
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

fn of_a_status_rolled_back(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
    let mut dice = Dice::new(seed);
    let policy = plan::policy(&mut dice);
    let plan = plan::with_a_status_rolled_back(&mut dice, policy.members.len());
    World::planned(dice, policy, plan, (mutant, trace))
}

/// The first of these plans in which something breaks.
fn of_statuses_rolled_back(plans: u64, mutant: Option<Mutant>) -> Option<String> {
    (0..plans).find_map(|seed| {
        let mut world = of_a_status_rolled_back(seed, mutant, false);
        world.run();
        let broken = world.violation.filter(|broken| mutant.is_none() || broken.contains("invariant"));
        broken.map(|broken| format!("plan {seed}: {broken}"))
    })
}

/// Nothing is lost by a status from the past, and the cluster goes on.
#[test]
fn a_status_that_was_rolled_back_does_no_harm() {
    assert_eq!(of_statuses_rolled_back(number("HISTORIES").unwrap_or(ROLLED_BACK), None), None);
}

#[test]
fn finds_that_the_past_is_believed() {
    for mutant in [Mutant::PastBelieved, Mutant::PastAcknowledgements] {
        let found = of_statuses_rolled_back(MUTANT_HISTORIES, Some(mutant));
        println!("{mutant:?} found by {}", found.as_deref().unwrap_or("none"));
        assert!(found.is_some(), "{mutant:?}");
    }
}

fn of_replicas_made_writable(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
    let mut dice = Dice::new(seed);
    let policy = plan::policy(&mut dice);
    let plan = plan::with_replicas_made_writable(&mut dice, policy.members.len());
    World::planned(dice, policy, plan, (mutant, trace))
}

fn all_made_writable(plans: u64, mutant: Option<Mutant>) -> (Stats, Option<String>) {
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

#[test]
fn finds_that_replicas_made_writable_are_ignored() {
    let (_, found) = all_made_writable(MUTANT_HISTORIES, Some(Mutant::StraysIgnored));
    println!("found by {}", found.as_deref().unwrap_or("none"));
    assert!(found.is_some());
}

/// Whoever is held up by a lock yields: a new reign acknowledges long before the lock is lifted.
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
    let begins = world.first_ack.values().nth(1).copied().expect("a second reign");
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

#[test]
fn the_same_seed_gives_the_same_history() {
    let trace = |seed| {
        let mut world = World::new(seed, None, true);
        world.run();
        world.trace
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

fn is_found(mutant: Mutant) {
    let (_, broken) = histories(0..MUTANT_HISTORIES, Some(mutant));
    let Broken { seed, violation } = broken.unwrap_or_else(|| panic!("{mutant:?} was not found"));
    println!("{mutant:?} found by seed {seed}: {violation}");
}

#[test]
fn finds_that_an_acker_leaves_at_once() {
    is_found(Mutant::AckerLeavesAtOnce);
}

#[test]
fn finds_that_incarnations_are_ignored() {
    is_found(Mutant::IncarnationsIgnored);
}

#[test]
fn finds_that_a_primary_is_resumed_unread() {
    is_found(Mutant::ResumedUnread);
}

#[test]
fn finds_that_any_pod_ends_a_run() {
    is_found(Mutant::AnyPodEndsARun);
}

#[test]
fn finds_an_agent_that_takes_lower_tokens() {
    is_found(Mutant::AgentTakesLowerTokens);
}

#[test]
fn finds_the_mistakes_of_the_loop() {
    for mutant in [
        LoopMutant::LostWriteBelieved,
        LoopMutant::OrdersWhileBusy,
        LoopMutant::ServiceUnchecked,
        LoopMutant::AnyAnswerTaken,
    ] {
        is_found(Mutant::Loop(mutant));
    }
}

/// What is read is confirmed by orders before it is acted upon, so that this one does harm only where many readings are late.
#[test]
fn finds_that_a_stale_reading_is_believed() {
    let history = |seed, mutant| {
        let mut world = of_replicas_made_writable(seed, mutant, false);
        world.plan.late_readings_percent = 60;
        world.run();
        world.violation
    };
    let found = (0..MUTANT_HISTORIES).find_map(|seed| {
        let mutant = Mutant::Loop(LoopMutant::StaleReadingBelieved);
        let broken = history(seed, Some(mutant)).filter(|broken| is_of(mutant, broken))?;
        // What breaks without the mistake, too, proves nothing.
        assert_eq!(history(seed, None), None, "plan {seed}");
        Some(format!("plan {seed}: {broken}"))
    });
    println!("found by {}", found.as_deref().unwrap_or("none"));
    assert!(found.is_some());
}
