//! Sessions with a server that is none.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::layout::PROBE_USER;

/// Nothing changed, and the session commits by itself.
const OK: [u8; 7] = [0, 0, 0, 2, 0, 0, 0];

/// A server's greeting without TLS.
fn greeting() -> Vec<u8> {
    let mut greeting = vec![10];
    greeting.extend(b"11.8.6-MariaDB\0\x01\0\0\0");
    greeting.extend(b"abcdefgh\0");
    // Capabilities: long password, protocol 4.1, secure connection; plugin authentication.
    greeting.extend([0x01, 0x82, 33, 2, 0, 0x08, 0, 21]);
    greeting.extend([0; 10]);
    greeting.extend(b"ijklmnopqrst\0mysql_native_password\0");
    greeting
}

/// The greeting, and OK to any login.
async fn greet(client: &mut TcpStream) {
    packet(client, 0, &greeting()).await;
    request(client).await;
    packet(client, 2, &OK).await;
}

/// A result set of one column that never ends.
async fn answer_for_ever(mut client: TcpStream, row: usize) {
    greet(&mut client).await;
    request(&mut client).await;
    packet(&mut client, 1, &[1]).await;
    let mut column = b"\x03def\0\0\0\x01a\0".to_vec();
    column.extend([12, 33, 0, 0, 4, 0, 0, 0xfd, 0, 0, 0, 0, 0]);
    packet(&mut client, 2, &column).await;
    packet(&mut client, 3, &[0xfe, 0, 0, 2, 0]).await;
    let mut number = 4_u8;
    let mut text = vec![0xfd];
    text.extend(&u32::try_from(row).unwrap().to_le_bytes()[..3]);
    text.extend(vec![b'a'; row]);
    while packet(&mut client, number, &text).await {
        number = number.wrapping_add(1);
    }
}

async fn packet(client: &mut TcpStream, number: u8, payload: &[u8]) -> bool {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_le_bytes();
    bytes[3] = number;
    client.write_all(&[&bytes, payload].concat()).await.is_ok()
}

async fn request(client: &mut TcpStream) {
    let mut head = [0; 4];
    client.read_exact(&mut head).await.unwrap();
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    let mut rest = vec![0; usize::try_from(length).unwrap()];
    client.read_exact(&mut rest).await.unwrap();
}

/// A session with a server that does this.
async fn session_with<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> Session
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        serve(client).await;
    });
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
    let login = Login { address, user: PROBE_USER.to_owned(), password: None, setup: None };
    Session::connect(&login, Duration::from_secs(20)).await.unwrap()
}

/// What a session says that is bounded to 100 rows and 64 kB, when each row has this many bytes.
async fn asked(row: usize) -> SqlError {
    let session = session_with(move |client| answer_for_ever(client, row)).await;
    let mut session = session.bounded(Bounds { rows: 100, bytes: 64 * 1024 });
    let error = session.rows::<(String,)>("SHOW GLOBAL STATUS").await.unwrap_err();
    assert!(session.is_broken(), "the rest of the answer is still to come");
    error
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    for row in [1, 10_000] {
        let error = asked(row).await;
        assert!(error.to_string().contains("longer than 100 rows or 65536 bytes"), "{error}");
    }
}

#[tokio::test]
async fn a_row_that_is_too_long_is_not_read() {
    let error = asked(2 * 1024 * 1024).await;
    assert!(
        error.to_string().contains("a packet of 2097156 bytes is announced; at most 65536 are accepted"),
        "{error}"
    );
}

/// OK to the statement before last, and nothing to the last one.
async fn answer_once(mut client: TcpStream) {
    greet(&mut client).await;
    request(&mut client).await;
    packet(&mut client, 1, &OK).await;
    request(&mut client).await;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_session_whose_user_was_cut_off_in_a_statement_is_broken() {
    for query in [false, true] {
        let mut session = session_with(answer_once).await;
        session.execute("DO 1").await.unwrap();
        assert!(!session.is_broken());
        let cut_off =
            async { if query { session.row::<u8>("SELECT 1").await.map(drop) } else { session.execute("DO 2").await } };
        assert!(timeout(Duration::from_millis(20), cut_off).await.is_err(), "its user does not wait for the answer");
        assert!(session.is_broken(), "the answer is still to come");
        let error = session.row::<u8>("SELECT 2").await.unwrap_err();
        assert!(matches!(error, SqlError::Broken { .. }) && !error.is_gone(), "{error}");
    }
}

/// A packet of the server's own, in the place of the answer to a statement.
async fn says(mut client: TcpStream, number: u8, payload: &[u8]) {
    greet(&mut client).await;
    request(&mut client).await;
    packet(&mut client, number, payload).await;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_session_that_the_server_has_ended_is_not_used_again() {
    const KILLED: &[u8] = b"\xff\x87\x07#70100Connection was killed";
    for (number, gone) in [(0, true), (1, false)] {
        let mut session = session_with(move |client| says(client, number, KILLED)).await;
        let error = session.execute("DO 1").await.unwrap_err();
        assert_eq!((error.is_gone(), error.code()), (gone, (!gone).then_some(1927)), "{error}");
        assert!(session.is_broken());
    }
}

#[tokio::test]
async fn nobody_is_told_a_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        packet(&mut client, 0, &greeting()).await;
        request(&mut client).await;
        packet(&mut client, 2, b"\xfecaching_sha2_password\0abcdefghijklmnopqrst\0").await;
        let mut more = Vec::new();
        client.read_to_end(&mut more).await.map(|_| more)
    });
    let password = Some(Secret("secret".to_owned()));
    let login = Login { address, user: PROBE_USER.to_owned(), password, setup: None };
    let error = Session::connect(&login, Duration::from_secs(20)).await.unwrap_err();
    assert!(error.is_denied() && error.to_string().contains("caching_sha2_password"), "{error}");
    assert_eq!(server.await.unwrap().unwrap(), b"", "not a word after that");
}

#[tokio::test]
async fn a_full_queue_is_silence() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("full.sock");
    let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let login = Login { address: Address::Socket(path), user: "mysql".to_owned(), password: None, setup: None };
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let begun = tokio::net::UnixStream::connect(home.path().join("full.sock"));
        waiting.extend(begun.await.ok());
    }
    assert!(waiting.len() < 3, "the queue takes one");
    let error = Session::connect(&login, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, SqlError::Silent { .. }), "{error}");
}
