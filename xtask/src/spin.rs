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
    let text = fs::read_to_string(&document).map_err(doing(OUT))?;
    let document: Value = serde_json::from_str(&text).map_err(doing("build/spin/config.json"))?;
    build::write_if_changed(&options.manifest, manifest(&document).as_bytes())?;
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
    run("spin", &["scenarios", "accounting", "sdk", "spin"])?;
    if step::output(Command::new("redis-server").arg("--version")).is_none() {
        eprintln!("==> end-to-end tests on Redis: skipped, redis-server is not installed");
        return Ok(());
    }
    run("spin-redis", &["scenarios", "accounting"])
}

fn compile(release: bool) -> Result<PathBuf, Failure> {
    let profile = if release { "release" } else { "edge-dev" };
    let mut cargo = tools::cargo();
    cargo
        .args(["build", "--package", "sluice-spin", "--profile", profile])
        .args(["--target", TARGET])
        // Nobody reads names in there.
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    step::run(&mut cargo)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(Path::new(&target)
        .join(TARGET)
        .join(profile)
        .join("sluice_spin.wasm"))
}

/// The manifest for a resolved configuration.
fn manifest(document: &Value) -> String {
    let secrets = secrets(document);
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
        .map(|host| (*host).to_owned())
        .chain(origins(document))
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

/// The entries of a table.
fn entries<'a>(document: &'a Value, table: &str) -> impl Iterator<Item = &'a Value> {
    let entries = document.get(table).and_then(Value::as_object);
    entries.into_iter().flat_map(|entries| entries.values())
}

/// The names of the secrets of providers and receivers of events, as Spin wants them.
fn secrets(document: &Value) -> BTreeSet<String> {
    let receivers = entries(document, "notify");
    entries(document, "providers")
        .flat_map(|provider| {
            let aws = provider.get("aws").and_then(Value::as_object);
            let aws = aws.into_iter().flatten();
            let aws = aws.filter(|(name, _)| name.as_str() != "region");
            // One name, or several.
            let keys = provider.get("key").into_iter();
            let keys = keys.flat_map(|key| {
                key.as_array()
                    .map_or_else(|| vec![key], |keys| keys.iter().collect())
            });
            keys.chain(aws.map(|(_, name)| name))
        })
        .chain(receivers.filter_map(|receiver| receiver.get("secret")))
        .filter_map(Value::as_str)
        .map(str::to_ascii_lowercase)
        .collect()
}

/// The addresses that providers and receivers of events are called at, without their paths.
fn origins(document: &Value) -> BTreeSet<String> {
    let receivers = entries(document, "notify");
    entries(document, "providers")
        .flat_map(|provider| {
            [
                provider.get("base_url"),
                provider.pointer("/google/token_url"),
            ]
        })
        .chain(receivers.map(|receiver| receiver.get("url")))
        .flatten()
        .filter_map(|address| origin(address.as_str()?))
        .collect()
}

fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_grants_what_the_configuration_names() {
        let notify =
            serde_json::json!({"n": {"url": "https://hook.example/x", "secret": "N_SECRET"}});
        let document = serde_json::json!({"notify": notify, "providers": {
            "a": {"base_url": "https://api.a.example/v1", "key": "A_KEY"},
            "b": {"base_url": "http://127.0.0.1:1/v1?x", "key": "A_KEY"},
            "c": {"dialect": "openai", "key": ["C_KEY", "C_KEY_BEFORE"]},
            "d": {"aws": {"region": "eu-west-1", "access_key_id": "AWS_ID"}, "google": {"token_url": "https://token.example/t"}},
        }});
        let text = manifest(&document);
        for wanted in [
            "    \"https://api.a.example\",\n",
            "    \"http://127.0.0.1:1\",\n",
            "a_key = { default = \"\", secret = true }\n",
            "a_key = \"{{ a_key }}\"\n",
            "c_key_before = { default = \"\", secret = true }\n",
            "aws_id = { default = \"\", secret = true }\n",
            "    \"https://token.example\",\n",
            "    \"https://hook.example\",\n",
            "n_secret = { default = \"\", secret = true }\n",
            "sluice_admin_token = { required = true, secret = true }\n",
        ] {
            let is_there = text.contains(wanted)
                || wanted
                    .lines()
                    .all(|line| text.lines().any(|found| found == line));
            assert!(is_there, "{wanted} in\n{text}");
        }
        assert_eq!(text.matches("https://api.a.example").count(), 1);
    }

    #[test]
    fn the_committed_manifest_is_the_default_configurations() {
        let committed = include_str!("../../spin.toml");
        assert_eq!(committed, manifest(&serde_json::json!({})));
    }
}
