//! An account as MariaDB keeps it (the column `Priv` of `mysql.global_priv`, see `User_table_json` in sql/sql_acl.cc),
//! and whether it is as it must be. No I/O.

use serde::Deserialize;

/// Rights on `*.*`, as they are granted and as they are stored (`privilege_t` in sql/privilege.h). The numbers are those of
/// the disk format: they stay the same in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    /// As GRANT takes them.
    pub(crate) names: &'static str,
    bits: u64,
}

const RELOAD: u64 = 1 << 6;
const PROCESS: u64 = 1 << 8;
const GRANT_OPTION: u64 = 1 << 10;
const SUPER: u64 = 1 << 15;
const REPLICATION_SLAVE: u64 = 1 << 19;
const BINLOG_MONITOR: u64 = 1 << 20;
const CREATE_USER: u64 = 1 << 25;
const CONNECTION_ADMIN: u64 = 1 << 32;
const READ_ONLY_ADMIN: u64 = 1 << 33;
const REPLICATION_SLAVE_ADMIN: u64 = 1 << 34;
const REPLICATION_MASTER_ADMIN: u64 = 1 << 35;
const BINLOG_ADMIN: u64 = 1 << 36;
const SLAVE_MONITOR: u64 = 1 << 38;

/// Of those that `GRANT ALL` gives: a row without them was made half.
const OWN: u64 = RELOAD
    | PROCESS
    | GRANT_OPTION
    | SUPER
    | BINLOG_MONITOR
    | CREATE_USER
    | CONNECTION_ADMIN
    | READ_ONLY_ADMIN
    | REPLICATION_SLAVE_ADMIN
    | REPLICATION_MASTER_ADMIN
    | BINLOG_ADMIN
    | SLAVE_MONITOR;

/// What the probe reads: positions, replication state, owned settings, sessions. CONNECTION ADMIN frees it from
/// `init_connect` and `max_user_connections` (docs/decisions/28-connection-admin.md).
pub(crate) const PROBE: Rights = Rights {
    names: "BINLOG MONITOR, SLAVE MONITOR, PROCESS, CONNECTION ADMIN",
    bits: BINLOG_MONITOR | SLAVE_MONITOR | PROCESS | CONNECTION_ADMIN,
};

/// None: of an account that was never opened.
pub(crate) const NOTHING: Rights = Rights { names: "USAGE", bits: 0 };

/// What a replica needs at its source.
pub(crate) const REPLICATION: Rights =
    Rights { names: "REPLICATION SLAVE, CONNECTION ADMIN", bits: REPLICATION_SLAVE | CONNECTION_ADMIN };

/// One row, as far as it decides whether a login succeeds and stays.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Stored {
    access: u64,
    plugin: String,
    authentication_string: String,
    auth_or: Vec<serde_json::Value>,
    account_locked: bool,
    /// Seconds since 1970; 0 once somebody let the password expire.
    password_last_changed: Option<i64>,
    /// Days; 0 never expires; none follows `default_password_lifetime`.
    password_lifetime: Option<i64>,
    ssl_type: i64,
    max_questions: i64,
    max_updates: i64,
    max_connections: i64,
    max_user_connections: i64,
    max_statement_time: f64,
}

impl Stored {
    /// Reads a row. None when it holds no account, which no statement but CREATE OR REPLACE USER and DROP USER takes; in one of
    /// an unknown form everything is wrong.
    #[must_use]
    pub(crate) fn of_row(privileges: &str) -> Option<Self> {
        let row: serde_json::Value = serde_json::from_str(privileges).ok()?;
        row.is_object().then(|| serde_json::from_value(row).unwrap_or_default())
    }

    #[cfg(test)]
    fn parse(privileges: &str) -> Option<Self> {
        serde_json::from_str(privileges).ok()
    }

    /// True when it logs in by this hash alone, has at least these rights, and nothing limits it.
    #[must_use]
    pub(crate) fn is_whole(&self, rights: Rights, hash: &str) -> bool {
        let by_hash = self.plugin == NATIVE && self.authentication_string == hash && self.is_alone();
        let limits = [self.max_questions, self.max_updates, self.max_connections, self.max_user_connections];
        let limited = limits != [0; 4] || self.max_statement_time != 0.0 || self.ssl_type > 0;
        by_hash && !limited && self.has(rights)
    }

    /// True when it has at least these rights.
    #[must_use]
    pub(crate) fn has(&self, rights: Rights) -> bool {
        self.access & rights.bits == rights.bits
    }

    /// True when it has what the agent itself cannot do without.
    #[must_use]
    pub(crate) fn has_own_rights(&self) -> bool {
        self.access & OWN == OWN
    }

    /// A list may stay behind that names nothing but the account's own way, as `{}`.
    fn is_alone(&self) -> bool {
        self.auth_or.iter().all(|auth| auth.get("plugin").is_none())
    }

