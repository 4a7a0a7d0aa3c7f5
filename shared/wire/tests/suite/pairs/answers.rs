//! A provider's answer becomes one that the caller's client understands, whole and streamed, and the loss report names
//! exactly what it does not say.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_wire::Drops;
use sluice_wire::model::{ChatResponse, Event, Part};

use crate::support::facts::of_response;
use crate::support::folders::fixtures;
use crate::support::framing;
use crate::support::loss;
use crate::support::order;
use crate::support::rules::{check_answer, check_chunk};
use crate::support::sides::{Downstream, Upstream, collect};

/// The answers, each in the words of every provider that can say it: whole, and the chunks of a stream.
pub(crate) fn answers() -> Vec<(String, Upstream, Value, Vec<Value>)> {
    let mut all = Vec::new();
    for (name, mut words) in fixtures("pairs", "answer_") {
        for upstream in Upstream::ALL {
            let mut said = words[upstream.name()].take();
            if !said.is_null() {
                let chunks = said["stream"].as_array().unwrap().clone();
                all.push((name.clone(), upstream, said["whole"].take(), chunks));
            }
        }
    }
    all
}

/// What is wrong with an answer as the caller gets it.
pub(crate) fn faults_of_whole(downstream: Downstream, response: &ChatResponse) -> Vec<String> {
    let (body, drops) = downstream.answer(response);
    let body: Value = serde_json::from_slice(&body).unwrap();
    if let Err(fault) = check_answer(downstream, &body) {
        return vec![format!("not valid: {fault}\n{body}")];
    }
    match downstream.as_upstream().answer(body.to_string().as_bytes()) {
        Err(fault) => vec![format!("not understood: {fault}")],
        Ok((carried, _)) => compared(downstream, response, carried, &drops),
    }
}

/// What is wrong with a stream as the caller gets it.
pub(crate) fn faults_of_stream(
    downstream: Downstream,
    response: &ChatResponse,
    events: &[Event],
) -> Vec<String> {
    let (bytes, drops) = downstream.stream(events);
    let mut looked = BTreeSet::new();
    for chunk in order::chunks(&bytes) {
        // Chunks of one shape need one look.
        if looked.insert(shape(&chunk))
            && let Err(fault) = check_chunk(downstream, &chunk)
        {
            return vec![format!("not valid: {fault}\n{chunk}")];
        }
    }
    if let Err(fault) = order::check(downstream, &bytes) {
        return vec![format!("{fault}\n{}", String::from_utf8_lossy(&bytes))];
    }
    let (carried, _, end) = downstream.as_upstream().stream(&bytes, usize::MAX);
    match end
        .map_err(|fault| fault.to_string())
        .and_then(|()| collect(&carried))
    {
        Err(fault) => vec![format!("not understood: {fault}")],
        Ok(carried) => compared(downstream, response, carried, &drops),
    }
}

/// The names of all fields, and the types of events.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| match value.as_str() {
                Some(text) if key == "type" => text.to_owned(),
                _ => format!("{key}:{}", shape(value)),
            });
            fields.collect::<Vec<_>>().join(",")
        }
        Value::Array(values) => values
            .iter()
            .map(shape)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        Value::Null => "null".to_owned(),
        _ => String::new(),
    }
}

fn compared(
    downstream: Downstream,
    response: &ChatResponse,
    carried: ChatResponse,
    drops: &Drops,
) -> Vec<String> {
    let said = of_response(&plain(response.clone(), downstream));
    let carried = of_response(&plain(carried, downstream));
    let mut faults = loss::faults(&said, &carried, drops);
    faults.retain(|fault| !(fault.starts_with("named") && fault.contains("signature")));
    faults
}

