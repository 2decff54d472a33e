//! The series of MariaDB that tests run: the installed one, and others unpacked beside it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A series of MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Debian 12's, installed on this machine.
    V10_11,
    /// Debian 13's, unpacked by `e2e/cluster/cluster mariadb-root`.
    V11_8,
}

impl Version {
    pub const ALL: [Self; 2] = [Self::V10_11, Self::V11_8];

    /// A program of this version, such as `mariadbd`.
    pub fn program(self, name: &str) -> PathBuf {
        match self {
            Self::V10_11 => name.into(),
            Self::V11_8 => tree().join("bin").join(name),
        }
    }

    /// What `mariadbd --version` says, without what no file name may have.
    pub fn exact(self) -> String {
        let output = Command::new(self.program("mariadbd")).args(["--no-defaults", "--version"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (_, text) = text.split_once("Ver ").unwrap_or_else(|| panic!("{self}: {text:?} is no version"));
        assert!(text.starts_with(&format!("{self}.")), "mariadbd on PATH must be {self}, it is {text}");
        text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect()
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

/// The unpacked 11.8; the first call on a machine takes a minute.
fn tree() -> &'static Path {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.get_or_init(|| {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/cluster/cluster");
        let output = Command::new(tool).args(["mariadb-root", "11.8"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
}
