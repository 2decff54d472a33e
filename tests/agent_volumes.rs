//! Agents whose volume is gone, is not theirs or cannot be read.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use beachmaster::orders::{Mariadbd, Order, Ordinal, Reason, Volume};

use testkit::Version;
use testkit::disk::Disk;
use testkit::member::{LIMIT, Member, Setup, until};

/// A pod deleted by force goes on without its volume, which has moved to its successor: it must not become primary.
#[test]
fn without_its_volume_a_member_obeys_nothing() {
    let disk = Disk::mount();
    let member = Member::start_on(&disk.path(), 0);
    member.init();
    disk.take_away();
    let refused = member.stream().refuse(
        2,
        1,
        Order::Promote { required: "".parse().unwrap(), server_id: 0x21, semi_sync: true },
    );
    assert_eq!(refused.reason, Reason::Volume, "{refused:?}");
    assert_eq!(member.sql("SELECT @@read_only, @@server_id"), "1\t2147483649");
}

/// A pod was deleted by force, and its successor starts on the same node while the old agent still lives.
#[test]
fn a_second_agent_waits_until_the_first_one_has_ended() {
    let mut member = Member::start(0);
    member.init();
    let mut first = member.start_another_agent();
    // The first one answers until the second has taken its socket over.
    let state = member.wait_for("the second one answers", |state| matches!(state.volume, Volume::Unusable { .. }));
    let Volume::Unusable { message } = &state.volume else { panic!("{state:?}") };
    assert!(message.contains("another agent still uses the volume"), "{message}");
    assert!(matches!(state.mariadbd, Mariadbd::Unknown { .. }), "{state:?}");
    let record = || fs::read(member.path("volume/beachmaster/record")).unwrap();
    let before = record();
    assert_eq!(member.stream().refuse(2, 1, Order::Start).reason, Reason::Volume);
    assert_eq!(record(), before, "nothing was written");

    first.kill().unwrap();
    first.wait().unwrap();
    member.wait_until_it_answers();
    member.stream().obey(2, 2, Order::Start);
    assert_eq!(member.stream().refuse(1, 9, Order::Start).reason, Reason::StaleToken);
}

#[test]
fn volumes_that_are_not_ours_are_left_alone() {
    Version::ALL.into_iter().for_each(left_alone);
}

fn left_alone(version: Version) {
    let mut member = Member::start_like(Setup::plain(version), 4);
    let mut stream = member.stream();
    assert_eq!(stream.state.volume, Volume::Blank);
    assert_eq!(stream.refuse(1, 1, Order::Start).reason, Reason::Volume);
    let theirs = beachmaster::orders::Identity { ordinal: Ordinal(3), ..member.identity() };
    assert_eq!(stream.refuse(1, 2, Order::Init { identity: theirs }).reason, Reason::Unsupported);

    fs::write(member.path("bootstrap"), "app-password\n").unwrap();
    fs::write(member.path("root"), "root-password\n").unwrap();
    member.kill_agent();
    // A crash in the middle of an earlier try.
    fs::create_dir(member.path("volume/data.init")).unwrap();
    fs::write(member.path("volume/data.init/ibdata1"), "half").unwrap();
    member.hand_over();
    member.start_agent();
    let order = || Order::Init { identity: member.identity() };
    let mut stream = member.stream();
    stream.obey(1, 3, order());
    stream.obey(1, 4, order());
    assert_eq!(http(member.http_port, "/readyz").0, "200");
    let client = |user: &str, password: &str, statement: &str| {
        let mut client = std::process::Command::new(version.program("mariadb"));
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--host=127.0.0.1", "--execute", statement]);
        client.args([format!("--port={}", member.port), format!("--user={user}"), format!("--password={password}")]);
        let output = client.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // On a slow disk some accounts come a few seconds later.
    let known = "SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'beachmaster%'";
    until("the accounts are there", || member.sql(known) == "10");
    assert_eq!(client("app", "app-password", "SHOW DATABASES LIKE 'shop'"), (true, "shop".to_owned()));
    assert_eq!(
        client("root", "root-password", "SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'beachmaster%'"),
        (true, "10".to_owned())
    );
    assert!(client("beachmaster_probe", "secretprobe", "SHOW ALL SLAVES STATUS; SHOW GLOBAL STATUS LIKE 'Rpl%'").0);
    assert!(!client("beachmaster_probe", "wrong", "SELECT 1").0);
    assert_eq!(member.sql("SELECT @@gtid_binlog_pos, @@read_only, @@server_id"), "\t1\t2147483653".trim());

    let mut foreign = stream.ping();
    assert!(matches!(&mut foreign.volume, Volume::Recorded { record } if record.identity == member.identity()));
    member.stream().obey(1, 5, Order::Fence);
    assert_eq!(http(member.http_port, "/readyz").0, "503");
    assert_eq!(member.stream().refuse(1, 6, Order::Freeze).reason, Reason::NotRunning);

    // The same volume in another member's pod.
    member.kill_agent();
    member.ordinal = 5;
    member.start_agent();
    let refused = member.stream().refuse(1, 7, Order::Start);
    assert!(refused.reason == Reason::Volume && refused.message.contains("-4, not to"), "{refused:?}");

    // A record nobody can read.
    member.kill_agent();
    member.ordinal = 4;
    let record = member.path("volume/beachmaster/record");
    let damaged = vec![0x55; fs::read(&record).unwrap().len()];
    fs::write(&record, &damaged).unwrap();
    member.start_agent();
    let Volume::Unusable { message } = member.state().volume else { panic!() };
    assert!(message.contains("never overwritten"), "{message}");
    assert_eq!(member.stream().refuse(9, 9, Order::Init { identity: member.identity() }).reason, Reason::Volume);
    assert_eq!(fs::read(&record).unwrap(), damaged);
}

fn http(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let code = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    (code, answer)
}
