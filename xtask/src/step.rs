//! Running other programs, a step at a time, and saying so.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Why the menu's command stopped, in one line.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure that says this.
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts what was being done before what went wrong.
pub(crate) fn doing<E: fmt::Display>(what: &str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::new(format!("{what}: {error}"))
}

/// Says what comes next, does it, and says how long it took.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    eprintln!("==> {what}");
    let begun = Instant::now();
    let done = work()?;
    eprintln!("    {:.1} s", begun.elapsed().as_secs_f64());
    Ok(done)
}

/// Runs a program to its end; its output goes to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let name = line(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(doing(&name))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{name}` failed ({status})")))
}

/// Runs a program to its end and returns what it printed; `None` when it could not be run or failed.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Goes on as another program: signals reach it directly.
#[cfg(unix)]
pub(crate) fn become_program(command: &mut Command) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt as _;
    Err(doing(&line(command))(command.exec()))
}

/// Runs another program to its end.
#[cfg(not(unix))]
pub(crate) fn become_program(command: &mut Command) -> Result<(), Failure> {
    run(command)
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
