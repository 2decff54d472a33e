//! Every deliberate mistake breaks an invariant within so many histories.

use crate::special_plans::{
    SEEN_WITHIN_MS, all_made_writable, half_open_streams, of_empty_volumes, of_replicas_made_writable,
    of_statuses_rolled_back,
};
use crate::world::{LoopMutant, Mutant};
use crate::{Broken, histories, is_of};

/// Within so many histories a mutant must be found.
const HISTORIES: u64 = 5_000;

fn is_found(mutant: Mutant) {
    let (_, broken) = histories(0..HISTORIES, Some(mutant));
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
    // It does harm in one of some five thousand of these plans.
    let found = (5_000..5_000 + HISTORIES).find_map(|seed| {
        let mutant = Mutant::Loop(LoopMutant::StaleReadingBelieved);
        let broken = history(seed, Some(mutant)).filter(|broken| is_of(mutant, broken))?;
        // What breaks without the mistake, too, proves nothing.
        assert_eq!(history(seed, None), None, "plan {seed}");
        Some(format!("plan {seed}: {broken}"))
    });
    println!("found by {}", found.as_deref().unwrap_or("none"));
    assert!(found.is_some());
}

#[test]
fn finds_that_the_past_is_believed() {
    // Old proofs do harm in one of some fifteen thousand of these plans.
    for (mutant, first) in [(Mutant::PastBelieved, 0), (Mutant::PastAcknowledgements, 0), (Mutant::OldProofs, 18_000)] {
        let found = of_statuses_rolled_back(first..first + HISTORIES, Some(mutant));
        println!("{mutant:?} found by {}", found.as_deref().unwrap_or("none"));
        assert!(found.is_some(), "{mutant:?}");
    }
}

#[test]
fn finds_that_any_agent_will_do() {
    let found = of_empty_volumes(0..HISTORIES, Some(Mutant::AnyAgentWillDo));
    println!("found by {}", found.as_deref().unwrap_or("none"));
    assert!(found.is_some());
}

/// A member told of a later term and was cut off before the leader took over.
#[test]
fn finds_that_a_term_is_forgotten() {
    let found = of_empty_volumes(2_000..2_000 + HISTORIES, Some(Mutant::Loop(LoopMutant::TermForgotten)));
    println!("found by {}", found.as_deref().unwrap_or("none"));
    assert!(found.is_some());
}

#[test]
fn finds_that_replicas_made_writable_are_ignored() {
    let (_, found) = all_made_writable(HISTORIES, Some(Mutant::StraysIgnored));
    println!("found by {}", found.as_deref().unwrap_or("none"));
    assert!(found.is_some());
}

/// Mistakes after which nothing is lost, and the cluster does not heal or stops writes.
#[test]
fn finds_what_keeps_a_cluster_from_healing() {
    for mutant in [Mutant::AwayIsGone, Mutant::EntriesStay, Mutant::InitWaits] {
        is_found(mutant);
    }
}

#[test]
fn finds_that_nobody_asks_an_agent_that_says_nothing() {
    assert!(half_open_streams(Some(Mutant::Loop(LoopMutant::NeverInDoubt))) > SEEN_WITHIN_MS);
}

/// Two members that blame each other are started and fenced in turn, for ever.
#[test]
fn finds_that_what_was_given_up_counts() {
    // One of some seven thousand histories comes to that.
    let (_, broken) = histories(5_000..5_000 + 3 * HISTORIES, Some(Mutant::GivenUpCounts));
    let Broken { seed, violation } = broken.expect("it was not found");
    println!("found by seed {seed}: {violation}");
}
