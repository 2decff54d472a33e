//! Relay logs, however they are cut and begun anew, give the source's complete transactions.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::binlog::checksum::Checksum;
use crate::binlog::testing::{LogFile, scan};
use crate::binlog::{EventHeader, Keys, Progress, Scanner};

/// What the source wrote: each transaction's events.
fn groups(checksum: Checksum) -> Vec<Vec<Vec<u8>>> {
    let groups = |file: LogFile| {
        let begin = LogFile::new("", checksum).bytes.len();
        let mut rest = &file.bytes[begin..];
        let mut events = Vec::new();
        while let Ok(header) = EventHeader::read(rest) {
            let (event, later) = rest.split_at(usize::try_from(header.length).unwrap());
            events.push(event.to_vec());
            rest = later;
        }
        events
    };
    let new = || LogFile::new("", checksum);
    vec![
        groups(new().transaction("0-1-11", 40)),
        groups(new().statement("0-1-12")),
        groups(new().committed("7-1-3")),
        groups(new().transaction("0-1-13", 300)),
        groups(new().transaction("7-1-4", 9)),
    ]
}

fn splice(files: &[LogFile]) -> Result<Vec<Vec<u8>>, SpliceError> {
    let mut splicer = Splicer::default();
    for file in files {
        let mut scanner = Scanner::new(file.bytes.len() as u64, &Keys::missing(""));
        let mut input = file.bytes.as_slice();
        while let Progress::Event(event) = scanner.advance(&mut input).unwrap() {
            splicer.event(&event)?;
        }
        splicer.next_file();
    }
    let bytes = |part: &Part| {
        let begin = usize::try_from(part.offset).unwrap();
        files[part.file].bytes[begin..begin + usize::try_from(part.length).unwrap()].to_vec()
    };
    let logs = splicer.finish()?;
    Ok(logs.into_iter().map(|log| [log.head, log.parts.iter().flat_map(bytes).collect()].concat()).collect())
}

/// What happens before an event is received.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    /// `max_relay_log_size` is reached.
    NextFile,
    Reconnect,
    Crash,
}

fn befores() -> impl Strategy<Value = Vec<Before>> {
    let before = prop_oneof![
        6 => Just(Before::Nothing), 2 => Just(Before::NextFile), 1 => Just(Before::Reconnect), 1 => Just(Before::Crash),
    ];
    prop::collection::vec(before, 60)
}

/// Writes relay logs as a replica does to which these things happen; the last `missing` events never come. Also in which file
/// each transaction begins, for the last time.
fn received(checksum: Checksum, befores: &[Before], missing: usize) -> (Vec<LogFile>, Vec<usize>) {
    let source = "bin.000007";
    let new = || LogFile::relay(source, checksum);
    let all: usize = groups(checksum).iter().map(Vec::len).sum();
    let (mut done, mut files, mut file, mut begins) = (0, Vec::new(), new(), Vec::new());
    let mut befores = befores.iter();
    for group in groups(checksum) {
        let (mut event, mut begin) = (0, files.len());
        while event < group.len() && done + event + missing < all {
            match befores.next().unwrap_or(&Before::Nothing) {
                Before::Nothing => {}
                Before::NextFile => {
                    files.push(std::mem::replace(&mut file, LogFile::relay_by_size(checksum)).continued());
                }
                // The source begins with the transaction again; the replica skips what it has.
                Before::Reconnect => file = file.connected(source, checksum),
                // The replica does not know any more that it has part of it.
                Before::Crash => {
                    files.push(std::mem::replace(&mut file, new()));
                    event = 0;
                }
            }
            if event == 0 {
                begin = files.len();
            }
            file = file.copied(&group[event]);
            event += 1;
        }
        done += group.len();
        begins.push(begin);
    }
    files.push(file);
    (files, begins)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_complete_transaction_is_there_once(befores in befores(), missing in 0_usize..14, crc: bool) {
        let checksum = if crc { Checksum::Crc32 } else { Checksum::None };
        let mut end = 0;
        let all: usize = groups(checksum).iter().map(Vec::len).sum();
        let gtids = ["0-1-11", "0-1-12", "7-1-3", "0-1-13", "7-1-4"];
        let complete = groups(checksum).iter().filter(|group| { end += group.len(); end + missing <= all }).count();
        let logs = splice(&received(checksum, &befores, missing).0).unwrap();
        let found: Vec<_> = logs.iter().map(|log| scan(log, 100).unwrap().unwrap()).collect();
        for (index, gtid) in gtids.iter().enumerate() {
            let times = found.iter().filter(|(_, scan)| scan.contains(gtid.parse().unwrap())).count();
            prop_assert_eq!(times, usize::from(index < complete), "{}", gtid);
        }
        for (head, scan) in &found {
            prop_assert!(scan.torn.is_none());
            prop_assert_eq!(head.format.checksum, checksum);
        }
        for pair in found.windows(2) {
            prop_assert!(pair[1].0.start().covers(&pair[0].1.position), "each log begins where the one before ends");
        }
        // Where the relay logs begin is told of each domain that they have.
        let domains = gtids[..complete].iter().map(|gtid| &gtid[..1]).collect::<std::collections::BTreeSet<_>>();
        let first = found.first().map(|(head, _)| head.start().to_string()).unwrap_or_default();
        let expected: Vec<_> = domains.into_iter().map(|domain| if domain == "0" { "0-0-10" } else { "7-0-2" }).collect();
        prop_assert_eq!(first, expected.join(","));
    }

    #[test]
    fn behind_purged_files_every_transaction_that_begins_there_is_there_once(
        befores in befores(), missing in 0_usize..14, crc: bool, purged in any::<prop::sample::Index>(),
    ) {
        let checksum = if crc { Checksum::Crc32 } else { Checksum::None };
        let mut end = 0;
        let all: usize = groups(checksum).iter().map(Vec::len).sum();
        let (files, begins) = received(checksum, &befores, missing);
        let purged = purged.index(files.len());
        let logs = splice(&files[purged..]).unwrap();
        let found: Vec<_> = logs.iter().map(|log| scan(log, 100).unwrap().unwrap()).collect();
        for ((gtid, begin), group) in ["0-1-11", "0-1-12", "7-1-3", "0-1-13", "7-1-4"].iter().zip(begins).zip(groups(checksum)) {
            end += group.len();
            let times = found.iter().filter(|(_, scan)| scan.contains(gtid.parse().unwrap())).count();
            prop_assert_eq!(times, usize::from(end + missing <= all && begin >= purged), "{}", gtid);
        }
        for pair in found.windows(2) {
            prop_assert!(pair[1].0.start().covers(&pair[0].1.position), "each log begins where the one before ends");
        }
    }
}