/// One way of saying what can be said in several: texts that follow one another are one (where the dialect has one
/// text, all are), and proofs, which each dialect carries in its own way, are another test's business.
fn plain(mut response: ChatResponse, downstream: Downstream) -> ChatResponse {
    for choice in &mut response.choices {
        let mut parts: Vec<Part> = Vec::new();
        for mut part in std::mem::take(&mut choice.parts) {
            if let Part::Thinking { signature, .. } | Part::ToolCall { signature, .. } = &mut part {
                *signature = None;
            }
            if let Part::Text { annotations, .. } = &mut part {
                *annotations = annotations.drain(..).flat_map(cited).collect();
            }
            let last = match downstream {
                Downstream::Chat => parts.iter_mut().find(|known| same_kind(known, &part)),
                _ => parts.last_mut().filter(|known| same_kind(known, &part)),
            };
            match (last, part) {
                (_, Part::RedactedThinking { .. }) => {}
                (Some(known), part) => join(known, part),
                (None, part) => parts.push(part),
            }
        }
        choice.parts = parts;
        if let Some(logprobs) = &mut choice.logprobs {
            *logprobs = logprobs["content"].take();
        }
    }
    response
}

/// What cites an address cites it under a title, in whatever dialect's words.
fn cited(annotation: Value) -> Vec<Value> {
    let mut found = Vec::new();
    addresses(&annotation, "", &mut found);
    if found.is_empty() {
        found.push(annotation);
    }
    found
}

fn addresses(value: &Value, title: &str, found: &mut Vec<Value>) {
    let title = value["title"].as_str().unwrap_or(title);
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(url) if key == "url" || key == "uri" => {
                        found.push(json!({"url": url, "title": title}));
                    }
                    _ => addresses(value, title, found),
                }
            }
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| addresses(value, title, found)),
        _ => {}
    }
}

fn same_kind(known: &Part, part: &Part) -> bool {
    matches!(
        (known, part),
        (Part::Text { .. }, Part::Text { .. }) | (Part::Thinking { .. }, Part::Thinking { .. })
    )
}

fn join(known: &mut Part, part: Part) {
    match (known, part) {
        (
            Part::Text {
                text, annotations, ..
            },
            Part::Text {
                text: more,
                annotations: others,
                ..
            },
        ) => {
            text.push_str(&more);
            annotations.extend(others);
        }
        (Part::Thinking { text, .. }, Part::Thinking { text: more, .. }) => text.push_str(&more),
        _ => {}
    }
}

#[test]
fn a_stream_says_what_a_whole_answer_says() {
    let mut failures = Vec::new();
    for (name, upstream, whole, chunks) in answers() {
        let place = format!("{name} {}", upstream.name());
        let (whole, _) = upstream.answer(whole.to_string().as_bytes()).unwrap();
        let bytes = framing::stream(upstream, &chunks);
        let (events, _, end) = upstream.stream(&bytes, usize::MAX);
        if let Err(fault) = end {
            failures.push(format!("{place}: {fault}"));
            continue;
        }
        for size in [1, 2, 7, 64] {
            let (cut, _, end) = upstream.stream(&bytes, size);
            assert_eq!(
                (cut, end),
                (events.clone(), Ok(())),
                "{place} in pieces of {size}"
            );
        }
        let mut streamed = collect(&events).unwrap();
        // Not streamed by every provider.
        streamed.extra.clone_from(&whole.extra);
        let (said, carried) = (of_response(&whole), of_response(&streamed));
        let what = |facts: &[crate::support::facts::Fact]| {
            let mut what: Vec<String> = facts.iter().map(|fact| fact.what.clone()).collect();
            what.sort();
            what
        };
        if what(&said) != what(&carried) {
            failures.push(format!(
                "{place}:\n  {:?}\n  {:?}",
                what(&said),
                what(&carried)
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_answer_is_valid_and_loses_nothing_in_silence() {
    let mut failures = Vec::new();
    let mut count = 0;
    for (name, upstream, whole, chunks) in answers() {
        let (response, _) = upstream.answer(whole.to_string().as_bytes()).unwrap();
        let bytes = framing::stream(upstream, &chunks);
        let (events, _, _) = upstream.stream(&bytes, usize::MAX);
        let streamed = collect(&events).unwrap();
        for downstream in Downstream::ALL {
            count += 1;
            let (from, to) = (upstream.name(), downstream.name());
            for fault in faults_of_whole(downstream, &response) {
                failures.push(format!("{name} {from} → {to} whole: {fault}"));
            }
            for fault in faults_of_stream(downstream, &streamed, &events) {
                failures.push(format!("{name} {from} → {to} streamed: {fault}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{count} answers went from each dialect to each, whole and streamed");
}
