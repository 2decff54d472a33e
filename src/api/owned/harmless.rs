//! Lines about owned options that pass all the same, because they say what is so anyway, or because it does no harm to leave
//! them out. Published configurations are full of them.

use super::{Owned, find};

/// What becomes of a line that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays in my.cnf.
    Kept,
    /// It equals what the operator sets, and is left out.
    Equal,
    /// It is left out of my.cnf, and people hear why.
    Ignored(&'static str),
}

/// An owned option with values that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Harmless {
    /// Its whole name: a beginning, or a modifier in front of it, is refused.
    pub(crate) name: &'static str,
    /// Values that pass, in lower case; `""` is the option without a value. None: every value.
    pub(crate) values: Option<&'static [&'static str]>,
    /// What becomes of the line.
    pub(crate) fate: Fate,
}

const ON: &[&str] = &["", "on", "1", "true"];
const OFF: &[&str] = &["off", "0", "false"];

const fn equal(name: &'static str, values: &'static [&'static str]) -> Harmless {
    Harmless { name, values: Some(values), fate: Fate::Equal }
}

const fn kept(name: &'static str, values: &'static [&'static str]) -> Harmless {
    Harmless { name, values: Some(values), fate: Fate::Kept }
}

const fn ignored(name: &'static str, why: &'static str) -> Harmless {
    Harmless { name, values: None, fate: Fate::Ignored(why) }
}

const RETENTION: &str = "spec.replication.binlogRetention says how long binary logs are kept";

/// The table. No name of it may be the beginning of another owned name.
pub(crate) const HARMLESS: &[Harmless] = &[
    equal("skip_name_resolve", ON),
    equal("log_slave_updates", ON),
    equal("gtid_strict_mode", ON),
    equal("sync_binlog", &["1"]),
    equal("innodb_flush_log_at_trx_commit", &["1"]),
    equal("innodb_use_native_aio", OFF),
    equal("transaction_read_only", OFF),
    equal("bind_address", &["*", "0.0.0.0", "::"]),
    equal("port", &["3306"]),
    equal("user", &["mysql"]),
    equal("basedir", &["/usr"]),
    ignored("tmpdir", "temporary files lie in a volume of the pod"),
    ignored("extra_port", "it is 3308, for members and the operator"),
    ignored("extra_max_connections", "it is 1000, for members and the operator"),
    ignored("pid_file", "the operator decides where it lies in the pod"),
    ignored("expire_logs_days", RETENTION),
    ignored("binlog_expire_logs_seconds", RETENTION),
    kept("innodb_doublewrite", &["", "on", "1", "true", "fast"]),
    kept("innodb_flush_method", &["fsync", "o_dsync", "o_direct", "0", "1", "4"]),
    kept("innodb_force_recovery", &["0"]),
    kept("slave_exec_mode", &["strict"]),
    kept("slave_skip_errors", &["off"]),
    kept("relay_log_space_limit", &["0"]),
    kept("unix_socket", &["", "on", "1", "force", "force_plus_permanent"]),
];

/// What a line of an option file means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// It sets nothing that is owned.
    Free,
    /// It sets something owned, and passes.
    Passes(Fate),
    /// It sets something owned, and is refused.
    Refused(&'static Owned),
}

/// Judges a line that is an option, without white space around it.
#[must_use]
pub(crate) fn judge(line: &str) -> Line {
    let (key, value) = split(line);
    let name = key.to_ascii_lowercase().replace('-', "_");
    let value = value.map(str::to_ascii_lowercase);
    let passes = HARMLESS.iter().find(|harmless| harmless.name == name && harmless.takes(value.as_deref()));
    match (passes, find(super::OWNED, key)) {
        (Some(harmless), _) => Line::Passes(harmless.fate),
        (None, Some(owned)) => Line::Refused(owned),
        (None, None) => Line::Free,
    }
}

/// Key and value, without white space and without a comment behind them.
#[must_use]
pub(crate) fn split(line: &str) -> (&str, Option<&str>) {
    let line = line.split('#').next().unwrap_or_default();
    match line.split_once('=') {
        Some((key, value)) => (key.trim(), Some(value.trim())),
        None => (line.trim(), None),
    }
}

/// True when the value of a line leads out of the datadir, or to the agent's own files.
#[must_use]
pub(crate) fn leads_outside(line: &str) -> bool {
    let value = split(line).1.unwrap_or_default();
    value.contains("../") || value.contains("/..") || value.to_ascii_lowercase().contains("beachmaster/")
}

impl Harmless {
    fn takes(&self, value: Option<&str>) -> bool {
        match (self.values, value) {
            (None, _) => true,
            (Some(values), None) => values.contains(&""),
            (Some(values), Some(value)) => !value.is_empty() && values.contains(&value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_equal_ours_or_do_no_harm_pass() {
        for line in [
            "skip-name-resolve",
            "SKIP_NAME_RESOLVE = 1",
            "bind-address=*",
            "bind-address = 0.0.0.0",
            "sync_binlog=1",
            "sync_binlog = 1 # safe",
            "innodb_flush_log_at_trx_commit=1",
            "log_slave_updates",
            "log-slave-updates = ON",
            "transaction-read-only = 0",
            "user = mysql",
        ] {
            assert_eq!(judge(line), Line::Passes(Fate::Equal), "{line}");
        }
        for line in ["tmpdir=/x", "pid-file = /run/x.pid", "expire_logs_days=7", "binlog_expire_logs_seconds = 60"] {
            assert!(matches!(judge(line), Line::Passes(Fate::Ignored(_))), "{line}");
        }
        for line in ["innodb_flush_method=O_DIRECT", "innodb_doublewrite = 1", "innodb_force_recovery=0"] {
            assert_eq!(judge(line), Line::Passes(Fate::Kept), "{line}");
        }
        assert_eq!(judge("innodb_buffer_pool_size=5G"), Line::Free);
    }

    #[test]
    fn the_same_options_are_refused_with_other_values_and_in_other_spellings() {
        for line in [
            "sync_binlog=0",
            "sync_binlog=10",
            "sync_binlog",
            "sync_binlog=",
            "sync_binlo=1",
            "loose-sync_binlog=1",
            "skip-log-slave-updates",
            "log_slave_updates=0",
            "disable-skip-name-resolve",
            "bind-address=10.0.0.1",
            "user=abc",
            "basedir=/opt/x",
            "slave_skip_errors=1062",
            "slave-skip-errors = all",
            "unix_socket=OFF",
            "skip-unix-socket",
            "debug_no_sync",
            "innodb_flush_method=nosync",
            "innodb_flush_method=O_DIRECT_NO_FSYNC",
            "innodb_doublewrite=OFF",
            "skip-innodb-doublewrite",
            "innodb_force_recovery=6",
            "slave_exec_mode=IDEMPOTENT",
            "relay_log_space_limit=1G",
            "bootstrap",
            "transaction_read_only=ON",
            "transaction-read-only",
            "loose-transaction_read_only=1",
            "tx_read_only=1",
            "tx-read-only",
            "sql_select_limit=0",
        ] {
            assert!(matches!(judge(line), Line::Refused(_)), "{line}");
        }
    }

    #[test]
    fn paths_stay_in_the_datadir() {
        for line in [
            "innodb_buffer_pool_filename=../beachmaster/record",
            "slow_query_log_file = /var/lib/mysql/beachmaster/record",
            "log_error=/var/lib/mysql/data/..",
        ] {
            assert!(leads_outside(line), "{line}");
        }
        for line in ["slow_query_log_file=slow.log", "x = 1 # ../", "plugin_load_add=simple_password_check"] {
            assert!(!leads_outside(line), "{line}");
        }
    }
}
