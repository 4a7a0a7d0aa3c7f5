//! Runs the simulator, built for it: quick, with every assertion on.

use std::process::Command;

use crate::step::{self, Failure};
use crate::{mutations, tools};

/// How many requests belong to a full test run.
const REQUESTS_OF_A_TEST: &str = "1000000";

/// Builds and runs; the options are the program's.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if let Some((first, words)) = arguments.split_first()
        && first == "--mutations"
    {
        return mutations::run(words);
    }
    step::run(cargo("run").arg("--").args(arguments))
}

fn cargo(command: &str) -> Command {
    let mut cargo = tools::cargo();
    let built = ["--quiet", "--profile", "sim", "--package", "sluice-sim"];
    cargo.arg(command).args(built);
    cargo
}

/// As a part of all tests: the simulator's own, and a good many requests.
pub(crate) fn test() -> Result<(), Failure> {
    step::run(&mut cargo("test"))?;
    run(&["--requests".to_owned(), REQUESTS_OF_A_TEST.to_owned()])
}
