//! Reservations that bind: an answer cut to what a budget leaves, a stream that reserves more or ends.

use serde_json::{Value, json};
use sluice_core::sandbox::Step;
use sluice_machines::ledger::Command;
use sluice_machines::record::{Outcome, UsageSource};
use sluice_units::{NanoUsd, Span};

use crate::world::{Got, World, answer, send, stream};
use crate::{OPENAI_ANSWER, chat, key, with};

/// Dollars a million output tokens; input is free, so that a nano-dollar is a thousandth of a token.
fn with_budget(nanos: i64, change: impl FnOnce(&mut Value)) -> World {
    with(|config| {
        config["prices"] = json!({
            "openai/*": {"input": "0", "output": "1"},
            "anthropic/*": {"input": "0", "output": "1"},
        });
        let usd = format!("0.{nanos:09}");
        config["orgs"]["acme"]["budgets"] = json!([{"usd": usd, "per": "day"}]);
        change(config);
    })
}

fn post(world: &mut World, path: &str, body: &Value) -> Got {
    let key = key(world);
    world.send("POST", path, &key, body.to_string().as_bytes())
}

#[test]
fn an_answer_is_cut_to_what_a_budget_leaves_in_every_language() {
    let turn = json!([{"role": "user", "content": "Hi"}]);
    let cases = [
        (
            "/v1/chat/completions",
            json!({"model": "fast", "messages": turn}),
            "max_tokens",
        ),
        (
            "/v1/chat/completions",
            json!({"model": "fast", "messages": turn, "max_tokens": 900}),
            "max_tokens",
        ),
        (
            "/v1/chat/completions",
            json!({"model": "claude-haiku", "messages": turn}),
            "max_tokens",
        ),
        (
            "/v1/messages",
            json!({"model": "claude-haiku", "max_tokens": 900, "messages": turn}),
            "max_tokens",
        ),
        (
            "/v1/responses",
            json!({"model": "fast", "input": "Hi", "max_output_tokens": 900}),
            "max_tokens",
        ),
        (
            "/v1beta/models/fast:generateContent",
            json!({"contents": [{"parts": [{"text": "Hi"}]}]}),
            "max_tokens",
        ),
        (
            "/v1beta/models/fast:generateContent",
            json!({"contents": [{"parts": [{"text": "Hi"}]}], "generation_config": {"max_output_tokens": 900}}),
            "max_tokens",
        ),
    ];
    for (path, body, name) in cases {
        let mut world = with_budget(300_000, |_| ());
        world.script(vec![answer(200, OPENAI_ANSWER)]);
        let got = post(&mut world, path, &body);
        let sent = world.seen()[0].body_json();
        let limit = [name, "max_completion_tokens"]
            .iter()
            .find_map(|name| sent[*name].as_u64());
        assert_eq!(limit, Some(300), "{path}: {sent}");
        if got.status == 200 {
            assert_eq!(
                got.header("x-sluice-output-tokens-max"),
                Some("300"),
                "{path}"
            );
        }
    }
}

#[test]
fn an_answer_is_not_cut_below_the_least_nor_where_all_of_it_fits() {
    let mut world = with_budget(255_999, |_| ());
    let key = key(&mut world);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 429);
    assert_eq!(got.json()["error"]["code"], "budget_exceeded");
    let mut world = with_budget(1_000_000, |_| ());
    let key = crate::key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.header("x-sluice-output-tokens-max"), None);
    assert!(world.seen()[0].body_json()["max_tokens"].is_null());
}

#[test]
fn the_cut_holds_at_each_target_though_their_inputs_are_counted_differently() {
    let mut world = with_budget(300_000, |config| {
        // More is put around the input of one, more output is known of the other.
        config["providers"]["openai"]["models"]["gpt-4o-mini"] = json!({"output_tokens_max": 260});
        config["models"]["fast"]["targets"] = json!([
            {"provider": "anthropic", "model": "claude-haiku"},
            {"provider": "openai", "model": "gpt-4o-mini"},
        ]);
    });
    world.script(vec![answer(200, crate::ANTHROPIC_ANSWER)]);
    let key = key(&mut world);
    world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(world.seen()[0].body_json()["max_tokens"], 300);
}

