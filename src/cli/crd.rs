//! `beachmaster crd`: the CustomResourceDefinitions as YAML, generated from the types of `api`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use thiserror::Error;

use crate::api::{Failover, ReplicationCluster};

/// Arguments of `beachmaster crd`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write one file for each definition into this folder, instead of printing; may be given more than once.
    #[arg(long, value_name = "DIR")]
    out: Vec<PathBuf>,
}

/// A definition could not be written.
#[derive(Debug, Error)]
pub(crate) enum CrdError {
    /// serde could not write it as YAML.
    #[error("definition {name} cannot be written as YAML: {message}")]
    Yaml { name: String, message: String },
    /// The file could not be written.
    #[error("cannot write {}: {source}; is the folder there and writable?", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A definition and the file it belongs into.
pub(crate) struct CrdFile {
    /// File name, `PLURAL.GROUP.yaml`.
    pub(crate) name: String,
    /// Its content.
    pub(crate) yaml: String,
}

/// Runs `beachmaster crd`.
#[must_use]
pub(crate) fn run(args: &Args) -> ExitCode {
    match write_all(&args.out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beachmaster crd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(folders: &[PathBuf]) -> Result<(), CrdError> {
    for file in files()? {
        if folders.is_empty() {
            print!("---\n{}", file.yaml);
        }
        for folder in folders {
            write(&folder.join(&file.name), &file.yaml)?;
        }
    }
    Ok(())
}

fn write(path: &Path, yaml: &str) -> Result<(), CrdError> {
    fs::write(path, yaml).map_err(|source| CrdError::Write { path: path.to_owned(), source })
}

/// Every definition of this version.
///
/// # Errors
/// When serde cannot write one as YAML.
pub(crate) fn files() -> Result<Vec<CrdFile>, CrdError> {
    definitions().iter().map(file).collect()
}

/// Every definition of this version.
#[must_use]
pub(crate) fn definitions() -> [CustomResourceDefinition; 2] {
    [ReplicationCluster::crd(), Failover::crd()]
}

fn file(crd: &CustomResourceDefinition) -> Result<CrdFile, CrdError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    let yaml = serde_saphyr::to_string(crd)
        .map_err(|error| CrdError::Yaml { name: name.clone(), message: error.to_string() })?;
    Ok(CrdFile { name: format!("{name}.yaml"), yaml })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// A client-side apply keeps the whole object in an annotation, which may have 256 KiB.
    const MAX_BYTES: usize = 200_000;

    #[test]
    fn committed_definitions_are_current_and_small() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["crds", "charts/beachmaster/files/crds"] {
            for file in files().unwrap() {
                let path = root.join(folder).join(&file.name);
                let committed = fs::read_to_string(&path).unwrap_or_default();
                assert!(committed == file.yaml, "{} is stale: run `make crds`", path.display());
                assert!(file.yaml.len() <= MAX_BYTES, "{} has {} bytes", file.name, file.yaml.len());
            }
        }
    }

    #[test]
    fn every_field_has_a_sentence() {
        for crd in definitions() {
            let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
            let root = &schema["openAPIV3Schema"]["properties"];
            let mut silent = Vec::new();
            find_silent_fields(&root["spec"], "spec", &mut silent);
            find_silent_fields(&root["status"], "status", &mut silent);
            assert!(silent.is_empty(), "{}: no description of {silent:?}", crd.spec.names.kind);
        }
    }

    #[test]
    fn the_api_server_keeps_keys_of_a_newer_operator() {
        let crds = definitions();
        let clusters = crds.iter().find(|crd| crd.spec.names.kind == "ReplicationCluster").unwrap();
        let schema = serde_json::to_value(&clusters.spec.versions[0].schema).unwrap();
        let status = &schema["openAPIV3Schema"]["properties"]["status"];
        let fields = &status["properties"];
        for place in [status, &fields["transition"], &fields["ackers"]["items"], &fields["members"]["items"]] {
            assert_eq!(place["x-kubernetes-preserve-unknown-fields"], true, "{place}");
        }
    }

    fn find_silent_fields(schema: &Value, path: &str, silent: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if field["description"].as_str().is_none_or(str::is_empty) {
                silent.push(path.clone());
            }
            find_silent_fields(field, &path, silent);
            find_silent_fields(&field["items"], &path, silent);
        }
    }

    #[test]
    fn helm_finds_nothing_to_expand() {
        for file in files().unwrap() {
            assert!(!file.yaml.contains("{{"), "{} would be read as a template", file.name);
        }
    }
}
