//! What the ledger admits, denies, charges and remembers.

use sluice_machines::ledger::{
    self, BudgetState, Command, EXPIRE_MAX, EXPIRED_KEPT, REFUSALS_WAITING_MAX, Reply, SWEEP_MAX,
    WindowState,
};
use sluice_machines::limit::{Meter, Period, Rule, Scope};
use sluice_machines::outbox::Line;
use sluice_machines::record::{Outcome, RecordKind, Refusal, UsageSource};
use sluice_units::{NanoUsd, Span};

use crate::world::{
    World, all_scopes, amount, at, budget, key, per, record, request, seconds, team,
};

const NOTHING: sluice_machines::limit::Amount = sluice_machines::limit::Amount {
    tokens: sluice_units::Tokens::ZERO,
    cost: NanoUsd::ZERO,
};

fn nanos(nanos: i64) -> NanoUsd {
    NanoUsd::from_nanos(nanos)
}

#[test]
fn denied_request_consumes_nothing() {
    let mut world = World::new();
    let minute = seconds(60);
    let scopes = [
        at(Scope::Org, &[per(Meter::Requests, 100, minute)]),
        at(key(), &[per(Meter::Requests, 1, minute)]),
    ];
    world.admitted(1, &scopes, NOTHING);
    let before = world.clone();
    let denial = world.denied(2, &scopes, NOTHING);
    assert_eq!((denial.scope, denial.used, denial.asked), (key(), 1, 1));
    assert_eq!(world.store, before.store);
    assert_eq!(world.standing_of(&Scope::Org).requests_total, 1);
}

#[test]
fn a_denied_caller_who_waits_as_told_gets_in_and_not_a_microsecond_earlier() {
    let mut world = World::new();
    let scopes = [at(team(), &[per(Meter::Requests, 2, seconds(60))])];
    world.pass(Span::from_millis(300));
    world.admitted(1, &scopes, NOTHING);
    world.pass(seconds(7));
    world.admitted(2, &scopes, NOTHING);
    let wait = world.denied(3, &scopes, NOTHING).retry_after.unwrap();
    // The first admission leaves with the sub-bucket of one second in which it was counted.
    assert_eq!(wait, Span::from_millis(61_000 - 7_300));
    world.pass(Span::from_micros(wait.as_micros() - 1));
    world.denied(3, &scopes, NOTHING);
    world.pass(Span::from_micros(1));
    world.admitted(3, &scopes, NOTHING);
}

#[test]
fn no_wait_helps_a_request_that_is_larger_than_the_limit() {
    let mut world = World::new();
    for rule in [
        per(Meter::Tokens, 99, seconds(60)),
        per(Meter::Requests, 0, seconds(60)),
        budget(Period::Month, 9),
    ] {
        let denial = world.denied(1, &[at(Scope::Org, &[rule])], amount(100, 10));
        assert_eq!((denial.rule, denial.retry_after), (rule, None));
    }
}

#[test]
fn the_longest_wait_is_reported() {
    let mut world = World::new();
    let minute = per(Meter::Requests, 1, seconds(60));
    let hour = per(Meter::Tokens, 10, seconds(3_600));
    let day = budget(Period::Day, 5);
    let scopes = [at(Scope::Org, &[minute, hour]), at(team(), &[day])];
    world.admitted(1, &scopes, amount(10, 5));
    let denial = world.denied(2, &scopes, amount(1, 1));
    assert_eq!((denial.scope, denial.rule), (team(), day));
    assert_eq!((denial.used, denial.asked), (5, 1));
    assert_eq!(denial.retry_after, Some(seconds(12 * 3_600)));
    let denial = world.denied(2, &scopes, amount(11, 1));
    assert_eq!((denial.rule, denial.retry_after), (hour, None));
}

