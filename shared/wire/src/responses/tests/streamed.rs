//! Streams of other dialects' events, written for a caller of this one.

use std::fmt::Write as _;

use serde_json::Value;

use super::{answered, collect, data, decode_stream, encode_stream};
use crate::error::{DecodeError, ErrorClass, UpstreamError};
use crate::model::{Event, Finish, PartKind};
use crate::openai::chat;
use crate::responses::encode_response;
use crate::responses::output::OUTPUT_BYTES_MAX;

fn start() -> Event {
    Event::Start {
        id: "chatcmpl-1".to_owned(),
        model: "m".to_owned(),
        created: None,
    }
}

fn begin(part: u32, kind: PartKind) -> Event {
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

const fn finish(finish: Finish) -> Event {
    Event::Finish { choice: 0, finish }
}

fn call(id: &str) -> PartKind {
    PartKind::ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

/// Calls that overlap, as Chat Completions sends them.
fn overlapping() -> Vec<Event> {
    vec![
        start(),
        begin(0, PartKind::Thinking),
        delta(0, "So."),
        end(0),
        begin(1, PartKind::Text),
        delta(1, "I look."),
        end(1),
        begin(2, call("a")),
        begin(3, call("")),
        delta(3, "{\"n\":2}"),
        delta(2, "{\"n\":1}"),
        end(2),
        end(3),
        begin(4, call("c")),
        end(4),
        finish(Finish::ToolCalls),
        Event::End,
    ]
}

#[test]
fn overlapping_calls_are_told_apart() {
    let written = encode_stream(&overlapping());
    super::golden("overlapping", &String::from_utf8(written).unwrap());
}

#[test]
fn streamed_and_whole_answers_hold_the_same_items() {
    for events in [
        overlapping(),
        vec![
            start(),
            begin(0, PartKind::Text),
            delta(0, "Once"),
            end(0),
            begin(1, PartKind::Refusal),
            delta(1, "No."),
            end(1),
            finish(Finish::Length),
            Event::End,
        ],
        vec![
            start(),
            begin(0, call("a")),
            delta(0, "{"),
            end(0),
            finish(Finish::Length),
            Event::End,
        ],
    ] {
        let (whole, _) = encode_response(&collect(&events).unwrap(), &answered());
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        let streamed = data(&encode_stream(&events)).pop().unwrap();
        assert_eq!(streamed["response"].take_usage(), whole.take_usage());
    }
}

/// Without usage, which no event said.
trait TakeUsage {
    fn take_usage(&self) -> Value;
}

impl TakeUsage for Value {
    fn take_usage(&self) -> Value {
        let mut all = self.clone();
        all.as_object_mut().unwrap().shift_remove("usage");
        all
    }
}

#[test]
fn what_is_written_is_read_back() {
    let events = overlapping();
    let (again, end) = decode_stream(&[&encode_stream(&events)]);
    assert_eq!(end, Ok(()));
    let (again, mut before) = (collect(&again).unwrap(), collect(&events).unwrap());
    if let crate::model::Part::ToolCall { id, .. } = &mut before.choices[0].parts[3] {
        *id = "call_req1_3".to_owned();
    }
    assert_eq!(again.choices, before.choices);
}

#[test]
fn an_end_keeps_its_meaning() {
    let text = || vec![begin(0, PartKind::Text), delta(0, "x"), end(0)];
    let refusal = || vec![begin(0, PartKind::Refusal), delta(0, "x"), end(0)];
    for (parts, said, kind, reason) in [
        (text(), Finish::Stop, "response.completed", Value::Null),
        (
            text(),
            Finish::Length,
            "response.incomplete",
            "max_output_tokens".into(),
        ),
        (
            text(),
            Finish::ContextFull,
            "response.incomplete",
            "max_output_tokens".into(),
        ),
        (
            text(),
            Finish::ContentFilter,
            "response.incomplete",
            "content_filter".into(),
        ),
        (
            text(),
            Finish::Refusal,
            "response.incomplete",
            "content_filter".into(),
        ),
        (
            vec![],
            Finish::Refusal,
            "response.incomplete",
            "content_filter".into(),
        ),
        (
            refusal(),
            Finish::Refusal,
            "response.completed",
            Value::Null,
        ),
        (text(), Finish::Pause, "response.completed", Value::Null),
    ] {
        let mut events = vec![start()];
        events.extend(parts);
        events.extend([finish(said.clone()), Event::End]);
        let last = data(&encode_stream(&events)).pop().unwrap();
        assert_eq!(last["type"], kind, "{said:?}");
        let details = &last["response"]["incomplete_details"];
        assert_eq!(details["reason"], reason, "{said:?}");
        let (whole, _) = encode_response(&collect(&events).unwrap(), &answered());
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        assert_eq!(whole["status"], last["response"]["status"], "{said:?}");
        assert_eq!(&whole["incomplete_details"], details, "{said:?}");
    }
}

#[test]
fn a_failure_never_looks_like_an_end() {
    let failed = UpstreamError {
        class: ErrorClass::RateLimited,
        status: 200,
        message: "Slow down.".to_owned(),
        code: None,
        param: None,
        retry_after: None,
    };
    let events = [
        start(),
        begin(0, PartKind::Text),
        delta(0, "Once"),
        Event::Failed(failed),
        Event::End,
    ];
    let events = data(&encode_stream(&events));
    let last = &events[events.len() - 2..];
    assert_eq!(kinds(last), ["error", "response.failed"]);
    assert_eq!(last[0]["code"], "rate_limit_exceeded");
    assert_eq!(last[0]["error"]["message"], "Slow down.");
    assert_eq!(last[1]["response"]["status"], "failed");
    assert_eq!(last[1]["response"]["output"][0]["status"], "incomplete");
}

#[test]
fn an_answer_that_is_too_large_fails() {
    let mut events = vec![start(), begin(0, PartKind::Text)];
    let megabyte = "x".repeat(1 << 20);
    let count = OUTPUT_BYTES_MAX >> 20;
    events.extend((0..=count).map(|_| delta(0, &megabyte)));
    events.push(Event::End);
    let events = data(&encode_stream(&events));
    assert_eq!(events.last().unwrap()["type"], "response.failed");
}

#[test]
fn a_stream_of_endless_items_is_refused() {
    let kinds = [
        "response.output_text.delta",
        "response.reasoning_text.delta",
    ];
    for kind in kinds {
        let mut stream = String::new();
        for at in 0..=4_096 {
            let event = serde_json::json!({"type": kind, "output_index": at, "delta": "x"});
            writeln!(stream, "data: {event}\n").unwrap();
        }
        let (_, end) = decode_stream(&[stream.as_bytes()]);
        assert!(matches!(end, Err(DecodeError::Shape { .. })), "{end:?}");
    }
}

#[test]
fn other_choices_are_named() {
    let mut encoder = crate::responses::StreamEncoder::new(answered());
    let other = Event::PartStart {
        choice: 1,
        part: 0,
        kind: PartKind::Text,
    };
    encoder.push(&other, &mut Vec::new());
    assert_eq!(encoder.drops().as_slice()[0].field, "choices[1]");
}

#[test]
fn a_chat_stream_becomes_a_response() {
    let stream = concat!(
        "data: {\"id\":\"chatcmpl-1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"logprobs\":{\"content\":[{\"token\":\"Hi\",\"logprob\":-0.5,\"bytes\":null,\"top_logprobs\":[]}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1,\"total_tokens\":6}}\n\n",
        "data: [DONE]\n\n",
    );
    let mut decoder = chat::StreamDecoder::new();
    let mut events = Vec::new();
    decoder.push(stream.as_bytes(), &mut events).unwrap();
    let last = data(&encode_stream(&events)).pop().unwrap();
    let response = &last["response"];
    assert_eq!(response["id"], "resp_req1");
    assert_eq!(response["usage"]["total_tokens"], 6);
    let logprob = &response["output"][0]["content"][0]["logprobs"][0];
    assert_eq!(logprob["bytes"], serde_json::json!([72, 105]));
}
