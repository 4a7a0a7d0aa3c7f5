//! What a scope's own limits do not leave, taken out of the organisation's pool.

use proptest::prelude::*;
use sluice_machines::ledger::{Command, LeaseRequest, Part, Raise, Reply};
use sluice_machines::limit::{
    Amount, Borrow, Loan, LoanOf, Meter, Period, Rule, Scope, ScopeRules, Slice,
};
use sluice_units::{LeaseId, NanoUsd, Span, Tokens};

use crate::world::{
    World, amount, at, borrowing, budget, key, per, record, request, seconds, team,
};

const MINUTE: Span = Span::from_seconds(60);
const EACH: Amount = Amount {
    tokens: Tokens::new(10),
    cost: NanoUsd::from_nanos(100),
};

fn requests(limit: u64) -> Rule {
    per(Meter::Requests, limit, MINUTE)
}

fn tokens(limit: u64) -> Rule {
    per(Meter::Tokens, limit, MINUTE)
}

fn money(nanos: u64) -> Rule {
    per(Meter::Money, nanos, MINUTE)
}

fn scopes(org: &[Rule], of_team: &[Rule], of_key: &[Rule]) -> Vec<ScopeRules> {
    vec![at(Scope::Org, org), at(team(), of_team), at(key(), of_key)]
}

fn of_team(of: LoanOf) -> Loan {
    Loan {
        scope: "team/search".to_owned(),
        of,
    }
}

/// What becomes of so many admissions at this moment: how many are let in, and how many of them borrow.
fn admit(world: &mut World, numbers: std::ops::Range<u32>, scopes: &[ScopeRules]) -> (u32, u32) {
    let mut let_in = (0, 0);
    for number in numbers {
        if let Reply::Admitted(headroom) = world.admit(number, scopes, EACH) {
            let_in.0 += 1;
            let_in.1 += u32::from(!headroom.borrowed.is_empty());
        }
    }
    let_in
}

#[test]
fn what_a_team_does_not_have_it_borrows_until_the_organisation_has_nothing_left() {
    for (org, of_team) in [
        (requests(10), borrowing(requests(4), Borrow::Any)),
        (tokens(100), borrowing(tokens(40), Borrow::Any)),
        (money(1_000), borrowing(money(400), Borrow::Any)),
        (
            budget(Period::Month, 1_000),
            borrowing(budget(Period::Day, 400), Borrow::Any),
        ),
        // Whatever limits the organisation's money is its pool of money.
        (
            budget(Period::Month, 1_000),
            borrowing(money(400), Borrow::Any),
        ),
        (
            money(1_000),
            borrowing(budget(Period::Month, 400), Borrow::Any),
        ),
    ] {
        let mut world = World::new();
        let scopes = scopes(&[org], &[of_team], &[]);
        assert_eq!(admit(&mut world, 0..20, &scopes), (10, 6), "{of_team:?}");
        let denial = world.denied(99, &scopes, EACH);
        assert!(denial.borrows.is_empty(), "{denial:?}");
    }
}

#[test]
fn at_most_so_much_is_borrowed() {
    for (org, of_team) in [
        (requests(100), borrowing(requests(4), Borrow::UpTo(3))),
        (tokens(1_000), borrowing(tokens(40), Borrow::UpTo(35))),
        (money(10_000), borrowing(money(400), Borrow::UpTo(399))),
        (
            budget(Period::Day, 10_000),
            borrowing(budget(Period::Month, 400), Borrow::UpTo(399)),
        ),
    ] {
        let mut world = World::new();
        let scopes = scopes(&[org], &[of_team], &[]);
        assert_eq!(admit(&mut world, 0..20, &scopes), (7, 3), "{of_team:?}");
        let denial = world.denied(99, &scopes, EACH);
        assert_eq!(denial.rule, of_team, "the limit itself is named");
    }
}

#[test]
fn nothing_is_borrowed_where_the_organisation_has_no_pool_of_that_kind() {
    let mut world = World::new();
    let pools = [tokens(1_000), budget(Period::Day, 10_000)];
    let scopes = scopes(&pools, &[borrowing(requests(4), Borrow::Any)], &[]);
    assert_eq!(admit(&mut world, 0..20, &scopes), (4, 0));
}

