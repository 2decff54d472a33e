//! What a replica has received is not lost, whatever becomes of its threads, its run or its source.

use std::fs;

use beachmaster::orders::{Answer, Frozen, Incarnation, Mariadbd, Order, Reason, Secret, Source};

use crate::cluster::{cluster, follow, promote, wait_until_equal, write};
use testkit::member::Setup;

/// What only an acker has, and has not applied, survives its crash and the loss of the primary.
pub fn an_acker_recovers_what_it_received_in_an_earlier_run(setup: Setup) {
    let members = cluster::<3>(setup);
    let [primary, acker, replica] = &members[..] else { panic!() };
    write(primary, 5);
    wait_until_equal(&[primary, acker, replica]);
    replica.sql("STOP SLAVE IO_THREAD");
    acker.sql("STOP SLAVE SQL_THREAD");
    write(primary, 20);
    let end = primary.position();
    acker.kill_mariadbd();
    let Answer::Fenced { .. } = primary.stream().obey(2, 1, Order::Fence) else { panic!() };
    acker.wait_for("the acker runs again", |state| {
        matches!(state.mariadbd, Mariadbd::Running { incarnation: Incarnation(2), sql: true })
    });
    let Answer::Frozen(before) = acker.stream().obey(2, 1, Order::Freeze) else { panic!() };
    assert!(!before.received.covers(&end), "MariaDB itself knows nothing of what it had received");

    let of = Incarnation(1);
    for seq in [2, 3] {
        let recovered = acker.stream().obey(2, seq, Order::Recover { incarnation: of, server_id: 0x11 });
        let frozen = Frozen {
            incarnation: Incarnation(2),
            received: end.clone(),
            applied: end.clone(),
            killed: false,
            dropped: false,
            settled: true,
        };
        assert_eq!(recovered, Answer::Recovered { of, frozen }, "it may be repeated");
    }
    assert_eq!(acker.sql("SELECT COUNT(*) FROM d.t"), "25");
    assert!(acker.sql("SHOW SLAVE STATUS").contains("127.0.0.1"));
    let catch_up = Order::Follow { source: acker.source(), acker: None, wait: Some(end.clone()) };
    replica.stream().obey(2, 1, Order::Freeze);
    assert_eq!(
        replica.stream().obey(2, 2, catch_up),
        Answer::Applied { position: end.clone(), reached: true, held: None }
    );
    acker.stream().obey(2, 4, promote(&end.to_string(), 0x22));
    wait_until_equal(&[acker, replica]);
    let refused = acker.stream().refuse(2, 5, Order::Recover { incarnation: of, server_id: 0x11 });
    assert_eq!(refused.reason, Reason::StillRunning, "never on a primary");
}

/// What an acker has received and not applied is thrown away when it is told to follow somebody who is gone. That is told,
/// and brought back.
pub fn an_acker_recovers_what_it_threw_away_in_its_run(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    write(primary, 5);
    wait_until_equal(&[primary, acker]);
    acker.sql("STOP SLAVE SQL_THREAD");
    write(primary, 20);
    let end = primary.position();
    // Else the freeze starts the SQL thread, which applies all of it.
    acker.sql("STOP SLAVE IO_THREAD");
    let Answer::Frozen(before) = acker.stream().obey(2, 1, Order::Freeze) else { panic!() };
    assert!(before.received.covers(&end) && !before.dropped && before.settled, "{before:?}");

    // As an order leaves it that is cut off in the middle: the server may still say what it had from the source before.
    acker.sql("STOP SLAVE; CHANGE MASTER TO MASTER_PORT=1");
    println!("Gtid_IO_Pos after CHANGE MASTER: {}", acker.sql("SHOW ALL SLAVES STATUS").contains(&end.to_string()));
    let Answer::Frozen(cut) = acker.stream().obey(2, 2, Order::Freeze) else { panic!() };
    assert!(cut.dropped && !cut.received.covers(&end), "{cut:?}");

    let nobody = Source::BinlogServer {
        host: "127.0.0.1".to_owned(),
        port: primary.binlog_port,
        user: "u".to_owned(),
        password: Secret("p".to_owned()),
    };
    let gone = acker.stream().refuse(2, 3, Order::Follow { source: nobody, acker: None, wait: Some(end.clone()) });
    assert!(gone.message.contains("nothing comes from 127.0.0.1"), "{}", gone.message);
    let Answer::Frozen(after) = acker.stream().obey(2, 4, Order::Freeze) else { panic!() };
    assert!(after.dropped && !after.received.covers(&end), "{after:?}");

    let of = Incarnation(1);
    let Answer::Recovered { frozen, .. } =
        acker.stream().obey(2, 5, Order::Recover { incarnation: of, server_id: 0x11 })
    else {
        panic!()
    };
    assert!(frozen.applied.covers(&end) && !frozen.dropped, "{frozen:?}");
    assert_eq!(acker.sql("SELECT COUNT(*) FROM d.t"), "25");
    let Answer::Frozen(again) = acker.stream().obey(2, 6, Order::Freeze) else { panic!() };
    assert_eq!(again, frozen, "what was recovered is not missed once more");
}

/// Nothing that a member has received waits for somebody to type START SLAVE; and that alone, with both threads stopped,
/// would throw it away.
pub fn a_sql_thread_that_was_stopped_by_hand_is_started(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    let mut seq = 0;
    let mut stopped_by = |statements: &[&str]| {
        acker.sql("STOP SLAVE SQL_THREAD");
        write(primary, 20);
        let end = primary.position();
        statements.iter().for_each(|statement| drop(acker.sql(statement)));
        let Answer::Frozen(frozen) = acker.stream().obey(2, seq + 1, Order::Freeze) else { panic!() };
        assert!(frozen.received.covers(&end) && !frozen.dropped, "{frozen:?}");
        let wait = Order::Await { position: end.clone() };
        let applied = acker.stream().obey(2, seq + 2, wait);
        assert_eq!(applied, Answer::Applied { position: end, reached: true, held: None }, "{statements:?}");
        seq += 3;
        acker.stream().obey(2, seq, follow(acker, primary));
    };
    stopped_by(&[]);
    stopped_by(&["STOP SLAVE IO_THREAD"]);
    wait_until_equal(&[primary, acker]);

    acker.sql("SET sql_log_bin = 0; INSERT INTO d.t VALUES (1000, 1)");
    primary.sql("INSERT INTO d.t VALUES (1000, 2)");
    acker.stream().obey(3, 1, Order::Freeze);
    let failed = acker.stream().refuse(3, 2, Order::Await { position: primary.position() });
    assert!(failed.message.contains("the SQL thread stopped: error 1062"), "{}", failed.message);
}

/// Orders that restart the IO thread alone drop nothing either.
pub fn orders_that_reconnect_start_a_stopped_sql_thread(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    let orders = [Order::Reconnect, follow(acker, primary), Order::SetAcker { acker: None }];
    for (seq, order) in (1..).zip(orders) {
        acker.sql("STOP SLAVE SQL_THREAD");
        write(primary, 5);
        acker.stream().obey(2, seq, order);
        wait_until_equal(&[primary, acker]);
    }
    let log = fs::read_to_string(acker.path("launch.log")).unwrap();
    // Relay logs that were dropped begin with number 1 again.
    assert_eq!(log.matches("relay log './relay.000001' position: 4;").count(), 1, "no relay log was dropped");
}