#[test]
fn a_source_that_nothing_names_gets_a_name_until_it_is_named() {
    let checksum = Checksum::Crc32;
    let [first, second, third, ..] = &groups(checksum)[..] else { panic!() };
    let file = LogFile::relay_by_size(checksum).copied(&first.concat()).copied(&second.concat());
    let file = file.connected("bin.000008", checksum).copied(&third.concat());
    let mut splicer = Splicer::default();
    let mut scanner = Scanner::new(file.bytes.len() as u64, &Keys::missing(""));
    let mut input = file.bytes.as_slice();
    while let Progress::Event(event) = scanner.advance(&mut input).unwrap() {
        splicer.event(&event).unwrap();
    }
    let names: Vec<_> = splicer.finish().unwrap().iter().map(|log| log.name.to_string()).collect();
    assert_eq!(names, ["source.000001", "bin.000008"]);
    let logs = splice(&[file]).unwrap();
    let starts: Vec<_> = logs.iter().map(|log| scan(log, 64).unwrap().unwrap().0.start().to_string()).collect();
    assert_eq!(starts, ["0-0-10,7-0-2", "0-1-12,7-0-2"]);
    let unread = LogFile::relay_of_nothing().copied(&first.concat());
    assert!(matches!(splice(&[unread]), Err(SpliceError::NoSource(_))));
}

#[test]
fn a_transaction_whose_beginning_was_purged_is_left_out() {
    let checksum = Checksum::Crc32;
    let [first, second, ..] = &groups(checksum)[..] else { panic!() };
    let file = LogFile::relay("bin.000001", checksum).copied(&first[1..].concat()).copied(&second.concat());
    let logs = splice(&[file]).unwrap();
    let (head, scan) = scan(&logs[0], 64).unwrap().unwrap();
    assert_eq!((head.start().to_string(), scan.position.to_string()), ("0-0-11".to_owned(), "0-1-12".to_owned()));
}

#[test]
fn what_is_no_history_of_one_source_is_refused() {
    let checksum = Checksum::None;
    let all = groups(checksum);
    let relay = |name: &str| LogFile::relay(name, checksum);
    let again = relay("bin.000001").copied(&all[1].concat()).copied(&all[0].concat());
    assert!(matches!(splice(&[again]), Err(SpliceError::NotRising { .. })));
    let named = relay("../../etc/passwd").copied(&all[0].concat());
    assert!(matches!(splice(&[named]), Err(SpliceError::Name(_))));
    assert_eq!(splice(&[relay("bin.000001")]), Ok(vec![]), "nothing was received");
}
