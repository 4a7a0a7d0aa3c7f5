//! Retries, fallbacks, timeouts, and errors as the caller sees them.

use sluice_core::platform::FetchError;
use sluice_machines::record::{Outcome, UsageSource};
use sluice_units::{NanoUsd, Span, Tokens};

use crate::world::{Reaction, answer};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, SERVER_ERROR, chat, key, with};

#[test]
fn an_answer_passes_through_and_is_recorded_to_the_nano_dollar() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 200);
    assert_eq!(got.text(), OPENAI_ANSWER);
    assert_eq!(got.header("x-sluice-provider"), Some("openai"));
    // (6 + 4) input at 0.15 and 3 output at 0.60 USD a million; cached input has no price of its own here.
    assert_eq!(got.header("x-sluice-cost-usd"), Some("0.0000033"));
    let records = world.records("acme");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].cost_nano_usd, NanoUsd::from_nanos(3_300));
    assert_eq!(records[0].usage.input_cached, Tokens::new(4));
    assert_eq!(records[0].usage_source, UsageSource::Provider);
    assert_eq!(records[0].outcome, Outcome::Completed);
    assert_eq!(
        got.header("x-request-id"),
        Some(records[0].request.as_str())
    );
}

#[test]
fn only_the_model_changes_on_the_way_to_the_same_dialect() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let body = br#"{ "messages":[{"role":"user","content":"x"}],  "model": "fast", "unknown_field": {"a": [1.50]} }"#;
    let got = world.send("POST", "/v1/chat/completions", &key, body);
    assert_eq!(got.status, 200, "{}", got.text());
    let seen = world.seen();
    assert_eq!(
        String::from_utf8_lossy(&seen[0].body),
        r#"{ "messages":[{"role":"user","content":"x"}],  "model": "gpt-4o-mini", "unknown_field": {"a": [1.50]} }"#
    );
    assert_eq!(seen[0].url, "https://api.openai.com/v1/chat/completions");
    assert_eq!(seen[0].headers["authorization"], "Bearer sk-provider-one");
}

#[test]
fn a_failing_target_is_retried_and_then_the_next_one_serves() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![
        answer(500, SERVER_ERROR),
        Reaction::Refuse(FetchError::Connect),
        answer(503, "<html>"),
        answer(200, ANTHROPIC_ANSWER),
    ]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.header("x-sluice-provider"), Some("anthropic"));
    assert_eq!(got.json()["choices"][0]["message"]["content"], "Hello.");
    let record = world.records("acme").remove(0);
    let errors: Vec<Option<&str>> = record
        .attempts
        .iter()
        .map(|attempt| attempt.error.as_deref())
        .collect();
    assert_eq!(
        errors,
        [
            Some("upstream_error"),
            Some("upstream_unreachable"),
            Some("upstream_overloaded"),
            None
        ]
    );
    assert_eq!(world.seen()[3].headers["x-api-key"], "sk-provider-two");
}

#[test]
fn a_bearable_retry_after_is_waited_for() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let mut limited = answer(429, SERVER_ERROR);
    if let Reaction::Answer { headers, .. } = &mut limited {
        headers.push(("retry-after", "2".to_owned()));
    }
    world.script(vec![limited, answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 200);
    let seen = world.seen();
    assert_eq!(seen[1].at.since(seen[0].at), Span::from_seconds(2));
}

