//! The regular expression that finds an owned option in an option file. Built as a tree of letters, because mariadbd
//! takes every unique beginning of a name.

use std::collections::BTreeMap;

use super::{MODIFIERS, OTHER_OPTIONS, Owned};

/// White space in an option file; RE2's `\s` lacks the vertical tab.
const SPACE: &str = r"[\s\v]*";

/// Finds a line that sets an option of `table`. RE2 syntax.
pub(super) fn regex(table: &[Owned]) -> String {
    let mut names = Node::default();
    for owned in table {
        names.insert(owned.name, owned.family);
    }
    let modifiers = MODIFIERS.join("|");
    let names = names.children("");
    format!("(?im)^{SPACE}(?:(?:{modifiers})[-_])*{names}{SPACE}(?:=|#|$)")
}

/// All names with one beginning.
#[derive(Default)]
struct Node {
    next: BTreeMap<char, Node>,
    family: bool,
}

impl Node {
    fn insert(&mut self, name: &str, family: bool) {
        let end = name.chars().fold(self, |node, letter| node.next.entry(letter).or_default());
        end.family |= family;
    }

    /// What may follow after `beginning`: a group with one alternative for each letter.
    fn children(&self, beginning: &str) -> String {
        let alternatives = self.next.iter().map(|(letter, node)| node.regex(*letter, beginning));
        format!("(?:{})", alternatives.collect::<Vec<_>>().join("|"))
    }

    fn regex(&self, letter: char, beginning: &str) -> String {
        let beginning = format!("{beginning}{letter}");
        let head = if letter == '_' { "[-_]".to_owned() } else { letter.to_string() };
        let optional = if OTHER_OPTIONS.contains(&beginning.as_str()) { "" } else { "?" };
        if self.family {
            return format!(r"{head}[-\w]*");
        }
        if self.next.is_empty() {
            return head;
        }
        format!("{head}{}{optional}", self.children(&beginning))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OWNED, WITH_KEYS, needs_keys, owner};
    use super::*;

    #[test]
    fn agrees_with_the_tables() {
        let owned = regex::Regex::new(&regex(OWNED)).unwrap();
        let with_keys = regex::Regex::new(&regex(WITH_KEYS)).unwrap();
        let mut keys: Vec<String> = ["innodb", "innodb_buffer_pool_size", "log_bin_trust", "read_onlyx", "x", "wsrep"]
            .map(str::to_owned)
            .to_vec();
        for owned in OWNED.iter().chain(WITH_KEYS) {
            for end in 1..=owned.name.len() {
                let key = &owned.name[..end];
                keys.push(key.to_owned());
                keys.push(key.replace('_', "-"));
                keys.push(format!("loose-{key}"));
                keys.push(format!("skip_{key}x"));
                keys.push(format!("{key}_more"));
            }
        }
        for key in keys {
            for line in
                [format!("{key} = 1"), format!("z=1\n \t{key}\nz=2"), format!("{key}#why"), format!("{key}\r\n")]
            {
                assert_eq!(owned.is_match(&line), owner(&key).is_some(), "{line:?}");
                assert_eq!(with_keys.is_match(&line), needs_keys(&key).is_some(), "{line:?}");
            }
        }
    }

    #[test]
    fn looks_at_keys_only() {
        let regex = regex::Regex::new(&regex(OWNED)).unwrap();
        for text in ["# read_only = 1", "sql_mode = read_only", "max_connections=100 # port", ""] {
            assert!(!regex.is_match(text), "{text}");
        }
    }
}
