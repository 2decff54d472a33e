//! The helper for real servers does what other tests believe it does.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used)]

use testkit::Version;
use testkit::mariadb::MariaDb;

#[test]
fn a_server_of_each_version_starts_answers_dies_and_comes_back_with_its_data() {
    for version in Version::ALL {
        lives_and_dies(version);
    }
}

fn lives_and_dies(version: Version) {
    let mut server = MariaDb::start_version(version, 7, &["--gtid-strict-mode=1"]);
    assert_eq!(server.sql("SELECT @@server_id, @@gtid_strict_mode"), "7\t1");
    assert!(server.sql("SELECT VERSION()").starts_with(&format!("{version}.")));
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
    assert!(server.try_sql("INSERT INTO d.t VALUES (1)").unwrap_err().contains("1062"));
    server.kill();
    assert!(server.try_sql("SELECT 1").is_err());
    server.boot();
    assert_eq!(server.sql("SELECT a FROM d.t"), "1");
    assert!(server.datadir().join("bin.000002").exists());
}
