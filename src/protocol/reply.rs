//! Answers to commands: OK, error, result set.

use crate::errno;

/// The payload of an OK packet: no rows, autocommit.
pub(super) const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

/// Ends columns and rows of a result set.
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];

/// An error as a server sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(crate) code: u16,
    pub(crate) state: &'static [u8; 5],
    pub(crate) text: String,
}

impl ServerError {
    /// `ER_MASTER_FATAL_ERROR_READING_BINLOG`: the replica shows the text as Last_IO_Error and stops.
    pub(crate) fn binlog(text: impl Into<String>) -> Self {
        Self { code: errno::MASTER_FATAL_ERROR_READING_BINLOG, state: b"HY000", text: text.into() }
    }

    pub(crate) fn denied(user: &[u8]) -> Self {
        let text = format!("Access denied for user '{}'", String::from_utf8_lossy(user));
        Self { code: errno::ACCESS_DENIED_ERROR, state: b"28000", text }
    }

    pub(crate) fn unknown_command() -> Self {
        Self {
            code: errno::UNKNOWN_COM_ERROR,
            state: b"08S01",
            text: "Unknown command: this server only serves binary logs".to_owned(),
        }
    }

    pub(crate) fn unknown_statement() -> Self {
        let text = "This server only serves binary logs and does not know the statement";
        Self { code: errno::PARSE_ERROR, state: b"42000", text: text.to_owned() }
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut out = vec![0xff];
        out.extend(self.code.to_le_bytes());
        out.push(b'#');
        out.extend(self.state);
        out.extend(self.text.as_bytes());
        out
    }
}

/// A result set of text columns with at most one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResultSet {
    pub(crate) columns: Vec<&'static str>,
    /// NULL is `None`.
    pub(crate) row: Option<Vec<Option<String>>>,
}

impl ResultSet {
    pub(crate) fn value(column: &'static str, value: Option<String>) -> Self {
        Self { columns: vec![column], row: Some(vec![value]) }
    }

    pub(crate) fn variable(pair: Option<(&str, String)>) -> Self {
        let row = pair.map(|(name, value)| vec![Some(name.to_owned()), Some(value)]);
        Self { columns: vec!["Variable_name", "Value"], row }
    }

    /// The payloads of its packets, in order.
    pub(crate) fn payloads(&self) -> Vec<Vec<u8>> {
        let mut out = vec![vec![u8::try_from(self.columns.len()).unwrap_or(u8::MAX)]];
        out.extend(self.columns.iter().map(|name| column(name)));
        out.push(EOF.to_vec());
        out.extend(self.row.iter().map(|row| row.iter().flat_map(|value| field(value.as_deref())).collect()));
        out.push(EOF.to_vec());
        out
    }
}

/// `Protocol::ColumnDefinition41` of a VARCHAR.
fn column(name: &str) -> Vec<u8> {
    /// Length of what follows, character set, display length, MYSQL_TYPE_VAR_STRING, flags, decimals, filler.
    const FIXED: [u8; 13] = [12, 33, 0, 0, 4, 0, 0, 0xfd, 0, 0, 0, 0, 0];
    let mut out = Vec::new();
    for text in ["def", "", "", "", name, ""] {
        out.extend(field(Some(text)));
    }
    out.extend(FIXED);
    out
}

/// A length-encoded text; NULL is 0xfb.
fn field(value: Option<&str>) -> Vec<u8> {
    let Some(text) = value else { return vec![0xfb] };
    let mut out = match u8::try_from(text.len()) {
        Ok(length) if length < 0xfb => vec![length],
        _ => {
            let [low, middle, high, ..] = text.len().to_le_bytes();
            vec![0xfd, low, middle, high]
        }
    };
    out.extend(text.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_code_state_and_text() {
        assert_eq!(ServerError::binlog("gone").payload(), b"\xff\xd4\x04#HY000gone");
    }

    #[test]
    fn a_result_set_has_columns_and_rows_each_closed() {
        let payloads = ResultSet::value("x", Some("42".to_owned())).payloads();
        assert_eq!(payloads.len(), 5);
        assert_eq!(payloads[3], b"\x0242");
        assert_eq!(ResultSet::variable(None).payloads().len(), 5, "two columns, no row");
    }
}
