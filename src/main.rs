//! The program `beachmaster`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

use std::process::ExitCode;

fn main() -> ExitCode {
    beachmaster::cli::run()
}
