//! A record from the past: a status that was put back (a restored backup), or the memory of a leader that was deposed and
//! does not know yet. The volumes tell: their tokens are of a later term, and a term is written before its first order.

use super::observation::{MemberView, Observation};
use super::record::Record;
use crate::orders::{Ordinal, Term};

/// The member whose volume obeyed the latest term above the record's, and that term.
#[must_use]
pub fn proof(record: &Record, seen: &Observation) -> Option<(Ordinal, Term)> {
    let obeyed = |member: &MemberView| {
        let token = member.state()?.record()?.token.as_ref()?;
        (Some(&token.data_uid) == record.data_uid.as_ref()).then_some((member.ordinal, token.term))
    };
    let later = seen.members.iter().filter_map(obeyed).filter(|(_, term)| *term > record.term);
    later.max_by_key(|(_, term)| *term)
}

/// What is said about it.
#[must_use]
pub fn words(record: &Record, name: &str, term: Term) -> String {
    format!(
        "the status says term {}, and {name} has obeyed term {term}: the status is older than the members, so nothing is \
         changed; put the newest status back (term {term} or later)",
        record.term
    )
}

#[cfg(test)]
mod tests {
    use super::super::decide::decide;
    use super::super::member::samples::{acker, cluster, dead, policy, record, replica};
    use super::*;

    #[test]
    fn nothing_is_changed_by_a_record_that_is_older_than_the_members() {
        // The sample's volumes have obeyed term 3.
        let seen = cluster(vec![dead(0), replica(1, "p0"), replica(2, "p0")]);
        let now = Record { ackers: vec![acker(1, 1)], ..record() };
        assert_eq!(proof(&now, &seen), None);
        assert!(!decide(&policy(3), &now, &seen).acts.is_empty());
        let old = Record { term: Term(2), ..now };
        assert_eq!(proof(&old, &seen).map(|(_, term)| term), Some(Term(3)));
        for my_term in [Some(Term(2)), None] {
            let decision = decide(&policy(3), &old, &Observation { my_term, ..seen.clone() });
            assert!(decision.acts.is_empty());
            assert!(decision.blocked.is_some_and(|why| why.contains("term 2") && why.contains("term 3")));
        }
    }
}
