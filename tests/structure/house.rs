//! All files of some crates, and which of them uses which.
//!
//! Modules are found as the compiler finds them: from a crate's root on, by `mod name;` and `#[path = "…"]`.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Child, Import, Path, Scope, Source};

/// How many imports of imports are followed.
const DEPTH: u8 = 8;

#[derive(Default)]
pub struct House {
    /// Each module, and the file it stands in.
    scopes: BTreeMap<Path, (String, Scope)>,
    /// Files under `#[cfg(test)]`.
    pub tests: BTreeSet<String>,
}

/// Files that each file uses.
pub type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Where a module's file is, and where those of its children are.
struct Place {
    module: Path,
    file: String,
    folder: String,
    test: bool,
}

impl Place {
    fn of_child(&self, child: Child, load: &dyn Fn(&str) -> Option<String>) -> Self {
        let Child { module, file, test } = child;
        let test = test || self.test;
        if let Some(path) = file {
            let file = plain(&format!("{}/{path}", folder_of(&self.file)));
            return Self { folder: folder_of(&file).to_owned(), module, file, test };
        }
        let folder = format!("{}/{}", self.folder, module[self.module.len()..].join("/"));
        let file = format!("{folder}/mod.rs");
        let file = if load(&file).is_some() { file } else { format!("{folder}.rs") };
        Self { module, file, folder, test }
    }
}

impl House {
    /// Reads crates, each given by its name and the file of its root. `load` reads a file, if there is one.
    pub fn read(roots: &[(&str, &str)], load: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut house = Self::default();
        let root = |(name, file): &(&str, &str)| Place {
            module: vec![(*name).to_owned()],
            file: (*file).to_owned(),
            folder: folder_of(file).to_owned(),
            test: false,
        };
        let mut places: Vec<Place> = roots.iter().map(root).collect();
        while let Some(place) = places.pop() {
            let Place { module, file, test, .. } = &place;
            let text = load(file).unwrap_or_else(|| panic!("{file} of {} is missing", module.join("::")));
            let Source { scopes, children } = Source::read(&text, module);
            places.extend(children.into_iter().map(|child| place.of_child(child, load)));
            if *test {
                house.tests.insert(file.clone());
            } else {
                house.scopes.extend(scopes.into_iter().map(|scope| (scope.module.clone(), (file.clone(), scope))));
            }
        }
        house
    }

    /// Files that are no tests.
    pub fn files(&self) -> BTreeSet<&str> {
        self.scopes.values().map(|(file, _)| file.as_str()).collect()
    }

    /// Which files each file uses.
    pub fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (file, scope) in self.scopes.values() {
            let used = self.used_by(scope).into_iter().filter(|used| used != file);
            arrows.entry(file.clone()).or_default().extend(used);
        }
        arrows
    }

    fn used_by(&self, scope: &Scope) -> BTreeSet<String> {
        let imported = scope.imports.iter().filter_map(|import| {
            let path = self.whole(scope, &import.path, DEPTH)?;
            // What a module passes on of its children ties it to nothing, unless its own code uses it too.
            let passes_on = import.public && path.len() > scope.module.len() && path.starts_with(&scope.module);
            (!passes_on).then_some(path)
        });
        let named = scope.paths.iter().filter_map(|path| match path.as_slice() {
            [name] => self.imported(scope, name, DEPTH),
            path => self.whole(scope, path, DEPTH),
        });
        imported.chain(named).filter_map(|path| self.defined_in(&path, DEPTH)).collect()
    }

    fn scope(&self, module: &[String]) -> Option<&Scope> {
        self.scopes.get(module).map(|(_, scope)| scope)
    }

    /// A path as written in `scope`, from its crate's name on; none when it leads out of the house.
    fn whole(&self, scope: &Scope, path: &[String], depth: u8) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let base = match first.as_str() {
            "crate" => vec![scope.module[0].clone()],
            "self" => scope.module.clone(),
            "super" => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                let base = &scope.module[..scope.module.len().checked_sub(ups)?];
                return Some([base, &path[ups..]].concat());
            }
            name => {
                let child = [scope.module.clone(), vec![name.to_owned()]].concat();
                if self.scopes.contains_key(&child) {
                    child
                } else if let Some(found) = self.imported(scope, name, depth) {
                    found
                } else {
                    let is_crate = self.scopes.contains_key(&path[..1]);
                    return is_crate.then(|| path.to_vec());
                }
            }
        };
        Some([&base, rest].concat())
    }

    /// The whole path of a name that a `use` of `scope` brings in.
    fn imported(&self, scope: &Scope, name: &str, depth: u8) -> Option<Path> {
        let depth = depth.checked_sub(1)?;
        let by_name = scope.imports.iter().find(|import| import.name == name);
        by_name.and_then(|import| self.whole(scope, &import.path, depth)).or_else(|| {
            let globs = scope.imports.iter().filter(|import| import.name == "*");
            globs.filter_map(|import| self.behind_glob(scope, import, name, depth)).next()
        })
    }

    /// The whole path of `name`, if the module that `import` takes all names from has it.
    fn behind_glob(&self, scope: &Scope, import: &Import, name: &str, depth: u8) -> Option<Path> {
        let module = self.whole(scope, &import.path, depth)?;
        let from = self.scope(&module)?;
        let path = [module, vec![name.to_owned()]].concat();
        let is_there = from.items.contains(name) || self.scopes.contains_key(&path);
        if is_there { Some(path) } else { self.imported(from, name, depth) }
    }

    /// The file that defines what a whole path names: a re-export is followed.
    fn defined_in(&self, path: &[String], depth: u8) -> Option<String> {
        let end = (1..=path.len()).rev().find(|end| self.scopes.contains_key(&path[..*end]))?;
        let (file, scope) = &self.scopes[&path[..end]];
        let passed_on = path.get(end).filter(|name| !scope.items.contains(*name)).and_then(|name| {
            let depth = depth.checked_sub(1)?;
            let public = |import: &&Import| import.public && import.name == *name;
            let by_name = scope.imports.iter().find(public).and_then(|import| self.whole(scope, &import.path, depth));
            let globs = || scope.imports.iter().filter(|import| import.public && import.name == "*");
            let target = by_name.or_else(|| globs().find_map(|import| self.behind_glob(scope, import, name, depth)))?;
            self.defined_in(&[&target, &path[end + 1..]].concat(), depth)
        });
        Some(passed_on.unwrap_or_else(|| file.clone()))
    }
}

/// Circles: sets of files of which each one reaches each other one.
pub fn circles(arrows: &Arrows) -> BTreeSet<BTreeSet<&str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|file| (file.as_str(), reach(arrows, file))).collect();
    let circle = |file: &str| -> BTreeSet<&str> {
        reached[file].iter().copied().filter(|other| reached[other].contains(file)).collect()
    };
    reached.keys().map(|file| circle(file)).filter(|circle| !circle.is_empty()).collect()
}

fn reach<'a>(arrows: &'a Arrows, from: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = arrows[from].iter().map(String::as_str).collect();
    while let Some(file) = next.pop() {
        if seen.insert(file) {
            next.extend(arrows[file].iter().map(String::as_str));
        }
    }
    seen
}

fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Without `..`.
fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}
