//! Replays recorded Converse exchanges, where the recordings are at hand (`SLUICE_RECORDINGS`).
//!
//! Every answer decodes, what has no counterpart is named, usage is what the provider said, a stream decodes alike
//! however its bytes are cut.

use serde_json::Value;
use sluice_units::{Tokens, Usage};
use sluice_wire::bedrock::{StreamDecoder, decode_response};
use sluice_wire::event_stream::{EventStreamDecoder, HeaderValue, Message, write_message};
use sluice_wire::model::{Collector, Event, Part};

use crate::support::facts::base64;
use crate::support::recordings::{collection, exchanges_to};
use crate::support::rules::check_converse;

/// The fields of an answer that have a name in the neutral model.
const NAMED: [&str; 3] = ["output", "stopReason", "usage"];

/// What the provider said, read a second time and in another way.
fn said(usage: &Value) -> Usage {
    let count = |field: &str| Tokens::new(usage[field].as_u64().unwrap_or(0));
    Usage {
        input: count("inputTokens"),
        input_cached: count("cacheReadInputTokens"),
        cache_write_5m: count("cacheWriteInputTokens"),
        output: count("outputTokens"),
        ..Usage::default()
    }
}

fn check_response(source: &str, answer: &Value) {
    let (response, drops) = decode_response(&serde_json::to_vec(answer).unwrap())
        .unwrap_or_else(|error| panic!("{source}: {error}"));
    assert!(drops.is_empty(), "{source}: {drops:?}");
    assert_eq!(response.usage, Some(said(&answer["usage"])), "{source}");
    let blocks = answer["output"]["message"]["content"].as_array().unwrap();
    let parts = &response.choices[0].parts;
    assert_eq!(parts.len(), blocks.len(), "{source}");
    for (part, block) in parts.iter().zip(blocks) {
        assert!(is_same(part, block), "{source}: {part:?} {block}");
    }
    for key in answer.as_object().unwrap().keys() {
        let kept = NAMED.contains(&key.as_str()) || response.extra.contains_key(key);
        assert!(kept, "{source}: {key} is lost");
    }
}

fn is_same(part: &Part, block: &Value) -> bool {
    match part {
        Part::Text { text, .. } => block["text"] == *text,
        Part::Thinking { text, signature } => {
            let open = &block["reasoningContent"]["reasoningText"];
            open["text"] == *text && open["signature"].as_str() == signature.as_deref()
        }
        Part::ToolCall {
            id,
            name,
            arguments,
            ..
        } => {
            let call = &block["toolUse"];
            let input: Value = serde_json::from_str(arguments).unwrap();
            call["toolUseId"] == *id && call["name"] == *name && call["input"] == input
        }
        _ => false,
    }
}

fn events(stream: &[u8], size: usize) -> Result<Vec<Event>, String> {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for piece in stream.chunks(size) {
        decoder
            .push(piece, &mut events)
            .map_err(|error| error.to_string())?;
    }
    decoder
        .finish(&mut events)
        .map_err(|error| error.to_string())?;
    assert!(decoder.drops().is_empty());
    Ok(events)
}

fn check_stream(source: &str, stream: &[u8]) {
    let whole = events(stream, usize::MAX).unwrap_or_else(|error| panic!("{source}: {error}"));
    for size in [1, 2, 7, 64, 1_000] {
        let cut = events(stream, size).unwrap();
        assert_eq!(cut, whole, "{source}, pieces of {size}");
    }
    let frames = frames(stream);
    let usage = frames.iter().find(|(kind, _)| kind == "metadata");
    let mut collector = Collector::new();
    whole.iter().for_each(|event| collector.push(event.clone()));
    let response = collector.finish().unwrap();
    let expected = usage.map(|(_, payload)| said(&payload["usage"]));
    assert_eq!(response.usage, expected, "{source}");
    assert_eq!(whole.last(), Some(&Event::End), "{source}");
    assert_eq!(text_of_events(&whole), text_of_frames(&frames), "{source}");
}

/// Each frame's type and payload; what was read is written again byte for byte.
fn frames(stream: &[u8]) -> Vec<(String, Value)> {
    let mut frames = Vec::new();
    let mut written = Vec::new();
    let mut decoder = EventStreamDecoder::new();
    decoder
        .push(stream, |message| {
            let kind = message.text(":event-type").unwrap().to_owned();
            frames.push((kind, serde_json::from_slice(message.payload).unwrap()));
            write_message(&mut written, message).unwrap();
            Ok(())
        })
        .unwrap();
    assert_eq!(written, stream);
    frames
}

/// All text, thoughts and arguments, in order.
fn text_of_frames(frames: &[(String, Value)]) -> String {
    let pointers = ["/text", "/reasoningContent/text", "/toolUse/input"];
    frames
        .iter()
        .flat_map(|(_, payload)| pointers.map(|at| payload["delta"].pointer(at)))
        .flatten()
        .map(|text| text.as_str().unwrap())
        .collect()
}

fn text_of_events(events: &[Event]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Delta { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn recorded_exchanges_decode() {
    let (mut whole, mut streamed) = (0, 0);
    for exchange in exchanges_to("bedrock.jsonl", "/converse") {
        check_converse(&exchange["request"]);
        check_response(exchange["src"].as_str().unwrap(), &exchange["response"]);
        whole += 1;
    }
    for exchange in exchanges_to("bedrock.jsonl", "/converse-stream") {
        check_converse(&exchange["request"]);
        let stream = base64(exchange["response"]["_base64"].as_str().unwrap());
        check_stream(exchange["src"].as_str().unwrap(), &stream);
        streamed += 1;
    }
    println!("replayed {whole} whole answers and {streamed} streams");
}

#[test]
fn collected_answers_decode() {
    let answers = collection("amazon-bedrock", ".json");
    for (name, text) in &answers {
        check_response(name, &serde_json::from_str(text).unwrap());
    }
    println!("replayed {} whole answers of the collection", answers.len());
}

#[test]
fn collected_streams_decode() {
    let streams = collection("amazon-bedrock", ".chunks.txt");
    for (name, text) in &streams {
        let mut stream = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let value: Value = serde_json::from_str(line).unwrap();
            let (kind, payload) = value.as_object().unwrap().iter().next().unwrap();
            let headers = vec![
                (":event-type", HeaderValue::Text(kind)),
                (":message-type", HeaderValue::Text("event")),
            ];
            let payload = payload.to_string();
            let payload = payload.as_bytes();
            write_message(&mut stream, &Message { headers, payload }).unwrap();
        }
        check_stream(name, &stream);
    }
    println!("replayed {} streams of the collection", streams.len());
}
