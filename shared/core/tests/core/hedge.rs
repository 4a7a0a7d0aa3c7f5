//! Hedged requests: who is called beside a target that is slow, who serves, and what the other call costs.

use serde_json::{Value, json};
use sluice_core::sandbox::Step;
use sluice_machines::health::Command;
use sluice_machines::ledger;
use sluice_machines::record::{Outcome, Record, UsageSource};
use sluice_units::{NanoUsd, Span, Tokens};

use crate::leases::start;
use crate::spent::{agrees, priced, record, spent};
use crate::world::{Reaction, World, answer, late, send, stream};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, SERVER_ERROR, chat, key, streamed};

const MALFORMED: &str = r#"{"error":{"message":"That is wrong.","type":"invalid_request_error","param":null,"code":null}}"#;

fn seconds(seconds: i64) -> Span {
    Span::from_seconds(seconds)
}

/// The first target is given two seconds, of twenty that it may take.
fn hedged(change: impl FnOnce(&mut Value)) -> World {
    priced(|config| {
        config["providers"]["openai"]["timeouts"] = json!({"first_byte": "20s"});
        config["models"]["fast"]["hedge"] = json!({"after": "2s", "percent_max": 100});
        change(config);
    })
}

/// Another model of the first provider's stands behind the second.
fn with_third(config: &mut Value) {
    config["providers"]["openai"]["models"]["gpt-4o"] = json!({"output_tokens_max": 1000});
    let targets = config["models"]["fast"]["targets"].as_array_mut();
    let third = json!({"provider": "openai", "model": "gpt-4o"});
    targets.expect("targets").push(third);
}

fn openai(after: i64) -> Reaction {
    late(seconds(after), answer(200, OPENAI_ANSWER))
}

fn anthropic(after: i64) -> Reaction {
    late(seconds(after), answer(200, ANTHROPIC_ANSWER))
}

/// What each call came to, in the order in which they began.
fn calls(record: &Record) -> Vec<(&str, Option<&str>)> {
    let attempts = record.attempts.iter();
    attempts
        .map(|attempt| (attempt.provider.as_str(), attempt.error.as_deref()))
        .collect()
}

/// One request to a world that answers so; its record, in which the sums agree.
fn one(world: &mut World, reactions: Vec<Reaction>) -> (u16, Record) {
    let key = key(world);
    world.script(reactions);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    let record = record(world);
    assert_eq!(record.status, got.status.as_u16());
    assert_eq!(
        got.header("x-sluice-provider"),
        record
            .provider
            .as_ref()
            .map(|id| id.as_str())
            .filter(|_| got.status == 200)
    );
    agrees(world, &record);
    (record.status, record)
}

const LOST: Option<&str> = Some("hedge_lost");

#[test]
fn who_answers_first_serves_and_the_other_call_is_broken_off_and_charged() {
    // The second is called after two seconds.
    let cases = [
        (
            "the second",
            10,
            1,
            [("openai", LOST), ("anthropic", None)],
            3,
        ),
        (
            "the first",
            3,
            10,
            [("openai", None), ("anthropic", LOST)],
            3,
        ),
    ];
    for (case, first, second, expected, latency) in cases {
        let mut world = hedged(|_| ());
        let (status, record) = one(&mut world, vec![openai(first), anthropic(second)]);
        assert_eq!(status, 200, "{case}");
        assert_eq!(calls(&record), expected, "{case}");
        assert_eq!(record.latency_us, seconds(latency), "{case}");
        assert_eq!(record.usage.total(), Tokens::new(13), "{case}");
        assert_eq!(world.aborted(), 1, "{case}");
        for attempt in &record.attempts {
            let source = attempt.spent.map(|spent| spent.usage_source);
            let is_lost = attempt.error.is_some();
            assert_eq!(source, is_lost.then_some(UsageSource::Estimated), "{case}");
        }
        assert!(record.spent().cost > NanoUsd::ZERO, "{case}");
    }
}

