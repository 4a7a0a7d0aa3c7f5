//! Replays recorded exchanges of OpenAI's Responses, and holds what is written against OpenAI's description.
//!
//! Reads the folders that `SLUICE_RECORDINGS` and `SLUICE_SPECS` name, or `../shared/recordings` and `../shared/specs`
//! beside the project. Where there is none, the tests say so and check nothing.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops where a recording is not what it should be"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use http::HeaderMap;
use serde_json::{Value, json};
use sluice_wire::dialect::{Dialect, StreamDecoder as AnyDecoder, decode_chat};
use sluice_wire::model::{ChatResponse, Choice, Collector, Event, Part};
use sluice_wire::openai::error;
use sluice_wire::responses::passthrough::{self, StreamTap};
use sluice_wire::responses::{
    Answered, Echo, StreamDecoder, StreamEncoder, decode_request, decode_response, encode_request,
    encode_response,
};
use sluice_wire::{Target, anthropic, gemini, openai};

/// Folders of the recordings that hold whole answers and events of this dialect.
const FOLDERS: [&str; 4] = [
    "openai/responses",
    "azure",
    "xai/responses",
    "open-responses/responses",
];

fn folder(variable: &str, usual: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../../shared/{usual}")),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no {usual} at {}", folder.display());
    None
}

/// One recorded exchange or answer.
struct Recorded {
    name: String,
    provider: String,
    status: u16,
    request: Option<String>,
    answer: Answer,
}

enum Answer {
    Whole(String),
    Stream(String),
}

fn recorded(root: &Path) -> Vec<Recorded> {
    let mut all = Vec::new();
    for provider in ["openai", "deepseek"] {
        let lines = std::fs::read_to_string(root.join(format!("{provider}.jsonl"))).unwrap();
        for line in lines.lines() {
            let exchange: Value = serde_json::from_str(line).unwrap();
            if exchange["op"] != "responses" {
                continue;
            }
            let text = |key: &str| match &exchange[key] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            all.push(Recorded {
                name: text("src"),
                provider: provider.to_owned(),
                status: u16::try_from(exchange["status"].as_u64().unwrap()).unwrap(),
                request: Some(text("request")),
                answer: if exchange["response_kind"] == "sse" {
                    Answer::Stream(text("response"))
                } else {
                    Answer::Whole(text("response"))
                },
            });
        }
    }
    for name in FOLDERS {
        let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("vercel-ai").join(name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        all.extend(files.iter().filter_map(|file| of_file(file, name)));
    }
    all
}

/// A file of events or of a whole answer; `None` for another dialect's.
fn of_file(file: &Path, folder: &str) -> Option<Recorded> {
    let text = std::fs::read_to_string(file).unwrap();
    let answer = if file.extension()? == "json" {
        let value: Value = serde_json::from_str(&text).unwrap();
        if value.get("output").is_none() && value.get("error").is_none() {
            return None;
        }
        Answer::Whole(text)
    } else {
        let mut stream = String::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            // One recording holds two events whose JSON was cut by hand.
            let event: Value = serde_json::from_str(line).ok()?;
            event.get("type")?;
            writeln!(stream, "data: {line}\n").unwrap();
        }
        Answer::Stream(stream)
    };
    let error = matches!(&answer, Answer::Whole(text) if !text.contains("\"output\""));
    Some(Recorded {
        name: file.file_name()?.to_string_lossy().into_owned(),
        provider: folder.to_owned(),
        status: if error { 400 } else { 200 },
        request: None,
        answer,
    })
}

#[derive(Default)]
struct Tally {
    counts: BTreeMap<(String, &'static str), usize>,
    failures: Vec<String>,
}

impl Tally {
    fn note(&mut self, recorded: &Recorded, kind: &'static str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                let count = self.counts.entry((recorded.provider.clone(), kind));
                *count.or_default() += 1;
            }
            Err(problem) => self.failures.push(format!(
                "{} {kind} {}: {problem}",
                recorded.provider, recorded.name
            )),
        }
    }

    fn finish(self) {
        for ((provider, kind), count) in &self.counts {
            println!("replayed {count:>4} {kind} of {provider}");
        }
        assert!(!self.counts.is_empty(), "the recordings hold nothing");
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
    }
}

