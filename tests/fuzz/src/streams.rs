//! Streamed answers: any cut gives the same events in the promised order, and every caller gets a legal stream.

use serde_json::Value;
use sluice_wire::DecodeError;
use sluice_wire::event_stream::{HeaderValue, Message, write_message};
use sluice_wire::model::{Collector, Event};

use crate::answers;
use crate::assertions::{is_bounded, is_json, whole_events};
use crate::dialects::{CALLERS, Caller, Provider, provider};
use crate::order::Order;
use crate::splits;

pub(crate) fn openai(bytes: &[u8]) {
    check(provider("openai"), bytes);
}

pub(crate) fn responses(bytes: &[u8]) {
    check(provider("responses"), bytes);
}

pub(crate) fn anthropic(bytes: &[u8]) {
    check(provider("anthropic"), bytes);
}

pub(crate) fn gemini(bytes: &[u8]) {
    check(provider("gemini"), bytes);
}

pub(crate) fn cohere(bytes: &[u8]) {
    check(provider("cohere"), bytes);
}

/// The bytes as they are, and as lines of payloads that are framed with the right checksums.
pub(crate) fn bedrock(bytes: &[u8]) {
    check(provider("bedrock"), bytes);
    let mut framed = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(Value::Object(event)) = serde_json::from_slice(line)
            && let Some((kind, payload)) = event.iter().next()
        {
            frame(kind, payload, &mut framed);
        }
    }
    check(provider("bedrock"), &framed);
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
fn decode(provider: &Provider, pieces: &[&[u8]]) -> (Vec<Event>, Result<(), DecodeError>) {
    let mut decoder = (provider.stream)();
    let mut events = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.push(piece, &mut events) {
            return (events, Err(error));
        }
    }
    let outcome = decoder.finish(&mut events);
    (events, outcome)
}

fn check(provider: &Provider, bytes: &[u8]) {
    let (events, outcome) = decode(provider, &[bytes]);
    for pieces in splits::all(bytes) {
        let again = decode(provider, &pieces);
        assert_eq!(
            again,
            (events.clone(), outcome.clone()),
            "cut in {}",
            pieces.len()
        );
    }
    let mut order = Order::default();
    for event in &events {
        order.push(event);
    }
    if outcome.is_ok() {
        assert!(
            order.is_over(),
            "a stream that ended well has an end: {events:?}"
        );
    }
    for caller in &CALLERS {
        write(caller, &events, bytes);
    }
    let mut collector = Collector::new();
    for event in events {
        collector.push(event);
    }
    if let Ok(response) = collector.finish() {
        answers::write(&response, bytes);
    }
}

/// Each event alone leaves the stream at an event's border, so that it may break off there.
fn write(caller: &Caller, events: &[Event], input: &[u8]) {
    let mut encoder = (caller.stream)();
    let mut out = Vec::new();
    for event in events {
        encoder(event, &mut out);
    }
    is_bounded(out.len(), input, caller.name);
    let ended = matches!(events.last(), Some(Event::End | Event::Failed(_)));
    if caller.name == "gemini array" {
        if ended {
            is_json(&out, caller.name);
        }
        return;
    }
    let written = whole_events(&out, caller.name);
    for (at, data) in written.iter().enumerate() {
        if data == b"[DONE]" {
            assert_eq!(at + 1, written.len(), "{} goes on", caller.name);
        } else {
            is_json(data, caller.name);
        }
    }
    if ended {
        let last = written
            .last()
            .map(|data| String::from_utf8_lossy(data).into_owned());
        let last = last.unwrap_or_default();
        let is_end = match (caller.name, events.last()) {
            ("openai", Some(Event::End)) => last == "[DONE]",
            ("anthropic", Some(Event::End)) => last.contains("message_stop"),
            ("responses", Some(Event::End)) => {
                last.contains("\"response.completed\"") || last.contains("\"response.incomplete\"")
            }
            ("gemini", Some(Event::End)) => last.contains("\"candidates\""),
            _ => last.contains("\"error\""),
        };
        assert!(is_end, "{} ends with {last:?}", caller.name);
    }
}
