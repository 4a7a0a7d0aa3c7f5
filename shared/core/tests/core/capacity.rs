//! Providers that take only so many calls at once: who is let through, who passes them by, who waits and for how long.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use sluice_core::isolate::Isolate;
use sluice_core::line::LINE_MAX;
use sluice_core::sandbox::Step;
use sluice_machines::health::Command;
use sluice_machines::record::{Outcome, UsageSource};
use sluice_units::{NanoUsd, Span};

use crate::leases::start;
use crate::waiting::{Ends, served_around, two_keys};
use crate::world::{ADMIN_TOKEN, Got, Reaction, World, answer, late, send, stream};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, SERVER_ERROR, chat, config, key, streamed};

pub(crate) type Slot = Rc<RefCell<Option<Got>>>;

fn seconds(seconds: i64) -> Span {
    Span::from_seconds(seconds)
}

/// One provider takes so many calls at once; nobody else serves the model, and nothing is tried again.
fn bounded(capacity: Value) -> Value {
    let mut document = config();
    document["providers"]["openai"]["capacity"] = capacity;
    document["gateway"]["retry"] = json!({"attempts_max": 1});
    document["models"]["fast"]["targets"] = json!([{"provider": "openai", "model": "gpt-4o-mini"}]);
    document["orgs"]["acme"]["teams"]["ads"] = json!({});
    document
}

/// The same with somebody else to fall back on.
fn with_fallback(capacity: Value) -> Value {
    let mut document = bounded(capacity);
    document["models"] = config()["models"].clone();
    document
}

fn world(capacity: Value) -> (World, String) {
    let mut world = World::new(&bounded(capacity));
    let key = key(&mut world);
    (world, key)
}

/// An answer that takes so long.
fn slow(after: i64) -> Reaction {
    late(seconds(after), answer(200, OPENAI_ANSWER))
}

/// What is asked, told apart by this word.
pub(crate) fn asking(word: &str) -> Vec<u8> {
    json!({"model": "fast", "messages": [{"role": "user", "content": word}]})
        .to_string()
        .into_bytes()
}

/// The words in the order in which the provider was asked.
pub(crate) fn asked(world: &World) -> Vec<String> {
    let seen = world.seen().into_iter();
    let words = seen.map(|seen| {
        seen.body_json()["messages"][0]["content"]
            .as_str()
            .map(str::to_owned)
    });
    words.flatten().collect()
}

pub(crate) fn codes(got: &Slot) -> (u16, String) {
    let got = got.borrow();
    let got = got.as_ref().expect("an answer");
    let code = got.json()["error"]["code"].as_str().map(str::to_owned);
    (got.status.as_u16(), code.unwrap_or_default())
}

/// What the region was told and asked of slots.
fn asks(world: &World) -> usize {
    let calls = world.health_calls().into_iter();
    calls
        .filter(|command| matches!(command, Command::Capacity(_)))
        .count()
}

#[test]
fn no_more_calls_are_made_at_once_and_teams_take_turns() {
    let (mut world, search) = world(json!({"concurrent": 2, "queue": "1m"}));
    let ads = world.key(&json!({"org": "acme", "team": "ads"}));
    world.script((0..8).map(|_| slow(2)).collect());
    let mut all = Vec::new();
    for (key, word) in [(&search, "s"), (&ads, "a")] {
        for number in 1..=4 {
            all.push(start(&mut world, key, &asking(&format!("{word}{number}"))));
        }
    }
    world.settle();
    assert!(all.iter().all(|got| codes(got).0 == 200));
    assert_eq!(world.most_at_once(), 2);
    assert_eq!(
        asked(&world),
        ["s1", "s2", "s3", "a1", "s4", "a2", "a3", "a4"]
    );
}

