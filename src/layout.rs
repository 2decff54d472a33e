//! Where things are inside a member's pod: paths, ports, container and volume names, environment.
//!
//! The one place that `resources` (which writes the pod), the agent and launch's caller (which live in it) and the
//! operator (which talks to it) take these names from. Only constants here.

/// Base name of the binary logs (option `log_bin`).
pub(crate) const BINLOGS: &str = "bin";
/// Container that runs mariadbd below launch.
pub(crate) const MARIADB_CONTAINER: &str = "mariadb";
/// Native sidecar with the agent.
pub(crate) const AGENT_CONTAINER: &str = "agent";
/// Init container that copies launch into the pod.
pub(crate) const INSTALL_CONTAINER: &str = "install";

/// Claim and volume with datadir and our own files. Claims are named `data-NAME-i`.
pub(crate) const DATA_VOLUME: &str = "data";
/// emptyDir that carries launch into the MariaDB image.
pub(crate) const BIN_VOLUME: &str = "bin";
/// emptyDir of the sockets.
pub(crate) const RUN_VOLUME: &str = "run";
/// emptyDir for temporary files.
pub(crate) const TMP_VOLUME: &str = "tmp";
/// my.cnf.
pub(crate) const CONFIG_VOLUME: &str = "config";
/// Passwords of our accounts.
pub(crate) const ACCOUNTS_VOLUME: &str = "accounts";
/// Password of the bootstrap user.
pub(crate) const BOOTSTRAP_VOLUME: &str = "bootstrap";
/// Password of root.
pub(crate) const ROOT_VOLUME: &str = "root";
/// Key file of encryption at rest.
pub(crate) const KEYS_VOLUME: &str = "encryption";
/// Every volume of ours: a user's volume may not carry one of these names.
pub(crate) const VOLUMES: [&str; 9] = [
    DATA_VOLUME,
    BIN_VOLUME,
    RUN_VOLUME,
    TMP_VOLUME,
    CONFIG_VOLUME,
    ACCOUNTS_VOLUME,
    BOOTSTRAP_VOLUME,
    ROOT_VOLUME,
    KEYS_VOLUME,
];
/// Every container of ours.
pub(crate) const CONTAINERS: [&str; 3] = [INSTALL_CONTAINER, AGENT_CONTAINER, MARIADB_CONTAINER];

/// Mount of the volume, in agent and mariadb.
pub(crate) const VOLUME_DIR: &str = "/var/lib/mysql";
/// mariadbd's datadir.
pub(crate) const DATA_DIR: &str = "/var/lib/mysql/data";
/// Mount of the sockets, in agent and mariadb.
pub(crate) const RUN_DIR: &str = "/run/mysqld";
/// mariadbd's socket.
pub(crate) const MARIADBD_SOCKET: &str = "/run/mysqld/mysqld.sock";
/// mariadbd's pid file.
pub(crate) const PID_FILE: &str = "/run/mysqld/mysqld.pid";
/// launch's socket.
pub(crate) const LAUNCH_SOCKET: &str = "/run/mysqld/launch.sock";
/// The agent's socket, to which `beachmaster agent session` relays.
pub(crate) const AGENT_SOCKET: &str = "/run/mysqld/agent.sock";
/// Mount for temporary files: root filesystems are read-only.
pub(crate) const TMP_DIR: &str = "/tmp";
/// Mount of the ConfigMap. A folder of its own: mounts inside a read-only mount fail.
pub(crate) const CONFIG_DIR: &str = "/etc/beachmaster/config";
/// The file mariadbd gets as `--defaults-file`; nothing else is read.
pub(crate) const MY_CNF: &str = "/etc/beachmaster/config/my.cnf";
/// Key of [`MY_CNF`] in the ConfigMap.
pub(crate) const MY_CNF_KEY: &str = "my.cnf";
/// Mount of the Secret `NAME-accounts`, in the agent: files `probe`, `repl-0` … `repl-8`.
pub(crate) const ACCOUNTS_DIR: &str = "/etc/beachmaster/accounts";
/// Mount of the bootstrap user's password, in the agent, when there is one.
pub(crate) const BOOTSTRAP_DIR: &str = "/etc/beachmaster/bootstrap";
/// Mount of root's password, in the agent, when there is one.
pub(crate) const ROOT_DIR: &str = "/etc/beachmaster/root";
/// Name of the file with the password in [`BOOTSTRAP_DIR`] and [`ROOT_DIR`].
pub(crate) const PASSWORD_FILE: &str = "password";
/// Mount of the key file, in agent and mariadb, when there is one.
pub(crate) const KEYS_DIR: &str = "/etc/beachmaster/encryption";
/// The key file.
pub(crate) const KEYS: &str = "/etc/beachmaster/encryption/keys";
/// Name of [`KEYS`] in [`KEYS_DIR`].
pub(crate) const KEYS_FILE: &str = "keys";

