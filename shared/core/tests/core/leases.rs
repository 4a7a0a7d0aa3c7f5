//! Requests that are let in without asking, and what is on record of them when the caller hears back.

use std::ops::RangeInclusive;
use std::rc::Rc;

use serde_json::json;
use sluice_core::isolate::Isolate;
use sluice_machines::ledger::Command;
use sluice_machines::record::{Outcome, UsageSource};
use sluice_units::{NanoUsd, Span, Timestamp};

use crate::world::{World, answer, send, stream};
use crate::{OPENAI_ANSWER, chat, config, key, streamed, with};

const ROUND_TRIP: Span = Span::from_millis(120);

/// All kinds of limits at once, none of which binds.
fn limited() -> World {
    with(|config| {
        config["orgs"]["acme"]["limits"] = json!([
            {"requests": 100_000, "per": "1m"},
            {"tokens": 1_000_000_000, "per": "1m", "burst": 1_000_000_000},
            {"concurrent": 10_000},
        ]);
        config["orgs"]["acme"]["budgets"] =
            json!([{"usd": "1000", "per": "day"}, {"usd": "10000", "per": "month"}]);
        config["orgs"]["acme"]["teams"]["search"]["limits"] =
            json!([{"requests": 100_000, "per": "1m", "burst": 50_000}]);
    })
}

/// A key that holds a slice: two requests have made it busy.
fn busy(world: &mut World) -> String {
    let key = key(world);
    for _ in 0..2 {
        world.script(vec![answer(200, OPENAI_ANSWER)]);
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
        assert_eq!(got.status, 200, "{}", got.text());
    }
    key
}

pub(crate) fn start(
    world: &mut World,
    key: &str,
    body: &[u8],
) -> Rc<std::cell::RefCell<Option<crate::world::Got>>> {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    world.start("POST", "/v1/chat/completions", &headers, body, None)
}

fn admits(world: &World) -> usize {
    let commands = world.ledger_calls().into_iter().flatten();
    commands
        .filter(|command| matches!(command, Command::Admit(_)))
        .count()
}

#[test]
fn a_busy_key_is_let_in_without_asking_nine_times_in_ten() {
    let mut world = limited();
    world.slow_ledger(ROUND_TRIP);
    let key = key(&mut world);
    let started = world.now();
    let mut served = 0;
    for _ in 0..60 {
        let waiting: Vec<_> = (0..10)
            .map(|_| start(&mut world, &key, &chat("sandbox/echo")))
            .collect();
        world.wait(Span::from_millis(200));
        for slot in waiting {
            assert_eq!(slot.take().map(|got| got.status.as_u16()), Some(200));
            served += 1;
        }
    }
    assert!(world.now().since(started) < Span::from_seconds(30));
    assert!(
        admits(&world) * 10 <= served,
        "{} of {served}",
        admits(&world)
    );
    world.settle();
    assert_eq!(world.records("acme").len(), served);
    let standing = world.standing("acme");
    assert_eq!(standing["open"], 0);
}

#[test]
fn settlements_and_intents_travel_together() {
    let mut world = limited();
    let key = busy(&mut world);
    world.slow_ledger(ROUND_TRIP);
    let before = world.ledger_calls().len();
    let waiting: Vec<_> = (0..4)
        .flat_map(|_| {
            let some: Vec<_> = (0..2)
                .map(|_| start(&mut world, &key, &chat("sandbox/echo")))
                .collect();
            world.wait(Span::from_millis(10));
            some
        })
        .collect();
    world.settle();
    assert!(waiting.iter().all(|slot| slot.borrow().is_some()));
    let calls = world.ledger_calls().len() - before;
    assert!(calls <= 6, "{calls} calls for sixteen commands");
    assert_eq!(world.records("acme").len(), 2 + 8);
}

