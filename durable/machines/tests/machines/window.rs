//! A sliding window against a naive log of everything that was let in.

use proptest::prelude::*;
use sluice_machines::ledger::{Reply, SUB_BUCKETS};
use sluice_machines::limit::{Amount, Meter, Scope, Slice};
use sluice_units::{Span, Timestamp};

use crate::world::{World, amount, at, per};

/// What a token costs, in nano-dollars: some requests cost more than an `u32` holds.
const TOKEN: i64 = 1_000_000_007;

#[derive(Debug, Clone)]
struct Arrival {
    wait_us: i64,
    tokens: u64,
    /// Settle or release an earlier request first: which, and to how many hundredths of its estimate.
    settle: Option<(usize, u64)>,
}

#[derive(Debug)]
struct Logged {
    number: u32,
    at: Timestamp,
    tokens: u64,
    open: bool,
    released: bool,
}

fn arrivals(window_us: i64) -> impl Strategy<Value = Vec<Arrival>> {
    let wait_us = prop_oneof![
        Just(0),
        0..(window_us / 10).max(1),
        0..window_us,
        window_us - 2..window_us + 2,
    ];
    let settle = proptest::option::of((any::<prop::sample::Index>(), 0_u64..=100));
    let arrival = (wait_us, 0_u64..40, settle).prop_map(|(wait_us, tokens, settle)| Arrival {
        wait_us,
        tokens,
        settle: settle.map(|(which, percent)| (which.index(1_000), percent)),
    });
    proptest::collection::vec(arrival, 1..60)
}

/// What the log holds within the stretch of this length that ends now.
fn logged(log: &[Logged], meter: Meter, now: Timestamp, stretch_us: i64) -> u64 {
    log.iter()
        .filter(|entry| entry.at >= now.minus(Span::from_micros(stretch_us)) && !entry.released)
        .map(|entry| Slice::of(taking(entry.tokens)).on(meter))
        .sum()
}

fn taking(tokens: u64) -> Amount {
    amount(tokens, i64::try_from(tokens).unwrap() * TOKEN)
}

/// Settles an earlier request to a part of its estimate, or releases it when that part is nothing.
fn end_one(world: &mut World, log: &mut [Logged], which: usize, percent: u64) {
    let count = log.len().max(1);
    let Some(entry) = log.get_mut(which % count).filter(|entry| entry.open) else {
        return;
    };
    entry.open = false;
    if percent == 0 {
        entry.released = true;
        assert_eq!(world.release(entry.number), Reply::Done);
    } else {
        entry.tokens = entry.tokens * percent / 100;
        let actual = taking(entry.tokens);
        assert_eq!(world.settle(entry.number, actual), Reply::Done);
    }
}

fn check(meter: Meter, window_us: i64, limit: u64, arrivals: &[Arrival]) {
    let scopes = [at(
        Scope::Org,
        &[per(meter, limit, Span::from_micros(window_us))],
    )];
    let bucket_us = (window_us + SUB_BUCKETS - 1) / SUB_BUCKETS;
    let mut world = World::new();
    let mut log: Vec<Logged> = Vec::new();
    for (number, arrival) in (0..).zip(arrivals) {
        world.pass(Span::from_micros(arrival.wait_us));
        if let Some((which, percent)) = arrival.settle {
            end_one(&mut world, &mut log, which, percent);
        }
        let estimate = taking(arrival.tokens);
        let asked = Slice::of(estimate).on(meter);
        let before = world.clone();
        match world.admit(number, &scopes, estimate) {
            Reply::Admitted(_) => {
                let within = logged(&log, meter, world.now, window_us);
                assert!(within + asked <= limit, "{within} + {asked} > {limit}");
                log.push(Logged {
                    number,
                    at: world.now,
                    tokens: arrival.tokens,
                    open: true,
                    released: false,
                });
            }
            Reply::Denied(denial) => {
                let within = logged(&log, meter, world.now, window_us + bucket_us);
                assert!(within + asked > limit, "{within} + {asked} fit in {limit}");
                check_wait(before, denial.retry_after, asked <= limit, |world| {
                    world.admit(number, &scopes, estimate)
                });
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whoever waits as told is let in, whoever comes a microsecond earlier is not.
fn check_wait(
    mut world: World,
    wait: Option<Span>,
    possible: bool,
    retry: impl Fn(&mut World) -> Reply,
) {
    assert_eq!(wait.is_some(), possible);
    let Some(wait) = wait else { return };
    world.pass(Span::from_micros(wait.as_micros() - 1));
    assert!(matches!(retry(&mut world), Reply::Denied(_)));
    world.pass(Span::from_micros(1));
    assert!(matches!(retry(&mut world), Reply::Admitted(_)));
}

proptest! {
    #[test]
    fn requests_never_exceed_the_limit_within_any_window_and_lose_at_most_a_sub_bucket(
        (window_us, arrivals) in prop_oneof![Just(60), Just(1_000), Just(61_007), Just(60_000_000)]
            .prop_flat_map(|window_us| (Just(window_us), arrivals(window_us))),
        limit in 0_u64..12,
    ) {
        check(Meter::Requests, window_us, limit, &arrivals);
    }

    #[test]
    fn tokens_never_exceed_the_limit_within_any_window_and_lose_at_most_a_sub_bucket(
        (window_us, arrivals) in prop_oneof![Just(7), Just(1_000), Just(61_007), Just(86_400_000_000)]
            .prop_flat_map(|window_us| (Just(window_us), arrivals(window_us))),
        limit in 0_u64..150,
    ) {
        check(Meter::Tokens, window_us, limit, &arrivals);
    }

    #[test]
    fn money_never_exceeds_the_limit_within_any_window_and_loses_at_most_a_sub_bucket(
        (window_us, arrivals) in prop_oneof![Just(1_000), Just(61_007), Just(31 * 86_400_000_000)]
            .prop_flat_map(|window_us| (Just(window_us), arrivals(window_us))),
        limit in 0_u64..150 * TOKEN.unsigned_abs(),
    ) {
        check(Meter::Money, window_us, limit, &arrivals);
    }
}
