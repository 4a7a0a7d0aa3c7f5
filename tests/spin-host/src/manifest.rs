//! What a Spin manifest grants its component: the part of it that this host knows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use toml::{Table, Value};

/// Files that the component sees.
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) destination: String,
}

/// An application with one component.
pub(crate) struct Manifest {
    /// The component's wasm.
    pub(crate) source: PathBuf,
    pub(crate) files: Vec<Mount>,
    pub(crate) variables: HashMap<String, String>,
    allowed_outbound_hosts: Vec<String>,
    pub(crate) sqlite_databases: Vec<String>,
}

impl Manifest {
    /// Reads a manifest; variables come from `SPIN_VARIABLE_*`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let table: Table = text.parse()?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let components = table.get("component").and_then(Value::as_table);
        let (_, component) = components
            .and_then(|components| components.iter().next())
            .context("the manifest has no component")?;
        let values = values(&table)?;
        let expand = |text: &str| expand(text, &values);
        let strings = |name: &str| -> Vec<String> {
            let list = component.get(name).and_then(Value::as_array);
            list.into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(expand)
                .collect()
        };
        let source = component.get("source").and_then(Value::as_str);
        let variables = component.get("variables").and_then(Value::as_table);
        Ok(Self {
            source: folder.join(source.context("the component has no local source")?),
            files: files(component, folder)?,
            variables: variables
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), expand(value.as_str()?))))
                .collect(),
            allowed_outbound_hosts: strings("allowed_outbound_hosts"),
            sqlite_databases: strings("sqlite_databases"),
        })
    }

    /// Whether the component may call this address, scheme and port included.
    pub(crate) fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.allowed_outbound_hosts.iter().any(|allowed| {
            let Some((wanted_scheme, rest)) = allowed.split_once("://") else {
                return false;
            };
            let (wanted_host, wanted_port) = match rest.trim_end_matches('/').rsplit_once(':') {
                Some((host, port)) => (host, port.to_owned()),
                None => (
                    rest.trim_end_matches('/'),
                    default_port(wanted_scheme).to_string(),
                ),
            };
            let is_host = match wanted_host.strip_prefix("*.") {
                Some(domain) => host.ends_with(&format!(".{domain}")),
                None => wanted_host == "*" || wanted_host == host,
            };
            let is_scheme = wanted_scheme == "*" || wanted_scheme == scheme;
            is_scheme && is_host && (wanted_port == "*" || wanted_port == port.to_string())
        })
    }
}

/// The port of an address that names none.
pub(crate) fn default_port(scheme: &str) -> u16 {
    match scheme {
        "https" => 443,
        "redis" | "rediss" => 6379,
        _ => 80,
    }
}

fn values(table: &Table) -> Result<HashMap<String, String>> {
    let mut values = HashMap::new();
    let declared = table.get("variables").and_then(Value::as_table);
    for (name, variable) in declared.into_iter().flatten() {
        let given = std::env::var(format!("SPIN_VARIABLE_{}", name.to_uppercase())).ok();
        let default = variable
            .get("default")
            .and_then(Value::as_str)
            .map(str::to_owned);
        match given.or(default) {
            Some(value) => drop(values.insert(name.clone(), value)),
            None => bail!(
                "the variable {name} is required: set SPIN_VARIABLE_{}",
                name.to_uppercase()
            ),
        }
    }
    Ok(values)
}

fn expand(text: &str, values: &HashMap<String, String>) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{ {name} }}}}"), value)
    })
}

fn files(component: &Value, folder: &Path) -> Result<Vec<Mount>> {
    let entries = component.get("files").and_then(Value::as_array);
    let mut mounts = Vec::new();
    for entry in entries.into_iter().flatten() {
        let field = |name: &str| entry.get(name).and_then(Value::as_str);
        let (Some(source), Some(destination)) = (field("source"), field("destination")) else {
            bail!("files that are no source and destination are not known here");
        };
        mounts.push(Mount {
            source: folder.join(source),
            destination: destination.trim_start_matches('/').to_owned(),
        });
    }
    Ok(mounts)
}
