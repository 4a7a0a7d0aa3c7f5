//! What is promised in numbers.

use sluice_machines::limit::{Borrow, Clocks, Meter, Period, Rule};
use sluice_sim::{Rush, added_latency};
use sluice_units::{NanoUsd, Span};

const MINUTE: Span = Span::from_seconds(60);
const DAY: Span = Span::from_seconds(86_400);

const fn window(meter: Meter, limit: u64) -> Rule {
    Rule::Window {
        meter,
        limit,
        window: MINUTE,
        borrow: Borrow::No,
    }
}

/// One that lets nobody in later while a rush lasts.
const fn rate(meter: Meter, limit: u64) -> Rule {
    Rule::Gcra {
        meter,
        limit,
        window: DAY,
        burst: limit,
    }
}

fn budget(period: Period) -> Rule {
    Rule::Budget {
        limit: NanoUsd::from_nanos(1_600_000),
        period,
        clocks: Clocks::default(),
        borrow: Borrow::No,
    }
}

/// Ten thousand at once, over fifty isolates.
const fn ten_thousand(seed: u64, rule: Rule) -> Rush {
    Rush {
        seed,
        requests: 10_000,
        isolates: 50,
        rule,
        has_homes: false,
        is_shared: false,
        is_stormy: false,
    }
}

/// A fifth of that, where ledgers are objects, objects that lease from a home, and rows in a store.
fn two_thousand(seed: u64, rule: Rule, is_stormy: bool) -> [Rush; 3] {
    let rush = Rush {
        requests: 2_000,
        isolates: 20,
        is_stormy,
        ..ten_thousand(seed, rule)
    };
    let at_home = Rush {
        has_homes: true,
        ..rush
    };
    // Each waits for all others there, for want of turns.
    let shared = Rush {
        requests: 500,
        is_shared: true,
        ..rush
    };
    [rush, at_home, shared]
}

#[test]
fn of_ten_thousand_at_once_over_fifty_isolates_a_limit_of_a_thousand_lets_a_thousand_in() {
    for seed in 1..=2 {
        let rush = ten_thousand(seed, window(Meter::Requests, 1_000));
        assert_eq!(rush.served(), Ok(1_000));
    }
    let rush = ten_thousand(1, rate(Meter::Requests, 1_000));
    assert_eq!(rush.served(), Ok(1_000));
}

#[test]
fn of_as_many_over_three_regions_the_same_limit_lets_in_the_same() {
    let rush = Rush {
        has_homes: true,
        ..ten_thousand(1, window(Meter::Requests, 1_000))
    };
    assert_eq!(rush.served(), Ok(1_000));
}

#[test]
fn a_limit_on_requests_lets_in_as_many_wherever_it_is_counted() {
    for seed in 1..=3 {
        for rule in [window(Meter::Requests, 200), rate(Meter::Requests, 200)] {
            for rush in two_thousand(seed, rule, false) {
                assert_eq!(rush.served(), Ok(200), "{rush:?}");
            }
        }
    }
}

#[test]
fn it_lets_in_no_more_when_calls_are_lost_and_isolates_die() {
    for seed in 1..=3 {
        for rule in [window(Meter::Requests, 200), rate(Meter::Requests, 200)] {
            for rush in two_thousand(seed, rule, true) {
                let served = rush.served().unwrap();
                assert!((1..=200).contains(&served), "{served} of {rush:?}");
            }
        }
    }
}

/// The judge sees to it that no limit is passed; here, that it is what binds, and that it lets in what fits.
#[test]
fn limits_of_every_other_kind_bind_and_let_in_what_fits() {
    let rules = [
        window(Meter::Tokens, 8_000),
        rate(Meter::Tokens, 8_000),
        window(Meter::Money, 1_600_000),
        rate(Meter::Money, 1_600_000),
        Rule::Concurrency { limit: 80 },
        budget(Period::Day),
        budget(Period::Month),
    ];
    for (seed, rule) in (1..).zip(rules) {
        for is_stormy in [false, true] {
            for rush in two_thousand(seed, rule, is_stormy) {
                let served = rush.served().unwrap();
                let least = if is_stormy { 1 } else { 40 };
                // Commits to a store take so long that much has ended before the last are decided.
                let most = rush.requests - usize::from(!rush.is_shared);
                assert!((least..=most).contains(&served), "{served} of {rush:?}");
            }
        }
    }
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
