//! The house rules that a compiler does not see: no two files import each other in a circle, and no file is too long.
//!
//! What a file imports is read from its `use` lines and from paths in its code, resolved to the file that defines the name:
//! a re-export is followed. Tests are left out.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "a test that reads the tree")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Longest file, in lines, tests in it included.
const LONGEST: usize = 400;
/// Crates: name in paths of others, and the folder of its root.
const CRATES: [(&str, &str); 3] = [("beachmaster", "src"), ("launch", "launch/src"), ("e2e", "e2e/src")];
const KEYWORDS: [&str; 7] = ["fn", "struct", "enum", "trait", "const", "type", "static"];

/// A module's path from its crate's name on.
type Module = Vec<String>;

#[derive(Default)]
struct File {
    /// Names it defines.
    items: BTreeSet<String>,
    /// Names it takes from elsewhere under `pub use`, and the whole path of each.
    reexports: BTreeMap<String, Vec<String>>,
    /// Whole paths that it names.
    names: BTreeSet<Vec<String>>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    matches!(name, "tests.rs" | "testing.rs" | "proptests.rs")
        || path.components().any(|part| part.as_os_str() == "transcripts")
        || name == "transcripts.rs"
}

/// The code before its module of tests, without comments and the contents of strings.
fn code(text: &str) -> String {
    let mut lines = text.lines().peekable();
    let mut kept = Vec::new();
    while let Some(line) = lines.next() {
        let tests = |next: &&str| next.contains("mod ") && next.ends_with('{');
        if line == "#[cfg(test)]" && lines.peek().is_some_and(tests) {
            break;
        }
        kept.push(line);
    }
    let mut code = String::new();
    for line in kept {
        let line = line.split("//").next().unwrap_or_default();
        let mut inside = false;
        for part in line.split('"') {
            if !inside {
                code.push_str(part);
            }
            code.push(' ');
            inside = !inside;
        }
        code.push('\n');
    }
    code
}

/// `a::{b, c::{self, d as e}}` as whole paths, each with the name it gets.
fn spread(tree: &str, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for c in tree.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    for part in parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        let mut path = before.to_vec();
        if let Some((head, rest)) = part.split_once('{') {
            path.extend(head.split("::").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned));
            spread(rest.trim_end().trim_end_matches('}'), &path, found);
            continue;
        }
        let (whole, name) = part.split_once(" as ").map_or((part, None), |(whole, name)| (whole, Some(name.trim())));
        path.extend(whole.split("::").map(|word| word.trim().to_owned()));
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = name.map_or_else(|| path.last().cloned().unwrap_or_default(), str::to_owned);
        found.push((path, name));
    }
}

/// A path as written in `module`, from its crate's name on; none when it leads out of the house.
fn whole(path: &[String], module: &Module) -> Option<Vec<String>> {
    let first = path.first()?.as_str();
    let rest = path[1..].to_vec();
    match first {
        "crate" => Some([vec![module[0].clone()], rest].concat()),
        "self" => Some([module.clone(), rest].concat()),
        "super" => {
            let mut base = module.clone();
            let ups = path.iter().take_while(|word| *word == "super").count();
            base.truncate(base.len().checked_sub(ups)?);
            Some([base, path[ups..].to_vec()].concat())
        }
        _ if CRATES.iter().any(|(name, _)| *name == first) => Some(path.to_vec()),
        _ => None,
    }
}

fn words(code: &str) -> Vec<String> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .map(|word| word.trim_matches(':').to_owned())
        .collect()
}

fn read(path: &Path, module: &Module) -> File {
    let text = std::fs::read_to_string(path).unwrap();
    let code = code(&text);
    let mut file = File::default();
    let plain: Vec<&str> = code.split_whitespace().collect();
    for pair in plain.windows(2) {
        if KEYWORDS.contains(&pair[0]) {
            let name: String = pair[1].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            file.items.insert(name);
        }
    }
    let mut rest = String::new();
    let mut statement = String::new();
    for line in code.lines() {
        let begins =
            ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().any(|word| line.starts_with(word));
        if !begins && statement.is_empty() {
            rest.push_str(line);
            rest.push('\n');
            continue;
        }
        statement.push_str(line);
        statement.push(' ');
        if line.contains(';') {
            let (public, tree) = statement.split_once("use ").unwrap();
            let mut found = Vec::new();
            spread(tree.trim().trim_end_matches(';'), &[], &mut found);
            for (path, name) in found {
                // A child's name without `self::`.
                let known = ["crate", "self", "super", "std"].contains(&path[0].as_str());
                let path = if known || whole(&path, module).is_some() {
                    whole(&path, module)
                } else {
                    Some([module.clone(), path].concat())
                };
                let Some(path) = path else { continue };
                if !public.is_empty() {
                    file.reexports.insert(name, path.clone());
                }
                file.names.insert(path);
            }
            statement.clear();
        }
    }
    for word in words(&rest) {
        let path: Vec<String> = word.split("::").map(str::to_owned).collect();
        if path.len() > 1
            && let Some(path) = whole(&path, module)
        {
            file.names.insert(path);
        }
    }
    file
}

