//! The client against our own server's side, and against servers that are none.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::auth::PLUGIN;
use super::super::connection::{Connection, Settings, Step};
use super::super::reply::{ResultSet, ServerError};
use super::super::{Login, Scramble};
use super::*;
use crate::binlog::Checksum;
use crate::binlog::testing::{LogFile, catalogue};

const BOUNDS: Bounds = Bounds { rows: 10, bytes: 4_096 };
const OK_PACKET: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];

fn client() -> Client {
    let credentials = Credentials { user: "tail".to_owned(), password: Some("secret".to_owned()) };
    Client::new(credentials, BOUNDS)
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    PacketWriter::new(sequence).payload(&mut out, payload);
    out
}

/// As MariaDB 11.8 greets, with these capabilities and this plugin.
fn greeting(capabilities: u32, plugin: &str) -> Vec<u8> {
    let [c0, c1, c2, c3] = capabilities.to_le_bytes();
    let mut out = b"\x0a11.8.6-MariaDB\0\x07\0\0\0abcdefgh\0".to_vec();
    out.extend([c0, c1, 45, 2, 0, c2, c3, 21]);
    out.extend([0; 10]);
    out.extend(b"ijklmnopqrst\0");
    out.extend(plugin.bytes());
    out.push(0);
    out
}

fn logged_in() -> Client {
    let mut client = client();
    client.receive(&packet(0, &greeting(0xffff_ffff, PLUGIN))).unwrap();
    client.receive(&packet(2, OK_PACKET)).unwrap();
    assert_eq!(client.take_answer(), Some(Ok(Vec::new())));
    client.take_output();
    client
}

/// What comes of these packets after a statement.
fn asked(payloads: &[&[u8]]) -> Result<Option<Answer>, ClientError> {
    let mut client = logged_in();
    client.ask("SELECT 1").unwrap();
    assert_eq!(client.take_output(), b"\x09\0\0\0\x03SELECT 1");
    for (number, payload) in payloads.iter().enumerate() {
        let sequence = u8::try_from(number + 1).unwrap();
        for byte in packet(sequence, payload) {
            client.receive(&[byte])?;
        }
    }
    Ok(client.take_answer())
}

fn column(name: &str) -> Vec<u8> {
    let mut out = b"\x03def\0\0\0".to_vec();
    out.push(u8::try_from(name.len()).unwrap());
    out.extend(name.bytes());
    out.extend([0, 12, 33, 0, 0, 4, 0, 0, 0xfd, 0, 0, 0, 0, 0]);
    out
}

#[test]
fn it_logs_in_to_our_own_server_and_reads_its_rows() {
    let (catalogue, _) = catalogue(&[LogFile::new("", Checksum::Crc32).transaction("0-1-1", 9)]);
    let scramble = Scramble::from_random([5; 20]);
    let settings = Settings {
        catalogue: Arc::new(catalogue),
        login: Login::new("tail", "secret").unwrap(),
        scramble,
        connection_id: 7,
    };
    let mut server = Connection::new(settings);
    let mut client = client();
    let mut run = |client: &mut Client| {
        for _ in 0..10 {
            client.receive(&server.take_output()).unwrap();
            server.receive(&client.take_output(), 1_700_000_000).unwrap();
            assert_eq!(server.step(), Step::Receive);
        }
        client.take_answer()
    };
    assert_eq!(run(&mut client), Some(Ok(Vec::new())));
    assert_eq!(client.connection_id(), 7);
    client.ask("SHOW VARIABLES LIKE 'SERVER_ID'").unwrap();
    let rows = run(&mut client).unwrap().unwrap();
    assert_eq!(rows[0].columns(), ["Variable_name", "Value"]);
    assert_eq!(rows[0].values().unwrap(), [Some(&b"server_id"[..]), Some(b"1")]);
    client.ask("SELECT @nothing").unwrap();
    assert_eq!(run(&mut client).unwrap().unwrap()[0].values().unwrap(), [None]);
    client.ask("DROP DATABASE d").unwrap();
    assert_eq!(run(&mut client).unwrap().unwrap_err().code, 1064);
}

