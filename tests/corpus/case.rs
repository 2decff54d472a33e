//! Where the files of a case lie, made by `maker` and read by the tests.
//!
//! `VARIANT/binlog` is the origin, `VARIANT/relay` what a replica had received of it and not applied. Each has its log files
//! with index in `logs`, what `SHOW BINLOG EVENTS` or `SHOW RELAYLOG EVENTS` said of them in `show`, and, unless they are
//! encrypted, what `mariadb-binlog` said in `text`. Beside them: the origin's position and state, and its key file.

use std::fs;
use std::path::{Path, PathBuf};

use beachmaster::binlog::Keys;
use beachmaster::gtid::GtidPosition;

use crate::variants::Variant;
use testkit::Version;

/// One variant, of one version.
#[derive(Debug, Clone)]
pub struct Case {
    pub version: Version,
    pub variant: &'static Variant,
    home: PathBuf,
}

/// The two kinds of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Binlog,
    Relay,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Binlog, Self::Relay];

    /// The names of the files before their numbers.
    pub fn basename(self) -> &'static str {
        match self {
            Self::Binlog => "bin",
            Self::Relay => "relay",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Binlog => "binlog",
            Self::Relay => "relay",
        }
    }
}

impl Case {
    pub fn new(corpus: &Path, version: Version, variant: &'static Variant) -> Self {
        Self { version, variant, home: corpus.join(variant.name) }
    }

    pub fn logs(&self, kind: Kind) -> PathBuf {
        self.home.join(kind.folder()).join("logs")
    }

    /// The listing of a log file by a live server.
    pub fn shown(&self, kind: Kind, name: &str) -> PathBuf {
        self.home.join(kind.folder()).join("show").join(name)
    }

    /// The listing of a log file by mariadb-binlog.
    pub fn text(&self, kind: Kind, name: &str) -> PathBuf {
        self.home.join(kind.folder()).join("text").join(name)
    }

    /// Key file of `file_key_management`.
    pub fn key_file(&self) -> PathBuf {
        self.home.join("keys")
    }

    /// What the logs can be read with.
    pub fn keys(&self) -> Keys {
        match self.variant.encryption {
            Some(encryption) => {
                Keys::parse(&fs::read_to_string(self.key_file()).unwrap(), encryption.algorithm).unwrap()
            }
            None => Keys::missing("none is needed"),
        }
    }

    /// `@@gtid_binlog_pos` of the origin.
    pub fn position_file(&self) -> PathBuf {
        self.home.join("position")
    }

    /// What the origin held, as `state::of` tells it.
    pub fn state_file(&self) -> PathBuf {
        self.home.join("state")
    }

    pub fn position(&self) -> GtidPosition {
        fs::read_to_string(self.position_file()).unwrap().parse().unwrap()
    }

    pub fn state(&self) -> String {
        fs::read_to_string(self.state_file()).unwrap()
    }

    /// The log files, in order.
    pub fn names(&self, kind: Kind) -> Vec<String> {
        names(&self.logs(kind), kind.basename())
    }
}

/// The log files of the index in `directory`, in order.
pub fn names(directory: &Path, basename: &str) -> Vec<String> {
    let index = fs::read_to_string(directory.join(format!("{basename}.index"))).unwrap();
    index.lines().map(|line| line.trim_start_matches("./").to_owned()).collect()
}
