//! The options of mariadbd that the operator owns: one table, from which come mariadbd's command line, the rule that
//! keeps these options out of `spec.myCnf`, and the values the probe reads back.
//!
//! An option on the command line wins over every file, so a refused key is a message for the user first of all.

mod defaults;
mod harmless;
mod key_file;
mod pattern;
mod rules;

pub use defaults::DEFAULTS;
pub(crate) use defaults::DEFAULTS_WITH_KEYS;
pub(crate) use harmless::{Fate, Line, judge, leads_outside};
pub use key_file::KeyFile;
pub(crate) use rules::{KEYS_MESSAGE, Refusal, includes_rule, keys_rule, paths_rule, sections_rule};

use crate::layout;
use crate::orders::Ordinal;

/// An option that belongs to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Its name with underscores; with [`Owned::family`], what all names of the family begin with.
    pub name: &'static str,
    /// True: every option whose name begins with `name` is owned.
    pub family: bool,
    /// What mariadbd is started with.
    pub(crate) boot: BootValue,
    /// What `SHOW GLOBAL VARIABLES` must show at all times.
    pub(crate) constant: Constant,
    /// True: with another value than [`Owned::constant`] an acknowledgement no longer promises what it did.
    pub(crate) durability: bool,
    /// Why users may not set it, or what they set instead; ends a sentence that names the option.
    pub(crate) why: &'static str,
}

