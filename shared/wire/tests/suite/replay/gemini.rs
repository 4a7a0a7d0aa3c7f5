//! Replays recorded exchanges with Google's models: answers decode, usage is what the provider said, and any split of
//! a stream decodes alike. The recordings lie outside the project: `SLUICE_RECORDINGS`, or `../shared/recordings`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sluice_wire::dialect::{
    StreamDecoder, decode_chat, decode_embeddings, decode_error, encode_chat,
};
use sluice_wire::gemini::downstream::{
    Answered, Framing, StreamEncoder, decode_request, encode_response,
};
use sluice_wire::model::{
    ChatRequest, ChatResponse, EmbeddingInput, EmbeddingsRequest, Event, Finish, Part, PartKind,
    Role, Usage,
};
use sluice_wire::{Dialect, ErrorClass, Target};

use crate::support::recordings::folder as recordings;

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn count(usage: &Value, key: &str) -> u64 {
    usage[key].as_u64().unwrap_or(0)
}

/// What the provider said against what was decoded.
fn check_usage(said: &Value, decoded: Option<Usage>, place: &str) {
    if said.get("totalTokenCount").is_none() {
        assert_eq!(decoded, None, "{place}");
        return;
    }
    let usage = decoded.unwrap_or_else(|| panic!("{place}: no usage"));
    let cached = count(said, "cachedContentTokenCount");
    assert_eq!(
        usage.total().count(),
        count(said, "totalTokenCount"),
        "{place}"
    );
    assert_eq!(
        usage.input_total().count(),
        count(said, "promptTokenCount") + count(said, "toolUsePromptTokenCount"),
        "{place}"
    );
    assert_eq!(usage.input_cached.count(), cached, "{place}");
    assert_eq!(
        usage.reasoning.count(),
        count(said, "thoughtsTokenCount"),
        "{place}"
    );
    assert!(
        usage.input_audio.plus(usage.input_image) <= usage.input,
        "{place}"
    );
}

/// Everything that the provider said stands somewhere in the decoded answer or among the drops.
fn check_whole(body: &Value, place: &str) -> ChatResponse {
    let bytes = serde_json::to_vec(body).unwrap();
    let (response, drops) = decode_chat(Dialect::Gemini, &bytes).unwrap();
    check_usage(&body["usageMetadata"], response.usage, place);
    for (at, candidate) in body["candidates"].as_array().unwrap().iter().enumerate() {
        let choice = &response.choices[at];
        let mut texts = String::new();
        let mut thoughts = String::new();
        let mut calls = 0;
        for part in candidate["content"]["parts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let text = part["text"].as_str().unwrap_or("");
            if part["thought"] == Value::Bool(true) {
                thoughts.push_str(text);
            } else {
                texts.push_str(text);
            }
            calls += usize::from(part.get("functionCall").is_some());
            if let Some(signature) = part["thoughtSignature"].as_str() {
                let kept = choice.parts.iter().any(|part| match part {
                    Part::ToolCall {
                        signature: Some(have),
                        ..
                    } => have == signature,
                    Part::Thinking {
                        signature: Some(have),
                        ..
                    } => have.strip_prefix("gemini:") == Some(signature),
                    Part::Text { annotations, .. } => annotations
                        .iter()
                        .any(|a| a["thoughtSignature"] == signature),
                    _ => false,
                });
                assert!(kept, "{place}: a signature is lost");
            }
        }
        assert_eq!(joined(&choice.parts, false), texts, "{place}");
        assert_eq!(joined(&choice.parts, true), thoughts, "{place}");
        let decoded_calls = choice
            .parts
            .iter()
            .filter(|p| matches!(p, Part::ToolCall { .. }));
        assert_eq!(decoded_calls.count(), calls, "{place}");
        if calls > 0 && candidate["finishReason"] == "STOP" {
            assert_eq!(choice.finish, Finish::ToolCalls, "{place}");
        }
        for key in candidate.as_object().unwrap().keys() {
            let carried = [
                "content",
                "finishReason",
                "index",
                "groundingMetadata",
                "citationMetadata",
                "urlContextMetadata",
                "logprobsResult",
            ]
            .contains(&key.as_str());
            let named = drops
                .as_slice()
                .iter()
                .any(|drop| drop.field.ends_with(key.as_str()));
            assert!(carried || named, "{place}: {key} is lost");
        }
    }
    response
}

fn joined(parts: &[Part], thoughts: bool) -> String {
    parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text, .. } if !thoughts => Some(text.as_str()),
            Part::Thinking { text, .. } if thoughts => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn decode_stream(pieces: &[&[u8]]) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(Dialect::Gemini);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece, &mut events).unwrap();
    }
    decoder.finish(&mut events).unwrap();
    events
}

