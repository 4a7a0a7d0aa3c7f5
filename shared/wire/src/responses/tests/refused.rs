//! What callers must not send, and what goes to no other dialect.

use serde_json::{Value, json};

use crate::Drops;
use crate::error::Malformed;
use crate::responses::{decode_request, encode_request, for_other_dialects};

use super::openai;

fn with(fields: Value) -> Vec<u8> {
    let mut body = json!({"model": "m", "input": "Hi."});
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body.to_string().into_bytes()
}

#[test]
fn what_is_wrong_is_named() {
    let item = |item: Value| json!({"input": [item]});
    let user = |part: Value| json!({"input": [{"role": "user", "content": [part]}]});
    for (fields, code, param) in [
        (json!({"model": ""}), "empty_string", "model"),
        (json!({"model": 1}), "invalid_type", "model"),
        (
            json!({"input": null}),
            "missing_required_parameter",
            "input",
        ),
        (json!({"input": 5}), "invalid_type", "input"),
        (
            json!({"max_output_tokens": 0}),
            "integer_below_min_value",
            "max_output_tokens",
        ),
        (
            json!({"temperature": 3}),
            "decimal_above_max_value",
            "temperature",
        ),
        (
            json!({"top_logprobs": 21}),
            "integer_above_max_value",
            "top_logprobs",
        ),
        (
            json!({"tool_choice": "any"}),
            "invalid_value",
            "tool_choice",
        ),
        (json!({"include": [1]}), "invalid_type", "include[0]"),
        (json!({"store": "yes"}), "invalid_type", "store"),
        (
            json!({"previous_response_id": 1}),
            "invalid_type",
            "previous_response_id",
        ),
        (
            json!({"stream_options": {}}),
            "invalid_value",
            "stream_options",
        ),
        (
            json!({"text": {"verbosity": "loud"}}),
            "invalid_value",
            "text.verbosity",
        ),
        (
            json!({"text": {"format": {"type": "xml"}}}),
            "invalid_value",
            "text.format.type",
        ),
        (
            json!({"reasoning": {"effort": "some"}}),
            "invalid_value",
            "reasoning.effort",
        ),
        (
            json!({"reasoning": {"summary": "long"}}),
            "invalid_value",
            "reasoning.summary",
        ),
        (
            json!({"tools": [{"type": "function"}]}),
            "missing_required_parameter",
            "tools[0].name",
        ),
        (
            item(json!({})),
            "missing_required_parameter",
            "input[0].type",
        ),
        (
            item(json!({"role": "tool", "content": ""})),
            "invalid_value",
            "input[0].role",
        ),
        (
            item(json!({"role": "user"})),
            "missing_required_parameter",
            "input[0].content",
        ),
        (
            item(json!({"type": "function_call", "call_id": "a"})),
            "missing_required_parameter",
            "input[0].name",
        ),
        (
            item(json!({"type": "function_call_output", "call_id": "a"})),
            "missing_required_parameter",
            "input[0].output",
        ),
        (
            item(json!({"type": "reasoning", "summary": [1]})),
            "invalid_type",
            "input[0].summary[0]",
        ),
        (
            user(json!({"type": "text", "text": "x"})),
            "invalid_value",
            "input[0].content[0].type",
        ),
        (
            user(json!({"type": "input_image"})),
            "missing_required_parameter",
            "input[0].content[0].image_url",
        ),
        (
            user(json!({"type": "input_image", "image_url": "ftp://x"})),
            "invalid_value",
            "input[0].content[0].image_url",
        ),
        (
            user(json!({"type": "input_image", "image_url": "https://x", "detail": "best"})),
            "invalid_value",
            "input[0].content[0].detail",
        ),
        (
            user(json!({"type": "input_file"})),
            "invalid_value",
            "input[0].content[0].type",
        ),
        (
            user(json!({"type": "input_file", "file_id": "a", "file_url": "https://x"})),
            "invalid_value",
            "input[0].content[0].type",
        ),
    ] {
        let fault = decode_request(&with(fields.clone())).unwrap_err();
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (code, Some(param)),
            "{fields}"
        );
    }
}

