//! The regular expressions that find owned options in an option file. Built as trees of letters, because mariadbd takes every
//! unique beginning of a name. RE2 syntax, without look-ahead.
//!
//! None of them matches across lines: the API server does not show a message with a line break in it.

use std::collections::BTreeMap;

use super::harmless::{HARMLESS, Harmless};
use super::{MODIFIERS, OTHER_OPTIONS, Owned};

/// White space within a line of an option file.
const SPACE: &str = r"[ \t\r\f\v]*";
/// The same, at least one.
const SPACES: &str = r"[ \t\r\f\v]+";
/// What ends a line's value.
const END: &str = "(?:#|$)";
/// The rest of a line, as far as a message shows it.
const REST: &str = r"[^\n]{0,200}";

/// Finds a line that sets an option of `table` and does not pass, and takes the beginning of its value along.
pub(super) fn regex<'a>(table: impl Iterator<Item = &'a Owned>) -> String {
    let mut names = Node::default();
    let mut passing: Vec<&Harmless> = Vec::new();
    for owned in table {
        let harmless = HARMLESS.iter().find(|harmless| harmless.name == owned.name);
        names.insert(owned.name, owned.family, harmless.is_some());
        passing.extend(harmless);
    }
    let modifier = format!("(?:{})[-_]", MODIFIERS.join("|"));
    let mut lines = vec![format!("(?:{modifier})*{}{SPACE}(?:=|{END})", names.children(""))];
    if !passing.is_empty() {
        let all: Vec<String> = passing.iter().map(|harmless| spelt(harmless.name)).collect();
        lines.push(format!("(?:{modifier})+(?:{}){SPACE}(?:=|{END})", all.join("|")));
        lines.extend(passing.into_iter().filter_map(other_values));
    }
    format!("(?im)^{SPACE}(?:{}){REST}", lines.join("|"))
}

/// Finds a line whose value leads out of the datadir, or to the agent's own files.
pub(super) const OUTSIDE: &str = r"(?im)^[^#;=\n]*=[^#\n]*(?:\.\./|/\.\.|beachmaster/)[^\n]{0,200}";
/// Finds a section.
pub(super) const SECTION: &str = r"(?m)^[ \t\r\f\v]*\[[^\n]{0,200}";
/// Finds a file to include.
pub(super) const INCLUDE: &str = r"(?m)^[ \t\r\f\v]*![^\n]{0,200}";

fn spelt(name: &str) -> String {
    name.replace('_', "[-_]")
}

/// The option with a value that does not pass.
fn other_values(harmless: &Harmless) -> Option<String> {
    let values = harmless.values?;
    let mut words = Word::default();
    values.iter().filter(|value| !value.is_empty()).for_each(|value| words.insert(value));
    let bare = if values.contains(&"") { String::new() } else { format!("{END}|") };
    Some(format!("{}{SPACE}(?:{bare}={SPACE}{})", spelt(harmless.name), words.others(true)))
}

/// The values that pass, letter by letter.
#[derive(Default)]
struct Word {
    next: BTreeMap<char, Word>,
    ends: bool,
}

impl Word {
    fn insert(&mut self, word: &str) {
        word.chars().fold(self, |node, letter| node.next.entry(letter).or_default()).ends = true;
    }

    /// What may follow here so that the whole is none of the words.
    fn others(&self, first: bool) -> String {
        let letters: String = self.next.keys().collect();
        let mut ways: Vec<String> =
            self.next.iter().map(|(letter, node)| format!("[{letter}]{}", node.others(false))).collect();
        if self.ends {
            ways.push(format!(r"[^\n# \t\r\f\v{letters}]"));
            ways.push(format!(r"{SPACES}[^\n# \t\r\f\v]"));
        } else if first {
            // White space was taken before.
            ways.push(format!(r"[^\n \t\r\f\v{letters}]"));
            ways.push("$".to_owned());
        } else {
            ways.push(format!(r"[^\n{letters}]"));
            ways.push("$".to_owned());
        }
        format!("(?:{})", ways.join("|"))
    }
}

/// All names with one beginning.
#[derive(Default)]
struct Node {
    next: BTreeMap<char, Node>,
    family: bool,
    /// The whole name is looked at elsewhere, together with its value.
    passes: bool,
}

impl Node {
    fn insert(&mut self, name: &str, family: bool, passes: bool) {
        let end = name.chars().fold(self, |node, letter| node.next.entry(letter).or_default());
        end.family |= family;
        end.passes |= passes;
    }

