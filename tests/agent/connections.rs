//! Clients have used up all connections of a primary: its replicas have a port for themselves.

use std::process::Child;

use crate::cluster::{cluster, wait_until_equal, write};
use testkit::member::{Member, Setup, succeeds, until};

/// More than enough clients for `max_connections=20` and the one place that is kept for administrators, which they are here.
const CLIENTS: usize = 60;

/// Commits that wait for a replica hold all connections; they end when it comes.
pub fn a_replica_gets_in_when_clients_hold_all_connections(setup: Setup) {
    let members = cluster::<2>(Setup { options: "max_connections=20\n", ..setup });
    let [primary, replica] = &members[..] else { panic!() };
    write(primary, 1);
    wait_until_equal(&[primary, replica]);
    replica.sql("STOP SLAVE IO_THREAD");
    let mut writers: Vec<Child> = Vec::new();
    until("nobody gets in", || {
        assert!(writers.len() < CLIENTS, "everybody gets in");
        writers.push(primary.client("INSERT INTO d.t (a) VALUES (2)"));
        is_full(primary)
    });
    assert!(is_full(primary), "a waiting commit gives up its place");
    replica.sql("START SLAVE IO_THREAD");
    let came_in = writers.iter_mut().filter_map(|writer| succeeds("a writer ends", writer).then_some(())).count();
    assert!(came_in >= 10, "{came_in} of {} writers", writers.len());
    wait_until_equal(&[primary, replica]);
    assert_eq!(primary.sql("SELECT COUNT(*) FROM d.t WHERE a = 2"), came_in.to_string());
}

fn is_full(member: &Member) -> bool {
    member.try_sql("DO 0").is_err_and(|error| error.contains("1040"))
}