fn answered() -> Answered {
    Answered {
        id: "resp_replay".to_owned(),
        created: 1,
        model: String::new(),
        echo: Echo::default(),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, left: &T, right: &T) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    Err(format!("{what}:\n  {left:?}\n  {right:?}"))
}

/// The events of one recorded stream, which may hold several answers one after another.
fn answers(stream: &str) -> Vec<String> {
    let mut all = Vec::new();
    for event in stream.split_inclusive("\n\n") {
        let begins = event.contains("\"type\":\"response.created\"")
            || event.contains("\"type\": \"response.created\"");
        if begins || all.is_empty() {
            all.push(String::new());
        }
        if let Some(last) = all.last_mut() {
            last.push_str(event);
        }
    }
    all
}

fn decode_stream(bytes: &[u8], piece: usize) -> Result<Vec<Event>, String> {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for part in bytes.chunks(piece) {
        decoder
            .push(part, &mut events)
            .map_err(|error| error.to_string())?;
    }
    decoder
        .finish(&mut events)
        .map_err(|error| error.to_string())?;
    Ok(events)
}

fn collect(events: Vec<Event>) -> Result<ChatResponse, String> {
    let mut collector = Collector::new();
    for event in events {
        collector.push(event);
    }
    collector.finish().map_err(|error| error.to_string())
}

/// The answer that a stream's last event repeats.
fn repeated(stream: &str) -> Option<String> {
    let event = stream.split("\n\n").find(|event| {
        event.contains("response.completed\"") || event.contains("response.incomplete\"")
    })?;
    let data = event
        .lines()
        .find_map(|line| line.strip_prefix("data:"))?
        .trim();
    let value: Value = serde_json::from_str(data).unwrap();
    Some(value["response"].to_string())
}

/// What the provider says was used.
fn said_total(whole: &str) -> Option<u64> {
    let value: Value = serde_json::from_str(whole).unwrap();
    value["usage"]["total_tokens"].as_u64()
}

fn check_usage(response: &ChatResponse, whole: &str) -> Result<(), String> {
    let total = response.usage.map(|usage| usage.total().count());
    same("total tokens", &total, &said_total(whole))
}

/// What a person sees of an answer.
fn shown(response: &ChatResponse) -> Vec<Choice> {
    let mut choices = response.choices.clone();
    for choice in &mut choices {
        choice.logprobs = None;
        // Proofs are carried in another form, and encrypted anew in a stream's last event.
        choice
            .parts
            .retain(|part| !matches!(part, Part::RedactedThinking { .. }));
        for part in &mut choice.parts {
            match part {
                Part::Thinking { signature, .. } => *signature = None,
                // xAI's citations lack what the description asks for, and get it.
                Part::Text { annotations, .. } => {
                    for annotation in annotations {
                        *annotation = annotation["url_citation"]["url"].take();
                    }
                }
                _ => {}
            }
        }
    }
    choices
}

/// Texts that were cut by hand are shorter than what they were.
fn is_abridged(streamed: &ChatResponse, whole: &ChatResponse) -> bool {
    let size = |response: &ChatResponse| -> usize {
        let parts = response.choices.iter().flat_map(|choice| &choice.parts);
        parts
            .map(|part| match part {
                Part::Text { text, .. } => text.len(),
                _ => 0,
            })
            .sum()
    };
    size(streamed) < size(whole)
}

/// What goes out in this dialect comes back as it was, but for identifiers.
fn check_there_and_back(response: &ChatResponse) -> Result<(), String> {
    let (body, _) = encode_response(response, &answered());
    let (back, _) = decode_response(&body).map_err(|error| error.to_string())?;
    same("there and back", &shown(response), &shown(&back))?;
    same("usage", &response.usage, &back.usage)
}

fn check_whole(text: &str) -> Result<(), String> {
    let (response, _) = decode_response(text.as_bytes()).map_err(|error| error.to_string())?;
    check_usage(&response, text)?;
    let look = passthrough::look(&text.to_owned().into()).map_err(|error| error.to_string())?;
    same("usage seen", &look.usage, &response.usage)?;
    check_there_and_back(&response)
}

