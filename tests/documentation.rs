//! docs/failover.md speaks of everything the code speaks of.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

use beachmaster::topology::record::{Durability, Step, TransitionKind};
use beachmaster::topology::verdict::Verdict;
use beachmaster::topology::words::{MemberReason, MemberState, Reason};

const FAILOVER: &str = include_str!("../docs/failover.md");

fn assert_named(words: impl IntoIterator<Item = String>) {
    let missing: Vec<String> = words.into_iter().filter(|word| !FAILOVER.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "docs/failover.md does not explain {missing:?}");
}

#[test]
fn every_verdict_is_explained() {
    assert_named(Verdict::all().iter().map(|verdict| verdict.word().to_owned()));
}

#[test]
fn every_transition_step_and_durability_is_explained() {
    assert_named(TransitionKind::ALL.iter().map(|kind| format!("{kind:?}")));
    assert_named(Step::ALL.iter().map(|step| format!("{step:?}")));
    assert_named(Durability::ALL.iter().map(|durability| format!("{durability:?}")));
}

#[test]
fn every_reason_and_member_state_is_explained() {
    assert_named(Reason::ALL.iter().map(ToString::to_string));
    assert_named(MemberState::ALL.iter().map(ToString::to_string));
    assert_named(MemberReason::ALL.iter().map(ToString::to_string));
}
