//! Who this agent is and where its things are. In a pod all of it follows from `layout`; tests set it themselves.

use std::path::{Path, PathBuf};

use crate::api::cluster::EncryptionAlgorithm;
use crate::api::owned::{Boot, KeyFile, command_line};
use crate::binlog::{Algorithm, Keys};
use crate::layout;
use crate::orders::{Ordinal, Secret, member_name};

/// An agent's surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `namespace/name` of the cluster.
    pub(crate) cluster: String,
    /// The member.
    pub(crate) ordinal: Ordinal,
    /// Uid of its pod.
    pub(crate) pod_uid: String,
    /// The cluster's replication domain.
    pub(crate) gtid_domain_id: u32,
    /// Number of members: that many have replication accounts. A pod made by an older operator says nothing of it, and has all.
    pub(crate) members: u8,
    /// Mount of the volume.
    pub(crate) volume: PathBuf,
    /// Folder of the sockets.
    pub(crate) run_dir: PathBuf,
    /// Folder for mariadbd's temporary files.
    pub(crate) tmp_dir: PathBuf,
    /// Path of mariadbd, or its name in launch's PATH.
    pub(crate) mariadbd: String,
    /// Path of mariadb-install-db, or its name in launch's PATH.
    pub(crate) install_db: String,
    /// The only option file mariadbd reads.
    pub(crate) my_cnf: PathBuf,
    /// Folder with the passwords of the operator's accounts.
    pub(crate) accounts: PathBuf,
    /// Database and user to make at the initialisation.
    pub(crate) bootstrap: Bootstrap,
    /// File with root's password, when there is one.
    pub(crate) root_password: PathBuf,
    /// The keys of encryption at rest, when there are some.
    pub(crate) keys: Option<KeyFile>,
    /// Where mariadbd listens for clients.
    pub(crate) mariadb_port: u16,
    /// Where it listens for members and the operator.
    pub(crate) extra_port: u16,
    /// Where the binlog server listens.
    pub(crate) binlog_port: u16,
    /// Where `/readyz` is.
    pub(crate) http_port: u16,
}

/// What users want a new cluster to hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bootstrap {
    /// Database to create.
    pub(crate) database: Option<String>,
    /// User to create, with all rights on that database.
    pub(crate) username: Option<String>,
    /// File with the user's password.
    pub(crate) password: PathBuf,
}

impl Config {
    /// The member's name: its pod's.
    #[must_use]
    pub(crate) fn member_name(&self) -> String {
        let cluster = self.cluster.rsplit('/').next().unwrap_or_default();
        member_name(cluster, self.ordinal)
    }

    /// The same with its namespace, for a comparison with whom a volume belongs to.
    #[must_use]
    pub(crate) fn full_name(&self) -> String {
        member_name(&self.cluster, self.ordinal)
    }

    /// mariadbd's datadir.
    #[must_use]
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.volume.join("data")
    }

    /// Where a datadir is made before it gets its name.
    #[must_use]
    pub(crate) fn new_data_dir(&self) -> PathBuf {
        self.volume.join("data.init")
    }

    /// Our own files on the volume.
    #[must_use]
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.volume.join("beachmaster")
    }

    /// mariadbd's socket.
    #[must_use]
    pub(crate) fn mariadbd_socket(&self) -> PathBuf {
        self.in_run_dir(layout::MARIADBD_SOCKET)
    }

    /// launch's socket.
    #[must_use]
    pub(crate) fn launch_socket(&self) -> PathBuf {
        self.in_run_dir(layout::LAUNCH_SOCKET)
    }

    /// The agent's own socket.
    #[must_use]
    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.in_run_dir(layout::AGENT_SOCKET)
    }

    /// mariadbd's arguments.
    #[must_use]
    pub(crate) fn command_line(&self) -> Vec<String> {
        command_line(&Boot {
            ordinal: self.ordinal,
            gtid_domain_id: self.gtid_domain_id,
            defaults_file: text(&self.my_cnf),
            data_dir: text(&self.data_dir()),
            socket: text(&self.mariadbd_socket()),
            pid_file: text(&self.in_run_dir(layout::PID_FILE)),
            tmp_dir: text(&self.tmp_dir),
            port: self.mariadb_port,
            extra_port: self.extra_port,
            keys: self.keys.clone(),
        })
    }

    /// A password from the mounted Secret.
    ///
    /// # Errors
    /// When the file cannot be read or is empty; the text says which and what to do.
    pub(crate) fn account_password(&self, key: &str) -> Result<Secret, String> {
        password(&self.accounts.join(key))
    }

    /// The key of encrypted logs; without one, what is missing.
    #[must_use]
    pub(crate) fn log_keys(&self) -> Keys {
        let Some(file) = &self.keys else {
            return Keys::missing("set spec.encryption, which gives the agent the key file");
        };
        let algorithm = match file.algorithm {
            EncryptionAlgorithm::AesCbc => Algorithm::AesCbc,
            EncryptionAlgorithm::AesCtr => Algorithm::AesCtr,
        };
        let read = std::fs::read(&file.path).map_err(|error| error.to_string());
        let parse = |text: Vec<u8>| Keys::parse(&String::from_utf8_lossy(&text), algorithm);
        let keys = read.and_then(|text| parse(text).map_err(|error| error.to_string()));
        keys.unwrap_or_else(|error| Keys::missing(format!("{}: {error}; check spec.encryption's Secret", file.path)))
    }

    fn in_run_dir(&self, pod_path: &str) -> PathBuf {
        self.run_dir.join(Path::new(pod_path).file_name().unwrap_or_default())
    }
}

/// A password from a file, without the line end editors leave.
///
/// # Errors
/// When the file cannot be read or is empty; the text says which and what to do.
pub(crate) fn password(file: &Path) -> Result<Secret, String> {
    let remedy = "check the Secret that is mounted there";
    let content = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}; {remedy}", file.display()))?;
    let password = content.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        Err(format!("{} is empty; {remedy}", file.display()))
    } else {
        Ok(Secret(password.to_owned()))
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