#[test]
fn who_may_not_wait_is_refused_at_once_and_nobody_is_called_for_it() {
    let (mut world, key) = world(json!({"concurrent": 1}));
    world.script(vec![slow(20)]);
    let first = start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    let second = start(&mut world, &key, &chat("fast"));
    world.wait(Span::from_millis(10));
    assert_eq!(codes(&second), (503, "provider_at_capacity".to_owned()));
    let retry_after = second
        .borrow()
        .as_ref()
        .unwrap()
        .header("retry-after")
        .map(str::to_owned);
    assert_eq!(retry_after.as_deref(), Some("1"));
    world.settle();
    assert_eq!(codes(&first).0, 200);
    assert_eq!(world.seen().len(), 1);
    let records = world.records("acme");
    let refused = records.iter().find(|record| record.status == 503).unwrap();
    assert_eq!(refused.error.as_deref(), Some("provider_at_capacity"));
    assert_eq!(refused.cost_nano_usd, NanoUsd::ZERO);
    let [attempt] = refused.attempts.as_slice() else {
        panic!("{:?}", refused.attempts);
    };
    assert_eq!(attempt.error.as_deref(), Some("provider_at_capacity"));
    assert_eq!((attempt.status, attempt.latency_us), (None, Span::ZERO));
}

#[test]
fn a_full_provider_is_passed_by_while_another_serves() {
    let mut world = World::new(&with_fallback(json!({"concurrent": 1, "queue": "1m"})));
    let key = key(&mut world);
    world.script(vec![slow(20), answer(200, ANTHROPIC_ANSWER)]);
    let first = start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    let second = start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    assert_eq!(codes(&second).0, 200);
    world.settle();
    assert_eq!(codes(&first).0, 200);
    let records = world.records("acme");
    let attempts = records.iter().map(|record| {
        let attempts = record.attempts.iter();
        let shown = attempts.map(|one| (one.provider.to_string(), one.error.clone()));
        shown.collect::<Vec<_>>()
    });
    let full = Some("provider_at_capacity".to_owned());
    let expected = vec![("openai".to_owned(), full), ("anthropic".to_owned(), None)];
    assert!(attempts.collect::<Vec<_>>().contains(&expected));
}

#[test]
fn who_was_passed_by_is_waited_for_when_nobody_else_can_serve() {
    let mut world = World::new(&with_fallback(json!({"concurrent": 1, "queue": "1m"})));
    let key = key(&mut world);
    world.script(vec![slow(20), answer(500, SERVER_ERROR), slow(1)]);
    start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    let second = start(&mut world, &key, &chat("fast"));
    world.settle();
    assert_eq!(codes(&second).0, 200);
    let hosts: Vec<bool> = world
        .seen()
        .iter()
        .map(|seen| seen.url.contains("openai"))
        .collect();
    assert_eq!(hosts, [true, false, true]);
}

#[test]
fn the_callers_fault_is_not_waited_with() {
    let mut world = World::new(&with_fallback(json!({"concurrent": 1, "queue": "1m"})));
    let key = key(&mut world);
    world.script(vec![
        slow(20),
        answer(
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#,
        ),
    ]);
    start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    let second = start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    assert_eq!(codes(&second).0, 400);
    world.settle();
}

#[test]
fn who_waits_in_vain_is_refused_in_time() {
    let (mut world, key) = world(json!({"concurrent": 1, "queue": "5s"}));
    world.script(vec![slow(100)]);
    start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    let second = start(&mut world, &key, &chat("fast"));
    world.wait(Span::from_millis(4_900));
    assert!(second.borrow().is_none());
    world.wait(Span::from_millis(400));
    assert_eq!(codes(&second), (503, "provider_at_capacity".to_owned()));
    world.settle();
}

#[test]
fn a_line_that_is_full_takes_nobody_in() {
    let (mut world, key) = world(json!({"concurrent": 1, "queue": "10s"}));
    world.script(vec![slow(100)]);
    start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    let waiting: Vec<Slot> = (0..LINE_MAX)
        .map(|_| start(&mut world, &key, &chat("fast")))
        .collect();
    world.wait(seconds(1));
    let last = start(&mut world, &key, &chat("fast"));
    world.wait(Span::from_millis(10));
    assert_eq!(codes(&last), (503, "queue_full".to_owned()));
    world.settle();
    assert!(waiting.iter().all(|got| codes(got).0 == 503));
}

