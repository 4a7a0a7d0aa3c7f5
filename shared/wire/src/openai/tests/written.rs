//! What the encoders write for callers, where goldens would not show it.

use serde_json::{Value, json};

use super::super::{chat, embeddings};
use super::{answered, collect, decode_stream, each, encode_stream};
use crate::error::{ErrorClass, UpstreamError};
use crate::model::{EmbeddingEncoding, Event, Finish, Message, Part, PartKind, Role, Source};
use crate::{EncodeError, Target};

fn chunks(stream: &[u8]) -> Vec<Value> {
    std::str::from_utf8(stream)
        .unwrap()
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[test]
fn a_stream_and_a_whole_answer_say_the_same() {
    for (name, body) in each("answer_") {
        let (response, _) = chat::decode_response(&body).unwrap();
        let mut events = vec![Event::Start {
            id: response.id.clone(),
            model: response.model.clone(),
            created: response.created,
        }];
        for choice in &response.choices {
            say(choice.index, &choice.parts, &mut events);
            events.extend(choice.logprobs.clone().map(|logprobs| Event::Logprobs {
                choice: choice.index,
                logprobs,
            }));
            events.push(Event::Finish {
                choice: choice.index,
                finish: choice.finish.clone(),
            });
        }
        events.extend(response.usage.map(Event::Usage));
        events.push(Event::End);
        let (streamed, end) = decode_stream(&[&encode_stream(&events, true)]);
        assert_eq!(end, Ok(()), "{name}");
        let (whole, _) = chat::encode_response(&response, &answered());
        let (whole, _) = chat::decode_response(&whole).unwrap();
        let streamed = collect(&streamed).unwrap();
        assert_eq!(streamed.choices, whole.choices, "{name}");
        assert_eq!(streamed.usage, whole.usage, "{name}");
    }
}

fn say(choice: u32, parts: &[Part], events: &mut Vec<Event>) {
    for (part, said) in (0..).zip(parts) {
        let (kind, text, signature) = match said {
            Part::Text { text, .. } => (PartKind::Text, text, &None),
            Part::Refusal { text } => (PartKind::Refusal, text, &None),
            Part::Thinking { text, signature } => (PartKind::Thinking, text, signature),
            Part::RedactedThinking { data } => (
                PartKind::RedactedThinking { data: data.clone() },
                &String::new(),
                &None,
            ),
            Part::ToolCall {
                id,
                name,
                arguments,
                signature,
                ..
            } => {
                let kind = PartKind::ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                };
                (kind, arguments, signature)
            }
            other => panic!("no answer holds {other:?}"),
        };
        events.push(Event::PartStart { choice, part, kind });
        if !text.is_empty() {
            events.push(Event::Delta {
                choice,
                part,
                text: text.clone(),
            });
        }
        events.extend(signature.clone().map(|signature| Event::Signature {
            choice,
            part,
            signature,
        }));
        if let Part::Text { annotations, .. } = said {
            for annotation in annotations {
                events.push(Event::Annotation {
                    choice,
                    part,
                    annotation: annotation.clone(),
                });
            }
        }
        events.push(Event::PartEnd { choice, part });
    }
}

#[test]
fn every_chunk_has_what_the_description_requires() {
    for (name, body) in each("stream_") {
        let (events, _) = decode_stream(&[&body]);
        for chunk in chunks(&encode_stream(&events, true)) {
            if chunk.get("error").is_some() {
                continue;
            }
            assert_eq!(chunk["object"], "chat.completion.chunk", "{name}");
            assert!(chunk["id"].is_string(), "{name}");
            assert!(chunk["created"].is_i64(), "{name}");
            assert_eq!(chunk["model"], "fast", "{name}");
            for choice in chunk["choices"].as_array().unwrap() {
                assert!(choice["index"].is_u64(), "{name}");
                assert!(choice["delta"].is_object(), "{name}");
                assert!(choice.get("finish_reason").is_some(), "{name}");
            }
        }
    }
}