#[test]
fn two_hundred_at_once_share_a_budget_for_fifty() {
    let mut world = World::new();
    let scopes: Vec<_> = all_scopes()
        .into_iter()
        .map(|scope| at(scope, &[budget(Period::Day, 50 * 7)]))
        .collect();
    let batch: Vec<_> = (0..200)
        .map(|number| Command::Admit(Box::new(world.admission(number, &scopes, amount(1, 7)))))
        .collect();
    let (replies, _) = world.run(&batch);
    let admitted = |reply: &&Reply| matches!(reply, Reply::Admitted(_));
    assert_eq!(replies.iter().filter(admitted).count(), 50);
    assert!(replies[..50].iter().all(|reply| admitted(&reply)));
    assert_eq!(world.standing_of(&key()).reserved, nanos(350));
}

#[test]
fn a_limit_that_changes_keeps_its_counts() {
    let mut world = World::new();
    let minute = |limit| [at(Scope::Org, &[per(Meter::Requests, limit, seconds(60))])];
    for number in 0..5 {
        world.admitted(number, &minute(5), NOTHING);
    }
    world.denied(5, &minute(5), NOTHING);
    world.admitted(5, &minute(6), NOTHING);
    assert_eq!(world.denied(6, &minute(3), NOTHING).used, 6);
    let day = |limit| [at(Scope::Org, &[budget(Period::Day, limit)])];
    world.admitted(7, &day(10), amount(0, 10));
    world.denied(8, &day(10), amount(0, 1));
    world.admitted(8, &day(11), amount(0, 1));
}

#[test]
fn what_was_not_used_is_free_again() {
    let mut world = World::new();
    let rules = [
        per(Meter::Tokens, 100, seconds(60)),
        budget(Period::Day, 100),
    ];
    let scopes = [at(team(), &rules)];
    world.admitted(1, &scopes, amount(100, 100));
    world.denied(2, &scopes, amount(10, 10));
    world.pass(seconds(30));
    assert_eq!(world.settle(1, amount(90, 80)), Reply::Done);
    world.denied(2, &scopes, amount(11, 10));
    world.admitted(2, &scopes, amount(10, 20));
    assert_eq!(world.release(2), Reply::Done);
    world.admitted(3, &scopes, amount(10, 20));
    let standing = world.standing_of(&team());
    assert_eq!(
        (standing.spent_day, standing.reserved),
        (nanos(80), nanos(20))
    );
}

#[test]
fn a_released_request_leaves_its_windows() {
    let mut world = World::new();
    let scopes = [at(team(), &[per(Meter::Requests, 1, seconds(60))])];
    world.admitted(1, &scopes, NOTHING);
    world.release(1);
    world.admitted(2, &scopes, NOTHING);
}

#[test]
fn a_rule_that_came_later_is_not_credited_with_what_it_never_counted() {
    let mut world = World::new();
    let rule = per(Meter::Tokens, 100, seconds(60));
    world.admitted(1, &[at(team(), &[])], amount(100, 0));
    world.admitted(2, &[at(team(), &[rule])], amount(100, 0));
    world.settle(1, NOTHING);
    assert_eq!(
        world.denied(3, &[at(team(), &[rule])], amount(1, 0)).used,
        100
    );
}

#[test]
fn a_rule_that_only_some_have_heard_of_keeps_its_counts() {
    let mut world = World::new();
    let old = [at(team(), &[])];
    let new = [at(team(), &[per(Meter::Tokens, 100, seconds(60))])];
    world.admitted(1, &new, amount(90, 0));
    world.admitted(2, &old, amount(80, 0));
    assert_eq!(world.settle(2, NOTHING), Reply::Done);
    assert_eq!(world.denied(3, &new, amount(11, 0)).used, 90);
    world.admitted(4, &new, amount(10, 0));
}

#[test]
fn an_overrun_is_charged_and_then_keeps_the_next_one_out() {
    let mut world = World::new();
    let scopes = [at(team(), &[budget(Period::Month, 100)])];
    world.admitted(1, &scopes, amount(0, 100));
    world.settle(1, amount(0, 130));
    assert_eq!(world.denied(2, &scopes, NOTHING).used, 130);
    assert_eq!(world.queued()[0].record.cost_nano_usd, nanos(130));
}

