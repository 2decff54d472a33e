//! The helper for real servers does what other tests believe it does.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

#[path = "common/mariadb.rs"]
mod mariadb;

use mariadb::MariaDb;

#[test]
fn a_server_starts_answers_dies_and_comes_back_with_its_data() {
    let mut server = MariaDb::start(7, &["--gtid-strict-mode=1"]);
    assert_eq!(server.sql("SELECT @@server_id, @@gtid_strict_mode"), "7\t1");
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
    assert!(server.try_sql("INSERT INTO d.t VALUES (1)").unwrap_err().contains("1062"));
    server.kill();
    assert!(server.try_sql("SELECT 1").is_err());
    server.boot();
    assert_eq!(server.sql("SELECT a FROM d.t"), "1");
    assert!(server.datadir().join("bin.000002").exists());
}