fn portable(fields: Value) -> Result<Drops, Malformed> {
    let (mut request, drops) = decode_request(&with(fields)).unwrap();
    assert!(drops.is_empty(), "{drops:?}");
    for_other_dialects(&mut request)
}

#[test]
fn what_only_the_provider_has_goes_nowhere_else() {
    let state = "provider_state_not_portable";
    let tool = "built_in_tool_not_portable";
    for (fields, code, param) in [
        (
            json!({"previous_response_id": "resp_1"}),
            state,
            "previous_response_id",
        ),
        (
            json!({"conversation": {"id": "conv_1"}}),
            state,
            "conversation",
        ),
        (json!({"prompt": {"id": "p"}}), state, "prompt"),
        (
            json!({"input": [{"type": "item_reference", "id": "x"}]}),
            state,
            "input[0]",
        ),
        (
            json!({"input": [{"role": "user", "content": "Hi."}, {"id": "msg_1"}]}),
            state,
            "input[1]",
        ),
        (
            json!({"input": [{"type": "web_search_call", "id": "x"}]}),
            tool,
            "input[0]",
        ),
        (
            json!({"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}),
            tool,
            "tools[1]",
        ),
        (
            json!({"tool_choice": {"type": "file_search"}}),
            tool,
            "tool_choice",
        ),
        (
            json!({"background": true}),
            "unsupported_parameter",
            "background",
        ),
    ] {
        let fault = portable(fields.clone()).unwrap_err();
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (code, Some(param)),
            "{fields}"
        );
    }
}

#[test]
fn the_conversation_may_stand_at_the_provider() {
    let body = br#"{"model":"m","previous_response_id":"resp_1"}"#;
    let (request, drops) = decode_request(body).unwrap();
    assert!(request.messages.is_empty() && drops.is_empty());
    let (upstream, _) = encode_request(&request, &openai()).unwrap();
    let upstream: Value = serde_json::from_slice(&upstream.body).unwrap();
    assert_eq!(upstream["previous_response_id"], "resp_1");
}

#[test]
fn items_of_the_providers_own_are_not_written_anew() {
    for fields in [
        json!({"input": [{"type": "item_reference", "id": "x"}]}),
        json!({"tools": [{"type": "web_search"}]}),
    ] {
        let (request, _) = decode_request(&with(fields)).unwrap();
        assert!(encode_request(&request, &openai()).is_err());
    }
}

#[test]
fn only_what_is_lost_is_named_elsewhere() {
    let nothing = json!({"store": false, "truncation": "disabled", "background": false, "include": ["reasoning.encrypted_content"], "service_tier": "auto"});
    assert!(portable(nothing).unwrap().is_empty());
    let something = json!({"store": true, "truncation": "auto", "max_tool_calls": 3, "include": ["web_search_call.results"]});
    let drops = portable(something).unwrap();
    let fields: Vec<&str> = drops
        .as_slice()
        .iter()
        .map(|drop| drop.field.as_ref())
        .collect();
    assert_eq!(fields, ["store", "truncation", "max_tool_calls", "include"]);
}

#[test]
fn everything_is_bounded() {
    let many = |item: Value, count: usize| Value::Array(vec![item; count]);
    let item = json!({"role": "user", "content": ""});
    let part = json!({"type": "input_text", "text": ""});
    for fields in [
        json!({"input": many(item, 10_001)}),
        json!({"input": [{"role": "user", "content": many(part, 4_097)}]}),
        json!({"tools": many(json!({"type": "web_search"}), 1_025)}),
        json!({"include": many(json!("x"), 65)}),
    ] {
        let fault = decode_request(&with(fields)).unwrap_err();
        assert_eq!(fault.code, "array_above_max_length");
    }
}
