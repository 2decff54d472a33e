//! Simulation: the operator's real machine against a model of members, replication, semi-sync and clients, in virtual time.
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
mod convergence;
mod dice;
mod disks;
mod fault;
mod faults;
mod known_gaps;
mod member;
mod mutants;
mod operator;
mod plan;
mod pods;
mod probes;
mod replica_steps;
mod replication;
mod roads;
mod special_plans;
mod stats;
mod steps;
mod strangers;
mod user;
mod wedge;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;
use crate::special_plans::{
    of_a_half_open_stream, of_a_lost_donor, of_a_plan, of_a_status_rolled_back, of_an_empty_volume,
    of_replicas_made_writable, of_three,
};
use crate::stats::Stats;
use crate::world::{LoopMutant, Mutant, World};

/// Histories of a full run.
const HISTORIES: u64 = 20_000;
struct Broken {
    seed: u64,
    violation: String,
}

fn history(seed: u64, mutant: Option<Mutant>) -> Result<Stats, Broken> {
    let mut world = World::new(seed, mutant, false);
    world.run();
    match world.violation {
        Some(violation) if mutant.is_none_or(|mutant| is_of(mutant, &violation)) => Err(Broken { seed, violation }),
        _ => Ok(world.stats),
    }
}

/// True when `violation` is what this mistake leads to: a broken invariant, or that the cluster does not heal where that is
/// the fault.
fn is_of(mutant: Mutant, violation: &str) -> bool {
    violation.contains(match mutant {
        Mutant::Loop(LoopMutant::ServiceUnchecked) => "the Service leads elsewhere",
        Mutant::AwayIsGone => "its last acker, which works",
        Mutant::EntriesStay => "is over",
        Mutant::InitWaits => "transition Initialise is not over",
        Mutant::GivenUpCounts => "transition Resume is not over",
        _ => "invariant",
    })
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
    assert!(sum(|stats| stats.late_writes) > 0, "every write is done at once");
    for (fault, count) in [
        ("hangs", sum(|stats| stats.hangs)),
        ("half-open streams", sum(|stats| stats.half_open)),
        ("outages of the API server", sum(|stats| stats.api_away)),
        ("edits of the spec", sum(|stats| stats.edits)),
        ("full disks", sum(|stats| stats.disks_full)),
        ("hanging disks", sum(|stats| stats.disks_hanging)),
        ("late endpoints", sum(|stats| stats.endpoints_late)),
        ("orders and starts without space", sum(|stats| stats.without_space)),
    ] {
        println!("{count} {fault}");
        assert!(count > 0, "no {fault}");
    }
    assert!(sum(|stats| stats.recovered) > 0, "no history lets an acker apply its kept relay logs");
    assert!(crashed * 2 >= count, "only {crashed} of {count} histories have an operator crash inside a failover");
}

/// Prints the history of `SEED=`: one of the usual plan, or of the one that `PLAN=` names.
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
        Ok("any-agent") => Some(Mutant::AnyAgentWillDo),
        Ok("old-proofs") => Some(Mutant::OldProofs),
        Ok("away") => Some(Mutant::AwayIsGone),
        Ok("entries") => Some(Mutant::EntriesStay),
        Ok("init") => Some(Mutant::InitWaits),
        Ok("given-up") => Some(Mutant::GivenUpCounts),
        Ok("strays") => Some(Mutant::StraysIgnored),
        Ok("stale-reading") => Some(Mutant::Loop(LoopMutant::StaleReadingBelieved)),
        Ok("lost-write") => Some(Mutant::Loop(LoopMutant::LostWriteBelieved)),
        Ok("busy") => Some(Mutant::Loop(LoopMutant::OrdersWhileBusy)),
        Ok("service") => Some(Mutant::Loop(LoopMutant::ServiceUnchecked)),
        Ok("forgets") => Some(Mutant::Loop(LoopMutant::TermForgotten)),
        Ok("doubt") => Some(Mutant::Loop(LoopMutant::NeverInDoubt)),
        Ok("any-answer") => Some(Mutant::Loop(LoopMutant::AnyAnswerTaken)),
        _ => None,
    };
    let mut world = match std::env::var("PLAN").as_deref() {
        Ok("donor") => of_a_lost_donor(seed, mutant, true),
        Ok("rollback") => of_a_status_rolled_back(seed, mutant, true),
        Ok("writable") => of_replicas_made_writable(seed, mutant, true),
        Ok("semi-sync") => of_three(seed, Plan::of_semi_sync_switched_off(seed), (mutant, true)),
        Ok("branch") => of_three(seed, Plan::of_a_branch(seed), (mutant, true)),
        Ok("empty") => of_an_empty_volume(seed, mutant, true),
        Ok("silent") => wedge::wedged_alone(seed, true, true, true),
        Ok("wedge") => wedge::of_a_wedged_primary(seed, mutant, true),
        Ok("given-up") => user::of_a_member_given_up(seed, mutant, true),
        Ok("stranger") => of_a_plan(seed, plan::with_a_stranger, (mutant, true)),
        Ok("older-copy") => of_a_plan(seed, plan::with_an_older_copy, (mutant, true)),
        Ok("within") => of_a_plan(seed, plan::with_a_status_of_the_term, (mutant, true)),
        Ok("half-open") => of_a_half_open_stream(seed, mutant, true),
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
