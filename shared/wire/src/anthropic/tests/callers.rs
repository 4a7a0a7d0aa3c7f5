//! What Anthropic's callers send and get.

use serde_json::{Value, json};
use sluice_units::Timestamp;

use super::{fixture, golden, golden_debug, named, schema};
use crate::anthropic::error::{ErrorBody, encode, encode_upstream};
use crate::anthropic::{
    Answered, HELD_BYTES_MAX, Model, StreamDecoder, StreamEncoder, decode_count_tokens,
    decode_request, decode_response, encode_models, encode_response, encode_token_count,
};
use crate::error::{ErrorClass, UpstreamError};
use crate::model::{ChatResponse, Choice, Event, Finish, Part, PartKind, Usage};
use crate::sse::SseDecoder;

#[test]
fn a_callers_request_decodes() {
    let body = fixture("caller_full.json");
    schema::check_request(&serde_json::from_slice(&body).unwrap());
    let (request, drops) = decode_request(&body).unwrap();
    assert_eq!(
        named(&drops),
        [
            "messages[1].content[3]",
            "messages[1].content[4].caller",
            "messages[2].content[4].context",
            "tools[0].defer_loading",
            "tools[1]",
        ]
    );
    golden_debug("caller_full", &request);
}

fn malformed(body: &Value, code: &str, param: &str) {
    let error = decode_request(body.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        (error.code, error.param.as_deref()),
        (code, Some(param)),
        "{body}"
    );
}

#[test]
fn the_field_at_fault_is_named() {
    let missing = "missing_required_parameter";
    malformed(&json!({}), missing, "max_tokens");
    malformed(
        &json!({"max_tokens": 0}),
        "integer_below_min_value",
        "max_tokens",
    );
    malformed(&json!({"max_tokens": 1}), missing, "model");
    malformed(&json!({"max_tokens": 1, "model": "m"}), missing, "messages");
}

#[test]
fn the_block_at_fault_is_named() {
    let missing = "missing_required_parameter";
    for (turn, code, param) in [
        (json!({}), missing, "messages[0].role"),
        (
            json!({"role": "tool", "content": ""}),
            "invalid_value",
            "messages[0].role",
        ),
        (json!({"role": "user"}), missing, "messages[0].content"),
        (
            json!({"role": "user", "content": 1}),
            "invalid_type",
            "messages[0].content",
        ),
        (
            json!({"role": "user", "content": ["a"]}),
            "invalid_type",
            "messages[0].content[0]",
        ),
        (
            json!({"role": "user", "content": [{"type": "text"}]}),
            missing,
            "messages[0].content[0].text",
        ),
        (
            json!({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "2h"}}]}),
            "invalid_value",
            "messages[0].content[0].cache_control.ttl",
        ),
        (
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image"}]}]}),
            missing,
            "messages[0].content[0].content[0].source",
        ),
        (
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": "{}"}]}),
            "invalid_type",
            "messages[0].content[0].input",
        ),
    ] {
        malformed(
            &json!({"max_tokens": 1, "model": "m", "messages": [turn]}),
            code,
            param,
        );
    }
}

#[test]
fn the_setting_at_fault_is_named() {
    let missing = "missing_required_parameter";
    for (field, value, code, param) in [
        (
            "thinking",
            json!({"type": "enabled"}),
            missing,
            "thinking.budget_tokens",
        ),
        (
            "thinking",
            json!({"type": "x"}),
            "invalid_value",
            "thinking.type",
        ),
        (
            "tool_choice",
            json!({"type": "x"}),
            "invalid_value",
            "tool_choice.type",
        ),
        (
            "tool_choice",
            json!({"type": "tool"}),
            missing,
            "tool_choice.name",
        ),
        (
            "tools",
            json!([{"name": "a"}]),
            missing,
            "tools[0].input_schema",
        ),
        (
            "stop_sequences",
            json!([1]),
            "invalid_type",
            "stop_sequences",
        ),
        ("temperature", json!("1"), "invalid_type", "temperature"),
        (
            "output_config",
            json!({"effort": "x"}),
            "invalid_value",
            "output_config.effort",
        ),
        (
            "output_config",
            json!({"format": {"type": "x"}}),
            "invalid_value",
            "output_config.format.type",
        ),
    ] {
        let mut body = json!({"max_tokens": 1, "model": "m", "messages": []});
        body[field] = value;
        malformed(&body, code, param);
    }
    let error = decode_request(br#"{"model":"a","model":"b"}"#).unwrap_err();
    assert_eq!(error.code, "duplicate_key");
}

#[test]
fn a_count_needs_no_limit() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#;
    let (request, drops) = decode_count_tokens(body).unwrap();
    assert_eq!(request.output_tokens_max, None);
    assert!(drops.is_empty());
    assert_eq!(encode_token_count(7), br#"{"input_tokens":7}"#);
}

#[test]
fn the_list_of_models_has_the_sdks_shape() {
    let model = Model {
        id: "fast",
        display_name: "Fast",
        created_at: Timestamp::from_millis(1_700_000_000_000),
    };
    golden(
        "models",
        &serde_json::from_slice(&encode_models(&[model])).unwrap(),
    );
    let none: Value = serde_json::from_slice(&encode_models(&[])).unwrap();
    assert_eq!(
        none,
        json!({"data": [], "has_more": false, "first_id": null, "last_id": null})
    );
}

#[test]
fn an_error_has_the_dialects_envelope() {
    let body = ErrorBody {
        code: None,
        param: None,
        kind: "invalid_request_error",
        message: "max_tokens: missing",
        request_id: Some("req_1"),
    };
    let value: Value = serde_json::from_slice(&encode(&body)).unwrap();
    let expected = json!({
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "max_tokens: missing"},
        "request_id": "req_1",
    });
    assert_eq!(value, expected);
}

