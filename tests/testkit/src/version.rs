//! The series of MariaDB that tests run, unpacked for them; whatever this machine has installed does not matter.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A series of MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Debian 12's.
    V10_11,
    /// Debian 13's.
    V11_8,
}

impl Version {
    pub const ALL: [Self; 2] = [Self::V10_11, Self::V11_8];

    /// A program of this version, such as `mariadbd`.
    pub fn program(self, name: &str) -> PathBuf {
        self.tree().join("bin").join(name)
    }

    /// What `mariadbd --version` says, without what no file name may have.
    pub fn exact(self) -> String {
        let output = Command::new(self.program("mariadbd")).args(["--no-defaults", "--version"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (_, text) = text.split_once("Ver ").unwrap_or_else(|| panic!("{self}: {text:?} is no version"));
        assert!(text.starts_with(&format!("{self}.")), "mariadbd is {text} instead of {self}");
        text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect()
    }

    /// What `e2e/cluster/cluster mariadb-root` unpacked; the first call on a machine takes a minute.
    fn tree(self) -> &'static Path {
        static TREES: [OnceLock<PathBuf>; Version::ALL.len()] = [const { OnceLock::new() }; Version::ALL.len()];
        TREES[self as usize].get_or_init(|| {
            let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/cluster/cluster");
            let output = Command::new(tool).args(["mariadb-root", &self.to_string()]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().into()
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V10_11 => "10.11",
            Self::V11_8 => "11.8",
        })
    }
}
