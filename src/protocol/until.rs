//! START SLAVE UNTIL master_gtid_pos: where a stream is to end.
//!
//! As `sql_repl.cc` does (`is_until_reached`, `send_event_to_slave`): a domain that is not named is not sent at all, and
//! the end is told with a GTID_LIST that carries FLAG_UNTIL_REACHED.

use crate::gtid::{Gtid, GtidPosition};

/// The end of a stream.
#[derive(Debug, Clone)]
pub(super) struct Until {
    position: GtidPosition,
    /// Domains that have not been reached, each with its last transaction.
    left: GtidPosition,
    /// The named transactions are not sent themselves.
    before: bool,
}

impl Until {
    pub(crate) fn new(position: GtidPosition, before: bool) -> Self {
        Self { left: position.clone(), position, before }
    }

    /// What the replica asked for.
    pub(crate) fn position(&self) -> &GtidPosition {
        &self.position
    }

    /// Domains in which a replica at `had` has everything already are reached.
    pub(crate) fn for_replica_at(self, had: &GtidPosition) -> Self {
        let is_left = |last: &Gtid| had.get(last.domain).is_none_or(|had| had.sequence < last.sequence);
        Self { left: self.left.iter().filter(is_left).collect(), ..self }
    }

    /// True when nothing more is to be sent.
    pub(crate) fn is_reached(&self) -> bool {
        self.left.is_empty()
    }

    /// Says whether the next transaction is to be sent.
    pub(crate) fn admits(&mut self, gtid: Gtid) -> bool {
        let Some(last) = self.left.get(gtid.domain) else { return false };
        if gtid.sequence >= last.sequence {
            self.left = self.left.iter().filter(|left| left.domain != gtid.domain).collect();
        }
        gtid.sequence < last.sequence || gtid.sequence == last.sequence && !self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(until: &str, before: bool, had: &str, stream: &[&str]) -> (Vec<String>, bool) {
        let mut until = Until::new(until.parse().unwrap(), before).for_replica_at(&had.parse().unwrap());
        let mut sent = Vec::new();
        for gtid in stream {
            if until.is_reached() {
                break;
            }
            if until.admits(gtid.parse().unwrap()) {
                sent.push((*gtid).to_owned());
            }
        }
        (sent, until.is_reached())
    }

    #[test]
    fn each_domain_ends_by_itself() {
        let stream = ["0-1-5", "0-1-6", "1-1-1", "0-1-7", "2-1-1", "1-1-2", "0-1-8"];
        for (until, before, had, expected) in [
            ("0-1-6", false, "0-1-4", (&["0-1-5", "0-1-6"][..], true)),
            ("0-1-6", true, "0-1-4", (&["0-1-5"][..], true)),
            ("0-1-6,1-1-2", false, "0-1-4", (&["0-1-5", "0-1-6", "1-1-1", "1-1-2"][..], true)),
            ("0-1-6,1-1-2", false, "0-1-6", (&["1-1-1", "1-1-2"][..], true)),
            ("0-1-4", false, "0-1-4", (&[][..], true)),
            ("0-1-99", false, "0-1-4", (&["0-1-5", "0-1-6", "0-1-7", "0-1-8"][..], false)),
        ] {
            let (found, reached) = sent(until, before, had, &stream);
            assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), reached), expected, "{until}");
        }
    }

    #[test]
    fn a_number_that_was_never_written_ends_before_the_next_one() {
        assert_eq!(sent("0-1-6", false, "", &["0-1-5", "0-1-7"]), (vec!["0-1-5".to_owned()], true));
    }
}
