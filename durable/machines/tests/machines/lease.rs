//! What an isolate may draw without asking, and what becomes of it.

use sluice_machines::ledger::{
    Command, Grant, Intent, LEASE_GRACE, LEASE_KEPT, LEASE_LIFE, LeaseRequest, Reply, SHARE,
};
use sluice_machines::limit::{Amount, Meter, Period, Rule, Scope, ScopeRules, Slice};
use sluice_machines::record::RecordKind;
use sluice_units::{LeaseId, NanoUsd, Span, Tokens};

use crate::world::{World, amount, at, budget, key, per, record, seconds, team};

const MINUTE: Span = Span::from_seconds(60);
const EACH: Amount = Amount {
    tokens: Tokens::new(10),
    cost: NanoUsd::from_nanos(100),
};

fn slice(requests: u64) -> Slice {
    Slice {
        requests,
        tokens: Tokens::new(10 * requests),
        cost: NanoUsd::from_nanos(100 * i64::try_from(requests).unwrap()),
    }
}

/// One isolate's side of a lease.
struct Holder {
    lease: LeaseId,
    number: u64,
    sequence: u64,
    scopes: Vec<ScopeRules>,
}

impl Holder {
    fn new(name: &str, scopes: &[ScopeRules]) -> Self {
        Self {
            lease: LeaseId::new(name).unwrap(),
            number: 0,
            sequence: 0,
            scopes: scopes.to_vec(),
        }
    }

    fn asking(&mut self, keep: u64, want: u64) -> Command {
        self.number += 1;
        Command::Lease(Box::new(LeaseRequest {
            lease: self.lease.clone(),
            number: self.number,
            scopes: self.scopes.clone(),
            keep: slice(keep),
            want: slice(want),
            parent: None,
            upward: None,
        }))
    }

    fn ask(&mut self, world: &mut World, keep: u64, want: u64) -> Grant {
        let command = self.asking(keep, want);
        leased(world, command)
    }

    fn drawing(&mut self, world: &World, number: u32) -> Command {
        self.sequence += 1;
        Command::Intent(Box::new(Intent {
            lease: self.lease.clone(),
            sequence: self.sequence,
            estimate: EACH,
            ttl: seconds(60),
            draft: record(number, world.now),
        }))
    }

    fn draw(&mut self, world: &mut World, number: u32) -> Reply {
        let command = self.drawing(world, number);
        one(world, command)
    }
}

fn one(world: &mut World, command: Command) -> Reply {
    world.run(&[command]).0.remove(0)
}

fn leased(world: &mut World, command: Command) -> Grant {
    match one(world, command) {
        Reply::Leased(grant) => grant,
        other => panic!("no grant: {other:?}"),
    }
}

fn requests(limit: u64) -> Vec<ScopeRules> {
    vec![at(team(), &[per(Meter::Requests, limit, MINUTE)])]
}

#[test]
fn a_lease_takes_an_eighth_of_what_remains_under_the_tightest_rule() {
    for (rules, granted) in [
        (vec![per(Meter::Requests, 800, MINUTE)], 100),
        (vec![per(Meter::Tokens, 8_000, MINUTE)], 100),
        (vec![per(Meter::Money, 80_000, MINUTE)], 100),
        (vec![budget(Period::Day, 80_000)], 100),
        (vec![Rule::Concurrency { limit: 800 }], 100),
        (
            vec![
                per(Meter::Requests, 800, MINUTE),
                budget(Period::Month, 8_000),
            ],
            10,
        ),
        (vec![], 1_000),
    ] {
        let mut world = World::new();
        let mut holder = Holder::new("a", &[at(Scope::Org, &[]), at(key(), &rules)]);
        let grant = holder.ask(&mut world, 0, 1_000);
        assert_eq!(grant.rest, slice(granted), "{rules:?}");
        assert!(grant.life >= LEASE_LIFE && grant.life < LEASE_LIFE.plus(seconds(1)));
        assert_eq!(world.standing_of(&key()).leased, slice(granted));
        assert_eq!(world.standing_of(&Scope::Org).leased, slice(granted));
    }
}

#[test]
fn a_lease_is_no_larger_than_it_is_wanted() {
    let mut world = World::new();
    let mut holder = Holder::new("a", &requests(1_000_000));
    assert_eq!(holder.ask(&mut world, 0, 7).rest, slice(7));
}

#[test]
fn where_little_remains_nothing_is_leased_and_nothing_written() {
    let mut world = World::new();
    let mut holder = Holder::new("a", &requests(2 * SHARE - 1));
    let command = holder.asking(0, 1_000);
    let (replies, writes) = world.run(&[command]);
    assert!(writes.is_empty(), "{writes:?}");
    let Reply::Leased(grant) = &replies[0] else {
        panic!("{replies:?}");
    };
    assert_eq!((grant.rest, grant.life), (Slice::NONE, Span::ZERO));
}

