//! Runs the simulator, built for it: quick, with every assertion on.

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
    let mut cargo = tools::cargo();
    cargo.args(["run", "--quiet", "--profile", "sim", "--package"]);
    step::run(cargo.args(["sluice-sim", "--"]).args(arguments))
}

/// As a part of all tests.
pub(crate) fn test() -> Result<(), Failure> {
    run(&["--requests".to_owned(), REQUESTS_OF_A_TEST.to_owned()])
}
