//! Builds the Spin component into `build/spin/` and writes the manifest that runs it.
//!
//! The manifest grants what the configuration needs and nothing else: the providers' addresses, and the store's and the
//! bucket's, which are variables.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::build;
use crate::options::Options;
use crate::step::{self, Failure, doing, step};
use crate::tools;

/// Where the component goes.
const OUT: &str = "build/spin";
/// Where the host for tests is built.
const HOST_OUT: &str = "target/spin-host";
/// What it is compiled for.
const TARGET: &str = "wasm32-wasip2";

/// The variables that every gateway has: name, default, whether it is a secret. Without a default it must be set.
const VARIABLES: &[(&str, Option<&str>, bool)] = &[
    ("sluice_admin_token", None, true),
    ("sluice_id_key", Some(""), true),
    ("sluice_id_key_before", Some(""), true),
    ("sluice_store", Some("sqlite"), true),
    ("sluice_store_host", Some("redis://127.0.0.1:6379"), false),
    ("sluice_records_url", Some(""), false),
    ("sluice_records_host", Some("http://127.0.0.1:9000"), false),
    ("sluice_records_region", Some("us-east-1"), false),
    ("sluice_records_access_key_id", Some(""), true),
    ("sluice_records_secret_access_key", Some(""), true),
    ("sluice_records_retention", Some(""), false),
    ("sluice_receipt_key", Some(""), true),
    ("sluice_receipt_keys_retired", Some(""), false),
];

/// The variables that hold addresses, which may be called.
const HOSTS: &[&str] = &["{{ sluice_store_host }}", "{{ sluice_records_host }}"];

/// Builds the component and writes its manifest.
pub(crate) fn component(options: &Options) -> Result<(), Failure> {
    tools::require_target(TARGET)?;
    fs::create_dir_all(OUT).map_err(doing(OUT))?;
    let document = Path::new(OUT).join("config.json");
    step("configuration", || {
        build::configuration(&options.config, &document, "spin")
    })?;
    let wasm = step("cargo build (component)", || compile(options.release))?;
    let component = Path::new(OUT).join("sluice.wasm");
    fs::copy(&wasm, &component).map_err(doing(OUT))?;
    let hash = build::sha256(&component)?;
    build::write_if_changed(&Path::new(OUT).join("wasm.sha256"), hash.as_bytes())?;
    let text = manifest(&grants(&document)?);
    build::write_if_changed(&options.manifest, text.as_bytes())?;
    let bytes = fs::metadata(&component).map_err(doing(OUT))?.len();
    println!("{}: {} KB", component.display(), bytes / 1024);
    Ok(())
}

/// Builds the component, and a host for it where there is no `spin`, and runs the end-to-end tests on both stores.
pub(crate) fn test() -> Result<(), Failure> {
    tools::require_node()?;
    tools::require_packages()?;
    component(&Options::default())?;
    if step::output(Command::new("spin").arg("--version")).is_none() {
        step("cargo build (a host for the component)", || {
            step::run(
                tools::cargo()
                    .args(["build", "--quiet", "--release", "--locked"])
                    .args(["--manifest-path", "tests/spin-host/Cargo.toml"])
                    .args(["--target-dir", HOST_OUT]),
            )
        })?;
    }
    let run = |runtime: &str, files: &[&str]| {
        step(&format!("end-to-end tests on {runtime}"), || {
            let mut node = Command::new("node");
            node.args(["tests/e2e/run.mjs", "--runtime", runtime]);
            step::run(node.args(files))
        })
    };
    run("spin", &[&ON_BOTH_STORES[..], &["sdk", "spin"]].concat())?;
    for (runtime, server, files) in [
        ("spin-redis", "redis-server", &ON_BOTH_STORES[..]),
        ("spin-valkey", "valkey-server", &ON_VALKEY),
    ] {
        if step::output(Command::new(server).arg("--version")).is_some() {
            run(runtime, files)?;
        } else {
            eprintln!("==> end-to-end tests on {runtime}: skipped, {server} is not installed");
        }
    }
    Ok(())
}

/// Those that show that Valkey does what Redis does.
const ON_VALKEY: [&str; 2] = ["scenarios", "spin"];

/// The end-to-end tests that the component must pass on SQLite and on Redis.
const ON_BOTH_STORES: [&str; 11] = [
    "scenarios",
    "accounting",
    "limits",
    "streams",
    "homes",
    "shards",
    "revocation",
    "events",
    "audit",
    "circuits",
    "capacity",
];

