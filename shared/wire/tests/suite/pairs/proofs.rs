//! Proofs over reasoning and calls come back byte for byte, whatever dialect the caller speaks: a client takes what was
//! answered, puts it into its next request as it is, and the provider gets what it signed.

use serde_json::{Value, json};
use sluice_wire::model::{ChatRequest, ChatResponse, Part, Role};

use super::answers::answers;
use crate::support::framing;
use crate::support::sides::{Downstream, collect};

/// What is signed, or bears a proof itself.
#[derive(Debug, PartialEq)]
enum Signed {
    Thought(String, Option<String>),
    Redacted(String),
    Call(String, Option<String>),
}

fn signed(parts: &[Part]) -> Vec<Signed> {
    let signed = parts.iter().filter_map(|part| match part {
        Part::Thinking {
            signature: None, ..
        } => None,
        Part::Thinking { text, signature } => {
            Some(Signed::Thought(text.clone(), signature.clone()))
        }
        Part::RedactedThinking { data } => Some(Signed::Redacted(data.clone())),
        Part::ToolCall {
            name, signature, ..
        } => Some(Signed::Call(name.clone(), signature.clone())),
        _ => None,
    });
    signed.collect()
}

/// The client's next request: what was answered stands in it as it is.
fn next(downstream: Downstream, answer: &Value) -> Value {
    let asks = json!({"role": "user", "content": "Go on."});
    match downstream {
        Downstream::Chat => {
            let said = &answer["choices"][0]["message"];
            json!({"model": "fast", "messages": [asks, said, asks]})
        }
        Downstream::Responses => {
            let mut input = vec![asks.clone()];
            input.extend(answer["output"].as_array().unwrap().iter().cloned());
            json!({"model": "fast", "store": false, "input": input})
        }
        Downstream::Anthropic => {
            let said = json!({"role": "assistant", "content": answer["content"]});
            json!({"model": "fast", "max_tokens": 10, "messages": [asks, said, asks]})
        }
        Downstream::Gemini => {
            let asks = json!({"role": "user", "parts": [{"text": "Go on."}]});
            json!({"contents": [asks, answer["candidates"][0]["content"], asks]})
        }
    }
}

fn kept(downstream: Downstream, response: &ChatResponse) -> Vec<Signed> {
    let (body, _) = downstream.answer(response);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let body = next(downstream, &answer).to_string();
    let (request, _): (ChatRequest, _) = downstream.decode(body.as_bytes()).unwrap();
    let assistants = request
        .messages
        .iter()
        .filter(|message| message.role == Role::Assistant);
    let parts: Vec<Part> = assistants
        .flat_map(|message| message.parts.clone())
        .collect();
    signed(&parts)
}

/// Messages has no place for a proof over a call: that is named as lost.
fn expected(downstream: Downstream, response: &ChatResponse) -> Vec<Signed> {
    let mut expected = signed(&response.choices[0].parts);
    for one in &mut expected {
        if let (Downstream::Anthropic, Signed::Call(_, proof)) = (downstream, one) {
            *proof = None;
        }
    }
    expected
}

#[test]
fn what_is_signed_comes_back_byte_for_byte() {
    let mut count = 0;
    for (name, upstream, whole, chunks) in answers() {
        let (response, _) = upstream.answer(whole.to_string().as_bytes()).unwrap();
        if signed(&response.choices[0].parts).is_empty() {
            continue;
        }
        let (events, _, _) = upstream.stream(&framing::stream(upstream, &chunks), usize::MAX);
        for downstream in Downstream::ALL {
            let place = format!("{name} {} → {}", upstream.name(), downstream.name());
            let mut found = kept(downstream, &response);
            let mut expected = expected(downstream, &response);
            // Responses' calls are signed behind them, Chat Completions' thoughts stand first.
            let order = |one: &Signed| format!("{one:?}");
            found.sort_by_key(order);
            expected.sort_by_key(order);
            assert_eq!(found, expected, "{place}");
            // Streamed, the client gets the same.
            let (whole, _) = downstream.answer(&response);
            let (whole, _) = downstream.as_upstream().answer(&whole).unwrap();
            let (bytes, _) = downstream.stream(&events);
            let (again, _, _) = downstream.as_upstream().stream(&bytes, usize::MAX);
            let streamed = collect(&again).unwrap();
            let of = |response: &ChatResponse| {
                let mut proofs: Vec<String> = signed(&response.choices[0].parts)
                    .into_iter()
                    .filter_map(|one| match one {
                        Signed::Thought(_, proof) | Signed::Call(_, proof) => proof,
                        Signed::Redacted(data) => Some(data),
                    })
                    .collect();
                proofs.sort();
                proofs
            };
            assert_eq!(of(&streamed), of(&whole), "{place} streamed");
            count += 1;
        }
    }
    println!("{count} signed answers came back");
    assert!(count >= 40, "{count}");
}
