//! Every file of the corpus, read and compared with what the servers say of it, event by event.

use std::fs;
use std::ops::AddAssign;

use beachmaster::binlog::{
    End, Event, EventBody, FileScanner, Group, HEADER_LEN, Inspection, Inspector, Progress, Scanner,
};
use beachmaster::gtid::{Gtid, GtidPosition};

use crate::case::{Case, Kind};
use crate::listing::{self, Listed};

/// What was compared.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub files: usize,
    pub events: usize,
    pub transactions: usize,
    /// Checksums compared with those mariadb-binlog prints.
    pub checksums: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.files += more.files;
        self.events += more.events;
        self.transactions += more.transactions;
        self.checksums += more.checksums;
    }
}

/// Compares all files of a case, and the position at the end of its binary logs.
pub fn compare(case: &Case) -> Counts {
    let mut counts = Counts::default();
    for kind in Kind::ALL {
        let names = case.names(kind);
        let mut position = GtidPosition::empty();
        for (number, name) in names.iter().enumerate() {
            let next = names.get(number + 1).map(|next| listing::shown(case, kind, next));
            counts += LogFile::read(case, kind, name, next.as_deref()).compare(&mut position);
        }
        assert_eq!(position, case.position(), "{} {}: {kind:?}", case.version, case.variant.name);
    }
    counts
}

/// One file and what is known of it.
struct LogFile<'a> {
    case: &'a Case,
    kind: Kind,
    name: &'a str,
    /// The file that was in use at the end.
    is_last: bool,
    /// A transaction begins in it and goes on in the next file: a relay log is rotated at any event.
    is_left_open: bool,
    bytes: Vec<u8>,
    listed: Vec<Listed>,
}