#[test]
fn an_answer_waits_for_its_intent_and_not_for_more() {
    let mut world = limited();
    let key = busy(&mut world);
    world.slow_ledger(ROUND_TRIP);
    for (upstream, expected) in [(10, 120), (300, 300)] {
        world.script(vec![stream(vec![
            sluice_core::sandbox::Step::Wait(Span::from_millis(upstream)),
            send("data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"),
        ])]);
        let asked = world.now();
        let slot = start(&mut world, &key, &streamed("fast"));
        let answered = until_answered(&mut world, &slot);
        assert_eq!(answered.since(asked), Span::from_millis(expected));
        world.settle();
        assert_eq!(slot.take().unwrap().status, 200);
    }
    assert_eq!(admits(&world), 2);
}

/// Lets time pass a millisecond at a time until the answer is there.
fn until_answered(
    world: &mut World,
    slot: &Rc<std::cell::RefCell<Option<crate::world::Got>>>,
) -> Timestamp {
    for _ in 0..1_000 {
        if slot.borrow().is_some() {
            return world.now();
        }
        world.wait(Span::from_millis(1));
    }
    panic!("no answer");
}

#[test]
fn what_cannot_be_put_on_record_is_withheld_and_still_accounted_for() {
    let mut world = limited();
    let key = busy(&mut world);
    world.fail_ledger(5);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 503, "{}", got.text());
    assert_eq!(got.json()["error"]["code"], "store_unavailable");
    assert!(!got.text().contains("Hello"));
    // The next request carries what is left over.
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 200, "{}", got.text());
    let records = world.records("acme");
    assert_eq!(records.len(), 4);
    let withheld = records.iter().find(|record| record.status == 503).unwrap();
    assert_eq!(withheld.outcome, Outcome::Failed);
    assert_eq!(withheld.usage_source, UsageSource::Provider);
    assert_eq!(withheld.cost_nano_usd, NanoUsd::from_nanos(3_300));
}

#[test]
fn a_limit_is_exact_over_many_isolates() {
    let mut world = with(|config| {
        config["orgs"]["acme"]["limits"] = json!([{"requests": 100, "per": "1h"}]);
    });
    world.slow_ledger(Span::from_millis(20));
    let key = key(&mut world);
    let isolates: Vec<Rc<Isolate>> = (0..10)
        .map(|_| {
            let mut document = config();
            document["orgs"]["acme"]["limits"] = json!([{"requests": 100, "per": "1h"}]);
            Rc::new(Isolate::new(document.to_string()))
        })
        .collect();
    let mut waiting = Vec::new();
    for round in 0..100 {
        world.isolate = Rc::clone(&isolates[round * 7 % isolates.len()]);
        for _ in 0..5 {
            waiting.push(start(&mut world, &key, &chat("sandbox/echo")));
        }
        world.wait(Span::from_millis(3));
    }
    world.settle();
    let statuses: Vec<u16> = waiting
        .into_iter()
        .map(|slot| slot.take().unwrap().status.as_u16())
        .collect();
    let served = statuses.iter().filter(|status| **status == 200).count();
    let denied = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!((served, denied), (100, 400));
    assert_eq!(world.records("acme").len(), 100);
}

#[test]
fn what_is_left_of_a_limit_is_told_without_asking() {
    let mut world = with(|config| {
        config["orgs"]["acme"]["limits"] = json!([{"requests": 100, "per": "1h"}]);
    });
    let key = busy(&mut world);
    for remaining in ["97", "96"] {
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
        assert_eq!(
            got.header("x-ratelimit-remaining-requests"),
            Some(remaining)
        );
        let limit = format!("org; of=requests; limit=100; per=1h; remaining={remaining}");
        assert_eq!(got.header("x-sluice-limit"), Some(&*limit));
    }
    assert_eq!(admits(&world), 2);
}

#[test]
fn strict_accounting_puts_each_request_on_record_before_its_provider_is_called() {
    let mut world = with(|config| {
        config["orgs"]["acme"]["teams"]["search"]["accounting"] = json!("strict");
    });
    let key = busy(&mut world);
    world.slow_ledger(ROUND_TRIP);
    for _ in 0..3 {
        world.script(vec![answer(200, OPENAI_ANSWER)]);
        let asked = world.now();
        world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
        let called = world.seen().last().unwrap().at;
        assert_eq!(called.since(asked), ROUND_TRIP);
    }
    assert_eq!(admits(&world), 5);
}

