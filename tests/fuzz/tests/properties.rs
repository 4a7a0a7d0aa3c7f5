//! Each property on its seeds, on mutants of them, and on any bytes. The fuzzer runs the same for longer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;

use proptest::prelude::*;
use sluice_fuzz::mutation::Mutator;
use sluice_fuzz::{TARGETS, Target};

/// How many mutants of each target's seeds are tried.
const MUTANTS: u64 = 150;
/// A stack as small as the worker's, in bytes.
const STACK_BYTES: usize = 1 << 20;

fn on_a_small_stack(target: &'static Target, input: Vec<u8>) {
    let shown = String::from_utf8_lossy(&input).into_owned();
    let run = thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || (target.check)(&input))
        .unwrap();
    assert!(run.join().is_ok(), "{}: {shown}", target.name);
}

#[test]
fn every_target_has_seeds_and_they_hold() {
    for target in TARGETS {
        let seeds = target.seeds();
        assert!(!seeds.is_empty(), "{}", target.name);
        for seed in seeds {
            (target.check)(&seed);
        }
    }
}

#[test]
fn mutants_of_the_seeds_hold() {
    for target in TARGETS {
        let seeds = target.seeds();
        let mutator = Mutator::new(&seeds);
        for number in 0..MUTANTS {
            let at = usize::try_from(number).unwrap() % seeds.len();
            on_a_small_stack(target, mutator.mutate(&seeds[at], number));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_hold(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for target in TARGETS {
            (target.check)(&bytes);
        }
    }
}