/// Our program in our image.
pub(crate) const BEACHMASTER: &str = "/beachmaster";
/// launch in our image.
pub(crate) const LAUNCH: &str = "/launch";
/// Mount of the `bin` volume in `install`. Not [`BIN_DIR`]: in our image `/beachmaster` is a file.
pub(crate) const INSTALL_DIR: &str = "/install";
/// Mount of the `bin` volume in mariadb.
pub(crate) const BIN_DIR: &str = "/beachmaster/bin";
/// launch where it runs.
pub(crate) const LAUNCH_INSTALLED: &str = "/beachmaster/bin/launch";

/// mariadbd.
pub(crate) const MARIADB_PORT: u16 = 3306;
/// mariadbd for members and the operator: clients that use up all connections leave these alone (docs/decisions/42-extra-port.md).
pub(crate) const EXTRA_PORT: u16 = 3308;
/// The agent's HTTP: `/readyz`.
pub(crate) const AGENT_PORT: u16 = 8080;
/// 200 when mariadbd answers SQL.
pub(crate) const READY_PATH: &str = "/readyz";

/// Name of the pod, `NAME-i`.
pub(crate) const ENV_POD_NAME: &str = "POD_NAME";
/// Namespace of the pod.
pub(crate) const ENV_POD_NAMESPACE: &str = "POD_NAMESPACE";
/// Uid of the pod.
pub(crate) const ENV_POD_UID: &str = "POD_UID";
/// Name of the ReplicationCluster.
pub(crate) const ENV_CLUSTER: &str = "BEACHMASTER_CLUSTER";
/// `gtid_domain_id` of the cluster.
pub(crate) const ENV_GTID_DOMAIN: &str = "BEACHMASTER_GTID_DOMAIN";
/// Number of members of the cluster.
pub(crate) const ENV_MEMBERS: &str = "BEACHMASTER_MEMBERS";
/// Database to create at the initialisation.
pub(crate) const ENV_BOOTSTRAP_DATABASE: &str = "BEACHMASTER_BOOTSTRAP_DATABASE";
/// User to create at the initialisation.
pub(crate) const ENV_BOOTSTRAP_USERNAME: &str = "BEACHMASTER_BOOTSTRAP_USERNAME";
/// Cipher of encryption at rest, when there are keys.
pub(crate) const ENV_ENCRYPTION_ALGORITHM: &str = "BEACHMASTER_ENCRYPTION_ALGORITHM";

/// Key of the probe's password in `NAME-accounts`, and its file name in [`ACCOUNTS_DIR`].
pub(crate) const PROBE_KEY: &str = "probe";
/// SQL account of the probe.
pub(crate) const PROBE_USER: &str = "beachmaster_probe";
/// SQL account of the agent, over the socket: named after the user both containers run as.
pub(crate) const AGENT_USER: &str = "mysql";
/// Most members a cluster may have: the number of replication accounts.
pub const MAX_MEMBERS: u8 = 9;

/// Key of a member's replication password in `NAME-accounts`, and its file name in [`ACCOUNTS_DIR`].
#[must_use]
pub(crate) fn repl_key(ordinal: u8) -> String {
    format!("repl-{ordinal}")
}

/// A member's replication account.
#[must_use]
pub(crate) fn repl_user(ordinal: u8) -> String {
    format!("beachmaster_repl_{ordinal}")
}