#[test]
fn who_answers_in_time_is_alone() {
    let mut world = hedged(|_| ());
    let (_, record) = one(&mut world, vec![openai(1)]);
    assert_eq!(calls(&record), [("openai", None)]);
    let commands = world.ledger_calls().into_iter().flatten();
    let mut raised = commands.filter(|command| matches!(command, ledger::Command::Raise(_)));
    assert!(
        raised.next().is_none(),
        "nothing is reserved for a call that is not made"
    );
}

#[test]
fn what_may_not_be_said_by_the_first_is_said_by_the_second() {
    let failing = || late(seconds(3), answer(503, SERVER_ERROR));
    let mut world = hedged(|_| ());
    let (status, record) = one(&mut world, vec![failing(), anthropic(5)]);
    assert_eq!((status, record.latency_us), (200, seconds(7)));
    let failed = Some("upstream_overloaded");
    assert_eq!(calls(&record), [("openai", failed), ("anthropic", None)]);

    let mut world = hedged(|_| ());
    let failing = late(seconds(1), answer(503, SERVER_ERROR));
    let (status, record) = one(&mut world, vec![openai(9), failing]);
    assert_eq!((status, record.latency_us), (200, seconds(9)));
    assert_eq!(calls(&record), [("openai", None), ("anthropic", failed)]);
}

#[test]
fn what_is_the_callers_fault_ends_both() {
    let mut world = hedged(|_| ());
    let wrong = late(seconds(3), answer(400, MALFORMED));
    let (status, record) = one(&mut world, vec![wrong, anthropic(9)]);
    assert_eq!((status, record.latency_us), (400, seconds(3)));
    let wrong = Some("upstream_invalid_request");
    assert_eq!(calls(&record), [("openai", wrong), ("anthropic", LOST)]);
    assert_eq!(record.outcome, Outcome::Failed);
}

#[test]
fn when_both_fail_the_plan_goes_on_behind_the_second_and_hedges_no_more() {
    let mut world = hedged(|config| {
        with_third(config);
        config["providers"]["anthropic"]["retry"] = json!({"attempts_max": 1});
    });
    let failing = |after| late(seconds(after), answer(500, SERVER_ERROR));
    let (status, record) = one(&mut world, vec![failing(4), failing(5), openai(9)]);
    assert_eq!((status, record.latency_us), (200, seconds(16)));
    let failed = Some("upstream_error");
    let expected = [("openai", failed), ("anthropic", failed), ("openai", None)];
    assert_eq!(calls(&record), expected);
    assert_eq!(
        record.provider_model.as_ref().map(|id| id.as_str()),
        Some("gpt-4o")
    );
}

#[test]
fn nobody_is_called_beside_where_the_budget_does_not_cover_both() {
    for (usd, expected) in [("0.00200", 1), ("0.00223", 2)] {
        let mut world = hedged(|config| {
            config["orgs"]["acme"]["budgets"] = json!([{"usd": usd, "per": "day"}]);
            config["accounting"] = json!({"output_tokens_min": 1000});
        });
        let (status, record) = one(&mut world, vec![openai(10), anthropic(1)]);
        assert_eq!(status, 200);
        assert_eq!(calls(&record).len(), expected, "{usd}");
    }
}

#[test]
fn few_are_hedged_of_many_that_are_slow() {
    let mut world = hedged(|config| {
        config["models"]["fast"]["hedge"]["percent_max"] = json!(20);
    });
    let key = key(&mut world);
    let mut both = 0;
    for _ in 0..40 {
        let before = world.seen().len();
        world.script(vec![openai(3), anthropic(9)]);
        world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
        both += world.seen().len() - before - 1;
        world.script(Vec::new());
    }
    // Ten to begin with, and one for each five.
    assert_eq!(both, 10 + 40 / 5 - 1);
}

#[test]
fn a_caller_that_leaves_pays_for_both_calls() {
    let mut world = hedged(|_| ());
    let key = key(&mut world);
    world.script(vec![openai(10), anthropic(10)]);
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let leaves = Some(seconds(5));
    world.start(
        "POST",
        "/v1/chat/completions",
        &headers,
        &chat("fast"),
        leaves,
    );
    world.settle();
    let record = record(&world);
    assert_eq!(record.outcome, Outcome::DownstreamLeft);
    assert_eq!(calls(&record), [("anthropic", LOST)]);
    assert_eq!(
        record.provider.as_ref().map(|id| id.as_str()),
        Some("openai")
    );
    let lost = spent(&record)[0].expect("the second call was charged");
    assert_eq!(record.usage.input.count(), lost);
    assert_eq!(world.aborted(), 2);
    agrees(&mut world, &record);
}