#[test]
fn who_leaves_while_it_waits_loses_its_place_and_pays_nothing() {
    let (mut world, key) = world(json!({"concurrent": 1, "queue": "1m"}));
    world.script(vec![slow(10), slow(1)]);
    start(&mut world, &key, &asking("first"));
    world.wait(seconds(1));
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let body = asking("leaves");
    world.start(
        "POST",
        "/v1/chat/completions",
        &headers,
        &body,
        Some(seconds(3)),
    );
    world.wait(seconds(1));
    let third = start(&mut world, &key, &asking("third"));
    world.settle();
    assert_eq!(codes(&third).0, 200);
    assert_eq!(asked(&world), ["first", "third"]);
    let records = world.records("acme");
    let left =
        |record: &&sluice_machines::record::Record| record.outcome == Outcome::DownstreamLeft;
    let left = records.iter().find(left).unwrap();
    assert_eq!(left.cost_nano_usd, NanoUsd::ZERO);
    assert_eq!(left.usage_source, UsageSource::None);
    assert_eq!(world.standing("acme")["open"], 0);
}

#[test]
fn who_gives_up_leaves_the_turn_to_the_next_of_its_team() {
    for ends in [Ends::InTime, Ends::Leaves, Ends::Revoked] {
        let queue = ends.queue();
        let mut world = World::new(&bounded(json!({"concurrent": 1, "queue": queue})));
        let keys = two_keys(&mut world);
        let served = served_around(&mut world, keys, ends);
        assert_eq!(served[..3], ["first", "second", "of its team"], "{ends:?}");
    }
}

#[test]
fn an_operator_sees_how_many_slots_are_held_and_how_many_wait() {
    let (mut world, key) = world(json!({"concurrent": 3, "queue": "1m"}));
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    let shown = |world: &mut World| {
        let got = world.start("GET", "/admin/health", &headers, b"", None);
        world.wait(Span::from_millis(1));
        got.take().expect("an answer").json()["capacity"].clone()
    };
    let expected = |held: u32, waiting: u32| json!([{"provider": "openai", "concurrent": 3, "held": held, "waiting_here": waiting}]);
    assert_eq!(shown(&mut world), expected(0, 0));
    world.script((0..5).map(|_| slow(20)).collect());
    for _ in 0..5 {
        start(&mut world, &key, &chat("fast"));
    }
    world.wait(seconds(1));
    assert_eq!(shown(&mut world), expected(3, 2));
    world.settle();
    assert_eq!(shown(&mut world), expected(0, 0));
}

#[test]
fn only_the_head_asks_when_time_is_over() {
    let (mut world, key) = world(json!({"concurrent": 1, "queue": "5s"}));
    world.script(vec![slow(100)]);
    start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    let waiting: Vec<Slot> = (0..10)
        .map(|_| start(&mut world, &key, &chat("fast")))
        .collect();
    world.wait(Span::from_millis(4_999));
    let before = asks(&world);
    world.wait(Span::from_millis(2));
    assert!(asks(&world) <= before + 1, "{} {before}", asks(&world));
    world.settle();
    let refused = (503, "provider_at_capacity".to_owned());
    assert!(waiting.iter().all(|got| codes(got) == refused));
}

/// Whatever becomes of the first request, the second is called for, in the same isolate and in another.
fn gives_back(first: Reaction, body: &[u8], leaves: Option<Span>) {
    for is_elsewhere in [false, true] {
        let (mut world, key) = world(json!({"concurrent": 1}));
        world.script(vec![first.clone(), answer(200, OPENAI_ANSWER)]);
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        world.start("POST", "/v1/chat/completions", &headers, body, leaves);
        world.wait(seconds(200));
        if is_elsewhere {
            world.isolate = Rc::new(Isolate::new(world.document()));
        }
        let second = start(&mut world, &key, &chat("fast"));
        world.settle();
        assert_eq!(codes(&second).0, 200, "{first:?}");
        assert_eq!(world.most_at_once(), 1);
    }
}

