//! Members as an operator would have made them a cluster, and orders to them.

use beachmaster::gtid::GtidPosition;
use beachmaster::orders::{Answer, Mariadbd, Order, Secret, Source};

use testkit::member::{Member, Setup, until};

/// `replica` follows as an acker in its present run.
pub fn follow(replica: &Member, source: &Member) -> Order {
    let Mariadbd::Running { incarnation, .. } = replica.state().mariadbd else { panic!() };
    Order::Follow { source: source.source(), acker: Some(incarnation), wait: None }
}

pub fn promote(required: &str, server_id: u32) -> Order {
    Order::Promote { required: required.parse().unwrap(), server_id, semi_sync: true }
}

/// Lets a fenced primary serve its binary logs to who has everything up to `after`: its answer, and where to follow.
pub fn serve_tail(old: &Member, seq: u64, after: GtidPosition) -> (Answer, Source) {
    let (user, password) = ("one-time".to_owned(), Secret("password".to_owned()));
    let serve = Order::ServeBinlog { user: user.clone(), password: password.clone(), after };
    let answer = old.stream().obey(2, seq, serve);
    (answer, Source::BinlogServer { host: "127.0.0.1".to_owned(), port: old.binlog_port, user, password })
}

/// Members of which the first is the primary and the others acknowledge to it.
pub fn cluster<const N: u8>(setup: Setup) -> Vec<Member> {
    let members: Vec<Member> = (0..N).map(|ordinal| Member::start_like(setup, ordinal)).collect();
    std::thread::scope(|scope| members.iter().for_each(|member| drop(scope.spawn(|| member.init()))));
    for replica in &members[1..] {
        replica.stream().obey(1, 2, follow(replica, &members[0]));
    }
    members[0].stream().obey(1, 2, promote("", 0x11));
    assert!(members[0].sql("SELECT VERSION()").starts_with(&format!("{}.", setup.version)));
    members[0].sql("CREATE DATABASE d; CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, a INT)");
    members
}

pub fn write(member: &Member, rows: usize) {
    member.sql(&"INSERT INTO d.t (a) VALUES (1);".repeat(rows));
}

pub fn semi_sync_status(member: &Member, name: &str) -> String {
    let query = format!("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_{name}'");
    member.sql(&query).split_whitespace().nth(1).unwrap_or_default().to_owned()
}

pub fn wait_until_equal(members: &[&Member]) {
    let content =
        |member: &Member| member.sql("SELECT @@gtid_binlog_pos; CHECKSUM TABLE d.t; SELECT COUNT(*) FROM d.t");
    until("the members are equal", || {
        let contents: Vec<String> = members.iter().map(|member| content(member)).collect();
        contents.windows(2).all(|pair| pair[0] == pair[1])
    });
}