#[test]
fn a_stream_that_says_nothing_is_outrun_by_one_that_does() {
    let mut world = hedged(|_| ());
    let key = key(&mut world);
    let said = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-haiku\",\"content\":[],\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello.\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    world.script(vec![stream(vec![Step::Hang]), stream(vec![send(said)])]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    assert_eq!(got.status, 200);
    assert!(got.text().contains("Hello."), "{}", got.text());
    let record = record(&world);
    assert_eq!(calls(&record), [("openai", LOST), ("anthropic", None)]);
    assert_eq!(record.outcome, Outcome::Completed);
    assert_eq!(record.usage.total(), Tokens::new(13));
    agrees(&mut world, &record);
}

#[test]
fn who_is_left_alone_is_passed_over_and_who_is_outrun_has_not_failed() {
    let mut world = hedged(|config| {
        config["gateway"] = json!({"retry": {"attempts_max": 1}});
        with_third(config);
        config["models"]["second"] =
            json!({"targets": [{"provider": "anthropic", "model": "claude-haiku"}]});
        config["providers"]["anthropic"]["retry"] = json!({"attempts_max": 1});
    });
    let key = key(&mut world);
    for _ in 0..3 {
        world.script(vec![answer(500, SERVER_ERROR)]);
        world.send("POST", "/v1/chat/completions", &key, &chat("second"));
    }
    for _ in 0..6 {
        world.script(vec![openai(10), openai(1)]);
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
        assert_eq!(got.status, 200);
        let record = world.records("acme").pop().expect("a record");
        assert_eq!(calls(&record), [("openai", LOST), ("openai", None)]);
    }
}

#[test]
fn slots_of_both_are_given_back() {
    let mut world = hedged(|config| {
        for provider in ["openai", "anthropic"] {
            config["providers"][provider]["capacity"] = json!({"concurrent": 1});
        }
    });
    let key = key(&mut world);
    // Three at once: the first takes the slot of the first, the second that of the second, the third is refused.
    world.script(vec![openai(10), anthropic(10), openai(1), anthropic(5)]);
    let all = [0, 1, 2].map(|_| {
        let got = start(&mut world, &key, &chat("fast"));
        world.wait(Span::from_millis(10));
        got
    });
    world.settle();
    let statuses = all.map(|got| got.borrow().as_ref().expect("an answer").status.as_u16());
    assert_eq!(statuses, [200, 200, 503]);
    assert_eq!(world.seen().len(), 2, "nobody had room for a call beside");
    // Both are free again, whoever is outrun.
    for (first, second) in [(10, 1), (3, 9), (10, 1)] {
        world.script(vec![openai(first), anthropic(second)]);
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
        assert_eq!(got.status, 200, "{}", got.text());
    }
    let calls = world.health_calls().into_iter();
    assert!(
        calls
            .filter(|call| matches!(call, Command::Capacity(_)))
            .count()
            > 0
    );
}

#[test]
fn what_cannot_be_sent_twice_is_not_hedged() {
    let mut world = hedged(|config| {
        config["models"]["fast"]["targets"][0]["model"] = json!("whisper-1");
        config["providers"]["openai"]["models"]["whisper-1"] = json!({});
        config["models"]["fast"]["targets"][1] =
            json!({"provider": "openai", "model": "gpt-4o-mini"});
    });
    let key = key(&mut world);
    let spoken = late(seconds(9), answer(200, r#"{"text":"Hello."}"#));
    world.script(vec![spoken.clone(), spoken]);
    let body = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nfast\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\nxyz\r\n--b--\r\n";
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "multipart/form-data; boundary=b"),
    ];
    let got = world.send_with(
        "POST",
        "/v1/audio/transcriptions",
        &headers,
        body.as_bytes(),
    );
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(world.seen().len(), 1);
}
