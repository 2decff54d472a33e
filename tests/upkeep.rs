//! What an agent looks after besides roles, with real servers: settings, events, binary logs, positions that are not its own.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use beachmaster::gtid::GtidPosition;
use beachmaster::orders::{Answer, EventName, Frozen, Incarnation, Maintenance, Mariadbd, Order, Purge};

use testkit::Version;
use testkit::member::{Member, Setup, until};

/// The same with both versions; each is a test, so that they run side by side.
macro_rules! with_versions {
    ($($name:ident),*) => {
        mod mariadb_10_11 { $(#[test] fn $name() { super::$name(super::Setup::plain(super::Version::V10_11)); })* }
        mod mariadb_11_8 { $(#[test] fn $name() { super::$name(super::Setup::plain(super::Version::V11_8)); })* }
    };
}

with_versions!(
    events_run_on_the_primary_only_and_disabled_ones_stay_so,
    settings_are_put_back,
    binary_logs_go_when_nobody_needs_them,
    a_restored_dump_is_no_history
);

const STATUS: &str = "SELECT GROUP_CONCAT(name, ' ', status ORDER BY BINARY name) FROM mysql.event";
const CONTEXT: &str = "SELECT definer, character_set_client, collation_connection, db_collation, sql_mode, created, modified \
    FROM mysql.event WHERE name = 'runs'";

/// A primary and a replica that acknowledges to it.
fn pair(setup: Setup) -> [Member; 2] {
    let members = [0, 1].map(|ordinal| Member::start_like(setup, ordinal));
    members.iter().for_each(|member| drop(member.init()));
    follow(&members[1], &members[0], (1, 2));
    members[0].stream().obey(1, 2, promote("", 0x11));
    members[0].sql("CREATE DATABASE d; CREATE TABLE d.t (a INT)");
    members
}

fn follow(replica: &Member, source: &Member, (term, seq): (u64, u64)) {
    let Mariadbd::Running { incarnation, .. } = replica.wait_until_it_answers().mariadbd else { panic!() };
    let order = Order::Follow { source: source.source(), acker: Some(incarnation), wait: None };
    assert_eq!(replica.stream().obey(term, seq, order), Answer::Done);
}

fn promote(required: &str, server_id: u32) -> Order {
    Order::Promote { required: required.parse().unwrap(), server_id, semi_sync: false }
}

fn level(one: &Member, other: &Member) {
    until("both have the same", || one.position() == other.position());
}

/// The old primary dies, the other one is promoted, and the old one follows it.
fn turn_over(old: &Member, new: &Member, term: u64, server_id: u32) {
    old.sql("SET GLOBAL event_scheduler = OFF");
    level(old, new);
    let end = old.position();
    old.stream().obey(term, 1, Order::Fence);
    new.stream().obey(term, 1, promote(&end.to_string(), server_id));
    old.stream().obey(term, 2, Order::Start);
    follow(old, new, (term, 3));
}

fn events_run_on_the_primary_only_and_disabled_ones_stay_so(setup: Setup) {
    let [first, second] = pair(setup);
    first.sql(
        "CREATE USER someone@'%'; GRANT ALL ON d.* TO someone@'%'; SET NAMES latin1; SET sql_mode = 'ANSI_QUOTES'; \
         CREATE DEFINER = someone@'%' EVENT d.runs ON SCHEDULE EVERY 1 SECOND DO INSERT INTO d.t VALUES (@@server_id)",
    );
    first.sql("CREATE EVENT d.off ON SCHEDULE EVERY 1 SECOND DISABLE DO INSERT INTO d.t VALUES (-1)");
    first.sql("CREATE EVENT d.`o``nce` ON SCHEDULE AT NOW() ON COMPLETION PRESERVE DO INSERT INTO d.t VALUES (-2)");
    let disabled = [("d", "o`nce"), ("d", "off")]
        .map(|(schema, name)| EventName { schema: schema.to_owned(), name: name.to_owned() });
    first.wait_for("it tells which are disabled", |state| {
        state.upkeep.disabled_events.as_deref() == Some(disabled.as_slice())
    });
    until("the events are there", || second.sql("SELECT COUNT(*) FROM mysql.event") == "3");
    let marked = "o`nce SLAVESIDE_DISABLED,off SLAVESIDE_DISABLED,runs SLAVESIDE_DISABLED";
    assert_eq!(second.sql(STATUS), marked, "what MariaDB makes of them");
    let maintenance = || Maintenance { disabled_events: Some(disabled.to_vec()), ..Maintenance::default() };
    let context = first.sql(CONTEXT);
    for (seq, term) in [(3, 1), (4, 1)] {
        assert_eq!(second.stream().obey(term, seq, Order::Maintain(maintenance())), Answer::Done, "it may be repeated");
        assert_eq!(second.sql(STATUS), "o`nce DISABLED,off DISABLED,runs SLAVESIDE_DISABLED");
    }
    second.wait_for("it tells the same", |state| state.upkeep.disabled_events.as_deref() == Some(disabled.as_slice()));

    turn_over(&first, &second, 2, 0x22);
    until("the event runs on the new primary", || second.sql("SELECT COUNT(*) > 1 FROM d.t WHERE a = 0x22") == "1");
    assert_eq!(second.sql(STATUS), "o`nce DISABLED,off DISABLED,runs ENABLED");
    assert_eq!(second.sql(CONTEXT), context, "what ALTER EVENT changes was put back");
    turn_over(&second, &first, 3, 0x31);
    until("and on the first again", || first.sql("SELECT COUNT(*) > 1 FROM d.t WHERE a = 0x31") == "1");
    assert_eq!(first.sql("SELECT COUNT(*) FROM d.t WHERE a = -1"), "0");
    assert_eq!(first.sql("SELECT COUNT(*) FROM d.t WHERE a = -2"), "1", "it ran once, on one of them");
    assert_eq!(second.sql("SELECT @@event_scheduler"), "OFF");
}

/// The longest time-out, and the most rows.
const MOST: &str = "18446744073709551615";

fn settings_are_put_back(setup: Setup) {
    let [primary, replica] = pair(setup);
    let restore = || Order::Maintain(Maintenance { restore: true, ..Maintenance::default() });
    let settings = "SELECT @@sync_binlog, @@slave_net_timeout, @@rpl_semi_sync_master_timeout, @@event_scheduler, \
                    @@tx_read_only, @@sql_select_limit";
    for (member, scheduler) in [(&primary, "ON"), (&replica, "OFF")] {
        let opposite = if scheduler == "ON" { "OFF" } else { "ON" };
        member.sql(&format!(
            "SET GLOBAL sync_binlog = 0, slave_net_timeout = 60, rpl_semi_sync_master_timeout = 10000, event_scheduler = {opposite}, \
             tx_read_only = 1, sql_select_limit = 0"
        ));
        assert_eq!(member.sql(settings), "", "a new session of somebody else reads nothing");
        assert_eq!(member.stream().obey(1, 3, restore()), Answer::Done);
        assert_eq!(member.sql(settings), format!("1\t2\t{MOST}\t{scheduler}\t0\t{MOST}"));
    }
    primary.sql("SET GLOBAL read_only = 1");
    assert_eq!(primary.stream().obey(1, 4, restore()), Answer::Done);
    assert_eq!(primary.sql("SELECT @@event_scheduler"), "ON", "read_only is somebody's own affair and does not last");
}

fn binary_logs_go_when_nobody_needs_them(setup: Setup) {
    let [primary, replica] = pair(setup);
    assert_eq!(primary.sql("SELECT @@binlog_expire_logs_seconds"), "0", "nothing goes by itself");
    for _ in 0..3 {
        primary.sql("INSERT INTO d.t VALUES (1)");
        primary.sql("FLUSH BINARY LOGS");
        replica.sql("FLUSH LOCAL BINARY LOGS");
    }
    level(&primary, &replica);
    let oldest = |member: &Member| member.sql("SHOW BINARY LOGS").split_whitespace().next().unwrap().to_owned();
    let purge = |covered: GtidPosition| {
        let purge = Purge { covered, older_than_s: None, above_bytes: 1 };
        Order::Maintain(Maintenance { purge: Some(purge), ..Maintenance::default() })
    };
    let replica_s_oldest = oldest(&replica);
    primary.stream().obey(1, 3, purge(GtidPosition::empty()));
    replica.stream().obey(1, 3, purge(GtidPosition::empty()));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(
        (oldest(&primary).as_str(), oldest(&replica)),
        ("bin.000001", replica_s_oldest),
        "others lack all of it"
    );
    let last = primary.sql("SHOW MASTER STATUS").split_whitespace().next().unwrap().to_owned();
    // The operator gives it every minute: a file that a replica is still being sent stays until the next order.
    let mut seq = 3;
    let mut again = |member: &Member| {
        seq += 1;
        member.stream().obey(1, seq, purge(primary.position()));
    };
    until("the old files are gone", || {
        again(&primary);
        oldest(&primary) == last
    });
    until("on the replica too", || {
        again(&replica);
        replica.sql("SHOW BINARY LOGS").lines().count() == 1
    });
    primary.sql("INSERT INTO d.t VALUES (2)");
    level(&primary, &replica);
    primary.wait_for("it tells how full its volume is", |state| {
        state.upkeep.volume_use.is_some_and(|used| used.total_bytes > used.free_bytes)
    });
}

/// A dump of all databases has rows of mysql.gtid_slave_pos.
fn a_restored_dump_is_no_history(setup: Setup) {
    let [primary, replica] = pair(setup);
    primary.sql(
        "INSERT INTO mysql.gtid_slave_pos VALUES (0, 100000, 146, 6000), (0, 100001, 146, 6426), (7, 100002, 9, 9)",
    );
    primary.sql("INSERT INTO d.t VALUES (1)");
    level(&primary, &replica);
    let end = primary.position();
    for member in [&replica, &primary] {
        member.kill_mariadbd();
    }
    replica.wait_for("it runs again", |state| {
        matches!(state.mariadbd, Mariadbd::Running { incarnation: Incarnation(2), sql: true })
    });
    let Answer::Frozen(frozen) = replica.stream().obey(2, 1, Order::Freeze) else { panic!() };
    let Frozen { received, applied, .. } = frozen;
    assert_eq!((received, applied), (end.clone(), end.clone()), "nothing but its own history");
    primary.stream().obey(2, 1, Order::Start);
    primary.wait_until_it_answers();
    assert_eq!(primary.sql("SELECT @@gtid_slave_pos"), end.to_string());
    replica.stream().obey(2, 2, promote(&end.to_string(), 0x22));
    follow(&primary, &replica, (2, 2));
    replica.sql("INSERT INTO d.t VALUES (2)");
    level(&primary, &replica);
}
