//! Faults that still break the code (docs/known-gaps.md). One that breaks nothing any more belongs to the others.

use crate::dice::Dice;
use crate::plan::{self, Plan};
use crate::special_plans::of_a_plan;

/// Within so many histories each of them does harm.
const HISTORIES: u64 = 500;

#[test]
fn what_is_known_not_to_hold_does_harm() {
    is_found("stranger", plan::with_a_stranger);
    is_found("older-copy", plan::with_an_older_copy);
    is_found("within", plan::with_a_status_of_the_term);
}

fn is_found(name: &str, plan: fn(&mut Dice, usize) -> Plan) {
    let found = (0..HISTORIES).find_map(|seed| {
        let mut world = of_a_plan(seed, plan, (None, false));
        world.run();
        let broken = world.violation.filter(|broken| broken.contains("invariant"))?;
        Some(format!("SEED={seed} PLAN={name}: {broken}"))
    });
    println!("{}", found.as_deref().unwrap_or("none"));
    assert!(found.is_some(), "{name} does no harm in {HISTORIES} histories");
}
