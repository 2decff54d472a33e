//! `launch`: see the library. `launch ping` is the container's liveness check, `launch install DIR` the init container.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use launch::client::Client;
use launch::protocol::{Reply, Request, SOCKET};

const USAGE: &str = "usage: launch [--socket PATH]\n       launch ping [--socket PATH]\n       launch install DIR";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] => serve(Path::new(SOCKET)),
        ["--socket", path] => serve(Path::new(path)),
        ["ping"] => ping(Path::new(SOCKET)),
        ["ping", "--socket", path] => ping(Path::new(path)),
        ["install", folder] => install(&PathBuf::from(folder)),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(socket: &Path) -> Result<(), String> {
    launch::server::serve(socket).map_err(|error| format!("launch on {}: {error}", socket.display()))
}

fn ping(socket: &Path) -> Result<(), String> {
    let ask = || Client::connect(socket)?.ask(&Request::State { threads: false });
    match ask() {
        Ok(Reply::State(_)) => Ok(()),
        Ok(other) => Err(format!("launch answered {other:?}")),
        Err(error) => Err(format!("launch does not answer on {}: {error}", socket.display())),
    }
}

fn install(folder: &Path) -> Result<(), String> {
    let target =
        launch::install::install(folder).map_err(|error| format!("copying to {}: {error}", folder.display()))?;
    println!("installed {}", target.display());
    Ok(())
}
