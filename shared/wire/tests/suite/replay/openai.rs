//! Replays recorded exchanges with OpenAI and compatible providers.
//!
//! Reads the folder that `SLUICE_RECORDINGS` names, or `../shared/recordings` beside the project.
//! Where there is none, the tests say so and check nothing.

use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use sluice_wire::model::{
    ChatResponse, Choice, Collector, EmbeddingEncoding, Event, Part, Usage, Vector,
};
use sluice_wire::openai::chat::{Answered, StreamDecoder, StreamEncoder};
use sluice_wire::openai::passthrough::{self, Edits, StreamTap};
use sluice_wire::openai::{chat, embeddings, error};
use sluice_wire::{ErrorClass, Target, TokenBound};

use crate::support::recordings;
use crate::support::tally::{Tally, same};

const PROVIDERS: [&str; 12] = [
    "azure",
    "cerebras",
    "deepseek",
    "groq",
    "huggingface",
    "local",
    "mistral",
    "ollama",
    "openai",
    "openrouter",
    "sagemaker",
    "together",
];

/// Mistral's own clients leave out the type of a tool, which OpenAI's dialect requires.
const OWN_REQUESTS: [&str; 1] = ["mistral"];

/// Folders of the recordings that hold whole answers and chunks of OpenAI's dialect.
const FOLDERS: [&str; 9] = [
    "alibaba",
    "deepseek",
    "groq",
    "mistral",
    "moonshotai",
    "openai-compatible",
    "perplexity",
    "togetherai",
    "xai",
];

fn answered() -> Answered {
    Answered {
        id: "chatcmpl-replay".to_owned(),
        created: 1,
        model: String::new(),
    }
}

/// What is read does not change by being written and read again.
fn check_request(provider: &str, body: &Value) -> Result<(), String> {
    let bytes = body.to_string().into_bytes();
    let (request, _) = chat::decode_request(&bytes).map_err(|error| format!("{error:?}"))?;
    let target = Target {
        model: request.model.clone(),
        max_completion_tokens: provider == "openai",
        developer_role: true,
        ..Target::default()
    };
    let (written, drops) =
        chat::encode_request(&request, &target).map_err(|error| error.to_string())?;
    let (again, _) =
        chat::decode_request(&written.body).map_err(|error| format!("written anew: {error:?}"))?;
    let named = |part: &str| {
        drops
            .as_slice()
            .iter()
            .any(|drop| drop.field.contains(part))
    };
    same("models", &request.model, &again.model)?;
    same("tools", &request.tools, &again.tools)?;
    same("tool choices", &request.tool_choice, &again.tool_choice)?;
    same(
        "limits",
        &request.output_tokens_max,
        &again.output_tokens_max,
    )?;
    same("formats", &request.format, &again.format)?;
    same("extras", &request.extra, &again.extra)?;
    if drops.is_empty() {
        same("messages", &request.messages, &again.messages)?;
    }
    if !named("top_k") {
        same("sampling", &request.sampling, &again.sampling)?;
    }
    let edits = Edits::chat(&request, &target);
    let through = passthrough::rewrite_request(&bytes, &edits);
    let (through, _) =
        chat::decode_request(&through).map_err(|error| format!("passed through: {error:?}"))?;
    same(
        "messages passed through",
        &request.messages,
        &through.messages,
    )
}

fn usage_as_said(usage: &Value) -> Option<(u64, u64)> {
    let count = |key| usage.get(key).and_then(Value::as_u64);
    let output = count("completion_tokens")?;
    let input = count("prompt_tokens")?;
    let reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
        .as_u64()
        .unwrap_or(0);
    // xAI counts reasoning beside the output.
    let beside = count("total_tokens") == Some(input + output + reasoning);
    Some((input, if beside { output + reasoning } else { output }))
}

fn check_usage(said: &Value, read: Option<&Usage>) -> Result<(), String> {
    let read = read.map(|usage| (usage.input_total().count(), usage.output.count()));
    same("usage", &usage_as_said(said), &read)
}