#[test]
fn a_challenge_is_answered_once_more_and_only_by_the_known_plugin() {
    let scramble = b"uvwxyzUVWXYZ01234567";
    let switch = |plugin: &[u8]| [b"\xfe", plugin, b"\0", scramble, b"\0"].concat();
    let mut client = client();
    client.receive(&packet(0, &greeting(0xffff_ffff, "caching_sha2_password"))).unwrap();
    client.take_output();
    client.receive(&packet(2, &switch(PLUGIN.as_bytes()))).unwrap();
    let token = super::super::auth::token(b"secret", &Scramble::of_server(*scramble));
    assert_eq!(client.take_output(), packet(3, &token));
    assert_eq!(client.take_answer(), None);
    let again = client.receive(&packet(4, &switch(PLUGIN.as_bytes())));
    assert!(matches!(again, Err(ClientError::Unexpected { .. })), "{again:?}");

    for plugin in ["caching_sha2_password", "mysql_clear_password", "dialog", "sha256_password", ""] {
        let mut client = self::client();
        client.receive(&packet(0, &greeting(0xffff_ffff, plugin))).unwrap();
        client.take_output();
        let refused = client.receive(&packet(2, &switch(plugin.as_bytes())));
        assert_eq!(refused, Err(ClientError::Plugin { plugin: plugin.to_owned() }));
        assert_eq!(client.take_output(), b"", "nothing is said to {plugin}");
    }
    // The short form of the old password's plugin, and a key for a password (`AuthMoreData`).
    for payload in [&b"\xfe"[..], b"\x01-----BEGIN PUBLIC KEY-----", b"\x01\x04"] {
        let mut client = self::client();
        client.receive(&packet(0, &greeting(0xffff_ffff, PLUGIN))).unwrap();
        client.take_output();
        assert!(client.receive(&packet(2, payload)).is_err());
        assert_eq!(client.take_output(), b"");
    }
}

#[test]
fn a_server_without_what_is_needed_is_sent_nothing() {
    let lacks = [0xffff_fdff, 0xffff_7fff, 0xfff7_ffff].map(|capabilities| greeting(capabilities, PLUGIN));
    for payload in lacks.into_iter().chain([b"\x09old\0".to_vec()]) {
        let mut client = client();
        assert_eq!(client.receive(&packet(0, &payload)), Err(ClientError::Old));
        assert_eq!(client.take_output(), b"");
    }
    let mut client = client();
    assert!(client.receive(b"HTTP/1.1 400 Bad Request\r\n").is_err());
}

#[test]
fn errors_are_read_at_any_time_with_and_without_a_state() {
    let mut client = client();
    client.receive(&packet(0, b"\xff\x10\x04Too many connections")).unwrap();
    let refusal = client.take_answer().unwrap().unwrap_err();
    assert_eq!((refusal.code, refusal.message.as_str()), (1040, "Too many connections"));

    // A session that was killed before it asked, and one that was before the server had read the question.
    let killed = b"\xff\x87\x07#70100Connection was killed";
    let ended = |result| matches!(result, Err(ClientError::Ended(Refusal { code: 1927, .. })));
    let mut client = logged_in();
    client.receive(&packet(0, killed)).unwrap();
    assert!(ended(client.ask("SELECT 1")));
    assert_eq!(client.take_output(), b"");
    let mut client = logged_in();
    client.ask("SELECT 1").unwrap();
    assert!(ended(client.receive(&packet(0, killed))));
    assert_eq!(asked(&[killed]).unwrap().unwrap().unwrap_err().code, 1927, "in the middle of the statement");

    let rows_then_error = asked(&[b"\x01", &column("a"), EOF, b"\x011", &ServerError::binlog("late").payload()]);
    assert_eq!(rows_then_error.unwrap().unwrap().unwrap_err().message, "late");
}

#[test]
fn answers_that_are_none_are_refused_by_what_they_announce() {
    let columns = |count: &[u8]| asked(&[count]).unwrap_err();
    assert_eq!(columns(b"\xfe\0\0\0\0\0\x01\0\0"), ClientError::Columns { columns: 1 << 40, most: 256 });
    assert_eq!(columns(b"\xfc\x01\x01"), ClientError::Columns { columns: 257, most: 256 });
    assert!(matches!(columns(b"\xfb/etc/passwd"), ClientError::Unexpected { .. }), "a file of ours");
    assert!(matches!(columns(&[0, 0, 0, 10, 0, 0, 0]), ClientError::Unexpected { .. },), "more results");
    let more = asked(&[b"\x01", &column("a"), EOF, &[0xfe, 0, 0, 10, 0]]);
    assert!(matches!(more, Err(ClientError::Unexpected { .. })), "{more:?}");
    assert!(matches!(asked(&[b""]), Err(ClientError::Packet(ProtocolError::Empty))));
    let mut ahead = logged_in();
    ahead.receive(&packet(1, OK_PACKET)).unwrap();
    assert!(matches!(ahead.ask("SELECT 1"), Err(ClientError::Unexpected { .. })), "an answer ahead of its question");
    let mut out_of_order = logged_in();
    out_of_order.ask("SELECT 1").unwrap();
    let found = out_of_order.receive(&packet(5, OK_PACKET));
    assert_eq!(found, Err(ClientError::Packet(ProtocolError::Sequence { found: 5, expected: 1 })));
}

