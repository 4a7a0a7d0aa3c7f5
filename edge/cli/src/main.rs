//! The `sluice` command.
//!
//! Reads the command line, hands the work to the library and prints what comes back.
//! Exit codes: 0 done, 1 problems found or the gateway refused, 2 wrong usage.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sluice_cli::{Arguments, run};

fn main() -> ExitCode {
    // A wrong command line ends here, with code 2.
    let arguments = Arguments::parse();
    let (text, code) = match run(arguments) {
        Ok(text) => (Ok(text), ExitCode::SUCCESS),
        Err(failure) => (Err(failure), ExitCode::FAILURE),
    };
    let written = match &text {
        Ok(text) => write!(std::io::stdout(), "{text}"),
        Err(failure) => write!(std::io::stderr(), "{failure}"),
    };
    // A reader that has gone away (`sluice … | head`) is no failure of ours.
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => code,
    }
}
