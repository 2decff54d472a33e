//! Where cargo puts what it builds. The programs of a test, and of a benchmark, lie in `deps/` below ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program of this workspace, such as `beachmaster`, in the profile of the running test; cargo builds the programs of a
/// package before its tests.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    profile().join(name)
}

/// launch's program, built when the test run has not built it.
pub(crate) fn launch() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let built = Command::new(cargo).args(["build", "--quiet", "--package=launch"]).status().unwrap();
        assert!(built.success());
        program("launch")
    })
}

/// For files that outlive a test run: cargo's `CARGO_TARGET_TMPDIR`.
pub(crate) fn kept() -> PathBuf {
    let kept = profile().with_file_name("tmp");
    std::fs::create_dir_all(&kept).unwrap();
    kept
}

fn profile() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).expect("a test lies in a target directory").to_owned()
}
