//! The forms in which one file uses another one, each in a house of some lines.

use crate::house::{House, circles};

/// Reads files of `src/`, the first of which is the root of the crate `house`.
fn house(files: &[(&str, &str)]) -> House {
    let load = |path: &str| {
        let found = files.iter().find(|(file, _)| path == format!("src/{file}") || path == *file);
        found.map(|(_, text)| (*text).to_owned())
    };
    let root = format!("src/{}", files[0].0);
    House::read(&[("house", root.as_str())], &load)
}

/// What the file uses, without `src/`.
fn used_by(file: &str, files: &[(&str, &str)]) -> Vec<String> {
    let arrows = house(files).arrows();
    arrows[&format!("src/{file}")].iter().map(|used| used.trim_start_matches("src/").to_owned()).collect()
}

/// What a parent with this text uses of its two children.
fn parent(text: &str) -> Vec<String> {
    let text = format!("mod child;\nmod other;\n{text}");
    used_by("lib.rs", &[("lib.rs", &text), ("child.rs", "pub struct X; pub fn f() {}"), ("other.rs", "pub struct Y;")])
}

/// What a child with this text uses of its parent and of a sibling whose `Y` the parent passes on.
fn child(text: &str) -> Vec<String> {
    let root = "mod a;";
    let parent = "mod child; mod sibling; pub use sibling::Y; pub struct P; impl P { fn m() {} }";
    let files =
        [("lib.rs", root), ("a/mod.rs", parent), ("a/child.rs", text), ("a/sibling.rs", "pub struct Y; pub fn s() {}")];
    used_by("a/child.rs", &files)
}

#[test]
fn a_child_s_name_needs_no_self() {
    assert_eq!(parent("fn g() { child::f() }"), ["child.rs"]);
    assert_eq!(parent("fn g() { self::child::f() }"), ["child.rs"]);
    assert_eq!(parent("fn g() { crate::child::f() }"), ["child.rs"]);
    assert_eq!(parent("use child::X;"), ["child.rs"]);
    assert_eq!(parent("struct S { x: Vec<child::X> }"), ["child.rs"]);
    assert_eq!(parent("fn g() { child::X.child() }"), ["child.rs"]);
    assert_eq!(parent("fn g() { stranger::child::f() }"), [""; 0]);
    assert_eq!(parent("fn child() {} fn g() { child() }"), [""; 0]);
}

#[test]
fn a_parent_may_pass_on_what_it_does_not_use() {
    for how in ["pub", "pub(crate)", "pub(super)", "pub(in crate::a)"] {
        let passes_on = format!("{how} use self::child::X; {how} use child::f as g;");
        assert_eq!(parent(&passes_on), [""; 0], "{how}");
        assert_eq!(parent(&format!("{passes_on} fn h(x: X) {{}}")), ["child.rs"], "{how}");
        assert_eq!(parent(&format!("{passes_on} fn h() {{ g() }}")), ["child.rs"], "{how}");
        assert_eq!(parent(&format!("{passes_on} fn h() {{ self::X::new() }}")), ["child.rs"], "{how}");
    }
    assert_eq!(parent("pub use child::*;"), [""; 0]);
    assert_eq!(parent("pub use child::*; struct S(X);"), ["child.rs"]);
    assert_eq!(parent("pub use child::f; struct S { f: u8 } fn g(s: S) -> u8 { s.f }"), [""; 0]);
    assert_eq!(parent("pub use {child::X, other::Y}; impl Y {}"), ["other.rs"]);
}

#[test]
fn a_re_export_is_followed_to_the_file_that_defines_the_name() {
    assert_eq!(child("use super::Y;"), ["a/sibling.rs"]);
    assert_eq!(child("fn f(y: super::Y) {}"), ["a/sibling.rs"]);
    assert_eq!(child("use super::{self as a, P}; fn f(y: a::Y) {}"), ["a/mod.rs", "a/sibling.rs"]);
    assert_eq!(child("use crate::a::{P as Q};"), ["a/mod.rs"]);
    assert_eq!(child("use super::*;"), ["a/mod.rs"]);
    assert_eq!(child("use super::*; fn f() { sibling::s() }"), ["a/mod.rs", "a/sibling.rs"]);
    assert_eq!(child("use super::*; struct S(Y);"), ["a/mod.rs", "a/sibling.rs"]);
}