#[test]
fn a_key_may_ask_for_strict_accounting_for_itself() {
    let mut world = limited();
    let key = world.key(&json!({"org": "acme", "accounting": "strict"}));
    for _ in 0..4 {
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
        assert_eq!(got.status, 200);
    }
    assert_eq!(admits(&world), 4);
}

/// What one request spends is there again in so many seconds, as the refusal of the next one says.
fn a_new_day_begins(world: &mut World, waits: RangeInclusive<i64>) {
    let key = key(world);
    let ask =
        |world: &mut World| world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
    assert_eq!(ask(world).status, 200);
    let denied = ask(world);
    assert_eq!(denied.status, 429);
    let Some(Ok(wait)) = denied.header("retry-after").map(str::parse) else {
        panic!("it does not say how long to wait");
    };
    assert!(waits.contains(&wait), "{wait}");
    world.wait(Span::from_seconds(wait));
    assert_eq!(ask(world).status, 200);
}

#[test]
fn a_budget_s_day_is_the_team_s() {
    // It is noon in UTC: in Auckland, thirteen hours ahead, a new day has just begun an hour ago.
    let mut world = with(|config| {
        config["zones"] = json!({"Pacific/Auckland": {"offset_minutes": 780}});
        config["orgs"]["acme"]["teams"]["search"]["time_zone"] = json!("Pacific/Auckland");
        config["orgs"]["acme"]["teams"]["search"]["budgets"] =
            json!([{"usd": "0.00001", "per": "day"}]);
    });
    a_new_day_begins(&mut world, 22 * 3_600..=23 * 3_600);
}

#[test]
fn a_budget_s_day_ends_at_the_midnight_that_clocks_will_show() {
    // It is noon in UTC, two o'clock there; at five it is four again.
    let mut world = with(|config| {
        config["zones"] = json!({"Europe/Berlin": {"offset_minutes": 120,
            "changes": [{"at_seconds": 1_795_273_200, "offset_minutes": 60}]}});
        config["orgs"]["acme"]["teams"]["search"]["time_zone"] = json!("Europe/Berlin");
        config["orgs"]["acme"]["teams"]["search"]["budgets"] =
            json!([{"usd": "0.00001", "per": "day"}]);
    });
    a_new_day_begins(&mut world, 39_590..=39_600);
}

#[test]
fn news_of_a_revoked_key_travel_with_the_ledgers_answers() {
    let mut world = limited();
    let key = busy(&mut world);
    let other = Rc::new(Isolate::new(config().to_string()));
    let first = std::mem::replace(&mut world.isolate, other);
    // Another isolate hears of a change from the registry, and its calls tell the ledger.
    let revoked = world.key(&json!({"org": "acme", "team": "search"}));
    let got = world.send(
        "POST",
        "/v1/chat/completions",
        &revoked,
        &chat("sandbox/echo"),
    );
    assert_eq!(got.status, 200);
    world.isolate = first;
    let syncs = world.registry_calls();
    for _ in 0..2 {
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
        assert_eq!(got.status, 200);
    }
    assert!(world.registry_calls() > syncs, "it has asked what changed");
}

/// One request at once for the organisation; others wait for five seconds.
fn queueing() -> World {
    with(|config| {
        config["orgs"]["acme"]["limits"] = json!([{"concurrent": 1, "queue": "5s"}]);
        config["orgs"]["acme"]["teams"]["ads"] = json!({});
    })
}

/// An answer that takes two seconds.
fn slow() -> crate::world::Reaction {
    let mut slow = answer(200, OPENAI_ANSWER);
    if let crate::world::Reaction::Answer { steps, .. } = &mut slow {
        let wait = sluice_core::sandbox::Step::Wait(Span::from_seconds(2));
        steps.insert(0, wait);
    }
    slow
}

