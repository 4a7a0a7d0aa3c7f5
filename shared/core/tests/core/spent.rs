//! Calls that brought the caller nothing and were worked on all the same: they are charged, and nothing is called that
//! could not be.

use serde_json::{Value, json};
use sluice_core::platform::FetchError;
use sluice_core::sandbox::Step;
use sluice_machines::ledger::Command;
use sluice_machines::record::{Outcome, Record, UsageSource};
use sluice_units::{NanoUsd, Span, Tokens};

use crate::world::{Reaction, World, answer, send, stream};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, SERVER_ERROR, chat, key, streamed, with};

/// A dollar a million tokens, in and out: a token is a thousand nano-dollars.
pub(crate) fn priced(change: impl FnOnce(&mut Value)) -> World {
    with(|config| {
        let all = json!({"input": "1", "output": "1"});
        config["prices"] = json!({"openai/*": all, "anthropic/*": all});
        config["providers"]["openai"]["timeouts"] = json!({"first_byte": "5s"});
        config["providers"]["openai"]["retry"] = json!({"attempts_max": 1});
        config["providers"]["anthropic"]["retry"] = json!({"attempts_max": 2});
        change(config);
    })
}

pub(crate) fn record(world: &World) -> Record {
    let mut records = world.records("acme");
    assert_eq!(records.len(), 1);
    records.remove(0)
}

/// What each of its calls used that brought nothing, in tokens.
pub(crate) fn spent(record: &Record) -> Vec<Option<u64>> {
    let attempts = record.attempts.iter();
    attempts
        .map(|attempt| attempt.spent.map(|spent| spent.usage.total().count()))
        .collect()
}

/// What is charged and what stands agree, to the token and the nano-dollar.
pub(crate) fn agrees(world: &mut World, record: &Record) {
    let standing = world.standing("acme");
    let org = &standing["scopes"][0];
    assert_eq!(org["spent_total"], record.cost_nano_usd.as_nanos());
    assert_eq!(org["tokens_total"], record.tokens().count());
    assert_eq!(org["reserved"], 0);
    let tokens = i64::try_from(record.tokens().count()).expect("few tokens");
    assert_eq!(record.cost_nano_usd, NanoUsd::from_nanos(tokens * 1_000));
}

#[test]
fn calls_that_were_worked_on_are_charged_beside_the_one_that_served() {
    let cut = |text: &str| stream(vec![send(text), Step::Break]);
    let cases = [
        ("is silent", Reaction::Hang, true),
        ("breaks off", cut("{\"id\":"), true),
        ("answers nonsense", answer(200, "<html>"), true),
        ("answers with an error", answer(503, SERVER_ERROR), false),
        (
            "cannot be reached",
            Reaction::Refuse(FetchError::Broken),
            false,
        ),
    ];
    for (case, reaction, is_paid) in cases {
        let mut world = priced(|_| ());
        let key = key(&mut world);
        world.script(vec![reaction, answer(200, ANTHROPIC_ANSWER)]);
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
        assert_eq!(got.status, 200, "{case}: {}", got.text());
        let record = record(&world);
        assert_eq!(record.usage.total(), Tokens::new(13), "{case}");
        let [first, second] = &record.attempts[..] else {
            panic!("{case}: {record:?}");
        };
        assert_eq!(first.spent.is_some(), is_paid, "{case}: {record:?}");
        if let Some(first) = first.spent {
            assert_eq!(first.usage_source, UsageSource::Estimated, "{case}");
            assert!(first.usage.input > Tokens::ZERO, "{case}");
        }
        assert_eq!(second.spent, None, "{case}");
        let told = got.header("x-sluice-cost-usd").map(str::to_owned);
        assert_eq!(told, Some(record.cost_nano_usd.to_string()), "{case}");
        agrees(&mut world, &record);
    }
}

