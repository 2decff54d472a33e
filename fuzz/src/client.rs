//! Login and answers: a server that sends anything, before and after our login, and once a statement was asked.

use crate::packet::PacketWriter;
use crate::protocol::{Bounds, Client, Credentials};

/// Bits of the first byte.
const LOG_IN: u8 = 0x01;
const WHOLE_PACKETS: u8 = 0x02;

const BOUNDS: Bounds = Bounds { rows: 20, bytes: 8 * 1024 };
/// The answer to a greeting: header, fixed part, "probe", token, plugin.
const MOST_SAID: usize = 4 + 32 + 6 + 21 + 22;
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

pub fn run(data: &[u8]) {
    let Some((mode, chunk, rest)) = crate::split(data) else { return };
    let credentials = Credentials { user: "probe".to_owned(), password: Some("secret".to_owned()) };
    let mut client = Client::new(credentials, BOUNDS);
    let mut number = 0;
    if mode & LOG_IN != 0 {
        receive(&mut client, &packet(0, &greeting()), chunk);
        receive(&mut client, &packet(2, OK), chunk);
        assert_eq!(client.take_answer(), Some(Ok(Vec::new())), "the right greeting is refused");
        client.take_output();
        client.ask("SELECT 1").expect("nothing was said unasked");
        number = 1;
    }
    if mode & WHOLE_PACKETS == 0 {
        receive(&mut client, rest, chunk);
    } else {
        for payload in crate::parts(rest) {
            if !receive(&mut client, &packet(number, payload), chunk) {
                break;
            }
            number = number.wrapping_add(1);
            // The client's own packets of a login count, too.
            if mode & LOG_IN == 0 {
                let said = client.take_output();
                assert!(said.len() <= MOST_SAID, "{} bytes were said", said.len());
                number = number.wrapping_add(u8::from(!said.is_empty()));
            }
        }
    }
    if mode & LOG_IN != 0 {
        assert_eq!(client.take_output().len(), 13, "something was said besides the statement");
    }
    if let Some(Ok(rows)) = client.take_answer() {
        assert!(rows.len() <= BOUNDS.rows);
        let values = rows.iter().filter_map(|row| row.values().ok());
        assert!(values.flatten().flatten().map(<[u8]>::len).sum::<usize>() <= BOUNDS.bytes);
    }
}

/// False when the connection is over.
fn receive(client: &mut Client, bytes: &[u8], chunk: usize) -> bool {
    bytes.chunks(chunk).all(|piece| client.receive(piece).is_ok())
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    PacketWriter::new(number).payload(&mut out, payload);
    out
}

/// As MariaDB 11.8 greets.
fn greeting() -> Vec<u8> {
    let mut out = b"\x0a11.8.6-MariaDB\0\x07\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\xbf\x15".to_vec();
    out.extend([0; 10]);
    out.extend(b"ijklmnopqrst\0mysql_native_password\0");
    out
}