fn check_stream(bytes: &[u8], chunks: &[Value], place: &str) -> Vec<Event> {
    let events = decode_stream(&[bytes]);
    for size in [1, 7, 64, 1_000] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(
            decode_stream(&pieces),
            events,
            "{place} in pieces of {size}"
        );
    }
    let said = chunks
        .iter()
        .map(|chunk| &chunk["usageMetadata"])
        .rfind(|usage| usage.get("totalTokenCount").is_some());
    let usage = events.iter().rev().find_map(|event| match event {
        Event::Usage(usage) => Some(*usage),
        _ => None,
    });
    check_usage(said.unwrap_or(&Value::Null), usage, place);
    check_order(&events, place);
    let told: String = chunks
        .iter()
        .flat_map(|chunk| {
            chunk["candidates"][0]["content"]["parts"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        })
        .filter_map(|part| Some(part["text"].as_str()?.to_owned()))
        .collect();
    let mut calls = Vec::new();
    let mut text = String::new();
    for event in &events {
        match event {
            Event::PartStart {
                part,
                kind: PartKind::ToolCall { .. },
                ..
            } => calls.push(*part),
            Event::Delta {
                part, text: more, ..
            } if !calls.contains(part) => text.push_str(more),
            Event::Delta { text, .. } => {
                assert!(
                    serde_json::from_str::<Value>(text).unwrap().is_object(),
                    "{place}"
                );
            }
            _ => {}
        }
    }
    assert_eq!(text, told, "{place}");
    events
}

fn check_order(events: &[Event], place: &str) {
    assert!(
        matches!(events.first(), Some(Event::Start { .. })),
        "{place}"
    );
    assert_eq!(events.last(), Some(&Event::End), "{place}");
    let mut open = None;
    let mut next = 0;
    for event in events {
        match event {
            Event::PartStart { part, .. } => {
                assert_eq!((open, *part), (None, next), "{place}");
                open = Some(*part);
                next += 1;
            }
            Event::Delta { part, text, .. } => {
                assert_eq!(open, Some(*part), "{place}");
                assert!(!text.is_empty(), "{place}");
            }
            Event::Signature { part, .. } | Event::Annotation { part, .. } => {
                assert_eq!(open, Some(*part), "{place}");
            }
            Event::PartEnd { part, .. } => {
                assert_eq!(open, Some(*part), "{place}");
                open = None;
            }
            Event::Finish { .. } => assert_eq!(open, None, "{place}"),
            _ => {}
        }
    }
}

fn sse_chunks(stream: &str) -> Vec<Value> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn check_embeddings(exchange: &Value, place: &str) {
    let count = exchange["request"]["requests"].as_array().unwrap().len();
    let request = EmbeddingsRequest {
        model: "m".to_owned(),
        input: vec![EmbeddingInput::Text("x".to_owned()); count],
        ..EmbeddingsRequest::default()
    };
    let body = serde_json::to_vec(&exchange["response"]).unwrap();
    let response = decode_embeddings(Dialect::Gemini, &request, &body).unwrap();
    assert_eq!(response.vectors.len(), count, "{place}");
}

#[test]
fn recorded_exchanges_decode_without_loss() {
    let Some(folder) = recordings() else { return };
    let (mut whole, mut streams, mut embeddings, mut others) = (0, 0, 0, 0);
    for file in ["gemini.jsonl", "vertex.jsonl"] {
        for exchange in lines(&folder.join(file)) {
            let place = exchange["src"].as_str().unwrap();
            let op = exchange["op"].as_str().unwrap();
            match (op, exchange["response_kind"].as_str().unwrap()) {
                ("generateContent", "json") => {
                    let response = check_whole(&exchange["response"], place);
                    check_retold(&response, place);
                    whole += 1;
                }
                ("streamGenerateContent", "sse") => {
                    let stream = exchange["response"].as_str().unwrap();
                    let events = check_stream(stream.as_bytes(), &sse_chunks(stream), place);
                    check_retold_stream(&events, place);
                    streams += 1;
                }
                ("batchEmbedContents", "json") => {
                    check_embeddings(&exchange, place);
                    embeddings += 1;
                }
                _ => others += 1,
            }
        }
    }
    println!(
        "replayed: {whole} whole answers, {streams} streams, {embeddings} embeddings; {others} of other kinds"
    );
    assert!(whole > 0 && streams > 0 && embeddings > 0);
}

/// Who says what; Gemini merges one speaker's turns.
fn spoken(request: &ChatRequest) -> Vec<(Role, &Part)> {
    let messages = request.messages.iter();
    messages
        .flat_map(|message| message.parts.iter().map(|part| (message.role, part)))
        .collect()
}