fn check_stream(text: &str) -> Result<(), String> {
    let events = decode_stream(text.as_bytes(), usize::MAX)?;
    for piece in [1, 7, 1_000] {
        same("split", &decode_stream(text.as_bytes(), piece)?, &events)?;
    }
    if let Some(Event::Failed(failed)) = events.last() {
        let mut tap = StreamTap::new();
        tap.push(text.as_bytes(), &mut Vec::new()).unwrap();
        return same("error seen", &tap.take_error().as_ref(), &Some(failed));
    }
    let response = collect(events)?;
    let whole = repeated(text).unwrap();
    check_usage(&response, &whole)?;
    let (expected, _) = decode_response(whole.as_bytes()).map_err(|error| error.to_string())?;
    if !is_abridged(&response, &expected) {
        same("parts", &shown(&response), &shown(&expected))?;
    }
    check_there_and_back(&response)?;
    let mut tap = StreamTap::new();
    let mut out = Vec::new();
    for part in text.as_bytes().chunks(5) {
        tap.push(part, &mut out)
            .map_err(|error| error.to_string())?;
    }
    tap.finish(&mut out).map_err(|error| error.to_string())?;
    same("usage seen", &tap.usage(), &response.usage)?;
    same("bytes", &out.as_slice(), &text.as_bytes())
}

#[test]
fn recorded_answers_decode_alike_whole_and_streamed() {
    let Some(root) = folder("SLUICE_RECORDINGS", "recordings") else {
        return;
    };
    let mut tally = Tally::default();
    for recorded in recorded(&root) {
        match &recorded.answer {
            Answer::Whole(text) if recorded.status != 200 => {
                let failed = error::decode(recorded.status, &HeaderMap::new(), text.as_bytes());
                let outcome = same("message", &failed.message.is_empty(), &false);
                tally.note(&recorded, "errors", outcome);
            }
            Answer::Whole(text) => tally.note(&recorded, "answers", check_whole(text)),
            Answer::Stream(text) => {
                for answer in answers(text) {
                    tally.note(&recorded, "streams", check_stream(&answer));
                }
            }
        }
    }
    tally.finish();
}

fn target() -> Target {
    Target {
        model: "gpt-x".to_owned(),
        max_completion_tokens: true,
        developer_role: true,
        reasoning_content: true,
        ..Target::default()
    }
}

fn check_request(body: &str) -> Result<(), String> {
    let (request, drops) = decode_request(body.as_bytes()).map_err(|error| error.message)?;
    same("dropped", &drops.as_slice(), &[].as_slice())?;
    let rewritten = passthrough::rewrite_request(body.as_bytes(), &request.model);
    same("untouched", &rewritten.as_slice(), &body.as_bytes())?;
    let mut portable = request.clone();
    if sluice_wire::responses::for_other_dialects(&mut portable).is_err() {
        return Ok(());
    }
    for (name, outcome) in [
        (
            "openai",
            openai::chat::encode_request(&portable, &target()).map(drop),
        ),
        (
            "anthropic",
            anthropic::encode_request(&portable, &target()).map(drop),
        ),
        (
            "gemini",
            gemini::encode_request(&portable, &target()).map(drop),
        ),
    ] {
        outcome.map_err(|error| format!("{name}: {error}"))?;
    }
    let (upstream, _) = encode_request(&request, &target()).map_err(|error| error.to_string())?;
    let (again, _) = decode_request(&upstream.body).map_err(|error| error.message)?;
    same("messages again", &again.messages, &request.messages)
}

#[test]
fn recorded_requests_decode_and_go_anywhere() {
    let Some(root) = folder("SLUICE_RECORDINGS", "recordings") else {
        return;
    };
    let mut tally = Tally::default();
    for recorded in recorded(&root) {
        if let Some(request) = &recorded.request {
            tally.note(&recorded, "requests", check_request(request));
        }
    }
    tally.finish();
}

/// OpenAI's description of one of its schemas.
struct Schema(jsonschema::Validator);

impl Schema {
    fn of(root: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(root.join("openai.openapi.json")).unwrap();
        Self::of_text(&text, name)
    }