#[test]
fn an_answer_is_taken_up_to_its_bounds() {
    let rows = |count: usize, bytes: usize| {
        let row = [&[u8::try_from(bytes).unwrap()][..], &vec![b'a'; bytes]].concat();
        let head = [&b"\x01"[..], &column("a"), EOF];
        let parts: Vec<&[u8]> = head.iter().map(|part| part.as_ref()).collect();
        let column = column("a");
        let mut payloads: Vec<&[u8]> = vec![parts[0], &column, EOF];
        payloads.extend(std::iter::repeat_n(row.as_slice(), count));
        payloads.push(EOF);
        asked(&payloads)
    };
    assert_eq!(rows(10, 1).unwrap().unwrap().unwrap().len(), 10);
    assert_eq!(rows(11, 1).unwrap_err(), ClientError::TooLong(BOUNDS));
    assert_eq!(rows(10, 200).unwrap().unwrap().unwrap().len(), 10);
    let shorter = Bounds { bytes: 2_000, ..BOUNDS };
    let mut client = logged_in();
    client.set_bounds(shorter);
    client.ask("SELECT 1").unwrap();
    let announced = client.receive(&[0xff, 0xff, 0xff, 1]);
    assert!(
        matches!(announced, Err(ClientError::Packet(ProtocolError::TooLong { limit: 2_000, .. }))),
        "{announced:?}"
    );
}

#[test]
fn a_row_with_other_columns_is_an_error_and_no_panic() {
    let long = [&b"\xfc\x2c\x01"[..], &[b'a'; 300]].concat();
    let rows = [(&b"\x01a"[..], true), (b"\xfb", true), (b"\x05a", false), (b"\x01ab", false), (&long, true)];
    for (row, whole) in rows {
        let rows = asked(&[b"\x01", &column("a"), EOF, row, EOF]).unwrap().unwrap().unwrap();
        assert_eq!(rows[0].values().is_ok(), whole, "{row:?}");
    }
    // Eight bytes and more that begin like an end are a row.
    let long = asked(&[b"\x01", &column("a"), EOF, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", EOF]);
    assert!(long.unwrap().unwrap().unwrap()[0].values().is_err());
}

#[test]
fn a_session_says_farewell_unless_an_answer_is_due() {
    let mut client = logged_in();
    assert_eq!(client.farewell().as_deref(), Some(&b"\x01\0\0\0\x01"[..]));
    client.ask("SELECT 1").unwrap();
    assert_eq!(client.farewell(), None);
    assert_eq!(format!("{client:?}"), r#"Client { credentials: Credentials { user: "tail", .. }, id: 7, .. }"#);
}

#[test]
fn an_answer_may_have_more_packets_than_there_are_numbers() {
    let mut client = logged_in();
    client.set_bounds(Bounds { rows: 1_000, bytes: 1 << 20 });
    client.ask("SELECT 1").unwrap();
    let column = column("a");
    let payloads = [b"\x01", &column[..], EOF].into_iter().chain(std::iter::repeat_n(&b"\x011"[..], 600)).chain([EOF]);
    for (number, payload) in payloads.enumerate() {
        client.receive(&packet(u8::try_from((number + 1) % 256).unwrap(), payload)).unwrap();
    }
    assert_eq!(client.take_answer().unwrap().unwrap().len(), 600);
}

proptest! {
    #[test]
    fn any_packets_of_a_server_are_taken_without_a_panic(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..12),
        answers: bool, columns in 1_u8..3, chunk in 1_usize..50,
    ) {
        let mut client = if answers { logged_in() } else { client() };
        if answers {
            client.ask("SELECT 1").unwrap();
        }
        // Rows of some columns, so that not all ends at the first packet.
        let mut head = vec![vec![columns]];
        head.extend(vec![column("a"); usize::from(columns)]);
        head.push(EOF.to_vec());
        let payloads = head.into_iter().filter(|_| answers).chain(payloads);
        let first = u8::from(answers);
        let bytes: Vec<u8> = payloads.zip(first..).flat_map(|(payload, number)| packet(number, &payload)).collect();
        let _ = bytes.chunks(chunk).try_for_each(|piece| client.receive(piece));
        if let Some(Ok(rows)) = client.take_answer() {
            rows.iter().for_each(|row| drop(row.values()));
        }
    }

    #[test]
    fn rows_of_our_own_server_read_back(value in prop::option::of(".{0,300}")) {
        let set = ResultSet::value("x", value.clone());
        let payloads = set.payloads();
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let rows = asked(&payloads).unwrap().unwrap().unwrap();
        prop_assert_eq!(rows[0].values().unwrap(), [value.as_deref().map(str::as_bytes)]);
    }
}
