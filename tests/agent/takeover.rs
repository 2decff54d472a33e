//! A dead primary hands its tail over, and ackers come and go.

use std::fs;
use std::time::{Duration, Instant};

use beachmaster::gtid::GtidPosition;
use beachmaster::orders::{
    Answer, Event, Incarnation, LogEvidence, Mariadbd, MemberRole, Order, Ordinal, Outcome, Reason,
};

use crate::cluster::{cluster, follow, promote, semi_sync_status, serve_tail, wait_until_equal, write};
use testkit::member::{LIMIT, Member, Setup, succeeds, until};

/// Transactions enough for the candidate to let go of syncs, and not to be done within a moment.
const LONG_TAIL: usize = 8_000;

pub fn a_dead_primary_s_tail_is_served_and_the_candidate_takes_over(setup: Setup) {
    let members = cluster::<3>(setup);
    let [old, candidate, other] = &members[..] else { panic!() };
    assert_eq!(old.sql("SELECT @@server_id, @@read_only, @@event_scheduler"), "17\t0\tON");
    // A promotion ends what was logging in.
    until("both acknowledge", || semi_sync_status(old, "master_clients") == "2");
    write(old, 20);
    until("both have it", || {
        let end = old.position().to_string();
        [candidate, other].iter().all(|member| member.sql("SHOW SLAVE STATUS").contains(&end))
    });
    assert_eq!(semi_sync_status(old, "master_no_tx"), "0");
    assert!(old.position().to_string().starts_with("0-17-"), "the server_id of the term");

    for (member, seq) in [(candidate, 1), (other, 1)] {
        let Answer::Frozen(frozen) = member.stream().obey(2, seq, Order::Freeze) else { panic!() };
        assert!(!frozen.killed && frozen.incarnation == Incarnation(1));
        assert!(frozen.received.covers(&old.position()));
    }
    // The tail: waits for an acknowledgement that cannot come, and is in the old primary's binary log only.
    let mut stuck = old.client("INSERT INTO d.t (a) VALUES (2)");
    until("the tail is written", || semi_sync_status(old, "master_wait_sessions") == "1");

    let began = Instant::now();
    let Answer::Fenced { logs: LogEvidence::Readable { end, .. } } = old.stream().obey(2, 1, Order::Fence) else {
        panic!()
    };
    assert!(!succeeds("the fenced primary drops its client", &mut stuck), "a fenced primary acknowledges nothing");
    let state = old.state();
    assert!(matches!(&state.mariadbd, Mariadbd::Exited { status, .. } if status.signal == Some(9)));
    assert!(state.record().unwrap().hold);
    let (serving, source) = serve_tail(old, 2, candidate.position());
    assert_eq!(serving, Answer::Serving { port: old.binlog_port, end: end.clone(), bytes: None });
    let catch_up = Order::Follow { source, acker: None, wait: Some(end.clone()) };
    let applied = candidate.stream().obey(2, 2, catch_up);
    assert_eq!(applied, Answer::Applied { position: end.clone(), reached: true, held: None });
    assert_eq!(candidate.sql("SELECT COUNT(*) FROM d.t"), "21", "the tail was rescued");

    let too_much = Order::Promote { required: "0-17-99999".parse().unwrap(), server_id: 0x22, semi_sync: true };
    assert_eq!(candidate.stream().refuse(2, 3, too_much).reason, Reason::MissingTransactions);
    assert_eq!(candidate.state().record().unwrap().role, MemberRole::Replica, "a refused promotion changes nothing");
    other.stream().obey(2, 2, follow(other, candidate));
    let promotion = || promote(&end.to_string(), 0x22);
    assert_eq!(candidate.stream().obey(2, 4, promotion()), Answer::Promoted { position: end.clone() });
    println!("fence to promoted: {:?}", began.elapsed());
    write(candidate, 5);
    assert_eq!(semi_sync_status(candidate, "master_no_tx"), "0");
    assert!(matches!(candidate.stream().obey(2, 5, promotion()), Answer::Promoted { .. }), "it may be repeated");
    assert_eq!(candidate.sql("SHOW SLAVE STATUS"), "");

    assert_eq!(candidate.stream().refuse(2, 6, follow(candidate, other)).reason, Reason::StillRunning);
    old.stream().obey(2, 3, Order::Start);
    old.stream().obey(2, 4, follow(old, candidate));
    write(candidate, 5);
    wait_until_equal(&[candidate, other, old]);
    let role = |member: &Member| member.state().record().unwrap().role;
    assert_eq!(
        [role(old), role(candidate), role(other)],
        [MemberRole::Replica, MemberRole::Primary, MemberRole::Replica]
    );
    let before = other.sql("SHOW ALL SLAVES STATUS");
    other.stream().obey(2, 3, follow(other, candidate));
    let connection = |text: &str| text.split('\t').nth(7).map(ToOwned::to_owned);
    assert_eq!(connection(&other.sql("SHOW ALL SLAVES STATUS")), connection(&before), "following twice does nothing");
}

