//! Replays recorded exchanges with Cohere's second API, where the recordings are at hand (`SLUICE_RECORDINGS`).
//!
//! Every answer decodes, what has no counterpart is named, usage is what the provider bills, a stream decodes alike
//! however its bytes are cut. What was really sent to Cohere goes up as it was.

use serde_json::Value;
use sluice_units::{Tokens, Usage};
use sluice_wire::cohere::{
    StreamDecoder, decode_response, embeddings, encode_request, error, rerank,
};
use sluice_wire::model::{Collector, EmbeddingInput, EmbeddingsRequest, Event, Part, Vector};
use sluice_wire::{ErrorClass, Target, openai};

use crate::support::recordings::{collection, exchanges_to};

/// The fields of an answer that have a name in the neutral model.
const NAMED: [&str; 4] = ["id", "message", "finish_reason", "usage"];

/// What the provider bills, read a second time and in another way.
fn said(usage: &Value) -> Usage {
    let count = |field: &str| Tokens::new(usage["billed_units"][field].as_u64().unwrap());
    Usage {
        input: count("input_tokens"),
        output: count("output_tokens"),
        ..Usage::default()
    }
}

fn text_of(parts: &[Part]) -> String {
    parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text, .. } | Part::Thinking { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn check_response(source: &str, answer: &Value) {
    let (response, drops) = decode_response(&serde_json::to_vec(answer).unwrap())
        .unwrap_or_else(|error| panic!("{source}: {error}"));
    assert!(drops.is_empty(), "{source}: {drops:?}");
    assert_eq!(response.usage, Some(said(&answer["usage"])), "{source}");
    let message = &answer["message"];
    let blocks = message["content"].as_array().into_iter().flatten();
    let mut expected: String = blocks
        .map(|block| block[block["type"].as_str().unwrap()].as_str().unwrap())
        .collect();
    expected.push_str(message["tool_plan"].as_str().unwrap_or_default());
    let parts = &response.choices[0].parts;
    assert_eq!(text_of(parts), expected, "{source}");
    let citations: usize = parts
        .iter()
        .map(|part| match part {
            Part::Text { annotations, .. } => annotations.len(),
            _ => 0,
        })
        .sum();
    let said = message["citations"].as_array().map_or(0, Vec::len);
    assert_eq!(citations, said, "{source}");
    check_calls(source, parts, &message["tool_calls"]);
    for key in answer.as_object().unwrap().keys() {
        let kept = NAMED.contains(&key.as_str()) || response.extra.contains_key(key);
        assert!(kept, "{source}: {key} is lost");
    }
}

fn check_calls(source: &str, parts: &[Part], calls: &Value) {
    let found: Vec<_> = parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall {
                id,
                name,
                arguments,
                ..
            } => Some((id.as_str(), name.as_str(), arguments.as_str())),
            _ => None,
        })
        .collect();
    let said: Vec<_> = calls
        .as_array()
        .into_iter()
        .flatten()
        .map(|call| {
            let function = &call["function"];
            let arguments = function["arguments"].as_str().unwrap();
            let arguments = if arguments == "null" { "{}" } else { arguments };
            let name = function["name"].as_str().unwrap();
            (call["id"].as_str().unwrap(), name, arguments)
        })
        .collect();
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

