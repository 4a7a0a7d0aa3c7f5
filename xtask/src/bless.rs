//! Writes anew what the tests compare with. What it writes is for people to read before they commit it.

use crate::step::{self, Failure, step};
use crate::tools;

/// Writes the snapshots, then the tables of the documentation.
pub(crate) fn run() -> Result<(), Failure> {
    step("snapshots and tables", || {
        let mut cargo = tools::cargo();
        cargo
            .args(["test", "--quiet", "--package", "sluice-wire"])
            .env("INSTA_UPDATE", "always")
            .env("SLUICE_BLESS", "1");
        step::run(&mut cargo)
    })
}
