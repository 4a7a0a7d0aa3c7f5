//! Every test, the quick ones first.

use std::process::Command;

use crate::build;
use crate::options::Options;
use crate::sim;
use crate::step::{self, Failure, step};
use crate::{terraform, tools};

/// Runs every test; the first that fails ends it.
pub(crate) fn run() -> Result<(), Failure> {
    tools::require_node()?;
    step("tests that need no runtime", || {
        // Components have no native form: their exports are named as no linker here takes. The simulator's tests come
        // with it.
        let excluded = ["sluice-spin", "spin-floor", "sluice-sim"];
        let excluded = excluded.iter().flat_map(|package| ["--exclude", *package]);
        let all = ["test", "--workspace", "--quiet"];
        step::run(tools::cargo().args(all).args(excluded))
    })?;
    step("a simulated world", sim::test)?;
    build::worker(&Options::default())?;
    step("tests of the Durable Objects on workerd", || {
        step::run(Command::new("node").args([
            "--test",
            "--test-reporter=spec",
            "durable/objects/test/objects.test.mjs",
        ]))
    })?;
    step("end-to-end tests on workerd", || {
        step::run(Command::new("node").arg("tests/e2e/run.mjs"))
    })?;
    step("tests of the Terraform modules", terraform::run)
}
