//! Handshake and commands: a client that sends anything, before and after its login, and is streamed to.

use std::sync::{Arc, OnceLock};

use crate::auth;
use crate::binlog::{Catalogue, Checksum, FileScan, FileScanner, Head, Keys, LogName};
use crate::packet::{PacketReader, PacketWriter};
use crate::protocol::{Connection, Login, Place, Scramble, Settings, Step};
use crate::sample::LogFile;

/// Bits of the first byte.
const LOG_IN: u8 = 0x01;
const WHOLE_PACKETS: u8 = 0x02;
const HEARTBEATS: u8 = 0x04;
const CHANGED_FILES: u8 = 0x08;

const RANDOM: [u8; 20] = [5; 20];
const MAX_PACKET: usize = 0xff_ffff;
/// What a client can make the server send at one step, above the bytes of a file: a few small packets.
const MOST_OUTPUT: usize = 1 << 20;

pub fn run(data: &[u8]) {
    let Some((mode, chunk, rest)) = crate::split(data) else { return };
    let logs = Logs::get();
    let login = Login::new("tail", "secret").expect("the password is not empty");
    let scramble = Scramble::from_random(RANDOM);
    let settings = Settings { catalogue: Arc::clone(&logs.catalogue), login, scramble, connection_id: 7 };
    let mut server = Server { connection: Connection::new(settings), logs, mode, sent: Vec::new() };
    if mode & LOG_IN != 0 && !server.receive(&login_packet()) {
        panic!("the right login is refused");
    }
    if mode & WHOLE_PACKETS == 0 {
        let _ = rest.chunks(chunk).all(|bytes| server.receive(bytes));
    } else {
        let _ = crate::parts(rest).all(|payload| {
            let mut packet = Vec::new();
            PacketWriter::new(0).payload(&mut packet, payload);
            packet.chunks(chunk).all(|bytes| server.receive(bytes))
        });
    }
    server.whole_packets_were_sent();
}

/// The logs that are served: the middle file has no head, as a crash leaves one.
struct Logs {
    files: Vec<Vec<u8>>,
    contents: Vec<Option<(Arc<Head>, Arc<FileScan>)>>,
    catalogue: Arc<Catalogue>,
}

impl Logs {
    fn get() -> &'static Self {
        static LOGS: OnceLock<Logs> = OnceLock::new();
        LOGS.get_or_init(|| {
            let file = |sequence| LogFile::new(Checksum::Crc32, 0).after(sequence);
            let files = vec![
                file(0).transaction(1, 40).transaction(2, 300).bytes,
                Vec::new(),
                file(2).transaction(3, 9).transaction(4, 9).bytes,
            ];
            let contents: Vec<_> = files.iter().map(|bytes| contents(bytes)).collect();
            let name = |number: usize| LogName::parse(&format!("bin.{number:06}"), "bin").expect("a name");
            let (head, scan) = contents[2].clone().expect("the last file has a head");
            let catalogue = Arc::new(Catalogue::new(vec![name(1), name(2)], name(3), head, scan));
            Self { files, contents, catalogue }
        })
    }
}

fn contents(bytes: &[u8]) -> Option<(Arc<Head>, Arc<FileScan>)> {
    let mut scanner = FileScanner::new(bytes.len() as u64, &Keys::missing("none is needed"));
    scanner.feed(&[]).and_then(|()| scanner.feed(bytes)).expect("the file is right");
    scanner.finish().map(|(head, scan)| (Arc::new(head), Arc::new(scan)))
}

struct Server {
    connection: Connection,
    logs: &'static Logs,
    mode: u8,
    sent: Vec<u8>,
}

impl Server {
    /// False when the connection is over.
    fn receive(&mut self, bytes: &[u8]) -> bool {
        self.connection.receive(bytes, 7).is_ok() && self.work()
    }

    /// Does what the connection asks for until it waits for the client; false when it is over.
    fn work(&mut self) -> bool {
        // Every step goes forward in two small files: many more would be an endless loop.
        for _ in 0..100 {
            let step = self.connection.step();
            self.take();
            match step {
                Step::Receive => return true,
                Step::Idle { .. } => {
                    self.beat();
                    return true;
                }
                Step::Close => return false,
                Step::Position { .. } => self.connection.position(Some(&self.logs.catalogue.end().position)),
                Step::Start(place) => self.start(&place),
                Step::Scan { file, .. } => {
                    self.beat();
                    let found = self.logs.contents.get(file).and_then(Option::as_ref);
                    self.connection.scanned(file, found.map(|(head, scan)| (&**head, scan)));
                }
                Step::Read { file, offset, length } => self.read(file, offset, length),
            }
            // A question that was answered may leave packets that wait.
            if self.connection.receive(&[], 7).is_err() {
                return false;
            }
        }
        panic!("the connection never comes to an end");
    }

    fn start(&mut self, place: &Place) {
        let head = |index: usize| self.logs.contents.get(index)?.as_ref().map(|(head, _)| Arc::clone(head));
        let start = match place {
            Place::After(had) => self.logs.catalogue.start(had, head),
            Place::At { file, offset } => self.logs.catalogue.start_at(file, *offset),
        };
        match start.map(|start| (head(start.file), start)) {
            Ok((Some(head), start)) => self.connection.started(Ok((start, &head))),
            Ok((None, _)) => self.connection.fail("the file has no head"),
            Err(refusal) => self.connection.started(Err(refusal)),
        }
    }

    fn read(&mut self, file: usize, offset: u64, length: u64) {
        let whole = &self.logs.files[file];
        assert!(length > 0 && offset + length <= whole.len() as u64, "{length} bytes at {offset} are not in the file");
        let mut bytes = whole[offset as usize..(offset + length) as usize].to_vec();
        if self.mode & CHANGED_FILES != 0 {
            bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= self.mode);
        }
        self.connection.file_bytes(&bytes);
    }

    fn beat(&mut self) {
        if self.mode & HEARTBEATS != 0 {
            self.connection.heartbeat();
            self.take();
        }
    }

    fn take(&mut self) {
        let output = self.connection.take_output();
        assert!(output.len() <= MOST_OUTPUT, "{} bytes at once", output.len());
        self.sent.extend(output);
    }

    /// Unless a file changed while it was sent, the client can take all packets apart.
    fn whole_packets_were_sent(&mut self) {
        if self.mode & CHANGED_FILES != 0 {
            return;
        }
        let mut reader = PacketReader::default();
        reader.feed(&self.sent);
        let mut length = 0;
        while let Ok(Some(packet)) = reader.next(MAX_PACKET) {
            length += 4 + packet.payload.len();
        }
        assert_eq!(length, self.sent.len(), "a packet was begun and not ended");
    }
}

/// The handshake response of a replica that knows the password.
fn login_packet() -> Vec<u8> {
    let mut payload = 0x8_a20d_u32.to_le_bytes().to_vec();
    payload.extend([0; 28]);
    payload.extend(b"tail\0\x14");
    payload.extend(auth::token(b"secret", &auth::Scramble::from_random(RANDOM)));
    let mut packet = Vec::new();
    PacketWriter::new(1).payload(&mut packet, &payload);
    packet
}