fn check_stream(source: &str, stream: &str) {
    let stream = stream.as_bytes();
    let whole = events(stream, usize::MAX).unwrap_or_else(|error| panic!("{source}: {error}"));
    for size in [1, 2, 7, 64, 1_000] {
        let cut = events(stream, size).unwrap();
        assert_eq!(cut, whole, "{source}, pieces of {size}");
    }
    let frames: Vec<Value> = std::str::from_utf8(stream)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let end = frames.iter().find(|frame| frame["type"] == "message-end");
    let mut collector = Collector::new();
    whole.iter().for_each(|event| collector.push(event.clone()));
    let response = collector.finish().unwrap();
    let expected = said(&end.unwrap()["delta"]["usage"]);
    assert_eq!(response.usage, Some(expected), "{source}");
    let expected: String = frames.iter().map(text_of_frame).collect();
    let found: String = whole
        .iter()
        .filter_map(|event| match event {
            Event::Delta { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(found, expected, "{source}");
}

/// All text, thoughts, plans and arguments.
fn text_of_frame(frame: &Value) -> String {
    let message = &frame["delta"]["message"];
    [
        "/content/text",
        "/content/thinking",
        "/tool_plan",
        "/tool_calls/function/arguments",
    ]
    .into_iter()
    .filter_map(|pointer| message.pointer(pointer)?.as_str())
    .collect()
}

#[test]
fn recorded_chats_decode() {
    let (mut whole, mut streamed) = (0, 0);
    for exchange in exchanges_to("cohere.jsonl", "/v2/chat") {
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
    println!("replayed {whole} whole answers, {streamed} streams and their requests");
}

/// A recorded request is close enough to OpenAI's dialect to be read as one; it goes up as it was.
fn check_request(source: &str, body: &Value) {
    let bytes = serde_json::to_vec(body).unwrap();
    let (request, _) = openai::chat::decode_request(&bytes).unwrap();
    let target = Target {
        model: request.model.clone(),
        ..Target::default()
    };
    let (upstream, drops) = encode_request(&request, &target).unwrap();
    assert!(drops.is_empty(), "{source}: {drops:?}");
    let mut expected = body.clone();
    for turn in expected["messages"].as_array_mut().unwrap() {
        // No content is said by leaving it out.
        turn.as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
    }
    let found: Value = serde_json::from_slice(&upstream.body).unwrap();
    assert_eq!(found, expected, "{source}");
}

#[test]
fn recorded_embeddings_decode() {
    let mut replayed = 0;
    for exchange in exchanges_to("cohere.jsonl", "/v2/embed") {
        let texts = exchange["request"]["texts"].as_array().unwrap();
        let input = texts
            .iter()
            .map(|text| EmbeddingInput::Text(text.as_str().unwrap().to_owned()));
        check_embeddings(input.collect(), &exchange["response"]);
        replayed += 1;
    }
    for (_, text) in collection("cohere", "embedding.json") {
        let input = vec![EmbeddingInput::Text("t".to_owned()); 2];
        check_embeddings(input, &serde_json::from_str(&text).unwrap());
        replayed += 1;
    }
    println!("replayed {replayed} embeddings");
}

fn check_embeddings(input: Vec<EmbeddingInput>, answer: &Value) {
    let request = EmbeddingsRequest {
        input,
        ..EmbeddingsRequest::default()
    };
    let body = serde_json::to_vec(answer).unwrap();
    let response = embeddings::decode_response(&request, &body).unwrap();
    let found: Vec<Value> = response
        .vectors
        .iter()
        .map(|vector| match vector {
            Vector::Float(numbers) => serde_json::to_value(numbers).unwrap(),
            Vector::Base64(_) => Value::Null,
        })
        .collect();
    assert_eq!(Value::Array(found), answer["embeddings"]["float"]);
    let billed = answer["meta"]["billed_units"]["input_tokens"].as_u64();
    assert_eq!(response.usage.map(|usage| usage.input.count()), billed);
}

#[test]
fn recorded_rerankings_decode() {
    let mut replayed = 0;
    for exchange in exchanges_to("cohere.jsonl", "/rerank") {
        let asked = serde_json::to_vec(&exchange["request"]).unwrap();
        let request = rerank::decode_request(&asked).unwrap();
        let target = Target {
            model: request.model.clone(),
            ..Target::default()
        };
        let (upstream, drops) = rerank::encode_request(&request, &target).unwrap();
        assert!(drops.is_empty(), "{drops:?}");
        let sent: Value = serde_json::from_slice(&upstream.body).unwrap();
        assert_eq!(sent, exchange["request"]);
        check_reranking(&request, &exchange["response"]);
        replayed += 1;
    }
    for (_, text) in collection("cohere/reranking", ".json") {
        let request = rerank::RerankRequest {
            documents: vec![String::new(); 2],
            ..rerank::RerankRequest::default()
        };
        check_reranking(&request, &serde_json::from_str(&text).unwrap());
        replayed += 1;
    }
    println!("replayed {replayed} rerankings");
}

fn check_reranking(request: &rerank::RerankRequest, answer: &Value) {
    let body = serde_json::to_vec(answer).unwrap();
    let response = rerank::decode_response(request, &body).unwrap();
    let mut again: Value = serde_json::from_slice(&rerank::encode_response(&response)).unwrap();
    again["meta"]["api_version"] = answer["meta"]["api_version"].clone();
    assert_eq!(&again, answer);
}

#[test]
fn recorded_errors_are_classified() {
    let mut replayed = 0;
    for exchange in exchanges_to("cohere.jsonl", "/chat") {
        let status = u16::try_from(exchange["status"].as_u64().unwrap()).unwrap();
        if status < 400 {
            continue;
        }
        let body = serde_json::to_vec(&exchange["response"]).unwrap();
        let error = error::decode(status, &http::HeaderMap::new(), &body);
        assert_eq!(error.class, ErrorClass::NotFound);
        assert_eq!(exchange["response"]["message"], error.message);
        replayed += 1;
    }
    println!("replayed {replayed} errors");
}

#[test]
fn collected_answers_decode() {
    let answers: Vec<_> = collection("cohere", ".json")
        .into_iter()
        .filter(|(name, _)| !name.contains("embedding"))
        .collect();
    for (name, text) in &answers {
        check_response(name, &serde_json::from_str(text).unwrap());
    }
    println!("replayed {} whole answers of the collection", answers.len());
}

#[test]
fn collected_streams_decode() {
    let streams = collection("cohere", ".chunks.txt");
    for (name, text) in &streams {
        let lines = text.lines().filter(|line| !line.is_empty());
        let stream: String = lines.map(|line| format!("data: {line}\r\n\r\n")).collect();
        check_stream(name, &stream);
    }
    println!("replayed {} streams of the collection", streams.len());
}
