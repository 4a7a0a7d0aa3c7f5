//! What holds for every input.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::chat;
use super::super::passthrough::{self, Edits, StreamTap};
use super::{answered, collect, decode_stream, each, encode_stream, openai};

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

fn tap(pieces: &[&[u8]], include_usage: bool) -> (String, Vec<u8>, bool) {
    let mut tap = StreamTap::new(include_usage);
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

fn text_parts() -> impl Strategy<Value = Value> {
    prop_oneof![
        word().prop_map(Value::from),
        proptest::collection::vec(word(), 2..4).prop_map(|texts| {
            texts
                .into_iter()
                .map(|text| json!({"type": "text", "text": text}))
                .collect()
        }),
    ]
}

fn message() -> impl Strategy<Value = Value> {
    let user = (text_parts(), proptest::option::of("[a-z]{1,8}")).prop_map(|(content, name)| {
        let mut message = json!({"role": "user"});
        if let Some(name) = name {
            message["name"] = name.into();
        }
        message["content"] = content;
        message
    });
    let calls = proptest::collection::vec(("[a-z0-9]{1,9}", "[a-z_]{1,9}", word()), 1..3);
    let assistant = (proptest::option::of(text_parts()), calls).prop_map(|(content, calls)| {
        let calls: Vec<Value> = calls
            .into_iter()
            .map(|(id, name, text)| {
                let arguments = json!({"text": text}).to_string();
                let function = json!({"name": name, "arguments": arguments});
                json!({"id": id, "type": "function", "function": function})
            })
            .collect();
        json!({"role": "assistant", "content": content, "tool_calls": calls})
    });
    let tool = ("[a-z0-9]{1,9}", word())
        .prop_map(|(id, text)| json!({"role": "tool", "tool_call_id": id, "content": text}));
    let picture = ("[a-z]{1,9}", word()).prop_map(|(host, text)| {
        let url = format!("https://{host}/a.png");
        json!({"role": "user", "content": [
            {"type": "text", "text": text},
            {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        ]})
    });
    let system = text_parts().prop_map(|content| json!({"role": "system", "content": content}));
    prop_oneof![user, assistant, tool, picture, system]
}

/// Requests of the common subset, written as the encoder writes them.
fn request() -> impl Strategy<Value = Value> {
    (
        proptest::collection::vec(message(), 1..6),
        proptest::option::of(1_u64..100_000),
        proptest::option::of(0_u32..=20),
        proptest::collection::vec(word(), 0..4),
        proptest::option::of(-5_i64..5),
        any::<bool>(),
    )
        .prop_map(|(messages, limit, tenths, stop, seed, stream)| {
            let mut body = json!({"model": "gpt-x", "messages": messages});
            if let Some(limit) = limit {
                body["max_completion_tokens"] = limit.into();
            }
            if let Some(tenths) = tenths {
                body["temperature"] = (f64::from(tenths) / 10.0).into();
            }
            if let Some(seed) = seed {
                body["seed"] = seed.into();
            }
            if !stop.is_empty() {
                body["stop"] = stop.into();
            }
            if stream {
                body["stream"] = true.into();
                body["stream_options"] = json!({"include_usage": true});
            }
            body
        })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_split_decodes_alike(cuts in proptest::collection::vec(0_usize..10_000, 0..8)) {
        for (name, body) in each("stream_") {
            let whole = decode_stream(&[&body]);
            let cut = decode_stream(&pieces(&body, &cuts));
            prop_assert_eq!(whole, cut, "{}", name);
        }
    }

    #[test]
    fn any_split_passes_through_alike(cuts in proptest::collection::vec(0_usize..10_000, 0..8)) {
        for (name, body) in each("stream_") {
            for include_usage in [true, false] {
                let whole = tap(&[&body], include_usage);
                let cut = tap(&pieces(&body, &cuts), include_usage);
                prop_assert_eq!(whole, cut, "{}", name);
            }
        }
    }

    #[test]
    fn what_is_decoded_is_encoded_the_same(body in request()) {
        // Turns between a call and its result are joined.
        let turns = body["messages"].as_array().unwrap();
        let waits = |pair: &[Value]| {
            pair[0]["tool_calls"].is_array() && pair[1]["role"] == "assistant"
        };
        prop_assume!(!turns.windows(2).any(waits));
        let (request, drops) = chat::decode_request(body.to_string().as_bytes()).unwrap();
        prop_assert!(drops.is_empty());
        let (written, drops) = chat::encode_request(&request, &openai()).unwrap();
        prop_assert!(drops.is_empty());
        let written: Value = serde_json::from_slice(&written.body).unwrap();
        prop_assert_eq!(written, body);
    }

    #[test]
    fn requests_from_anywhere_are_answered(mut body in json_value(), key in word()) {
        // Whatever comes, there is an answer and no panic.
        let _ = chat::decode_request(body.to_string().as_bytes());
        let request = json!({"model": "m", "messages": body.take(), key: 1});
        let _ = chat::decode_request(request.to_string().as_bytes());
    }

    #[test]
    fn answers_from_anywhere_are_read(value in json_value(), key in 0_usize..8) {
        let keys = ["content", "tool_calls", "reasoning", "thinking_blocks", "annotations", "refusal", "function_call", "reasoning_details"];
        let message = json!({ keys[key]: value });
        let whole = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
        let (response, _) = chat::decode_response(whole.to_string().as_bytes()).unwrap();
        let (written, _) = chat::encode_response(&response, &answered());
        chat::decode_response(&written).unwrap();
        let stream = format!(
            "data: {}\n\ndata: [DONE]\n\n",
            json!({"choices": [{"delta": message, "finish_reason": "stop"}]})
        );
        let (events, end) = decode_stream(&[stream.as_bytes()]);
        prop_assert_eq!(end, Ok(()));
        let first = collect(&events).unwrap();
        let (again, end) = decode_stream(&[&encode_stream(&events, true)]);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(first.choices.len(), collect(&again).unwrap().choices.len());
    }

    #[test]
    fn a_rewrite_changes_nothing_else(fields in proptest::collection::vec((word(), json_value()), 0..6), pretty in any::<bool>()) {
        let fields: Map<String, Value> = fields.into_iter().collect();
        let mut expected = Value::Object(fields);
        let body = if pretty { format!("{expected:#}") } else { expected.to_string() };
        let nothing = passthrough::rewrite_request(body.as_bytes(), &Edits::default());
        prop_assert_eq!(nothing, body.as_bytes());
        let edits = Edits {
            model: Some("m".to_owned()),
            include_usage: true,
            ..Edits::default()
        };
        let written = passthrough::rewrite_request(body.as_bytes(), &edits);
        let written: Value = serde_json::from_slice(&written).unwrap();
        expected["model"] = "m".into();
        expected["stream_options"] = json!({"include_usage": true});
        prop_assert_eq!(written, expected);
    }
}