    /// A request's items are of more than one kind at once: the description says `oneOf` and means `anyOf`.
    fn of_request(root: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(root.join("openai.openapi.json")).unwrap();
        Self::of_text(&text.replace("\"oneOf\"", "\"anyOf\""), name)
    }

    fn of_text(text: &str, name: &str) -> Self {
        let mut document: Value = serde_json::from_str(text).unwrap();
        let schemas = document["components"]["schemas"].take();
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": format!("#/components/schemas/{name}"),
            "components": {"schemas": schemas},
        });
        let validator = jsonschema::validator_for(&schema).unwrap();
        let wrong = json!({"object": 5, "type": 5, "input": 5});
        assert!(!validator.is_valid(&wrong), "the schema checks nothing");
        Self(validator)
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        let faults: Vec<String> = self
            .0
            .iter_errors(value)
            .map(|fault| format!("{} at {}", fault, fault.instance_path()))
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        let faults = faults.join("; ");
        Err(format!("{value:.1000}: {faults:.1000}"))
    }
}

fn stream_of(events: &[Event]) -> Vec<Value> {
    let mut encoder = StreamEncoder::new(answered());
    let mut out = Vec::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    String::from_utf8(out)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// Numbers rise by one, and everything that is added is done.
fn check_order(events: &[Value]) -> Result<(), String> {
    let mut open = std::collections::BTreeSet::new();
    for (number, event) in events.iter().enumerate() {
        same("sequence", &event["sequence_number"], &Value::from(number))?;
        let kind = event["type"].as_str().unwrap();
        let place = format!(
            "{} {} {}",
            event["output_index"], event["content_index"], event["summary_index"]
        );
        if let Some(kind) = kind.strip_suffix(".added")
            && !kind.ends_with("annotation")
        {
            same("added", &open.insert(format!("{kind} {place}")), &true)?;
        }
        if let Some(kind) = kind.strip_suffix(".done")
            && !kind.ends_with("text")
            && !kind.ends_with("arguments")
            && !kind.ends_with("refusal")
        {
            same("done", &open.remove(&format!("{kind} {place}")), &true)?;
        }
    }
    same("open", &open, &std::collections::BTreeSet::new())
}

/// Checks a stream that was written for a caller.
fn check_written(events: &[Event], schema: &Schema) -> Result<(), String> {
    let written = stream_of(events);
    // Equal events need one look.
    let mut looked: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &written {
        let count = looked.entry(event["type"].as_str().unwrap()).or_default();
        *count += 1;
        if *count <= 3 {
            schema.check(event)?;
        }
    }
    if matches!(events.last(), Some(Event::Failed(_))) {
        return Ok(());
    }
    check_order(&written)
}

#[test]
fn what_is_written_is_valid_by_the_description() {
    let (Some(root), Some(specs)) = (
        folder("SLUICE_RECORDINGS", "recordings"),
        folder("SLUICE_SPECS", "specs"),
    ) else {
        return;
    };
    let response_schema = Schema::of(&specs, "Response");
    let event_schema = Schema::of(&specs, "ResponseStreamEvent");
    let mut tally = Tally::default();
    for recorded in recorded(&root) {
        let Answer::Stream(text) = &recorded.answer else {
            if let Answer::Whole(text) = &recorded.answer
                && let Ok((response, _)) = decode_response(text.as_bytes())
            {
                let (body, _) = encode_response(&response, &answered());
                let value = serde_json::from_slice(&body).unwrap();
                tally.note(&recorded, "answers", response_schema.check(&value));
            }
            continue;
        };
        for answer in answers(text) {
            let events = decode_stream(answer.as_bytes(), usize::MAX).unwrap();
            tally.note(&recorded, "streams", check_written(&events, &event_schema));
        }
    }
    tally.finish();
}

/// Recorded exchanges of the other dialects.
fn foreign(root: &Path, dialect: Dialect) -> Vec<Recorded> {
    let (files, ops): (&[&str], &[&str]) = match dialect {
        Dialect::OpenAi => (
            &[
                "openai",
                "azure",
                "groq",
                "mistral",
                "deepseek",
                "openrouter",
            ],
            &["chat.completions"],
        ),
        Dialect::Anthropic => (&["anthropic"], &["messages"]),
        _ => (
            &["gemini", "vertex"],
            &["generateContent", "streamGenerateContent"],
        ),
    };
    let mut all = Vec::new();
    for provider in files {
        let lines = std::fs::read_to_string(root.join(format!("{provider}.jsonl"))).unwrap();
        for line in lines.lines() {
            let exchange: Value = serde_json::from_str(line).unwrap();
            let op = exchange["op"].as_str().unwrap();
            if !ops.contains(&op) || exchange["status"] != 200 {
                continue;
            }
            let text = |key: &str| match &exchange[key] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            all.push(Recorded {
                name: text("src"),
                provider: (*provider).to_owned(),
                status: 200,
                request: Some(text("request")),
                answer: match text("response_kind").as_str() {
                    "sse" => Answer::Stream(text("response")),
                    _ => Answer::Whole(text("response")),
                },
            });
        }
    }
    all
}

#[test]
fn what_other_providers_answer_is_written_validly() {
    let (Some(root), Some(specs)) = (
        folder("SLUICE_RECORDINGS", "recordings"),
        folder("SLUICE_SPECS", "specs"),
    ) else {
        return;
    };
    let response_schema = Schema::of(&specs, "Response");
    let event_schema = Schema::of(&specs, "ResponseStreamEvent");
    let mut tally = Tally::default();
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
        for recorded in foreign(&root, dialect) {
            match &recorded.answer {
                Answer::Whole(text) => {
                    // What cannot be read is the other dialect's own test's business.
                    let Ok((response, _)) = decode_chat(dialect, text.as_bytes()) else {
                        continue;
                    };
                    let (body, _) = encode_response(&response, &answered());
                    let value = serde_json::from_slice(&body).unwrap();
                    tally.note(&recorded, "answers", response_schema.check(&value));
                }
                Answer::Stream(text) => {
                    let mut decoder = AnyDecoder::new(dialect);
                    let mut events = Vec::new();
                    let pushed = decoder.push(text.as_bytes(), &mut events);
                    if pushed.and_then(|()| decoder.finish(&mut events)).is_err() {
                        continue;
                    }
                    tally.note(&recorded, "streams", check_written(&events, &event_schema));
                    let streamed = stream_of(&events).pop().unwrap();
                    let (whole, _) = encode_response(&collect(events).unwrap(), &answered());
                    let whole: Value = serde_json::from_slice(&whole).unwrap();
                    let outcome = same(
                        "output",
                        &texts_of(&streamed["response"]["output"]),
                        &texts_of(&whole["output"]),
                    );
                    tally.note(&recorded, "streams like answers", outcome);
                }
            }
        }
    }
    tally.finish();
}