#[test]
fn what_is_leased_counts_at_every_rule_as_if_it_were_charged() {
    for rule in [
        per(Meter::Requests, 16, MINUTE),
        per(Meter::Tokens, 160, MINUTE),
        per(Meter::Money, 1_600, MINUTE),
        budget(Period::Day, 1_600),
        Rule::Concurrency { limit: 16 },
        Rule::Gcra {
            meter: Meter::Requests,
            limit: 1,
            window: MINUTE,
            burst: 16,
        },
        Rule::Gcra {
            meter: Meter::Tokens,
            limit: 1,
            window: MINUTE,
            burst: 160,
        },
        Rule::Gcra {
            meter: Meter::Money,
            limit: 1,
            window: MINUTE,
            burst: 1_600,
        },
    ] {
        let mut world = World::new();
        let scopes = [at(team(), &[rule])];
        let mut holder = Holder::new("a", &scopes);
        assert_eq!(holder.ask(&mut world, 0, 100).rest, slice(2));
        for number in 0..14 {
            world.admitted(number, &scopes, EACH);
        }
        let denial = world.denied(14, &scopes, EACH);
        assert_eq!(denial.rule, rule);
        assert!(denial.leases_end.is_some(), "{rule:?}");
        // Drawing changes nothing for the others.
        assert_eq!(holder.draw(&mut world, 100), Reply::Done);
        assert_eq!(holder.draw(&mut world, 101), Reply::Done);
        let denial = world.denied(14, &scopes, EACH);
        assert_eq!(denial.leases_end, None, "{rule:?}");
    }
}

#[test]
fn what_is_not_drawn_is_free_when_the_lease_ends_and_not_before() {
    let mut world = World::new();
    let scopes = requests(16);
    let mut holder = Holder::new("a", &scopes);
    let grant = holder.ask(&mut world, 0, 100);
    for number in 0..14 {
        world.admitted(number, &scopes, EACH);
    }
    holder.draw(&mut world, 100);
    let wait = world.denied(14, &scopes, EACH).leases_end.unwrap();
    assert_eq!(wait, grant.life.plus(LEASE_GRACE));
    world.pass(Span::from_micros(wait.as_micros() - 1));
    world.denied(14, &scopes, EACH);
    world.pass(Span::from_micros(1));
    world.admitted(14, &scopes, EACH);
    world.denied(15, &scopes, EACH);
    assert!(world.standing_of(&team()).leased.is_none());
}

#[test]
fn a_lease_that_is_given_back_is_free_at_once() {
    let mut world = World::new();
    let scopes = requests(16);
    let mut holder = Holder::new("a", &scopes);
    holder.ask(&mut world, 0, 100);
    holder.draw(&mut world, 100);
    assert_eq!(holder.ask(&mut world, 0, 0).rest, Slice::NONE);
    for number in 0..15 {
        world.admitted(number, &scopes, EACH);
    }
    world.denied(15, &scopes, EACH);
}

#[test]
fn a_renewal_keeps_what_is_kept_and_lives_longer() {
    let mut world = World::new();
    let scopes = requests(800);
    let mut holder = Holder::new("a", &scopes);
    assert_eq!(holder.ask(&mut world, 0, 50).rest, slice(50));
    for number in 0..30 {
        holder.draw(&mut world, number);
    }
    world.pass(seconds(2));
    let grant = holder.ask(&mut world, 20, 60);
    assert_eq!(grant.rest, slice(60));
    assert!(grant.life >= LEASE_LIFE);
    assert_eq!(world.standing_of(&team()).leased, slice(60));
    assert_eq!(world.standing_of(&team()).requests_total, 30);
}

#[test]
fn near_a_limit_a_renewal_gets_nothing_more_and_no_longer_life() {
    let mut world = World::new();
    let scopes = requests(80);
    let mut holder = Holder::new("a", &scopes);
    let first = holder.ask(&mut world, 0, 100);
    assert_eq!(first.rest, slice(10));
    for number in 0..66 {
        world.admitted(number, &scopes, EACH);
    }
    world.pass(seconds(1));
    let second = holder.ask(&mut world, 5, 100);
    assert_eq!(second.rest, slice(5));
    assert_eq!(
        second.life,
        Span::from_micros(first.life.as_micros() - 1_000_000)
    );
}