#[test]
fn the_levels_between_are_asked_too() {
    let mut world = World::new();
    let of_key = [borrowing(requests(2), Borrow::Any)];
    let all = scopes(&[requests(100)], &[requests(5)], &of_key);
    assert_eq!(admit(&mut world, 0..20, &all), (5, 3), "the team refuses");

    let mut world = World::new();
    let all = scopes(
        &[requests(100)],
        &[borrowing(requests(5), Borrow::UpTo(1))],
        &of_key,
    );
    assert_eq!(
        admit(&mut world, 0..20, &all),
        (6, 4),
        "the team borrows one"
    );
    let both = world.admit(5, &all, EACH);
    let Reply::Admitted(headroom) = both else {
        panic!("{both:?}");
    };
    let of_key = Loan {
        scope: "key/key-1".to_owned(),
        of: LoanOf::Requests(MINUTE),
    };
    assert_eq!(
        headroom.borrowed,
        [of_team(LoanOf::Requests(MINUTE)), of_key]
    );
}

#[test]
fn what_is_borrowed_is_never_owed() {
    let mut world = World::new();
    let scopes = scopes(
        &[requests(100)],
        &[borrowing(requests(4), Borrow::UpTo(3))],
        &[],
    );
    for minute in 0..5 {
        let numbers = minute * 100..minute * 100 + 20;
        // All of its own and all that it may borrow, in each window anew.
        assert_eq!(admit(&mut world, numbers, &scopes), (7, 3));
        // A window's oldest part counts in full.
        world.pass(MINUTE.plus(seconds(2)));
    }
}

#[test]
fn a_steady_stream_borrows_what_is_beyond_its_limit_and_no_more() {
    let mut world = World::new();
    let scopes = scopes(
        &[requests(1_000)],
        &[borrowing(requests(60), Borrow::Any)],
        &[],
    );
    let mut borrowed = 0;
    // Two each second for ten minutes: 1,200, half of which are its own.
    for number in 0..1_200 {
        let headroom = world.admitted(number, &scopes, EACH);
        borrowed += u64::from(!headroom.borrowed.is_empty());
        world.settle(number, EACH);
        world.pass(Span::from_millis(500));
    }
    assert!((590..=625).contains(&borrowed), "{borrowed}");
    let standing = world.standing_of(&team());
    assert_eq!(standing.borrowed_total.requests, borrowed);
}

#[test]
fn what_was_borrowed_and_not_used_may_be_borrowed_again() {
    let mut world = World::new();
    let rules = [
        borrowing(tokens(5), Borrow::UpTo(10)),
        borrowing(budget(Period::Day, 50), Borrow::UpTo(100)),
    ];
    let pools = [tokens(1_000), budget(Period::Day, 10_000)];
    let scopes = scopes(&pools, &rules, &[]);
    world.admitted(1, &scopes, EACH);
    world.denied(2, &scopes, EACH);
    world.settle(1, amount(0, 0));
    world.admitted(3, &scopes, EACH);
    world.release(3);
    world.admitted(4, &scopes, EACH);
    world.pass(seconds(60));
    world.expire();
    // Expired, and charged as reserved; corrected to a part.
    world.settle(4, amount(4, 40));
    let headroom = world.admitted(5, &scopes, amount(6, 60));
    assert_eq!(headroom.borrowed.len(), 2);
    world.denied(6, &scopes, amount(6, 60));
    world.settle(5, amount(6, 60));
    let standing = world.standing_of(&team());
    let all = Slice {
        requests: 0,
        tokens: Tokens::new(10),
        cost: NanoUsd::from_nanos(100),
    };
    assert_eq!(standing.borrowed_total, all);
}

#[test]
fn records_say_what_was_borrowed_and_where() {
    let mut world = World::new();
    let scopes = scopes(
        &[requests(100)],
        &[borrowing(requests(1), Borrow::Any)],
        &[],
    );
    for number in 1..=3 {
        world.admitted(number, &scopes, EACH);
    }
    world.settle(1, EACH);
    world.settle(2, EACH);
    // Nobody comes back for the third in time.
    world.pass(seconds(60));
    world.expire();
    world.settle(3, EACH);
    let loan = vec![of_team(LoanOf::Requests(MINUTE))];
    let borrowed: Vec<Vec<Loan>> = world
        .queued()
        .into_iter()
        .map(|line| line.record.borrowed)
        .collect();
    assert_eq!(borrowed, [vec![], loan.clone(), loan.clone(), loan]);
}

#[test]
fn a_request_that_comes_twice_borrows_once() {
    let mut world = World::new();
    let scopes = scopes(
        &[requests(100)],
        &[borrowing(requests(1), Borrow::UpTo(1))],
        &[],
    );
    world.admitted(1, &scopes, EACH);
    let first = world.admitted(2, &scopes, EACH);
    let again = world.admitted(2, &scopes, EACH);
    assert_eq!(first.borrowed, again.borrowed);
    assert_eq!(world.release(2), Reply::Done);
    assert_eq!(world.release(2), Reply::Unknown);
    assert_eq!(admit(&mut world, 3..6, &scopes), (1, 1));
}

