//! Targets that fail are left alone for a while, and come back.

use std::rc::Rc;

use serde_json::{Value, json};
use sluice_core::isolate::Isolate;
use sluice_core::platform::FetchError;
use sluice_core::sandbox::Step;
use sluice_machines::health::Command;
use sluice_units::Span;

use crate::world::{ADMIN_TOKEN, Got, Reaction, World, answer, send, stream};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, SERVER_ERROR, chat, key, streamed, with};

/// A world without retries, so that each request is one call to a target.
fn single(change: impl FnOnce(&mut Value)) -> World {
    with(|config| {
        config["gateway"] = json!({"retry": {"attempts_max": 1}});
        config["models"]["alone"] =
            json!({"targets": [{"provider": "openai", "model": "gpt-4o-mini"}]});
        config["providers"]["openai"]["models"]["other"] = json!({"output_tokens_max": 1000});
        config["prices"]["openai/other"] = json!({"input": "1", "output": "1"});
        change(config);
    })
}

fn ask(world: &mut World, key: &str, model: &str, reactions: Vec<Reaction>) -> Got {
    world.script(reactions);
    world.send("POST", "/v1/chat/completions", key, &chat(model))
}

fn failing(world: &mut World, key: &str, model: &str, reaction: &Reaction, times: usize) {
    for _ in 0..times {
        let got = ask(world, key, model, vec![reaction.clone()]);
        assert_ne!(got.status, 200, "{}", got.text());
    }
}

fn server_error() -> Reaction {
    answer(500, SERVER_ERROR)
}

fn with_header(mut reaction: Reaction, name: &'static str, value: &str) -> Reaction {
    if let Reaction::Answer { headers, .. } = &mut reaction {
        headers.push((name, value.to_owned()));
    }
    reaction
}

#[test]
fn after_three_failures_the_next_request_goes_straight_to_the_next_target() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    for _ in 0..3 {
        let script = vec![server_error(), answer(200, ANTHROPIC_ANSWER)];
        let got = ask(&mut world, &key, "fast", script);
        assert_eq!(got.header("x-sluice-provider"), Some("anthropic"));
    }
    let calls = world.seen().len();
    let got = ask(
        &mut world,
        &key,
        "fast",
        vec![answer(200, ANTHROPIC_ANSWER)],
    );
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(world.seen().len(), calls + 1);
    let record = world.records("acme").pop().unwrap();
    let attempts: Vec<_> = record
        .attempts
        .iter()
        .map(|one| (one.provider.as_str(), one.status, one.error.as_deref()))
        .collect();
    assert_eq!(
        attempts,
        [
            ("openai", None, Some("circuit_open")),
            ("anthropic", Some(200), None)
        ]
    );
    assert_eq!(record.attempts[0].latency_us, Span::ZERO);

    world.wait(Span::from_seconds(30));
    let got = ask(&mut world, &key, "fast", vec![answer(200, OPENAI_ANSWER)]);
    assert_eq!(got.header("x-sluice-provider"), Some("openai"));
}

#[test]
fn the_failures_of_one_request_count_and_no_wait_is_spent_on_an_open_circuit() {
    let mut world = with(|config| {
        config["gateway"] = json!({"retry": {"attempts_max": 10, "backoff_base": "1s"}});
    });
    let key = key(&mut world);
    let script = vec![
        server_error(),
        server_error(),
        server_error(),
        answer(200, ANTHROPIC_ANSWER),
    ];
    let got = ask(&mut world, &key, "fast", script);
    assert_eq!(got.header("x-sluice-provider"), Some("anthropic"));
    let seen = world.seen();
    assert_eq!(seen[3].at, seen[2].at, "it goes on at once");
    let record = world.records("acme").pop().unwrap();
    assert_eq!(record.attempts.len(), 5);
    assert_eq!(record.attempts[3].error.as_deref(), Some("circuit_open"));
}