/// Without log-probabilities, which a whole answer puts on its first text.
fn texts_of(output: &Value) -> Value {
    let mut output = output.clone();
    for item in output.as_array_mut().unwrap() {
        if let Some(contents) = item["content"].as_array_mut() {
            for content in contents {
                content["logprobs"] = Value::Null;
            }
        }
    }
    output
}

#[test]
fn what_other_callers_ask_is_written_validly() {
    let (Some(root), Some(specs)) = (
        folder("SLUICE_RECORDINGS", "recordings"),
        folder("SLUICE_SPECS", "specs"),
    ) else {
        return;
    };
    let schema = Schema::of_request(&specs, "CreateResponse");
    let mut tally = Tally::default();
    let own = recorded(&root).into_iter();
    for recorded in foreign(&root, Dialect::OpenAi)
        .into_iter()
        .chain(foreign(&root, Dialect::Anthropic))
        .chain(own)
    {
        let Some(body) = recorded.request.as_deref().map(str::as_bytes) else {
            continue;
        };
        let decoded = openai::chat::decode_request(body)
            .or_else(|_| anthropic::decode_request(body))
            .or_else(|_| decode_request(body));
        let Ok((request, _)) = decoded else {
            continue;
        };
        if let Ok((upstream, _)) = encode_request(&request, &target()) {
            let value = serde_json::from_slice(&upstream.body).unwrap();
            tally.note(&recorded, "requests", schema.check(&value));
        }
    }
    tally.finish();
}