#[test]
fn the_cut_is_shared_by_all_choices_and_leaves_room_for_thoughts() {
    let turn = json!([{"role": "user", "content": "Hi"}]);
    let mut world = with_budget(900_000, |_| ());
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let body = json!({"model": "fast", "messages": turn, "n": 3});
    let got = post(&mut world, "/v1/chat/completions", &body);
    assert_eq!(got.header("x-sluice-output-tokens-max"), Some("300"));
    let mut world = with_budget(900_000, |_| ());
    let thinking = json!({"type": "enabled", "budget_tokens": 800});
    let body = json!({"model": "claude-haiku", "max_tokens": 1000, "messages": turn, "thinking": thinking});
    let got = post(&mut world, "/v1/messages", &body);
    assert_eq!(got.status, 429, "{}", got.text());
}

fn chunk(text: &str) -> Step {
    let chunk = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
    send(&format!("data: {chunk}\n\n"))
}

/// A model that nobody knows the limit of, and a hundred tokens reserved for it.
fn unbounded(nanos: i64) -> World {
    with_budget(nanos, |config| {
        config["accounting"] = json!({"output_tokens": 100, "output_tokens_min": 100});
        config["providers"]["openai"]["models"]["gpt-4o-mini"] = json!({});
        config["models"]["fast"]["targets"] =
            json!([{"provider": "openai", "model": "gpt-4o-mini"}]);
    })
}

/// Pieces of 25 letters that may all be tokens of their own.
fn long(pieces: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..pieces {
        steps.extend([chunk(&"x".repeat(25)), Step::Wait(Span::from_millis(100))]);
    }
    let stop = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    steps.push(send(&format!("data: {stop}\n\ndata: [DONE]\n\n")));
    steps
}

fn raises(world: &World) -> Vec<u64> {
    let calls = world.ledger_calls();
    let commands = calls.iter().flatten();
    let raised = commands.filter_map(|command| match command {
        Command::Raise(raise) => Some(raise.estimate.cost),
        _ => None,
    });
    raised
        .map(|cost| cost.as_nanos().unsigned_abs() / 1_000)
        .collect()
}

#[test]
fn a_stream_that_nears_its_reservation_reserves_more_and_goes_on() {
    let mut world = unbounded(1_000_000);
    world.script(vec![stream(long(20))]);
    let body =
        json!({"model": "fast", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let got = post(&mut world, "/v1/chat/completions", &body);
    assert_eq!(got.text().matches("xxxx\"").count(), 20);
    assert!(
        got.text().contains("\"finish_reason\":\"stop\""),
        "{}",
        got.text()
    );
    assert_eq!(raises(&world), [200, 400, 800]);
    let standing = world.standing("acme");
    assert_eq!(standing["scopes"][0]["reserved"], 0, "{standing}");
}

#[test]
fn a_stream_that_may_not_reserve_more_ends_with_length_in_every_language() {
    let turn = json!([{"role": "user", "content": "Hi"}]);
    let cases = [
        (
            "/v1/chat/completions",
            json!({"model": "fast", "stream": true, "messages": turn}),
            vec!["\"finish_reason\":\"length\"", "data: [DONE]"],
        ),
        (
            "/v1/responses",
            json!({"model": "fast", "stream": true, "input": "Hi"}),
            vec!["response.incomplete", "max_output_tokens"],
        ),
        (
            "/v1beta/models/fast:streamGenerateContent?alt=sse",
            json!({"contents": [{"parts": [{"text": "Hi"}]}]}),
            vec!["MAX_TOKENS", "usageMetadata"],
        ),
    ];
    for (path, body, words) in cases {
        let mut world = unbounded(150_000);
        world.script(vec![stream(long(20))]);
        let got = post(&mut world, path, &body);
        let text = got.text();
        for word in words {
            assert!(text.contains(word), "{path}: no {word} in {text}");
        }
        assert!(
            !text.contains("\"stop\"") && !text.contains("STOP"),
            "{path}: {text}"
        );
        assert_eq!(text.matches("xxxx\"").count().min(4), 4, "{path}: {text}");
        assert_eq!(world.aborted(), 1, "{path}");
        let record = world.records("acme").remove(0);
        assert_eq!(
            (record.outcome, record.usage_source),
            (Outcome::Completed, UsageSource::Estimated)
        );
        assert_eq!(record.finish.as_deref(), Some("length"));
        assert!(
            record.cost_nano_usd <= NanoUsd::from_nanos(100_000),
            "{record:?}"
        );
    }
}

#[test]
fn the_usage_of_a_stream_that_was_ended_is_told_to_who_asked_for_it() {
    let mut world = unbounded(150_000);
    world.script(vec![stream(long(20))]);
    let body = json!({"model": "fast", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "Hi"}]});
    let got = post(&mut world, "/v1/chat/completions", &body);
    assert!(
        got.text().contains("\"completion_tokens\":50"),
        "{}",
        got.text()
    );
}
