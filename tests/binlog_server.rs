//! The binlog server feeds real replicas from the files of a real primary that was killed.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::Version;
use testkit::mariadb::MariaDb;
use testkit::tail::{
    self, LIMIT, Served, assert_same_tables, follow, follow_as, follow_from, io_error, load, position, writes,
};

/// All kinds of groups over several files, killed, served to a replica without and one with semi-sync.
fn everything_arrives(options: &[&str], replica_options: &[&str]) {
    let mut primary = MariaDb::start(1, options);
    writes(&primary);
    let expected = primary.sql("SELECT @@gtid_binlog_pos");
    primary.kill();

    let served = Served::copy_of(&primary);
    assert_eq!(served.server.end().position.to_string(), expected);
    let replica = MariaDb::start(2, replica_options);
    let begun = Instant::now();
    follow(&replica, &served);
    replica.wait_for("SELECT @@gtid_slave_pos", &expected, LIMIT);
    println!("{options:?} {replica_options:?}: everything applied after {:?}", begun.elapsed());

    let begun = Instant::now();
    replica.sql("STOP SLAVE");
    // One that waits for its source takes as long as its time limits say: 24 s.
    assert!(begun.elapsed() < Duration::from_secs(10), "STOP SLAVE took {:?}", begun.elapsed());
    assert_eq!(replica.slave_status("Last_IO_Errno"), "0");
    assert_eq!(replica.sql("XA RECOVER FORMAT='SQL'"), "1\t8\t0\t'prepared'");
    primary.boot();
    assert_same_tables(&primary, &replica);
}

#[test]
fn everything_arrives_with_checksums() {
    everything_arrives(&["--binlog-checksum=CRC32"], &[]);
}

#[test]
fn everything_arrives_without_checksums_at_a_semi_sync_replica() {
    everything_arrives(&["--binlog-checksum=NONE"], &["--rpl-semi-sync-slave-enabled=1", "--slave-parallel-threads=4"]);
}

#[test]
fn everything_arrives_after_a_clean_shutdown_and_at_a_replica_that_has_half() {
    let mut primary = MariaDb::start(1, &[]);
    primary.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB");
    load(&primary, 0..300);
    let replica = MariaDb::start(2, &[]);
    replica.sql(&format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='root', MASTER_USE_GTID=slave_pos;
         START SLAVE",
        primary.port
    ));
    let half = position(&primary);
    replica.wait_for("SELECT @@gtid_slave_pos", &half, LIMIT);
    replica.sql("STOP SLAVE; RESET SLAVE ALL");
    load(&primary, 300..400);
    primary.rotate();
    load(&primary, 400..500);
    let expected = position(&primary);
    primary.shut_down();

    let served = Served::copy_of(&primary);
    follow(&replica, &served);
    replica.wait_for("SELECT @@gtid_slave_pos", &expected, LIMIT);
    assert_eq!(replica.sql("SELECT COUNT(*) FROM d.t"), "500");
    // Everything is there: a second start at the very end is no error.
    replica.sql("STOP SLAVE; START SLAVE");
    replica.wait_for(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for master to send%'",
        "1",
        LIMIT,
    );
    assert_eq!(io_error(&replica), (String::from("0"), String::new()));
}

#[test]
fn torn_logs_are_served_to_their_last_complete_group() {
    let mut primary = MariaDb::start(1, &["--sync-binlog=1"]);
    primary.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b VARCHAR(200)) ENGINE=InnoDB");
    let mut ends = Vec::new();
    for row in 0..12 {
        primary.sql(&format!("INSERT INTO d.t VALUES ({row}, REPEAT('x', 100)), ({}, 'y')", row + 1000));
        ends.push((position(&primary), primary.sql("SHOW MASTER STATUS").split('\t').nth(1).unwrap().parse().unwrap()));
    }
    primary.kill();
    let replica = MariaDb::start(2, &[]);
    let (_, whole): &(String, u64) = ends.last().unwrap();
    let mut last = String::new();
    // Shrinking steps meet every kind of event at its head, middle and end; the replica only ever goes forward.
    let mut cuts: Vec<u64> = (0..2048).step_by(37).chain(0..24).collect();
    cuts.sort_unstable_by_key(|cut| std::cmp::Reverse(*cut));
    for cut in cuts {
        let size = whole - cut;
        let Some((expected, end)) = ends.iter().rev().find(|(_, end)| *end <= size) else { continue };
        let served = Served::copy_cut_to(&primary, size);
        let found = served.server.end();
        assert_eq!((found.position.to_string(), found.offset), (expected.clone(), *end), "cut to {size}");
        assert_eq!(found.torn.is_some(), *end != size, "cut to {size}: {:?}", found.torn);
        if *expected != last {
            follow(&replica, &served);
            replica.wait_for("SELECT @@gtid_slave_pos", expected, LIMIT);
            replica.sql("STOP SLAVE");
            let rows = replica.sql("SELECT COUNT(*) FROM d.t WHERE a < 1000");
            assert_eq!(rows, (ends.iter().position(|(gtid, _)| gtid == expected).unwrap() + 1).to_string());
            last.clone_from(expected);
        }
    }
}

