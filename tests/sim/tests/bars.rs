//! What is promised in numbers.

use sluice_sim::{added_latency, let_in_at_once};
use sluice_units::Span;

#[test]
fn of_ten_thousand_at_once_over_fifty_isolates_a_limit_of_a_thousand_lets_a_thousand_in() {
    for seed in 1..=2 {
        assert_eq!(let_in_at_once(seed, 10_000, 50, 1_000, false), Ok(1_000));
    }
}

#[test]
fn of_as_many_over_three_regions_the_same_limit_lets_in_the_same() {
    assert_eq!(let_in_at_once(1, 10_000, 50, 1_000, true), Ok(1_000));
}

#[test]
fn a_distant_ledger_costs_nothing_in_the_steady_state_and_never_more_than_one_round_trip() {
    const ROUND_TRIP: Span = Span::from_millis(120);
    for has_homes in [false, true] {
        let added = added_latency(1, ROUND_TRIP, has_homes).unwrap();
        assert!(added.requests > 2_000, "{added:?}");
        assert!(added.p50 < Span::from_millis(1), "{added:?}");
        assert!(added.p95 < Span::from_millis(1), "{added:?}");
        assert!(added.most <= ROUND_TRIP, "{added:?}");
    }
}