    /// What may follow after `beginning`: a group with one alternative for each letter.
    fn children(&self, beginning: &str) -> String {
        let alternatives =
            self.next.iter().filter(|(_, node)| !node.passes).map(|(letter, node)| node.regex(*letter, beginning));
        format!("(?:{})", alternatives.collect::<Vec<_>>().join("|"))
    }

    fn regex(&self, letter: char, beginning: &str) -> String {
        let beginning = format!("{beginning}{letter}");
        let head = if letter == '_' { "[-_]".to_owned() } else { letter.to_string() };
        let optional = if OTHER_OPTIONS.contains(&beginning.as_str()) { "" } else { "?" };
        if self.family {
            return format!(r"{head}[-\w]*");
        }
        if self.next.values().all(|node| node.passes) {
            return head;
        }
        format!("{head}{}{optional}", self.children(&beginning))
    }
}

#[cfg(test)]
mod tests {
    use super::super::harmless::{Line, judge, leads_outside};
    use super::super::{OWNED, Refusal, WITH_KEYS, needs_keys, owner};
    use super::*;

    fn compiled(pattern: &str) -> regex::Regex {
        regex::Regex::new(pattern).unwrap()
    }

    #[test]
    fn agrees_with_the_tables() {
        let owned: Vec<regex::Regex> = Refusal::ALL.iter().map(|refusal| compiled(&refusal.pattern())).collect();
        let with_keys = compiled(&regex(WITH_KEYS.iter()));
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
            for value in ["= 7", "", "#why", "\r"] {
                let line = format!("{key} {value}");
                let refused = matches!(judge(line.trim()), Line::Refused(_));
                assert_eq!(
                    refused,
                    owner(&key).is_some() && !matches!(judge(line.trim()), Line::Passes(_)),
                    "{line:?}"
                );
                for text in [line.clone(), format!("z=1\n \t{line}\nz=2"), format!("{line}\r\n")] {
                    assert_eq!(owned.iter().any(|owned| owned.is_match(&text)), refused, "{text:?}");
                    assert_eq!(with_keys.is_match(&text), needs_keys(&key).is_some(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn agrees_about_values() {
        let owned: Vec<regex::Regex> = Refusal::ALL.iter().map(|refusal| compiled(&refusal.pattern())).collect();
        let some = [
            "",
            "1",
            "0",
            "10",
            "01",
            "1 2",
            "on",
            "ONE",
            "O",
            "true",
            "tru",
            "*",
            "**",
            "::",
            ":",
            "0.0.0.0",
            "0.0.0.0.1",
        ];
        let more =
            ["mysql", "mysqld", "/usr", "/usr/local", "o_direct", "O_DIRECT_NO_FSYNC", "nosync", "fsync", "4", "5"];
        for harmless in HARMLESS {
            for value in some.iter().chain(&more) {
                for line in [
                    format!("{}={value}", harmless.name),
                    format!("{} = {value} # why", harmless.name.replace('_', "-")),
                    format!("{}\t=\t{value}\r", harmless.name.to_uppercase()),
                    format!("{}  ", harmless.name),
                    format!("loose_{}={value}", harmless.name),
                ] {
                    let refused = matches!(judge(line.trim()), Line::Refused(_));
                    assert_eq!(owned.iter().any(|owned| owned.is_match(&line)), refused, "{line:?}");
                    assert_eq!(owned.iter().any(|owned| owned.is_match(&format!("z\n{line}\nz"))), refused, "{line:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_found_is_the_line() {
        let safety = compiled(&Refusal::Safety.pattern());
        let found = safety.find("a=1\n  sync-binlog = 0\nb=2").map(|found| found.as_str().trim());
        assert_eq!(found, Some("sync-binlog = 0"));
        let differ = compiled(&Refusal::Differ.pattern());
        assert_eq!(differ.find("x\nslave_skip_errors\n=1").map(|found| found.as_str()), Some("slave_skip_errors"));
    }

    #[test]
    fn paths_are_found_like_in_the_table() {
        let outside = compiled(OUTSIDE);
        for line in
            ["a=../x", "a = /x/..", "# a=../x", "a=x # ../", "a = /var/lib/mysql/beachmaster/record", "a=b", "../a"]
        {
            let comment = line.starts_with('#');
            assert_eq!(outside.is_match(line), !comment && leads_outside(line), "{line}");
        }
    }

    #[test]
    fn looks_at_keys_only() {
        for refusal in Refusal::ALL {
            let regex = compiled(&refusal.pattern());
            for text in ["# read_only = 1", "sql_mode = read_only", "max_connections=100 # port", ""] {
                assert!(!regex.is_match(text), "{text}");
            }
        }
    }
}
