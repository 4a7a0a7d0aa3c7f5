//! Replays recorded Messages exchanges, where the recordings are at hand (`SLUICE_RECORDINGS`).
//!
//! Every answer decodes, what has no counterpart is named, usage is what the provider said,
//! a stream decodes alike however its bytes are cut, and both come through this dialect's other side unchanged.
//! What callers sent decodes and goes up again with the same meaning.

use serde_json::{Value, json};
use sluice_units::{Tokens, Usage};
use sluice_wire::Target;
use sluice_wire::anthropic::{
    Answered, StreamDecoder, StreamEncoder, decode_request, decode_response, encode_request,
    encode_response,
};
use sluice_wire::drops::DROPS_MAX;
use sluice_wire::model::Event;

use crate::support::recordings::{collection, exchanges_to};

/// The types of block that the neutral model has a part for.
const KNOWN: [&str; 4] = ["text", "tool_use", "thinking", "redacted_thinking"];

/// The fields of a message that have a name in the neutral model, or none worth keeping.
const NAMED: [&str; 9] = [
    "type",
    "id",
    "model",
    "role",
    "content",
    "usage",
    "stop_reason",
    "stop_sequence",
    "stop_details",
];

/// What the provider said, read a second time and in another way.
fn said(usages: &[&Value]) -> Usage {
    let last = |pointer: &str| {
        usages
            .iter()
            .rev()
            .find_map(|usage| usage.pointer(pointer).and_then(Value::as_u64))
            .unwrap_or(0)
    };
    let compaction = |field: &str| -> u64 {
        usages
            .iter()
            .rev()
            .find_map(|usage| usage["iterations"].as_array())
            .into_iter()
            .flatten()
            .filter(|iteration| iteration["type"] == "compaction")
            .filter_map(|iteration| iteration[field].as_u64())
            .sum()
    };
    let one_hour = last("/cache_creation/ephemeral_1h_input_tokens");
    Usage {
        input: Tokens::new(last("/input_tokens") + compaction("input_tokens")),
        input_cached: Tokens::new(last("/cache_read_input_tokens")),
        cache_write_5m: Tokens::new(last("/cache_creation_input_tokens") - one_hour),
        cache_write_1h: Tokens::new(one_hour),
        output: Tokens::new(last("/output_tokens") + compaction("output_tokens")),
        reasoning: Tokens::new(last("/output_tokens_details/thinking_tokens")),
        ..Usage::default()
    }
}

fn check_response(source: &str, answer: &Value) {
    let (response, drops) = decode_response(&serde_json::to_vec(answer).unwrap())
        .unwrap_or_else(|error| panic!("{source}: {error}"));
    assert_eq!(response.usage, Some(said(&[&answer["usage"]])), "{source}");
    let blocks = answer["content"].as_array().unwrap();
    let unknown = blocks
        .iter()
        .filter(|block| !KNOWN.contains(&block["type"].as_str().unwrap()))
        .count();
    assert_eq!(drops.as_slice().len(), unknown.min(DROPS_MAX), "{source}");
    let parts = response.choices[0].parts.len();
    assert!(parts >= blocks.len() - unknown, "{source}");
    for (key, value) in answer.as_object().unwrap() {
        let kept =
            value.is_null() || NAMED.contains(&key.as_str()) || response.extra.contains_key(key);
        assert!(kept, "{source}: {key} is lost");
    }
    check_response_returns(source, answer);
}

/// What one side writes the other reads.
fn check_response_returns(source: &str, answer: &Value) {
    let (mut response, _) = decode_response(&serde_json::to_vec(answer).unwrap()).unwrap();
    response.extra.clear();
    let (body, drops) = encode_response(&response, &Answered::default());
    assert!(
        drops.is_empty() || answer["stop_reason"].is_null(),
        "{source}: {drops:?}"
    );
    let (again, _) = decode_response(&body).unwrap();
    let (said, found) = (&response.choices[0], &again.choices[0]);
    assert_eq!(found.parts, said.parts, "{source}");
    assert!(found.finish == said.finish || !drops.is_empty(), "{source}");
    assert_eq!(again.usage, response.usage, "{source}");
}

fn check_stream_returns(source: &str, whole: &[Event]) {
    let mut encoder = StreamEncoder::new(Answered::default());
    let mut bytes = Vec::new();
    for event in whole {
        encoder.push(event, &mut bytes);
    }
    let again = events(&bytes, usize::MAX).unwrap_or_else(|error| panic!("{source}: {error}"));
    if encoder.drops().is_empty() {
        assert_eq!(told(&again), told(whole), "{source}");
    }
}

/// Everything but the usage that is told on the way: an encoder writes the last one known when it greets.
fn told(events: &[Event]) -> Vec<&Event> {
    let last = events
        .iter()
        .rposition(|event| matches!(event, Event::Usage(_)));
    events
        .iter()
        .enumerate()
        .filter(|(at, event)| !matches!(event, Event::Usage(_)) || Some(*at) == last)
        .map(|(_, event)| event)
        .collect()
}

