//! docs/failover.md speaks of everything the code speaks of, and docs/reasons.md says what to do about it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

use beachmaster::topology::reasons::{MemberReason, MemberState, Reason};
use beachmaster::topology::record::Durability;
use beachmaster::topology::transition::{Step, TransitionKind};
use beachmaster::topology::verdict::Verdict;

const FAILOVER: &str = include_str!("../docs/failover.md");
const REASONS: &str = include_str!("../docs/reasons.md");

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

/// Reasons that say that all is well, or what is under way.
const NO_TROUBLE: [Reason; 9] = [
    Reason::PrimaryAcceptsWrites,
    Reason::CandidateReady,
    Reason::VolumesHaveSpace,
    Reason::Initialise,
    Reason::Failover,
    Reason::Resume,
    Reason::AtRest,
    Reason::Progressing,
    Reason::NotPaused,
];

/// A word that is only named leaves people alone with it.
#[test]
fn every_reason_has_a_row_that_says_what_to_do() {
    let (conditions, members) = REASONS.split_once("\n## Members\n").unwrap_or_default();
    let lacks = |page: &str, word: String| !page.contains(&format!("\n| `{word}` |"));
    let told = Reason::ALL.iter().filter(|reason| !NO_TROUBLE.contains(reason));
    let missing: Vec<String> = told.map(ToString::to_string).filter(|word| lacks(conditions, word.clone())).collect();
    assert!(missing.is_empty(), "docs/reasons.md has no row for {missing:?}");
    let missing: Vec<String> =
        MemberReason::ALL.iter().map(ToString::to_string).filter(|word| lacks(members, word.clone())).collect();
    assert!(missing.is_empty(), "docs/reasons.md has no row for members for {missing:?}");
}

#[test]
fn every_reason_and_member_state_is_explained() {
    assert_named(Reason::ALL.iter().map(ToString::to_string));
    assert_named(MemberState::ALL.iter().map(ToString::to_string));
    assert_named(MemberReason::ALL.iter().map(ToString::to_string));
}
