//! Replays recorded exchanges of OpenAI's Responses.
//!
//! Reads the folder that `SLUICE_RECORDINGS` names, or `../shared/recordings`
//! beside the project. Where there is none, the tests say so and check nothing.

use serde_json::Value;
use sluice_wire::model::{ChatResponse, Choice, Collector, Event, Part};
use sluice_wire::responses::passthrough::{self, StreamTap};
use sluice_wire::responses::{
    Answered, Echo, StreamDecoder, decode_request, decode_response, encode_request, encode_response,
};
use sluice_wire::{Target, anthropic, gemini, openai};

use crate::support::recordings::{Answer, of_dialect};
use crate::support::sides::Upstream;
use crate::support::tally::{Tally, same};

fn answered() -> Answered {
    Answered {
        id: "resp_replay".to_owned(),
        created: 1,
        model: String::new(),
        echo: Echo::default(),
    }
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
    let all = of_dialect(Upstream::Responses);
    if all.is_empty() {
        return;
    }
    let mut tally = Tally::default();
    for recorded in all {
        let (provider, name) = (&recorded.provider, &recorded.source);
        match &recorded.answer {
            Answer::Whole(answer) => {
                let outcome = check_whole(&answer.to_string());
                tally.note(provider, "answers", name, outcome);
            }
            Answer::Stream(bytes) => {
                for answer in answers(std::str::from_utf8(bytes).unwrap()) {
                    tally.note(provider, "streams", name, check_stream(&answer));
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
    let all = of_dialect(Upstream::Responses);
    if all.is_empty() {
        return;
    }
    let mut tally = Tally::default();
    for recorded in all {
        if let Some(request) = &recorded.request {
            let outcome = check_request(&request.to_string());
            tally.note(&recorded.provider, "requests", &recorded.source, outcome);
        }
    }
    tally.finish();
}