#[test]
fn tool_calls_are_numbered_from_zero_and_named_without_help() {
    let (events, _) = decode_stream(&[&each("stream_nameless_ids")["stream_nameless_ids"]]);
    let written = chunks(&encode_stream(&events, false));
    let call = &written[0]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(call["index"], 0);
    assert_eq!(call["id"], "call_req1_0_0");
    // The whole answer makes up the same.
    let body = json!({"choices": [{"message": {"tool_calls": [
        {"function": {"name": "f", "arguments": "{}"}}
    ]}}]});
    let (response, _) = chat::decode_response(body.to_string().as_bytes()).unwrap();
    let (whole, _) = chat::encode_response(&response, &answered());
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    let calls = &whole["choices"][0]["message"]["tool_calls"];
    assert_eq!(calls[0]["id"], "call_req1_0_0");
}

#[test]
fn usage_is_sent_only_to_who_asked() {
    let (events, _) = decode_stream(&[&each("stream_text")["stream_text"]]);
    let with = chunks(&encode_stream(&events, true));
    assert_eq!(with.last().unwrap()["usage"]["total_tokens"], 12);
    assert_eq!(with.last().unwrap()["choices"], json!([]));
    assert_eq!(with[0]["usage"], Value::Null);
    let without = encode_stream(&events, false);
    assert!(
        chunks(&without)
            .iter()
            .all(|chunk| chunk.get("usage").is_none())
    );
    assert!(without.ends_with(b"data: [DONE]\n\n"));
}

#[test]
fn a_failure_ends_the_stream_without_done() {
    let failed = Event::Failed(UpstreamError {
        class: ErrorClass::Overloaded,
        status: 200,
        message: "Too busy".to_owned(),
        code: None,
        param: None,
        retry_after: None,
    });
    let written = encode_stream(&[failed, Event::End], true);
    assert_eq!(
        String::from_utf8(written).unwrap(),
        "data: {\"error\":{\"message\":\"Too busy\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_overloaded\"}}\n\n"
    );
}

#[test]
fn a_choice_that_says_nothing_still_ends() {
    let events = [
        Event::Finish {
            choice: 0,
            finish: Finish::Refusal,
        },
        Event::End,
    ];
    let written = chunks(&encode_stream(&events, false));
    assert_eq!(
        written[0]["choices"],
        json!([{
            "index": 0,
            "delta": {"role": "assistant", "content": ""},
            "finish_reason": "content_filter",
        }])
    );
}

fn request_of(role: Role, parts: Vec<Part>) -> Result<Value, EncodeError> {
    let request = crate::model::ChatRequest {
        messages: vec![Message {
            role,
            parts,
            name: None,
        }],
        ..Default::default()
    };
    let (written, _) = chat::encode_request(&request, &Target::default())?;
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    Ok(body["messages"].clone())
}

fn result(id: &str, parts: Vec<Part>) -> Part {
    Part::ToolResult {
        id: id.to_owned(),
        name: None,
        parts,
        is_error: true,
        cache: None,
    }
}

fn picture() -> Part {
    Part::Image {
        source: Source::Url("https://example.com/a.png".to_owned()),
        detail: None,
        cache: None,
    }
}

#[test]
fn results_come_first_and_what_they_show_follows() {
    let text = |text: &str| Part::text(text.to_owned());
    let messages = request_of(
        Role::User,
        vec![
            result("a", vec![text("1"), picture()]),
            result("b", Vec::new()),
            text("And now?"),
        ],
    );
    let url = json!({"url": "https://example.com/a.png"});
    assert_eq!(
        messages.unwrap(),
        json!([
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": ""},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": url},
                {"type": "text", "text": "And now?"},
            ]},
        ])
    );
}