#[test]
fn a_charge_lands_in_the_day_in_which_it_was_reserved() {
    let mut world = World::new();
    let scopes = [at(team(), &[budget(Period::Day, 100)])];
    world.admitted(1, &scopes, amount(0, 100));
    world.pass(seconds(12 * 3_600));
    world.admitted(2, &scopes, amount(0, 60));
    world.settle(1, amount(0, 100));
    world.admitted(3, &scopes, amount(0, 40));
    let standing = world.standing_of(&team());
    assert_eq!(standing.spent_day, NanoUsd::ZERO);
    assert_eq!(standing.spent_month, nanos(100));
    assert_eq!(
        (standing.spent_total, standing.reserved),
        (nanos(100), nanos(100))
    );
}

#[test]
fn the_tightest_windows_and_the_nearly_used_budgets_are_told() {
    let mut world = World::new();
    let day = budget(Period::Day, 100);
    let scopes = [
        at(
            Scope::Org,
            &[
                per(Meter::Requests, 10, seconds(60)),
                per(Meter::Tokens, 50, seconds(60)),
            ],
        ),
        at(team(), &[per(Meter::Requests, 5, seconds(3_600)), day]),
    ];
    let headroom = world.admitted(1, &scopes, amount(30, 79));
    let window = |scope, limit, remaining, reset| {
        Some(WindowState {
            scope,
            limit,
            remaining,
            reset,
        })
    };
    assert_eq!(headroom.requests, window(team(), 5, 4, seconds(3_660)));
    assert_eq!(headroom.tokens, window(Scope::Org, 50, 20, seconds(61)));
    assert_eq!(headroom.warnings, []);
    let headroom = world.admitted(2, &scopes, amount(0, 1));
    assert_eq!(
        headroom.warnings,
        [BudgetState {
            scope: team(),
            rule: day,
            spent: NanoUsd::ZERO,
            reserved: nanos(80),
        }]
    );
}

#[test]
fn the_rule_with_the_least_left_in_proportion_is_told_and_of_equals_the_outermost() {
    let requests = |limit| per(Meter::Requests, limit, seconds(60));
    let tokens = |limit| per(Meter::Tokens, limit, seconds(60));
    let (many, in_flight) = (requests(1_000), Rule::Concurrency { limit: 4 });
    let steady = Rule::Gcra {
        meter: Meter::Requests,
        limit: 600,
        window: seconds(60),
        burst: 10,
    };
    let day = budget(Period::Day, 100);
    // The rules at the organisation and at the team, what the request takes, and of whom how much is left.
    let cases = [
        (vec![], vec![], (30, 5), None),
        (
            vec![requests(2), many],
            vec![],
            (0, 0),
            Some((Scope::Org, requests(2), 1)),
        ),
        // The fewest in number are not the least in proportion.
        (
            vec![tokens(1_000)],
            vec![requests(5)],
            (900, 0),
            Some((Scope::Org, tokens(1_000), 100)),
        ),
        (
            vec![many, day],
            vec![tokens(50)],
            (10, 90),
            Some((Scope::Org, day, 10)),
        ),
        (
            vec![many],
            vec![steady, in_flight],
            (0, 0),
            Some((team(), in_flight, 3)),
        ),
        (vec![many], vec![steady], (0, 0), Some((team(), steady, 9))),
        (
            vec![requests(8)],
            vec![requests(4), requests(8)],
            (0, 0),
            Some((team(), requests(4), 3)),
        ),
        (
            vec![requests(4)],
            vec![in_flight],
            (0, 0),
            Some((Scope::Org, requests(4), 3)),
        ),
        (
            vec![requests(4), many],
            vec![tokens(7)],
            (7, 0),
            Some((team(), tokens(7), 0)),
        ),
    ];
    for (org, of_team, (tokens, cost), expected) in cases {
        let scopes = [at(Scope::Org, &org), at(team(), &of_team), at(key(), &[])];
        let headroom = World::new().admitted(1, &scopes, amount(tokens, cost));
        let told = headroom.tightest.map(|tightest| {
            let (scope, rule) = tightest.rule(&scopes).unwrap();
            (scope.clone(), *rule, tightest.remaining())
        });
        assert_eq!(told, expected, "{org:?} {of_team:?}");
    }
}

