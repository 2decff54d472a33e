//! Ports of the loopback interface for servers that bind them later, or again and again.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;

/// The kernel gives a client any port of this range, also one that a server has just let go of.
const GIVEN_TO_CLIENTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// How many are looked at below that range.
const LOOKED_AT: u16 = 16_384;

/// A port that nobody listens on, that no client gets, and that no other test takes before this process ends.
pub fn free_port() -> u16 {
    /// TCP and UDP count their ports apart: a UDP socket is the claim.
    static CLAIMS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let range = std::fs::read_to_string(GIVEN_TO_CLIENTS).unwrap();
    let lowest: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let first = lowest.checked_sub(LOOKED_AT).expect("clients get low ports, too");
    let mut claims = CLAIMS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Processes begin at different places, so that none looks at what all others have.
    let begin = std::process::id() % u32::from(LOOKED_AT);
    let ports = (0..LOOKED_AT).map(|n| first + u16::try_from((begin + u32::from(n)) % u32::from(LOOKED_AT)).unwrap());
    let claim = |port| {
        let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        // For all addresses: the agent listens on them.
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok().then_some((port, claim))
    };
    let (port, claim) = ports.into_iter().find_map(claim).expect("no port is free");
    claims.push(claim);
    port
}
