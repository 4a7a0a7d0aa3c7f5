//! Fuzzing: builds the driver with libFuzzer's instrumentation and runs it, one target after another.
//!
//! Decides flags, bounds and folders; what is asserted is in `tests/fuzz`. The compiler is the pinned one: its
//! instrumentation pass needs no nightly. libFuzzer itself is C++, so a C++ compiler must be there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{self, Failure, doing, step};
use crate::tools;

/// The driver's own workspace.
const DRIVER: &str = "tests/fuzz/driver";
/// Where everything that fuzzing makes is kept: the build, corpora, findings.
const FOLDER: &str = "target/fuzz";
/// How long a target runs, in seconds, unless said otherwise.
const SECONDS_DEFAULT: u32 = 10;
/// What the fuzzer must see of a program: which edges it takes and what it compares.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";
/// The bounds within which every input must be dealt with: its own size, time, memory in all and at once.
const BOUNDS: [&str; 4] = [
    "-max_len=24576",
    "-timeout=10",
    "-rss_limit_mb=1024",
    "-malloc_limit_mb=256",
];

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    /// One target; none means all.
    target: Option<String>,
    /// Only this input, such as a finding.
    input: Option<String>,
    seconds: Option<u32>,
}

/// Runs the targets; fails with a list of those that found something.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let request = parse(arguments)?;
    let driver = build()?;
    let targets = match &request.target {
        Some(target) => vec![target.clone()],
        None => step::output(&mut Command::new(&driver))
            .ok_or_else(|| Failure::new("the driver lists no targets"))?
            .lines()
            .map(str::to_owned)
            .collect(),
    };
    let mut found = Vec::new();
    for target in &targets {
        let what = format!("fuzz {target}");
        if let Err(failure) = step(&what, || fuzz(&driver, target, &request)) {
            eprintln!("    {failure}");
            found.push(target.as_str());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "found something: {}; `cargo xtask fuzz TARGET {FOLDER}/found/TARGET/…` runs one input again",
        found.join(", ")
    )))
}

fn build() -> Result<PathBuf, Failure> {
    let host = host()?;
    step("build the fuzzer", || {
        let mut cargo = tools::cargo();
        cargo.args(["build", "--release", "--quiet"]);
        cargo.args(["--target", &host, "--target-dir", FOLDER]);
        cargo.args(["--manifest-path", &format!("{DRIVER}/Cargo.toml")]);
        step::run(cargo.env("RUSTFLAGS", INSTRUMENTATION))
    })?;
    let driver = Path::new(FOLDER)
        .join(host)
        .join("release/sluice-fuzz-driver");
    fs::canonicalize(&driver).map_err(doing(&driver.display().to_string()))
}

/// The machine that this compiler runs on. With it as target, build scripts are not instrumented.
fn host() -> Result<String, Failure> {
    let told = step::output(Command::new("rustc").arg("-vV")).unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned)
        .ok_or_else(|| Failure::new("`rustc -vV` names no host"))
}

fn fuzz(driver: &Path, target: &str, request: &Request) -> Result<(), Failure> {
    let folder = |kind: &str| Path::new(FOLDER).join(kind).join(target);
    for kind in ["corpus", "seeds", "found"] {
        let folder = folder(kind);
        fs::create_dir_all(&folder).map_err(doing(&folder.display().to_string()))?;
    }
    let mut command = Command::new(driver);
    command
        .env("SLUICE_FUZZ_TARGET", target)
        .env("SLUICE_FUZZ_SEEDS", folder("seeds"))
        .args(BOUNDS);
    if let Some(input) = &request.input {
        return step::run(command.arg(input));
    }
    let seconds = request.seconds.unwrap_or(SECONDS_DEFAULT);
    command
        .args(["-verbosity=0", "-print_funcs=0", "-print_final_stats=1"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", folder("found").display()))
        .args([folder("corpus"), folder("seeds")]);
    step::run(&mut command)
}

fn parse(arguments: &[String]) -> Result<Request, Failure> {
    let mut request = Request::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            let value = rest.next().and_then(|value| value.parse().ok());
            let seconds: u32 = value.ok_or_else(|| Failure::new("--seconds needs a number"))?;
            request.seconds = Some(seconds);
        } else if argument.starts_with('-') {
            return Err(Failure::new(format!(
                "unknown option {argument:?}; `cargo xtask help` lists them"
            )));
        } else if request.target.is_none() {
            request.target = Some(argument.clone());
        } else if request.input.is_none() {
            request.input = Some(argument.clone());
        } else {
            return Err(Failure::new(format!(
                "one input at a time, not {argument:?}"
            )));
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Request, &str>) {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = parse(&arguments).map_err(|failure| failure.to_string());
        assert_eq!(parsed, expected.map_err(str::to_owned), "{line}");
    }

    fn request(target: Option<&str>, input: Option<&str>, seconds: Option<u32>) -> Request {
        Request {
            target: target.map(str::to_owned),
            input: input.map(str::to_owned),
            seconds,
        }
    }

    #[test]
    fn a_target_an_input_and_a_time_are_read() {
        check("", Ok(Request::default()));
        check("--seconds 5", Ok(request(None, None, Some(5))));
        check("sse --seconds 5", Ok(request(Some("sse"), None, Some(5))));
        check("sse a/b", Ok(request(Some("sse"), Some("a/b"), None)));
        check("sse --seconds", Err("--seconds needs a number"));
        check("sse a b", Err("one input at a time, not \"b\""));
        check(
            "--second 5",
            Err("unknown option \"--second\"; `cargo xtask help` lists them"),
        );
    }
}
