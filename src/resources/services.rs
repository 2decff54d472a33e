//! The three Services.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{labels, meta, names};
use crate::api::cluster::{ServicePolicy, ServiceType};
use crate::api::validate::Cluster;
use crate::layout::{AGENT_PORT, EXTRA_PORT, MARIADB_PORT};
use crate::orders::BINLOG_SERVER_PORT;

/// NAME-primary, without its selector: only a transition writes that. It leads to a member that is not ready too: a
/// readiness probe must not take clients from the primary.
#[must_use]
pub(crate) fn primary_service(cluster: &Cluster) -> Service {
    let spec = ServiceSpec { publish_not_ready_addresses: Some(true), ..client_spec(&cluster.spec.services.primary) };
    service(cluster, names::primary(&cluster.name), &cluster.spec.services.primary, spec)
}

/// NAME-replicas: replicas that replicate and do not lag.
#[must_use]
pub(crate) fn replicas_service(cluster: &Cluster) -> Service {
    let spec = ServiceSpec {
        selector: Some(labels::replicas_selector(&cluster.name)),
        ..client_spec(&cluster.spec.services.replicas)
    };
    service(cluster, names::replicas(&cluster.name), &cluster.spec.services.replicas, spec)
}

/// NAME-members: the headless Service that gives each member a DNS name, also before it is ready.
#[must_use]
pub(crate) fn members_service(cluster: &Cluster) -> Service {
    let ports =
        [("mariadb", MARIADB_PORT), ("extra", EXTRA_PORT), ("binlog", BINLOG_SERVER_PORT), ("agent", AGENT_PORT)];
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        selector: Some(labels::selector(&cluster.name)),
        publish_not_ready_addresses: Some(true),
        ports: Some(ports.map(|(name, number)| port(name, number)).into()),
        ip_family_policy: Some(PREFER_DUAL_STACK.to_owned()),
        ..ServiceSpec::default()
    };
    service(cluster, names::members(&cluster.name), &ServicePolicy::default(), spec)
}

/// Both address families where the cluster has both.
const PREFER_DUAL_STACK: &str = "PreferDualStack";

fn service(cluster: &Cluster, name: String, policy: &ServicePolicy, spec: ServiceSpec) -> Service {
    let mut metadata = meta::owned(cluster, name);
    metadata.annotations = Some(policy.annotations.clone()).filter(|annotations| !annotations.is_empty());
    Service { metadata, spec: Some(spec), status: None }
}

fn client_spec(policy: &ServicePolicy) -> ServiceSpec {
    let type_ = match policy.type_ {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    ServiceSpec {
        type_: Some(type_.to_owned()),
        ports: Some(vec![port("mariadb", MARIADB_PORT)]),
        ip_family_policy: Some(PREFER_DUAL_STACK.to_owned()),
        ..ServiceSpec::default()
    }
}

fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number.into(),
        target_port: Some(IntOrString::Int(number.into())),
        protocol: Some("TCP".to_owned()),
        // A server speaks first in MariaDB's protocol: a mesh that sniffs for the client's first bytes would stall.
        app_protocol: Some("tcp".to_owned()),
        ..ServicePort::default()
    }
}