#[test]
fn a_use_may_stand_anywhere() {
    assert_eq!(child("fn f() {\n    use super::P;\n}"), ["a/mod.rs"]);
    assert_eq!(child("fn f() { if true { use super::sibling::s; s() } }"), ["a/sibling.rs"]);
    assert_eq!(child("mod inner {\n    use super::super::P;\n}"), ["a/mod.rs"]);
    assert_eq!(child("mod inner { fn f() { super::super::P } }"), ["a/mod.rs"]);
    assert_eq!(child("struct Own; mod inner { use super::Own; }"), [""; 0]);
    assert_eq!(child("pub(in crate::a) use super::P;"), ["a/mod.rs"]);
    assert_eq!(child("pub(in crate::a) fn f() {}"), [""; 0]);
    assert_eq!(child("use super::{\n    sibling::{\n        self,\n    },\n};"), ["a/sibling.rs"]);
}

#[test]
fn paths_are_read_in_macros_and_attributes_and_not_in_texts() {
    assert_eq!(child("fn f() { vec![super::P] }"), ["a/mod.rs"]);
    assert_eq!(child("macro_rules! m { () => { $crate::a::P } }"), ["a/mod.rs"]);
    assert_eq!(child("struct S { #[serde(with = \"super::sibling\")] y: u8 }"), ["a/sibling.rs"]);
    assert_eq!(child("#[derive(super::P)] struct S;"), ["a/mod.rs"]);
    assert_eq!(child("fn f(p: *const super::P) {}"), ["a/mod.rs"]);
    assert_eq!(child("fn f(p: &mut super::P) { let q = super::sibling::s(); }"), ["a/mod.rs", "a/sibling.rs"]);
    assert_eq!(child("// super::P\n/* super::P */ fn f() { \"super::P is no path\" }"), [""; 0]);
    assert_eq!(child("/// [`super::P`]\nfn f() { r#\"super::P\"# }"), [""; 0]);
    assert_eq!(child("/// `\"`\nfn f() { '\"'; super::P; '\"' }"), ["a/mod.rs"]);
}

#[test]
fn tests_are_left_out_and_what_follows_them_is_not() {
    assert_eq!(child("#[cfg(test)] mod tests { use super::super::P; }"), [""; 0]);
    assert_eq!(child("#[cfg(test)] use super::{P}; use super::sibling::s;"), ["a/sibling.rs"]);
    assert_eq!(child("#[cfg(test)] #[must_use] fn f() { super::P } fn g() { super::Y }"), ["a/sibling.rs"]);
    assert_eq!(child("#[cfg(test)] const F: u8 = { super::P }; fn g() { super::Y }"), ["a/sibling.rs"]);
    assert_eq!(child("struct S { #[cfg(test)] p: super::P, y: super::Y }"), ["a/sibling.rs"]);
    let files = [("lib.rs", "#[cfg(test)]\nmod tests;"), ("tests.rs", "mod inner;"), ("tests/inner.rs", "")];
    let house = house(&files);
    assert_eq!(house.files().len(), 1);
    assert!(house.tests.contains("src/tests.rs") && house.tests.contains("src/tests/inner.rs"), "{:?}", house.tests);
}

#[test]
fn modules_are_found_where_attributes_say() {
    let files = [
        ("lib.rs", "mod stage; mod scenarios;"),
        ("stage.rs", "pub struct Stage;"),
        ("scenarios.rs", "#[path = \"../tail/mod.rs\"]\nmod the_tail;\nuse the_tail::run;"),
        ("tail/mod.rs", "mod variant; use crate::stage::Stage; pub fn run() { variant::f() }"),
        ("tail/variant.rs", "pub fn f() { super::super::super::stage::Stage }"),
    ];
    let arrows = house(&files).arrows();
    assert!(arrows["src/scenarios.rs"].contains("tail/mod.rs"), "{arrows:?}");
    let used: Vec<&String> = arrows["tail/mod.rs"].iter().collect();
    assert_eq!(used, ["src/stage.rs", "tail/variant.rs"]);
    assert!(arrows["tail/variant.rs"].contains("src/stage.rs"), "{arrows:?}");
}

#[test]
fn a_circle_is_found_over_several_files() {
    let files = |last| {
        [
            ("lib.rs", "mod a; mod b; mod c; use a::A;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "pub struct B(crate::c::C);"),
            ("c.rs", last),
        ]
    };
    assert!(circles(&house(&files("pub struct C;")).arrows()).is_empty());
    let arrows = house(&files("pub struct C; fn f() { use super::a; }")).arrows();
    let found: Vec<Vec<&str>> = circles(&arrows).into_iter().map(|circle| circle.into_iter().collect()).collect();
    assert_eq!(found, [["src/a.rs", "src/b.rs", "src/c.rs"]]);
}

/// `impl super::P` in a child whose methods the parent calls without a path.
#[test]
fn a_type_whose_methods_stand_in_several_files_is_no_circle() {
    let parent = "mod people; pub struct P; impl P { fn m(&self) { self.tell() } }";
    let files = [("lib.rs", parent), ("people.rs", "use super::P; impl P { pub(super) fn tell(&self) {} }")];
    assert!(circles(&house(&files).arrows()).is_empty());
}