#[test]
fn an_answer_gives_its_slot_back() {
    gives_back(slow(1), &chat("fast"), None);
}

#[test]
fn a_failure_gives_its_slot_back() {
    gives_back(answer(500, SERVER_ERROR), &chat("fast"), None);
    let refused = Reaction::Refuse(sluice_core::platform::FetchError::Connect);
    gives_back(refused, &chat("fast"), None);
    gives_back(Reaction::Hang, &chat("fast"), None);
}

const PIECE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hello\"},\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[test]
fn a_stream_gives_its_slot_back_however_it_ends() {
    let pieces = |last: Vec<Step>| {
        let mut steps = vec![send(PIECE), Step::Wait(seconds(1))];
        steps.extend(last);
        stream(steps)
    };
    gives_back(pieces(vec![send(LAST)]), &streamed("fast"), None);
    gives_back(pieces(vec![Step::Break]), &streamed("fast"), None);
    gives_back(pieces(vec![Step::Hang]), &streamed("fast"), None);
    let left = Some(Span::from_millis(500));
    gives_back(pieces(vec![Step::Hang]), &streamed("fast"), left);
}

#[test]
fn a_caller_that_leaves_gives_the_slot_back() {
    gives_back(Reaction::Hang, &chat("fast"), Some(seconds(2)));
}

#[test]
fn a_call_keeps_its_slot_for_as_long_as_it_takes() {
    let (mut world, key) = world(json!({"concurrent": 1}));
    let mut steps = vec![send(PIECE)];
    for _ in 0..9 {
        steps.extend([Step::Wait(seconds(10)), send(PIECE)]);
    }
    steps.push(send(LAST));
    world.script(vec![stream(steps), answer(200, OPENAI_ANSWER)]);
    let long = start(&mut world, &key, &streamed("fast"));
    let here = Rc::clone(&world.isolate);
    let there = Rc::new(Isolate::new(world.document()));
    for _ in 0..8 {
        world.wait(seconds(10));
        world.isolate = Rc::clone(&there);
        let other = start(&mut world, &key, &chat("fast"));
        world.wait(Span::from_millis(10));
        assert_eq!(codes(&other).0, 503);
        world.isolate = Rc::clone(&here);
    }
    world.settle();
    assert_eq!(long.borrow().as_ref().unwrap().status, 200);
    world.isolate = there;
    let other = start(&mut world, &key, &chat("fast"));
    world.settle();
    assert_eq!(codes(&other).0, 200);
}

#[test]
fn isolates_share_what_a_provider_takes_and_take_turns() {
    let (mut world, key) = world(json!({"concurrent": 2, "queue": "1m"}));
    world.script((0..30).map(|_| slow(1)).collect());
    let isolates: Vec<Rc<Isolate>> = (0..3)
        .map(|_| Rc::new(Isolate::new(world.document())))
        .collect();
    let mut all = Vec::new();
    for isolate in &isolates {
        world.isolate = Rc::clone(isolate);
        all.extend((0..10).map(|_| start(&mut world, &key, &chat("fast"))));
        world.wait(Span::from_millis(100));
    }
    world.wait(seconds(10));
    // After two thirds of the time nobody has got everything, and nobody nothing.
    for part in all.chunks(10) {
        let done = part.iter().filter(|got| got.borrow().is_some()).count();
        assert!((3..=9).contains(&done), "{done}");
    }
    world.settle();
    assert!(all.iter().all(|got| codes(got).0 == 200));
    assert_eq!(world.most_at_once(), 2);
}