fn texts(response: &ChatResponse) -> String {
    let parts = response.choices.iter().flat_map(|choice| &choice.parts);
    parts
        .filter_map(|part| match part {
            Part::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn calls(response: &ChatResponse) -> Vec<(String, String)> {
    let parts = response.choices.iter().flat_map(|choice| &choice.parts);
    parts
        .filter_map(|part| match part {
            Part::ToolCall {
                name, arguments, ..
            } => Some((name.clone(), arguments.clone())),
            _ => None,
        })
        .collect()
}

fn content_as_said(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

fn check_answer(answer: &Value) -> Result<(), String> {
    let bytes = answer.to_string().into_bytes();
    let (response, drops) = chat::decode_response(&bytes).map_err(|error| error.to_string())?;
    check_usage(&answer["usage"], response.usage.as_ref())?;
    let choices = answer["choices"].as_array().unwrap();
    let said: String = choices
        .iter()
        .map(|choice| content_as_said(&choice["message"]))
        .collect();
    same("texts", &said, &texts(&response))?;
    let called: usize = choices
        .iter()
        .map(|choice| {
            let message = &choice["message"];
            let calls = message["tool_calls"].as_array().map_or(0, Vec::len);
            calls + usize::from(message["function_call"].is_object())
        })
        .sum();
    same("numbers of calls", &called, &calls(&response).len())?;
    if let Some(said) = answer.get("audio") {
        return Err(format!("lost without a name: {said}"));
    }
    let audio = choices
        .iter()
        .any(|choice| !choice["message"]["audio"].is_null());
    let named = drops
        .as_slice()
        .iter()
        .any(|drop| drop.field.ends_with("audio"));
    same("sound", &audio, &named)?;
    let look = passthrough::look(&bytes.clone().into()).map_err(|error| error.to_string())?;
    same("looks", &look.usage, &response.usage)?;
    let (written, _) = chat::encode_response(&response, &answered());
    let (again, _) =
        chat::decode_response(&written).map_err(|error| format!("written anew: {error}"))?;
    same(
        "answers",
        &response.choices,
        &without_made_up_ids(again.choices),
    )?;
    same("usage", &response.usage, &again.usage)
}

/// Deprecated function calls have no identifier: the encoder makes one up.
fn without_made_up_ids(mut choices: Vec<Choice>) -> Vec<Choice> {
    for part in choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let Part::ToolCall { id, .. } = part
            && id.starts_with("call_replay_")
        {
            id.clear();
        }
    }
    choices
}

fn decode_stream(pieces: &[&[u8]]) -> Result<Vec<Event>, String> {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        decoder
            .push(piece, &mut events)
            .map_err(|error| error.to_string())?;
    }
    decoder
        .finish(&mut events)
        .map_err(|error| error.to_string())?;
    Ok(events)
}

fn collect(events: &[Event]) -> Result<ChatResponse, String> {
    let mut collector = Collector::new();
    for event in events {
        collector.push(event.clone());
    }
    collector.finish().map_err(|error| error.to_string())
}

fn chunks(stream: &str) -> Vec<Value> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str(data.trim()).ok())
        .collect()
}

fn check_stream(stream: &str) -> Result<(), String> {
    let bytes = stream.as_bytes();
    let events = decode_stream(&[bytes])?;
    for size in [1, 7, 61, 1_024] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        same("splits", &events, &decode_stream(&pieces)?)?;
    }
    let response = collect(&events)?;
    let chunks = chunks(stream);
    let deltas = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"].as_array())
        .flatten()
        .map(|choice| &choice["delta"]);
    let said: String = deltas.map(content_as_said).collect();
    // The texts of several choices are interleaved: as many bytes are enough.
    if response.choices.len() == 1 {
        same("texts", &said, &texts(&response))?;
    } else {
        same("text lengths", &said.len(), &texts(&response).len())?;
    }
    let used = chunks.iter().rev().find_map(|chunk| {
        [&chunk["usage"], &chunk["x_groq"]["usage"]]
            .into_iter()
            .find(|usage| usage.is_object())
    });
    check_usage(used.unwrap_or(&Value::Null), response.usage.as_ref())?;
    let mut encoder = StreamEncoder::new(answered(), true);
    let mut written = Vec::new();
    for event in &events {
        encoder.push(event, &mut written);
    }
    let again = collect(&decode_stream(&[&written])?)?;
    let again = ChatResponse {
        choices: without_made_up_ids(again.choices),
        ..again
    };
    same("streams", &response, &again)?;
    check_tap(bytes, &response)
}

fn check_tap(bytes: &[u8], response: &ChatResponse) -> Result<(), String> {
    for (size, include_usage) in [(1, true), (61, false), (bytes.len(), true)] {
        let mut tap = StreamTap::new(include_usage);
        let mut out = Vec::new();
        for piece in bytes.chunks(size) {
            tap.push(piece, &mut out)
                .map_err(|error| error.to_string())?;
        }
        tap.finish(&mut out).map_err(|error| error.to_string())?;
        if include_usage {
            let equal = out.starts_with(bytes) || bytes.starts_with(&out);
            same("bytes passed through", &equal, &true)?;
        }
        same("usage seen in passing", &response.usage, &tap.usage())?;
        same("completeness", &tap.is_complete(), &true)?;
        if tap.written() < TokenBound::of(texts(response).as_bytes()) {
            return Err("output is underestimated".to_owned());
        }
    }
    Ok(())
}