pub fn ackers_are_added_freed_and_locked_out(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, replica] = &members[..] else { panic!() };
    write(primary, 3);
    replica.stream().obey(2, 1, Order::SetAcker { acker: None });
    assert_eq!(semi_sync_status(replica, "slave_status"), "OFF");
    until("the primary has no acker", || semi_sync_status(primary, "master_clients") == "0");

    // The trap: the replica has the waiting transaction already when it becomes an acker.
    let mut stuck = primary.client("INSERT INTO d.t (a) VALUES (9)");
    until("the replica has the waiting transaction", || replica.sql("SELECT COUNT(*) FROM d.t WHERE a = 9") == "1");
    replica.stream().obey(2, 2, Order::SetAcker { acker: Some(Incarnation(1)) });
    assert_eq!(semi_sync_status(replica, "slave_status"), "ON");
    assert_eq!(semi_sync_status(primary, "master_wait_sessions"), "1", "an acker is there, and nothing flows");
    replica.stream().obey(2, 3, Order::Unstick);
    assert!(succeeds("the waiting commit is acknowledged", &mut stuck));
    write(primary, 3);
    assert!(replica.sql("SHOW ALL SLAVES STATUS").contains("Slave_Pos"), "by GTID again");

    primary.stream().obey(2, 2, Order::EvictAcker { ordinal: Ordinal(1) });
    assert_eq!(semi_sync_status(primary, "master_clients"), "0");
    let mut stuck = primary.client("INSERT INTO d.t (a) VALUES (10)");
    until("the commit waits", || semi_sync_status(primary, "master_wait_sessions") == "1");
    until("the replica is locked out", || replica.sql("SHOW ALL SLAVES STATUS").contains("locked"));
    primary.stream().obey(2, 3, Order::ReadmitAcker { ordinal: Ordinal(1) });
    assert!(succeeds("the acker let in again acknowledges", &mut stuck));
    assert!(matches!(primary.stream().obey(2, 4, Order::SemiSync { on: true }), Answer::Done));
    assert_eq!(replica.stream().refuse(2, 4, Order::SemiSync { on: true }).reason, Reason::Unsupported);
}

fn binlog_bytes(member: &Member) -> u64 {
    let files = fs::read_dir(member.path("volume/data")).unwrap().map(Result::unwrap);
    let logs = files.filter(|file| file.file_name().to_string_lossy().starts_with("bin.0"));
    logs.map(|file| file.metadata().unwrap().len()).sum()
}