/// What mariadbd is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BootValue {
    /// The same for every member.
    Text(&'static str),
    /// The same for every member whose mariadbd knows the option.
    IfKnown(&'static str),
    /// [`boot_server_id`].
    ServerId,
    /// `replication.gtidDomainId`.
    GtidDomainId,
    /// [`Boot::data_dir`].
    DataDir,
    /// [`Boot::socket`].
    Socket,
    /// [`Boot::pid_file`].
    PidFile,
    /// [`Boot::tmp_dir`].
    TmpDir,
    /// [`Boot::port`].
    Port,
    /// [`Boot::extra_port`].
    ExtraPort,
    /// Not on the command line: MariaDB's default is what is needed.
    Default,
}

/// What a variable must show at all times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Constant {
    /// Orders change it, or it cannot be read.
    No,
    /// This text.
    Text(&'static str),
    /// `replication.gtidDomainId`.
    GtidDomainId,
}

/// The longest time-out semi-sync takes, in milliseconds: commits wait for an acknowledgement without limit. `-1` would
/// silently become 0.
const NO_TIMEOUT: &str = "18446744073709551615";
/// Seconds of silence after which a replica reconnects; the heartbeat comes four times as often.
const SLAVE_NET_TIMEOUT: &str = "2";
/// Seconds STOP SLAVE waits to end its dump thread on a silent primary. 0 would make a freeze last 24 s.
const KILL_CONN_TIMEOUT: &str = "1";

/// The default of new sessions: with ON every write fails with error 1792, on a replica the SQL thread's, too.
const TX_READ_ONLY: &str = "tx_read_only";
/// Of rows that a SELECT without LIMIT returns. With less a replica finds no answer to `SELECT @master_binlog_checksum`.
const NO_LIMIT: &str = "18446744073709551615";

/// Of the extra port. While a primary hangs each replica leaves a connection behind every three seconds; none of them costs more
/// than a file descriptor.
const EXTRA_CONNECTIONS: &str = "1000";

const ROLE: &str = "the operator sets it by the member's role";
const SAFETY: &str = "an acknowledged transaction could be lost with another value";
const RETENTION: &str = "set replication.binlogRetention instead";
const PLACE: &str = "the operator decides where things are in the pod";
const OURS: &str = "members and the operator connect there";
const FILTER: &str = "members with filters hold different data, and none could replace another";

const POD: &str = "the image decides: mariadbd runs as the user mysql, from where it is installed";
const LOGIN: &str = "the agent logs in over the socket by the name of its user, and would be locked out";
const DANGER: &str = "committed transactions could be lost with another value";
const DIFFER: &str = "members could differ, or an acker stop receiving, with another value";
const UNUSABLE: &str = "with another value clients could not write, or replicas not connect";

const fn constant(name: &'static str, value: &'static str, why: &'static str) -> Owned {
    let (boot, constant) = (BootValue::Text(value), Constant::Text(value));
    Owned { name, family: false, boot, constant, durability: false, why }
}

/// A constant on which the meaning of an acknowledgement rests.
const fn durable(name: &'static str, value: &'static str, why: &'static str) -> Owned {
    Owned { durability: true, ..constant(name, value, why) }
}

const fn boot(name: &'static str, boot: BootValue, why: &'static str) -> Owned {
    Owned { name, family: false, boot, constant: Constant::No, durability: false, why }
}

const fn role(name: &'static str, value: &'static str) -> Owned {
    boot(name, BootValue::Text(value), ROLE)
}

const fn refused(name: &'static str, why: &'static str) -> Owned {
    boot(name, BootValue::Default, why)
}

/// MariaDB's default, which people can change at run time.
const fn default(name: &'static str, value: &'static str, why: &'static str) -> Owned {
    Owned { constant: Constant::Text(value), ..refused(name, why) }
}

const fn family(name: &'static str, why: &'static str) -> Owned {
    Owned { name, family: true, boot: BootValue::Default, constant: Constant::No, durability: false, why }
}

/// The table.
pub const OWNED: &[Owned] = &[
    role("read_only", "ON"),
    role("skip_slave_start", "ON"),
    role("event_scheduler", "OFF"),
    role("rpl_semi_sync_master_enabled", "OFF"),
    role("rpl_semi_sync_slave_enabled", "OFF"),
    boot("binlog_expire_logs_seconds", BootValue::Text("0"), RETENTION),
    // From 11.4 on nothing would be purged, on any member, while none replicates from it.
    boot("slave_connections_needed_for_purge", BootValue::IfKnown("0"), RETENTION),
    boot("server_id", BootValue::ServerId, "every promotion gives the primary a new one"),
    Owned {
        name: "log_bin",
        family: false,
        boot: BootValue::Text("bin"),
        constant: Constant::Text("ON"),
        durability: true,
        why: "a primary's binary log is what replicas and a rescue read",
    },
    boot("relay_log", BootValue::Text("relay"), "the agent keeps relay logs under this name"),
    durable("log_slave_updates", "ON", SAFETY),
    durable("gtid_strict_mode", "ON", SAFETY),
    durable("sync_binlog", "1", SAFETY),
    durable("innodb_flush_log_at_trx_commit", "1", SAFETY),
    // docs/decisions/16-no-io-uring.md.
    durable(
        "innodb_use_native_aio",
        "OFF",
        "what a killed mariadbd had begun to write could land in files the next one has read",
    ),
    durable("rpl_semi_sync_master_wait_point", "AFTER_SYNC", SAFETY),
    durable("rpl_semi_sync_master_wait_no_slave", "ON", SAFETY),
    durable("rpl_semi_sync_master_timeout", NO_TIMEOUT, SAFETY),
    constant("rpl_semi_sync_slave_kill_conn_timeout", KILL_CONN_TIMEOUT, "a failover has to wait for it"),
    constant("slave_net_timeout", SLAVE_NET_TIMEOUT, "a failover has to wait for it"),
    constant("skip_name_resolve", "ON", "accounts are valid for every host"),
    Owned {
        name: "gtid_domain_id",
        family: false,
        boot: BootValue::GtidDomainId,
        constant: Constant::GtidDomainId,
        durability: true,
        why: "set replication.gtidDomainId instead",
    },
    // Both are no options of mariadbd: it does not start with them.
    default(TX_READ_ONLY, "OFF", UNUSABLE),
    default("sql_select_limit", NO_LIMIT, UNUSABLE),
    // The option for it. As a variable 10.11 does not know this name.
    refused("transaction_read_only", UNUSABLE),
    boot("datadir", BootValue::DataDir, PLACE),
    boot("innodb_data_home_dir", BootValue::DataDir, PLACE),
    boot("innodb_data_file_path", BootValue::Text("ibdata1:12M:autoextend"), PLACE),
    boot("aria_log_dir_path", BootValue::DataDir, PLACE),
    boot("socket", BootValue::Socket, PLACE),
    boot("pid_file", BootValue::PidFile, PLACE),
    boot("tmpdir", BootValue::TmpDir, PLACE),
    boot("port", BootValue::Port, PLACE),
    boot("extra_port", BootValue::ExtraPort, PLACE),
    boot("extra_max_connections", BootValue::Text(EXTRA_CONNECTIONS), OURS),
    boot("bind_address", BootValue::Text("*"), PLACE),
    refused("user", POD),
    refused("basedir", POD),
    refused("unix_socket", LOGIN),
    refused("bootstrap", LOGIN),
    refused("debug_no_sync", DANGER),
    refused("innodb_flush_method", DANGER),
    refused("innodb_doublewrite", DANGER),
    refused("innodb_force_recovery", DANGER),
    refused("slave_skip_errors", DIFFER),
    refused("slave_exec_mode", DIFFER),
    refused("relay_log_space_limit", DIFFER),
    refused("log_bin_index", PLACE),
    refused("relay_log_index", PLACE),
    refused("relay_log_info_file", PLACE),
    refused("master_info_file", PLACE),
    refused("log_basename", PLACE),
    refused("innodb_log_group_home_dir", PLACE),
    refused("innodb_undo_directory", PLACE),
    refused("relay_log_purge", SAFETY),
    refused("relay_log_recovery", SAFETY),
    refused("expire_logs_days", RETENTION),
    refused("max_binlog_total_size", RETENTION),
    family("file_key_management", "set encryption instead"),
    refused("init_rpl_role", ROLE),
    refused("init_slave", "it would write on replicas"),
    refused("init_file", "it would write on replicas; use SQL on the primary instead"),
    refused("skip_networking", "replicas connect over the network"),
    refused("skip_grant_tables", "nobody would be asked for a password"),
    refused("require_secure_transport", "members do not use TLS between each other in this version"),
    refused("binlog_do_db", FILTER),
    refused("binlog_ignore_db", FILTER),
    family("replicate_do_", FILTER),
    family("replicate_ignore_", FILTER),
    family("replicate_wild_", FILTER),
    refused("replicate_rewrite_db", FILTER),
    refused("replicate_same_server_id", SAFETY),
    family("rpl_semi_sync_", "the operator decides who acknowledges"),
    family("wsrep_", "Galera is not what this operator runs"),
];

/// Options that users may set only together with `spec.encryption`.
pub const WITH_KEYS: &[Owned] =
    &[refused("encrypt_binlog", "without the keys of spec.encryption a dead primary's binary log could not be read")];

/// Options of mariadbd that are the beginning of an owned option's name and yet options of their own: users may set
/// them. Everything else that an owned name begins with is refused, because mariadbd takes unique beginnings of names.
pub const OTHER_OPTIONS: &[&str] = &["debug", "innodb"];

/// Words mariadbd takes in front of any option.
const MODIFIERS: [&str; 6] = ["loose", "skip", "enable", "disable", "maximum", "autoset"];

/// What mariadbd needs to know when it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The member.
    pub(crate) ordinal: Ordinal,
    /// The cluster's replication domain.
    pub(crate) gtid_domain_id: u32,
    /// The only option file that is read.
    pub(crate) defaults_file: String,
    /// mariadbd's datadir.
    pub(crate) data_dir: String,
    /// Its socket.
    pub(crate) socket: String,
    /// Its pid file.
    pub(crate) pid_file: String,
    /// Where it puts temporary files.
    pub(crate) tmp_dir: String,
    /// Where it listens for clients.
    pub(crate) port: u16,
    /// Where it listens for members and the operator.
    pub(crate) extra_port: u16,
    /// The keys it encrypts with.
    pub(crate) keys: Option<KeyFile>,
}

