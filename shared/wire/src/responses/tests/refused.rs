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

/// Each line: the field at fault, the code, the fields of the request.
fn check(cases: &str) {
    for case in cases.lines().filter(|case| !case.is_empty()) {
        let [param, code, fields] = case.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{case}");
        };
        let fields: Value = serde_json::from_str(fields).unwrap();
        let fault = decode_request(&with(fields)).unwrap_err();
        assert_eq!(
            (fault.param.as_deref(), fault.code),
            (Some(param), code),
            "{case}"
        );
    }
}

#[test]
fn a_wrong_field_is_named() {
    check(
        r#"
model empty_string {"model": ""}
model invalid_type {"model": 1}
input missing_required_parameter {"input": null}
input invalid_type {"input": 5}
max_output_tokens integer_below_min_value {"max_output_tokens": 0}
temperature decimal_above_max_value {"temperature": 3}
top_logprobs integer_above_max_value {"top_logprobs": 21}
tool_choice invalid_value {"tool_choice": "any"}
include[0] invalid_type {"include": [1]}
store invalid_type {"store": "yes"}
previous_response_id invalid_type {"previous_response_id": 1}
stream_options invalid_value {"stream_options": {}}
background unsupported_parameter {"background": true}
text.verbosity invalid_value {"text": {"verbosity": "loud"}}
text.format.type invalid_value {"text": {"format": {"type": "xml"}}}
reasoning.effort invalid_value {"reasoning": {"effort": "some"}}
reasoning.summary invalid_value {"reasoning": {"summary": "long"}}
tools[0].name missing_required_parameter {"tools": [{"type": "function"}]}
"#,
    );
}

#[test]
fn a_wrong_item_is_named() {
    check(
        r#"
input[0].type missing_required_parameter {"input": [{}]}
input[0].role invalid_value {"input": [{"role": "tool", "content": ""}]}
input[0].content missing_required_parameter {"input": [{"role": "user"}]}
input[0].name missing_required_parameter {"input": [{"type": "function_call", "call_id": "a"}]}
input[0].output missing_required_parameter {"input": [{"type": "function_call_output", "call_id": "a"}]}
input[0].summary[0] invalid_type {"input": [{"type": "reasoning", "summary": [1]}]}
"#,
    );
}

#[test]
fn a_wrong_part_is_named() {
    let part = |part: &str| format!(r#"{{"input": [{{"role": "user", "content": [{part}]}}]}}"#);
    for (field, code, fields) in [
        ("type", "invalid_value", r#"{"type": "text", "text": "x"}"#),
        (
            "image_url",
            "missing_required_parameter",
            r#"{"type": "input_image"}"#,
        ),
        (
            "image_url",
            "invalid_value",
            r#"{"type": "input_image", "image_url": "ftp://x"}"#,
        ),
        (
            "detail",
            "invalid_value",
            r#"{"type": "input_image", "image_url": "https://x", "detail": "best"}"#,
        ),
        ("type", "invalid_value", r#"{"type": "input_file"}"#),
        (
            "type",
            "invalid_value",
            r#"{"type": "input_file", "file_id": "a", "file_url": "https://x"}"#,
        ),
    ] {
        check(&format!(
            "input[0].content[0].{field} {code} {}",
            part(fields)
        ));
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
fn a_conversation_can_do_without_what_leads_to_calls_and_is_kept_elsewhere() {
    let input = json!({"input": [
        {"role": "user", "content": "Hi."},
        {"type": "item_reference", "id": "rs_1"},
        {"type": "item_reference", "id": "msg_1"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": ""},
    ]});
    let (mut request, _) = decode_request(&with(input)).unwrap();
    let drops = for_other_dialects(&mut request).unwrap();
    let lost: Vec<_> = drops.as_slice().iter().map(|lost| &*lost.field).collect();
    assert_eq!(lost, ["input[1]", "input[2]"]);
    assert_eq!(request.messages.len(), 3);
    assert!(request.extra.is_empty());
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
