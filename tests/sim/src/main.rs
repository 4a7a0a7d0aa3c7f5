//! Runs seeds and says what became of them.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sluice_sim::{Counts, REQUESTS_PER_SEED, Summary};

const HELP: &str = "\
options:
  --requests N   how many requests to send, over as many seeds as that takes (default: 100000)
  --seed S       the first seed (default: 1); without --requests, this seed alone
  --threads N    how many seeds to run side by side (default: one for each core)
  --log          print everything that happens in the seed";
const REQUESTS_DEFAULT: u64 = 100_000;
/// How much of a failing seed's log is shown.
const LINES_SHOWN: usize = 40;

#[derive(Debug, Default)]
struct Options {
    requests: Option<u64>,
    seed: Option<u64>,
    threads: Option<u64>,
    has_log: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(name) = arguments.next() {
            let value = match name.as_str() {
                "--requests" => &mut options.requests,
                "--seed" => &mut options.seed,
                "--threads" => &mut options.threads,
                "--log" => {
                    options.has_log = true;
                    continue;
                }
                _ => return Err(format!("unknown option {name:?}\n{HELP}")),
            };
            let text = arguments.next().unwrap_or_default();
            let number = text.replace('_', "").parse();
            *value = Some(number.map_err(|_| format!("{name} needs a number, not {text:?}"))?);
        }
        Ok(options)
    }

    fn seeds(&self) -> u64 {
        match (self.requests, self.seed) {
            (Some(requests), _) => requests.div_ceil(REQUESTS_PER_SEED),
            (None, Some(_)) => 1,
            (None, None) => REQUESTS_DEFAULT.div_ceil(REQUESTS_PER_SEED),
        }
    }
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let first = options.seed.unwrap_or(1);
    if options.has_log {
        let report = sluice_sim::seed(first, true);
        print!("{}", report.log);
        return report.violation.map_or(ExitCode::SUCCESS, |what| {
            eprintln!("error: seed {first}: {what}");
            ExitCode::FAILURE
        });
    }
    let threads = options
        .threads
        .map_or_else(cores, |threads| threads as usize);
    let begun = Instant::now();
    let shown = AtomicU64::new(0);
    let summary = sluice_sim::seeds(first, options.seeds(), threads, |requests| {
        let seconds = begun.elapsed().as_secs() / 10;
        if shown.swap(seconds, Ordering::Relaxed) != seconds {
            eprintln!("    {requests} requests so far");
        }
    });
    print(&summary, first, begun.elapsed().as_secs_f64());
    match &summary.failed {
        None => ExitCode::SUCCESS,
        Some((seed, what)) => {
            explain(*seed, what);
            ExitCode::FAILURE
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The closing line.
fn print(summary: &Summary, first: u64, seconds: f64) {
    let last = first + summary.seeds.saturating_sub(1);
    let faults: u64 = summary.faults.values().sum();
    println!(
        "sim: seeds {first}..={last}, {} requests, {faults} faults injected ({}), {} checks; {:.1} s, {:.0} requests/s, {:.0} checks/s",
        summary.requests,
        by_kind(&summary.faults),
        summary.checks,
        seconds,
        summary.requests as f64 / seconds,
        summary.checks as f64 / seconds,
    );
}

fn by_kind(faults: &Counts) -> String {
    let kinds: Vec<String> = faults
        .iter()
        .map(|(fault, count)| format!("{fault} {count}"))
        .collect();
    kinds.join(", ")
}

/// Shows how a seed fails, and how to see all of it.
fn explain(seed: u64, what: &str) {
    let log = sluice_sim::seed(seed, true).log;
    let lines: Vec<&str> = log.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN)) {
        eprintln!("{line}");
    }
    eprintln!("error: seed {seed}: {what}");
    eprintln!("replay: cargo xtask sim --seed {seed} --log");
}
