//! `beachmaster binlog inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::files;
use super::output::{Output, grouped, range_text, say};
use crate::binlog::{End, Event, EventHeader, Group, Inspection};

/// Arguments of `beachmaster binlog inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Binary or relay log files, or directories with an index of them.
    #[arg(required = true, value_name = "FILE")]
    paths: Vec<PathBuf>,
    /// Prints every event: offset, type, server, length.
    #[arg(long)]
    events: bool,
    /// Prints every complete transaction: GTID, offset, end.
    #[arg(long)]
    transactions: bool,
    /// How results are printed.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    key: files::KeyArgs,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let keys = match args.key.keys() {
        Ok(keys) => keys,
        Err(error) => {
            eprintln!("beachmaster binlog: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut well = true;
    let mut all = Vec::new();
    for path in &args.paths {
        let logs = files::behind(path, &keys).unwrap_or_else(|error| {
            eprintln!("beachmaster binlog: {error}");
            well = false;
            Vec::new()
        });
        for log in logs {
            match files::inspect(&log, &keys, |event, group| list(args, event, group)) {
                Ok((found, _)) => {
                    well &= !matches!(found.end, End::Damaged { .. });
                    match args.output {
                        Output::Text => say(text(&log.name, &found)),
                        Output::Json => all.push(json!({"file": log.name, "found": found})),
                    }
                }
                Err(error) => {
                    eprintln!("beachmaster binlog: {error}");
                    well = false;
                }
            }
        }
    }
    if matches!(args.output, Output::Json) {
        say(format_args!("{:#}", json!({"files": all})));
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn list(args: &Args, event: &Event, group: Option<Group>) {
    // JSON is one object; lists are for people.
    if matches!(args.output, Output::Json) {
        return;
    }
    if args.events {
        let EventHeader { event_type, server_id, length, .. } = event.header;
        say(format_args!("{:>12} {event_type} server {server_id} {length} bytes", event.offset));
    }
    if let Some(group) = group.filter(|_| args.transactions) {
        say(format_args!("{:>12} {} to {}", group.start, group.gtid, group.end));
    }
}

fn text(name: &str, found: &Inspection) -> String {
    let version = found.server_version.as_deref().unwrap_or("an unknown server");
    let server = found.server_id.map_or("-".to_owned(), |id| id.to_string());
    let checksum = found.checksum.as_deref().unwrap_or("-");
    let mut lines = vec![
        format!("{name}: {} bytes", grouped(found.size)),
        format!("  written by    server {server}, {version}, checksums {checksum}"),
    ];
    if !found.starts_after.is_empty() {
        let after: Vec<String> = found.starts_after.iter().map(ToString::to_string).collect();
        lines.push(format!("  starts after  {}", after.join(", ")));
    }
    lines.push(format!("  transactions  {}", grouped(found.transactions)));
    lines.extend(found.ranges.iter().map(|range| format!("                {}", range_text(range))));
    let kinds: Vec<String> = found.events.iter().map(|(kind, count)| format!("{kind} {}", grouped(*count))).collect();
    lines.push(format!("  events        {} ({})", grouped(found.events.values().sum()), kinds.join(", ")));
    lines.push(format!("  end           {}", end(found)));
    lines.extend(found.notes.iter().map(|note| format!("  note          {note}")));
    lines.join("\n")
}

fn end(found: &Inspection) -> String {
    let last = match found.last {
        Some(last) => format!("the last complete transaction {last} ends at {}", found.last_end),
        None => "no complete transaction".to_owned(),
    };
    match &found.end {
        End::Closed => format!("closed by the server; {last}"),
        End::Open => format!("complete, not closed (in use, or left by a crash); {last}"),
        End::Torn { offset, message } => format!("torn at offset {offset}: {message}; {last}"),
        End::Damaged { offset, message } => format!(
            "DAMAGED at offset {offset}: {message}; {last}; {} bytes after it cannot be read",
            grouped(found.size.saturating_sub(*offset))
        ),
    }
}