/// A recorded request is understood, and what is understood is said again in the same sense.
#[test]
fn recorded_requests_come_there_and_back() {
    let Some(folder) = recordings() else { return };
    let (mut replayed, mut lossless) = (0, 0);
    for file in ["gemini.jsonl", "vertex.jsonl"] {
        for exchange in lines(&folder.join(file)) {
            let place = exchange["src"].as_str().unwrap();
            let stream = match exchange["op"].as_str().unwrap() {
                "generateContent" => false,
                "streamGenerateContent" => true,
                _ => continue,
            };
            let url = exchange["url"].as_str().unwrap();
            let model = url.rsplit('/').next().unwrap().split(':').next().unwrap();
            let target = Target {
                model: model.to_owned(),
                ..Target::default()
            };
            let body = serde_json::to_vec(&exchange["request"]).unwrap();
            let (request, lost) = decode_request(model, stream, &body).unwrap();
            let (out, lost_again) = encode_chat(Dialect::Gemini, &request, &target).unwrap();
            let (back, _) = decode_request(model, stream, &out.body).unwrap();
            if lost.is_empty() && lost_again.is_empty() {
                assert_eq!(spoken(&back), spoken(&request), "{place}");
                lossless += 1;
            }
            for drop in lost.as_slice().iter().chain(lost_again.as_slice()) {
                println!("{place}: {} ({})", drop.field, drop.reason);
            }
            replayed += 1;
        }
    }
    println!("replayed: {replayed} requests, {lossless} of them without any loss");
    assert!(replayed > 0);
}

/// What Gemini answered, told to a caller who speaks Gemini.
fn check_retold(response: &ChatResponse, place: &str) {
    let (written, _) = encode_response(response, &Answered::default());
    let (back, _) = decode_chat(Dialect::Gemini, &written).unwrap();
    let usage = |response: &ChatResponse| {
        response
            .usage
            .map(|usage| (usage.input_total(), usage.output, usage.reasoning))
    };
    assert_eq!(usage(&back), usage(response), "{place}");
    for (back, choice) in back.choices.iter().zip(&response.choices) {
        assert_eq!(back.finish, choice.finish, "{place}");
        for thoughts in [false, true] {
            let told = joined(&choice.parts, thoughts);
            assert_eq!(joined(&back.parts, thoughts), told, "{place}");
        }
        let calls = |parts: &[Part]| {
            let mut calls = parts.to_vec();
            calls.retain(|part| matches!(part, Part::ToolCall { .. } | Part::Thinking { .. }));
            calls
        };
        assert_eq!(calls(&back.parts), calls(&choice.parts), "{place}");
    }
}

fn check_retold_stream(events: &[Event], place: &str) {
    let spoken = |events: &[Event]| {
        let mut events = events.to_vec();
        events.retain(|event| !matches!(event, Event::Usage(_)));
        events
    };
    for framing in [Framing::Sse, Framing::Array] {
        let mut encoder = StreamEncoder::new(framing, Answered::default());
        let mut out = Vec::new();
        for event in events {
            encoder.push(event, &mut out);
        }
        let back = decode_stream(&[&out]);
        assert_eq!(spoken(&back), spoken(events), "{place}");
    }
}

/// The same chunks as server-sent events and as an array.
#[test]
fn recorded_chunks_decode_alike_in_both_framings() {
    let Some(folder) = recordings() else { return };
    let mut replayed = 0;
    for entry in fs::read_dir(folder.join("vercel-ai/google")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".chunks.txt") {
            let chunks = lines(&path);
            let sse: String = chunks
                .iter()
                .map(|chunk| format!("data: {chunk}\r\n\r\n"))
                .collect();
            let array = serde_json::to_string_pretty(&chunks).unwrap();
            let events = check_stream(sse.as_bytes(), &chunks, &name);
            check_retold_stream(&events, &name);
            assert_eq!(
                check_stream(array.as_bytes(), &chunks, &name),
                events,
                "{name}"
            );
            replayed += 1;
        } else if name.ends_with(".json") && !name.contains("429") {
            check_whole(&lines_whole(&path), &name);
            replayed += 1;
        }
    }
    println!("replayed: {replayed} answers and streams");
    assert!(replayed > 0);
}

fn lines_whole(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_recorded_rate_limit_says_when_to_come_back() {
    let Some(folder) = recordings() else { return };
    let body = fs::read(folder.join("vercel-ai/google/google-429-retry-info.json")).unwrap();
    let error = decode_error(Dialect::Gemini, 429, &http::HeaderMap::new(), &body);
    assert_eq!(error.class, ErrorClass::RateLimited);
    assert_eq!(error.retry_after.unwrap().as_micros(), 34_400_000);
}

#[test]
fn recorded_predictions_are_embeddings_too() {
    let Some(folder) = recordings() else { return };
    let body =
        fs::read(folder.join("vercel-ai/google-vertex/google-vertex-embedding.json")).unwrap();
    let count = lines_whole(&folder.join("vercel-ai/google-vertex/google-vertex-embedding.json"))["predictions"]
        .as_array()
        .unwrap()
        .len();
    let request = EmbeddingsRequest {
        input: vec![EmbeddingInput::Text("x".to_owned()); count],
        ..EmbeddingsRequest::default()
    };
    let response = decode_embeddings(Dialect::Gemini, &request, &body).unwrap();
    assert_eq!(response.vectors.len(), count);
    assert!(response.usage.unwrap().input.count() > 0);
}
