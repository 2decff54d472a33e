//! `beachmaster binlog` over the logs of a real server.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use testkit::mariadb::MariaDb;
use testkit::member::succeeds;
use testkit::tail::{self, LIMIT, copy, copy_logs};

fn beachmaster(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_beachmaster")).arg("binlog").args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A killed server with two files: 7 transactions and a file that was not closed.
fn dead_server() -> MariaDb {
    let mut server = MariaDb::start(1, &["--binlog-format=ROW"]);
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY); INSERT INTO d.t VALUES (1)");
    server.rotate();
    server.sql(
        "INSERT INTO d.t VALUES (2); INSERT INTO d.t VALUES (3); UPDATE d.t SET a = a + 10; CREATE TABLE d.u (a INT)",
    );
    server.kill();
    server
}

fn logs(server: &MariaDb) -> [PathBuf; 2] {
    ["bin.000001", "bin.000002"].map(|name| server.datadir().join(name))
}

/// A running `beachmaster binlog serve`, killed when dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cut(path: &Path, by: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - by).unwrap();
}

#[test]
fn inspect_tells_what_files_hold_and_how_they_end() {
    let server = dead_server();
    let [first, second] = logs(&server);
    let directory = server.datadir();
    let output = beachmaster(&["inspect", "--output", "json", directory.to_str().unwrap()]);
    assert!(output.status.success());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<&Value> = found["files"].as_array().unwrap().iter().map(|file| &file["found"]).collect();
    assert_eq!([&found[0]["transactions"], &found[1]["transactions"]], [3, 4]);
    assert_eq!([&found[0]["last"], &found[1]["last"]], ["0-1-3", "0-1-7"]);
    assert_eq!([&found[0]["end"]["state"], &found[1]["end"]["state"]], ["closed", "open"]);
    assert_eq!(found[1]["startsAfter"][0], "0-1-3");
    assert_eq!(found[1]["events"]["WRITE_ROWS_V1"], 2);

    // A torn end is an end; damage is none.
    let torn = copy(&directory);
    let torn = torn.path().join("bin.000002");
    cut(&torn, 9);
    let output = beachmaster(&["inspect", "--transactions", torn.to_str().unwrap()]);
    assert!(output.status.success());
    assert!(
        text(&output).contains("torn at offset") && text(&output).contains("transaction 0-1-6 ends"),
        "{}",
        text(&output)
    );
    let mut bytes = fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    let damaged = torn.with_file_name("bin.000001");
    fs::write(&damaged, bytes).unwrap();
    let output = beachmaster(&["inspect", damaged.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("DAMAGED at offset"), "{}", text(&output));
    for (content, why) in
        [(&b""[..], "torn"), (b"<!DOCTYPE html><html></html>", "magic number"), (b"\xfebin", "closed")]
    {
        fs::write(&damaged, content).unwrap();
        let output = beachmaster(&["inspect", damaged.to_str().unwrap()]);
        assert!(text(&output).contains(why), "{why}: {}", text(&output));
    }
    let nowhere = second.with_file_name("bin.000009");
    let output = beachmaster(&["inspect", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bin.000009"));
}

#[test]
fn inspect_ends_quietly_when_nobody_reads_on() {
    let server = dead_server();
    let mut command = Command::new(env!("CARGO_BIN_EXE_beachmaster"));
    command.args(["binlog", "inspect", "--events", server.datadir().to_str().unwrap()]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let inspect = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = inspect.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(141), ""));
}

#[test]
fn serve_on_all_addresses_names_none_of_them() {
    let server = dead_server();
    let files = copy(&server.datadir());
    let mut command = Command::new(env!("CARGO_BIN_EXE_beachmaster"));
    command.args(["binlog", "serve", "--listen", "0.0.0.0:0", files.path().to_str().unwrap()]);
    let mut serving = Serving(command.stdout(Stdio::piped()).spawn().unwrap());
    let follow = BufReader::new(serving.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(follow.contains("MASTER_HOST='THIS-HOST'"), "{follow}");
}

#[test]
fn diff_names_the_transactions_that_only_one_side_has() {
    let server = dead_server();
    let shorter = copy(&server.datadir());
    let (a, b) = (server.datadir(), shorter.path().to_owned());
    let diff = |a: &Path, b: &Path| beachmaster(&["diff", a.to_str().unwrap(), b.to_str().unwrap()]);
    assert_eq!((diff(&a, &b).status.code(), text(&diff(&a, &b))), (Some(0), String::new()));
    cut(&b.join("bin.000002"), 1);
    let output = diff(&a, &b);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output), format!("only in {}: 0-1-7 to 0-1-7 (1)\n", a.display()));
    let empty = TempDir::new().unwrap();
    let output = diff(&a, empty.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("name the log files themselves"));
}

#[test]
fn serve_brings_a_real_replica_to_the_end_of_the_logs() {
    let server = dead_server();
    let files = copy(&server.datadir());
    let mut command = Command::new(env!("CARGO_BIN_EXE_beachmaster"));
    command.args(["binlog", "serve", "--listen", "127.0.0.1:0", files.path().to_str().unwrap()]);
    let mut serving = Serving(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(serving.0.stdout.take().unwrap()).lines();
    let follow = lines.next().unwrap().unwrap();
    let wait = lines.next().unwrap().unwrap();
    assert_eq!(wait, "SELECT MASTER_GTID_WAIT('0-1-7');");
    let replica = MariaDb::start(2, &[]);
    replica.sql(&follow);
    replica.wait_for("SELECT @@gtid_slave_pos", "0-1-7", LIMIT);
    assert_eq!(replica.sql("SELECT GROUP_CONCAT(a ORDER BY a) FROM d.t"), "11,12,13");
    // What it received is in its relay logs, unless it has applied and removed them already.
    let relay_logs = fs::read_dir(replica.datadir()).unwrap().map(|entry| entry.unwrap().path());
    let relay_logs = relay_logs.filter(|path| {
        path.file_stem().is_some_and(|stem| stem == "relay") && path.extension().is_some_and(|number| number != "index")
    });
    for relay_log in relay_logs {
        let output = beachmaster(&["inspect", relay_log.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output));
        println!("{}", text(&output));
    }
    assert!(Command::new("kill").args(["-INT", &serving.0.id().to_string()]).status().unwrap().success());
    assert!(succeeds("an interrupted server ends", &mut serving.0));
}

/// A transaction that is spread over several of them is there, too, and a replica can be brought to their end.
#[test]
fn relay_logs_of_a_directory_are_read_and_served_as_binary_logs() {
    let primary = MariaDb::start(1, &[]);
    let mut received = MariaDb::start(
        2,
        &["--relay-log=received", "--max-relay-log-size=4096", "--relay-log-purge=0", "--skip-slave-start"],
    );
    let rows: String = (0..40).map(|row| format!("INSERT INTO d.t VALUES ({row}, REPEAT('x', 500));")).collect();
    primary.sql(&format!(
        "CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b TEXT); BEGIN; {rows} COMMIT; INSERT INTO d.t VALUES (99, '')"
    ));
    received.sql(&format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='root', MASTER_USE_GTID=slave_pos;
         START SLAVE IO_THREAD",
        primary.port
    ));
    tail::wait_status(&received, "Gtid_IO_Pos", "0-1-4");
    received.kill();
    let (relay_logs, binary_logs) = (copy_logs(&received.datadir(), "received"), copy(&primary.datadir()));
    let relay_logs = relay_logs.path().to_str().unwrap();
    let index = fs::read_to_string(received.datadir().join("received.index")).unwrap();
    // By itself the file in which the long transaction begins does not have it.
    let file = |name: &str| text(&beachmaster(&["inspect", received.datadir().join(name).to_str().unwrap()]));
    assert!(index.lines().any(|name| file(name).contains("transaction 0-1-3 has no end")), "{index}");

    let output = beachmaster(&["diff", relay_logs, binary_logs.path().to_str().unwrap()]);
    assert_eq!((output.status.code(), text(&output)), (Some(0), String::new()));
    let output = beachmaster(&["inspect", "--output", "json", relay_logs]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let transactions =
        found["files"].as_array().unwrap().iter().map(|log| log["found"]["transactions"].as_u64().unwrap());
    assert_eq!(transactions.sum::<u64>(), 4, "{found}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_beachmaster"));
    command.args(["binlog", "serve", "--listen", "127.0.0.1:0", relay_logs]);
    let mut serving = Serving(command.stdout(Stdio::piped()).spawn().unwrap());
    let follow = BufReader::new(serving.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let replica = MariaDb::start(3, &[]);
    replica.sql(&follow);
    replica.wait_for("SELECT @@gtid_slave_pos", "0-1-4", LIMIT);
    tail::assert_same_tables(&primary, &replica);
}
