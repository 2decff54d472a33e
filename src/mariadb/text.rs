//! Writing values into statements, and statements into messages.

/// A string literal.
#[must_use]
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// An identifier.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The beginning of a server's text: it ends in conditions, and the server may not be ours.
#[must_use]
pub fn cut(text: &str) -> &str {
    /// MariaDB's own errors have 512 bytes at most.
    const LONGEST: usize = 512;
    let mut end = LONGEST.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The first words of a statement, up to the first value: what may stand in a log.
#[must_use]
pub fn summary(statement: &str) -> String {
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
        assert_eq!(cut("short"), "short");
        let long = format!("x{}", "ä".repeat(1_000));
        assert_eq!(cut(&long).len(), 511);
    }

    #[test]
    fn summaries_hold_no_values() {
        assert_eq!(summary("CHANGE MASTER TO MASTER_HOST='h', MASTER_PASSWORD='p'"), "CHANGE MASTER TO");
        assert_eq!(summary("CREATE USER IF NOT EXISTS 'u'@'%' IDENTIFIED BY 'p'"), "CREATE USER IF NOT");
        assert_eq!(summary("STOP SLAVE"), "STOP SLAVE");
    }
}