#[test]
fn a_stream_that_ends_before_it_says_anything_is_charged_and_begun_elsewhere() {
    let mut world = priced(|_| ());
    let key = key(&mut world);
    let head = "event: message_start\ndata: {\"type\":\"message_start\"";
    let cut = stream(vec![send(head), Step::Break]);
    world.script(vec![
        cut,
        answer(500, SERVER_ERROR),
        answer(500, SERVER_ERROR),
    ]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    assert_eq!(got.status, 502, "{}", got.text());
    let record = record(&world);
    let [Some(first), None, None] = spent(&record)[..] else {
        panic!("{record:?}");
    };
    assert!(first > 0);
    assert_eq!(record.usage.total(), Tokens::ZERO);
    agrees(&mut world, &record);
}

#[test]
fn an_answer_that_may_not_be_told_is_charged_as_its_provider_counts_it() {
    let mut world = priced(|_| ());
    let key = key(&mut world);
    let lossy = ANTHROPIC_ANSWER.replace(
        r#""content":["#,
        r#""content":[{"type":"server_tool_use","id":"s1","name":"web_search","input":{}},"#,
    );
    world.script(vec![answer(200, &lossy)]);
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", &*bearer), ("x-sluice-strict", "true")];
    let body = chat("claude-haiku");
    let got = world.send_with("POST", "/v1/chat/completions", &headers, &body);
    assert_eq!(got.status, 502, "{}", got.text());
    let record = record(&world);
    assert_eq!(record.outcome, Outcome::Failed);
    assert_eq!(spent(&record), [Some(13)]);
    let source = record.attempts[0].spent.map(|spent| spent.usage_source);
    assert_eq!(source, Some(UsageSource::Provider));
    agrees(&mut world, &record);
}

#[test]
fn no_call_is_made_that_the_budget_does_not_cover_beside_what_was_spent() {
    // Room for one call and a little, then for two.
    for (usd, calls) in [("0.001112", 1), ("0.00200", 2)] {
        let mut world = priced(|config| {
            config["orgs"]["acme"]["budgets"] = json!([{"usd": usd, "per": "day"}]);
            config["accounting"] = json!({"output_tokens_min": 1000});
        });
        let key = key(&mut world);
        world.script(vec![Reaction::Hang, answer(200, ANTHROPIC_ANSWER)]);
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
        assert_eq!(world.seen().len(), calls, "{usd}: {}", got.text());
        assert_eq!(got.status, if calls == 1 { 504 } else { 200 }, "{usd}");
        let record = record(&world);
        assert_eq!(spent(&record).len(), calls);
        assert!(spent(&record)[0].is_some_and(|tokens| tokens > 0));
        agrees(&mut world, &record);
    }
}

#[test]
fn a_stream_reserves_more_beside_what_was_spent_before_it_began() {
    let mut world = priced(|config| {
        config["accounting"] = json!({"output_tokens": 100, "output_tokens_min": 100});
        config["providers"]["anthropic"]["models"]["claude-haiku"] = json!({});
        config["providers"]["openai"]["models"]["gpt-4o-mini"] = json!({});
        config["providers"]["openai"]["models"]["gpt-4o"] = json!({});
        config["models"]["fast"]["targets"] = json!([
            {"provider": "openai", "model": "gpt-4o-mini"},
            {"provider": "openai", "model": "gpt-4o"},
        ]);
    });
    let key = key(&mut world);
    let piece = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"content": "x".repeat(80)}, "finish_reason": null}]});
    let piece = send(&format!("data: {piece}\n\n"));
    let long = vec![piece.clone(), Step::Wait(Span::from_millis(100)), piece];
    world.script(vec![Reaction::Hang, stream(long)]);
    world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    let calls = world.ledger_calls();
    let commands = calls.iter().flatten();
    let raised: Vec<_> = commands
        .filter_map(|command| match command {
            Command::Raise(raise) => Some(raise.estimate),
            _ => None,
        })
        .collect();
    let record = record(&world);
    let lost = record.spent();
    assert!(lost.tokens > Tokens::ZERO);
    // One call, then the same and what was spent; then twice the output of that.
    let [second, more, ..] = raised[..] else {
        panic!("it was raised twice: {raised:?}");
    };
    assert_eq!(more.tokens.minus(second.tokens), Tokens::new(100));
    agrees(&mut world, &record);
}

#[test]
fn a_caller_that_leaves_between_two_calls_is_charged_for_the_first_alone() {
    let mut world = priced(|config| {
        config["providers"]["openai"]["retry"] =
            json!({"attempts_max": 2, "backoff_base": "4s", "backoff_max": "4s"});
    });
    let key = key(&mut world);
    world.script(vec![answer(503, SERVER_ERROR), answer(200, OPENAI_ANSWER)]);
    let bearer = format!("Bearer {key}");
    world.start(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        &chat("fast"),
        Some(Span::from_seconds(1)),
    );
    world.settle();
    let record = record(&world);
    assert_eq!(record.outcome, Outcome::DownstreamLeft);
    assert_eq!(record.cost_nano_usd, NanoUsd::ZERO);
    assert_eq!(record.usage_source, UsageSource::None);
    assert_eq!(world.seen().len(), 1);
}
