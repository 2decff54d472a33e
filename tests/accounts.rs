//! The operator's accounts on real servers, whatever options and statements people bring.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beachmaster::mariadb;
use beachmaster::orders::{Mariadbd, Order, Ordinal, Secret};

use testkit::Version;
use testkit::member::{Member, Setup, until};

/// A policy for passwords, an audit by `init_connect` whose table does not exist, and limits for everybody.
const STRICT: &str = "plugin_load_add=simple_password_check\nstrict_password_validation=ON\ndefault_password_lifetime=1\n\
     max_password_errors=2\nmax_user_connections=1\ninit_connect='INSERT INTO audit.logins VALUES (NOW(), USER())'\n";

fn strict(version: Version) -> Setup {
    Setup { version, options: STRICT, keys: None }
}

/// A statement over the network, as one of the operator's accounts.
fn over_network(member: &Member, user: &str, password: &str, statement: &str) -> Result<String, String> {
    let mut client = Command::new(member.setup.version.program("mariadb"));
    client.args(["--no-defaults", "--batch", "--skip-column-names", "--host=127.0.0.1", "--execute", statement]);
    client.args([format!("--port={}", member.port), format!("--user={user}"), format!("--password={password}")]);
    let output = client.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn probe(member: &Member) -> Result<String, String> {
    over_network(member, "beachmaster_probe", "secretprobe", "SELECT @@server_id")
}

fn pair(setup: Setup) -> [Member; 2] {
    let members = [0, 1].map(|ordinal| Member::start_like(setup, ordinal));
    members.iter().for_each(|member| drop(member.init()));
    let [primary, replica] = &members;
    replica.stream().obey(1, 2, Order::Follow { source: primary.source(), acker: None, wait: None });
    primary.stream().obey(1, 2, Order::Promote { required: "".parse().unwrap(), server_id: 0x11, semi_sync: false });
    members
}

/// Both threads of the replica run, and its IO thread is connected.
fn receives(member: &Member) -> bool {
    member.sql("SHOW ALL SLAVES STATUS").contains("\tYes\tYes\t")
}

fn strict_policies_audits_and_limits_keep_nobody_of_ours_out(version: Version) {
    let [primary, replica] = pair(strict(version));
    until("the replica receives", || receives(&replica));
    until("the accounts are there", || probe(&primary).is_ok() && probe(&replica).is_ok());
    for _ in 0..5 {
        probe(&primary).unwrap();
        probe(&replica).unwrap();
    }
    until("max_password_errors spares nobody", || {
        over_network(&primary, "beachmaster_probe", "wrong", "SELECT 1").unwrap_err().contains("4150")
    });
    until("the probe is let in again", || probe(&primary).is_ok());
    assert_eq!(primary.sql("SELECT @@strict_password_validation"), "1", "the policy holds for others");
    let weak = primary.try_sql("CREATE USER u@'%' IDENTIFIED BY PASSWORD '*14E65567ABDB5135D0CFD9A70B3032C179A49EE7'");
    assert!(weak.unwrap_err().contains("1290"));
    primary.sql("CREATE DATABASE d");
    until("the replica has it", || replica.sql("SHOW DATABASES").lines().any(|name| name == "d"));
    primary.wait_for("the accounts are right", |state| state.sql_notes.accounts_wrong.is_none());
}

#[test]
fn strict_policies_audits_and_limits_keep_nobody_of_ours_out_10_11() {
    strict_policies_audits_and_limits_keep_nobody_of_ours_out(Version::V10_11);
}

#[test]
fn strict_policies_audits_and_limits_keep_nobody_of_ours_out_11_8() {
    strict_policies_audits_and_limits_keep_nobody_of_ours_out(Version::V11_8);
}

fn nobody_is_let_in_before_an_order_says_so(version: Version) {
    let member = Member::start_like(Setup::plain(version), 0);
    member.stream().obey(1, 1, Order::Init { identity: member.identity() });
    let others: Vec<Ordinal> = (1..9).map(Ordinal).collect();
    member.wait_for("nobody is let in", |state| state.sql_notes.unadmitted == others);
    let log_in = |ordinal| {
        let user = format!("beachmaster_repl_{ordinal}");
        over_network(&member, &user, &format!("secretrepl-{ordinal}"), "SHOW GRANTS")
    };
    assert!((0..9).all(|ordinal| log_in(ordinal).unwrap_err().contains("4151")), "locked, the member's own, too");
    member.stream().obey(1, 2, Order::ReadmitAcker { ordinal: Ordinal(1) });
    assert_eq!(member.state().sql_notes.unadmitted, others[1..]);
    assert!(log_in(1).unwrap().contains("GRANT REPLICATION SLAVE, CONNECTION ADMIN ON *.*"));
    assert!(log_in(2).unwrap_err().contains("4151"));
    // Somebody drops it: what comes back is shut.
    member.sql("DROP USER beachmaster_repl_1@'%'");
    member.wait_for("it is made anew", |state| state.sql_notes.unadmitted == others);
    assert!(log_in(1).unwrap_err().contains("4151"));
    member.stream().obey(1, 3, Order::ReadmitAcker { ordinal: Ordinal(1) });
    // One that is shut out is no new one.
    member.stream().obey(1, 4, Order::EvictAcker { ordinal: Ordinal(1) });
    member.sql(
        "ALTER USER beachmaster_repl_0@'%' PASSWORD EXPIRE; ALTER USER beachmaster_repl_2@'%' IDENTIFIED BY 'other'",
    );
    member.sql("DROP USER beachmaster_repl_3@'%'");
    until("the accounts were looked at", || {
        member.sql("SELECT COUNT(*) FROM mysql.user WHERE user LIKE '%repl_3'") == "1"
    });
    until("none is expired", || {
        !member.sql(&PRIVILEGES.replace("AND User <> 'beachmaster_repl_0'", "")).contains("_last_changed\":0")
    });
    assert_eq!(member.wait_for("told", |_| true).sql_notes.unadmitted, others[1..]);
    assert!(log_in(1).unwrap_err().contains("4151"));
    assert!(log_in(2).unwrap_err().contains("4151"), "its password is put back, and it stays shut");
    assert_eq!(member.sql("SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'beachmaster_repl%'"), "9");
}

#[test]
fn nobody_is_let_in_before_an_order_says_so_10_11() {
    nobody_is_let_in_before_an_order_says_so(Version::V10_11);
}

#[test]
fn nobody_is_let_in_before_an_order_says_so_11_8() {
    nobody_is_let_in_before_an_order_says_so(Version::V11_8);
}

#[test]
fn accounts_are_repaired_whole() {
    let member = Member::start_like(strict(Version::V10_11), 0);
    member.init();
    until("the accounts are there", || probe(&member).is_ok());
    let hash = "IDENTIFIED VIA mysql_native_password USING '*14E65567ABDB5135D0CFD9A70B3032C179A49EE7'";
    for change in [
        "ALTER USER beachmaster_probe@'%' PASSWORD EXPIRE".to_owned(),
        "ALTER USER beachmaster_probe@'%' ACCOUNT LOCK".to_owned(),
        "REVOKE CONNECTION ADMIN ON *.* FROM beachmaster_probe@'%'".to_owned(),
        "ALTER USER beachmaster_probe@'%' IDENTIFIED VIA unix_socket".to_owned(),
        "ALTER USER beachmaster_probe@'%' REQUIRE X509".to_owned(),
        "ALTER USER beachmaster_probe@'%' PASSWORD EXPIRE INTERVAL 1 DAY".to_owned(),
        format!("SET GLOBAL strict_password_validation=0; ALTER USER beachmaster_probe@'%' {hash}"),
        "DROP USER beachmaster_probe@'%'".to_owned(),
        "ALTER USER mysql@localhost PASSWORD EXPIRE, ACCOUNT LOCK".replace(", ", " "),
        "DROP USER mysql@localhost".to_owned(),
        "UPDATE mysql.global_priv SET Priv = '[1]' WHERE User = 'beachmaster_probe'; FLUSH PRIVILEGES".to_owned(),
    ] {
        member.sql(&change);
        until(&change, || {
            // Nobody logs in as long as our own account is locked.
            let rows = member.try_sql(PRIVILEGES).unwrap_or_default();
            let never = !rows.is_empty() && rows.lines().all(|row| row.contains("\"password_lifetime\":0"));
            let free = !rows.contains("\"account_locked\":true") && !rows.contains("\"password_last_changed\":0");
            never && free && probe(&member).is_ok()
        });
    }
    // Its own account is shut, and mended all the same.
    member.sql("ALTER USER beachmaster_repl_0@'%' PASSWORD EXPIRE");
    let own = "SELECT Priv FROM mysql.global_priv WHERE User = 'beachmaster_repl_0'";
    until("what is shut is mended", || !member.sql(own).contains("_last_changed\":0"));
    assert!(member.sql(own).contains("\"account_locked\":true"));
    let same = member.sql(PRIVILEGES);
    std::thread::sleep(Duration::from_secs(11));
    assert_eq!(member.sql(PRIVILEGES), same, "what is whole is left alone");
}

/// The probe's own account gets in where no client does, and says so. What members hold is no client's.
#[test]
fn a_server_that_is_full_for_others_is_told() {
    Version::ALL.into_iter().for_each(full_for_others_is_told);
}

fn full_for_others_is_told(version: Version) {
    let member = Member::start_like(Setup::plain(version), 0);
    member.init();
    until("the accounts are there", || probe(&member).is_ok());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // One may meet a client on its way out in the last place there is.
    let used_up = || {
        let password = Secret("secretprobe".to_owned());
        runtime.block_on(async {
            let limit = Duration::from_secs(20);
            let mut session = mariadb::probe::connect("127.0.0.1", member.port, password, limit).await?;
            mariadb::probe::used_up(&mut session).await
        })
    };
    member.sql("SET GLOBAL sql_select_limit=0");
    assert_eq!(used_up(), Ok(None), "it reads all the same");
    member.sql("SET GLOBAL sql_select_limit=DEFAULT");
    member.sql("SET sql_log_bin=0; CREATE USER u IDENTIFIED BY 'secret'; SET GLOBAL max_connections=15");
    let idle = |port: u16| {
        let mut client = Command::new(member.setup.version.program("mariadb"));
        client.args([
            "--no-defaults",
            "--host=127.0.0.1",
            "--user=u",
            "--password=secret",
            "--execute=SELECT SLEEP(1000)",
        ]);
        client.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        client.spawn().unwrap()
    };
    let mut clients: Vec<Child> = (0..20).map(|_| idle(member.extra_port)).collect();
    let asleep = || member.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'u'");
    until("they are in", || asleep() == "20");
    assert_eq!(used_up(), Ok(None), "{version}");
    until("all are used", || {
        clients.push(idle(member.port));
        used_up() == Ok(Some(15))
    });
    until("clients are turned away", || {
        over_network(&member, "u", "secret", "SELECT 1").is_err_and(|error| error.contains("1040"))
    });
    // As the message of `PrimarySick` says.
    until("an administrator makes room", || {
        member.try_sql("SET GLOBAL max_connections=2*@@max_connections").is_ok_and(|_| used_up() == Ok(None))
    });
    over_network(&member, "u", "secret", "SELECT 1").unwrap();
    member.sql("SET GLOBAL max_connections=15");
    clients.iter_mut().for_each(|client| client.kill().unwrap());
    for client in &mut clients {
        client.wait().unwrap();
    }
    until("there is room again", || used_up() == Ok(None));
}

/// Under a long read lock the repair is tried again and again; no try leaves anything behind.
#[test]
fn a_read_lock_holds_up_one_try_at_a_time() {
    let member = Member::start_like(strict(Version::V10_11), 0);
    member.init();
    member.wait_for("the accounts are right", |state| state.sql_notes.accounts_wrong.is_none());
    let waiting = || member.sql("SELECT id FROM information_schema.processlist WHERE info LIKE 'ALTER USER%'");
    let mut lock = member.client("FLUSH TABLES WITH READ LOCK; SELECT SLEEP(1000)");
    let (mut tries, mut waited) = (0, false);
    until("it was tried three times", || {
        let now = waiting();
        assert!(now.lines().count() <= 1, "sessions {now} wait");
        tries += u32::from(!now.is_empty() && !waited);
        waited = !now.is_empty();
        tries >= 3 && !waited
    });
    member.wait_for("it says so", |state| {
        state
            .sql_notes
            .accounts_wrong
            .as_ref()
            .is_some_and(|wrong| ["error 1205", "error 1969"].iter().any(|code| wrong.contains(code)))
    });
    lock.kill().unwrap();
    lock.wait().unwrap();
    let sleeper = member.sql("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(1000)%'");
    sleeper.lines().for_each(|id| drop(member.try_sql(&format!("KILL {id}"))));
    member.wait_for("the accounts are looked after", |state| state.sql_notes.accounts_wrong.is_none());
    assert_eq!(waiting(), "");
}

/// Killed in the middle, while it waits for a backup's lock, a repair leaves the policy off only until the next look.
fn a_policy_is_put_back_whoever_is_killed(version: Version) {
    let member = Member::start_like(strict(version), 0);
    member.init();
    let mut lock = member.client("BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT; SELECT SLEEP(1000)");
    let strict = || member.sql("SELECT @@strict_password_validation");
    until("the lock is there", || {
        !member.sql("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(1000)%'").is_empty()
    });
    fs::write(member.path("accounts/probe"), "changed\n").unwrap();
    member.hand_over();
    let repairs = "SELECT id FROM information_schema.processlist WHERE user = 'mysql' \
                   AND (info LIKE 'BEGIN NOT ATOMIC%' OR info LIKE 'GRANT%')";
    until("the repair is killed while the policy is off", || {
        let id = member.sql(repairs);
        !id.is_empty() && member.try_sql(&format!("KILL {id}")).is_ok() && strict() == "0"
    });
    until("the policy is back", || strict() == "1");
    lock.kill().unwrap();
    lock.wait().unwrap();
    let sleeper = member.sql("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(1000)%'");
    sleeper.lines().for_each(|id| drop(member.try_sql(&format!("KILL {id}"))));
    until("the probe has its password", || over_network(&member, "beachmaster_probe", "changed", "SELECT 1").is_ok());
    // The password works before the statement that set it has ended.
    until("the policy holds again", || strict() == "1");
}

#[test]
fn a_policy_is_put_back_whoever_is_killed_10_11() {
    a_policy_is_put_back_whoever_is_killed(Version::V10_11);
}

#[test]
fn a_policy_is_put_back_whoever_is_killed_11_8() {
    a_policy_is_put_back_whoever_is_killed(Version::V11_8);
}

const PRIVILEGES: &str = "SELECT Priv FROM mysql.global_priv WHERE (User LIKE 'beachmaster%' OR User = 'mysql') AND User <> 'beachmaster_repl_0' ORDER BY User";

#[test]
fn an_agent_that_cannot_log_in_says_so_and_is_patient() {
    let mut member = Member::start(0);
    member.init();
    member.sql("DROP USER mysql@localhost");
    member.kill_agent();
    member.start_agent();
    let state = member.wait_for("it says so", |state| state.sql_notes.login_refused.is_some());
    assert!(matches!(state.mariadbd, Mariadbd::Running { sql: false, .. }));
    let tries = || fs::read_to_string(member.path("agent.log")).unwrap().matches("cannot be prepared yet").count();
    let (before, began) = (tries(), Instant::now());
    std::thread::sleep(Duration::from_secs(6));
    let more = tries() - before;
    assert!((1..=4).contains(&more), "{more} tries in {:?}", began.elapsed());
}

#[test]
fn a_changed_password_reaches_a_replication_connection() {
    let [primary, replica] = pair(Setup::default());
    until("the replica receives", || receives(&replica));
    // Not for a stall of two seconds: it would connect anew with the old password.
    replica.sql("SET GLOBAL slave_net_timeout=60; STOP SLAVE IO_THREAD; START SLAVE IO_THREAD");
    until("the replica receives", || receives(&replica));
    for member in [&primary, &replica] {
        fs::write(member.path("accounts/repl-1"), "changed\n").unwrap();
        member.hand_over();
    }
    let changed = |user: &str| over_network(&primary, user, "changed", "SELECT 1").is_ok();
    until("the source has the new password", || changed("beachmaster_repl_1"));
    replica.wait_for("the replica knows", |state| state.sql_notes.password_changed);
    assert!(receives(&replica), "what is connected stays connected");
    let dump = "SELECT id FROM information_schema.processlist WHERE user = 'beachmaster_repl_1'";
    primary.sql(&format!("KILL CONNECTION {}", primary.sql(dump)));
    until("the source refuses the old one", || {
        replica.sql("SHOW ALL SLAVES STATUS").contains("\t1045\t") && !receives(&replica)
    });
    replica.stream().obey(1, 3, Order::Follow { source: primary.source(), acker: None, wait: None });
    until("the replica receives again", || receives(&replica));
    assert!(!replica.state().sql_notes.password_changed);
}
