//! Proofs: what a provider signed comes back to it byte for byte, whatever dialect the caller speaks.

use serde_json::{Value, json};

use super::super::proof::{Kind, Thought};
use super::{answered, data, each, encode_stream, openai};
use crate::model::{ChatResponse, Choice, Event, Finish, Message, Part, PartKind, Role};
use crate::responses::{decode_request, decode_response, encode_request, encode_response};
use crate::{Target, anthropic, gemini, openai};

/// What the assistant said, as a caller of this dialect sends it back.
fn sent_back(parts: &[Part]) -> Vec<Part> {
    let response = ChatResponse {
        choices: vec![Choice {
            index: 0,
            parts: parts.to_vec(),
            finish: Finish::Stop,
            logprobs: None,
        }],
        ..ChatResponse::default()
    };
    let (body, drops) = encode_response(&response, &answered());
    assert!(drops.is_empty(), "{drops:?}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    let request = json!({"model": "m", "input": body["output"]}).to_string();
    let (mut request, drops) = decode_request(request.as_bytes()).unwrap();
    assert!(drops.is_empty(), "{drops:?}");
    assert_eq!(request.messages.len(), 1);
    request.messages.remove(0).parts
}

fn call(signature: Option<&str>) -> Part {
    Part::ToolCall {
        id: "call_1".to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        signature: signature.map(str::to_owned),
        cache: None,
    }
}

fn thinking(text: &str, signature: Option<&str>) -> Part {
    Part::Thinking {
        text: text.to_owned(),
        signature: signature.map(str::to_owned),
    }
}

#[test]
fn what_any_provider_signed_comes_back_through_a_caller() {
    let redacted = Part::RedactedThinking {
        data: "c2VjcmV0".to_owned(),
    };
    for parts in [
        vec![thinking("So.", Some("EqQB+/=")), call(None)],
        vec![thinking("", Some("EqQB")), Part::text("Hi.".to_owned())],
        vec![redacted, thinking("So.", None)],
        vec![call(Some("c2ln")), Part::text("Hi.".to_owned())],
        vec![thinking("So.", Some("gemini:c2ln")), call(Some("a\"b"))],
    ] {
        assert_eq!(sent_back(&parts), parts);
    }
}

#[test]
fn an_item_comes_back_through_callers_of_other_dialects() {
    let body = &each("answer_everything")["answer_everything"];
    let (response, _) = decode_response(body).unwrap();
    let thoughts = |parts: &[Part]| -> Vec<Value> {
        let own = parts.iter().filter_map(Thought::of_part);
        own.map(|thought| thought.write()).collect()
    };
    let expected = thoughts(&response.choices[0].parts);
    assert_eq!(expected.len(), 2);
    let (body, _) = openai::chat::encode_response(&response, &openai::chat::Answered::default());
    let body: Value = serde_json::from_slice(&body).unwrap();
    let chat = json!({"model": "m", "messages": [body["choices"][0]["message"]]});
    let (chat, _) = openai::chat::decode_request(chat.to_string().as_bytes()).unwrap();
    assert_eq!(thoughts(&chat.messages[0].parts), expected);
    let answered = anthropic::Answered {
        id: "msg_1".to_owned(),
        model: "m".to_owned(),
    };
    let (body, _) = anthropic::encode_response(&response, &answered);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let turn = json!({"role": "assistant", "content": body["content"]});
    let messages = json!({"model": "m", "max_tokens": 5, "messages": [turn]});
    let (messages, _) = anthropic::decode_request(messages.to_string().as_bytes()).unwrap();
    assert_eq!(thoughts(&messages.messages[0].parts), expected);
}

#[test]
fn an_item_comes_back_as_it_was() {
    let body = &each("answer_everything")["answer_everything"];
    let (response, _) = decode_response(body).unwrap();
    let parts = sent_back(&response.choices[0].parts);
    let messages = vec![Message {
        role: Role::Assistant,
        parts,
        name: None,
    }];
    let request = crate::model::ChatRequest {
        messages,
        ..Default::default()
    };
    let (upstream, _) = encode_request(&request, &openai()).unwrap();
    let sent: Value = serde_json::from_slice(&upstream.body).unwrap();
    let said: Value = serde_json::from_slice(body).unwrap();
    for at in [0, 1] {
        let (sent, said) = (&sent["input"][at], &said["output"][at]);
        for key in ["type", "id", "summary", "encrypted_content"] {
            assert_eq!(sent[key], said[key], "{at} {key}");
        }
    }
}

#[test]
fn a_shown_text_that_was_changed_is_sent_as_it_is_now() {
    let thought = Thought {
        id: "rs_1".to_owned(),
        texts: vec![
            (Kind::Summary, "First.".to_owned()),
            (Kind::Content, "Sécond.".to_owned()),
        ],
        encrypted: Some("gAAA".to_owned()),
    };
    let part = thought.clone().into_part().unwrap();
    assert_eq!(Thought::of_part(&part), Some(thought));
    let Part::Thinking { signature, .. } = part else {
        panic!("{part:?}");
    };
    for text in ["Other.", "First.\n\nSé", "Fïrst", ""] {
        let part = thinking(text, signature.as_deref());
        let changed = Thought::of_part(&part).unwrap();
        let texts: Vec<&str> = changed
            .texts
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        let expected: &[&str] = if text.is_empty() { &[] } else { &[text] };
        assert_eq!(texts, expected);
    }
}

#[test]
fn a_broken_proof_is_nobodys() {
    for proof in ["openai:", "openai:{}", "openai:[1]", "other", ""] {
        assert_eq!(Thought::of_part(&thinking("So.", Some(proof))), None);
    }
}

#[test]
fn proofs_stay_with_who_signed_them() {
    let own = Thought {
        id: "rs_1".to_owned(),
        texts: Vec::new(),
        encrypted: Some("gAAA".to_owned()),
    };
    let own = own.into_part().unwrap();
    let request = crate::model::ChatRequest {
        messages: vec![
            Message {
                role: Role::User,
                parts: vec![Part::text("Hi.".to_owned())],
                name: None,
            },
            Message {
                role: Role::Assistant,
                parts: vec![
                    own,
                    thinking("So.", Some("RXFRQg==")),
                    Part::text("Hi.".to_owned()),
                ],
                name: None,
            },
            Message {
                role: Role::User,
                parts: vec![Part::text("And?".to_owned())],
                name: None,
            },
        ],
        ..Default::default()
    };
    let target = Target {
        output_tokens_max: Some(100),
        ..openai()
    };
    let written = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    let (own, drops) = encode_request(&request, &target).unwrap();
    assert!(written(&own.body).contains("gAAA"));
    assert!(!written(&own.body).contains("RXFRQg"));
    assert_eq!(drops.as_slice()[0].field, "messages[1].thinking");
    for (body, drops) in [
        openai::chat::encode_request(&request, &target).unwrap(),
        anthropic::encode_request(&request, &target).unwrap(),
        gemini::encode_request(&request, &target).unwrap(),
    ] {
        assert!(!written(&body.body).contains("gAAA"));
        assert!(!drops.is_empty());
    }
}

#[test]
fn a_streamed_proof_is_the_one_of_the_whole_answer() {
    let part = |part, kind| Event::PartStart {
        choice: 0,
        part,
        kind,
    };
    let end = |part| Event::PartEnd { choice: 0, part };
    let events = [
        part(
            0,
            PartKind::ToolCall {
                id: "call_1".to_owned(),
                name: "f".to_owned(),
            },
        ),
        Event::Signature {
            choice: 0,
            part: 0,
            signature: "c2ln".to_owned(),
        },
        end(0),
        part(1, PartKind::Thinking),
        Event::Delta {
            choice: 0,
            part: 1,
            text: "So.".to_owned(),
        },
        Event::Signature {
            choice: 0,
            part: 1,
            signature: "EqQB".to_owned(),
        },
        end(1),
        Event::Finish {
            choice: 0,
            finish: Finish::ToolCalls,
        },
        Event::End,
    ];
    let events = data(&encode_stream(&events));
    let streamed = events.last().unwrap()["response"]["output"].clone();
    let response = ChatResponse {
        choices: vec![Choice {
            index: 0,
            parts: vec![call(Some("c2ln")), thinking("So.", Some("EqQB"))],
            finish: Finish::ToolCalls,
            logprobs: None,
        }],
        ..ChatResponse::default()
    };
    let (whole, _) = encode_response(&response, &answered());
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(streamed, whole["output"]);
}
