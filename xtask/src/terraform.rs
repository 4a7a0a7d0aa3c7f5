//! Tests the Terraform modules.
//!
//! Only builds what the tests need of the workspace; what is tested, and how, is in `tests/terraform`.

use std::path::PathBuf;
use std::process::Command;

use crate::step::{self, Failure, doing};
use crate::{manifest, tools};

/// Where the tests are.
const TESTS: &str = "tests/terraform";

/// Runs the tests with the real `sluice` and the real manifest of the worker.
pub(crate) fn run() -> Result<(), Failure> {
    tools::require_node()?;
    tools::require_packages()?;
    manifest::write()?;
    step::run(tools::cargo().args(["build", "--quiet", "--package", "sluice-cli"]))?;
    // One after the other: they share what they build.
    for file in test_files()? {
        let mut node = Command::new("node");
        step::run(node.args(["--test", "--test-reporter=spec"]).arg(file))?;
    }
    Ok(())
}

fn test_files() -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(TESTS).map_err(doing(TESTS))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(doing(TESTS))?.path();
        if path.to_string_lossy().ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