fn compile(release: bool) -> Result<PathBuf, Failure> {
    let profile = if release { "component" } else { "edge-dev" };
    let mut cargo = tools::cargo();
    cargo
        .args(["build", "--package", "sluice-spin", "--profile", profile])
        .args(["--target", TARGET]);
    step::run(&mut cargo)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(Path::new(&target)
        .join(TARGET)
        .join(profile)
        .join("sluice_spin.wasm"))
}

/// What a configuration needs of the platform besides what every gateway does.
#[derive(Default)]
struct Grants {
    /// The addresses that it calls, without their paths.
    origins: BTreeSet<String>,
    /// The names of the secrets that it reads.
    secrets: BTreeSet<String>,
}

/// The manifest that grants this.
fn manifest(grants: &Grants) -> String {
    // Spin takes no capitals.
    let secrets: BTreeSet<String> = grants
        .secrets
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    let mut declared = String::new();
    let mut passed = String::new();
    for (name, default, is_secret) in VARIABLES {
        let value = default.map_or_else(
            || "required = true".to_owned(),
            |default| format!("default = {default:?}"),
        );
        let secret = if *is_secret { ", secret = true" } else { "" };
        declared.push_str(&format!("{name} = {{ {value}{secret} }}\n"));
    }
    for name in &secrets {
        declared.push_str(&format!("{name} = {{ default = \"\", secret = true }}\n"));
    }
    // The hosts are for the manifest alone.
    let names = VARIABLES.iter().map(|(name, _, _)| (*name).to_owned());
    let names = names.filter(|name| !name.ends_with("_host"));
    for name in names.chain(secrets) {
        passed.push_str(&format!("{name} = \"{{{{ {name} }}}}\"\n"));
    }
    let hosts: Vec<String> = HOSTS
        .iter()
        .copied()
        .chain(grants.origins.iter().map(String::as_str))
        .map(|host| format!("    {host:?},\n"))
        .collect();
    format!(
        "# Written by `cargo xtask build spin` from the configuration. Run it: spin build && spin up\n\
         spin_manifest_version = 2\n\n\
         [application]\nname = \"sluice\"\nversion = \"{}\"\ndescription = \"An LLM gateway\"\n\n\
         # Set them with SPIN_VARIABLE_NAME=… or by a variables provider; docs/spin.md describes them.\n\
         [variables]\n{declared}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"sluice\"\n\n\
         [component.sluice]\nsource = \"{OUT}/sluice.wasm\"\n\
         files = [\n    {{ source = \"{OUT}/config.json\", destination = \"/config.json\" }},\n    \
         {{ source = \"{OUT}/wasm.sha256\", destination = \"/wasm.sha256\" }},\n]\n\
         sqlite_databases = [\"default\"]\nallowed_outbound_hosts = [\n{}]\n\n\
         [component.sluice.variables]\n{passed}\n\
         [component.sluice.build]\ncommand = \"cargo xtask build spin --release\"\n\
         watch = [\"edge/spin/**/*.rs\", \"shared/**/*.rs\", \"durable/machines/**/*.rs\", \"sluice.toml\"]\n",
        env!("CARGO_PKG_VERSION"),
        hosts.concat(),
    )
}

/// What a resolved configuration calls and reads.
fn grants(document: &Path) -> Result<Grants, Failure> {
    let mut sluice = tools::cargo();
    sluice.args(["run", "--quiet", "--package", "sluice-cli", "--", "grants"]);
    let answer = sluice.arg(document).output().map_err(doing("sluice"))?;
    if !answer.status.success() {
        let problem = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
        return Err(Failure::new(problem));
    }
    let answer: Value = serde_json::from_slice(&answer.stdout).map_err(doing("sluice grants"))?;
    let texts = |name: &str| -> BTreeSet<String> {
        let list = answer.get(name).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    Ok(Grants {
        origins: texts("origins"),
        secrets: texts("secrets"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_grants_what_the_configuration_needs() {
        let text = manifest(&Grants {
            origins: [
                "https://api.a.example".to_owned(),
                "http://127.0.0.1:1".to_owned(),
            ]
            .into(),
            secrets: ["A_KEY".to_owned()].into(),
        });
        for wanted in [
            "    \"https://api.a.example\",",
            "    \"http://127.0.0.1:1\",",
            "a_key = { default = \"\", secret = true }",
            "a_key = \"{{ a_key }}\"",
            "sluice_admin_token = { required = true, secret = true }",
        ] {
            assert!(
                text.lines().any(|line| line == wanted),
                "{wanted} in\n{text}"
            );
        }
    }

    #[test]
    fn the_committed_manifest_is_the_default_configurations() {
        let committed = include_str!("../../spin.toml");
        assert_eq!(committed, manifest(&Grants::default()));
    }
}
