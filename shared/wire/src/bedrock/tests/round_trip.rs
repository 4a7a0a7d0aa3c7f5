//! There and back again equals the original, on what both sides can say.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::answers::decode_stream;
use super::spec::check_request;
use super::{body, framed, message, says, target};
use crate::bedrock::{decode_response, encode_request};
use crate::model::{ChatRequest, Collector, Event, Part, Role};

fn thought() -> impl Strategy<Value = Value> {
    prop_oneof![
        ("[a-zé ]{0,9}", "[A-Za-z0-9+/]{4,12}").prop_map(|(text, signature)| {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
        }),
        "([A-Za-z0-9+/]{4}){1,5}"
            .prop_map(|data| json!({"reasoningContent": {"redactedContent": data}})),
    ]
}

fn said() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => "[a-zé☃\"\\\\ ]{0,8}x".prop_map(|text| json!({"text": text})),
        1 => "[a-z]{1,9}".prop_map(|text| json!({"citationsContent": {
            "content": [{"text": text}],
            "citations": [{"title": "t", "location": {"web": {"url": "https://example.com"}}}],
        }})),
    ]
}

fn called() -> impl Strategy<Value = Vec<Value>> {
    vec(("[a-zA-Z0-9_-]{1,20}", option::of(any::<i32>())), 0..4).prop_map(|calls| {
        let input = |number: Option<i32>| match number {
            Some(number) => json!({"z": number, "a": [true, null, "é"]}),
            None => json!({}),
        };
        calls
            .into_iter()
            .enumerate()
            .map(|(at, (name, number))| {
                json!({"toolUse": {"toolUseId": format!("tooluse_{at}"), "name": name, "input": input(number)}})
            })
            .collect()
    })
}

prop_compose! {
    fn content()(
        mut blocks in vec(thought(), 0..3),
        said in vec(said(), 0..3),
        calls in called(),
    ) -> Vec<Value> {
        blocks.extend(said);
        blocks.extend(calls);
        // A turn may not end with its thoughts, and not with white space.
        blocks.push(json!({"text": "end"}));
        blocks
    }
}

/// The parts of an answer with this content.
fn parts(content: &[Value]) -> Vec<Part> {
    let answer = json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "end_turn",
    });
    let (mut response, drops) = decode_response(answer.to_string().as_bytes()).unwrap();
    assert!(drops.is_empty(), "{drops:?}");
    response.choices.remove(0).parts
}

/// The same content as a provider would stream it, in pieces of some characters.
fn lines(content: &[Value], size: usize) -> String {
    let mut lines = vec![json!({"messageStart": {"role": "assistant"}})];
    for (index, block) in content.iter().enumerate() {
        let (start, deltas) = deltas(block, size);
        if let Some(start) = start {
            lines.push(json!({"contentBlockStart": {"contentBlockIndex": index, "start": start}}));
        }
        let delta =
            |delta| json!({"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}});
        lines.extend(deltas.into_iter().map(delta));
        lines.push(json!({"contentBlockStop": {"contentBlockIndex": index}}));
    }
    lines.push(json!({"messageStop": {"stopReason": "end_turn"}}));
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    lines.join("\n")
}

fn deltas(block: &Value, size: usize) -> (Option<Value>, Vec<Value>) {
    let pieces = |text: &str| -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        chars
            .chunks(size)
            .map(|piece| piece.iter().collect())
            .collect()
    };
    let each = |text: &Value, of: fn(String) -> Value| -> Vec<Value> {
        pieces(text.as_str().unwrap()).into_iter().map(of).collect()
    };
    let reasoning = &block["reasoningContent"];
    if let Value::String(_) = reasoning["redactedContent"] {
        return (None, vec![json!({"reasoningContent": reasoning})]);
    }
    if let Value::Object(open) = &reasoning["reasoningText"] {
        let mut deltas = each(
            &open["text"],
            |text| json!({"reasoningContent": {"text": text}}),
        );
        deltas.extend(each(
            &open["signature"],
            |text| json!({"reasoningContent": {"signature": text}}),
        ));
        return (None, deltas);
    }
    if let Value::Object(call) = &block["toolUse"] {
        let start = json!({"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}});
        let input = Value::from(call["input"].to_string());
        return (
            Some(start),
            each(&input, |text| json!({"toolUse": {"input": text}})),
        );
    }
    if let Value::Object(cited) = &block["citationsContent"] {
        let mut deltas = each(&cited["content"][0]["text"], |text| json!({"text": text}));
        deltas.push(json!({"citation": cited["citations"][0]}));
        return (None, deltas);
    }
    (None, each(&block["text"], |text| json!({"text": text})))
}

proptest! {
    #[test]
    fn what_a_model_said_goes_back_as_it_was(content in content()) {
        let request = ChatRequest {
            messages: vec![
                says(Role::User, "hi"),
                message(Role::Assistant, parts(&content)),
                says(Role::User, "go on"),
            ],
            ..ChatRequest::default()
        };
        let (upstream, drops) = encode_request(&request, &target()).unwrap();
        prop_assert!(drops.is_empty(), "{:?}", drops);
        let body = body(&upstream);
        check_request(&body);
        prop_assert_eq!(body["messages"][1]["content"].as_array().unwrap(), &content);
    }

    #[test]
    fn a_streamed_answer_is_the_whole_one(content in content(), size in 1_usize..9) {
        let (events, end) = decode_stream(&[&framed(&lines(&content, size))]);
        prop_assert_eq!(end, Ok(()));
        let mut collector = Collector::new();
        let has_empty = events.iter().any(|event| matches!(event, Event::Delta { text, .. } if text.is_empty()));
        prop_assert!(!has_empty);
        events.into_iter().for_each(|event| collector.push(event));
        let collected = collector.finish().unwrap().choices.remove(0).parts;
        prop_assert_eq!(collected, parts(&content));
    }
}
