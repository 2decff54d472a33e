//! Random kills of a replica under a load of DDL and XA.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use beachmaster::orders::{Event, Order};

use crate::pair::Pair;
use testkit::Version;
use testkit::as_server;
use testkit::member::Member;

/// Numbers that look random, the same for the same seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// One client of the source, which writes what it is given one statement after the other.
struct Client {
    process: Child,
}

impl Client {
    fn of(member: &Member) -> Self {
        let mut client = as_server(member.setup.version.program("mariadb"));
        client.args(["--no-defaults", "--batch", "--unbuffered"]);
        client.arg(format!("--socket={}", member.path("run/mysqld.sock").display()));
        Self { process: client.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap() }
    }

    fn write(&mut self, statements: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{statements}").unwrap();
    }

    /// Waits until all is written.
    fn finish(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success(), "the load failed");
    }
}

/// Names of one round, so that no two rounds share any.
fn xa(random: &mut Random, name: &str) -> String {
    let end = ["COMMIT", "COMMIT", "ROLLBACK"][usize::try_from(random.below(3)).unwrap()];
    let plain = if random.below(3) == 0 { "INSERT INTO d.u VALUES (1);" } else { "" };
    format!(
        "XA START '{name}'; INSERT INTO d.t (a) VALUES (1), (2); XA END '{name}'; XA PREPARE '{name}'; XA {end} '{name}'; {plain}"
    )
}

fn ddl(random: &mut Random, name: &str) -> String {
    let dropped =
        if random.below(5) > 0 { format!("DROP VIEW d.{name}v; DROP TABLE d.{name}r;") } else { String::new() };
    format!(
        "CREATE TABLE d.{name} (a INT PRIMARY KEY, b INT); INSERT INTO d.{name} VALUES (1, 2);
         ALTER TABLE d.{name} ADD COLUMN c INT; CREATE VIEW d.{name}v AS SELECT 1; TRUNCATE TABLE d.{name};
         RENAME TABLE d.{name} TO d.{name}r; INSERT INTO d.{name}r VALUES (2, 3, 4); {dropped}"
    )
}

/// More turns than are applied before the latest kill.
const TURNS: u32 = 160;

/// Some seconds of work for the replica, in the middle of which it is killed; then it must end equal. What was mended, by kind.
pub fn kill(pair: &mut Pair, round: u64, random: &mut Random) -> Vec<String> {
    let mut clients: Vec<Client> = (0..3).map(|_| Client::of(&pair.source)).collect();
    for turn in 0..TURNS {
        let name = |client: u64| format!("x{round}_{turn}_{client}");
        clients[0].write(&xa(random, &name(0)));
        clients[1].write(&xa(random, &name(1)));
        if turn % 4 == 0 {
            clients[2].write(&ddl(random, &name(2)));
        }
    }
    // One that stays prepared for some rounds.
    clients[1].write(&format!(
        "XA START 'k{round}'; INSERT INTO d.t (a) VALUES (9); XA END 'k{round}'; XA PREPARE 'k{round}'"
    ));
    let seen = log_length(&pair.replica);
    let mut stream = pair.replica.stream();
    std::thread::sleep(Duration::from_millis(100 + random.below(900)));
    pair.replica.kill_mariadbd();
    stream.event(Event::Exited);
    let written = pair.source.position();
    clients.into_iter().for_each(Client::finish);
    assert_ne!(pair.source.position(), written, "the kill came when all was written: give it more turns");
    if round >= 3 {
        pair.source.sql(&format!("XA COMMIT 'k{}'", round - 3));
    }
    // By itself it starts later after each crash.
    pair.obey(Order::Start);
    pair.follow();
    pair.assert_equal();
    mended(&pair.replica, seen)
}

fn log_length(member: &Member) -> usize {
    fs::read_to_string(member.path("agent.log")).unwrap().len()
}

/// What the agent says it did, one word for each.
fn mended(member: &Member, from: usize) -> Vec<String> {
    let log = fs::read_to_string(member.path("agent.log")).unwrap();
    let mut words = Vec::new();
    for line in log[from..].lines() {
        if line.contains("DDL that a crash interrupted was recovered") {
            words.push("recovered DDL".to_owned());
        } else if line.contains("executed again") {
            words.push("executed again".to_owned());
        } else if line.contains("not done in the engine") {
            words.push("ended by hand".to_owned());
        } else if line.contains("a crash left a transaction") {
            let kind = line.split_once("kind=").unwrap().1;
            let kind: String = kind.chars().take_while(|c| c.is_alphabetic()).collect();
            words.push(format!("position of {kind}"));
        }
    }
    words
}

/// `kills` of one pair, and what was met how often.
pub fn series(version: Version, seed: u64, kills: u64) -> BTreeMap<String, u32> {
    let mut pair = Pair::start(version);
    let mut random = Random(seed);
    let mut met: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..kills {
        let words = kill(&mut pair, round, &mut random);
        println!(
            "{version}, seed {seed}, kill {round}: equal; {}",
            if words.is_empty() { "nothing to mend".to_owned() } else { words.join(", ") }
        );
        words.into_iter().for_each(|word| *met.entry(word).or_default() += 1);
    }
    pair.assert_log_can_be_served();
    println!("{version}, seed {seed}: {kills} kills, {kills} equal ends; {met:?}");
    met
}
