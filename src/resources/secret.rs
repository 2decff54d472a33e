//! The passwords of our accounts.

use std::fmt;

use k8s_openapi::api::core::v1::Secret;

use super::{meta, names};
use crate::api::validate::Cluster;
use crate::layout::{MAX_MEMBERS, PROBE_KEY, repl_key};

/// The passwords of our accounts. Made once for a cluster; never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AccountPasswords {
    /// Of the probe.
    pub(crate) probe: String,
    /// Of the replication accounts, by ordinal: one for every member there could be.
    pub(crate) repl: [String; MAX_MEMBERS as usize],
}

impl fmt::Debug for AccountPasswords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountPasswords(…)")
    }
}

/// The Secret `NAME-accounts`. It has no owner: it shares the fate of the volumes, which know these passwords.
#[must_use]
pub(crate) fn accounts_secret(cluster: &Cluster, passwords: &AccountPasswords) -> Secret {
    let repl = (0..MAX_MEMBERS).map(repl_key).zip(passwords.repl.iter().cloned());
    Secret {
        metadata: meta::kept(cluster, names::accounts(&cluster.name)),
        type_: Some("Opaque".to_owned()),
        string_data: Some(repl.chain([(PROBE_KEY.to_owned(), passwords.probe.clone())]).collect()),
        ..Secret::default()
    }
}
