use super::*;
use crate::binlog::Checksum;
use crate::binlog::testing::LogFile;
use tempfile::TempDir;

struct AcceptedOrder {
    home: TempDir,
    logs: RelayLogs,
}

impl AcceptedOrder {
    fn new(names: &[&str]) -> Self {
        let home = TempDir::new().unwrap();
        let logs = RelayLogs::new(home.path().join("data"), home.path().join("relay"), Keys::missing(""));
        fs::create_dir(&logs.data_dir).unwrap();
        names.iter().for_each(|name| fs::write(logs.data_dir.join(name), name).unwrap());
        Self { home, logs }
    }

    fn kept(&self) -> Vec<String> {
        let folders = entries(&self.logs.kept).unwrap().into_iter();
        let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn logged(text: &str) -> Vec<Gtid> {
    text.split(',').map(|gtid| gtid.parse().unwrap()).collect()
}

fn at(text: &str) -> GtidPosition {
    text.parse().unwrap()
}

#[test]
fn links_survive_the_removal_of_the_files() {
    let case = AcceptedOrder::new(&["relay.000001", "relay.000002", "relay.index", "relay-log.info", "ibdata1"]);
    for _ in 0..2 {
        case.logs.keep(Incarnation(3), None).unwrap();
    }
    fs::remove_dir_all(&case.logs.data_dir).unwrap();
    let folder = case.home.path().join("relay/3");
    assert_eq!(fs::read_to_string(folder.join("relay.000002")).unwrap(), "relay.000002");
    assert_eq!(fs::read_to_string(folder.join("relay.index")).unwrap(), "./relay.000001\n./relay.000002\n");
    assert_eq!(entries(&folder).unwrap().len(), 3);
}

#[test]
fn names_used_again_do_not_hide_older_files() {
    let case = AcceptedOrder::new(&["relay.000001"]);
    case.logs.keep(Incarnation(3), None).unwrap();
    fs::write(case.logs.data_dir.join("new"), "second life").unwrap();
    fs::rename(case.logs.data_dir.join("new"), case.logs.data_dir.join("relay.000001")).unwrap();
    case.logs.keep(Incarnation(3), None).unwrap();
    assert_eq!(case.kept(), ["3", "3-2"]);
    let content = |folder: &str| fs::read_to_string(case.logs.kept.join(folder).join("relay.000001")).unwrap();
    assert_eq!((content("3").as_str(), content("3-2").as_str()), ("relay.000001", "second life"));
    let folders = case.logs.folders_since(Incarnation(3)).unwrap();
    assert_eq!(folders, [case.logs.kept.join("3"), case.logs.kept.join("3-2")]);
    assert!(case.logs.folders_since(Incarnation(4)).unwrap().is_empty());
}

#[test]
fn relay_logs_with_a_gap_between_them_are_kept_apart() {
    let case = AcceptedOrder::new(&["relay.000003", "relay.000004"]);
    case.logs.keep(Incarnation(1), None).unwrap();
    let change = |gone: &str, new: &str| {
        fs::remove_file(case.logs.data_dir.join(gone)).unwrap();
        fs::write(case.logs.data_dir.join(new), new).unwrap();
        case.logs.keep(Incarnation(1), None).unwrap();
    };
    change("relay.000003", "relay.000005");
    let index = |folder: &str| fs::read_to_string(case.logs.kept.join(folder).join(INDEX)).unwrap();
    assert_eq!(index("1"), "./relay.000003\n./relay.000004\n./relay.000005\n");
    fs::remove_file(case.logs.data_dir.join("relay.000004")).unwrap();
    change("relay.000005", "relay.000001");
    assert_eq!((case.kept().len(), index("1-2").as_str()), (2, "./relay.000001\n"), "after CHANGE MASTER");
    fs::write(case.logs.data_dir.join("relay.1000000"), "").unwrap();
    change("relay.000001", "relay.999999");
    assert_eq!(index("1-3"), "./relay.999999\n./relay.1000000\n");
}

#[test]
fn only_what_is_known_to_be_covered_is_removed() {
    let case = AcceptedOrder::new(&["relay.000001"]);
    case.logs.keep(Incarnation(1), Some(&at("0-1-10"))).unwrap();
    case.logs.keep(Incarnation(2), None).unwrap();
    case.logs.forget(&logged("0-1-9")).unwrap();
    assert_eq!(case.kept(), ["1", "2"]);
    case.logs.forget(&logged("0-1-10")).unwrap();
    assert_eq!(case.kept(), ["2"], "what 2 holds is not known");
    case.logs.keep(Incarnation(2), Some(&at("0-1-11"))).unwrap();
    case.logs.keep(Incarnation(2), None).unwrap();
    case.logs.forget(&logged("0-1-99")).unwrap();
    assert_eq!(case.kept(), ["2"], "it may have received more since");
}

#[test]
fn a_text_that_was_cut_off_says_nothing() {
    let case = AcceptedOrder::new(&["relay.000001"]);
    case.logs.keep(Incarnation(1), Some(&at("0-1-10"))).unwrap();
    let folder = case.logs.kept.join("1");
    assert!(RelayLogs::is_covered(&folder, &at("0-1-10")));
    for cut_off in ["", "0-1-1"] {
        fs::write(folder.join(RECEIVED), cut_off).unwrap();
        assert!(!RelayLogs::is_covered(&folder, &at("0-1-99")), "{cut_off}");
        case.logs.forget(&logged("0-1-99")).unwrap();
        assert_eq!(case.kept(), ["1"], "{cut_off}");
    }
}

#[test]
fn nothing_is_removed_while_it_is_read() {
    let case = AcceptedOrder::new(&["relay.000001"]);
    case.logs.keep(Incarnation(1), Some(&at("0-1-10"))).unwrap();
    let reading = [case.logs.read(), case.logs.clone().read()];
    for reading in reading {
        case.logs.forget(&logged("0-1-10")).unwrap();
        assert_eq!(case.kept(), ["1"]);
        drop(reading);
    }
    case.logs.forget(&logged("0-1-10")).unwrap();
    assert!(case.kept().is_empty());
}

#[test]
fn a_number_that_is_free_again_is_not_that_of_the_newest() {
    let case = AcceptedOrder::new(&["relay.000001"]);
    let begin_again = || {
        fs::write(case.logs.data_dir.join("new"), "again").unwrap();
        fs::rename(case.logs.data_dir.join("new"), case.logs.data_dir.join("relay.000001")).unwrap();
    };
    case.logs.keep(Incarnation(1), Some(&at("0-1-10"))).unwrap();
    begin_again();
    case.logs.keep(Incarnation(1), None).unwrap();
    case.logs.forget(&logged("0-1-10")).unwrap();
    assert_eq!(case.kept(), ["1-2"]);
    begin_again();
    case.logs.keep(Incarnation(1), None).unwrap();
    assert_eq!(case.kept(), ["1-2", "1-3"]);
}

#[test]
fn files_that_are_no_relay_logs_are_never_known_and_never_removed() {
    let case = AcceptedOrder::new(&["relay.000001"]);
    case.logs.keep(Incarnation(1), None).unwrap();
    case.logs.measure(Incarnation(2)).unwrap();
    case.logs.forget(&logged("0-1-99")).unwrap();
    assert_eq!(case.kept(), ["1"]);
}

#[test]
fn a_member_that_never_replicated_keeps_nothing() {
    let case = AcceptedOrder::new(&["ibdata1"]);
    case.logs.keep(Incarnation(1), None).unwrap();
    assert!(case.kept().is_empty());
}

#[test]
fn what_the_sql_thread_left_behind_is_no_loss() {
    let case = AcceptedOrder::new(&[]);
    let log = LogFile::relay("bin.000001", Checksum::Crc32).committed("0-1-10").committed("0-1-11");
    fs::write(case.logs.data_dir.join("relay.000002"), &log.bytes).unwrap();
    case.logs.keep(Incarnation(1), None).unwrap();
    assert!(case.logs.hold_more(Incarnation(1), &at("0-1-99")).unwrap(), "it is still written to");
    fs::remove_file(case.logs.data_dir.join("relay.000002")).unwrap();
    fs::write(case.logs.data_dir.join("relay.000003"), "the next one").unwrap();
    case.logs.keep(Incarnation(1), Some(&at("0-1-11"))).unwrap();
    assert_eq!(case.kept(), ["1", "1-2"]);
    assert!(!case.logs.hold_more(Incarnation(1), &at("0-1-11")).unwrap());
    assert!(case.logs.hold_more(Incarnation(1), &at("0-1-10")).unwrap());
}

#[test]
fn what_is_still_written_to_or_known_already_is_not_written_over() {
    let case = AcceptedOrder::new(&[]);
    let log = LogFile::relay("bin.000001", Checksum::Crc32).committed("0-1-10");
    fs::write(case.logs.data_dir.join("relay.000002"), &log.bytes).unwrap();
    case.logs.keep(Incarnation(1), None).unwrap();
    let folder = case.logs.kept.join("1");
    case.logs.read_received(&folder, false).unwrap();
    assert_eq!(received_of(&folder), None, "its first link came after it was listed");
    case.logs.keep(Incarnation(1), Some(&at("0-1-11"))).unwrap();
    case.logs.read_received(&folder, true).unwrap();
    assert_eq!(received_of(&folder), Some(at("0-1-11")), "it was read before that was known");
}