fn check_error(exchange: &Value) -> Result<(), String> {
    let status = u16::try_from(exchange["status"].as_u64().unwrap()).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in exchange["response_headers"].as_object().unwrap() {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    let body = match &exchange["response"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let error = error::decode(status, &headers, body.as_bytes());
    if error.message.is_empty() {
        return Err(format!("no message: {error:?}"));
    }
    let expected = match status {
        401 => ErrorClass::Authentication,
        404 => ErrorClass::NotFound,
        429 => ErrorClass::RateLimited,
        _ => ErrorClass::InvalidRequest,
    };
    same("classes", &expected, &error.class)
}

fn check_embeddings(exchange: &Value) -> Result<(), String> {
    let bytes = exchange["request"].to_string().into_bytes();
    let (request, _) = embeddings::decode_request(&bytes).map_err(|error| format!("{error:?}"))?;
    let answer = &exchange["response"];
    let body = answer.to_string().into_bytes();
    let response = embeddings::decode_response(&body).map_err(|error| error.to_string())?;
    same(
        "numbers of vectors",
        &request.input.len(),
        &response.vectors.len(),
    )?;
    let said = answer["usage"]["prompt_tokens"].as_u64();
    let read = response.usage.map(|usage| usage.input_total().count());
    same("usage", &said, &read)?;
    // Through the other form and back.
    for (there, back) in [
        (EmbeddingEncoding::Base64, EmbeddingEncoding::Float),
        (EmbeddingEncoding::Float, EmbeddingEncoding::Base64),
    ] {
        let first = embeddings::encode_response(&response, there);
        let first = embeddings::decode_response(&first).map_err(|error| error.to_string())?;
        let second = embeddings::encode_response(&first, back);
        let second = embeddings::decode_response(&second).map_err(|error| error.to_string())?;
        let same_form = matches!(
            (&response.vectors[0], &second.vectors[0]),
            (Vector::Base64(_), Vector::Base64(_))
        );
        if same_form {
            same("vectors", &response.vectors, &second.vectors)?;
        }
        same("lengths", &response.vectors.len(), &second.vectors.len())?;
    }
    Ok(())
}

/// An error object that came with a 200: no answer, and still classified.
fn check_error_as_answer(exchange: &Value) -> Result<(), String> {
    let body = exchange["response"].to_string();
    if chat::decode_response(body.as_bytes()).is_ok() {
        return Err("an error was read as an answer".to_owned());
    }
    let error = error::decode(200, &HeaderMap::new(), body.as_bytes());
    same("classes", &ErrorClass::ContentPolicy, &error.class)
}

#[test]
fn recorded_exchanges_replay() {
    let Some(folder) = recordings::folder() else {
        return;
    };
    let mut tally = Tally::default();
    for provider in PROVIDERS {
        for exchange in recordings::exchanges(&folder.join(format!("{provider}.jsonl"))) {
            let name = exchange["src"].as_str().unwrap_or_default();
            let failed = exchange["status"].as_u64() != Some(200)
                || exchange["response"].get("error").is_some();
            if failed && exchange["status"].as_u64() != Some(200) {
                let ops = ["chat.completions", "embeddings", "completions", "images"];
                if ops.contains(&exchange["op"].as_str().unwrap_or_default()) {
                    tally.note(provider, "errors", name, check_error(&exchange));
                }
                continue;
            }
            match exchange["op"].as_str() {
                Some("chat.completions") if failed => {
                    let outcome = check_error_as_answer(&exchange);
                    tally.note(provider, "errors", name, outcome);
                }
                Some("chat.completions") => {
                    if !OWN_REQUESTS.contains(&provider) {
                        let outcome = check_request(provider, &exchange["request"]);
                        tally.note(provider, "requests", name, outcome);
                    }
                    let (kind, outcome) = match &exchange["response"] {
                        Value::String(stream) => ("streams", check_stream(stream)),
                        answer => ("answers", check_answer(answer)),
                    };
                    tally.note(provider, kind, name, outcome);
                }
                // Ollama's own interface names its one input otherwise.
                Some("embeddings") if exchange["request"].get("prompt").is_none() => {
                    tally.note(provider, "embeddings", name, check_embeddings(&exchange));
                }
                _ => {}
            }
        }
    }
    tally.finish();
}

#[test]
fn collected_answers_and_chunks_replay() {
    let Some(folder) = recordings::folder() else {
        return;
    };
    let mut tally = Tally::default();
    for provider in FOLDERS {
        let folder = folder.join("vercel-ai").join(provider);
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.is_file()) {
            let name = file.file_name().unwrap().to_string_lossy();
            let text = std::fs::read_to_string(file).unwrap();
            if name.ends_with(".chunks.txt") {
                let mut stream: String = text
                    .lines()
                    .filter(|line| !line.trim().is_empty())
                    .map(|line| format!("data: {line}\n\n"))
                    .collect();
                stream.push_str("data: [DONE]\n\n");
                tally.note(provider, "streams", &name, check_stream(&stream));
            } else if let Ok(answer) = serde_json::from_str::<Value>(&text)
                && answer.get("choices").is_some()
            {
                tally.note(provider, "answers", &name, check_answer(&answer));
            }
        }
    }
    tally.finish();
}
