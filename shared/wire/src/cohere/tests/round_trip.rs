//! There and back again equals the original, on what both sides can say.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::answers::decode_stream;
use super::{body, message, says, target};
use crate::cohere::{decode_response, encode_request};
use crate::model::{ChatRequest, ChatResponse, Collector, Role};
use crate::sse::write_event;

fn words() -> impl Strategy<Value = String> {
    "[a-zé☃\"\\\\ ]{0,8}x"
}

fn calls() -> impl Strategy<Value = Vec<Value>> {
    vec(
        ("[a-zA-Z_][a-zA-Z0-9_]{0,9}", option::of(any::<i32>())),
        1..4,
    )
    .prop_map(|calls| {
        let arguments = |number: Option<i32>| match number {
            Some(number) => format!("{{\"z\": {number}, \"a\":[true,null,\"é\"]}}"),
            None => "{}".to_owned(),
        };
        calls
            .into_iter()
            .enumerate()
            .map(|(at, (name, number))| {
                json!({"id": format!("{name}_{at}"), "type": "function",
                    "function": {"name": name, "arguments": arguments(number)}})
            })
            .collect()
    })
}

/// An answer's message: thoughts, then a plan with calls or a text with citations.
fn answer() -> impl Strategy<Value = Value> {
    let thoughts = || option::of(words());
    let thinking = |thought: Option<String>| -> Vec<Value> {
        thought
            .map(|text| json!({"type": "thinking", "thinking": text}))
            .into_iter()
            .collect()
    };
    let planned =
        (thoughts(), option::of(words()), calls()).prop_map(move |(thought, plan, calls)| {
            let mut message = json!({"role": "assistant", "tool_calls": calls});
            let thoughts = thinking(thought);
            if !thoughts.is_empty() {
                message["content"] = thoughts.into();
            }
            if let Some(plan) = plan {
                message["tool_plan"] = plan.into();
            }
            message
        });
    let said = (thoughts(), words(), 0_usize..3).prop_map(move |(thought, text, citations)| {
        let mut content = thinking(thought);
        content.push(json!({"type": "text", "text": text}));
        let mut message = json!({"role": "assistant", "content": content});
        if citations > 0 {
            let cite = |at| json!({"start": at, "end": 2, "text": "x", "sources": []});
            message["citations"] = (0..citations).map(cite).collect();
        }
        message
    });
    prop_oneof![planned, said]
}

fn decoded(message: &Value) -> ChatResponse {
    let answer = json!({"id": "a", "message": message, "finish_reason": "COMPLETE",
        "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 4}}});
    let (response, drops) = decode_response(answer.to_string().as_bytes()).unwrap();
    assert!(drops.is_empty(), "{drops:?}");
    response
}

/// The same message as a provider would stream it, in pieces of some characters.
fn streamed(message: &Value, size: usize) -> Vec<u8> {
    let pieces = |text: &Value| -> Vec<String> {
        let chars: Vec<char> = text.as_str().unwrap_or_default().chars().collect();
        chars
            .chunks(size)
            .map(|piece| piece.iter().collect())
            .collect()
    };
    let mut events =
        vec![json!({"type": "message-start", "id": "a", "delta": {"message": {"content": []}}})];
    for (index, block) in message["content"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let kind = block["type"].as_str().unwrap();
        let content = |kind: &str, content: Value| json!({"type": kind, "index": index, "delta": {"message": {"content": content}}});
        events.push(content("content-start", json!({"type": kind, kind: ""})));
        events.extend(
            pieces(&block[kind])
                .into_iter()
                .map(|text| content("content-delta", json!({kind: text}))),
        );
        events.push(json!({"type": "content-end", "index": index}));
    }
    let plan = |text: String| json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": text}}});
    events.extend(pieces(&message["tool_plan"]).into_iter().map(plan));
    for (index, citation) in message["citations"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        events.push(json!({"type": "citation-start", "index": index, "delta": {"message": {"citations": citation}}}));
    }
    for (index, call) in message["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let mut start = call.clone();
        let arguments = start["function"]["arguments"].take();
        start["function"]["arguments"] = "".into();
        let calls = |kind: &str, calls: Value| json!({"type": kind, "index": index, "delta": {"message": {"tool_calls": calls}}});
        events.push(calls("tool-call-start", start));
        let delta =
            |text: String| calls("tool-call-delta", json!({"function": {"arguments": text}}));
        events.extend(pieces(&arguments).into_iter().map(delta));
        events.push(json!({"type": "tool-call-end", "index": index}));
    }
    events.push(
        json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE",
        "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 4}}}}),
    );
    let mut bytes = Vec::new();
    for event in events {
        write_event(
            &mut bytes,
            event["type"].as_str(),
            event.to_string().as_bytes(),
        );
    }
    bytes
}

proptest! {
    #[test]
    fn what_a_model_said_goes_back_as_it_was(answer in answer()) {
        let parts = decoded(&answer).choices.remove(0).parts;
        let request = ChatRequest {
            messages: vec![
                says(Role::User, "hi"),
                message(Role::Assistant, parts),
                says(Role::User, "go on"),
            ],
            ..ChatRequest::default()
        };
        let (upstream, drops) = encode_request(&request, &target()).unwrap();
        prop_assert!(drops.is_empty(), "{:?}", drops);
        let mut sent = body(&upstream)["messages"][1].take();
        if sent["content"].is_string() {
            // One text alone is a string.
            sent["content"] = json!([{"type": "text", "text": sent["content"]}]);
        }
        prop_assert_eq!(sent, answer);
    }

    #[test]
    fn a_streamed_answer_is_the_whole_one(answer in answer(), size in 1_usize..9) {
        let (events, end) = decode_stream(&[&streamed(&answer, size)]);
        prop_assert_eq!(end, Ok(()));
        let mut collector = Collector::new();
        events.into_iter().for_each(|event| collector.push(event));
        prop_assert_eq!(collector.finish().unwrap(), decoded(&answer));
    }
}
