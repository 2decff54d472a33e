//! The house rules that a compiler does not see: no two files import each other in a circle, and no file is too long.
//!
//! A file uses another one when a `use` or a path in its code names something that the other one defines: a re-export is
//! followed to its end. A module that passes on names of its children (`pub use self::child::X`) does not use them, unless
//! its own code names `X` too. Code under `#[cfg(test)]` is left out.
//!
//! One circle is accepted, and not found: a type whose methods stand in several files. The parent has the type and
//! `mod child;`, the child has `impl super::Type`, and the parent calls these methods without a path.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "a test that reads the tree")]

mod forms;
mod house;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use house::{House, circles};

/// Longest file, in lines, tests in it included.
const LONGEST: usize = 400;
/// Crates: the name in paths of others, and the file of the root. Nobody can name a program.
const CRATES: [(&str, &str); 6] = [
    ("beachmaster", "src/lib.rs"),
    ("program beachmaster", "src/main.rs"),
    ("launch", "launch/src/lib.rs"),
    ("program launch", "launch/src/main.rs"),
    ("e2e", "e2e/src/main.rs"),
    ("testkit", "tests/testkit/src/lib.rs"),
];
/// Folders whose files belong to these crates.
const FOLDERS: [&str; 4] = ["src", "launch/src", "e2e", "tests/testkit/src"];
/// Folders with Rust files.
const ALL_FOLDERS: [&str; 6] = ["src", "launch", "e2e", "tests", "benches", "fuzz"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files in a folder of the repository, by their paths in it.
fn rust_files(folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let (inside, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
        folders.extend(inside.into_iter().filter(|folder| !folder.ends_with("target")));
        let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        found.extend(rust.map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()));
    }
    found
}

fn house() -> House {
    House::read(&CRATES, &|file| std::fs::read_to_string(root().join(file)).ok())
}

#[test]
fn every_file_is_read() {
    let house = house();
    let read: BTreeSet<&str> = house.files().into_iter().chain(house.tests.iter().map(String::as_str)).collect();
    let files: BTreeSet<String> = FOLDERS.into_iter().flat_map(rust_files).collect();
    let missed: Vec<&String> = files.iter().filter(|file| !read.contains(file.as_str())).collect();
    assert!(missed.is_empty(), "no module of a crate: {missed:?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let arrows = house().arrows();
    let mut told = String::new();
    let circles = circles(&arrows);
    for circle in &circles {
        told.push_str(&format!("{} files:\n", circle.len()));
        for file in circle {
            for other in arrows[*file].iter().filter(|other| circle.contains(other.as_str())) {
                told.push_str(&format!("  {file} -> {other}\n"));
            }
        }
    }
    assert!(circles.is_empty(), "{} circles\n{told}", circles.len());
}

#[test]
fn no_file_is_too_long() {
    let files = ALL_FOLDERS.into_iter().flat_map(rust_files);
    let lines = |file: &String| std::fs::read_to_string(root().join(file)).unwrap().lines().count();
    let long: Vec<String> = files
        .map(|file| (lines(&file), file))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, file)| format!("{file}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "longer than {LONGEST} lines:\n{}", long.join("\n"));
}
