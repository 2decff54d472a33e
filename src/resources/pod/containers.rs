//! The three containers of a member.

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, ExecAction, HTTPGetAction, ObjectFieldSelector, Probe,
    ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::Site;
use super::{security, volumes};
use crate::api::validate::Cluster;
use crate::layout;
use crate::orders::BINLOG_SERVER_PORT;

/// Copies launch into the pod: mariadbd's parent runs in an image that is not ours.
pub(super) fn install(site: &Site) -> Container {
    Container {
        name: layout::INSTALL_CONTAINER.to_owned(),
        image: Some(site.operator_image.clone()),
        command: Some(command(&[layout::LAUNCH, "install", layout::INSTALL_DIR])),
        resources: Some(resources("10m", "16Mi", "64Mi")),
        volume_mounts: Some(vec![volumes::mount(layout::BIN_VOLUME, layout::INSTALL_DIR, false)]),
        security_context: Some(security::container()),
        ..Container::default()
    }
}

/// The agent: a native sidecar, because it must outlive mariadb when the pod stops.
pub(super) fn agent(cluster: &Cluster, site: &Site) -> Container {
    let mut mounts = volumes::common_mounts(cluster);
    mounts.extend(volumes::agent_mounts(cluster));
    Container {
        name: layout::AGENT_CONTAINER.to_owned(),
        image: Some(site.operator_image.clone()),
        command: Some(command(&[layout::BEACHMASTER, "agent", "run"])),
        restart_policy: Some("Always".to_owned()),
        env: Some(agent_env(cluster)),
        ports: Some(vec![port("agent", layout::AGENT_PORT), port("binlog", BINLOG_SERVER_PORT)]),
        // No CPU limit: a throttled agent makes a failover slow.
        resources: Some(resources("50m", "64Mi", "512Mi")),
        volume_mounts: Some(mounts),
        security_context: Some(security::container()),
        ..Container::default()
    }
}

/// mariadbd below launch.
pub(super) fn mariadb(cluster: &Cluster) -> Container {
    let mut mounts = volumes::common_mounts(cluster);
    mounts.push(volumes::mount(layout::BIN_VOLUME, layout::BIN_DIR, true));
    Container {
        name: layout::MARIADB_CONTAINER.to_owned(),
        image: Some(cluster.spec.image.clone()),
        command: Some(command(&[layout::LAUNCH_INSTALLED])),
        ports: Some(vec![port("mariadb", layout::MARIADB_PORT), port("extra", layout::EXTRA_PORT)]),
        resources: Some(cluster.spec.resources.clone()),
        readiness_probe: Some(readiness()),
        liveness_probe: Some(liveness()),
        volume_mounts: Some(mounts),
        security_context: Some(security::container()),
        ..Container::default()
    }
}

/// The agent answers whether mariadbd answers SQL. Slow on purpose: a change of readiness makes kube-proxy wait a second
/// before its next change, and the Service's flip comes within that second.
fn readiness() -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(layout::READY_PATH.to_owned()),
            port: IntOrString::Int(layout::AGENT_PORT.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(2),
        timeout_seconds: Some(2),
        failure_threshold: Some(3),
        ..Probe::default()
    }
}

/// launch lives. Two minutes of silence until it is killed: a dead mariadbd is no reason, and a busy node neither.
fn liveness() -> Probe {
    Probe {
        exec: Some(ExecAction { command: Some(command(&[layout::LAUNCH_INSTALLED, "ping"])) }),
        period_seconds: Some(20),
        timeout_seconds: Some(10),
        failure_threshold: Some(6),
        ..Probe::default()
    }
}

fn agent_env(cluster: &Cluster) -> Vec<EnvVar> {
    let mut env = vec![
        field(layout::ENV_POD_NAME, "metadata.name"),
        field(layout::ENV_POD_NAMESPACE, "metadata.namespace"),
        field(layout::ENV_POD_UID, "metadata.uid"),
        variable(layout::ENV_CLUSTER, cluster.name.clone()),
        variable(layout::ENV_GTID_DOMAIN, cluster.spec.gtid_domain_id.to_string()),
        variable(layout::ENV_MEMBERS, cluster.spec.members.to_string()),
    ];
    if let Some(bootstrap) = &cluster.spec.bootstrap {
        env.push(variable(layout::ENV_BOOTSTRAP_DATABASE, bootstrap.database.clone()));
        env.push(variable(layout::ENV_BOOTSTRAP_USERNAME, bootstrap.username.clone()));
    }
    if let Some(encryption) = &cluster.spec.encryption {
        env.push(variable(layout::ENV_ENCRYPTION_ALGORITHM, encryption.algorithm.name().to_owned()));
    }
    env
}

fn variable(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value), value_from: None }
}

fn field(name: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector { field_path: path.to_owned(), api_version: None };
    let source = EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort { name: Some(name.to_owned()), container_port: number.into(), ..ContainerPort::default() }
}

/// Fixed small sizes, because quotas ask for one on every container.
fn resources(cpu: &str, memory: &str, memory_limit: &str) -> ResourceRequirements {
    let quantity = |text: &str| Quantity(text.to_owned());
    ResourceRequirements {
        requests: Some([("cpu".to_owned(), quantity(cpu)), ("memory".to_owned(), quantity(memory))].into()),
        limits: Some([("memory".to_owned(), quantity(memory_limit))].into()),
        claims: None,
    }
}

fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