impl Boot {
    /// A member in its pod, without encryption.
    #[must_use]
    pub fn in_pod(ordinal: Ordinal, gtid_domain_id: u32) -> Self {
        Self {
            ordinal,
            gtid_domain_id,
            defaults_file: layout::MY_CNF.to_owned(),
            data_dir: layout::DATA_DIR.to_owned(),
            socket: layout::MARIADBD_SOCKET.to_owned(),
            pid_file: layout::PID_FILE.to_owned(),
            tmp_dir: layout::TMP_DIR.to_owned(),
            port: layout::MARIADB_PORT,
            extra_port: layout::EXTRA_PORT,
            keys: None,
        }
    }

    fn text(&self, value: BootValue) -> Option<String> {
        match value {
            BootValue::Text(text) | BootValue::IfKnown(text) => Some(text.to_owned()),
            BootValue::ServerId => Some(boot_server_id(self.ordinal).to_string()),
            BootValue::GtidDomainId => Some(self.gtid_domain_id.to_string()),
            BootValue::DataDir => Some(self.data_dir.clone()),
            BootValue::Socket => Some(self.socket.clone()),
            BootValue::PidFile => Some(self.pid_file.clone()),
            BootValue::TmpDir => Some(self.tmp_dir.clone()),
            BootValue::Port => Some(self.port.to_string()),
            BootValue::ExtraPort => Some(self.extra_port.to_string()),
            BootValue::Default => None,
        }
    }
}