#[test]
fn a_silent_provider_is_given_up_and_the_reservation_is_kept_alive() {
    let mut world = with(|config| {
        config["providers"]["openai"]["timeouts"] = serde_json::json!({"first_byte": "100s"})
    });
    let key = key(&mut world);
    world.script(vec![Reaction::Hang, answer(200, ANTHROPIC_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 200, "{}", got.text());
    world.expire("acme");
    let records = world.records("acme");
    assert_eq!(records.len(), 1, "it has not expired meanwhile");
    assert_eq!(
        records[0].attempts[0].error.as_deref(),
        Some("upstream_timeout")
    );
    assert_eq!(records[0].latency_us, Span::from_seconds(100));
}

#[test]
fn the_callers_fault_is_told_once_and_costs_nothing() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let body = r#"{"error":{"message":"Unsupported value: 'temperature'.","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}"#;
    world.script(vec![answer(400, body)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 400);
    let error = &got.json()["error"];
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(error["param"], "temperature");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("Unsupported value"),
        "{error}"
    );
    let record = world.records("acme").remove(0);
    assert_eq!(
        (record.outcome, record.cost_nano_usd),
        (Outcome::Failed, NanoUsd::ZERO)
    );
    assert_eq!(world.standing("acme")["scopes"][0]["reserved"], 0);
}

#[test]
fn a_providers_key_never_shows_in_an_error() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let refused = r#"{"error":{"message":"Incorrect API key provided: sk-provider-one.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;
    let failed =
        r#"{"type":"error","error":{"type":"api_error","message":"Strange key sk-provider-two."}}"#;
    world.script(vec![
        answer(401, refused),
        answer(500, failed),
        answer(500, failed),
        answer(500, failed),
    ]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 502, "{}", got.text());
    assert_eq!(got.json()["error"]["code"], "upstream_error");
    assert!(
        got.text().contains("Strange key [redacted]"),
        "{}",
        got.text()
    );
    world.script(vec![answer(401, refused)]);
    let direct = chat("openai/gpt-4o-mini");
    let got = world.send("POST", "/v1/chat/completions", &key, &direct);
    assert_eq!(got.status, 502);
    let code = &got.json()["error"]["code"];
    assert_eq!(code, "upstream_authentication_failed");
    assert!(!got.text().contains("sk-provider"), "{}", got.text());
}

#[test]
fn garbage_from_a_provider_is_a_502_in_the_callers_envelope() {
    let mut world = with(|config| {
        config["models"]["fast"]["targets"]
            .as_array_mut()
            .unwrap()
            .truncate(1)
    });
    let key = key(&mut world);
    world.script(vec![answer(200, "<html>oops")]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 502);
    assert_eq!(got.json()["error"]["code"], "upstream_invalid_response");
}

#[test]
fn an_error_that_comes_as_a_200_is_an_error() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let body = r#"{"error":{"message":"Rate limit reached.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    world.script(vec![answer(200, body), answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 200);
    let attempts = world.records("acme").remove(0).attempts;
    assert_eq!(attempts[0].error.as_deref(), Some("upstream_rate_limited"));
}

#[test]
fn an_unreachable_ledger_is_a_503_and_nothing_goes_upstream() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.fail_ledger(1);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 503);
    assert_eq!(got.header("retry-after"), Some("1"));
    assert!(world.seen().is_empty());
    assert_eq!(world.standing("acme")["open"], 0);
}

#[test]
fn a_settlement_that_fails_is_sent_again() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let body = chat("fast");
    let got = world.start(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &format!("Bearer {key}"))],
        &body,
        None,
    );
    // The admission comes first and must pass; the two calls after it fail.
    world.fail_after_one(2);
    world.settle();
    assert_eq!(got.take().unwrap().status, 200);
    assert_eq!(world.records("acme").len(), 1);
    assert!(
        world
            .log()
            .iter()
            .any(|line| line.contains("was not reached")),
        "{:?}",
        world.log()
    );
}

#[test]
fn a_caller_that_leaves_while_waiting_aborts_the_call_and_is_settled() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![Reaction::Hang]);
    let bearer = format!("Bearer {key}");
    let leave = Some(Span::from_millis(500));
    world.start(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        &chat("fast"),
        leave,
    );
    let started = world.now();
    world.settle();
    let record = world.records("acme").remove(0);
    assert_eq!(record.outcome, Outcome::DownstreamLeft);
    assert_eq!(record.usage_source, UsageSource::Estimated);
    assert_eq!(record.latency_us, Span::from_millis(500));
    assert!(world.now() >= started);
}

#[test]
fn a_trace_context_goes_upstream_and_the_callers_headers_do_not() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [
        ("authorization", &*format!("Bearer {key}")),
        ("traceparent", parent),
        ("cookie", "a=b"),
        ("x-forwarded-for", "10.0.0.1"),
        ("openai-organization", "org-1"),
    ];
    world.send_with("POST", "/v1/chat/completions", &headers, &chat("fast"));
    let seen = &world.seen()[0];
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.headers["traceparent"], parent);
    for name in ["cookie", "x-forwarded-for", "openai-organization"] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert!(!format!("{:?}", seen.headers).contains(&key));
}