    /// True when it logs in with this hash, among others.
    #[must_use]
    pub(crate) fn takes(&self, hash: &str) -> bool {
        let or = |auth: &serde_json::Value| auth.get("authentication_string").is_some_and(|text| text == hash);
        self.authentication_string == hash || self.auth_or.iter().any(or)
    }

    /// True when it logs in by the name of the client's process, among others.
    #[must_use]
    pub(crate) fn takes_socket(&self) -> bool {
        let or = |auth: &serde_json::Value| auth.get("plugin").is_some_and(|plugin| plugin == SOCKET);
        self.plugin == SOCKET || self.auth_or.iter().any(or)
    }

    /// True when its password has expired; it needs to be set again.
    #[must_use]
    pub(crate) fn is_expired(&self) -> bool {
        self.password_last_changed == Some(0)
    }

    /// True when its password may expire one day.
    #[must_use]
    pub(crate) fn may_expire(&self) -> bool {
        self.password_lifetime != Some(0)
    }

    /// True for the account of a member that was never let in. One that was shut out later keeps its rights.
    #[must_use]
    pub(crate) fn is_unadmitted(&self) -> bool {
        self.account_locked && self.access & REPLICATION_SLAVE == 0
    }

    /// True when it is locked.
    #[must_use]
    pub(crate) fn is_locked(&self) -> bool {
        self.account_locked
    }
}

/// Plugin of accounts with a password.
pub(crate) const NATIVE: &str = "mysql_native_password";
/// Plugin of accounts that log in by the client's process.
pub(crate) const SOCKET: &str = "unix_socket";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HASH: &str = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";

    /// As 10.11 writes it, with `more` fields.
    fn stored(more: &str) -> Stored {
        let text = format!(
            r#"{{"access":{},"version_id":101116,"plugin":"mysql_native_password","authentication_string":"{HASH}",
               "password_last_changed":1700000000,"password_lifetime":0{more}}}"#,
            REPLICATION.bits
        );
        Stored::parse(&text).unwrap()
    }

    #[test]
    fn what_limits_or_opens_an_account_is_found() {
        let whole = stored("");
        assert!(whole.is_whole(REPLICATION, HASH) && !whole.may_expire() && !whole.is_expired() && !whole.is_locked());
        assert!(!whole.is_whole(PROBE, HASH), "rights are missing");
        assert!(!whole.is_whole(REPLICATION, "*0"), "another password");
        for more in [
            r#","auth_or":[{},{"plugin":"ed25519","authentication_string":"x"}]"#,
            r#","plugin":"ed25519""#,
            r#","ssl_type":1"#,
            r#","max_user_connections":2"#,
            r#","max_connections":2"#,
            r#","max_statement_time":0.5"#,
        ] {
            let text = format!(r#"{{"x":1{more}}}"#);
            let field = Stored::parse(&text).unwrap();
            let changed = Stored {
                plugin: if field.plugin.is_empty() { whole.plugin.clone() } else { field.plugin },
                auth_or: field.auth_or,
                ssl_type: field.ssl_type,
                max_user_connections: field.max_user_connections,
                max_connections: field.max_connections,
                max_statement_time: field.max_statement_time,
                ..whole.clone()
            };
            assert!(!changed.is_whole(REPLICATION, HASH), "{more}");
        }
        let shut_out = stored(r#","account_locked":true"#);
        assert!(shut_out.is_locked() && !shut_out.is_unadmitted());
        let new = Stored { access: 0, ..shut_out };
        assert!(new.is_unadmitted() && new.is_whole(NOTHING, HASH));
        assert!(!Stored { account_locked: false, ..new }.is_unadmitted(), "somebody took its rights");
        assert!(stored(r#","auth_or":[{}]"#).is_whole(REPLICATION, HASH), "left behind by a change of plugin");
    }

    #[test]
    fn a_row_that_is_none_counts_as_absent() {
        for row in ["[1]", "", "nonsense", "7"] {
            assert_eq!(Stored::of_row(row), None, "{row}");
        }
        let newer = Stored::of_row(r#"{"access":"of another type"}"#);
        assert_eq!(newer, Some(Stored::default()), "wrong, and mended by what changes no lock");
    }

    #[test]
    fn expiry_is_told_from_what_may_come() {
        let expired = Stored::parse(r#"{"password_last_changed":0,"password_lifetime":0}"#).unwrap();
        assert!(expired.is_expired() && !expired.may_expire());
        assert!(Stored::parse(r#"{"access":1}"#).unwrap().may_expire());
        assert!(Stored::parse(r#"{"password_lifetime":-1}"#).unwrap().may_expire());
    }

    #[test]
    fn the_agent_s_own_account_logs_in_by_socket() {
        let installed = r#"{"access":18446744073709551615,"plugin":"mysql_native_password",
            "authentication_string":"invalid","auth_or":[{},{"plugin":"unix_socket"}]}"#;
        let account = Stored::parse(installed).unwrap();
        assert!(account.takes_socket() && account.takes("invalid") && !account.takes(HASH) && account.has_own_rights());
        assert!(!Stored { access: 0, ..account }.has_own_rights(), "made, and not given its rights yet");
    }
}
