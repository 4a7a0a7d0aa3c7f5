//! This dialect on both sides.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::passthrough::{StreamTap, look, rewrite_request};
use super::super::proof::Thought;
use super::{data, each};
use crate::TokenBound;
use crate::error::{DecodeError, ErrorClass};

#[test]
fn only_the_model_is_rewritten() {
    let body =
        br#" { "model" : "fast", "input":[ {"type":"item_reference","id":"x"} ], "new" : [1.50] }"#;
    let expected = br#" { "model" : "gpt\"x", "input":[ {"type":"item_reference","id":"x"} ], "new" : [1.50] }"#;
    assert_eq!(rewrite_request(body, "gpt\"x"), expected);
    assert_eq!(rewrite_request(b"[]", "x"), b"[]");
}

#[test]
fn what_others_signed_is_cut_out() {
    let own = Thought {
        id: "rs_9".to_owned(),
        texts: Vec::new(),
        encrypted: Some("gAAA".to_owned()),
    };
    let crate::model::Part::RedactedThinking { data } = own.clone().into_part().unwrap() else {
        panic!("nothing is shown");
    };
    let reasoning = |encrypted: &str| json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "So."}], "encrypted_content": encrypted});
    let body = json!({"model": "m", "input": [
        reasoning("thinking:EqQB"),
        reasoning("gAAAown"),
        reasoning("redacted:c2Vj"),
        reasoning("call:[\"a\",\"b\"]"),
        reasoning(&format!("redacted:{data}")),
        {"role": "user", "content": "thinking:x"},
    ]});
    let rewritten = rewrite_request(body.to_string().as_bytes(), "m");
    let rewritten: Value = serde_json::from_slice(&rewritten).unwrap();
    let kept = json!([reasoning("gAAAown"), own.write(), body["input"][5]]);
    assert_eq!(rewritten["input"], kept);
}

#[test]
fn whole_answers_are_looked_at() {
    let finish = |name: &str| {
        let body = each(name).remove(name).unwrap();
        let look = look(&Bytes::from(body)).unwrap();
        (look.finish.unwrap(), look.usage.unwrap().total().count())
    };
    assert_eq!(finish("answer_everything"), ("completed".to_owned(), 150));
    assert_eq!(finish("answer_cut"), ("max_output_tokens".to_owned(), 26));
    for body in ["{}", "[]", r#"{"output":[],"status":"failed"}"#] {
        assert!(look(&Bytes::from(body)).is_err(), "{body}");
    }
}

#[test]
fn streams_go_through_as_they_are() {
    for (name, body) in each("stream_") {
        let mut tap = StreamTap::new();
        let mut out = Vec::new();
        tap.push(&body, &mut out).unwrap();
        let end = tap.finish(&mut out);
        let failed = tap.take_error();
        match name.as_str() {
            "stream_cut" | "stream_done_too_early" => {
                assert_eq!(end, Err(DecodeError::Truncated));
                assert_eq!(out, body);
            }
            "stream_error" | "stream_error_flat" | "stream_failed" => {
                assert_eq!(end, Ok(()));
                assert!(!tap.is_complete());
                assert!(!failed.as_ref().unwrap().message.is_empty(), "{name}");
                tap.fail(failed.as_ref().unwrap(), &mut out);
                let events = data(&out);
                assert_eq!(events.len(), 3, "{name}");
                assert_eq!(events[2]["type"], "error");
                assert_eq!(events[2]["sequence_number"], 2);
            }
            _ => {
                assert_eq!(end, Ok(()));
                assert_eq!(out, body);
                assert!(tap.is_complete());
                assert_eq!(tap.usage().unwrap().total().count(), 150);
                assert_eq!(failed, None);
            }
        }
    }
}

#[test]
fn a_tap_counts_what_the_model_writes() {
    let mut tap = StreamTap::new();
    let body = &each("stream_everything")["stream_everything"];
    tap.push(body, &mut Vec::new()).unwrap();
    let whole = TokenBound::of("First.Second.I look. 🌍{\"city\":\"Paris\"}".as_bytes());
    assert!(whole <= tap.written());
    assert!(tap.written().tokens().count() <= whole.tokens().count() + 6);
    assert_eq!(tap.finish_reason(), Some("completed"));
}

#[test]
fn a_failure_keeps_its_class() {
    for (name, class) in [
        ("stream_error", ErrorClass::QuotaExhausted),
        ("stream_error_flat", ErrorClass::Server),
        ("stream_failed", ErrorClass::RateLimited),
    ] {
        let mut tap = StreamTap::new();
        tap.push(&each(name)[name], &mut Vec::new()).unwrap();
        assert_eq!(tap.take_error().unwrap().class, class, "{name}");
    }
}
