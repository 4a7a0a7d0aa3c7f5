//! What budgets say when they run out, and who hears of it.

use sluice_machines::events::{
    self, Delivery, EventKind, RETRY_FIRST, RETRY_MAX, TRIES_MAX, WAITING_MAX,
};
use sluice_machines::limit::{Period, Scope};
use sluice_units::NanoUsd;

use crate::world::{World, amount, at, budget, key, seconds, team};

const NAMES: [&str; 2] = ["pager", "slack"];

fn due(world: &World, names: &[&str]) -> Vec<Delivery> {
    let rows = world.rows(&events::reads());
    events::due(&rows, world.now, names).unwrap()
}

fn end(world: &mut World, names: &[&str], delivery: &Delivery, is_taken: bool) {
    let rows = world.rows(&events::reads());
    let writes = events::ended(&rows, world.now, names, (delivery, is_taken)).unwrap();
    world.store.apply(&writes);
}

/// Takes all that is due, and says what it was: kind, scope, spent.
fn heard(world: &mut World) -> Vec<(EventKind, String, i64)> {
    let mut heard = Vec::new();
    while let Some(delivery) = due(world, &["pager"]).pop() {
        let event = delivery.event.clone();
        heard.push((event.kind, event.scope, event.spent_nano_usd.as_nanos()));
        end(world, &["pager"], &delivery, true);
    }
    heard
}

fn spend(world: &mut World, number: u32, nanos: i64) {
    let scopes = [
        at(Scope::Org, &[budget(Period::Month, 2_000)]),
        at(team(), &[budget(Period::Day, 1_000)]),
    ];
    world.admitted(number, &scopes, amount(1, nanos));
    world.settle(number, amount(1, nanos));
}

#[test]
fn each_line_is_told_once_in_a_period_and_again_in_the_next() {
    use EventKind::{Exhausted, Warning};
    let mut world = World::new();
    let said = |kind, nanos| (kind, "team/search".to_owned(), nanos);
    for (number, nanos, expected) in [
        (1, 700, vec![]),
        (2, 99, vec![]),
        (3, 1, vec![said(Warning, 800)]),
        (4, 90, vec![]),
        (5, 70, vec![said(Exhausted, 960)]),
        (6, 40, vec![]),
    ] {
        spend(&mut world, number, nanos);
        assert_eq!(heard(&mut world), expected, "after {number}");
    }
    world.pass(seconds(86_400));
    spend(&mut world, 7, 700);
    let month = |kind, nanos| (kind, "org".to_owned(), nanos);
    let both = [month(Warning, 1_700), month(Exhausted, 1_700)];
    assert_eq!(heard(&mut world), both);
    spend(&mut world, 8, 100);
    assert_eq!(heard(&mut world), [said(Warning, 800)]);
}

#[test]
fn one_charge_may_cross_both_lines_and_an_expired_one_counts() {
    let mut world = World::new();
    let scopes = [
        at(Scope::Org, &[]),
        at(key(), &[budget(Period::Day, 1_000)]),
    ];
    world.admitted(1, &scopes, amount(1, 1_000));
    assert_eq!(heard(&mut world), [], "what is reserved is not spent");
    world.pass(seconds(61));
    world.expire();
    let kinds: Vec<EventKind> = heard(&mut world).into_iter().map(|one| one.0).collect();
    assert_eq!(kinds, [EventKind::Warning, EventKind::Exhausted]);
    let record = world.queued().remove(0).record;
    assert_eq!(record.cost_nano_usd, NanoUsd::from_nanos(1_000));
}

