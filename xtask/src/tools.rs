//! The tools that the project stands on: checks for them, and fetches those that can be fetched.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::step::{self, Failure, doing};

/// The oldest Node that the development tools run on.
const NODE_MAJOR_MIN: u32 = 20;

/// Where the worker is compiled for.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Goes to the project's root, so that every path is relative to it.
pub(crate) fn enter_root() -> Result<(), Failure> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().unwrap_or(manifest);
    std::env::set_current_dir(root).map_err(doing(&root.display().to_string()))
}

/// The cargo that runs this menu.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Checks that Node is there and new enough.
pub(crate) fn require_node() -> Result<(), Failure> {
    let Some(version) = step::output(Command::new("node").arg("--version")) else {
        return Err(Failure::new(format!(
            "no `node` on the PATH; install Node {NODE_MAJOR_MIN} or newer"
        )));
    };
    match node_major(&version) {
        Some(major) if major >= NODE_MAJOR_MIN => Ok(()),
        _ => Err(Failure::new(format!(
            "Node {version} is too old; install Node {NODE_MAJOR_MIN} or newer"
        ))),
    }
}

fn node_major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Makes sure that a target is installed, where rustup manages the toolchain.
pub(crate) fn require_target(target: &str) -> Result<(), Failure> {
    let installed = step::output(Command::new("rustup").args(["target", "list", "--installed"]));
    let Some(installed) = installed else {
        // Without rustup the target comes with the toolchain, or cargo says that it does not.
        return Ok(());
    };
    if installed.lines().any(|line| line == target) {
        return Ok(());
    }
    step::step("rustup target add", || {
        step::run(Command::new("rustup").args(["target", "add", target]))
    })
}

/// Makes sure that the npm packages of the lock file are installed.
pub(crate) fn require_packages() -> Result<(), Failure> {
    let marker = Path::new("node_modules/.sluice-lock");
    let lock = fs::read("package-lock.json").map_err(doing("package-lock.json"))?;
    if fs::read(marker).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    step::step("npm ci", || {
        step::run(Command::new("npm").args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]))
    })?;
    fs::write(marker, lock).map_err(doing("node_modules"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_node_prints() {
        for (version, expected) in [
            ("v20.20.2", Some(20)),
            ("v8.0.0", Some(8)),
            ("20.1.0", None),
            ("", None),
        ] {
            assert_eq!(node_major(version), expected, "{version}");
        }
    }
}
