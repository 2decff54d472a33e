//! The machine below the cluster, when the cluster is ours (`make cluster`): its nodes are namespaces of this machine.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// When it cannot be run, or fails: with what it said.
pub async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command that made the cluster.
#[must_use]
pub fn cluster_tool() -> String {
    std::env::var("BEACHMASTER_CLUSTER_TOOL").unwrap_or_else(|_| "e2e/cluster/cluster".into())
}

/// A program the cluster tool built (kubectl, helm), or the one in PATH.
#[must_use]
pub async fn program(name: &str) -> String {
    let Ok(directory) = run(&cluster_tool(), &["bin-dir"], "").await else { return name.into() };
    let path = PathBuf::from(directory.trim()).join(name);
    if path.exists() { path.display().to_string() } else { name.into() }
}

/// Runs a command in a node's network.
///
/// # Errors
/// When the node is not one of ours, or the command fails.
pub async fn in_network_of(node: &str, command: &[&str], input: &str) -> Result<String> {
    let netns = run(&cluster_tool(), &["netns", node], "")
        .await
        .context("this scenario changes a node's network, so it needs the cluster of `make cluster`")?;
    let arguments: Vec<&str> = ["netns", "exec", netns.trim()].into_iter().chain(command.iter().copied()).collect();
    run("ip", &arguments, input).await
}

/// Runs a command of this machine in the network of a pod of `make cluster`: the pod of this uid has the process `member`.
///
/// # Errors
/// When the pod does not run here, or the command fails.
pub async fn in_network_of_pod(pod_uid: &str, member: &[&str], command: &[&str], input: &str) -> Result<String> {
    let pids = pids_in_pod(pod_uid, member)?;
    let pid = pids.first().with_context(|| {
        format!(
            "no process '{}' of the pod on this machine: this scenario needs the cluster of `make cluster`",
            member.join(" ")
        )
    })?;
    let target = format!("--target={pid}");
    let arguments: Vec<&str> = [target.as_str(), "--net"].into_iter().chain(command.iter().copied()).collect();
    run("nsenter", &arguments, input).await
}

/// 1, 5 and 15 minutes' load, as the kernel prints it.
#[must_use]
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Pids, on this machine, of the processes of a pod whose command line begins with `command`.
///
/// # Errors
/// When /proc cannot be read.
pub fn pids_in_pod(pod_uid: &str, command: &[&str]) -> Result<Vec<i32>> {
    let folder = std::fs::read_dir("/proc")?;
    let of_the_pod = |pid: &i32| {
        // The runtime writes the uid with - or with _, depending on its cgroup driver.
        let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default().replace('_', "-");
        cgroups.contains(pod_uid)
    };
    let runs_it = |pid: &i32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&str> = line.split('\0').collect();
        words.starts_with(command)
    };
    Ok(folder
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(runs_it)
        .filter(of_the_pod)
        .collect())
}

/// Processes that are stopped (SIGSTOP) until this is dropped, whatever becomes of the scenario.
#[derive(Debug)]
pub struct Stopped(Vec<i32>);

impl Stopped {
    /// Stops the processes of a pod whose command line begins with `command`.
    ///
    /// # Errors
    /// When there is none on this machine, or it cannot be stopped.
    pub async fn in_pod(pod_uid: &str, command: &[&str]) -> Result<Self> {
        let pids = pids_in_pod(pod_uid, command)?;
        ensure!(
            !pids.is_empty(),
            "no process '{}' of the pod on this machine: this scenario needs the cluster of `make cluster`",
            command.join(" ")
        );
        let stopped = Self(pids);
        for pid in &stopped.0 {
            run("kill", &["-STOP", &pid.to_string()], "").await?;
        }
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that has ended meanwhile needs no signal.
            let _ = std::process::Command::new("kill").args(["-CONT", &pid.to_string()]).status();
        }
    }
}
