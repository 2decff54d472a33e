//! The statements a replica sends before it asks for the stream (10.6 to 11.8), in any case and spacing.

/// What a statement asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Query {
    /// `SELECT UNIX_TIMESTAMP()`.
    UnixTimestamp,
    /// `SHOW VARIABLES LIKE 'SERVER_ID'`.
    ServerId,
    /// `SELECT @master_binlog_checksum`.
    Checksum,
    /// `SELECT @@GLOBAL.gtid_domain_id`.
    DomainId,
    /// `SELECT binlog_gtid_pos(FILE, OFFSET)`: asked by a replica that is going to name a file and an offset.
    GtidPosition(String, u64),
    /// Any other SELECT.
    OtherSelect,
    /// Any other SHOW VARIABLES: not set here.
    OtherVariable,
    /// `SET @master_heartbeat_period=` nanoseconds.
    HeartbeatPeriod(u64),
    /// `SET @master_binlog_checksum=`: the replica understands checksums.
    ChecksumAware,
    /// `SET @slave_connect_state=` GTID position.
    ConnectState(String),
    /// `SET @slave_until_gtid=` GTID position: START SLAVE UNTIL.
    Until(String),
    /// `SET @slave_gtid_until_before_gtids=`: stop before these transactions, not behind them.
    UntilBefore(bool),
    /// `SET @rpl_semi_sync_slave=1`: each event is to have the semi-sync header.
    SemiSync,
    /// Any other user variable: of no meaning here.
    OtherSetting,
    /// `KILL`: STOP SLAVE sends it over a second connection to end the first.
    Kill,
    /// Nothing a replica sends.
    Unknown,
}

/// Reads a statement.
pub(super) fn read(text: &str) -> Query {
    let text = text.trim().trim_end_matches(';').trim_end();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match word.to_ascii_lowercase().as_str() {
        "select" => select(rest),
        "show" => show(&squeezed(rest)),
        "set" => set(rest.trim_start()),
        "kill" => Query::Kill,
        _ => Query::Unknown,
    }
}

/// In lower case and without blanks.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
}

fn select(what: &str) -> Query {
    match squeezed(what).as_str() {
        "unix_timestamp()" => Query::UnixTimestamp,
        "@master_binlog_checksum" => Query::Checksum,
        "@@global.gtid_domain_id" | "@@gtid_domain_id" => Query::DomainId,
        squeezed => gtid_position(squeezed, what).unwrap_or(Query::OtherSelect),
    }
}

fn gtid_position(squeezed: &str, what: &str) -> Option<Query> {
    let (_, offset) = squeezed.strip_prefix("binlog_gtid_pos(")?.strip_suffix(')')?.rsplit_once(',')?;
    // The file's name as it was written.
    let (_, file) = what.split_once('(')?;
    let (file, _) = file.rsplit_once(',')?;
    Some(Query::GtidPosition(unquoted(file.trim()).to_owned(), offset.parse().ok()?))
}

fn show(what: &str) -> Query {
    let what = what.strip_prefix("global").unwrap_or(what);
    match what.strip_prefix("variableslike") {
        Some("'server_id'") => Query::ServerId,
        Some(_) => Query::OtherVariable,
        None => Query::Unknown,
    }
}

fn set(assignment: &str) -> Query {
    let Some((name, value)) = assignment.strip_prefix('@').and_then(|rest| rest.split_once('=')) else {
        return Query::Unknown;
    };
    let value = value.trim();
    match name.trim().trim_end_matches(':').to_ascii_lowercase().as_str() {
        "master_heartbeat_period" => value.parse().map_or(Query::Unknown, heartbeat_period),
        "master_binlog_checksum" => Query::ChecksumAware,
        "slave_connect_state" => Query::ConnectState(unquoted(value).to_owned()),
        "slave_until_gtid" => Query::Until(unquoted(value).to_owned()),
        "slave_gtid_until_before_gtids" => Query::UntilBefore(value != "0"),
        "rpl_semi_sync_slave" if value != "0" => Query::SemiSync,
        name if name.starts_with('@') => Query::Unknown,
        _ => Query::OtherSetting,
    }
}

fn heartbeat_period(nanoseconds: u64) -> Query {
    /// Of MASTER_HEARTBEAT_PERIOD; 0 means none.
    const LEAST: u64 = 1_000_000;
    Query::HeartbeatPeriod(if nanoseconds == 0 { 0 } else { nanoseconds.max(LEAST) })
}

fn unquoted(value: &str) -> &str {
    value.trim_matches(|c| c == '\'' || c == '"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replicas_send_is_understood_in_any_spelling() {
        for (text, expected) in [
            ("SELECT UNIX_TIMESTAMP()", Query::UnixTimestamp),
            ("select  unix_timestamp( ) ;", Query::UnixTimestamp),
            ("SHOW VARIABLES LIKE 'SERVER_ID'", Query::ServerId),
            ("SHOW GLOBAL VARIABLES LIKE 'server_id'", Query::ServerId),
            ("SET @master_heartbeat_period= 500000000", Query::HeartbeatPeriod(500_000_000)),
            ("SET @master_binlog_checksum= @@global.binlog_checksum", Query::ChecksumAware),
            ("SELECT @master_binlog_checksum", Query::Checksum),
            ("SET @mariadb_slave_capability=4", Query::OtherSetting),
            ("SELECT @@GLOBAL.gtid_domain_id", Query::DomainId),
            ("set  @slave_connect_state = '0-1-2,1-1-1'", Query::ConnectState("0-1-2,1-1-1".into())),
            ("SET @slave_connect_state=''", Query::ConnectState(String::new())),
            ("SET @slave_gtid_strict_mode=1", Query::OtherSetting),
            ("SET @slave_gtid_ignore_duplicates=0", Query::OtherSetting),
            ("SET @slave_until_gtid='0-1-9'", Query::Until("0-1-9".into())),
            ("SET @slave_gtid_until_before_gtids=0", Query::UntilBefore(false)),
            ("SET @slave_gtid_until_before_gtids=1", Query::UntilBefore(true)),
            ("SHOW VARIABLES LIKE 'rpl_semi_sync_master_enabled'", Query::OtherVariable),
            ("SET @rpl_semi_sync_slave= 1", Query::SemiSync),
            ("SELECT binlog_gtid_pos('bin.000002',317661)", Query::GtidPosition("bin.000002".into(), 317_661)),
            ("select  Binlog_Gtid_Pos( 'Bin.000002' , 4 )", Query::GtidPosition("Bin.000002".into(), 4)),
            ("SELECT binlog_gtid_pos('bin.000002',x)", Query::OtherSelect),
            ("KILL 12", Query::Kill),
            ("SET @@session.x=1", Query::Unknown),
            ("DROP TABLE t", Query::Unknown),
            ("", Query::Unknown),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
