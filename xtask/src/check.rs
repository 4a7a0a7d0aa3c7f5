//! What a change must satisfy before anybody looks at it: format, lints, licences.

use std::process::Command;

use crate::step::{self, Failure, step};
use crate::tools;

/// The crates that are compiled for the worker; they are looked at as such.
const WORKER_CRATES: &[&str] = &["sluice-cloudflare", "sluice-objects"];

/// Checks everything that needs no test.
pub(crate) fn run() -> Result<(), Failure> {
    tools::require_target(tools::WASM_TARGET)?;
    step("format", || cargo(&["fmt", "--all", "--check"]))?;
    step("lints", || {
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    step("lints of the worker", || {
        let mut arguments = vec!["clippy", "--quiet", "--target", tools::WASM_TARGET];
        for package in WORKER_CRATES {
            arguments.extend(["--package", package]);
        }
        arguments.extend(["--", "-D", "warnings"]);
        cargo(&arguments)
    })?;
    if step::output(Command::new("cargo-deny").arg("--version")).is_none() {
        eprintln!("==> licences and bans: skipped, cargo-deny is not installed");
        return Ok(());
    }
    step("licences and bans", || {
        cargo(&["deny", "check", "bans", "licenses", "sources"])
    })
}

fn cargo(arguments: &[&str]) -> Result<(), Failure> {
    step::run(tools::cargo().args(arguments))
}
