//! What the servers and their tools say a log file holds.

use std::collections::BTreeMap;
use std::fs;

use beachmaster::binlog::{EventType, Group};
use beachmaster::gtid::Gtid;
use regex::{Captures, Regex};

use crate::case::{Case, Kind};

/// An event as `SHOW BINLOG EVENTS` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub offset: u64,
    pub event_type: EventType,
    pub server_id: u32,
    pub end_position: u64,
    /// Of a GTID event.
    pub gtid: Option<Gtid>,
    /// Of a GTID_LIST event.
    pub list: Option<Vec<Gtid>>,
}

/// An event as `mariadb-binlog` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    pub server_id: u32,
    pub end_position: u64,
    /// `None` in files without checksums.
    pub checksum: Option<u32>,
    pub gtid: Option<Gtid>,
}

/// The listing of a live server.
pub fn shown(case: &Case, kind: Kind, name: &str) -> Vec<Listed> {
    let text = fs::read_to_string(case.shown(kind, name)).unwrap();
    text.lines().map(|line| listed(line).unwrap_or_else(|| panic!("{name}: {line:?} is no event"))).collect()
}

fn listed(line: &str) -> Option<Listed> {
    let mut fields = line.splitn(6, '\t').skip(1);
    let mut next = || fields.next();
    let (offset, name, server, end, info) = (next()?, next()?, next()?, next()?, next()?);
    let event_type = event_type(name)?;
    Some(Listed {
        offset: offset.parse().ok()?,
        event_type,
        server_id: server.parse().ok()?,
        end_position: end.parse().ok()?,
        gtid: (event_type == EventType::GTID).then(|| gtid_in(info)),
        list: (event_type == EventType::GTID_LIST).then(|| gtids(info)),
    })
}

/// The type `SHOW BINLOG EVENTS` calls so (`Log_event::get_type_str`).
fn event_type(name: &str) -> Option<EventType> {
    /// A block of LOAD DATA, which this project has no use for.
    const APPEND_BLOCK: EventType = EventType(9);
    Some(match name {
        "Query" => EventType::QUERY,
        "Stop" => EventType::STOP,
        "Rotate" => EventType::ROTATE,
        "Intvar" => EventType::INTVAR,
        "Append_block" => APPEND_BLOCK,
        "RAND" => EventType::RAND,
        "User var" => EventType::USER_VAR,
        "Format_desc" => EventType::FORMAT_DESCRIPTION,
        "Xid" => EventType::XID,
        "Begin_load_query" => EventType::BEGIN_LOAD_QUERY,
        "Execute_load_query" => EventType::EXECUTE_LOAD_QUERY,
        "Table_map" => EventType::TABLE_MAP,
        "Write_rows_v1" => EventType::WRITE_ROWS_V1,
        "Update_rows_v1" => EventType::UPDATE_ROWS_V1,
        "Delete_rows_v1" => EventType::DELETE_ROWS_V1,
        "XA_prepare" => EventType::XA_PREPARE,
        "Annotate_rows" => EventType::ANNOTATE_ROWS,
        "Binlog_checkpoint" => EventType::BINLOG_CHECKPOINT,
        "Gtid" => EventType::GTID,
        "Gtid_list" => EventType::GTID_LIST,
        "Start_encryption" => EventType::START_ENCRYPTION,
        "Query_compressed" => EventType::QUERY_COMPRESSED,
        "Write_rows_compressed_v1" => EventType::WRITE_ROWS_COMPRESSED_V1,
        "Update_rows_compressed_v1" => EventType::UPDATE_ROWS_COMPRESSED_V1,
        "Delete_rows_compressed_v1" => EventType::DELETE_ROWS_COMPRESSED_V1,
        _ => return None,
    })
}

/// The id in `BEGIN GTID 0-1-2`, `XA START X'61',X'',1 GTID 0-1-2` or `GTID 0-1-2 START ALTER`.
fn gtid_in(info: &str) -> Gtid {
    let found = Regex::new(r"GTID (\d+-\d+-\d+)").unwrap().captures(info);
    found.unwrap_or_else(|| panic!("{info:?} names no GTID"))[1].parse().unwrap()
}

/// The ids in `[0-1-2,3-1-4]`.
fn gtids(info: &str) -> Vec<Gtid> {
    let inner = info.trim_matches(['[', ']']);
    inner.split(',').filter(|text| !text.is_empty()).map(|text| text.trim().parse().unwrap()).collect()
}

/// The groups of complete events that end at `end`: from each GTID to the next event that stands between groups, without
/// looking at what is inside.
pub fn groups(events: &[Listed], end: u64) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut open = None;
    let end = (end, None, true);
    let marks = events.iter().map(|event| (event.offset, event.gtid, is_between_groups(event.event_type)));
    for (offset, gtid, between) in marks.chain([end]) {
        if gtid.is_some() || between {
            groups.extend(open.take().map(|(gtid, start)| Group { gtid, start, end: offset }));
        }
        open = gtid.map(|gtid| (gtid, offset)).or(open);
    }
    groups
}

/// A transaction of the file before goes on in these events.
pub fn begins_inside(events: &[Listed]) -> bool {
    let first = events.iter().find(|event| !is_between_groups(event.event_type));
    first.is_some_and(|event| event.gtid.is_none())
}

fn is_between_groups(event_type: EventType) -> bool {
    [
        EventType::FORMAT_DESCRIPTION,
        EventType::GTID_LIST,
        EventType::BINLOG_CHECKPOINT,
        EventType::START_ENCRYPTION,
        EventType::ROTATE,
        EventType::STOP,
    ]
    .contains(&event_type)
}

/// The listing of mariadb-binlog, by offset; `None` for encrypted files, which it cannot read without the server.
pub fn printed(case: &Case, kind: Kind, name: &str) -> Option<BTreeMap<u64, Printed>> {
    let text = fs::read(case.text(kind, name)).ok()?;
    let text = String::from_utf8_lossy(&text);
    let at = Regex::new(r"(?m)^# at (\d+)$").unwrap();
    let head = r"(?m)^#\d{6} [ \d]\d:\d\d:\d\d server id (\d+)  end_log_pos (\d+) (?:CRC32 0x([0-9a-f]{8}) )?";
    // The parts of LOAD DATA have their names on the next line.
    let head = Regex::new(&format!(r"{head}(?:$|\t(?:GTID (\d+-\d+-\d+))?)")).unwrap();
    let offsets: Vec<u64> = at.captures_iter(&text).map(|found| found[1].parse().unwrap()).collect();
    let events: Vec<Printed> = head.captures_iter(&text).map(|found| event_printed(&found)).collect();
    assert_eq!(offsets.len(), events.len(), "{name}: a head for each offset");
    Some(offsets.into_iter().zip(events).collect())
}

fn event_printed(found: &Captures<'_>) -> Printed {
    Printed {
        server_id: found[1].parse().unwrap(),
        end_position: found[2].parse().unwrap(),
        checksum: found.get(3).map(|text| u32::from_str_radix(text.as_str(), 16).unwrap()),
        gtid: found.get(4).map(|text| text.as_str().parse().unwrap()),
    }
}