/// A caller's request keeps its meaning on the way up; what does not is named.
fn check_request(source: &str, body: &Value) {
    let (request, lost) = decode_request(&serde_json::to_vec(body).unwrap())
        .unwrap_or_else(|error| panic!("{source}: {error}"));
    assert!(lost.is_empty(), "{source}: {lost:?}");
    let target = Target {
        model: request.model.clone(),
        structured_outputs: true,
        ..Target::default()
    };
    let (upstream, drops) = encode_request(&request, &target).unwrap();
    let (again, _) = decode_request(&upstream.body).unwrap();
    assert_eq!(again.model, request.model, "{source}");
    assert_eq!(
        again.output_tokens_max, request.output_tokens_max,
        "{source}"
    );
    if drops.is_empty() {
        assert_eq!(again.tools, request.tools, "{source}");
        assert_eq!(again.messages, request.messages, "{source}");
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
    Ok(events)
}

fn check_stream(source: &str, stream: &str) {
    let whole =
        events(stream.as_bytes(), usize::MAX).unwrap_or_else(|error| panic!("{source}: {error}"));
    for size in [1, 2, 7, 64, 1_000] {
        let cut = events(stream.as_bytes(), size).unwrap();
        assert_eq!(cut, whole, "{source}, pieces of {size}");
    }
    let frames: Vec<Value> = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let usages: Vec<&Value> = frames
        .iter()
        .flat_map(|frame| [&frame["message"]["usage"], &frame["usage"]])
        .filter(|usage| usage.is_object())
        .collect();
    let usage = whole.iter().rev().find_map(|event| match event {
        Event::Usage(usage) => Some(*usage),
        _ => None,
    });
    assert_eq!(usage, Some(said(&usages)), "{source}");
    assert_eq!(whole.last(), Some(&Event::End), "{source}");
    assert_eq!(text_of_events(&whole), text_of_frames(&frames), "{source}");
    check_stream_returns(source, &whole);
}

/// All text, thoughts and arguments of the blocks that have a counterpart, in order.
fn text_of_frames(frames: &[Value]) -> String {
    let mut out = String::new();
    let mut is_known = false;
    let mut given = String::new();
    for frame in frames {
        match frame["type"].as_str().unwrap() {
            "content_block_start" => {
                let block = &frame["content_block"];
                is_known = KNOWN.contains(&block["type"].as_str().unwrap());
                let input = &block["input"];
                let has_input = is_known && input.is_object() && *input != json!({});
                given = if has_input {
                    input.to_string()
                } else {
                    String::new()
                };
            }
            "content_block_delta" if is_known => {
                for field in ["text", "thinking", "partial_json"] {
                    out.push_str(frame["delta"][field].as_str().unwrap_or_default());
                }
            }
            "content_block_stop" => out.push_str(&std::mem::take(&mut given)),
            "message_delta" => {
                let explanation = &frame["delta"]["stop_details"]["explanation"];
                out.push_str(explanation.as_str().unwrap_or_default());
            }
            _ => {}
        }
    }
    out
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
    for name in ["anthropic.jsonl", "openai.jsonl"] {
        for exchange in exchanges_to(name, "/v1/messages") {
            let source = exchange["src"].as_str().unwrap();
            check_request(source, &exchange["request"]);
            if exchange["response_kind"] == "sse" {
                check_stream(source, exchange["response"].as_str().unwrap());
                streamed += 1;
            } else {
                check_response(source, &exchange["response"]);
                whole += 1;
            }
        }
    }
    println!("replayed {whole} whole answers, {streamed} streams and their requests");
}

#[test]
fn collected_answers_decode() {
    let answers = collection("anthropic", ".json");
    for (name, text) in &answers {
        check_response(name, &serde_json::from_str(text).unwrap());
    }
    println!("replayed {} whole answers of the collection", answers.len());
}

#[test]
fn collected_streams_decode() {
    let mut streamed = 0;
    for (name, text) in collection("anthropic", ".chunks.txt") {
        if name.starts_with("spliced") {
            // A relay's fault: a second message within the first must not pass for one answer.
            let stream = framed(&text.lines().collect::<Vec<_>>());
            let error = events(stream.as_bytes(), usize::MAX).unwrap_err();
            assert!(error.contains("second message"), "{name}: {error}");
            continue;
        }
        for stream in split(&text) {
            check_stream(&name, &framed(&stream));
            streamed += 1;
        }
    }
    println!("replayed {streamed} streams of the collection");
}

/// Some files hold the streams of several turns.
fn split(text: &str) -> Vec<Vec<&str>> {
    let mut streams = vec![Vec::new()];
    for line in text.lines().filter(|line| !line.is_empty()) {
        streams.last_mut().unwrap().push(line);
        if line.contains(r#""type":"message_stop""#) {
            streams.push(Vec::new());
        }
    }
    streams.retain(|stream| !stream.is_empty());
    streams
}

fn framed(lines: &[&str]) -> String {
    lines
        .iter()
        .filter(|line| !line.is_empty())
        .map(|line| format!("data: {line}\r\n\r\n"))
        .collect()
}