#[test]
fn a_lease_that_was_asked_for_twice_is_held_once() {
    let mut world = World::new();
    let scopes = requests(800);
    let mut holder = Holder::new("a", &scopes);
    let command = holder.asking(0, 50);
    let first = leased(&mut world, command.clone());
    let before = world.store.clone();
    assert_eq!(leased(&mut world, command), first);
    assert_eq!(world.store, before);
}

#[test]
fn an_intent_that_comes_twice_is_charged_once_even_after_its_settlement() {
    let mut world = World::new();
    let scopes = requests(800);
    let mut holder = Holder::new("a", &scopes);
    holder.ask(&mut world, 0, 50);
    let intent = holder.drawing(&world, 1);
    let settle = Command::Settle {
        actual: amount(4, 40),
        record: Box::new(record(1, world.now)),
    };
    for _ in 0..2 {
        world.run(&[intent.clone(), settle.clone()]);
    }
    assert_eq!(world.queued().len(), 1);
    let standing = world.standing_of(&team());
    assert_eq!(standing.spent_total, NanoUsd::from_nanos(40));
    assert_eq!(standing.reserved, NanoUsd::ZERO);
    assert_eq!((standing.requests_total, standing.leased), (1, slice(49)));
}

#[test]
fn a_late_intent_is_charged_and_says_that_nothing_covered_it() {
    let mut world = World::new();
    let scopes = requests(16);
    let mut holder = Holder::new("a", &scopes);
    holder.ask(&mut world, 0, 100);
    world.pass(LEASE_LIFE.plus(LEASE_GRACE).plus(seconds(1)));
    assert_eq!(holder.draw(&mut world, 1), Reply::Done);
    world.settle(1, EACH);
    assert!(world.queued()[0].record.overrun);
    assert_eq!(world.standing_of(&team()).requests_total, 1);
}

#[test]
fn a_draw_beyond_the_lease_is_charged_and_says_so() {
    let mut world = World::new();
    let mut holder = Holder::new("a", &requests(16));
    holder.ask(&mut world, 0, 100);
    for number in 0..3 {
        holder.draw(&mut world, number);
        world.settle(number, EACH);
    }
    let overruns: Vec<bool> = world
        .queued()
        .iter()
        .map(|line| line.record.overrun)
        .collect();
    assert_eq!(overruns, [false, false, true]);
}

#[test]
fn an_intent_that_nobody_settles_expires_like_any_reservation() {
    let mut world = World::new();
    let mut holder = Holder::new("a", &requests(16));
    holder.ask(&mut world, 0, 100);
    holder.draw(&mut world, 1);
    world.pass(seconds(60));
    world.expire();
    assert_eq!(world.queued()[0].record.kind, RecordKind::Expired);
    assert_eq!(world.queued()[0].record.cost_nano_usd, EACH.cost);
    world.settle(1, amount(1, 1));
    assert_eq!(world.queued()[1].record.kind, RecordKind::Correction);
}

#[test]
fn nothing_is_known_of_a_lease_that_ended_long_ago() {
    let mut world = World::new();
    let mut holder = Holder::new("a", &requests(16));
    holder.ask(&mut world, 0, 100);
    world.pass(
        LEASE_LIFE
            .plus(LEASE_GRACE)
            .plus(LEASE_KEPT)
            .plus(seconds(1)),
    );
    world.expire();
    assert_eq!(holder.draw(&mut world, 1), Reply::Unknown);
    assert_eq!(world.standing_of(&team()).requests_total, 0);
    assert_eq!(world.store.with_prefix("l/").count(), 0);
}

#[test]
fn tokens_and_money_under_a_steady_rate_are_held_back_until_they_are_settled() {
    for (meter, of) in [
        (
            Meter::Tokens,
            (|count| amount(count, 0)) as fn(u64) -> Amount,
        ),
        (Meter::Money, |count| {
            amount(0, i64::try_from(count).unwrap())
        }),
    ] {
        let mut world = World::new();
        let rule = Rule::Gcra {
            meter,
            limit: 60,
            window: MINUTE,
            burst: 100,
        };
        let scopes = [at(team(), &[rule])];
        world.admitted(1, &scopes, of(100));
        world.denied(2, &scopes, of(1));
        world.pass(seconds(30));
        world.denied(2, &scopes, of(1));
        world.settle(1, of(40));
        world.admitted(2, &scopes, of(60));
        let denial = world.denied(3, &scopes, of(1));
        assert_eq!(denial.used, 100, "{meter:?}");
    }
}

