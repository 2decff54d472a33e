//! What one file of Rust says: its modules, what they import, and which paths their code names.
//!
//! It reads tokens, so that macros are read as all other code is. What stands under `#[cfg(test)]` is left out.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Names between `::`.
pub type Path = Vec<String>;

const ITEMS: [&str; 8] = ["fn", "struct", "enum", "union", "trait", "const", "type", "static"];
/// Items that end at a semicolon, whatever stands before it.
const STATEMENTS: [&str; 5] = ["use", "const", "static", "type", "let"];

/// A name that a `use` brings into a module; `*` for all names.
#[derive(Debug)]
pub struct Import {
    pub name: String,
    /// As it is written.
    pub path: Path,
    /// `pub use` of any kind: others may take the name from here.
    pub public: bool,
}

/// A module: a file's own, or one in braces.
#[derive(Debug)]
pub struct Scope {
    /// Its path, from its crate's name on.
    pub module: Path,
    /// Names it defines.
    pub items: BTreeSet<String>,
    pub imports: Vec<Import>,
    /// Paths in its code as they are written, single names among them.
    pub paths: BTreeSet<Path>,
}

/// `mod name;`: a module in a file of its own.
#[derive(Debug)]
pub struct Child {
    pub module: Path,
    /// Of `#[path = "…"]`.
    pub file: Option<String>,
    /// Under `#[cfg(test)]`.
    pub test: bool,
}

#[derive(Debug, Default)]
pub struct Source {
    /// The file's own module is the first.
    pub scopes: Vec<Scope>,
    pub children: Vec<Child>,
}

impl Source {
    /// Reads `text`, the file of `module`.
    pub fn read(text: &str, module: &[String]) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", module.join("::")));
        let mut source = Self::default();
        source.module(module.to_vec(), tokens);
        source
    }

    fn module(&mut self, module: Path, body: TokenStream) {
        let scope = self.scopes.len();
        self.scopes.push(Scope { module, items: BTreeSet::new(), imports: Vec::new(), paths: BTreeSet::new() });
        self.code(&body.into_iter().collect::<Vec<_>>(), scope, true);
    }

    /// Reads code of a module; `top` when it is not inside an item.
    fn code(&mut self, tokens: &[TokenTree], scope: usize, top: bool) {
        let mut file = None;
        let mut test = false;
        let mut at = 0;
        while at < tokens.len() {
            if let Some((attribute, next)) = attribute(tokens, at) {
                let inside: Vec<TokenTree> = attribute.stream().into_iter().collect();
                test |= attribute.stream().to_string().replace(' ', "") == "cfg(test)";
                match (word(&inside, 0).as_deref(), inside.get(2)) {
                    (Some("path"), Some(TokenTree::Literal(name))) => file = Some(unquoted(&name.to_string())),
                    (Some("doc"), _) => {}
                    _ => self.code(&inside, scope, false),
                }
                at = next;
                continue;
            }
            let item = after_visibility(tokens, at);
            let child = word(tokens, item + 1).filter(|_| word(tokens, item).as_deref() == Some("mod"));
            if let Some(name) = child {
                let module = [self.scopes[scope].module.clone(), vec![name]].concat();
                match tokens.get(item + 2) {
                    Some(TokenTree::Group(body)) if !test => self.module(module, body.stream()),
                    Some(TokenTree::Group(_)) => {}
                    _ => self.children.push(Child { module, file: file.take(), test }),
                }
                at = item + 3;
            } else if test {
                at = end_of_item(tokens, item);
            } else if word(tokens, item).as_deref() == Some("use") && !is_punct(tokens, item + 1, '<') {
                let end = (item..tokens.len()).find(|end| is_punct(tokens, *end, ';')).unwrap_or(tokens.len());
                imports(&tokens[item + 1..end], &[], item > at, &mut self.scopes[scope].imports);
                at = end;
            } else if item > at {
                // What follows `pub` is an item: it is read next.
                at = item;
                continue;
            } else {
                at = self.token(tokens, at, scope, top);
            }
            (file, test) = (None, false);
        }
    }

    /// Reads what begins with this token, and tells where the next begins.
    fn token(&mut self, tokens: &[TokenTree], at: usize, scope: usize, top: bool) -> usize {
        match &tokens[at] {
            TokenTree::Group(group) => self.code(&group.stream().into_iter().collect::<Vec<_>>(), scope, false),
            TokenTree::Ident(ident) => {
                let is_macro = *ident == "macro_rules" && is_punct(tokens, at + 1, '!');
                if top && (is_macro || ITEMS.iter().any(|item| ident == item)) {
                    self.scopes[scope].items.extend(word(tokens, at + 1 + usize::from(is_macro)));
                }
                let (path, next) = path(tokens, at);
                if is_reference(tokens, at, next, &path) {
                    self.scopes[scope].paths.insert(path);
                }
                return next;
            }
            // A path in an attribute: `#[serde(with = "…")]`.
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let words: Path = unquoted(&text).split("::").map(str::to_owned).collect();
                let is_name = |word: &String| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
                if text.starts_with('"') && words.len() > 1 && words.iter().all(is_name) {
                    self.scopes[scope].paths.insert(words);
                }
            }
            TokenTree::Punct(_) => {}
        }
        at + 1
    }
}

