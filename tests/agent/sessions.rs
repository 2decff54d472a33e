//! Sessions that were open when a member was promoted write nothing more: they have the `server_id` that it had before.

use std::process::Child;
use std::time::Duration;

use beachmaster::orders::{Incarnation, Mariadbd, Order};

use crate::cluster::{cluster, wait_until_equal, write};
use testkit::member::{Member, Setup, until};

const CLIENTS: &str = "SELECT id FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%'";
const AGENTS: &str = "SELECT id FROM information_schema.processlist WHERE user = 'mysql'";

fn ids(member: &Member, query: &str) -> Vec<u64> {
    member.sql(query).lines().filter_map(|id| id.parse().ok()).collect()
}

/// Connections are numbered from 1 in each run: a client may have the number of a session that the agent had in the run before.
pub fn a_client_with_the_number_of_an_earlier_session_of_the_agent_is_ended(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, replica] = &members[..] else { panic!() };
    write(primary, 1);
    wait_until_equal(&[primary, replica]);
    // One watches, one is for orders, one looks after accounts from the fifth second on, one looks for locks. Others come and go.
    let mut stay = Vec::new();
    until("the agent has all its sessions", || {
        let now = ids(replica, AGENTS);
        std::thread::sleep(Duration::from_millis(700));
        stay = ids(replica, AGENTS).into_iter().filter(|id| now.contains(id)).collect();
        stay.len() >= 4
    });
    let last = stay.iter().copied().max().unwrap();
    replica.kill_mariadbd();
    replica.wait_for("the replica runs again", |state| {
        matches!(state.mariadbd, Mariadbd::Running { incarnation: Incarnation(2), sql: true })
    });
    // One after the other without a look in between, which would take a number, too.
    let clients: Vec<Child> = (0..=last).map(|_| replica.client("DO SLEEP(1000)")).collect();
    until("all clients are in", || ids(replica, CLIENTS).len() == clients.len());
    println!("the agent had {stay:?}, clients have {:?}", ids(replica, CLIENTS));
    let required = replica.position();
    replica.stream().obey(2, 1, Order::Promote { required, server_id: 0x22, semi_sync: false });
    until("every client is ended", || ids(replica, CLIENTS).is_empty());
    for mut client in clients {
        assert!(!client.wait().unwrap().success());
    }
}
