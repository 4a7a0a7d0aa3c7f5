//! A seed decides everything: what happens, in which order, and what is said about it.

/// Calm, mixed and stormy ones.
const SEEDS: [u64; 4] = [1, 3, 11, 19];

#[test]
fn one_seed_twice_is_one_log_byte_for_byte() {
    for seed in SEEDS {
        let (one, other) = (sluice_sim::seed(seed, true), sluice_sim::seed(seed, true));
        assert_eq!(one.violation, None, "seed {seed}");
        assert!(one.log.lines().count() > 1_000, "something happens");
        assert!(one.log == other.log, "seed {seed} was not the same twice");
        assert_eq!(one.checks, other.checks);
    }
}

#[test]
fn whether_there_is_a_log_changes_nothing() {
    for seed in SEEDS {
        let (one, other) = (sluice_sim::seed(seed, true), sluice_sim::seed(seed, false));
        assert_eq!((one.requests, one.checks), (other.requests, other.checks));
        assert_eq!(one.faults, other.faults);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let run = |threads| sluice_sim::seeds(5, 3, threads, |_| ());
    let (one, other) = (run(1), run(3));
    assert_eq!((one.requests, one.checks), (other.requests, other.checks));
    assert_eq!(one.faults, other.faults);
}
