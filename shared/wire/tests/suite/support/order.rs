//! Whether a stream that was written for a caller is well-formed: what comes first, what must be paired, what ends it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::sides::Downstream;

/// The data of each event.
pub(crate) fn data(stream: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(stream).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(str::to_owned).collect()
}

/// The JSON of each event; OpenAI's last word is none.
pub(crate) fn chunks(stream: &[u8]) -> Vec<Value> {
    data(stream)
        .iter()
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// Checks a stream that ended well.
pub(crate) fn check(downstream: Downstream, stream: &[u8]) -> Result<(), String> {
    let chunks = chunks(stream);
    match downstream {
        Downstream::Chat => {
            if data(stream).last().map(String::as_str) != Some("[DONE]") {
                return Err("no [DONE] at the end".to_owned());
            }
            chat(&chunks)
        }
        Downstream::Responses => responses(&chunks),
        Downstream::Anthropic => messages(stream, &chunks),
        Downstream::Gemini => gemini(&chunks),
    }
}

fn ensure(holds: bool, fault: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault.to_owned()) }
}

/// One identity; each choice greets once, finishes once and then is silent; calls begin with their names, in order.
fn chat(chunks: &[Value]) -> Result<(), String> {
    let (mut greeted, mut finished) = (BTreeSet::new(), BTreeSet::new());
    let mut calls: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut has_usage = false;
    for chunk in chunks {
        ensure(chunk["id"] == chunks[0]["id"], "the identifier changes")?;
        ensure(!has_usage, "something follows the usage")?;
        has_usage = chunk["usage"].is_object();
        let choices = chunk["choices"].as_array().unwrap();
        ensure(!has_usage || choices.is_empty(), "usage beside choices")?;
        for choice in choices {
            let index = choice["index"].as_u64().unwrap();
            let delta = &choice["delta"];
            ensure(!finished.contains(&index), "a choice speaks after its end")?;
            let greets = delta["role"] == "assistant";
            ensure(greets == greeted.insert(index), "a choice greets not once")?;
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let number = call["index"].as_u64().unwrap();
                let is_new = calls.insert((index, number));
                let named = call["function"]["name"].is_string() && call["id"].is_string();
                ensure(is_new == named, "a call is named not once")?;
                let before = number == 0 || calls.contains(&(index, number - 1));
                ensure(before, "a call's number is left out")?;
            }
            if choice["finish_reason"].is_string() {
                finished.insert(index);
            }
        }
    }
    ensure(greeted == finished, "a choice does not end")
}

/// Numbers rise by one, everything that is added is done, and what is done is what was said.
fn responses(chunks: &[Value]) -> Result<(), String> {
    let mut open = BTreeSet::new();
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for (number, event) in chunks.iter().enumerate() {
        ensure(
            event["sequence_number"] == number,
            "the numbers do not rise by one",
        )?;
        let kind = event["type"].as_str().unwrap();
        let place = format!(
            "{} {} {}",
            event["output_index"], event["content_index"], event["summary_index"]
        );
        if kind == "response.output_text.delta" {
            let said = said.entry(place.clone()).or_default();
            said.push_str(event["delta"].as_str().unwrap());
        }
        if kind == "response.output_text.done" {
            let text = said.remove(&place).unwrap_or_default();
            ensure(event["text"] == text, "another text is done")?;
        }
        for thing in ["output_item", "content_part", "reasoning_summary_part"] {
            if kind == format!("response.{thing}.added") {
                ensure(open.insert(format!("{thing} {place}")), "added twice")?;
            }
            if kind == format!("response.{thing}.done") {
                ensure(
                    open.remove(&format!("{thing} {place}")),
                    "done and not added",
                )?;
            }
        }
    }
    ensure(open.is_empty(), "something is added and not done")?;
    let kinds: Vec<&str> = chunks
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    ensure(
        kinds.starts_with(&["response.created", "response.in_progress"]),
        "it does not begin",
    )?;
    let last = kinds.last().copied().unwrap_or_default();
    ensure(
        ["response.completed", "response.incomplete"].contains(&last),
        "it does not end",
    )
}

/// Blocks one after another, deltas of the block's kind, one end; each event under its name.
fn messages(stream: &[u8], chunks: &[Value]) -> Result<(), String> {
    let text = std::str::from_utf8(stream).unwrap();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    let kinds: Vec<&str> = chunks
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    ensure(names == kinds, "an event's name is not its type")?;
    let mut open: Option<(u64, String)> = None;
    let mut next = 0;
    for event in chunks {
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                ensure(
                    open.is_none() && index == Some(next),
                    "a block begins out of turn",
                )?;
                let kind = event["content_block"]["type"].as_str().unwrap().to_owned();
                open = Some((next, kind));
                next += 1;
            }
            "content_block_delta" => {
                let Some((at, kind)) = &open else {
                    return Err("a delta of no block".to_owned());
                };
                ensure(index == Some(*at), "a delta of another block")?;
                let kinds: &[&str] = match kind.as_str() {
                    "text" => &["text_delta", "citations_delta"],
                    "thinking" => &["thinking_delta", "signature_delta"],
                    "tool_use" => &["input_json_delta"],
                    _ => &[],
                };
                let delta = event["delta"]["type"].as_str().unwrap();
                ensure(kinds.contains(&delta), "a delta of another kind")?;
            }
            "content_block_stop" => {
                ensure(open.take().map(|(at, _)| at) == index, "another block ends")?;
            }
            _ => ensure(open.is_none(), "a block is open")?,
        }
    }
    let count = |kind: &str| kinds.iter().filter(|found| **found == kind).count();
    ensure(kinds.first() == Some(&"message_start"), "it does not begin")?;
    ensure(
        kinds.ends_with(&["message_delta", "message_stop"]),
        "it does not end",
    )?;
    ensure(
        count("message_start") == 1 && count("message_delta") == 1 && count("message_stop") == 1,
        "it begins or ends twice",
    )
}

/// Each candidate finishes once and is silent then.
fn gemini(chunks: &[Value]) -> Result<(), String> {
    let mut finished = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for chunk in chunks {
        for candidate in chunk["candidates"].as_array().into_iter().flatten() {
            let index = candidate["index"].as_u64().unwrap_or(0);
            seen.insert(index);
            ensure(
                !finished.contains(&index),
                "a candidate speaks after its end",
            )?;
            if candidate["finishReason"].is_string() {
                finished.insert(index);
            }
        }
    }
    ensure(seen == finished, "a candidate does not end")
}