fn answered() -> Answered {
    Answered {
        id: "msg_made".to_owned(),
        model: "fast".to_owned(),
    }
}

#[test]
fn an_answer_comes_back_as_it_was() {
    for name in ["response_all.json", "response_refusal.json"] {
        let (response, _) = decode_response(&fixture(name)).unwrap();
        let (body, drops) = encode_response(&response, &Answered::default());
        assert!(drops.is_empty(), "{drops:?}");
        let (again, _) = decode_response(&body).unwrap();
        assert_eq!(again, response);
        let first: Value = serde_json::from_slice(&fixture(name)).unwrap();
        let again: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(again["stop_reason"], first["stop_reason"]);
        assert_eq!(
            again["stop_details"]["explanation"],
            first["stop_details"]["explanation"]
        );
    }
}

#[test]
fn another_providers_answer_is_made_legal() {
    let response = ChatResponse {
        choices: vec![
            Choice {
                index: 0,
                parts: vec![
                    Part::text("Hi".to_owned()),
                    Part::ToolCall {
                        id: String::new(),
                        name: "weather".to_owned(),
                        arguments: "[1]".to_owned(),
                        signature: Some("proof".to_owned()),
                        cache: None,
                    },
                    Part::ToolCall {
                        id: "call.1".to_owned(),
                        name: "weather".to_owned(),
                        arguments: String::new(),
                        signature: None,
                        cache: None,
                    },
                    Part::Thinking {
                        text: "Hm.".to_owned(),
                        signature: None,
                    },
                ],
                finish: Finish::ToolCalls,
                logprobs: Some(json!({})),
            },
            Choice {
                index: 1,
                parts: Vec::new(),
                finish: Finish::Stop,
                logprobs: None,
            },
        ],
        ..ChatResponse::default()
    };
    let (body, drops) = encode_response(&response, &answered());
    let expected = [
        "choices[1]",
        "logprobs",
        "tool_use.signature",
        "tool_use.input",
    ];
    assert_eq!(named(&drops), expected);
    golden("answer_of_others", &serde_json::from_slice(&body).unwrap());
}

#[test]
fn a_refusal_in_words_is_a_refusal() {
    let choice = Choice {
        index: 0,
        parts: vec![Part::Refusal {
            text: "I will not.".to_owned(),
        }],
        finish: Finish::Stop,
        logprobs: None,
    };
    let response = ChatResponse {
        choices: vec![choice],
        ..ChatResponse::default()
    };
    let (body, _) = encode_response(&response, &answered());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["stop_reason"], "refusal");
    assert_eq!(body["stop_details"]["explanation"], "I will not.");
}

pub(super) fn encode_stream(events: &[Event]) -> Vec<u8> {
    let mut encoder = StreamEncoder::new(answered());
    let mut out = Vec::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    out
}

pub(super) fn decode_stream(bytes: &[u8]) -> Vec<Event> {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    decoder.push(bytes, &mut events).unwrap();
    decoder.finish(&mut events).unwrap();
    events
}

