//! `beachmaster agent`: the daemon beside each mariadbd, and the stream the operator opens to it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::agent::{Config, config::Bootstrap, run as run_daemon, stdio_bridge};
use crate::api::cluster::EncryptionAlgorithm;
use crate::api::owned::KeyFile;
use crate::layout;
use crate::orders::{BINLOG_SERVER_PORT, Ordinal};

/// Arguments of `beachmaster agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon.
    Run(Box<Run>),
    /// Carries orders and answers between standard input and output and the daemon.
    Session(Session),
}

#[derive(Debug, Args)]
struct Session {
    /// The daemon's socket.
    #[arg(long, default_value = layout::AGENT_SOCKET)]
    socket: PathBuf,
}

/// Everything has the value of a pod made by the operator; tests set their own.
#[derive(Debug, Args)]
struct Run {
    /// Name of the pod, CLUSTER-ORDINAL.
    #[arg(long, env = layout::ENV_POD_NAME)]
    pod_name: String,
    /// Namespace of the pod.
    #[arg(long, env = layout::ENV_POD_NAMESPACE)]
    pod_namespace: String,
    /// Uid of the pod.
    #[arg(long, env = layout::ENV_POD_UID)]
    pod_uid: String,
    /// Name of the ReplicationCluster.
    #[arg(long, env = layout::ENV_CLUSTER)]
    cluster: String,
    /// The cluster's replication domain.
    #[arg(long, env = layout::ENV_GTID_DOMAIN, default_value_t = 0)]
    gtid_domain_id: u32,
    /// Number of members: each has a replication account.
    #[arg(long, env = layout::ENV_MEMBERS, default_value_t = layout::MAX_MEMBERS)]
    members: u8,
    /// Database to create at the initialisation.
    #[arg(long, env = layout::ENV_BOOTSTRAP_DATABASE)]
    bootstrap_database: Option<String>,
    /// User to create at the initialisation.
    #[arg(long, env = layout::ENV_BOOTSTRAP_USERNAME)]
    bootstrap_username: Option<String>,
    /// File with that user's password.
    #[arg(long, default_value_os_t = password_file(layout::BOOTSTRAP_DIR))]
    bootstrap_password: PathBuf,
    /// File with root's password.
    #[arg(long, default_value_os_t = password_file(layout::ROOT_DIR))]
    root_password: PathBuf,
    /// Folder with the passwords of the operator's accounts.
    #[arg(long, default_value = layout::ACCOUNTS_DIR)]
    accounts: PathBuf,
    /// Mount of the volume.
    #[arg(long, default_value = layout::VOLUME_DIR)]
    volume: PathBuf,
    /// Folder of the sockets.
    #[arg(long, default_value = layout::RUN_DIR)]
    run_dir: PathBuf,
    /// Folder for mariadbd's temporary files.
    #[arg(long, default_value = layout::TMP_DIR)]
    tmp_dir: PathBuf,
    /// Path of mariadbd, or its name in launch's PATH.
    #[arg(long, default_value = "mariadbd")]
    mariadbd: String,
    /// Path of mariadb-install-db, or its name in launch's PATH.
    #[arg(long, default_value = "mariadb-install-db")]
    install_db: String,
    /// The only option file mariadbd reads.
    #[arg(long, default_value = layout::MY_CNF)]
    my_cnf: PathBuf,
    /// Cipher of encryption at rest; without it the agent has no keys.
    #[arg(long, env = layout::ENV_ENCRYPTION_ALGORITHM, value_parser = algorithm)]
    encryption_algorithm: Option<EncryptionAlgorithm>,
    /// Key file of encryption at rest.
    #[arg(long, default_value = layout::KEYS)]
    encryption_keys: String,
    /// Port of mariadbd.
    #[arg(long, default_value_t = layout::MARIADB_PORT)]
    mariadb_port: u16,
    /// Port of mariadbd for members and the operator.
    #[arg(long, default_value_t = layout::EXTRA_PORT)]
    extra_port: u16,
    /// Port of the binlog server.
    #[arg(long, default_value_t = BINLOG_SERVER_PORT)]
    binlog_port: u16,
    /// Port of /readyz.
    #[arg(long, default_value_t = layout::AGENT_PORT)]
    http_port: u16,
}

/// Runs `beachmaster agent`.
#[must_use]
pub(crate) fn run(args: AgentArgs) -> ExitCode {
    let done = match args.command {
        Command::Run(run) => run.config().and_then(|config| block_on(run_daemon(config))),
        Command::Session(session) => block_on(stdio_bridge::bridge(&session.socket)),
    };
    match done {
        // Standard input may still be open, and its reader cannot be told to stop.
        Ok(()) => std::process::exit(0),
        Err(message) => {
            eprintln!("beachmaster agent: {message}");
            ExitCode::FAILURE
        }
    }
}

fn block_on<E: ToString>(work: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(work).map_err(|error| error.to_string())
}

/// The agent waits nearly always; a second thread keeps it answering while the first is in a system call.
const WORKERS: usize = 2;

impl Run {
    fn config(self) -> Result<Config, String> {
        log();
        let ordinal = self.pod_name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok());
        let ordinal = ordinal.ok_or_else(|| format!("pod name {:?} does not end with -ORDINAL", self.pod_name))?;
        Ok(Config {
            cluster: format!("{}/{}", self.pod_namespace, self.cluster),
            ordinal: Ordinal(ordinal),
            pod_uid: self.pod_uid,
            gtid_domain_id: self.gtid_domain_id,
            members: self.members,
            volume: self.volume,
            run_dir: self.run_dir,
            tmp_dir: self.tmp_dir,
            mariadbd: self.mariadbd,
            install_db: self.install_db,
            my_cnf: self.my_cnf,
            accounts: self.accounts,
            bootstrap: Bootstrap {
                database: self.bootstrap_database,
                username: self.bootstrap_username,
                password: self.bootstrap_password,
            },
            root_password: self.root_password,
            keys: self.encryption_algorithm.map(|algorithm| KeyFile { path: self.encryption_keys, algorithm }),
            mariadb_port: self.mariadb_port,
            extra_port: self.extra_port,
            binlog_port: self.binlog_port,
            http_port: self.http_port,
        })
    }
}

fn algorithm(name: &str) -> Result<EncryptionAlgorithm, String> {
    let known = [EncryptionAlgorithm::AesCbc, EncryptionAlgorithm::AesCtr];
    known.into_iter().find(|known| known.name() == name).ok_or_else(|| "use AES_CBC or AES_CTR".to_owned())
}

fn password_file(folder: &str) -> PathBuf {
    Path::new(folder).join(layout::PASSWORD_FILE)
}

/// One line per step on standard error, for `kubectl logs`.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
