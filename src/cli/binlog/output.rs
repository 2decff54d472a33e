//! How results are printed.

use std::fmt;
use std::io::{self, Write};

use crate::gtid::GtidRange;

/// The form of the result.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What a shell tells of a program that SIGPIPE ended.
const PIPE_CLOSED: i32 = 128 + 13;

/// Prints a line of the result. Ends the program without a word when nobody reads on, as `head` does when it has enough.
pub(super) fn say(line: impl fmt::Display) {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(PIPE_CLOSED),
        Err(error) => {
            eprintln!("beachmaster binlog: the result cannot be printed: {error}");
            std::process::exit(1)
        }
    }
}

/// `0-1-3 to 0-1-7 (5)`.
pub(super) fn range_text(range: &GtidRange) -> String {
    format!("{} to {} ({})", range.gtid(range.first), range.gtid(range.last), grouped(range.count()))
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_grouped_from_the_right() {
        let texts = [0, 999, 1_000, 1_234_567].map(super::grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }
}