/// `server_id` of a member that was not promoted since its mariadbd started. The highest bit keeps it apart from every
/// id given at a promotion.
#[must_use]
pub fn boot_server_id(ordinal: Ordinal) -> u32 {
    0x8000_0000 | (u32::from(ordinal.0) + 1)
}

/// mariadbd's arguments: `--defaults-file` first, as mariadbd wants it, then every owned option and those of the keys.
#[must_use]
pub fn command_line(boot: &Boot) -> Vec<String> {
    let option = |owned: &Owned| {
        let loose = if matches!(owned.boot, BootValue::IfKnown(_)) { "loose-" } else { "" };
        boot.text(owned.boot).map(|value| format!("--{loose}{}={value}", owned.name))
    };
    let options = OWNED.iter().filter_map(option);
    let keys = boot.keys.iter().flat_map(KeyFile::options);
    std::iter::once(format!("--defaults-file={}", boot.defaults_file)).chain(options).chain(keys).collect()
}

/// Names of variables and what `SHOW GLOBAL VARIABLES` must show for them at all times.
#[must_use]
pub fn read_back(gtid_domain_id: u32) -> Vec<(&'static str, String)> {
    let expected = |owned: &Owned| match owned.constant {
        Constant::No => None,
        Constant::Text(text) => Some((owned.name, text.to_owned())),
        Constant::GtidDomainId => Some((owned.name, gtid_domain_id.to_string())),
    };
    OWNED.iter().filter_map(expected).collect()
}

/// What `event_scheduler` must be: events run where writes are taken, and not on a replica. On a primary that somebody made
/// read-only for a while, and on a replica that somebody made writable, nothing is expected: that is the one thing to undo.
#[must_use]
pub(crate) fn event_scheduler(read_only: bool, replicates: bool) -> Option<(&'static str, String)> {
    let value = match (read_only, replicates) {
        (false, false) => "ON",
        (true, true) => "OFF",
        (true, false) | (false, true) => return None,
    };
    Some(("event_scheduler", value.to_owned()))
}

/// True when an acknowledgement rests on the value of this owned variable.
#[must_use]
pub(crate) fn is_durability(name: &str) -> bool {
    OWNED.iter().any(|owned| owned.name == name && owned.durability)
}

/// True when nobody can write on a primary on which this owned variable has another value.
#[must_use]
pub(crate) fn stops_writes(name: &str) -> bool {
    name == TX_READ_ONLY
}

/// The owned option that `key` of an option file sets, if it sets one.
#[cfg(test)]
#[must_use]
pub(crate) fn owner(key: &str) -> Option<&'static Owned> {
    find(OWNED, key)
}

/// The option of [`WITH_KEYS`] that `key` of an option file sets, if it sets one.
#[must_use]
pub(crate) fn needs_keys(key: &str) -> Option<&'static Owned> {
    find(WITH_KEYS, key)
}

fn find(table: &'static [Owned], key: &str) -> Option<&'static Owned> {
    let name = key.trim().to_ascii_lowercase().replace('-', "_");
    let mut rest = name.as_str();
    loop {
        if let Some(owned) = table.iter().find(|owned| owned.is_named(rest)) {
            return Some(owned);
        }
        rest = MODIFIERS.iter().find_map(|word| rest.strip_prefix(word)?.strip_prefix('_'))?;
    }
}

impl Owned {
    fn is_named(&self, name: &str) -> bool {
        let beginning = self.name.starts_with(name) && !OTHER_OPTIONS.contains(&name);
        !name.is_empty() && (beginning || self.family && name.starts_with(self.name))
    }
}

#[cfg(test)]
mod tests;