#[test]
fn a_command_that_comes_twice_charges_once() {
    let mut world = World::new();
    let scopes = [at(team(), &[budget(Period::Day, 100)])];
    let first = world.admit(1, &scopes, amount(5, 90));
    assert_eq!(world.admit(1, &scopes, amount(5, 90)), first);
    assert_eq!(world.extend(1, seconds(90)), Reply::Done);
    assert_eq!(world.settle(1, amount(5, 80)), Reply::Done);
    world.admitted(2, &scopes, amount(5, 20));
    assert_eq!(world.release(2), Reply::Done);
    let after = world.store.clone();
    for number in 1..=2 {
        assert_eq!(world.settle(number, amount(5, 80)), Reply::Unknown);
        assert_eq!(world.release(number), Reply::Unknown);
        assert_eq!(world.extend(number, seconds(90)), Reply::Unknown);
    }
    assert_eq!(world.store, after);
    let standing = world.standing_of(&team());
    assert_eq!(
        (standing.spent_total, standing.reserved),
        (nanos(80), nanos(0))
    );
    assert_eq!(world.queued().len(), 1);
}

#[test]
fn nothing_is_known_of_a_request_that_never_was() {
    let mut world = World::new();
    assert_eq!(world.settle(1, NOTHING), Reply::Unknown);
    assert_eq!(world.release(1), Reply::Unknown);
    assert_eq!(world.extend(1, seconds(1)), Reply::Unknown);
    assert_eq!(world.store, World::new().store);
}

#[test]
fn a_reservation_that_nobody_came_back_for_is_charged() {
    let mut world = World::new();
    world.admitted(1, &[at(team(), &[])], amount(9, 50));
    world.extend(1, seconds(90));
    world.pass(seconds(60));
    world.expire();
    assert_eq!(world.queued(), []);
    world.pass(seconds(30));
    let reads = ledger::deadline_reads();
    assert_eq!(
        ledger::next_deadline(&world.rows(&reads)),
        Ok(Some(world.now))
    );
    world.expire();
    let record = world.queued().remove(0).record;
    assert_eq!(record.kind, RecordKind::Expired);
    assert_eq!(record.outcome, Outcome::Unknown);
    assert_eq!(record.usage_source, UsageSource::Reserved);
    assert_eq!(record.cost_nano_usd, nanos(50));
    let standing = world.standing_of(&team());
    assert_eq!(
        (standing.spent_day, standing.reserved),
        (nanos(50), nanos(0))
    );
}

#[test]
fn many_deadlines_at_once_are_met_in_bounded_portions() {
    let mut world = World::new();
    let count = EXPIRE_MAX + 1;
    for number in 0..count {
        world.admitted(u32::try_from(number).unwrap(), &[], amount(1, 1));
    }
    world.pass(seconds(60));
    let reads = ledger::deadline_reads();
    world.expire();
    assert_eq!(world.queued().len(), EXPIRE_MAX);
    assert_eq!(
        ledger::next_deadline(&world.rows(&reads)),
        Ok(Some(world.now))
    );
    world.expire();
    assert_eq!(world.queued().len(), count);
    assert_eq!(world.standing_of(&Scope::Org).spent_total, nanos(65));
}

#[test]
fn windows_that_no_rule_names_any_more_are_forgotten() {
    let mut world = World::new();
    let row = |world: &World| world.store.get("s/org").unwrap().len();
    let one_window = |length| {
        [at(
            Scope::Org,
            &[per(Meter::Requests, 1_000, seconds(length))],
        )]
    };
    world.admitted(0, &one_window(1), NOTHING);
    let first = row(&world);
    for number in 1..200 {
        world.pass(Span::from_millis(1));
        world.admitted(number, &one_window(i64::from(number) * 10), NOTHING);
    }
    assert!(row(&world) < first * 10, "{} bytes", row(&world));
    world.pass(seconds(86_400));
    world.admitted(200, &one_window(1), NOTHING);
    assert!(row(&world) < first + 10, "{} bytes", row(&world));
}