fn house() -> BTreeMap<Module, File> {
    let mut files = BTreeMap::new();
    for (name, folder) in CRATES {
        let folder = root().join(folder);
        let mut found = Vec::new();
        rust_files(&folder, &mut found);
        for path in found.into_iter().filter(|path| !is_test(path)) {
            let inside = path.strip_prefix(&folder).unwrap().with_extension("");
            let mut module: Module = vec![name.to_owned()];
            module.extend(inside.iter().map(|part| part.to_str().unwrap().to_owned()));
            if ["mod", "lib"].contains(&module.last().unwrap().as_str()) {
                module.pop();
            }
            files.insert(module.clone(), read(&path, &module));
        }
    }
    files
}

/// The module whose file defines what `path` names.
fn defined_in(files: &BTreeMap<Module, File>, path: &[String], depth: u8) -> Option<Module> {
    let longest = (1..=path.len()).rev().find(|end| files.contains_key(&path[..*end]))?;
    let module = path[..longest].to_vec();
    let Some(name) = path.get(longest) else { return Some(module) };
    let file = &files[&module];
    if file.items.contains(name) || depth == 0 {
        return Some(module);
    }
    match file.reexports.get(name) {
        Some(to) => defined_in(files, &[to.clone(), path[longest + 1..].to_vec()].concat(), depth - 1),
        None => Some(module),
    }
}

fn arrows(files: &BTreeMap<Module, File>) -> BTreeMap<Module, BTreeSet<Module>> {
    let to = |module: &Module, file: &File| {
        // What a module passes on of its children ties it to nothing.
        let own = |path: &Vec<String>| !(path.starts_with(module) && file.reexports.values().any(|to| to == path));
        let found = file.names.iter().filter(|path| own(path)).filter_map(|path| defined_in(files, path, 8));
        found.filter(|found| found != module).collect()
    };
    files.iter().map(|(module, file)| (module.clone(), to(module, file))).collect()
}

fn reach(arrows: &BTreeMap<Module, BTreeSet<Module>>, from: &Module) -> BTreeSet<Module> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&Module> = arrows[from].iter().collect();
    while let Some(module) = next.pop() {
        if seen.insert(module.clone()) {
            next.extend(&arrows[module]);
        }
    }
    seen
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files = house();
    assert!(files.len() > 150, "only {} files were read", files.len());
    let arrows = arrows(&files);
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        arrows.keys().map(|module| (module, reach(&arrows, module))).collect();
    let mut circles: BTreeSet<BTreeSet<&Module>> = BTreeSet::new();
    for (module, there) in &reached {
        if there.contains(*module) {
            circles.insert(
                reached
                    .keys()
                    .copied()
                    .filter(|other| there.contains(*other) && reached[*other].contains(*module))
                    .collect(),
            );
        }
    }
    let mut told = String::new();
    for circle in &circles {
        told.push_str(&format!("{} files:\n", circle.len()));
        for module in circle {
            for other in arrows[*module].iter().filter(|other| circle.contains(other)) {
                told.push_str(&format!("  {} -> {}\n", module.join("::"), other.join("::")));
            }
        }
    }
    assert!(circles.is_empty(), "{} circles\n{told}", circles.len());
}

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for (_, folder) in CRATES {
        let mut found = Vec::new();
        rust_files(&root().join(folder), &mut found);
        for path in found {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            if lines > LONGEST {
                long.push(format!("{}: {lines} lines", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(long.is_empty(), "longer than {LONGEST} lines:\n{}", long.join("\n"));
}
