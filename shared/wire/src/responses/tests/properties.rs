//! What holds for every input.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::passthrough::{StreamTap, rewrite_request};
use super::{answered, collect, decode_stream, each, encode_stream, openai};
use crate::responses::{decode_request, decode_response, encode_request, encode_response};

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

fn tap(pieces: &[&[u8]]) -> (String, Vec<u8>, bool) {
    let mut tap = StreamTap::new();
    let mut out = Vec::new();
    let pushed: Result<(), _> = pieces
        .iter()
        .try_for_each(|piece| tap.push(piece, &mut out));
    let end = pushed.and_then(|()| tap.finish(&mut out));
    let seen = format!(
        "{:?} {:?} {} {}",
        tap.usage(),
        tap.finish_reason(),
        tap.written().tokens(),
        tap.is_complete()
    );
    (seen, out, end.is_ok())
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 éß🌍\"\\\\\n]{1,12}"
}

fn id() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,9}"
}

fn item() -> impl Strategy<Value = Value> {
    let content = prop_oneof![
        word().prop_map(Value::from),
        proptest::collection::vec(word(), 2..4).prop_map(|texts| texts
            .into_iter()
            .map(|text| json!({"type": "input_text", "text": text}))
            .collect()),
    ];
    let said = ("user|system|developer", content)
        .prop_map(|(role, content)| json!({"type": "message", "role": role, "content": content}));
    let answered =
        word().prop_map(|text| json!({"type": "message", "role": "assistant", "content": text}));
    let call = (id(), "[a-z_]{1,9}", word()).prop_map(|(id, name, text)| {
        let arguments = json!({"text": text}).to_string();
        json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
    });
    let result = (id(), word()).prop_map(
        |(id, text)| json!({"type": "function_call_output", "call_id": id, "output": text}),
    );
    let thought = (id(), proptest::collection::vec(word(), 0..3), "[a-zA-Z0-9+/_-]{1,20}").prop_map(
        |(id, texts, encrypted)| {
            let summary: Vec<Value> = texts
                .into_iter()
                .map(|text| json!({"type": "summary_text", "text": text}))
                .collect();
            json!({"type": "reasoning", "id": id, "summary": summary, "encrypted_content": encrypted})
        },
    );
    let picture = (id(), word()).prop_map(|(host, text)| {
        let url = format!("https://{host}/a.png");
        json!({"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": text},
            {"type": "input_image", "image_url": url, "detail": "low"},
        ]})
    });
    prop_oneof![said, answered, call, result, thought, picture]
}