#[test]
fn a_request_whose_admission_came_to_an_end_elsewhere_is_to_be_sent_again() {
    let mut world = queueing();
    let search = key(&mut world);
    world.script(vec![slow()]);
    let first = start(&mut world, &search, &chat("fast"));
    world.wait(Span::from_millis(1));
    let second = start(&mut world, &search, &chat("fast"));
    world.wait(Span::from_millis(1));
    let admission = world
        .ledger_calls()
        .into_iter()
        .flatten()
        .rfind(|command| matches!(command, Command::Admit(_)));
    let Some(Command::Admit(mut again)) = admission else {
        panic!("the second asks for itself");
    };
    // It comes a second time, lets the request in, and nobody hears of it.
    again.scopes.clear();
    again.ttl = Span::from_millis(10);
    world.tell_ledger("acme", &Command::Admit(again));
    world.wait(Span::from_millis(20));
    world.expire("acme");
    world.settle();
    assert_eq!(first.take().unwrap().status, 200);
    let got = second.take().unwrap();
    assert_eq!(got.status, 503, "{}", got.text());
    assert_eq!(got.json()["error"]["code"], "reservation_expired");
    assert_eq!(got.header("retry-after"), Some("1"));
}

#[test]
fn requests_wait_for_a_limit_that_lets_them_and_teams_take_turns() {
    let mut world = queueing();
    let search = world.key(&json!({"org": "acme", "team": "search"}));
    let ads = world.key(&json!({"org": "acme", "team": "ads"}));
    world.script(vec![slow(), slow(), slow()]);
    let mut waiting = Vec::new();
    for key in [&search, &search, &search, &ads] {
        waiting.push(start(&mut world, key, &chat("fast")));
        world.wait(Span::from_millis(1));
    }
    world.settle();
    let statuses: Vec<u16> = waiting
        .iter()
        .map(|slot| slot.borrow().as_ref().unwrap().status.as_u16())
        .collect();
    // Each takes two seconds: there is time for three, and the other team's comes before the third of the first.
    assert_eq!(statuses, [200, 200, 429, 200]);
    let refused = waiting[2].take().unwrap();
    assert_eq!(
        refused.json()["error"]["code"],
        "concurrency_limit_exceeded"
    );
    assert_eq!(world.records("acme").len(), 3);
    assert_eq!(world.standing("acme")["open"], 0);
}

#[test]
fn requests_wait_for_a_limit_of_their_own_key() {
    let limits = json!([{"concurrent": 1, "queue": "5s"}]);
    for own in [true, false] {
        let mut world = with(|config| {
            if !own {
                config["orgs"]["acme"]["key_defaults"] = json!({"limits": limits});
            }
        });
        let mut body = json!({"org": "acme", "team": "search"});
        if own {
            body["limits"] = limits.clone();
        }
        let key = world.key(&body);
        world.script(vec![slow(), slow()]);
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let slot = start(&mut world, &key, &chat("fast"));
                world.wait(Span::from_millis(1));
                slot
            })
            .collect();
        world.settle();
        for slot in waiting {
            assert_eq!(slot.borrow().as_ref().unwrap().status, 200);
        }
    }
}

#[test]
fn a_caller_who_leaves_the_line_makes_room_and_leaves_nothing_behind() {
    let mut world = queueing();
    let key = key(&mut world);
    world.script(vec![slow(), slow()]);
    let first = start(&mut world, &key, &chat("fast"));
    world.wait(Span::from_millis(1));
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let leave = Some(Span::from_millis(500));
    world.start(
        "POST",
        "/v1/chat/completions",
        &headers,
        &chat("fast"),
        leave,
    );
    world.wait(Span::from_millis(1));
    let third = start(&mut world, &key, &chat("fast"));
    world.settle();
    for slot in [first, third] {
        assert_eq!(slot.take().unwrap().status, 200);
    }
    assert_eq!(world.seen().len(), 2);
    assert_eq!(world.records("acme").len(), 2);
}