impl<'a> LogFile<'a> {
    fn read(case: &'a Case, kind: Kind, name: &'a str, next: Option<&[Listed]>) -> Self {
        let bytes = fs::read(case.logs(kind).join(name)).unwrap();
        let listed = listing::shown(case, kind, name);
        let is_left_open = next.is_some_and(listing::begins_inside);
        assert!(!is_left_open || kind == Kind::Relay, "{name}: a binary log keeps transactions together");
        Self { case, kind, name, is_last: next.is_none(), is_left_open, bytes, listed }
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Only a part of some transaction is in it.
    fn has_parts(&self) -> bool {
        self.is_left_open || listing::begins_inside(&self.listed)
    }

    fn told(&self) -> String {
        format!("{} {} {}", self.case.version, self.case.variant.name, self.name)
    }

    fn compare(&self, position: &mut GtidPosition) -> Counts {
        let events = self.scan(1 << 20);
        if self.size() < 100_000 {
            assert_eq!(self.scan(61), events, "{}: in small pieces", self.told());
        }
        self.compare_events(&events);
        // What a server writes while it shuts down it can list no more.
        let listed_end = events.get(self.listed.len()).map_or(self.size(), |stop| stop.offset);
        let groups = listing::groups(&self.listed, listed_end);
        let whole = if self.is_left_open { groups.split_last().map_or(&[][..], |(_, whole)| whole) } else { &groups };
        self.compare_inspection(&events, whole);
        if self.kind == Kind::Binlog {
            self.compare_file_scan(&groups);
        }
        groups.iter().for_each(|group| position.set(group.gtid));
        let checksums = self.compare_printed(&events);
        Counts { files: 1, events: events.len(), transactions: groups.len(), checksums }
    }

    fn scan(&self, chunk: usize) -> Vec<Event> {
        let mut scanner = Scanner::new(self.size(), &self.case.keys());
        let mut events = Vec::new();
        for piece in std::iter::once(&[][..]).chain(self.bytes.chunks(chunk)) {
            let mut input = piece;
            loop {
                match scanner.advance(&mut input).unwrap_or_else(|error| panic!("{}: {error}", self.told())) {
                    Progress::Event(event) => events.push(event),
                    Progress::NeedMore => break,
                    Progress::End(torn) => {
                        assert_eq!(torn, None, "{}", self.told());
                        return events;
                    }
                }
            }
        }
        panic!("{}: the scanner wants more than the file", self.told());
    }

    /// Type, offset, length, server and end position, GTIDs and GTID lists, against the live server's listing.
    fn compare_events(&self, events: &[Event]) {
        assert!(!self.listed.is_empty(), "{}: the server lists nothing", self.told());
        let stop = events.len() - self.listed.len();
        assert!(stop == 0 || (stop == 1 && self.is_last && self.case.variant.stopped), "{}: {stop} more", self.told());
        let ends = self.listed.iter().skip(1).map(|listed| listed.offset);
        let ends = ends.chain((stop == 0).then_some(self.size()));
        for ((event, listed), end) in events.iter().zip(&self.listed).zip(ends.map(Some).chain([None])) {
            let told = format!("{} at {}", self.told(), listed.offset);
            assert_eq!(event.offset, listed.offset, "{told}");
            assert_eq!(event.header.event_type, listed.event_type, "{told}");
            assert_eq!(event.header.server_id, listed.server_id, "{told}");
            assert_eq!(u64::from(event.header.end_position), listed.end_position, "{told}");
            assert!(end.is_none_or(|end| event.end() == end), "{told}: ends at {}, not {end:?}", event.end());
            assert_eq!(gtid_of(event), listed.gtid, "{told}");
            assert_eq!(list_of(event).map(by_domain), listed.list.as_deref().map(by_domain), "{told}");
        }
        if stop == 1 {
            assert_eq!(events.last().map(|event| &event.body), Some(&EventBody::Stop), "{}", self.told());
        }
    }

    /// The same events by mariadb-binlog, whose end positions are made up where the file has none.
    fn compare_printed(&self, events: &[Event]) -> usize {
        // mariadb-binlog keeps back the heads of a statement's rows until it has seen its end.
        if self.has_parts() {
            return 0;
        }
        let Some(printed) = listing::printed(self.case, self.kind, self.name) else { return 0 };
        assert_eq!(printed.len(), events.len(), "{}", self.told());
        let mut checksums = 0;
        for event in events {
            let told = format!("{} at {}", self.told(), event.offset);
            let printed = printed.get(&event.offset).unwrap_or_else(|| panic!("{told}: not printed"));
            assert_eq!(event.header.server_id, printed.server_id, "{told}");
            assert_eq!(gtid_of(event), printed.gtid, "{told}");
            let end = u64::from(event.header.end_position);
            assert!(printed.end_position == end || end == 0, "{told}: ends at {end}, not {}", printed.end_position);
            if let Some(checksum) = printed.checksum {
                assert_eq!(self.stored_checksum(event), checksum, "{told}");
                checksums += 1;
            }
        }
        checksums
    }

    fn stored_checksum(&self, event: &Event) -> u32 {
        let end = usize::try_from(event.end()).unwrap();
        assert!(u64::from(event.header.length) >= HEADER_LEN as u64 + 4);
        u32::from_le_bytes(self.bytes[end - 4..end].try_into().unwrap())
    }

    fn compare_inspection(&self, events: &[Event], expected: &[Group]) {
        let mut inspector = Inspector::new(self.size(), &self.case.keys());
        let (mut shown, mut groups) = (0, Vec::new());
        for piece in std::iter::once(&[][..]).chain(self.bytes.chunks(100_003)) {
            inspector.feed(piece, |_, group| {
                shown += 1;
                groups.extend(group);
            });
        }
        let (found, set) = inspector.finish();
        assert_eq!((shown, &groups[..]), (events.len(), expected), "{}", self.told());
        assert_eq!(found.notes.is_empty(), !self.has_parts(), "{}: {:?}", self.told(), found.notes);
        assert_eq!(found.end, self.expected_end(), "{}", self.told());
        assert!(expected.iter().all(|group| set.contains(group.gtid)), "{}", self.told());
        self.compare_counts(&found, expected);
    }

    fn expected_end(&self) -> End {
        if self.is_last && !self.case.variant.stopped { End::Open } else { End::Closed }
    }

    fn compare_counts(&self, found: &Inspection, groups: &[Group]) {
        assert_eq!(found.transactions, groups.len() as u64, "{}", self.told());
        assert_eq!(found.last, groups.last().map(|group| group.gtid), "{}", self.told());
        let version = format!("{}.", self.case.version);
        assert!(found.server_version.as_ref().is_some_and(|text| text.starts_with(&version)), "{}", self.told());
        let counted = found.ranges.iter().map(|range| range.last - range.first + 1).sum::<u64>();
        assert_eq!(counted, groups.len() as u64, "{}", self.told());
    }

    fn compare_file_scan(&self, groups: &[Group]) {
        let mut scanner = FileScanner::new(self.size(), &self.case.keys());
        for piece in std::iter::once(&[][..]).chain(self.bytes.chunks(4099)) {
            scanner.feed(piece).unwrap_or_else(|error| panic!("{}: {error}", self.told()));
        }
        let (head, scan) = scanner.finish().unwrap();
        let list = self.listed.iter().find_map(|listed| listed.list.clone()).unwrap();
        assert_eq!(by_domain(&head.gtid_list), by_domain(&list), "{}", self.told());
        assert_eq!(scan.torn, None, "{}", self.told());
        assert_eq!(scan.end, groups.last().map_or(head.end, |group| group.end), "{}", self.told());
        let mut position = head.start();
        groups.iter().for_each(|group| position.set(group.gtid));
        assert_eq!(scan.position, position, "{}", self.told());
        assert!(groups.iter().all(|group| scan.contains(group.gtid)), "{}", self.told());
    }
}

fn gtid_of(event: &Event) -> Option<Gtid> {
    match &event.body {
        EventBody::Gtid(gtid) => Some(gtid.gtid),
        _ => None,
    }
}

fn list_of(event: &Event) -> Option<&[Gtid]> {
    match &event.body {
        EventBody::GtidList(list) => Some(list),
        _ => None,
    }
}

/// The file has the domains in any order; within one the server that wrote last is last.
fn by_domain(list: &[Gtid]) -> Vec<Gtid> {
    let mut list = list.to_vec();
    list.sort_by_key(|gtid| gtid.domain);
    list
}
