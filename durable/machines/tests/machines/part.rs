//! A request of which only a part fits.

use proptest::prelude::*;
use sluice_machines::ledger::{Command, LeaseRequest, Part, Reply};
use sluice_machines::limit::{Amount, Meter, Period, Rule, Scope, ScopeRules, Slice};
use sluice_units::{LeaseId, NanoUsd, Span, Tokens};

use crate::world::{World, amount, at, budget, key, per, request, seconds, team};

const MINUTE: Span = Span::from_seconds(60);
/// 100 tokens in, 1,000 out, at 3 and 7 nano-dollars.
const WHOLE: Amount = Amount {
    tokens: Tokens::new(1_100),
    cost: NanoUsd::from_nanos(7_300),
};
/// The same with 50 out.
const PART: Part = Part {
    least: Amount {
        tokens: Tokens::new(150),
        cost: NanoUsd::from_nanos(650),
    },
    each: NanoUsd::from_nanos(7),
    tokens: Tokens::new(950),
};

fn admit(world: &mut World, number: u32, scopes: &[ScopeRules]) -> Reply {
    let mut admission = world.admission(number, scopes, WHOLE);
    admission.part = Some(PART);
    admission.draft.usage.output = Tokens::new(1_000);
    world.one(Command::Admit(Box::new(admission)))
}

/// The output tokens beyond the least; nothing where the request was denied.
fn check(rules: &[Rule], used: Amount, expected: Option<u64>) {
    let mut world = World::new();
    let scopes = [at(Scope::Org, &[]), at(team(), rules)];
    if used != Amount::default() {
        world.admitted(1, &scopes, used);
    }
    let reply = admit(&mut world, 2, &scopes);
    let reserved = match (&reply, expected) {
        (Reply::Admitted(_), Some(950)) => WHOLE.cost,
        (Reply::Cut(tokens, _), Some(expected)) => {
            assert_eq!(tokens.count(), expected, "{rules:?}");
            NanoUsd::from_nanos(650 + 7 * i64::try_from(expected).unwrap())
        }
        (Reply::Denied(_), None) => NanoUsd::ZERO,
        (other, _) => panic!("{rules:?}, {used:?}: {other:?}"),
    };
    assert_eq!(
        world.standing_of(&team()).reserved,
        used.cost.plus(reserved)
    );
    if expected.is_some() {
        assert_eq!(
            reply,
            admit(&mut world, 2, &scopes),
            "the same answer again"
        );
    }
}

#[test]
fn what_a_budget_leaves_is_reserved_where_the_whole_does_not_fit() {
    let day = [budget(Period::Day, 8_000)];
    check(&day, amount(0, 700), Some(950));
    check(&day, amount(0, 701), Some(949));
    check(&day, amount(0, 7_350), Some(0));
    check(&day, amount(0, 7_351), None);
    let both = [budget(Period::Month, 80_000), budget(Period::Day, 1_350)];
    check(&both, Amount::default(), Some(100));
}

#[test]
fn a_limit_on_tokens_or_money_cuts_only_what_it_would_never_let_in() {
    let small = [per(Meter::Tokens, 1_000, MINUTE)];
    check(&small, Amount::default(), Some(850));
    check(&small, amount(850, 0), Some(0));
    check(&small, amount(851, 0), None);
    let large = [per(Meter::Tokens, 1_100, MINUTE)];
    check(&large, Amount::default(), Some(950));
    check(&large, amount(1, 0), None);
    let small = [per(Meter::Money, 1_350, MINUTE)];
    check(&small, Amount::default(), Some(100));
    check(&small, amount(0, 700), Some(0));
    check(&small, amount(0, 701), None);
    let large = [per(Meter::Money, 7_300, MINUTE)];
    check(&large, Amount::default(), Some(950));
    check(&large, amount(0, 1), None);
}

#[test]
fn what_waiting_helps_against_cuts_nothing() {
    let day = budget(Period::Day, 5_000);
    for other in [
        per(Meter::Requests, 1, MINUTE),
        Rule::Concurrency { limit: 1 },
    ] {
        check(&[day, other], amount(1, 1), None);
        check(&[day, other], Amount::default(), Some(621));
    }
}

#[test]
fn what_others_hold_in_leases_is_waited_for() {
    let mut world = World::new();
    let scopes = [
        at(Scope::Org, &[]),
        at(team(), &[budget(Period::Day, 8_000)]),
    ];
    let want = Slice {
        requests: 10,
        tokens: Tokens::new(10),
        cost: NanoUsd::from_nanos(1_000),
    };
    world.one(Command::Lease(Box::new(LeaseRequest {
        lease: LeaseId::new("a").unwrap(),
        number: 1,
        scopes: scopes.to_vec(),
        keep: Slice::NONE,
        want,
        parent: None,
        upward: None,
    })));
    let Reply::Denied(denial) = admit(&mut world, 1, &scopes) else {
        panic!("admitted");
    };
    assert!(denial.leases_end.is_some());
    world.pass(seconds(7));
    assert!(matches!(admit(&mut world, 1, &scopes), Reply::Admitted(_)));
}

#[test]
fn a_part_that_expires_is_charged_and_recorded_as_a_part() {
    let mut world = World::new();
    let scopes = [
        at(Scope::Org, &[]),
        at(key(), &[budget(Period::Day, 1_350)]),
    ];
    let Reply::Cut(tokens, _) = admit(&mut world, 1, &scopes) else {
        panic!("not cut");
    };
    assert_eq!(tokens.count(), 100);
    world.pass(seconds(61));
    world.expire();
    let line = world.queued().remove(0);
    assert_eq!(line.record.request, request(1));
    assert_eq!(line.record.cost_nano_usd, NanoUsd::from_nanos(1_350));
    assert_eq!(line.record.usage.output.count(), 150);
}

proptest! {
    #[test]
    fn a_part_fits_and_one_token_more_does_not(
        limits in prop::collection::vec((500_i64..9_000, 100_u64..1_200), 1..3),
        used in (0_u64..500, 0_i64..4_000),
    ) {
        let scopes: Vec<ScopeRules> = limits
            .iter()
            .zip([Scope::Org, team()])
            .map(|((nanos, tokens), scope)| {
                at(scope, &[budget(Period::Day, *nanos), per(Meter::Tokens, *tokens, MINUTE)])
            })
            .collect();
        let mut world = World::new();
        let before = amount(used.0, used.1);
        let fits = |amount: Amount| limits.iter().all(|(nanos, tokens)| {
            used.1 + amount.cost.as_nanos() <= *nanos && used.0 + amount.tokens.count() <= *tokens
        });
        prop_assume!(fits(Amount::default()));
        world.admitted(1, &scopes, before);
        let with = |more: u64| amount(150 + more, 650 + 7 * i64::try_from(more).unwrap());
        match admit(&mut world, 2, &scopes) {
            Reply::Admitted(_) => prop_assert!(fits(WHOLE)),
            Reply::Cut(tokens, _) => {
                prop_assert!(fits(with(tokens.count())) && !fits(with(tokens.count() + 1)));
            }
            Reply::Denied(_) => {
                let waits = limits.iter().any(|(_, tokens)| {
                    used.0 + WHOLE.tokens.count() > *tokens && WHOLE.tokens.count() <= *tokens
                });
                prop_assert!(waits || !fits(with(0)));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
