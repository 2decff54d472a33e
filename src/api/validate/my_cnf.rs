//! `spec.myCnf`, line by line.

use super::invalid::Invalid;
use crate::api::owned::{self, Fate, Line};

/// Options that users set, and lines of theirs that are not used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MyCnf {
    /// What goes into my.cnf: the user's text, with comments instead of the lines that are left out.
    pub(crate) text: String,
    /// Lines that have no effect, and why.
    pub(crate) ignored: Vec<String>,
}

impl MyCnf {
    /// Reads the text; `keys` when there are keys of encryption.
    pub(super) fn parse(raw: &str, keys: bool) -> Result<Self, Invalid> {
        let mut read = Self::default();
        for (index, line) in raw.lines().enumerate() {
            let trimmed = line.trim_matches(|c: char| c.is_whitespace() || c == '\u{b}');
            match fate(index + 1, trimmed, keys)? {
                Fate::Kept => read.text += line,
                Fate::Equal => read.text += &format!("# {trimmed} (the operator sets it)"),
                Fate::Ignored(why) => {
                    read.text += &format!("# {trimmed} (left out: {why})");
                    read.ignored.push(format!("line {} ({trimmed}) has no effect: {why}", index + 1));
                }
            }
            read.text += "\n";
        }
        Ok(read)
    }
}

fn fate(number: usize, line: &str, keys: bool) -> Result<Fate, Invalid> {
    let refuse =
        |problem: String, remedy: &str| Err(Invalid::new(format!("spec.myCnf line {number}"), problem, remedy));
    if line.starts_with('[') || line.starts_with('!') {
        let remedy = "write options of [mariadbd] only, without sections and includes";
        return refuse(format!("{line:?} is not an option"), remedy);
    }
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(Fate::Kept);
    }
    let key = line.split(['=', '#']).next().unwrap_or_default().trim();
    if let Some(option) = owned::needs_keys(key).filter(|_| !keys) {
        return refuse(format!("{key} needs keys: {}", option.why), "set spec.encryption, or remove it");
    }
    match owned::judge(line) {
        Line::Refused(owned) => refuse(format!("{line:?}: {key} belongs to the operator: {}", owned.why), "remove it"),
        Line::Passes(fate) => Ok(fate),
        Line::Free if owned::leads_outside(line) => refuse(
            format!("{line:?} names a file outside the datadir or among the operator's own files"),
            "name a file in the datadir",
        ),
        Line::Free => Ok(Fate::Kept),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_effect_are_left_out_and_told() {
        let raw = "max_connections=9\nsync_binlog = 1\nexpire_logs_days=3\ntmpdir=/x\r\ninnodb_flush_method=O_DIRECT";
        let read = MyCnf::parse(raw, false).unwrap();
        let lines: Vec<&str> = read.text.lines().collect();
        assert_eq!(lines[0], "max_connections=9");
        assert_eq!(lines[1], "# sync_binlog = 1 (the operator sets it)");
        assert!(
            lines[2].starts_with("# expire_logs_days=3 (left out: spec.replication.binlogRetention"),
            "{}",
            lines[2]
        );
        assert!(lines[3].starts_with("# tmpdir=/x (left out"), "{}", lines[3]);
        assert_eq!(lines[4], "innodb_flush_method=O_DIRECT");
        assert_eq!(read.ignored.len(), 2);
        assert!(read.ignored[0].starts_with("line 3 (expire_logs_days=3) has no effect"), "{}", read.ignored[0]);
    }

    #[test]
    fn a_refusal_names_number_line_and_reason() {
        for (raw, line, reason) in [
            ("z=1\nslave_skip_errors=1062", "line 2", "members could differ"),
            ("user=abc", "line 1", "runs as the user mysql"),
            ("basedir=/opt/x", "line 1", "runs as the user mysql"),
            ("skip-unix-socket", "line 1", "locked out"),
            ("sync_binlog=0", "line 1", "acknowledged transaction"),
            ("innodb_buffer_pool_filename=../beachmaster/record", "line 1", "outside the datadir"),
        ] {
            let error = MyCnf::parse(raw, false).unwrap_err();
            assert!(error.field.contains(line) && error.problem.contains(reason), "{raw}: {error}");
        }
    }
}
