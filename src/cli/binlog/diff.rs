//! `beachmaster binlog diff`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::files;
use super::output::{Output, range_text, say};
use crate::binlog::{End, GtidSet, Keys};

/// Arguments of `beachmaster binlog diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A log file, or a directory with an index.
    a: PathBuf,
    /// The log file or directory to compare it with.
    b: PathBuf,
    /// How results are printed.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    key: files::KeyArgs,
}

/// As diff(1).
const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;

pub(super) fn run(args: &Args) -> ExitCode {
    match compare(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DIFFERENT),
        Err(error) => {
            eprintln!("beachmaster binlog: {error}");
            ExitCode::from(TROUBLE)
        }
    }
}

fn compare(args: &Args) -> Result<bool, String> {
    let keys = args.key.keys()?;
    let (a, b) = (transactions(&args.a, &keys)?, transactions(&args.b, &keys)?);
    let (only_a, only_b) = (a.without(&b), b.without(&a));
    match args.output {
        Output::Json => {
            say(format_args!("{:#}", json!({"onlyInA": only_a.ranges(), "onlyInB": only_b.ranges()})));
        }
        Output::Text => {
            print_only(&args.a, &only_a);
            print_only(&args.b, &only_b);
        }
    }
    Ok(only_a.is_empty() && only_b.is_empty())
}

fn print_only(path: &Path, only: &GtidSet) {
    for range in only.ranges() {
        say(format_args!("only in {}: {}", path.display(), range_text(&range)));
    }
}

/// All complete transactions. A torn end is as good as an end; damage hides what is behind it.
fn transactions(path: &Path, keys: &Keys) -> Result<GtidSet, String> {
    let mut all = GtidSet::default();
    for log in files::behind(path, keys)? {
        let (found, transactions) = files::inspect(&log, keys, |_, _| ())?;
        if let End::Damaged { offset, message } = found.end {
            return Err(format!("{}: damaged at offset {offset}: {message}", log.name));
        }
        all.extend(&transactions);
    }
    Ok(all)
}
