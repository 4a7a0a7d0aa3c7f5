//! Replays recorded Converse exchanges, where the recordings are at hand (`SLUICE_RECORDINGS`).
//!
//! Every answer decodes, what has no counterpart is named, usage is what the provider said, a stream decodes alike
//! however its bytes are cut, and all of it can be said in the callers' dialects.
//! What callers of other dialects really sent becomes a legal Converse request, or is refused with its reason.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use sluice_units::{Tokens, Usage};
use sluice_wire::bedrock::{StreamDecoder, decode_response, encode_request};
use sluice_wire::event_stream::{EventStreamDecoder, HeaderValue, Message, write_message};
use sluice_wire::model::{ChatResponse, Collector, Event, Part};
use sluice_wire::{Target, anthropic, openai};

/// The checker that the dialect's own tests use.
#[path = "../src/bedrock/tests/spec.rs"]
mod spec;

const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// The fields of an answer that have a name in the neutral model.
const NAMED: [&str; 3] = ["output", "stopReason", "usage"];

fn recordings() -> Option<PathBuf> {
    let project = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let folder = std::env::var_os("SLUICE_RECORDINGS").map_or_else(
        || PathBuf::from(project).join("../shared/recordings"),
        PathBuf::from,
    );
    let folder = folder.is_dir().then_some(folder);
    if folder.is_none() {
        println!("skipped: no recordings; SLUICE_RECORDINGS names their folder");
    }
    folder
}

/// The exchanges of one file that went to an address with this ending.
fn exchanges(name: &str, ending: &str) -> Vec<Value> {
    let Some(folder) = recordings() else {
        return Vec::new();
    };
    fs::read_to_string(folder.join(name))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|exchange| {
            let url = exchange["url"].as_str().unwrap();
            url.split('?').next().unwrap().ends_with(ending)
        })
        .collect()
}

/// The files of the other collection: name and text.
fn files(ending: &str) -> Vec<(String, String)> {
    let Some(folder) = recordings() else {
        return Vec::new();
    };
    let mut files: Vec<_> = fs::read_dir(folder.join("vercel-ai/amazon-bedrock"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

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
    check_for_callers(source, response);
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

/// The answer in the callers' dialects: nothing but the provider's own extras is lost, and the counts agree.
fn check_for_callers(source: &str, mut response: ChatResponse) {
    response.extra.clear();
    let usage = response.usage.unwrap_or_default();
    let (body, drops) = anthropic::encode_response(&response, &anthropic::Answered::default());
    let unsaid: Vec<_> = drops
        .as_slice()
        .iter()
        .filter(|dropped| dropped.field != "finish_reason" && dropped.field != "stop_reason")
        .collect();
    assert!(unsaid.is_empty(), "{source}: {unsaid:?}");
    let (again, _) = anthropic::decode_response(&body).unwrap();
    assert_eq!(
        again.choices[0].parts, response.choices[0].parts,
        "{source}"
    );
    let (body, _) = openai::chat::encode_response(&response, &openai::chat::Answered::default());
    let body: Value = serde_json::from_slice(&body).unwrap();
    let counts = ["prompt_tokens", "completion_tokens", "total_tokens"];
    let found = counts.map(|field| body["usage"][field].as_u64().unwrap_or(0));
    let said = [usage.input_total(), usage.output, usage.total()].map(Tokens::count);
    assert_eq!(found, said, "{source}");
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
    check_for_callers(source, response);
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
    for exchange in exchanges("bedrock.jsonl", "/converse") {
        spec::check_shape("ConverseRequest", &exchange["request"]);
        check_response(exchange["src"].as_str().unwrap(), &exchange["response"]);
        whole += 1;
    }
    for exchange in exchanges("bedrock.jsonl", "/converse-stream") {
        spec::check_shape("ConverseRequest", &exchange["request"]);
        let stream = base64(exchange["response"]["_base64"].as_str().unwrap());
        check_stream(exchange["src"].as_str().unwrap(), &stream);
        streamed += 1;
    }
    println!("replayed {whole} whole answers and {streamed} streams");
}

/// Of the recordings, which are padded.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let bits = group.iter().fold(0_u32, |bits, digit| {
            let value = ALPHABET.find(char::from(*digit)).unwrap_or(0);
            (bits << 6) | u32::try_from(value).unwrap()
        });
        let padding = group.iter().filter(|digit| **digit == b'=').count();
        bytes.extend(&bits.to_be_bytes()[1..4 - padding]);
    }
    bytes
}

#[test]
fn collected_answers_decode() {
    let answers = files(".json");
    for (name, text) in &answers {
        check_response(name, &serde_json::from_str(text).unwrap());
    }
    println!("replayed {} whole answers of the collection", answers.len());
}

#[test]
fn collected_streams_decode() {
    let streams = files(".chunks.txt");
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

/// The files with exchanges in OpenAI's dialect.
const COMPATIBLE: [&str; 8] = [
    "openai.jsonl",
    "azure.jsonl",
    "deepseek.jsonl",
    "groq.jsonl",
    "mistral.jsonl",
    "openrouter.jsonl",
    "together.jsonl",
    "cerebras.jsonl",
];

#[test]
fn other_callers_requests_go_up_legally() {
    let of_openai = COMPATIBLE
        .iter()
        .flat_map(|name| exchanges(name, "/chat/completions"))
        .filter_map(|exchange| {
            let body = serde_json::to_vec(&exchange["request"]).unwrap();
            // Callers send what OpenAI refuses too.
            let (request, _) = openai::chat::decode_request(&body).ok()?;
            Some((exchange, request))
        });
    let of_anthropic = exchanges("anthropic.jsonl", "/v1/messages")
        .into_iter()
        .map(|exchange| {
            let body = serde_json::to_vec(&exchange["request"]).unwrap();
            let (request, _) = anthropic::decode_request(&body).unwrap();
            (exchange, request)
        });
    let (mut legal, mut refused) = (0, 0);
    for (exchange, request) in of_openai.chain(of_anthropic) {
        let source = exchange["src"].as_str().unwrap();
        let target = Target {
            model: CLAUDE.to_owned(),
            ..Target::default()
        };
        match encode_request(&request, &target) {
            Ok((upstream, _)) => {
                spec::check_request(&serde_json::from_slice(&upstream.body).unwrap());
                legal += 1;
            }
            Err(error) => {
                println!("{source}: {error}");
                refused += 1;
            }
        }
    }
    println!("{legal} requests of other dialects went up, {refused} cannot be said");
}