/// The same with every version.
macro_rules! with_every_version {
    ($($name:ident),* $(,)?) => {
        mod mariadb_10_11 {
            $(#[test] fn $name() { super::$name(super::Version::V10_11); })*
        }
        mod mariadb_11_8 {
            $(#[test] fn $name() { super::$name(super::Version::V11_8); })*
        }
    };
}

with_every_version!(
    strangers_diverged_and_late_replicas_are_refused,
    places_in_files_that_are_not_there_are_refused,
    a_replica_in_position_mode_goes_on_where_it_was,
    until_a_transaction_and_no_further,
);

fn strangers_diverged_and_late_replicas_are_refused(version: Version) {
    let mut primary = MariaDb::start_version(version, 1, &[]);
    primary.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB");
    load(&primary, 0..10);
    primary.rotate();
    load(&primary, 10..20);
    primary.sql("SET SESSION server_id=9; INSERT INTO d.t VALUES (100)");
    primary.sql("PURGE BINARY LOGS TO 'bin.000002'");
    primary.kill();
    let served = Served::copy_of(&primary);
    let replica = MariaDb::start_version(version, 2, &[]);

    follow_as(&replica, &served, "tail", "wrong");
    replica.wait_for("SELECT 1", "1", LIMIT);
    tail::wait_io_errno(&replica, "1045");
    for (position, text) in [
        ("", "have been purged"),
        ("0-1-5", "have been purged"),
        ("0-1-100", "is not in the master's binlog"),
        ("0-3-15", "probably means that the slave has diverged"),
        ("0-1-23", "probably means that the slave has diverged"),
    ] {
        replica.sql(&format!("STOP SLAVE; RESET MASTER; SET GLOBAL gtid_slave_pos='{position}'"));
        follow(&replica, &served);
        tail::wait_io_errno(&replica, "1236");
        assert!(io_error(&replica).1.contains(text), "{position}: {}", io_error(&replica).1);
    }
    replica.sql("STOP SLAVE; RESET MASTER; SET GLOBAL gtid_slave_pos='0-1-12'");
    replica.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB; RESET MASTER");
    follow(&replica, &served);
    replica.wait_for("SELECT @@gtid_slave_pos", &served.server.end().position.to_string(), LIMIT);
    assert_eq!(replica.sql("SELECT COUNT(*), MAX(a) FROM d.t"), "11\t100");
}

fn places_in_files_that_are_not_there_are_refused(version: Version) {
    let mut primary = MariaDb::start_version(version, 1, &[]);
    primary.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB");
    load(&primary, 0..10);
    primary.rotate();
    load(&primary, 10..20);
    primary.sql("PURGE BINARY LOGS TO 'bin.000002'");
    primary.kill();
    let served = Served::copy_of(&primary);
    let replica = MariaDb::start_version(version, 2, &[]);
    let end = served.server.end().offset;
    for (file, offset, text) in [
        ("bin.000001", 4, "Could not find first log file name in binary log index file"),
        ("bin.000003", 4, "Could not find first log file name in binary log index file"),
        ("bin.000002", end + 1, "whose last complete transaction ends at"),
        ("bin.000002", end - 1, "impossible position: no event begins at"),
    ] {
        replica.sql("STOP SLAVE");
        follow_from(&replica, &served, file, offset);
        tail::wait_io_errno(&replica, "1236");
        assert!(io_error(&replica).1.contains(text), "{file}:{offset}: {}", io_error(&replica).1);
    }
}

/// A replica in position mode has half of two files; the primary dies, and it goes on from where it was.
fn a_replica_in_position_mode_goes_on_where_it_was(version: Version) {
    let mut primary = MariaDb::start_version(version, 1, &[]);
    primary.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB");
    load(&primary, 0..50);
    let replica = MariaDb::start_version(version, 2, &[]);
    replica.sql(&format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='root', MASTER_USE_GTID=no,
         MASTER_LOG_FILE='bin.000001', MASTER_LOG_POS=4; START SLAVE",
        primary.port
    ));
    replica.wait_for("SELECT @@gtid_slave_pos", &position(&primary), LIMIT);
    assert_eq!(replica.sql("SELECT COUNT(*) FROM d.t"), "50");
    replica.sql("STOP SLAVE");
    let place = ("Relay_Master_Log_File", "Exec_Master_Log_Pos");
    let (file, offset) = (replica.slave_status(place.0), replica.slave_status(place.1).parse().unwrap());
    load(&primary, 50..100);
    primary.rotate();
    load(&primary, 100..150);
    let expected = position(&primary);
    let end = primary.sql("SHOW MASTER STATUS").split('\t').nth(1).unwrap().to_owned();
    primary.kill();

    let served = Served::copy_of(&primary);
    follow_from(&replica, &served, &file, offset);
    // Others see a transaction before the SQL thread counts it.
    replica.wait_for("SELECT @@gtid_slave_pos", &expected, LIMIT);
    replica.wait_for("SELECT COUNT(*) FROM d.t", "150", LIMIT);
    // The coordinates are the dead primary's own.
    tail::wait_status(&replica, place.1, &end);
    assert_eq!(replica.slave_status(place.0), "bin.000002");

    // From the first file on, at a replica that has nothing, which then knows its GTID position, too.
    let new = MariaDb::start_version(version, 3, &["--slave-parallel-threads=4"]);
    follow_from(&new, &served, "", 4);
    new.wait_for("SELECT @@gtid_slave_pos", &expected, LIMIT);
    assert_eq!(new.sql("SELECT COUNT(*) FROM d.t"), "150");
}

fn until_a_transaction_and_no_further(version: Version) {
    let mut primary = MariaDb::start_version(version, 1, &[]);
    primary.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB");
    load(&primary, 0..10);
    let until = position(&primary);
    load(&primary, 10..20);
    primary.rotate();
    load(&primary, 20..30);
    let end = position(&primary);
    primary.kill();
    let served = Served::copy_of(&primary);
    let replica = MariaDb::start_version(version, 2, &[]);
    follow(&replica, &served);
    replica.wait_for("SELECT @@gtid_slave_pos", &end, LIMIT);
    let half = MariaDb::start_version(version, 3, &[]);
    tail::change_master(&half, &served);
    half.sql(&format!("START SLAVE UNTIL master_gtid_pos='{until}'"));
    tail::wait_status(&half, "Slave_SQL_Running", "No");
    assert_eq!((half.sql("SELECT @@gtid_slave_pos"), half.sql("SELECT COUNT(*) FROM d.t")), (until, "10".to_owned()));
    assert_eq!(half.slave_status("Last_SQL_Errno"), "0");
}

#[test]
fn silent_strangers_are_dropped_while_a_replica_goes_on_until_the_server_is_stopped() {
    let mut primary = MariaDb::start(1, &[]);
    primary.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB");
    load(&primary, 0..10);
    let expected = position(&primary);
    primary.kill();
    let mut served = Served::copy_of(&primary);
    let replica = MariaDb::start(2, &[]);
    follow(&replica, &served);
    replica.wait_for("SELECT @@gtid_slave_pos", &expected, LIMIT);

    let connect = || TcpStream::connect(("127.0.0.1", served.port)).unwrap();
    // Each says something else than a replica: it may be answered, and is dropped.
    let rubbish = vec![b'x'; 16 << 20];
    let packet = [&b"\xff\xff\xff\x01"[..], &rubbish].concat();
    for words in [&b"GET / HTTP/1.1\r\nHost: db\r\n\r\n"[..], b"\x20\0\0\x01half a packet", &packet] {
        let mut stranger = connect();
        stranger.set_read_timeout(Some(LIMIT)).unwrap();
        // Writing fails when the server has closed already.
        let _ = stranger.write_all(words);
        let end = stranger.read_to_end(&mut Vec::new());
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    assert_eq!(replica.slave_status("Slave_IO_Running"), "Yes");

    let late = MariaDb::start(3, &[]);
    let strangers: Vec<_> = (0..200).map(|_| connect()).collect();
    // They keep nobody out: it does not take until they are dropped.
    follow(&late, &served);
    late.wait_for("SELECT @@gtid_slave_pos", &expected, Duration::from_secs(5));
    for mut stranger in strangers {
        stranger.set_read_timeout(Some(LIMIT)).unwrap();
        let end = stranger.read_to_end(&mut Vec::new());
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    assert_eq!(replica.slave_status("Slave_IO_Running"), "Yes");
    assert_eq!(late.slave_status("Slave_IO_Running"), "Yes");

    served.stop();
    let lost = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for master to send%'";
    replica.wait_for(lost, "0", LIMIT);
    assert!(TcpStream::connect(("127.0.0.1", served.port)).is_err());
}