#[test]
fn when_everybody_is_left_alone_the_caller_hears_until_when() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    for _ in 0..3 {
        let script = vec![server_error(), server_error()];
        let got = ask(&mut world, &key, "fast", script);
        assert_eq!(got.status, 502, "{}", got.text());
        world.wait(Span::from_seconds(5));
    }
    let (calls, asked_at) = (world.seen().len(), world.now());
    let got = ask(&mut world, &key, "fast", vec![]);
    assert_eq!(got.status, 503);
    assert_eq!(got.json()["error"]["code"], "circuit_open");
    assert_eq!(got.header("retry-after"), Some("25"));
    assert_eq!(got.header("x-should-retry"), None);
    assert_eq!(world.seen().len(), calls);
    let record = world.records("acme").pop().unwrap();
    assert_eq!(record.error.as_deref(), Some("circuit_open"));
    assert_eq!(record.cost_nano_usd, sluice_units::NanoUsd::ZERO);
    assert!(world.now().since(asked_at) < Span::from_seconds(1));
}

#[test]
fn a_failure_that_happened_is_told_rather_than_that_nobody_else_was_asked() {
    let mut world = single(|config| {
        config["models"]["slow"] = json!({"targets": [
            {"provider": "anthropic", "model": "claude-haiku"},
            {"provider": "openai", "model": "gpt-4o-mini"},
        ]});
    });
    let key = key(&mut world);
    failing(&mut world, &key, "alone", &server_error(), 3);
    let got = ask(&mut world, &key, "slow", vec![answer(529, SERVER_ERROR)]);
    assert_eq!(got.json()["error"]["code"], "upstream_overloaded");
}

#[test]
fn what_is_not_the_targets_fault_is_not_held_against_it() {
    let wrong = r#"{"error":{"message":"Unsupported value","type":"invalid_request_error","param":null,"code":"unsupported_value"}}"#;
    let long = r#"{"error":{"message":"too long","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}"#;
    let unknown = r#"{"error":{"message":"no such model","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
    for reaction in [
        answer(400, wrong),
        answer(400, long),
        answer(404, unknown),
        answer(429, SERVER_ERROR),
    ] {
        let mut world = single(|_| ());
        let key = key(&mut world);
        failing(&mut world, &key, "alone", &reaction, 5);
        let got = ask(&mut world, &key, "alone", vec![answer(200, OPENAI_ANSWER)]);
        assert_eq!(got.status, 200, "{reaction:?}");
    }
}

#[test]
fn what_is_a_failure_is_the_operators_choice() {
    let limited = with_header(answer(429, SERVER_ERROR), "retry-after", "40");
    let mut world = single(|config| {
        config["providers"]["openai"]["circuit"] = json!({"failures": ["rate_limit"]});
    });
    let key = key(&mut world);
    failing(&mut world, &key, "alone", &server_error(), 4);
    failing(&mut world, &key, "alone", &limited, 3);
    let got = ask(&mut world, &key, "alone", vec![]);
    assert_eq!(got.json()["error"]["code"], "circuit_open");
    assert_eq!(got.header("retry-after"), Some("40"), "as it was asked to");

    let mut world = single(|config| {
        config["models"]["alone"]["circuit"] = json!({"failures": []});
    });
    let key = crate::key(&mut world);
    failing(&mut world, &key, "alone", &server_error(), 5);
}

#[test]
fn a_provider_that_cannot_be_reached_is_left_alone_with_all_of_its_models() {
    let unauthorized = answer(
        401,
        r#"{"error":{"message":"wrong key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
    );
    for reaction in [
        Reaction::Refuse(FetchError::Connect),
        Reaction::Refuse(FetchError::Broken),
        unauthorized,
    ] {
        let mut world = single(|_| ());
        let key = key(&mut world);
        failing(&mut world, &key, "alone", &reaction, 2);
        failing(&mut world, &key, "openai/other", &reaction, 1);
        let got = ask(&mut world, &key, "openai/other", vec![]);
        assert_eq!(got.json()["error"]["code"], "circuit_open");
        world.wait(Span::from_seconds(30));
        let got = ask(
            &mut world,
            &key,
            "openai/other",
            vec![answer(200, OPENAI_ANSWER)],
        );
        assert_eq!(got.status, 200);
        let got = ask(&mut world, &key, "alone", vec![answer(200, OPENAI_ANSWER)]);
        assert_eq!(got.status, 200, "one good answer is good for all");
    }

    let mut world = single(|_| ());
    let key = key(&mut world);
    failing(&mut world, &key, "alone", &server_error(), 3);
    let script = vec![answer(200, OPENAI_ANSWER)];
    let got = ask(&mut world, &key, "openai/other", script);
    assert_eq!(got.status, 200, "what one model does is its own affair");
}

