//! Streamed answers: any cut gives the same events in the promised order, and every caller gets a legal stream.

use serde_json::Value;
use sluice_wire::downstream::{Downstream, Fault, StreamEncoder};
use sluice_wire::event_stream::{HeaderValue, Message, write_message};
use sluice_wire::model::{Collector, Event};
use sluice_wire::{DecodeError, Dialect, StreamDecoder};

use crate::answers;
use crate::assertions::{is_bounded, is_json, is_report, whole_events};
use crate::dialects::{CALLERS, answered};
use crate::order::Order;
use crate::splits;

pub(crate) fn openai(bytes: &[u8]) {
    check(Dialect::OpenAi, bytes);
}

pub(crate) fn responses(bytes: &[u8]) {
    check(Dialect::Responses, bytes);
}

pub(crate) fn anthropic(bytes: &[u8]) {
    check(Dialect::Anthropic, bytes);
}

pub(crate) fn gemini(bytes: &[u8]) {
    check(Dialect::Gemini, bytes);
}

pub(crate) fn cohere(bytes: &[u8]) {
    check(Dialect::Cohere, bytes);
}

/// The bytes as they are, and as lines of payloads that are framed with the right checksums.
pub(crate) fn bedrock(bytes: &[u8]) {
    check(Dialect::Bedrock, bytes);
    let mut framed = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(Value::Object(event)) = serde_json::from_slice(line)
            && let Some((kind, payload)) = event.iter().next()
        {
            frame(kind, payload, &mut framed);
        }
    }
    check(Dialect::Bedrock, &framed);
}

fn frame(kind: &str, payload: &Value, out: &mut Vec<u8>) {
    let payload = payload.to_string();
    let (message_type, type_header) = if kind.ends_with("Exception") {
        ("exception", ":exception-type")
    } else {
        ("event", ":event-type")
    };
    let headers = vec![
        (type_header, HeaderValue::Text(kind)),
        (":content-type", HeaderValue::Text("application/json")),
        (":message-type", HeaderValue::Text(message_type)),
    ];
    // What does not fit is left out.
    let _ = write_message(
        out,
        &Message {
            headers,
            payload: payload.as_bytes(),
        },
    );
}

/// What a decoder says of a stream.
fn decode(dialect: Dialect, pieces: &[&[u8]]) -> (Vec<Event>, Result<(), DecodeError>) {
    let mut decoder = StreamDecoder::new(dialect);
    let mut events = Vec::new();
    let pushed = pieces
        .iter()
        .try_for_each(|piece| decoder.push(piece, &mut events));
    let outcome = pushed.and_then(|()| decoder.finish(&mut events));
    is_report(decoder.drops(), dialect.name());
    (events, outcome)
}

fn check(dialect: Dialect, bytes: &[u8]) {
    let said = decode(dialect, &[bytes]);
    for pieces in splits::all(bytes) {
        assert_eq!(decode(dialect, &pieces), said, "cut in {}", pieces.len());
    }
    let (events, outcome) = said;
    let mut order = Order::default();
    events.iter().for_each(|event| order.push(event));
    if outcome.is_ok() {
        assert!(order.is_over(), "no end of what ended well: {events:?}");
    }
    for caller in CALLERS {
        write(caller, &events, bytes);
    }
    let mut collector = Collector::new();
    events.into_iter().for_each(|event| collector.push(event));
    if let Ok(response) = collector.finish() {
        answers::write(&response, bytes);
    }
}

/// A caller's stream is legal to its end, and when the gateway breaks it off half-way.
fn write(caller: Downstream, events: &[Event], input: &[u8]) {
    let mut encoder = StreamEncoder::new(caller, &answered(), true);
    let mut out = Vec::new();
    events
        .iter()
        .for_each(|event| encoder.push(event, &mut out));
    is_bounded(out.len(), input, "a stream");
    is_report(encoder.drops(), "a stream");
    let last = events
        .last()
        .filter(|event| matches!(event, Event::End | Event::Failed(_)));
    is_stream(caller, &out, last.is_some());
    if let Some(last) = last {
        ends_with(caller, &out, last);
    }
    let mut encoder = StreamEncoder::new(caller, &answered(), true);
    let mut out = Vec::new();
    let half = events.len().div_ceil(2).min(events.len().saturating_sub(1));
    let begun = events.iter().take(half);
    begun.for_each(|event| encoder.push(event, &mut out));
    let fault = Fault {
        status: 502,
        kind: "server_error",
        code: "upstream_failed",
        message: "The provider broke off.",
        param: None,
        retry_after: None,
        request_id: Some("req_1"),
    };
    encoder.fail(&fault, &mut out);
    is_stream(caller, &out, true);
    assert!(
        String::from_utf8_lossy(&out).contains("broke off"),
        "{caller:?} is not told"
    );
}

fn is_stream(caller: Downstream, out: &[u8], is_over: bool) {
    let what = format!("{caller:?}");
    if !caller.streams_events() {
        if is_over {
            is_json(out, &what);
        }
        return;
    }
    let written = whole_events(out, &what);
    for (at, data) in written.iter().enumerate() {
        if data == b"[DONE]" {
            assert_eq!(at + 1, written.len(), "{what} goes on");
        } else {
            is_json(data, &what);
        }
    }
}

fn ends_with(caller: Downstream, out: &[u8], last: &Event) {
    let text = String::from_utf8_lossy(out);
    let tail = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let words: &[&str] = match (caller, last) {
        (_, Event::Failed(_)) => &["\"error\""],
        (Downstream::ChatCompletions | Downstream::Completions, _) => &["data: [DONE]"],
        (Downstream::Responses, _) => &["event: response.completed", "event: response.incomplete"],
        (Downstream::Messages, _) => &["event: message_stop"],
        (Downstream::GenerateContent(_), _) => &["\"candidates\""],
    };
    let is_end = words.iter().any(|word| tail.contains(word));
    assert!(is_end, "{caller:?} ends with {tail}");
}
