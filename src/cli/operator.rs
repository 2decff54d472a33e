//! `beachmaster operator`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::api::duration::DurationText;
use crate::operator;
use crate::operator::settings::{LeaseSettings, Settings};

/// Arguments of `beachmaster operator`; the chart gives them as environment.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of this pod: part of the Lease holder's name.
    #[arg(long, env = "POD_NAME", default_value = "beachmaster")]
    pod_name: String,
    /// Namespace of the Lease: this pod's.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pod_namespace: String,
    /// Manage clusters of this namespace only; all when not given.
    #[arg(long, env = "BEACHMASTER_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Image of the agents: the operator's own.
    #[arg(long, env = "BEACHMASTER_AGENT_IMAGE")]
    agent_image: String,
    /// DNS domain of the Kubernetes cluster.
    #[arg(long, env = "BEACHMASTER_CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// Name of the Lease.
    #[arg(long, env = "BEACHMASTER_LEASE_NAME", default_value = "beachmaster")]
    lease_name: String,
    /// Another process may take the Lease this long after its last renewal was seen.
    #[arg(long, env = "BEACHMASTER_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    lease_duration: Duration,
    /// The leader stops acting this long after its last renewal.
    #[arg(long, env = "BEACHMASTER_LEASE_RENEW_DEADLINE", default_value = "10s", value_parser = duration)]
    lease_renew_deadline: Duration,
    /// Time between two renewals.
    #[arg(long, env = "BEACHMASTER_LEASE_RETRY_PERIOD", default_value = "2s", value_parser = duration)]
    lease_retry_period: Duration,
    /// Where /healthz and /readyz listen.
    #[arg(long, env = "BEACHMASTER_HEALTH_LISTEN", default_value = "[::]:8081")]
    health_listen: SocketAddr,
    /// Where /metrics listens.
    #[arg(long, env = "BEACHMASTER_METRICS_LISTEN", default_value = "[::]:8082")]
    metrics_listen: SocketAddr,
    /// How logs are written.
    #[arg(long, env = "BEACHMASTER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// Which logs are written, in the syntax of tracing's EnvFilter.
    #[arg(long, env = "BEACHMASTER_LOG", default_value = "info,kube_client=warn,kube_runtime=warn")]
    log: String,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

fn duration(text: &str) -> Result<Duration, String> {
    DurationText(text.to_owned()).parse().map_err(|error| error.to_string())
}

/// Runs `beachmaster operator`.
#[must_use]
pub(crate) fn run(args: Args) -> ExitCode {
    log_to_stderr(args.log_format, &args.log);
    // kube takes the process' provider: it must be chosen before the first client.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::error!("another TLS provider is already installed");
        return ExitCode::FAILURE;
    }
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(message) => {
            tracing::error!(message, "the operator cannot start");
            return ExitCode::FAILURE;
        }
    };
    let done = tokio::runtime::Runtime::new()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(operator::run(settings)).map_err(|error| error.to_string()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tracing::error!(message, "the operator ended");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(format: LogFormat, filter: &str) {
    let logs = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => logs.init(),
    }
}

fn settings(args: Args) -> Result<Settings, String> {
    let lease = LeaseSettings {
        name: args.lease_name,
        namespace: args.pod_namespace,
        duration: args.lease_duration,
        renew_deadline: args.lease_renew_deadline,
        retry_period: args.lease_retry_period,
    };
    if lease.renew_deadline >= lease.duration || lease.retry_period >= lease.renew_deadline {
        return Err(format!(
            "lease times must rise: retry period ({:?}) below renew deadline ({:?}) below duration ({:?})",
            lease.retry_period, lease.renew_deadline, lease.duration
        ));
    }
    Ok(Settings {
        // A pod's name can come back after a restart of its container: the rest makes every process another one.
        identity: format!("{}_{}", args.pod_name, uuid::Uuid::new_v4()),
        lease,
        namespace: args.watch_namespace.filter(|namespace| !namespace.is_empty()),
        cluster_domain: args.cluster_domain,
        agent_image: args.agent_image,
        health_listen: args.health_listen,
        metrics_listen: args.metrics_listen,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(more: &[&str]) -> Result<Settings, String> {
        let words = ["operator", "--agent-image", "localhost/beachmaster:dev"].iter().chain(more);
        settings(Command::try_parse_from(words).map_err(|error| error.to_string())?.args)
    }

    #[test]
    fn the_defaults_are_usable_and_two_processes_never_share_a_name() {
        let (one, other) = (parse(&[]).unwrap(), parse(&[]).unwrap());
        assert_ne!(one.identity, other.identity);
        assert_eq!(one.lease.manager(), "default/beachmaster");
        assert_eq!(one.lease.duration, Duration::from_secs(15));
    }

    #[test]
    fn lease_times_that_would_let_two_lead_are_refused() {
        assert!(parse(&["--lease-renew-deadline", "15s"]).unwrap_err().contains("lease times"));
        assert!(parse(&["--lease-duration", "soon"]).unwrap_err().contains("duration"));
    }
}
