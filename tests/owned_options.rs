//! The table of owned options against a real mariadbd.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use beachmaster::api::cluster::EncryptionAlgorithm::{AesCbc, AesCtr};
use beachmaster::api::owned::{Boot, KeyFile, OTHER_OPTIONS, OWNED, WITH_KEYS, command_line, read_back};
use beachmaster::orders::Ordinal;
use testkit::Version;
use testkit::give_to_server;
use testkit::mariadb::MariaDb;

const DOMAIN: u32 = 7;
/// What the test server decides itself, because it does not run in a pod.
const TEST_SERVER: [&str; 9] = [
    "datadir",
    "innodb_data_home_dir",
    "aria_log_dir_path",
    "socket",
    "pid_file",
    "port",
    "extra_port",
    "bind_address",
    "server_id",
];

#[test]
fn mariadbd_takes_the_command_line_and_shows_what_is_read_back() {
    Version::ALL.into_iter().for_each(takes_the_command_line);
}

fn takes_the_command_line(version: Version) {
    let line = command_line(&Boot::in_pod(Ordinal(0), DOMAIN));
    let here = |option: &&String| {
        !TEST_SERVER.iter().any(|name| option.starts_with(&format!("--{name}=")))
            && !option.starts_with("--defaults-file=")
    };
    let options: Vec<&str> = line.iter().filter(here).map(String::as_str).collect();
    let server = MariaDb::start_version(version, 1, &options);
    let show = |name: &str| {
        server.sql(&format!(
            "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME='{name}'"
        ))
    };
    for (name, expected) in read_back(DOMAIN) {
        assert_eq!(show(name).trim(), expected, "{name}");
    }
    for (name, expected) in [
        ("read_only", "ON"),
        ("event_scheduler", "OFF"),
        ("rpl_semi_sync_master_enabled", "OFF"),
        ("rpl_semi_sync_slave_enabled", "OFF"),
        ("binlog_expire_logs_seconds", "0"),
        ("innodb_data_file_path", "ibdata1:12M:autoextend"),
    ] {
        assert_eq!(show(name).trim(), expected, "{name}");
    }
    assert!(!uses_io_uring(&server), "{version}: its writes would outlive a kill");
}

fn uses_io_uring(server: &MariaDb) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    open.filter_map(|file| fs::read_link(file.unwrap().path()).ok()).any(|to| to.to_string_lossy().contains("io_uring"))
}

/// mariadbd takes every unique beginning of an option's name, so beginnings of owned names are refused, but for those
/// that are options of their own.
#[test]
fn beginnings_of_owned_names_are_no_other_options() {
    let table = || OWNED.iter().chain(WITH_KEYS);
    for version in Version::ALL {
        let mut found = BTreeSet::new();
        for option in options_of_mariadbd(version) {
            let owned = table().any(|owned| owned.name == option || owned.family && option.starts_with(owned.name));
            if !owned && table().any(|owned| owned.name.starts_with(&option)) {
                found.insert(option);
            }
        }
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), OTHER_OPTIONS, "{version}");
    }
}

#[test]
fn mariadbd_takes_the_keys_and_does_not_start_without_them() {
    for (version, algorithm) in Version::ALL.into_iter().flat_map(|version| [(version, AesCbc), (version, AesCtr)]) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("1;{}\n", "5a".repeat(32))).unwrap();
        give_to_server(file.path());
        let keys = KeyFile { path: file.path().display().to_string(), algorithm };
        let options = keys.options();
        let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
        options.push("--encrypt_binlog=ON");
        let mut server = MariaDb::start_version(version, 1, &options);
        server.sql("CREATE DATABASE d");
        assert!(server.sql("SHOW BINLOG EVENTS").contains("Start_encryption"), "{version}");
        let cipher = server.sql("SELECT @@file_key_management_encryption_algorithm");
        assert_eq!(cipher, algorithm.name().to_ascii_lowercase(), "{version}");
        server.shut_down();
        std::fs::remove_file(file.path()).unwrap();
        assert!(!server.try_boot(), "{version} {algorithm:?}");
        assert!(server.log().contains("file-key-management") || server.log().contains("file_key_management"));
    }
}

fn options_of_mariadbd(version: Version) -> BTreeSet<String> {
    let help =
        Command::new(version.program("mariadbd")).args(["--no-defaults", "--verbose", "--help"]).output().unwrap();
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.trim_start().split("--").nth(1));
    let name_of = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').collect::<String>()
    };
    let options: BTreeSet<String> =
        names.map(|text| name_of(text).replace('-', "_")).filter(|name| !name.is_empty()).collect();
    assert!(options.contains("innodb_buffer_pool_size"), "mariadbd --verbose --help has changed its form");
    options
}