#[test]
fn each_receiver_gets_all_in_order_and_none_waits_for_another() {
    let mut world = World::new();
    spend(&mut world, 1, 800);
    spend(&mut world, 2, 200);
    let first = due(&world, &NAMES);
    assert_eq!(first.len(), 2);
    assert!(
        first
            .iter()
            .all(|delivery| delivery.event.kind == EventKind::Warning)
    );
    end(&mut world, &NAMES, &first[0], true);
    end(&mut world, &NAMES, &first[1], false);
    let second = due(&world, &NAMES);
    assert_eq!((second.len(), second[0].to.as_str()), (1, "pager"));
    assert_eq!(second[0].event.kind, EventKind::Exhausted);
    end(&mut world, &NAMES, &second[0], true);
    end(&mut world, &NAMES, &second[0], true);
    let rows = world.rows(&events::reads());
    let again = events::next_alarm(&rows, &NAMES).unwrap();
    assert_eq!(again, Some(world.now.plus(RETRY_FIRST)));
    world.pass(RETRY_FIRST);
    for kind in [EventKind::Warning, EventKind::Exhausted] {
        let late = due(&world, &NAMES).remove(0);
        assert_eq!((late.to.as_str(), late.event.kind), ("slack", kind));
        end(&mut world, &NAMES, &late, true);
    }
    assert_eq!(world.store.with_prefix("e/").count(), 0);
    let rows = world.rows(&events::reads());
    assert_eq!(events::next_alarm(&rows, &NAMES).unwrap(), None);
}

#[test]
fn a_receiver_that_never_answers_is_asked_less_and_less_often_and_loses_one_event() {
    let mut world = World::new();
    spend(&mut world, 1, 1_000);
    for tried in 1..=TRIES_MAX {
        let delivery = due(&world, &["pager"]).remove(0);
        assert_eq!(delivery.event.kind, EventKind::Warning);
        let loss = delivery.loss(false);
        assert_eq!(loss.is_some(), tried == TRIES_MAX, "{loss:?}");
        assert_eq!(delivery.loss(true), None);
        end(&mut world, &["pager"], &delivery, false);
        world.pass(RETRY_MAX);
    }
    assert_eq!(due(&world, &["pager"])[0].event.kind, EventKind::Exhausted);
}

#[test]
fn events_that_are_gone_before_anybody_took_them_are_missed_once() {
    let mut world = World::new();
    let scopes = [
        at(Scope::Org, &[]),
        at(team(), &[budget(Period::Day, 1_000)]),
    ];
    let mut days = 0;
    let mut day = |world: &mut World| {
        days += 1;
        world.admitted(days, &scopes, amount(1, 800));
        world.settle(days, amount(1, 800));
        world.pass(seconds(86_400));
    };
    day(&mut world);
    let first = due(&world, &["pager"]).remove(0);
    assert_eq!(first.loss(true), None);
    end(&mut world, &["pager"], &first, true);
    // Each day is good for two.
    for _ in 0..=WAITING_MAX / 2 {
        day(&mut world);
    }
    let next = due(&world, &["pager"]).remove(0);
    let loss = next.loss(true).unwrap();
    let id = &next.event.id;
    assert_eq!(
        loss,
        format!("3 events before {id} are lost for pager: only 1000 wait")
    );
    end(&mut world, &["pager"], &next, false);
    world.pass(RETRY_FIRST);
    assert_eq!(
        due(&world, &["pager"]).remove(0).loss(true),
        None,
        "it was said"
    );
}

#[test]
fn what_receivers_get_is_documented_and_has_one_name() {
    let mut world = World::new();
    spend(&mut world, 1, 800);
    let event = due(&world, &["pager"]).remove(0).event;
    assert_eq!(
        serde_json::to_value(&event).unwrap(),
        serde_json::json!({
            "v": 1, "id": "acme/eu/1", "type": "budget.warning", "at_us": 1_795_262_400_000_000_i64,
            "org": "acme", "region": "eu", "scope": "team/search", "period": "day",
            "limit_nano_usd": 1_000, "spent_nano_usd": 800,
        })
    );
    let words =
        "The daily budget of team/search in acme (eu) is 80 % spent: $0.0000008 of $0.000001.";
    assert_eq!(event.words(), words);
}