#[test]
fn one_request_probes_while_the_others_go_elsewhere() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    failing(&mut world, &key, "alone", &server_error(), 3);
    world.wait(Span::from_seconds(30));
    world.script(vec![
        Reaction::Answer {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            steps: vec![Step::Wait(Span::from_seconds(3)), send(OPENAI_ANSWER)],
        },
        answer(200, ANTHROPIC_ANSWER),
        answer(200, ANTHROPIC_ANSWER),
    ]);
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let got: Vec<_> = (0..3)
        .map(|_| {
            world.start(
                "POST",
                "/v1/chat/completions",
                &headers,
                &chat("fast"),
                None,
            )
        })
        .collect();
    world.settle();
    let providers: Vec<_> = got
        .iter()
        .map(|got| {
            got.take()
                .unwrap()
                .header("x-sluice-provider")
                .map(str::to_owned)
                .unwrap()
        })
        .collect();
    assert_eq!(providers, ["openai", "anthropic", "anthropic"]);
}

#[test]
fn a_caller_that_leaves_says_nothing_of_the_target() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let leave = |world: &mut World| {
        world.script(vec![Reaction::Hang]);
        let after = Some(Span::from_seconds(2));
        world.start(
            "POST",
            "/v1/chat/completions",
            &headers,
            &chat("alone"),
            after,
        );
        world.settle();
    };
    for _ in 0..4 {
        leave(&mut world);
    }
    failing(&mut world, &key, "alone", &server_error(), 3);
    world.wait(Span::from_seconds(30));
    // The probe's caller leaves: the next request is the probe.
    leave(&mut world);
    let got = ask(&mut world, &key, "alone", vec![answer(200, OPENAI_ANSWER)]);
    assert_eq!(got.status, 200, "{}", got.text());
}

#[test]
fn streams_that_break_off_and_answers_that_never_come_count() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    let chunk = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"},\"finish_reason\":null}]}\n\n";
    for steps in [
        vec![send(chunk), Step::Break],
        vec![send(chunk), Step::Hang],
    ] {
        world.script(vec![stream(steps)]);
        let got = world.send("POST", "/v1/chat/completions", &key, &streamed("alone"));
        assert_eq!(got.status, 200);
        assert!(got.text().contains("error"), "{}", got.text());
    }
    failing(&mut world, &key, "alone", &Reaction::Hang, 1);
    let got = ask(&mut world, &key, "alone", vec![]);
    assert_eq!(got.json()["error"]["code"], "circuit_open");
}

/// Another isolate of the same region, which has served before.
fn another(world: &World) -> Rc<Isolate> {
    Rc::new(Isolate::new(world.document()))
}

#[test]
fn what_one_isolate_has_seen_the_others_hear_with_what_they_ask_anyway() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    let (one, other) = (Rc::clone(&world.isolate), another(&world));
    world.isolate = Rc::clone(&other);
    let got = ask(&mut world, &key, "alone", vec![answer(200, OPENAI_ANSWER)]);
    assert_eq!(got.status, 200);
    world.isolate = one;
    failing(&mut world, &key, "alone", &server_error(), 3);
    let got = ask(&mut world, &key, "alone", vec![]);
    assert_eq!(got.json()["error"]["code"], "circuit_open");
    let reports = world.health_calls().len();

    // The other one hears of it with an answer of the ledger, and asks beside the request.
    world.isolate = other;
    let script = vec![answer(200, OPENAI_ANSWER)];
    assert_eq!(ask(&mut world, &key, "alone", script).status, 200);
    assert_eq!(world.health_calls().len(), reports + 1);
    let got = ask(&mut world, &key, "alone", vec![]);
    assert_eq!(got.json()["error"]["code"], "circuit_open");

    // A new one hears of it with its first report.
    world.isolate = another(&world);
    let script = vec![answer(200, OPENAI_ANSWER)];
    assert_eq!(ask(&mut world, &key, "alone", script).status, 200);
    let got = ask(&mut world, &key, "alone", vec![]);
    assert_eq!(got.json()["error"]["code"], "circuit_open");
}

