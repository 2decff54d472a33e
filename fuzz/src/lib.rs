//! Fuzzing of all that reads bytes of files or of the network: `make fuzz`.
//!
//! The project's pure folders are compiled into this crate, without what they do not need. Each module below is one
//! target; the first two bytes of an input say how the others are used.

#[path = "../../src/binlog/mod.rs"]
#[allow(dead_code, unused_imports)]
pub mod binlog;
#[path = "../../src/errno.rs"]
#[allow(dead_code, unused_imports)]
mod errno;
#[path = "../../src/gtid.rs"]
#[allow(dead_code, unused_imports)]
pub mod gtid;
#[path = "../../src/protocol/mod.rs"]
#[allow(dead_code, unused_imports)]
pub mod protocol;

// Of `protocol`, but not to be seen outside of it.
#[path = "../../src/protocol/auth.rs"]
#[allow(dead_code, unused_imports)]
mod auth;
#[path = "../../src/protocol/packet.rs"]
#[allow(dead_code, unused_imports)]
mod packet;

pub mod client;
pub mod connection;
pub mod packets;
pub mod reader;
mod sample;

/// The two bytes that say how an input is used, and the rest of it.
fn split(data: &[u8]) -> Option<(u8, usize, &[u8])> {
    let ([mode, chunk], rest) = data.split_first_chunk()?;
    Some((*mode, usize::from(*chunk) + 1, rest))
}

/// The parts of a list: each has its length before it in one byte.
fn parts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first()?;
        let (part, rest) = rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]));
        data = rest;
        Some(part)
    })
}