#[test]
fn isolates_lease_nothing_that_is_borrowed() {
    let mut world = World::new();
    let scopes = scopes(
        &[requests(1_000)],
        &[borrowing(requests(40), Borrow::Any)],
        &[],
    );
    assert_eq!(admit(&mut world, 0..30, &scopes), (30, 0));
    let lease = |world: &mut World, number| {
        let request = LeaseRequest {
            lease: LeaseId::new("lease-1").unwrap(),
            number,
            scopes: scopes.clone(),
            keep: Slice::NONE,
            want: Slice {
                requests: 100,
                ..Slice::NONE
            },
            parent: None,
            upward: None,
        };
        match world.one(Command::Lease(Box::new(request))) {
            Reply::Leased(grant) => grant.rest.requests,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lease(&mut world, 1), 0, "an eighth of ten is not worth it");
    assert_eq!(admit(&mut world, 30..60, &scopes), (30, 20));
    assert_eq!(lease(&mut world, 2), 0);
}

#[test]
fn a_request_is_cut_only_where_borrowing_does_not_help() {
    let mut world = World::new();
    let of_team = borrowing(budget(Period::Day, 100), Borrow::UpTo(250));
    let all = scopes(&[budget(Period::Day, 10_000)], &[of_team], &[]);
    let part = Part {
        least: amount(10, 100),
        each: NanoUsd::from_nanos(10),
        tokens: Tokens::new(20),
    };
    let mut ask = |number| {
        let mut admission = world.admission(number, &all, amount(30, 300));
        admission.part = Some(part);
        world.one(Command::Admit(Box::new(admission)))
    };
    // 300 do not fit, neither into its own hundred nor into what may be borrowed; the least is its own.
    assert!(matches!(ask(1), Reply::Cut(tokens, headroom)
        if tokens == Tokens::ZERO && headroom.borrowed.is_empty()));
    let Reply::Denied(denial) = ask(2) else {
        panic!("nothing is left");
    };
    assert_eq!(denial.rule, of_team);
    // What fits as a whole is borrowed as a whole.
    let headroom = world.admitted(3, &all, amount(25, 250));
    assert_eq!(
        headroom.borrowed,
        [self::of_team(LoanOf::Money(Period::Day))]
    );
}

#[test]
fn a_reservation_that_grows_goes_on_borrowing_and_begins_nothing() {
    let mut world = World::new();
    let scopes = scopes(
        &[tokens(1_000)],
        &[borrowing(tokens(15), Borrow::UpTo(30))],
        &[],
    );
    let raise = |world: &mut World, number, to| {
        world.one(Command::Raise(Box::new(Raise {
            request: request(number),
            scopes: scopes.clone(),
            estimate: to,
        })))
    };
    world.admitted(1, &scopes, EACH);
    assert!(matches!(
        raise(&mut world, 1, amount(20, 100)),
        Reply::Denied(_)
    ));
    let headroom = world.admitted(2, &scopes, EACH);
    assert_eq!(headroom.borrowed.len(), 1);
    assert_eq!(raise(&mut world, 2, amount(30, 100)), Reply::Done);
    assert!(matches!(
        raise(&mut world, 2, amount(31, 100)),
        Reply::Denied(_)
    ));
    world.denied(3, &scopes, EACH);
    world.settle(2, amount(20, 100));
    assert_eq!(world.admitted(4, &scopes, EACH).borrowed.len(), 1);
    // Its own is as it was.
    assert!(world.admitted(5, &scopes, amount(5, 0)).borrowed.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever comes when: own and borrowed stay within their bounds in every stretch, and the organisation within its.
    #[test]
    fn no_window_holds_more_than_the_limit_and_what_may_be_borrowed(
        waits in proptest::collection::vec(0_i64..4_000, 1..120),
        most in 0_u64..8,
    ) {
        let mut world = World::new();
        let scopes = scopes(&[requests(12)], &[borrowing(requests(5), Borrow::UpTo(most))], &[]);
        let mut log: Vec<(i64, bool)> = Vec::new();
        for (number, wait) in (0..).zip(waits) {
            world.pass(Span::from_millis(wait));
            let now = world.now.as_micros();
            let count = |log: &[(i64, bool)], side| log
                .iter()
                .filter(|one| one.0 >= now - MINUTE.as_micros() && one.1 == side)
                .count() as u64;
            let record = record(number, world.now);
            if let Reply::Admitted(headroom) = world.admit(number, &scopes, EACH) {
                log.push((now, !headroom.borrowed.is_empty()));
                world.one(Command::Settle { actual: EACH, record: Box::new(record) });
            }
            let (own, borrowed) = (count(&log, false), count(&log, true));
            prop_assert!(own <= 5 && borrowed <= most && own + borrowed <= 12);
        }
    }
}