#[test]
fn a_steady_rate_lets_the_burst_in_at_once_and_then_one_by_one() {
    let mut world = World::new();
    let rule = Rule::Gcra {
        meter: Meter::Requests,
        limit: 60,
        window: MINUTE,
        burst: 5,
    };
    let scopes = [at(team(), &[rule])];
    for number in 0..5 {
        world.admitted(number, &scopes, EACH);
    }
    let denial = world.denied(5, &scopes, EACH);
    assert_eq!(denial.retry_after, Some(seconds(1)));
    world.pass(Span::from_millis(999));
    world.denied(5, &scopes, EACH);
    world.pass(Span::from_millis(1));
    world.admitted(5, &scopes, EACH);
    world.denied(6, &scopes, EACH);
}

#[test]
fn a_slot_is_free_when_its_request_ends_however_it_ends() {
    let mut world = World::new();
    let scopes = [at(team(), &[Rule::Concurrency { limit: 3 }])];
    for number in 0..3 {
        world.admitted(number, &scopes, EACH);
    }
    let denial = world.denied(3, &scopes, EACH);
    assert_eq!((denial.used, denial.asked), (3, 1));
    assert!(denial.retry_after.is_some());
    world.settle(0, EACH);
    world.admitted(3, &scopes, EACH);
    world.release(1);
    world.admitted(4, &scopes, EACH);
    world.denied(5, &scopes, EACH);
    world.pass(seconds(60));
    world.expire();
    for number in 5..8 {
        world.admitted(number, &scopes, EACH);
    }
}

/// Ten thousand requests at once over fifty isolates, half of them through leases, at a limit of a thousand.
#[test]
fn a_thousand_of_ten_thousand_get_in_whoever_asks_first() {
    let mut world = World::new();
    let scopes = requests(1_000);
    let mut holders: Vec<(Holder, u64, u32)> = (0..50)
        .map(|index| (Holder::new(&format!("isolate-{index}"), &scopes), 0, 200))
        .collect();
    let (mut number, mut admitted) = (0_u32, 0_u32);
    let mut seed = 7_u64;
    loop {
        let waiting = holders.iter().any(|(_, _, left)| *left > 0);
        if !waiting {
            break;
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let index = usize::try_from(seed >> 33).unwrap() % holders.len();
        let (holder, rest, left) = &mut holders[index];
        if *left == 0 {
            continue;
        }
        number += 1;
        if *rest > 0 {
            assert_eq!(holder.draw(&mut world, number), Reply::Done);
            *rest -= 1;
            *left -= 1;
            admitted += 1;
            continue;
        }
        *rest = holder.ask(&mut world, 0, 40).rest.requests;
        if *rest > 0 {
            continue;
        }
        match world.admit(number, &scopes, EACH) {
            Reply::Admitted(_) => {
                *left -= 1;
                admitted += 1;
            }
            // Others hold what is left: it comes back.
            Reply::Denied(denial) if denial.leases_end.is_some() => {}
            Reply::Denied(_) => *left -= 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(admitted, 1_000);
    assert!(world.now.since(World::new().now) < MINUTE);
}

#[test]
fn a_request_that_was_admitted_and_is_drawn_besides_has_one_reservation() {
    for (admitted, stands) in [
        (EACH, EACH),
        (amount(20, 200), amount(20, 200)),
        (amount(5, 50), EACH),
    ] {
        let mut world = World::new();
        let scopes = [
            at(Scope::Org, &[]),
            at(team(), &[budget(Period::Day, 80_000)]),
        ];
        let mut holder = Holder::new("a", &scopes);
        holder.ask(&mut world, 0, 10);
        world.admitted(1, &scopes, admitted);
        assert_eq!(holder.draw(&mut world, 1), Reply::Done);
        let standing = world.standing_of(&team());
        assert_eq!(
            (standing.reserved, standing.leased),
            (stands.cost, slice(9))
        );
        assert_eq!(world.standing().2, 1);
        assert_eq!(world.settle(1, EACH), Reply::Done);
        assert_eq!(world.standing_of(&team()).reserved, NanoUsd::ZERO);
        assert_eq!(world.standing_of(&team()).spent_total, EACH.cost);
        assert_eq!((world.standing().2, world.queued().len()), (0, 1));
    }
}

#[test]
fn a_request_that_has_expired_and_is_drawn_is_not_charged_again() {
    let mut world = World::new();
    let scopes = requests(1_000);
    let mut holder = Holder::new("a", &scopes);
    world.admitted(1, &scopes, EACH);
    world.pass(seconds(61));
    world.expire();
    holder.ask(&mut world, 0, 10);
    assert_eq!(holder.draw(&mut world, 1), Reply::Done);
    let standing = world.standing_of(&team());
    assert_eq!(
        (standing.spent_total, standing.reserved),
        (EACH.cost, NanoUsd::ZERO)
    );
    assert_eq!(standing.leased, slice(9));
}
