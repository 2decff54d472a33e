//! `beachmaster binlog serve`: a dead server's logs for a real replica, also without Kubernetes.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::ctrl_c;

use super::files;
use crate::agent::binlog_server::BinlogServer;
use crate::agent::relay_as_binlog::are_relay_logs;
use crate::mariadb::text::quote;
use crate::operator::passwords;
use crate::protocol::Login;

/// Of a password made here, as long as those of the operator's own one-time logins.
const PASSWORD_LENGTH: usize = 32;

/// Arguments of `beachmaster binlog serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory with the binary logs, or a replica's relay logs, and their index; its server must not run. Nothing in it is changed.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Where replicas connect. There is no TLS: keep it to a network you trust.
    #[arg(long, default_value = "127.0.0.1:3307")]
    listen: SocketAddr,
    /// User name for the replicas.
    #[arg(long, default_value = "tail")]
    user: String,
    /// File with the password; a line end after it is ignored. Without the file a random password is made and printed.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    key: files::KeyArgs,
}

/// Stands for the address when the server listens on all of them: `0.0.0.0` is no place to connect to.
const THIS_HOST: &str = "THIS-HOST";

pub(super) fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new();
    match runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(serve(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beachmaster binlog: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &Args) -> Result<(), String> {
    let basename = files::basename_in(&args.directory)?;
    let keys = args.key.keys()?;
    let server = if are_relay_logs(&args.directory, &basename) {
        BinlogServer::open_relay_logs(&args.directory, &basename, keys).await
    } else {
        BinlogServer::open(&args.directory, &basename, keys).await
    };
    let server = server.map_err(|error| error.to_string())?;
    let password = match &args.password_file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => passwords::random(PASSWORD_LENGTH),
    };
    let password = password.trim_end_matches(['\r', '\n']);
    let login = Login::new(&args.user, password).ok_or("the password is empty: replicas need one")?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| format!("{}: {error}", args.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let end = server.end();
    if let Some(torn) = &end.torn {
        eprintln!("{} is {torn}; it is served to its last complete transaction", end.last_file);
    }
    eprintln!("serving {} up to {} on {address}; on a replica:", args.directory.display(), end.position);
    let host = host(address.ip());
    if host == THIS_HOST {
        eprintln!("(replace {THIS_HOST} with a name or an address of this host that the replica can reach)");
    }
    let follow = format!(
        "STOP SLAVE; CHANGE MASTER TO MASTER_HOST={}, MASTER_PORT={}, MASTER_USER={}, MASTER_PASSWORD={}, \
         MASTER_USE_GTID=slave_pos, MASTER_SSL=0; START SLAVE;",
        quote(&host),
        address.port(),
        quote(&args.user),
        quote(password)
    );
    let wait = format!("SELECT MASTER_GTID_WAIT({});", quote(&end.position.to_string()));
    // Who reads no more than they need is served all the same.
    writeln!(io::stdout(), "{follow}\n{wait}").unwrap_or_default();
    // A signal that cannot be awaited ends the program by itself.
    server.serve(listener, login, async { drop(ctrl_c().await) }).await;
    eprintln!("stopped");
    Ok(())
}

fn host(listen: IpAddr) -> String {
    if listen.is_unspecified() { THIS_HOST.to_owned() } else { listen.to_string() }
}
