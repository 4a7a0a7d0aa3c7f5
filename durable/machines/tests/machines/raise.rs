//! A request that needs more than it has reserved.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sluice_machines::ledger::{Command, Raise, Reply, SUB_BUCKETS};
use sluice_machines::limit::{Amount, Meter, Period, Rule, Scope, ScopeRules};
use sluice_units::{NanoUsd, Span, Timestamp};

use crate::world::{World, amount, at, budget, key, per, request, seconds, team};

const MINUTE: Span = Span::from_seconds(60);

fn raise(world: &mut World, number: u32, scopes: &[ScopeRules], estimate: Amount) -> Reply {
    let (replies, writes) = world.run(&[Command::Raise(Box::new(Raise {
        request: request(number),
        scopes: scopes.to_vec(),
        estimate,
    }))]);
    let reply = replies.into_iter().next().unwrap();
    assert!(
        matches!(reply, Reply::Done) || writes.is_empty(),
        "{reply:?} wrote {writes:?}"
    );
    reply
}

fn scopes(rules: &[Rule]) -> [ScopeRules; 2] {
    [at(Scope::Org, &[]), at(team(), rules)]
}

#[test]
fn more_is_reserved_at_every_scope_or_at_none() {
    for (rule, is_done) in [
        (budget(Period::Day, 300), true),
        (budget(Period::Month, 299), false),
        (per(Meter::Tokens, 30, MINUTE), true),
        (per(Meter::Tokens, 29, MINUTE), false),
        (per(Meter::Money, 300, MINUTE), true),
        (per(Meter::Money, 299, MINUTE), false),
        (per(Meter::Requests, 1, MINUTE), true),
        (Rule::Concurrency { limit: 1 }, true),
    ] {
        let mut world = World::new();
        let scopes = scopes(&[rule]);
        world.admitted(1, &scopes, amount(10, 100));
        let reply = raise(&mut world, 1, &scopes, amount(30, 300));
        let stands = if is_done { 300 } else { 100 };
        assert_eq!(reply == Reply::Done, is_done, "{rule:?}: {reply:?}");
        for scope in [Scope::Org, team()] {
            let reserved = world.standing_of(&scope).reserved;
            assert_eq!(reserved, NanoUsd::from_nanos(stands), "{rule:?}");
        }
        // What was reserved is gone with the settlement, all of it.
        world.settle(1, amount(20, 200));
        let standing = world.standing_of(&team());
        assert_eq!(standing.reserved, NanoUsd::ZERO);
        assert_eq!(standing.spent_day, NanoUsd::from_nanos(200));
    }
}

#[test]
fn a_repetition_or_less_changes_nothing() {
    let mut world = World::new();
    let scopes = scopes(&[budget(Period::Day, 300)]);
    world.admitted(1, &scopes, amount(10, 100));
    for estimate in [amount(30, 300), amount(30, 300), amount(5, 50)] {
        assert_eq!(raise(&mut world, 1, &scopes, estimate), Reply::Done);
    }
    let reserved = world.standing_of(&team()).reserved;
    assert_eq!(reserved, NanoUsd::from_nanos(300));
}

#[test]
fn what_has_ended_is_not_raised() {
    let mut world = World::new();
    let scopes = scopes(&[]);
    let unknown = |world: &mut World, number| {
        assert_eq!(raise(world, number, &scopes, amount(9, 9)), Reply::Unknown);
    };
    unknown(&mut world, 1);
    world.admitted(1, &scopes, amount(1, 1));
    world.settle(1, amount(1, 1));
    unknown(&mut world, 1);
    world.admitted(2, &scopes, amount(1, 1));
    world.pass(seconds(61));
    world.expire();
    unknown(&mut world, 2);
}

#[test]
fn a_raised_reservation_that_expires_is_charged_and_recorded_whole() {
    let mut world = World::new();
    let scopes = scopes(&[per(Meter::Tokens, 100, seconds(600))]);
    world.admitted(1, &scopes, amount(10, 100));
    raise(&mut world, 1, &scopes, amount(30, 300));
    world.pass(seconds(61));
    world.expire();
    let record = world.queued().remove(0).record;
    assert_eq!(record.cost_nano_usd, NanoUsd::from_nanos(300));
    assert_eq!(record.usage.output.count(), 20);
    world.denied(2, &scopes, amount(71, 0));
    world.admitted(2, &scopes, amount(70, 0));
}