#[test]
fn a_steady_load_hardly_ever_asks_the_region() {
    let (mut world, key) = world(json!({"concurrent": 50}));
    world.script((0..60).map(|_| answer(200, OPENAI_ANSWER)).collect());
    for _ in 0..60 {
        start(&mut world, &key, &chat("fast"));
        world.wait(Span::from_millis(250));
    }
    assert!(asks(&world) <= 6, "{}", asks(&world));
}

#[test]
fn who_takes_any_number_of_calls_is_asked_nothing_about() {
    let mut world = World::new(&config());
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 200);
    assert_eq!(asks(&world), 0);
}

#[test]
fn without_the_region_slots_last_until_their_deadline_and_nobody_hangs() {
    let (mut world, key) = world(json!({"concurrent": 1, "queue": "2s"}));
    world.script(vec![slow(60), answer(200, OPENAI_ANSWER)]);
    let long = start(&mut world, &key, &chat("fast"));
    world.wait(seconds(1));
    world.health_down(true);
    world.wait(seconds(30));
    let second = start(&mut world, &key, &chat("fast"));
    world.wait(seconds(3));
    assert_eq!(codes(&second), (503, "provider_at_capacity".to_owned()));
    world.wait(seconds(40));
    // What is under way is not broken off.
    assert_eq!(codes(&long).0, 200);
    world.health_down(false);
    let third = start(&mut world, &key, &chat("fast"));
    world.settle();
    assert_eq!(codes(&third).0, 200);
}

#[test]
fn what_is_tried_again_keeps_its_slot() {
    let mut document = bounded(json!({"concurrent": 1, "queue": "1m"}));
    document["gateway"]["retry"] =
        json!({"attempts_max": 2, "backoff_base": "1s", "backoff_max": "5s"});
    let mut world = World::new(&document);
    let key = key(&mut world);
    let Reaction::Answer { status, steps, .. } = answer(429, SERVER_ERROR) else {
        panic!("an answer");
    };
    let later = Reaction::Answer {
        status,
        headers: vec![("retry-after", "3".to_owned())],
        steps,
    };
    world.script(vec![later, slow(1), slow(1)]);
    let first = start(&mut world, &key, &asking("first"));
    world.wait(seconds(1));
    let second = start(&mut world, &key, &asking("second"));
    world.settle();
    assert_eq!((codes(&first).0, codes(&second).0), (200, 200));
    assert_eq!(asked(&world), ["first", "first", "second"]);
}

#[test]
fn who_waits_with_a_revoked_key_is_refused_and_nobody_is_called() {
    let (mut world, key) = world(json!({"concurrent": 1, "queue": "1m"}));
    world.script(vec![slow(20), answer(200, OPENAI_ANSWER)]);
    start(&mut world, &key, &asking("first"));
    world.wait(seconds(1));
    let second = start(&mut world, &key, &asking("second"));
    world.wait(seconds(1));
    let listed = world.administer("GET", "/admin/keys", b"").json();
    let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
    world.administer("POST", &format!("/admin/keys/{id}/revoke"), b"");
    world.settle();
    assert_eq!(codes(&second), (401, "key_revoked".to_owned()));
    assert_eq!(asked(&world), ["first"]);
    assert_eq!(world.standing("acme")["open"], 0);
}

#[test]
fn who_waits_and_may_not_go_there_any_more_is_refused_and_nobody_is_called() {
    let capacity = json!({"concurrent": 1, "queue": "1m"});
    let (mut world, key) = world(capacity.clone());
    world.script(vec![slow(20)]);
    start(&mut world, &key, &asking("first"));
    world.wait(seconds(1));
    let second = start(&mut world, &key, &asking("second"));
    world.wait(seconds(1));
    let mut document = bounded(capacity);
    document["models"]["fast"]["targets"] =
        json!([{"provider": "anthropic", "model": "claude-haiku"}]);
    let body = json!({"document": document}).to_string();
    world.administer("PUT", "/admin/config", body.as_bytes());
    world.settle();
    assert_eq!(codes(&second), (503, "configuration_changed".to_owned()));
    assert_eq!(asked(&world), ["first"]);
}