#[test]
fn what_the_model_must_not_miss_is_refused() {
    for part in [
        Part::Audio {
            source: Source::Url("https://example.com/a.wav".to_owned()),
            cache: None,
        },
        Part::Image {
            source: Source::FileId("f".to_owned()),
            detail: None,
            cache: None,
        },
        Part::Thinking {
            text: "hm".to_owned(),
            signature: None,
        },
    ] {
        let error = request_of(Role::User, vec![part]).unwrap_err();
        assert_eq!(error.field, "messages[0].content");
    }
}

#[test]
fn vectors_are_written_as_the_caller_asked() {
    // 1.0, -2.5 and the 32-bit float nearest to 0.1.
    let text = "AACAPwAAIMDNzMw9";
    let numbers = json!([1.0, -2.5, 0.100_000_001_490_116_12]);
    let body = |embedding: &Value| {
        json!({
            "object": "list",
            "model": "m",
            "data": [
                {"object": "embedding", "index": 1, "embedding": [2.0]},
                {"object": "embedding", "index": 0, "embedding": embedding},
            ],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        })
        .to_string()
    };
    for sent in [json!(text), numbers.clone()] {
        let response = embeddings::decode_response(body(&sent).as_bytes()).unwrap();
        for (encoding, expected) in [
            (EmbeddingEncoding::Base64, json!(text)),
            (EmbeddingEncoding::Float, numbers.clone()),
        ] {
            let written = embeddings::encode_response(&response, encoding);
            let written: Value = serde_json::from_slice(&written).unwrap();
            assert_eq!(written["data"][0]["embedding"], expected);
            assert_eq!(written["data"][0]["index"], 0);
            assert_eq!(written["usage"]["total_tokens"], 3);
        }
    }
    for wrong in [json!("A"), json!("AACAfw=="), json!(["x"]), json!(null)] {
        assert!(
            embeddings::decode_response(body(&wrong).as_bytes()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn nothing_stands_between_the_results_of_one_turn() {
    let picture = Part::Image {
        source: Source::Url("https://example.com/a.png".to_owned()),
        detail: None,
        cache: None,
    };
    let result = |id: &str, parts: Vec<Part>| Message {
        role: Role::Tool,
        parts: vec![Part::ToolResult {
            id: id.to_owned(),
            name: None,
            parts,
            is_error: false,
            cache: None,
        }],
        name: None,
    };
    let user = Message {
        role: Role::User,
        parts: vec![Part::text("So?".to_owned())],
        name: None,
    };
    let shown = json!({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}});
    let results = [
        result("b", vec![picture, Part::text("2".to_owned())]),
        result("a", vec![Part::text("1".to_owned())]),
    ];
    for (last, expected) in [
        (None, json!([shown])),
        (Some(user), json!([shown, {"type": "text", "text": "So?"}])),
    ] {
        let request = crate::model::ChatRequest {
            messages: results.iter().cloned().chain(last).collect(),
            ..Default::default()
        };
        let (written, _) = chat::encode_request(&request, &Target::default()).unwrap();
        let written: Value = serde_json::from_slice(&written.body).unwrap();
        assert_eq!(
            written["messages"],
            json!([
                {"role": "tool", "tool_call_id": "b", "content": "2"},
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "user", "content": expected},
            ])
        );
    }
}

#[test]
fn only_the_tools_that_may_be_called_are_offered() {
    let tools = json!([
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "function": {"name": "g"}},
    ]);
    for (names, left, lost) in [(vec!["g"], vec!["g"], 0), (vec!["h"], vec!["f", "g"], 1)] {
        let allowed: Vec<Value> = names
            .iter()
            .map(|name| json!({"type": "function", "function": {"name": name}}))
            .collect();
        let choice = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": allowed}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi."}], "tools": tools, "tool_choice": choice});
        let (request, drops) = chat::decode_request(body.to_string().as_bytes()).unwrap();
        let offered: Vec<_> = request
            .tools
            .iter()
            .map(|tool| tool.name.as_str())
            .collect();
        assert_eq!((offered, drops.as_slice().len()), (left, lost));
        assert_eq!(
            request.tool_choice,
            Some(crate::model::ToolChoice::Required)
        );
    }
}
