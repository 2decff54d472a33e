//! Every label and annotation of ours.

use std::collections::BTreeMap;

/// Cluster of an object. The only selector label of the StatefulSet: claims inherit it for ever.
pub const CLUSTER: &str = "beachmaster.dev/cluster";
/// `primary` or `replica`; follows a transition, for people.
pub(crate) const ROLE: &str = "beachmaster.dev/role";
/// `true` on replicas that NAME-replicas leads to.
pub(crate) const READABLE: &str = "beachmaster.dev/readable";
/// Annotation of NAME-primary: the term in which its selector was written.
pub const TERM: &str = "beachmaster.dev/term";
/// Annotation of a ReplicationCluster: members that are given up for one term, `shop-1,shop-2@7`.
pub(crate) const GIVEN_UP: &str = "beachmaster.dev/given-up";
/// Kubernetes' own label by which NAME-primary selects one pod.
pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

/// Value of a label that is set.
pub(crate) const TRUE: &str = "true";

/// A map of labels.
pub(crate) type Labels = BTreeMap<String, String>;

/// Selects every pod of a cluster.
#[must_use]
pub(crate) fn selector(cluster: &str) -> Labels {
    of([(CLUSTER, cluster)])
}

/// The same as text, for lists, watches and `status.selector`.
#[must_use]
pub(crate) fn selector_text(cluster: &str) -> String {
    format!("{CLUSTER}={cluster}")
}

/// What NAME-primary selects while `pod` is primary. By its name alone a pod of somebody else could get clients that has copied
/// that label.
#[must_use]
pub(crate) fn primary_selector(cluster: &str, pod: &str) -> Labels {
    of([(CLUSTER, cluster), (POD_NAME, pod)])
}

/// What NAME-replicas selects.
pub(super) fn replicas_selector(cluster: &str) -> Labels {
    of([(CLUSTER, cluster), (READABLE, TRUE)])
}

/// Labels of every object of a cluster.
pub(super) fn object(cluster: &str) -> Labels {
    of([
        (CLUSTER, cluster),
        ("app.kubernetes.io/name", "mariadb"),
        ("app.kubernetes.io/instance", cluster),
        ("app.kubernetes.io/component", "database"),
        ("app.kubernetes.io/managed-by", "beachmaster"),
    ])
}

/// Labels of the pods, before the user's. No sidecar of a mesh: it accepts connections for a dead server, so a refusal,
/// the first sign of a death, would never be seen.
pub(super) fn pod(cluster: &str) -> Labels {
    let mut labels = object(cluster);
    labels.extend(of([("sidecar.istio.io/inject", "false")]));
    labels
}

/// Annotations of the pods, before the user's.
pub(super) fn pod_annotations() -> Labels {
    of([
        ("kubectl.kubernetes.io/default-container", crate::layout::MARIADB_CONTAINER),
        ("linkerd.io/inject", "disabled"),
    ])
}

fn of<const N: usize>(labels: [(&str, &str); N]) -> Labels {
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}
