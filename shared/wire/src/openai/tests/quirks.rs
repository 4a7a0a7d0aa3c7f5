//! What providers that call themselves compatible want otherwise: what goes through, and what is written for them.

use serde_json::{Value, json};

use super::super::chat;
use crate::Target;

/// A caller's request with these fields beside its model.
fn request(fields: &Value) -> crate::model::ChatRequest {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi."}]});
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    chat::decode_request(body.to_string().as_bytes()).unwrap().0
}

/// What the provider gets, and the names of what it does not.
fn written(fields: &Value, target: &Target) -> (Value, Vec<String>) {
    let (written, drops) = chat::encode_request(&request(fields), target).unwrap();
    let drops = drops.as_slice().iter();
    let dropped = drops.map(|dropped| dropped.field.to_string()).collect();
    (serde_json::from_slice(&written.body).unwrap(), dropped)
}

fn mistral() -> Target {
    Target {
        stream_usage: false,
        thinking_chunks: true,
        short_call_ids: true,
        random_seed: true,
        assistant_prefix: true,
        strict_fields: true,
        fields_refused: ["user", "logprobs", "x_unknown"]
            .map(str::to_owned)
            .to_vec(),
        ..Target::default()
    }
}

#[test]
fn a_body_goes_through_only_where_nothing_must_be_said_otherwise() {
    let quirk = |set: fn(&mut Target)| {
        let mut target = Target::default();
        set(&mut target);
        target
    };
    let call = json!({"messages": [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "tool_calls": [{"id": "call_abcdef", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_abcdef", "content": "1"},
    ]});
    let short = json!({"messages": [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "tool_calls": [{"id": "PO2sD0KPX", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "PO2sD0KPX", "content": "1"},
    ]});
    let schema = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}});
    let last = json!({"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "He"}]});
    let thoughts = json!({"messages": [
        {"role": "assistant", "content": "He", "reasoning": "Hm."},
        {"role": "user", "content": "Hi."},
    ]});
    let shown = json!({"messages": [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "tool_calls": [{"id": "call_abcdef", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_abcdef", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
    ]});
    for (target, fields, expected) in [
        (quirk(|_| ()), shown, false),
        (quirk(|_| ()), json!({"x_unknown": 1}), true),
        (quirk(|t| t.strict_fields = true), json!({}), false),
        (quirk(|t| t.thinking_chunks = true), json!({}), false),
        (quirk(|t| t.short_call_ids = true), call.clone(), false),
        (quirk(|t| t.short_call_ids = true), short, true),
        (quirk(|_| ()), call, true),
        (quirk(|t| t.random_seed = true), json!({"seed": 1}), false),
        (quirk(|t| t.random_seed = true), json!({}), true),
        (quirk(|t| t.assistant_prefix = true), last.clone(), false),
        (quirk(|_| ()), last, true),
        (quirk(|t| t.json_schema = false), schema.clone(), false),
        (quirk(|_| ()), schema, true),
        (quirk(|_| ()), thoughts.clone(), false),
        (quirk(|t| t.reasoning_key = true), thoughts, true),
        (
            quirk(|t| t.fields_refused = vec!["logit_bias".into()]),
            json!({"logit_bias": {"1": 1}}),
            false,
        ),
        (
            quirk(|t| t.fields_refused = vec!["logit_bias".into()]),
            json!({"top_p": 1}),
            true,
        ),
        (
            quirk(|t| t.fields_refused = vec!["store".into()]),
            json!({"store": true}),
            false,
        ),
    ] {
        let request = request(&fields);
        assert_eq!(chat::suits(&request, &target), expected, "{fields}");
    }
}

#[test]
fn every_field_that_can_be_refused_is_noticed() {
    for (field, value) in [
        ("frequency_penalty", json!(1)),
        ("logit_bias", json!({"1": 1})),
        ("logprobs", json!(true)),
        ("metadata", json!({"a": "b"})),
        ("n", json!(2)),
        ("parallel_tool_calls", json!(false)),
        ("presence_penalty", json!(1)),
        ("reasoning_effort", json!("low")),
        ("response_format", json!({"type": "json_object"})),
        ("seed", json!(1)),
        ("stop", json!("x")),
        ("temperature", json!(1)),
        ("tool_choice", json!("none")),
        ("top_k", json!(1)),
        ("top_p", json!(1)),
        ("user", json!("u")),
        ("store", json!(true)),
    ] {
        let target = Target {
            fields_refused: vec![field.to_owned()],
            ..Target::default()
        };
        let mut fields = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
        fields[field] = value;
        assert!(!chat::suits(&request(&fields), &target), "{field}");
        let (body, dropped) = written(&fields, &target);
        assert_eq!(body.get(field), None, "{field}");
        assert!(dropped.contains(&field.to_owned()), "{field}");
    }
}

#[test]
fn mistral_gets_its_own_words() {
    let (body, dropped) = written(
        &json!({"seed": 7, "user": "u", "x_unknown": 1, "safe_prompt": true, "stream": true, "messages": [
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": "Calling.", "reasoning_content": "Hm.", "tool_calls": [
                {"id": "call_with_a_long_name", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "PO2sD0KPX", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "PO2sD0KPX", "content": "2"},
            {"role": "tool", "tool_call_id": "call_with_a_long_name", "content": "1"},
            {"role": "assistant", "content": null, "refusal": "No"},
        ]}),
        &mistral(),
    );
    assert_eq!(body["random_seed"], 7);
    assert_eq!(body["safe_prompt"], true);
    for gone in ["seed", "user", "x_unknown", "stream_options"] {
        assert_eq!(body.get(gone), None, "{gone}");
    }
    assert_eq!(
        body["messages"][1]["content"],
        json!([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Calling."}])
    );
    let calls = &body["messages"][1]["tool_calls"];
    let id = calls[0]["id"].as_str().unwrap();
    assert!(
        id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{id}"
    );
    assert_eq!(calls[1]["id"], "PO2sD0KPX");
    assert_eq!(body["messages"][2]["tool_call_id"], "PO2sD0KPX");
    assert_eq!(body["messages"][3]["tool_call_id"], id);
    assert_eq!(
        body["messages"][4],
        json!({"role": "assistant", "content": "No", "prefix": true})
    );
    assert_eq!(dropped, ["user", "x_unknown"]);
}

#[test]
fn mistral_gets_what_it_asks_for_beyond_openai() {
    let part = |kind: &str, value: Value| json!({"type": kind, kind: value});
    let pdf = "data:application/pdf;base64,JVBERi0=";
    let call = json!({"id": "PO2sD0KPX", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let (body, dropped) = written(
        &json!({"reasoning_effort": "max", "tools": [{"type": "function", "function": {"name": "f"}}], "messages": [
            {"role": "user", "name": "ann", "content": [
                part("file", json!({"filename": "a.pdf", "file_data": pdf})),
                part("file", json!({"file_id": "file-1"})),
                part("input_audio", json!({"data": "UklGRg==", "format": "wav"})),
            ]},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "PO2sD0KPX", "content": "1"},
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "So?"},
        ]}),
        &mistral(),
    );
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [
                {"type": "document_url", "document_url": pdf, "document_name": "a.pdf"},
                {"type": "file", "file_id": "file-1"},
                {"type": "input_audio", "input_audio": "UklGRg=="},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "PO2sD0KPX", "content": "1"},
            {"role": "assistant", "content": "I have read the results."},
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "So?"},
        ])
    );
    assert_eq!(
        body["tools"][0]["function"]["parameters"],
        json!({"type": "object", "properties": {}})
    );
    assert_eq!(body["reasoning_effort"], "high");
    assert_eq!(
        dropped,
        ["messages[0].name", "messages[1]", "reasoning_effort"]
    );
}

#[test]
fn a_schema_stands_among_the_instructions_where_it_cannot_be_promised() {
    let target = Target {
        json_schema: false,
        ..Target::default()
    };
    let (body, dropped) = written(
        &json!({
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "required": ["a"]}}},
        }),
        &target,
    );
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["system", "system", "user"]);
    let text = messages[1]["content"].as_str().unwrap();
    assert!(
        text.contains(r#"{"type":"object","required":["a"]}"#),
        "{text}"
    );
    assert_eq!(dropped, ["response_format.json_schema"]);
}
