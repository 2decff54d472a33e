//! The program `beachmaster`.

use std::process::ExitCode;

fn main() -> ExitCode {
    beachmaster::cli::run()
}
