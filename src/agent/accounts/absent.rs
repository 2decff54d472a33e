//! Accounts that are missing. No I/O.
//!
//! What is missing once may be there in a moment: a restore of `mysql.*` makes the table anew and fills it then, and its rows
//! would find ours there. What is missing twice in a row was dropped, or is known to the server's memory alone.

use std::collections::BTreeSet;

use super::statement_parts::Present;
use crate::layout::{AGENT_USER, MAX_MEMBERS, PROBE_USER, repl_user};

/// Our accounts that were missing when looked at last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Absent(BTreeSet<String>);

impl Absent {
    /// Takes note of what is missing now, and returns what was missing before.
    pub(super) fn look(&mut self, present: &Present) -> Self {
        let ours = [(AGENT_USER.to_owned(), "localhost"), (PROBE_USER.to_owned(), "%")];
        let ours = ours.into_iter().chain((0..MAX_MEMBERS).map(|ordinal| (repl_user(ordinal), "%")));
        let missing = ours.filter(|(user, host)| !present.contains_key(&(user.clone(), (*host).to_owned())));
        std::mem::replace(self, Self(missing.map(|(user, _)| user).collect()))
    }

    /// True when this account was missing.
    pub(super) fn has(&self, user: &str) -> bool {
        self.0.contains(user)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stored::Stored;
    use super::*;

    #[test]
    fn what_was_missing_before_is_told() {
        let mut absent = Absent::default();
        let mut present = Present::new();
        let first = absent.look(&present);
        assert!(!first.has(AGENT_USER) && !first.has(PROBE_USER));
        present.insert((AGENT_USER.to_owned(), "localhost".to_owned()), Stored::default());
        let second = absent.look(&present);
        assert!(second.has(AGENT_USER) && second.has(PROBE_USER) && second.has("beachmaster_repl_8"));
        let third = absent.look(&present);
        assert!(!third.has(AGENT_USER) && third.has(PROBE_USER));
    }
}