/// Requests of the common subset, written as the encoder writes them.
fn request() -> impl Strategy<Value = Value> {
    (
        proptest::option::of(word()),
        proptest::collection::vec(item(), 1..8),
        proptest::option::of(16_u64..100_000),
        proptest::option::of(0_u32..=20),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(instructions, input, limit, tenths, store, stream)| {
            let mut body = json!({"model": "gpt-x"});
            if let Some(instructions) = instructions {
                body["instructions"] = instructions.into();
            }
            body["input"] = input.into();
            if let Some(limit) = limit {
                body["max_output_tokens"] = limit.into();
            }
            if let Some(tenths) = tenths {
                body["temperature"] = (f64::from(tenths) / 10.0).into();
            }
            body["include"] = json!(["reasoning.encrypted_content"]);
            body["store"] = store.into();
            if stream {
                body["stream"] = true.into();
            }
            body
        })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "message|reasoning|function_call|input_text|output_text|user|assistant|x"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = "type|role|content|input|output|model|summary|text|call_id|name|arguments|id|item|part|delta|response|status|output_index|content_index|encrypted_content|tools|error";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn step() -> impl Strategy<Value = Value> {
    let kind = "response\\.(created|completed|incomplete|failed|output_item\\.(added|done)|content_part\\.(added|done)|output_text\\.delta|refusal\\.delta|function_call_arguments\\.delta|reasoning_summary_text\\.delta|reasoning_text\\.delta|reasoning_summary_part\\.added)";
    let item = prop_oneof![
        Just(json!({"type": "message", "content": [{"type": "output_text", "text": "a"}]})),
        Just(
            json!({"type": "reasoning", "id": "rs", "summary": [{"text": "b"}], "encrypted_content": "e"})
        ),
        Just(json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"})),
        json_value(),
    ];
    (kind, 0_u32..3, 0_u32..3, item, word()).prop_map(|(kind, at, number, item, text)| {
        json!({
            "type": kind,
            "output_index": at,
            "content_index": number,
            "summary_index": number,
            "item": item,
            "part": {"type": "output_text", "text": text},
            "delta": text,
            "response": {"output": [item], "status": "completed"},
        })
    })
}

/// Parts begin once, grow while they are open, and end once; nothing follows the end.
fn check_order(events: &[crate::model::Event]) {
    use crate::model::Event;
    let mut open = std::collections::BTreeSet::new();
    let mut next = 0;
    let mut over = false;
    for event in events {
        assert!(!over, "{events:?}");
        match event {
            Event::PartStart { part, .. } => {
                assert_eq!(*part, next);
                next += 1;
                open.insert(*part);
            }
            Event::Delta { part, text, .. } => {
                assert!(open.contains(part) && !text.is_empty(), "{events:?}");
            }
            Event::Signature { part, .. } | Event::Annotation { part, .. } => {
                assert!(open.contains(part), "{events:?}");
            }
            Event::PartEnd { part, .. } => assert!(open.remove(part), "{events:?}"),
            Event::Finish { .. } => assert!(open.is_empty(), "{events:?}"),
            Event::End | Event::Failed(_) => over = true,
            Event::Start { .. } | Event::Usage(_) | Event::Logprobs { .. } => {}
        }
    }
}

proptest! {
    #[test]
    fn any_split_decodes_alike(cuts in proptest::collection::vec(any::<usize>(), 0..20)) {
        for (_, body) in each("stream_") {
            let whole = decode_stream(&[&body]);
            prop_assert_eq!(&decode_stream(&pieces(&body, &cuts)), &whole);
            prop_assert_eq!(tap(&pieces(&body, &cuts)), tap(&[&body]));
        }
    }

    #[test]
    fn requests_come_there_and_back(body in request()) {
        let (request, drops) = decode_request(body.to_string().as_bytes()).unwrap();
        prop_assert!(drops.is_empty(), "{:?}", drops);
        let (upstream, drops) = encode_request(&request, &openai()).unwrap();
        prop_assert!(drops.is_empty(), "{:?}", drops);
        let (again, _) = decode_request(&upstream.body).unwrap();
        prop_assert_eq!(again, request);
    }

    #[test]
    fn answers_come_there_and_back(items in proptest::collection::vec(item(), 0..6)) {
        let output: Vec<Value> = items
            .into_iter()
            .filter(|item| item["role"] == "assistant" || item["type"] == "function_call")
            .map(|mut item| {
                if item["type"] == "message" {
                    let text = item["content"].take();
                    item["content"] = json!([{"type": "output_text", "text": text}]);
                }
                item
            })
            .collect();
        let body = json!({"id": "resp_1", "model": "fast", "created_at": 5, "output": output, "status": "completed"});
        let (response, drops) = decode_response(body.to_string().as_bytes()).unwrap();
        prop_assert!(drops.is_empty(), "{:?}", drops);
        let (written, drops) = encode_response(&response, &answered());
        prop_assert!(drops.is_empty(), "{:?}", drops);
        let (again, _) = decode_response(&written).unwrap();
        prop_assert_eq!(again, response);
    }

    #[test]
    fn a_rewritten_request_differs_in_its_model_only(body in request()) {
        let rewritten = rewrite_request(body.to_string().as_bytes(), "other");
        let mut rewritten: Value = serde_json::from_slice(&rewritten).unwrap();
        prop_assert_eq!(&rewritten["model"], "other");
        rewritten["model"] = body["model"].clone();
        prop_assert_eq!(rewritten, body);
    }

    #[test]
    fn no_request_panics(value in json_value(), bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = decode_request(&bytes);
        for body in [value.clone(), json!({"model": "m", "input": value.clone()}), json!({"model": "m", "input": [value]})] {
            let body = body.to_string();
            if let Ok((request, _)) = decode_request(body.as_bytes()) {
                let _ = encode_request(&request, &openai());
            }
            let _ = rewrite_request(body.as_bytes(), "x");
        }
        let _ = rewrite_request(&bytes, "x");
    }

    #[test]
    fn no_answer_panics(value in json_value()) {
        for body in [value.clone(), json!({"output": value.clone()}), json!({"output": [value]})] {
            if let Ok((response, _)) = decode_response(body.to_string().as_bytes()) {
                let _ = encode_response(&response, &answered());
            }
        }
    }

    #[test]
    fn any_stream_is_orderly(steps in proptest::collection::vec(step(), 0..12)) {
        let mut stream = String::new();
        for step in steps {
            stream.push_str(&format!("data: {step}\n\n"));
        }
        let (events, _) = decode_stream(&[stream.as_bytes()]);
        check_order(&events);
        let _ = collect(&events);
        let _ = encode_stream(&events);
        let _ = tap(&[stream.as_bytes()]);
    }
}
