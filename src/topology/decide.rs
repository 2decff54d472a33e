//! The one place that says what to do next.
//!
//! `decide` is a total function of what is recorded, wished and seen. It is asked again after everything that happens,
//! so it keeps no memory; whoever continues after a crash gets the same answers.

use super::decision::Case;
pub use super::decision::{Act, Decision};
use super::observation::Observation;
use super::policy::Policy;
use super::record::Record;
use super::rules::Rules;
use super::transition::Transition;
use super::{failover, initialise, outdated, promoting, resume, steady, writable_replicas};

/// The next step for a cluster, under the rules that hold.
#[cfg(test)]
#[must_use]
pub(crate) fn decide(policy: &Policy, record: &Record, seen: &Observation) -> Decision {
    decide_with(Rules::default(), policy, record, seen)
}

/// The next step for a cluster. The rules are those that hold, but in tests which prove that broken ones are noticed.
#[must_use]
pub(crate) fn decide_with(rules: Rules, policy: &Policy, record: &Record, seen: &Observation) -> Decision {
    let case = Case { rules, policy, record, seen };
    if record.data_uid.is_none() {
        return initialise::begin(&case);
    }
    if let Some(proof) = outdated::proof(record, seen).filter(|_| !rules.believes_the_past) {
        return outdated::decide(&case, proof);
    }
    if seen.my_term != Some(record.term) {
        return case.take_over();
    }
    if let Some(above) = seen.service_term.filter(|term| *term > record.term) {
        // Somebody has edited it: under a higher term it can be written again.
        let next = Record { term: above.next(), ..record.clone() };
        return Decision::write(next, format!("Service {}-primary says term {above}", policy.short_name()));
    }
    let Some(transition) = &record.transition else { return steady::decide(&case) };
    if let Some(decision) = writable_replicas::first(&case) {
        return decision;
    }
    let decision = match transition {
        Transition::Initialise { first } => return initialise::decide(&case, *first),
        Transition::Failover { from, logs_end } => failover::decide(&case, *from, logs_end.as_ref()),
        Transition::Resume { from, logs_end } => resume::decide(&case, *from, logs_end.as_ref()),
        Transition::Promoting { required, .. } => promoting::decide(&case, required),
    };
    writable_replicas::fenced(&case, decision)
}