#[test]
fn a_late_settlement_corrects_the_charge_once() {
    let mut world = World::new();
    let scopes = [at(team(), &[budget(Period::Day, 50)])];
    world.admitted(1, &scopes, amount(9, 50));
    world.pass(seconds(60));
    world.expire();
    for _ in 0..2 {
        assert_eq!(world.settle(1, amount(4, 20)), Reply::Done);
    }
    let records = world.queued();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].record.kind, RecordKind::Correction);
    assert_eq!(records[1].record.cost_nano_usd, nanos(-30));
    let standing = world.standing_of(&team());
    assert_eq!((standing.spent_day, standing.tokens_total), (nanos(20), 4));
    world.admitted(2, &scopes, amount(0, 30));
}

#[test]
fn a_late_release_corrects_the_charge_to_nothing() {
    let mut world = World::new();
    world.admitted(1, &[at(team(), &[])], amount(9, 50));
    world.pass(seconds(60));
    world.expire();
    for _ in 0..2 {
        assert_eq!(world.release(1), Reply::Done);
    }
    assert_eq!(world.settle(1, amount(9, 50)), Reply::Done);
    assert_eq!(world.queued().len(), 2);
    assert_eq!(world.queued()[1].record.cost_nano_usd, nanos(-50));
    assert_eq!(world.standing_of(&team()).spent_total, nanos(0));
}

#[test]
fn a_request_that_ended_in_time_leaves_no_row_of_its_own() {
    let mut world = World::new();
    for number in 1..=2 {
        world.admitted(number, &[], amount(9, 50));
    }
    world.settle(1, amount(9, 50));
    world.release(2);
    let keys: Vec<_> = world.store.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["q/00000000000000000001", "s/org"]);
    world.pass(seconds(60));
    world.expire();
    assert_eq!(ledger::next_deadline(&world.store), Ok(None));
}

#[test]
fn an_expired_request_is_remembered_for_an_hour_and_then_forgotten() {
    let mut world = World::new();
    world.admitted(1, &[], amount(9, 50));
    world.pass(seconds(60));
    world.expire();
    world.pass(EXPIRED_KEPT);
    world.expire();
    assert_eq!(world.admit(1, &[], amount(9, 50)), Reply::Done);
    assert_eq!(world.settle(1, amount(9, 50)), Reply::Done);
    world.pass(EXPIRED_KEPT);
    world.expire();
    assert_eq!(world.settle(1, amount(9, 50)), Reply::Unknown);
    assert_eq!(world.store.with_prefix("t/").count(), 0);
    assert_eq!(ledger::next_deadline(&world.store), Ok(None));
}

#[test]
fn the_organisation_is_charged_even_when_no_rule_names_it_and_no_scope_twice() {
    let mut world = World::new();
    let rule = budget(Period::Day, 10);
    let scopes = [at(team(), &[rule]), at(team(), &[rule])];
    world.admitted(1, &scopes, amount(0, 10));
    assert_eq!(world.standing_of(&Scope::Org).reserved, nanos(10));
    assert_eq!(world.standing_of(&team()).reserved, nanos(10));
}

#[test]
fn a_clock_that_steps_back_frees_nothing() {
    let mut world = World::new();
    let rules = [per(Meter::Requests, 1, seconds(60)), budget(Period::Day, 5)];
    let scopes = [at(team(), &rules)];
    world.admitted(1, &scopes, amount(0, 5));
    world.pass(seconds(-86_400));
    let denial = world.denied(2, &scopes, amount(0, 1));
    assert_eq!(denial.retry_after, Some(seconds(86_400 + 12 * 3_600)));
    world.settle(1, amount(0, 5));
    assert_eq!(world.standing_of(&team()).spent_day, nanos(5));
}

#[test]
fn a_row_that_cannot_be_read_decides_nothing() {
    let mut world = World::new();
    world.admitted(1, &[], amount(0, 1));
    world
        .store
        .insert("s/org".to_owned(), "{\"v\":2}".to_owned());
    let command = Command::Release {
        request: request(1),
    };
    let error = ledger::decide(&world.store, world.now, &command).unwrap_err();
    assert_eq!(error.key, "s/org");
}

