//! Times every case natively: a line of JSON each, in the order of the module's numbers.
//!
//! The time of a case is that of its quickest round: what else the machine does only ever adds.

use std::time::{Duration, Instant};

use crate::cases::all;
use crate::{allocations, run};

/// How often each case is timed.
const ROUNDS: u32 = 9;
/// How long a round lasts at least.
const ROUND: Duration = Duration::from_millis(10);

/// Times every case and prints it.
pub fn time_all() {
    for (number, case) in (0_u32..).zip(all()) {
        run(number, 1);
        let before = allocations();
        run(number, 1);
        let allocations = allocations().wrapping_sub(before);
        let line = serde_json::json!({
            "kind": case.kind,
            "name": case.name,
            "units": case.units,
            "allocations": allocations,
            "ns": quickest(number),
        });
        println!("{line}");
    }
}

/// The nanoseconds of one run.
fn quickest(number: u32) -> f64 {
    let mut times = 1;
    while time(number, times) < ROUND {
        times *= 2;
    }
    let rounds = (0..ROUNDS).map(|_| time(number, times).as_secs_f64() * 1e9 / f64::from(times));
    rounds.fold(f64::INFINITY, f64::min)
}

fn time(number: u32, times: u32) -> Duration {
    let begun = Instant::now();
    run(number, times);
    begun.elapsed()
}
