//! Streamed answers: whole, broken, failing, left.

use sluice_core::sandbox::Step;
use sluice_machines::record::{Outcome, UsageSource};
use sluice_units::{Span, Tokens};

use crate::world::{answer, send, stream};
use crate::{OPENAI_ANSWER, SERVER_ERROR, key, streamed, with};

const HEAD: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const HELLO: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello.\"},\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3,\"total_tokens\":13}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn events(text: &str) -> Vec<&str> {
    text.split("\n\n")
        .filter(|event| event.starts_with("data: "))
        .collect()
}

#[test]
fn a_stream_flows_through_and_is_settled_from_its_last_chunk() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![stream(vec![
        send(HEAD),
        send(HELLO),
        send(STOP),
        send(USAGE),
        send(DONE),
    ])]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    assert_eq!(got.status, 200);
    assert_eq!(got.header("cache-control"), Some("no-cache"));
    assert!(
        got.header("content-type")
            .unwrap()
            .starts_with("text/event-stream")
    );
    let all = [HEAD, HELLO, STOP, USAGE, DONE].concat();
    assert!(got.text().starts_with(&all), "{}", got.text());
    assert!(
        got.text().ends_with("cost_usd=0.0000033\n\n"),
        "{}",
        got.text()
    );
    let record = world.records("acme").remove(0);
    assert_eq!(record.outcome, Outcome::Completed);
    assert_eq!(record.finish.as_deref(), Some("stop"));
    assert_eq!(
        (record.usage.input, record.usage.output),
        (Tokens::new(10), Tokens::new(3))
    );
}

#[test]
fn usage_that_nobody_asked_for_is_counted_and_not_shown() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![stream(vec![
        send(HEAD),
        send(HELLO),
        send(STOP),
        send(USAGE),
        send(DONE),
    ])]);
    let body = br#"{"model":"fast","stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    let got = world.send("POST", "/v1/chat/completions", &key, body);
    assert!(!got.text().contains("prompt_tokens"), "{}", got.text());
    let sent = String::from_utf8_lossy(&world.seen()[0].body).into_owned();
    assert!(sent.contains("\"include_usage\":true"), "{sent}");
    assert_eq!(world.records("acme")[0].usage_source, UsageSource::Provider);
}

#[test]
fn a_provider_that_dies_in_mid_stream_ends_in_an_error_event_and_is_charged() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![stream(vec![send(HEAD), send(HELLO), Step::Break])]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    let text = got.text();
    let events = events(&text);
    assert_eq!(events.len(), 3, "{text}");
    let last: serde_json::Value =
        serde_json::from_str(events[2].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "upstream_unreachable");
    assert!(!text.contains("[DONE]"));
    let record = world.records("acme").remove(0);
    assert_eq!(record.outcome, Outcome::Interrupted);
    assert_eq!(record.usage_source, UsageSource::Estimated);
    assert!(record.usage.output > Tokens::ZERO);
    assert_eq!(record.error.as_deref(), Some("upstream_broken"));
}

#[test]
fn a_stream_that_ends_too_early_is_no_normal_end() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![stream(vec![send(HEAD), send(HELLO)])]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    assert!(got.text().contains("upstream_truncated"), "{}", got.text());
    assert_eq!(world.records("acme")[0].outcome, Outcome::Interrupted);
}

#[test]
fn a_stream_that_fails_before_its_first_byte_is_retried() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![
        stream(vec![Step::Break]),
        answer(500, SERVER_ERROR),
        stream(vec![
            send(HEAD),
            send(HELLO),
            send(STOP),
            send(USAGE),
            send(DONE),
        ]),
    ]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    assert_eq!(got.status, 200);
    assert!(got.text().contains("[DONE]"));
    assert_eq!(world.records("acme")[0].attempts.len(), 3);
}

#[test]
fn an_error_event_in_mid_stream_is_passed_on_in_the_callers_dialect() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let failed = "data: {\"error\":{\"message\":\"The model is overloaded.\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n";
    world.script(vec![stream(vec![send(HEAD), send(HELLO), send(failed)])]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    let text = got.text();
    assert!(text.contains("The model is overloaded."), "{text}");
    assert_eq!(events(&text).len(), 3, "{text}");
    assert_eq!(world.records("acme")[0].outcome, Outcome::Interrupted);
}

#[test]
fn silence_in_mid_stream_is_noticed() {
    let mut world = with(|config| {
        config["providers"]["openai"]["timeouts"] = serde_json::json!({"idle": "20s"})
    });
    let key = key(&mut world);
    world.script(vec![stream(vec![send(HEAD), send(HELLO), Step::Hang])]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    assert!(got.text().contains("upstream_timeout"), "{}", got.text());
    let record = world.records("acme").remove(0);
    assert_eq!(record.latency_us, Span::from_seconds(20));
    assert_eq!(world.aborted(), 1);
}

#[test]
fn a_slow_stream_outlives_its_reservations_first_deadline() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let mut steps = vec![send(HEAD)];
    for _ in 0..10 {
        steps.extend([Step::Wait(Span::from_seconds(12)), send(HELLO)]);
    }
    steps.extend([send(STOP), send(USAGE), send(DONE)]);
    world.script(vec![stream(steps)]);
    let bearer = format!("Bearer {key}");
    let got = world.start(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        &streamed("fast"),
        None,
    );
    world.wait(Span::from_seconds(100));
    world.expire("acme");
    world.settle();
    assert!(got.take().unwrap().text().contains("[DONE]"));
    let records = world.records("acme");
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].outcome, Outcome::Completed);
}

#[test]
fn a_caller_that_leaves_in_mid_stream_aborts_the_provider_and_pays_for_what_came() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![stream(vec![
        send(HEAD),
        send(HELLO),
        Step::Wait(Span::from_seconds(30)),
        send(STOP),
    ])]);
    let bearer = format!("Bearer {key}");
    let leave = Some(Span::from_seconds(1));
    world.start(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        &streamed("fast"),
        leave,
    );
    world.settle();
    let record = world.records("acme").remove(0);
    assert_eq!(record.outcome, Outcome::DownstreamLeft);
    assert_eq!(record.latency_us, Span::from_seconds(1));
    assert!(record.usage.output > Tokens::ZERO);
    assert_eq!(world.aborted(), 1);
}

#[test]
fn the_sandbox_streams_and_calls_tools_too() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let body = br#"{"model":"sandbox/echo","stream":true,"messages":[{"role":"user","content":"call look_up please"}],
        "tools":[{"type":"function","function":{"name":"look_up","parameters":{"type":"object","properties":{"q":{"type":"string"}}}}}]}"#;
    let got = world.send("POST", "/v1/chat/completions", &key, body);
    assert_eq!(got.status, 200, "{}", got.text());
    assert!(
        got.text().contains("\"look_up\"") && got.text().contains("tool_calls"),
        "{}",
        got.text()
    );
    assert!(OPENAI_ANSWER.contains("Hello"));
}

#[test]
fn a_key_in_a_provider_s_words_in_mid_stream_is_nobody_s_business() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let failed =
        r#"data: {"error":{"message":"sk-provider-one is over its limit","type":"server_error"}}"#;
    let events = format!("{failed}\n\n");
    world.script(vec![stream(vec![send(HEAD), send(HELLO), send(&events)])]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    assert!(got.text().contains("is over its limit"), "{}", got.text());
    assert!(!got.text().contains("sk-provider-one"), "{}", got.text());
}
