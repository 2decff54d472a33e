//! Volumes of the pod, but for the data volume: its claim comes from the StatefulSet.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};

use super::super::names;
use crate::api::cluster::{KeyFileRef, SecretKeyRef};
use crate::api::validate::Cluster;
use crate::layout;

/// Readable for the user and the group, which is fsGroup: passwords are nobody else's.
const SECRET_MODE: i32 = 0o440;

pub(super) fn of(cluster: &Cluster) -> Vec<Volume> {
    let file = |volume: &str, (name, key): (&String, &String), path: &str| {
        let item = KeyToPath { key: key.clone(), path: path.to_owned(), ..KeyToPath::default() };
        secret(volume, name.clone(), Some(vec![item]))
    };
    let password =
        |volume: &str, SecretKeyRef { name, key }: &SecretKeyRef| file(volume, (name, key), layout::PASSWORD_FILE);
    let keys = |KeyFileRef { name, key }: &KeyFileRef| file(layout::KEYS_VOLUME, (name, key), layout::KEYS_FILE);
    let spec = &cluster.spec;
    let mut volumes =
        vec![empty(layout::BIN_VOLUME), empty(layout::RUN_VOLUME), empty(layout::TMP_VOLUME), config(cluster)];
    volumes.push(secret(layout::ACCOUNTS_VOLUME, names::accounts(&cluster.name), None));
    volumes.extend(spec.bootstrap.as_ref().map(|b| password(layout::BOOTSTRAP_VOLUME, &b.password_secret_key_ref)));
    volumes.extend(spec.root_password.as_ref().map(|reference| password(layout::ROOT_VOLUME, reference)));
    volumes.extend(spec.encryption.as_ref().map(|encryption| keys(&encryption.keys_secret_key_ref)));
    volumes
}

/// Mounts of the agent and of mariadb.
pub(super) fn common_mounts(cluster: &Cluster) -> Vec<VolumeMount> {
    let mut mounts = vec![
        mount(layout::DATA_VOLUME, layout::VOLUME_DIR, false),
        mount(layout::RUN_VOLUME, layout::RUN_DIR, false),
        mount(layout::TMP_VOLUME, layout::TMP_DIR, false),
        mount(layout::CONFIG_VOLUME, layout::CONFIG_DIR, true),
    ];
    // mariadbd encrypts with them, and the agent reads the logs of a dead mariadbd.
    mounts.extend(cluster.spec.encryption.as_ref().map(|_| mount(layout::KEYS_VOLUME, layout::KEYS_DIR, true)));
    mounts
}

/// Mounts that only the agent has: passwords.
pub(super) fn agent_mounts(cluster: &Cluster) -> Vec<VolumeMount> {
    let mut mounts = vec![mount(layout::ACCOUNTS_VOLUME, layout::ACCOUNTS_DIR, true)];
    let bootstrap = cluster.spec.bootstrap.as_ref();
    mounts.extend(bootstrap.map(|_| mount(layout::BOOTSTRAP_VOLUME, layout::BOOTSTRAP_DIR, true)));
    mounts.extend(cluster.spec.root_password.as_ref().map(|_| mount(layout::ROOT_VOLUME, layout::ROOT_DIR, true)));
    mounts
}

pub(super) fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only).filter(|read_only| *read_only),
        ..VolumeMount::default()
    }
}

fn empty(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

fn config(cluster: &Cluster) -> Volume {
    let source = ConfigMapVolumeSource { name: names::config(&cluster.name), ..ConfigMapVolumeSource::default() };
    Volume { name: layout::CONFIG_VOLUME.to_owned(), config_map: Some(source), ..Volume::default() }
}

fn secret(volume: &str, name: String, items: Option<Vec<KeyToPath>>) -> Volume {
    let source = SecretVolumeSource {
        secret_name: Some(name),
        items,
        default_mode: Some(SECRET_MODE),
        ..SecretVolumeSource::default()
    };
    Volume { name: volume.to_owned(), secret: Some(source), ..Volume::default() }
}
