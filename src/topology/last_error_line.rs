//! The line of a program's last output that says what is wrong.

use crate::orders::ExitStatus;

/// How a line of MariaDB's begins to say what is wrong.
const ERROR: &str = "[ERROR]";
/// How the line ends with which mariadbd says only that it ends.
const ENDS: &str = "Aborting";
/// Longest text shown, in characters: lines of MariaDB's are shorter.
const LONGEST: usize = 500;

/// What to show of `output`, the last lines of mariadbd or of mariadb-install-db: the last line with `[ERROR]` that says why,
/// without one the last line.
#[must_use]
pub(crate) fn shown(output: &str) -> String {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let error = lines().find(|line| line.contains(ERROR) && !line.ends_with(ENDS));
    error.or_else(|| lines().next()).unwrap_or_default().chars().take(LONGEST).collect()
}

/// How a mariadbd ended that printed `output`. Where the status says it all no line is shown: none of them would be about it.
#[must_use]
pub(crate) fn of_exit(status: ExitStatus, output: &str) -> String {
    /// SIGKILL: nobody prints anything after it.
    const KILLED: i32 = 9;
    match (status.code, status.signal) {
        (Some(0), _) => format!("{status}: it was shut down"),
        (_, Some(KILLED)) => {
            format!("{status}: it was killed (by the operator, by hand, or because its container used up its memory)")
        }
        _ => format!("{status}: {}", shown(output)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_minutes_ago_is_not_the_reason_of_a_kill() {
        let told = |code, signal| of_exit(ExitStatus { code, signal }, UNKNOWN);
        assert!(told(Some(1), None).ends_with(UNKNOWN));
        assert!(told(None, Some(6)).starts_with("signal 6: ") && told(None, Some(6)).ends_with(UNKNOWN));
        assert!(told(None, Some(9)).starts_with("signal 9: it was killed"));
        assert_eq!(told(Some(0), None), "exit code 0: it was shut down");
    }

    const UNKNOWN: &str = "2026-11-28 10:00:00 0 [ERROR] /usr/sbin/mariadbd: unknown variable 'no_such_option=1'";

    #[test]
    fn the_reason_is_shown_and_not_the_end() {
        let text =
            format!("0 [Note] Plugin 'FEEDBACK' is disabled.\n{UNKNOWN}\n2026-11-28 10:00:00 0 [ERROR] Aborting\n");
        assert_eq!(shown(&text), UNKNOWN);
    }

    #[test]
    fn of_mariadb_install_db_the_error_is_shown_and_not_its_advice() {
        let text = format!(
            "{UNKNOWN}\n0 [ERROR] Aborting\n\nInstallation of system tables failed!\n\
             Please check all of the above before submitting a bug report\n"
        );
        assert_eq!(shown(&text), UNKNOWN);
    }

    #[test]
    fn without_an_error_it_is_the_last_line() {
        assert_eq!(shown("one\ntwo\n\n"), "two");
        assert_eq!(shown(""), "");
        assert_eq!(shown(&"x".repeat(10_000)).len(), LONGEST);
        assert_eq!(shown("[ERROR] Aborting"), "[ERROR] Aborting", "better than nothing");
    }
}
