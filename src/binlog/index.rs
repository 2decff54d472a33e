//! The index of the binary logs (`bin.index`): one path a line, in the order the files were written.

use std::fmt;

use thiserror::Error;

/// The server writes at least six digits (`fn_gen`: `%06lu`).
const LEAST_DIGITS: usize = 6;

/// The name of a log file inside its directory, such as `bin.000017`. Never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogName {
    name: String,
    number: u64,
}

impl LogName {
    /// Reads `name`, which must be `BASENAME.DIGITS`.
    #[must_use]
    pub(crate) fn parse(name: &str, basename: &str) -> Option<Self> {
        let digits = name.strip_prefix(basename)?.strip_prefix('.')?;
        let plain = digits.len() >= LEAST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| plain && !name.contains('/'))?;
        Some(Self { name: name.to_owned(), number })
    }

    /// The name as it stands in the directory.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why the index cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexError {
    /// No entry, or all files are gone.
    #[error("the index names no existing log file: was RESET MASTER running, or is this the wrong directory?")]
    Empty,
    /// An entry that is not one of our files in our directory.
    #[error("entry {entry:?} of the index is not a file named {basename}.NNNNNN in {directory}")]
    Foreign {
        /// The entry.
        entry: String,
        /// The logs' base name (`log_bin`).
        basename: String,
        /// The directory that was searched.
        directory: String,
    },
    /// Entries in another order than they were written.
    #[error("{second} comes after {first} in the index, so transactions between them may be missing")]
    Order {
        /// The earlier entry.
        first: LogName,
        /// The entry after it.
        second: LogName,
    },
    /// A file that is named but not there, with others before it.
    #[error("{0} is in the index but does not exist: restore it, or the transactions in it are lost")]
    Missing(LogName),
}

/// Reads the index `text` of the logs `basename` in `directory`.
///
/// # Errors
/// An entry outside of the directory or of another name, a gap in the numbers, or no entry.
pub(crate) fn parse_index(text: &[u8], directory: &str, basename: &str) -> Result<Vec<LogName>, IndexError> {
    let mut names: Vec<LogName> = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let entry = String::from_utf8_lossy(line.trim_ascii());
        let name = inside(&entry, directory).and_then(|name| LogName::parse(name, basename));
        let name = name.ok_or_else(|| IndexError::Foreign {
            entry: entry.into_owned(),
            basename: basename.to_owned(),
            directory: directory.to_owned(),
        })?;
        if let Some(first) = names.last().filter(|first| first.number.checked_add(1) != Some(name.number)) {
            return Err(IndexError::Order { first: first.clone(), second: name });
        }
        names.push(name);
    }
    if names.is_empty() { Err(IndexError::Empty) } else { Ok(names) }
}

/// The name of an entry that lies in `directory`: relative (`./bin.000001`) or with the directory's own path.
fn inside<'a>(entry: &'a str, directory: &str) -> Option<&'a str> {
    let absolute = entry.strip_prefix(directory.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
    Some(absolute.or_else(|| entry.strip_prefix("./")).unwrap_or(entry))
}

/// Drops the entries whose files are gone because they were purged: a purge that was cut short leaves them at the
/// front of the index.
///
/// # Errors
/// A file is missing behind one that exists, or all are.
pub(crate) fn present(names: Vec<LogName>, exists: impl Fn(&LogName) -> bool) -> Result<Vec<LogName>, IndexError> {
    let kept: Vec<LogName> = names.into_iter().skip_while(|name| !exists(name)).collect();
    match kept.iter().find(|name| !exists(name)) {
        Some(missing) => Err(IndexError::Missing(missing.clone())),
        None if kept.is_empty() => Err(IndexError::Empty),
        None => Ok(kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, IndexError> {
        let names = parse_index(text.as_bytes(), "/var/lib/mysql/data", "bin")?;
        Ok(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn relative_absolute_and_plain_entries_are_names_of_the_directory() {
        let text = "./bin.000009\n/var/lib/mysql/data/bin.000010\n\nbin.000011\n";
        assert_eq!(names(text).unwrap(), ["bin.000009", "bin.000010", "bin.000011"]);
        assert_eq!(names("./bin.999999\n./bin.1000000").unwrap().len(), 2);
    }

    #[test]
    fn entries_elsewhere_are_refused() {
        for entry in [
            "../bin.000001",
            "./../x/bin.000001",
            "/etc/bin.000001",
            "relay.000001",
            "bin.000001.idx",
            "bin.1",
            "./bin.+00001",
        ] {
            assert!(matches!(names(entry), Err(IndexError::Foreign { .. })), "{entry}");
        }
        assert_eq!(names("\n"), Err(IndexError::Empty));
        assert!(matches!(names("bin.000001\nbin.000003"), Err(IndexError::Order { .. })));
    }

    #[test]
    fn purged_files_may_be_missing_at_the_front_only() {
        let all = parse_index(b"bin.000001\nbin.000002\nbin.000003", "/d", "bin").unwrap();
        let kept = present(all.clone(), |name| name.as_str() != "bin.000001").unwrap();
        assert_eq!(kept.first().unwrap().as_str(), "bin.000002");
        let error = present(all.clone(), |name| name.as_str() != "bin.000003").unwrap_err();
        assert!(error.to_string().contains("bin.000003 is in the index but does not exist"), "{error}");
        assert_eq!(present(all, |_| false), Err(IndexError::Empty));
    }
}