#[test]
fn an_isolate_that_hears_first_calls_nobody_who_is_left_alone() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    failing(&mut world, &key, "alone", &server_error(), 3);
    world.isolate = another(&world);
    world.hear_first();
    let calls = world.seen().len();
    let got = ask(&mut world, &key, "alone", vec![]);
    assert_eq!(got.json()["error"]["code"], "circuit_open");
    assert_eq!(world.seen().len(), calls);

    // What it sees itself it tells beside its first call, like any other.
    let told = |world: &World| {
        let tells = |call: &&Command| matches!(call, Command::Report(one) if !one.seen.is_empty());
        world.health_calls().iter().filter(tells).count()
    };
    let before = told(&world);
    world.isolate = another(&world);
    world.hear_first();
    ask(
        &mut world,
        &key,
        "fast",
        vec![answer(200, ANTHROPIC_ANSWER)],
    );
    assert_eq!(told(&world), before + 1);

    // Where nobody answers nothing is open, and nobody waits for long.
    world.isolate = another(&world);
    world.health_down(true);
    world.hear_first();
    let got = ask(&mut world, &key, "alone", vec![answer(200, OPENAI_ANSWER)]);
    assert_eq!(got.status, 200);
}

#[test]
fn one_request_of_the_whole_region_probes() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    let (one, other) = (Rc::clone(&world.isolate), another(&world));
    failing(&mut world, &key, "alone", &server_error(), 3);
    world.isolate = Rc::clone(&other);
    let script = vec![answer(200, OPENAI_ANSWER)];
    assert_eq!(ask(&mut world, &key, "alone", script).status, 200);
    world.wait(Span::from_seconds(31));
    world.script(vec![
        Reaction::Answer {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            steps: vec![Step::Wait(Span::from_seconds(3)), send(OPENAI_ANSWER)],
        },
        answer(200, ANTHROPIC_ANSWER),
    ]);
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let got: Vec<_> = [&one, &other]
        .into_iter()
        .map(|isolate| {
            world.isolate = Rc::clone(isolate);
            world.start(
                "POST",
                "/v1/chat/completions",
                &headers,
                &chat("fast"),
                None,
            )
        })
        .collect();
    world.settle();
    let providers: Vec<_> = got
        .iter()
        .map(|got| {
            let got = got.take().unwrap();
            got.header("x-sluice-provider").map(str::to_owned).unwrap()
        })
        .collect();
    assert_eq!(providers, ["openai", "anthropic"]);
    // And all hear that it is over.
    for (isolate, answered, by) in [
        (&one, OPENAI_ANSWER, "openai"),
        (&other, ANTHROPIC_ANSWER, "anthropic"),
        (&other, OPENAI_ANSWER, "openai"),
    ] {
        world.isolate = Rc::clone(isolate);
        let got = ask(&mut world, &key, "fast", vec![answer(200, answered)]);
        assert_eq!(got.header("x-sluice-provider"), Some(by));
    }
}

#[test]
fn an_isolate_that_hears_of_nobody_goes_by_what_it_sees() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    world.health_down(true);
    failing(&mut world, &key, "alone", &server_error(), 3);
    let got = ask(&mut world, &key, "alone", vec![]);
    assert_eq!(got.json()["error"]["code"], "circuit_open");
    world.wait(Span::from_seconds(30));
    let got = ask(&mut world, &key, "alone", vec![answer(200, OPENAI_ANSWER)]);
    assert_eq!(got.status, 200);

    // What was not heard is told again.
    world.health_down(false);
    world.wait(Span::from_seconds(10));
    ask(&mut world, &key, "alone", vec![answer(200, OPENAI_ANSWER)]);
    let seen = world.send("GET", "/admin/health", ADMIN_TOKEN, b"").json();
    assert_eq!(seen["targets"][1]["name"], "openai/gpt-4o-mini");
    assert_eq!(seen["targets"][1]["failures"], 3);
    assert_eq!(seen["targets"][1]["state"], "closed");
}

#[test]
fn requests_are_reported_together() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER); 200]);
    for _ in 0..200 {
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("alone"));
        assert_eq!(got.status, 200);
        world.wait(Span::from_millis(100));
    }
    let calls = world.health_calls().len();
    assert!((2..=3).contains(&calls), "{calls} reports in 20 seconds");
}