#[test]
fn what_is_left_of_a_period_that_has_ended_nobody_knows() {
    let mut world = World::new();
    let scopes = scopes(&[budget(Period::Day, 1_000)]);
    world.pass(seconds(12 * 3_600 - 10));
    world.admitted(1, &scopes, amount(10, 100));
    world.pass(seconds(20));
    let reply = raise(&mut world, 1, &scopes, amount(30, 300));
    assert!(matches!(reply, Reply::Denied(_)), "{reply:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Admit(u64),
    Raise(usize, u64),
    Settle(usize, u64),
    Release(usize),
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u64..40).prop_map(Step::Admit),
        4 => (0_usize..9, 1_u64..60).prop_map(|(which, more)| Step::Raise(which, more)),
        2 => (0_usize..9, 0_u64..110).prop_map(|(which, hundredths)| Step::Settle(which, hundredths)),
        1 => (0_usize..9).prop_map(Step::Release),
        2 => (0_i64..9_000).prop_map(Step::Pass),
    ]
}

/// What counts of one request: since when, how much.
type Log = BTreeMap<u32, (Timestamp, u64)>;

proptest! {
    /// No window is ever fuller than its limit, nor a budget, with every token counted when it was last reserved.
    #[test]
    fn no_rule_is_broken(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let (window, limit, nanos) = (seconds(10), 100_u64, 400_i64);
        let rules = [
            per(Meter::Tokens, limit, window),
            per(Meter::Money, limit, window),
            budget(Period::Month, nanos),
            Rule::Gcra { meter: Meter::Tokens, limit: 60, window: seconds(60), burst: 90 },
        ];
        let scopes = [at(Scope::Org, &rules[..2]), at(key(), &rules[2..])];
        let mut log = Log::new();
        let mut open: Vec<(u32, u64)> = Vec::new();
        let mut spent = 0_i64;
        for (number, step) in (0_u32..).zip(steps) {
            match step {
                Step::Pass(millis) => world.pass(Span::from_millis(millis)),
                Step::Admit(tokens) => {
                    let estimate = amount(tokens, i64::try_from(tokens).unwrap());
                    if let Reply::Admitted(_) = world.admit(number, &scopes, estimate) {
                        log.insert(number, (world.now, tokens));
                        open.push((number, tokens));
                    }
                }
                Step::Raise(which, more) if !open.is_empty() => {
                    let which = which % open.len();
                    let (number, tokens) = open[which];
                    let tokens = tokens + more;
                    let estimate = amount(tokens, i64::try_from(tokens).unwrap());
                    if raise(&mut world, number, &scopes, estimate) == Reply::Done {
                        log.insert(number, (world.now, tokens));
                        open[which].1 = tokens;
                    }
                }
                Step::Settle(which, hundredths) if !open.is_empty() => {
                    let (number, tokens) = open.remove(which % open.len());
                    let used = (tokens * hundredths.min(100)).div_euclid(100);
                    let cost = i64::try_from(used).unwrap();
                    prop_assert_eq!(world.settle(number, amount(used, cost)), Reply::Done);
                    spent += cost;
                    log.get_mut(&number).unwrap().1 = used;
                }
                Step::Release(which) if !open.is_empty() => {
                    let (number, _) = open.remove(which % open.len());
                    prop_assert_eq!(world.release(number), Reply::Done);
                    log.remove(&number);
                }
                Step::Raise(..) | Step::Settle(..) | Step::Release(_) => {}
            }
            let begins = world.now.minus(window);
            let counted: u64 = log.values().filter(|one| one.0 > begins).map(|one| one.1).sum();
            prop_assert!(counted <= limit, "{} in {:?}", counted, log);
            let reserved = i64::try_from(open.iter().map(|one| one.1).sum::<u64>()).unwrap();
            prop_assert!(spent + reserved <= nanos);
            if !log.is_empty() {
                let standing = world.standing_of(&key());
                prop_assert_eq!(standing.reserved.as_nanos(), reserved);
                prop_assert_eq!(standing.spent_total.as_nanos(), spent);
            }
        }
        // In the end nothing is held, and what counts runs out.
        for (number, _) in open {
            world.release(number);
        }
        world.pass(Span::from_micros(window.as_micros() * (SUB_BUCKETS + 2) / SUB_BUCKETS));
        let free = u64::try_from(nanos - spent).unwrap().min(limit);
        let org = [at(Scope::Org, &rules[..1])];
        world.admitted(u32::MAX, &org, amount(free, 0));
    }
}