/// The frames, after a check that each one's name is its type.
fn frames(bytes: &[u8]) -> Vec<Value> {
    let mut frames = Vec::new();
    SseDecoder::new()
        .push(bytes, |event| {
            let frame: Value = serde_json::from_slice(&event.data).unwrap();
            assert_eq!(frame["type"].as_str().unwrap().as_bytes(), event.event);
            frames.push(frame);
            Ok(())
        })
        .unwrap();
    frames
}

#[test]
fn a_stream_comes_back_as_it_was() {
    for name in [
        "stream_all.sse",
        "stream_refusal.sse",
        "stream_structured.sse",
    ] {
        let events = decode_stream(&fixture(name));
        let bytes = encode_stream(&events);
        let again = decode_stream(&bytes);
        let renamed = |events: Vec<Event>| -> Vec<Event> {
            events
                .into_iter()
                .map(|event| match event {
                    Event::Start { id, created, .. } => Event::Start {
                        id,
                        created,
                        model: "fast".to_owned(),
                    },
                    other => other,
                })
                .collect()
        };
        assert_eq!(again, renamed(events), "{name}");
    }
    let bytes = encode_stream(&decode_stream(&fixture("stream_all.sse")));
    golden("caller_stream_all", &Value::Array(frames(&bytes)));
}

fn start(part: u32, kind: PartKind) -> Event {
    Event::PartStart {
        choice: 0,
        part,
        kind,
    }
}

fn delta(part: u32, text: &str) -> Event {
    Event::Delta {
        choice: 0,
        part,
        text: text.to_owned(),
    }
}

const fn end(part: u32) -> Event {
    Event::PartEnd { choice: 0, part }
}

fn call(id: &str) -> PartKind {
    PartKind::ToolCall {
        id: id.to_owned(),
        name: "weather".to_owned(),
    }
}

#[test]
fn overlapping_parts_are_put_in_order() {
    let events = [
        Event::Start {
            id: String::new(),
            model: "other".to_owned(),
            created: None,
        },
        start(0, PartKind::Thinking),
        start(1, call("")),
        start(2, call("call.2")),
        delta(1, "{\"a\""),
        delta(0, "Hm."),
        delta(2, "{}"),
        end(2),
        Event::Signature {
            choice: 0,
            part: 0,
            signature: "proof".to_owned(),
        },
        end(0),
        delta(1, ":1}"),
        start(3, PartKind::Text),
        delta(3, "done"),
        end(1),
        delta(3, "!"),
        end(3),
        Event::Finish {
            choice: 0,
            finish: Finish::ToolCalls,
        },
        Event::Usage(Usage::default()),
        Event::End,
    ];
    golden(
        "caller_stream_overlap",
        &Value::Array(frames(&encode_stream(&events))),
    );
}

#[test]
fn what_is_held_back_is_bounded() {
    let big = "a".repeat(HELD_BYTES_MAX + 1);
    let events = [
        start(0, PartKind::Text),
        start(1, PartKind::Text),
        delta(1, &big),
        end(0),
        Event::End,
    ];
    let frames = frames(&encode_stream(&events));
    assert_eq!(frames.last().unwrap()["type"], "error");
    assert!(!frames.iter().any(|frame| frame["type"] == "message_stop"));
}

#[test]
fn a_failure_ends_the_stream() {
    let failed = UpstreamError {
        class: ErrorClass::Overloaded,
        status: 200,
        message: String::new(),
        code: None,
        param: None,
        retry_after: None,
    };
    let body: Value = serde_json::from_slice(&encode_upstream(&failed, None)).unwrap();
    let events = [
        start(0, PartKind::Text),
        Event::Failed(failed),
        delta(0, "late"),
        Event::End,
    ];
    let frames = frames(&encode_stream(&events));
    assert_eq!(frames.last(), Some(&body));
    assert_eq!(
        body["error"],
        json!({"type": "overloaded_error", "message": "The provider failed."})
    );
}

#[test]
fn clients_go_on_without_a_thread() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [], "thread": {"type": "continue", "previous_message_id": "msg_1"}});
    let refused = decode_request(body.to_string().as_bytes()).unwrap_err();
    assert_eq!(refused.param.as_deref(), Some("thread"));
    let answer = encode(&ErrorBody {
        kind: "invalid_request_error",
        message: &refused.message,
        code: Some(refused.code),
        param: None,
        request_id: None,
    });
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let details = &answer["error"]["details"];
    assert_eq!(details["error_code"], "thread_unsupported_request");
    let body = json!({"model": "m", "max_tokens": 9, "messages": [], "thread": null});
    assert!(decode_request(body.to_string().as_bytes()).is_ok());
}