fn word(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_punct(tokens: &[TokenTree], at: usize, c: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == c)
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens, at, ':') && is_punct(tokens, at + 1, ':')
}

fn group(tokens: &[TokenTree], at: usize, delimiter: Delimiter) -> Option<&Group> {
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group),
        _ => None,
    }
}

fn unquoted(literal: &str) -> String {
    literal.trim_matches('"').to_owned()
}

/// The attribute that begins here, and where it ends.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<(&Group, usize)> {
    let bracket = at + 1 + usize::from(is_punct(tokens, at + 1, '!'));
    let found = group(tokens, bracket, Delimiter::Bracket).filter(|_| is_punct(tokens, at, '#'));
    found.map(|group| (group, bracket + 1))
}

/// Behind `pub`, `pub(crate)` or `pub(in a::b)`.
fn after_visibility(tokens: &[TokenTree], at: usize) -> usize {
    if word(tokens, at).as_deref() != Some("pub") {
        return at;
    }
    let inside: Vec<TokenTree> =
        group(tokens, at + 1, Delimiter::Parenthesis).into_iter().flat_map(Group::stream).collect();
    at + 1 + usize::from(word(&inside, 0).is_some_and(|word| ["crate", "self", "super", "in"].contains(&&*word)))
}

/// Behind the item, field, variant or statement that begins here.
fn end_of_item(tokens: &[TokenTree], at: usize) -> usize {
    let first = word(tokens, at).unwrap_or_default();
    let is_const_fn = first == "const" && word(tokens, at + 1).as_deref() == Some("fn");
    let is_statement = STATEMENTS.contains(&first.as_str()) && !is_const_fn;
    let is_item = ITEMS.contains(&first.as_str()) || ["impl", "async", "unsafe", "extern"].contains(&first.as_str());
    let ends = |at: usize| {
        is_punct(tokens, at, ';')
            || !is_statement && group(tokens, at, Delimiter::Brace).is_some()
            || !is_statement && !is_item && is_punct(tokens, at, ',')
    };
    (at..tokens.len()).find(|at| ends(*at)).map_or(tokens.len(), |end| end + 1)
}

/// The path that begins here, and where it ends.
fn path(tokens: &[TokenTree], at: usize) -> (Path, usize) {
    let mut path: Path = word(tokens, at).into_iter().collect();
    let mut next = at + 1;
    while let Some(name) = word(tokens, next + 2).filter(|_| is_separator(tokens, next)) {
        path.push(name);
        next += 3;
    }
    (path, next)
}

/// False for lifetimes, methods, fields, names that are defined here, and what follows a path's generic arguments.
fn is_reference(tokens: &[TokenTree], at: usize, next: usize, path: &[String]) -> bool {
    let Some(before) = at.checked_sub(1) else { return !is_binding(tokens, next, path) };
    let is_range = before > 0 && is_punct(tokens, before - 1, '.');
    let is_member = is_punct(tokens, before, '.') && !is_range;
    let is_tail = before > 0 && is_separator(tokens, before - 1);
    let is_lifetime = is_punct(tokens, before, '\'');
    let defines = |word: &str| ITEMS.contains(&word) || ["let", "mut"].contains(&word);
    let is_defined = path.len() == 1 && word(tokens, before).is_some_and(|word| defines(&word));
    !(is_member || is_tail || is_lifetime || is_defined || is_binding(tokens, next, path))
}

/// `name: …`, which is a field or an argument unless it is a type's bound.
fn is_binding(tokens: &[TokenTree], next: usize, path: &[String]) -> bool {
    let is_lower = path.len() == 1 && path[0].starts_with(|c: char| c.is_lowercase() || c == '_');
    is_lower && is_punct(tokens, next, ':') && !is_punct(tokens, next + 1, ':')
}

/// `a::{b, c::{self, d as e}}` as whole paths, each with the name it gets.
fn imports(tree: &[TokenTree], before: &[String], public: bool, found: &mut Vec<Import>) {
    let parts = tree.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','));
    // A comma at the end leaves nothing behind it.
    for part in parts.filter(|part| !part.is_empty()) {
        let mut path = before.to_vec();
        let mut name = None;
        let mut at = 0;
        while let Some(token) = part.get(at) {
            match token {
                TokenTree::Group(group) => {
                    imports(&group.stream().into_iter().collect::<Vec<_>>(), &path, public, found);
                    path.clear();
                }
                TokenTree::Ident(ident) if *ident == "as" => {
                    name = word(part, at + 1);
                    at += 1;
                }
                TokenTree::Ident(ident) if *ident == "self" && !path.is_empty() => {}
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => name = Some("*".to_owned()),
                _ => {}
            }
            at += 1;
        }
        if let Some(last) = path.last().cloned() {
            found.push(Import { name: name.unwrap_or(last), path, public });
        }
    }
}