/// Gives the order as the operator does: an answer that it is on the way comes after some seconds, with news.
fn until_reached(member: &Member, seq: &mut u64, order: &Order, end: &GtidPosition) {
    let mut before = GtidPosition::empty();
    until("all is applied", || {
        *seq += 1;
        match member.stream().obey(2, *seq, order.clone()) {
            Answer::Applied { position, reached: true, held: None } => position == *end,
            Answer::Applied { position, reached: false, held: None } => {
                assert!(position.covers(&before) && position != before, "it stands still at {position}");
                before = position;
                false
            }
            // A sync took seconds.
            Answer::Applied { reached: false, held: Some(_), .. } => false,
            answer => panic!("{answer:?}"),
        }
    });
}

/// A long tail is applied without syncs; before anybody hears that it is applied it is durable.
pub fn a_long_tail_is_applied_without_syncs_and_survives_a_crash(setup: Setup) {
    let members = cluster::<2>(setup);
    let [old, candidate] = &members[..] else { panic!() };
    let durability = "SELECT @@sync_binlog, @@innodb_flush_log_at_trx_commit, @@binlog_cache_size";
    assert_eq!(old.stream().obey(2, 1, Order::SemiSync { on: false }), Answer::Done);
    candidate.stream().obey(2, 1, Order::Freeze);
    old.sql("SET GLOBAL sync_binlog=0, innodb_flush_log_at_trx_commit=0");
    (0..LONG_TAIL / 1_000).for_each(|_| {
        write(old, 1_000);
        // The tail lies in several files.
        old.sql("FLUSH BINARY LOGS");
    });
    let Answer::Fenced { logs: LogEvidence::Readable { end, .. } } = old.stream().obey(2, 2, Order::Fence) else {
        panic!()
    };
    let (serving, source) = serve_tail(old, 3, candidate.position());
    let Answer::Serving { bytes: Some(bytes), .. } = serving else { panic!("{serving:?}") };
    let size = binlog_bytes(old);
    assert!(bytes > size * 3 / 4 && bytes <= size, "all but what {bytes} of {size} bytes began with are the tail");
    let catch_up = Order::Follow { source, acker: None, wait: Some(end.clone()) };

    // Its time is too short, however long it is: the next order finds it on the way.
    until("it has the table", || candidate.try_sql("SHOW TABLES FROM d").is_ok_and(|tables| tables == "t"));
    let mut lock = candidate.client("LOCK TABLES d.t READ; SELECT SLEEP(600)");
    let sleeper = "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
    until("the table is locked", || !candidate.sql(sleeper).is_empty());
    let mut stream = candidate.stream();
    let mut seq = 1;
    let mut limit = Duration::from_millis(300);
    loop {
        seq += 1;
        let id = stream.send(2, seq, limit, catch_up.clone());
        match stream.outcome(&id) {
            Outcome::Ok(Answer::Applied { reached: false, .. }) => break,
            // On a busy machine it has not begun by then, or is not connected.
            Outcome::Error(error)
                if limit < LIMIT
                    && (error.reason == Reason::Expired || error.message.contains("nothing comes from")) =>
            {
                limit *= 2;
            }
            outcome => panic!("{outcome:?}"),
        }
    }
    assert_eq!(candidate.sql(durability), "0\t2\t1048576");
    assert_eq!(candidate.sql("SELECT @@innodb_log_file_buffering"), "1");
    candidate.sql(&format!("KILL {}", candidate.sql(sleeper)));
    lock.wait().unwrap();
    until("some of it is applied", || candidate.sql("SELECT COUNT(*) FROM d.t") != "0");
    candidate.kill_mariadbd();
    stream.event(Event::Exited);
    candidate.wait_until_it_answers();
    assert_eq!(candidate.sql(durability), "1\t1\t32768", "as its command line says");

    until_reached(candidate, &mut seq, &catch_up, &end);
    assert_eq!(candidate.sql(durability), "1\t1\t32768");
    let promoted = candidate.stream().obey(2, seq + 1, promote(&end.to_string(), 0x22));
    assert_eq!(promoted, Answer::Promoted { position: end }, "making it durable writes no transaction");
    assert_eq!(candidate.sql("SELECT COUNT(*) FROM d.t"), LONG_TAIL.to_string());
}
