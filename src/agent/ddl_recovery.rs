//! DDL that a crash interrupted on a replica.
//!
//! mariadbd completes an interrupted ALTER or DROP at its next start when it cannot be undone, and writes it to the binary
//! log as a transaction of its own: with its own `server_id` and the next number, which is the number that the source's
//! statement has. The member would have an errant transaction for ever, and could never take the source's.
//!
//! So the recovery happens in a closed room first: a mariadbd that nobody can reach and that ends by itself, with the
//! `server_id` of the server that wrote the statement. Then the transaction is what it is: the source's.

use std::fs;
use std::io;
use std::path::Path;

use launch::protocol::Command;
use tokio::task::block_in_place;
use tracing::{info, warn};

use super::binlog_server::BinlogServer;
use super::config::Config;
use super::launch_client::LaunchClient;
use super::relay_logs::RelayLogs;
use crate::binlog::GtidEvent;
use crate::layout::BINLOGS;

/// mariadbd's record of statements under way (option `log_ddl_recovery`).
const DDL_LOG: &str = "ddl_recovery.log";

/// Before a replica's mariadbd is started. Whatever cannot be done here is left to that start.
pub(crate) async fn recover(config: &Config, launcher: &LaunchClient, relay_logs: &RelayLogs) {
    match fs::read(config.data_dir().join(DDL_LOG)) {
        Ok(content) if is_pending(&content) => {}
        _ => return,
    }
    let statement = match interrupted(config, relay_logs).await {
        Ok(Some(statement)) => statement,
        Ok(None) => return info!("a crash interrupted DDL that is not the next transaction of the source"),
        Err(error) => return warn!(%error, "it is not known whose DDL a crash interrupted"),
    };
    let gtid = statement.gtid;
    match in_closed_room(config, launcher, gtid.server).await {
        Ok(()) => info!(%gtid, "DDL that a crash interrupted was recovered as its source's transaction"),
        Err(error) => warn!(%gtid, error, "DDL that a crash interrupted was not recovered as its source's transaction"),
    }
}

/// True unless no statement was under way. An entry's first byte tells what it is (`enum ddl_log_entry_code`); entries
/// begin at multiples of the size that the head names (`ddl_log.cc`, `write_ddl_log_header`).
fn is_pending(log: &[u8]) -> bool {
    /// Version 2, since 10.6.
    const HEAD: [u8; 4] = [0xfe, 0xfe, 0x0b, 0x02];
    const EXECUTE: u8 = 1;
    let Some((head, [low, high, ..])) = log.split_first_chunk::<4>() else { return false };
    let size = usize::from(u16::from_le_bytes([*low, *high]));
    let unknown = *head != HEAD || size == 0;
    unknown || log.chunks(size).skip(1).any(|entry| entry.first() == Some(&EXECUTE))
}

/// What the SQL thread was at: the received transaction right behind the end of the binary log, when it is DDL. Parallel
/// threads begin with DDL while a group before it commits; when that one is missing, too, the statement's number is not
/// the next one, and it must not get the number of another transaction.
async fn interrupted(config: &Config, relay_logs: &RelayLogs) -> io::Result<Option<GtidEvent>> {
    let logs = BinlogServer::open(&config.data_dir(), BINLOGS, config.log_keys()).await.map_err(io::Error::other)?;
    let domain = config.gtid_domain_id;
    let last = logs.end().position.get(domain).map_or(0, |gtid| gtid.sequence);
    let next = block_in_place(|| relay_logs.next_after(domain, last))?;
    Ok(next.filter(|next| next.gtid.sequence == last + 1 && next.flags.is_ddl()))
}

async fn in_closed_room(config: &Config, launcher: &LaunchClient, server_id: u32) -> Result<(), String> {
    let script = config.state_dir().join("shutdown.sql");
    fs::write(&script, "SHUTDOWN;\n").map_err(|error| format!("{}: {error}", script.display()))?;
    let mut args = config.command_line();
    args.extend([
        format!("--server_id={server_id}"),
        "--skip_networking".to_owned(),
        format!("--socket={}", beside(&config.mariadbd_socket())),
        format!("--init_file={}", script.display()),
    ]);
    let command = Command { program: config.mariadbd.clone(), args, env: Vec::new() };
    let (exit, output) = launcher.run(command).await.map_err(|error| error.message)?;
    if exit.success() { Ok(()) } else { Err(format!("mariadbd ended with {exit}: {}", output.join("\n"))) }
}

/// Where nobody looks for mariadbd.
fn beside(socket: &Path) -> String {
    socket.with_extension("recovery").display().to_string()
}

#[cfg(test)]
mod tests {
    use super::is_pending;

    /// As mariadbd 10.11 wrote it: entries of 4 KiB, most of it zeros.
    fn log(entries: &[u8]) -> Vec<u8> {
        let mut log = vec![0xfe, 0xfe, 0x0b, 0x02, 0x00, 0x10];
        for entry in entries {
            log.resize(log.len().next_multiple_of(4096), 0);
            log.push(*entry);
        }
        log
    }

    #[test]
    fn a_statement_is_under_way_while_its_entry_says_so() {
        assert!(!is_pending(&[]), "never used");
        assert!(!is_pending(&log(&[])));
        assert!(!is_pending(&log(&[2, 3, 2])), "done");
        assert!(is_pending(&log(&[2, 1, 2])));
        assert!(is_pending(b"\xfe\xfe\x0b\x03another form"));
    }
}
