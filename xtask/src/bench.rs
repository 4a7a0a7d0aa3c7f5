//! Measures the gateway against a bare pass-through worker, or the translation alone.
//!
//! Only builds the worker as it is deployed, or the benchmarks like it; what is measured, and how, is in `tests/bench`.

use std::process::Command;

use crate::build;
use crate::options::Options;
use crate::step::{self, Failure, become_program, step};
use crate::tools;

/// The program that measures.
const PROGRAM: &str = "tests/bench/main.mjs";

/// Builds and measures; the options are the program's.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    tools::require_node()?;
    if arguments == ["--kinds", "wire"] || arguments == ["--kinds=wire"] {
        return wire();
    }
    // Before the long part: what will fail anyway fails at once.
    step::run(node(arguments).arg("--options-only"))?;
    if measures_gateway(arguments) {
        build::worker(&Options {
            release: true,
            ..Options::default()
        })?;
    } else {
        tools::require_packages()?;
    }
    become_program(&mut node(arguments))
}

/// Measures the wire crate alone, natively and in wasm, both compiled as the worker is.
fn wire() -> Result<(), Failure> {
    const PACKAGE: &str = "sluice-bench-wire";
    tools::require_target("wasm32-unknown-unknown")?;
    let build = |more: &[&str]| {
        let mut cargo = tools::cargo();
        cargo.args(["build", "--release", "--quiet", "--package", PACKAGE]);
        step::run(cargo.args(more))
    };
    step("build the benchmarks", || {
        build(&["--bins"])?;
        build(&["--lib", "--target", tools::WASM_TARGET])
    })?;
    let module = format!(
        "target/{}/release/sluice_bench_wire.wasm",
        tools::WASM_TARGET
    );
    let mut node = Command::new("node");
    node.args(["tests/bench/wire.mjs", "target/release/sluice-bench-wire"]);
    become_program(node.arg(module))
}

fn node(arguments: &[String]) -> Command {
    let mut node = Command::new("node");
    node.arg(PROGRAM).args(arguments);
    node
}

/// Whether the gateway takes part; the floor can be measured against itself without it.
fn measures_gateway(arguments: &[String]) -> bool {
    let is_floor =
        |pair: &[String]| matches!(pair, [name, value] if name == "--subject" && value == "floor");
    !arguments.windows(2).any(is_floor) && !arguments.iter().any(|one| one == "--subject=floor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_against_itself_needs_no_gateway() {
        for (line, expected) in [
            ("", true),
            ("--subject gateway", true),
            ("--subject floor", false),
            ("--seconds 1 --subject=floor", false),
            ("--json floor", true),
        ] {
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(measures_gateway(&arguments), expected, "{line}");
        }
    }
}
