//! What all that sets accounts has in common.

use std::collections::BTreeMap;

use super::stored::{NATIVE, Rights, Stored};
use crate::mariadb::text::quote;
use crate::orders::Ordinal;

/// What an account of ours may have been limited by.
pub(super) const UNLIMITED: &str = "REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0 \
     MAX_USER_CONNECTIONS 0 MAX_STATEMENT_TIME 0";

/// Accounts by user and host, as the server keeps them.
pub(super) type Present = BTreeMap<(String, String), Stored>;

/// What the server keeps of an account.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    /// None where there is no row, or one that holds no account.
    pub(crate) stored: Option<&'a Stored>,
    /// It was so at the last look, too. In the middle of a restore of mysql.* it may be for a moment.
    pub(crate) twice: bool,
}

/// An account over the network that belongs to us.
pub(super) struct Wanted {
    pub(crate) user: String,
    pub(crate) rights: Rights,
    pub(crate) hash: String,
    pub(crate) whose: Whose,
}

/// Who logs in with an account.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    Probe,
    /// A member's IO thread. Its lock belongs to the orders `evict-acker` and `readmit-acker`.
    Replica(Ordinal),
}

pub(super) fn identified(hash: &str) -> String {
    format!("IDENTIFIED VIA {NATIVE} USING '{hash}'")
}

pub(super) fn account(user: &str, host: &str) -> String {
    format!("{}@{}", quote(user), quote(host))
}