fn refusal(number: u32) -> Refusal {
    let record = record(number, World::new().now);
    Refusal {
        request: record.request,
        kind: RecordKind::Refused,
        at_us: record.at_us,
        org: record.org,
        team: record.team,
        app: record.app,
        user: record.user,
        key: Some(record.key),
        model: Some(record.model),
        region: record.region,
        shard: record.shard,
        outcome: Outcome::Refused,
        status: 429,
        error: "rate_limit_exceeded".to_owned(),
        count: 1,
        withheld: 0,
    }
}

fn refuse(world: &mut World, number: u32) {
    let refusal = Box::new(refusal(number));
    let (replies, _) = world.run(&[Command::Refuse(refusal)]);
    assert_eq!(replies, [Reply::Done]);
}

fn refused(world: &World) -> Vec<Refusal> {
    let lines = world.store.with_prefix("q/");
    lines
        .map(|(_, line)| serde_json::from_str::<Line<Refusal>>(line).unwrap().record)
        .collect()
}

#[test]
fn a_refusal_is_recorded_once_and_charged_to_nobody() {
    let mut world = World::new();
    let scopes = [at(Scope::Org, &[per(Meter::Requests, 1, seconds(60))])];
    world.admitted(1, &scopes, amount(1, 10));
    let before = world.standing_of(&Scope::Org);
    refuse(&mut world, 2);
    refuse(&mut world, 2);
    assert_eq!(refused(&world), [refusal(2)]);
    assert_eq!(world.standing_of(&Scope::Org), before);
    // What was let in is told by its settlement.
    refuse(&mut world, 1);
    assert_eq!(refused(&world).len(), 1);
    // Whoever was refused is not let in by a call that comes late.
    assert_eq!(world.admit(2, &scopes, amount(1, 10)), Reply::Done);
}

#[test]
fn a_refusal_is_forgotten_in_the_end() {
    let mut world = World::new();
    refuse(&mut world, 1);
    let rows = |world: &World, prefix: &str| world.store.with_prefix(prefix).count();
    assert_eq!((rows(&world, "t/"), rows(&world, "x/")), (1, 1));
    world.pass(EXPIRED_KEPT.times(2));
    world.expire();
    assert_eq!((rows(&world, "t/"), rows(&world, "x/")), (0, 0));
}

#[test]
fn many_refusals_wake_nobody_before_they_are_forgotten_and_all_are() {
    let mut world = World::new();
    let many = 2 * SWEEP_MAX;
    for number in 1..=many {
        refuse(&mut world, number);
    }
    // As an alarm does that comes for another reason.
    world.admitted(many + 1, &[], amount(9, 50));
    world.pass(seconds(60));
    world.expire();
    let due = ledger::next_deadline(&world.store).unwrap().unwrap();
    assert!(
        due.since(world.now).plus(seconds(60)) >= EXPIRED_KEPT,
        "{due}"
    );
    world.pass(due.since(world.now));
    for left in [SWEEP_MAX + 1, 1, 0] {
        world.expire();
        assert_eq!(world.store.with_prefix("x/").count(), left as usize);
        world.pass(seconds(1));
    }
    assert_eq!(ledger::next_deadline(&world.store), Ok(None));
}

#[test]
fn refusals_that_pile_up_are_counted_and_told_with_the_next_one() {
    let mut world = World::new();
    refuse(&mut world, 1);
    let few = world.store.get("s/org").unwrap().to_owned();
    let many = few.replace(r#""q":1"#, &format!(r#""q":{REFUSALS_WAITING_MAX}"#));
    assert_ne!(few, many);
    world.store.insert("s/org".to_owned(), many);
    for number in 2..5 {
        refuse(&mut world, number);
    }
    assert_eq!(refused(&world).len(), 1);
    let full = world.store.get("s/org").unwrap().to_owned();
    let shipped = full.replace(&format!(r#""q":{REFUSALS_WAITING_MAX}"#), r#""q":1"#);
    world.store.insert("s/org".to_owned(), shipped);
    refuse(&mut world, 5);
    let last = refused(&world).pop().unwrap();
    assert_eq!((last.request, last.withheld), (refusal(5).request, 3));
}
