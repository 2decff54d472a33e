//! Writing values into statements, and statements into messages.

/// A string literal.
#[must_use]
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// An identifier.
#[must_use]
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The beginning of a server's text, on one line: it ends in conditions and logs, and the server may not be ours.
#[must_use]
pub(crate) fn shown(text: &str) -> String {
    /// MariaDB's own errors have 512 bytes at most.
    const LONGEST: usize = 512;
    let end = text.floor_char_boundary(LONGEST);
    text[..end].chars().map(|c| if is_plain(c) { c } else { ' ' }).collect()
}

/// False for what moves the cursor, begins a line, or turns the direction of writing.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first words of a statement, up to the first value: what may stand in a log.
#[must_use]
pub(crate) fn summary(statement: &str) -> String {
    /// Enough to know the statement again.
    const WORDS: usize = 4;
    let words = statement.split_whitespace().take_while(|word| !word.contains(['\'', '=', '"']));
    words.take(WORDS).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_quotes() {
        assert_eq!(quote(r"a'b\c"), r"'a''b\\c'");
        assert_eq!(identifier("a`b"), "`a``b`");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shown("short"), "short");
        let long = format!("x{}", "ä".repeat(1_000));
        assert_eq!(shown(&long).len(), 511);
    }

    #[test]
    fn a_text_of_a_server_makes_no_lines_of_its_own() {
        assert_eq!(shown("no\nERROR all is lost\x1b[2J\u{202e}x"), "no ERROR all is lost [2J x");
    }

    #[test]
    fn summaries_hold_no_values() {
        assert_eq!(summary("CHANGE MASTER TO MASTER_HOST='h', MASTER_PASSWORD='p'"), "CHANGE MASTER TO");
        assert_eq!(summary("CREATE USER IF NOT EXISTS 'u'@'%' IDENTIFIED BY 'p'"), "CREATE USER IF NOT");
        assert_eq!(summary("STOP SLAVE"), "STOP SLAVE");
    }
}
