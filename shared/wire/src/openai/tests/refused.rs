//! Requests that are refused, with OpenAI's code and field.

use serde_json::{Value, json};

use super::super::{chat, embeddings};
use crate::Malformed;

/// The request, with the fields of `over` put over a valid one; `null` takes one away.
fn refused(over: &Value) -> Malformed {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    for (key, value) in over.as_object().unwrap() {
        body[key] = value.clone();
    }
    chat::decode_request(body.to_string().as_bytes()).expect_err(&body.to_string())
}

fn refused_message(message: &Value) -> Malformed {
    refused(&json!({"messages": [message]}))
}

fn refused_embeddings(body: &Value) -> Malformed {
    embeddings::decode_request(body.to_string().as_bytes()).expect_err(&body.to_string())
}

fn check(refuse: fn(&Value) -> Malformed, cases: &[(&str, &str, &str)]) {
    for (case, code, param) in cases {
        let error = refuse(&serde_json::from_str(case).unwrap());
        assert_eq!(
            (error.code, error.param.as_deref()),
            (*code, Some(*param)),
            "{case}"
        );
        assert!(!error.message.is_empty(), "{case}");
    }
}

const FIELDS: &[(&str, &str, &str)] = &[
    (r#"{"model": null}"#, "missing_required_parameter", "model"),
    (r#"{"model": ""}"#, "empty_string", "model"),
    (r#"{"model": 5}"#, "invalid_type", "model"),
    (
        r#"{"messages": null}"#,
        "missing_required_parameter",
        "messages",
    ),
    (r#"{"messages": []}"#, "empty_array", "messages"),
    (r#"{"messages": {}}"#, "invalid_type", "messages"),
    (r#"{"messages": ["Hi"]}"#, "invalid_type", "messages[0]"),
    (
        r#"{"max_tokens": -1}"#,
        "integer_below_min_value",
        "max_tokens",
    ),
    (
        r#"{"max_tokens": 0}"#,
        "integer_below_min_value",
        "max_tokens",
    ),
    (r#"{"max_tokens": 1.5}"#, "invalid_type", "max_tokens"),
    (r#"{"max_tokens": "9"}"#, "invalid_type", "max_tokens"),
    (
        r#"{"max_completion_tokens": -1}"#,
        "integer_below_min_value",
        "max_completion_tokens",
    ),
    (
        r#"{"max_tokens": 1, "max_completion_tokens": 2}"#,
        "invalid_value",
        "max_tokens",
    ),
    (r#"{"n": 0}"#, "integer_below_min_value", "n"),
    (r#"{"n": 129}"#, "integer_above_max_value", "n"),
    (
        r#"{"temperature": 2.1}"#,
        "decimal_above_max_value",
        "temperature",
    ),
    (
        r#"{"temperature": -0.1}"#,
        "decimal_below_min_value",
        "temperature",
    ),
    (r#"{"temperature": "hot"}"#, "invalid_type", "temperature"),
    (r#"{"top_p": 1.1}"#, "decimal_above_max_value", "top_p"),
    (
        r#"{"presence_penalty": 3}"#,
        "decimal_above_max_value",
        "presence_penalty",
    ),
    (
        r#"{"frequency_penalty": -3}"#,
        "decimal_below_min_value",
        "frequency_penalty",
    ),
    (r#"{"seed": 1.5}"#, "invalid_type", "seed"),
    (
        r#"{"logit_bias": {"1": 101}}"#,
        "decimal_above_max_value",
        "logit_bias.1",
    ),
    (r#"{"stop": 5}"#, "invalid_type", "stop"),
    (r#"{"stop": [5]}"#, "invalid_type", "stop[0]"),
    (r#"{"stream": "yes"}"#, "invalid_type", "stream"),
    (
        r#"{"stream_options": {}}"#,
        "invalid_value",
        "stream_options",
    ),
    (r#"{"logprobs": 5}"#, "invalid_type", "logprobs"),
    (r#"{"top_logprobs": 5}"#, "invalid_value", "top_logprobs"),
    (
        r#"{"logprobs": true, "top_logprobs": 21}"#,
        "integer_above_max_value",
        "top_logprobs",
    ),
    (
        r#"{"response_format": "json"}"#,
        "invalid_type",
        "response_format",
    ),
    (
        r#"{"response_format": {"type": "xml"}}"#,
        "invalid_value",
        "response_format.type",
    ),
    (
        r#"{"response_format": {"type": "json_schema"}}"#,
        "missing_required_parameter",
        "response_format.json_schema",
    ),
    (
        r#"{"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}"#,
        "invalid_value",
        "response_format.json_schema.name",
    ),
    (
        r#"{"reasoning_effort": "heroic"}"#,
        "invalid_value",
        "reasoning_effort",
    ),
    (
        r#"{"thinking": {"type": "maybe"}}"#,
        "invalid_value",
        "thinking.type",
    ),
    (r#"{"metadata": {"a": 1}}"#, "invalid_type", "metadata.a"),
    (r#"{"user": 5}"#, "invalid_type", "user"),
];

const MESSAGES: &[(&str, &str, &str)] = &[
    (
        r#"{"content": "Hi"}"#,
        "missing_required_parameter",
        "messages[0].role",
    ),
    (
        r#"{"role": "robot", "content": "Hi"}"#,
        "invalid_value",
        "messages[0].role",
    ),
    (
        r#"{"role": "user"}"#,
        "missing_required_parameter",
        "messages[0].content",
    ),
    (
        r#"{"role": "user", "content": 5}"#,
        "invalid_type",
        "messages[0].content",
    ),
    (
        r#"{"role": "user", "content": ["Hi"]}"#,
        "invalid_type",
        "messages[0].content[0]",
    ),
    (
        r#"{"role": "user", "content": [{"type": "smell"}]}"#,
        "invalid_value",
        "messages[0].content[0].type",
    ),
    (
        r#"{"role": "system", "content": [{"type": "image_url"}]}"#,
        "invalid_value",
        "messages[0].content[0].type",
    ),
    (
        r#"{"role": "user", "content": [{"type": "text"}]}"#,
        "missing_required_parameter",
        "messages[0].content[0].text",
    ),
    (
        r#"{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "cat.png"}}]}"#,
        "invalid_value",
        "messages[0].content[0].image_url.url",
    ),
    (
        r#"{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/", "detail": "huge"}}]}"#,
        "invalid_value",
        "messages[0].content[0].image_url.detail",
    ),
    (
        r#"{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "midi"}}]}"#,
        "invalid_value",
        "messages[0].content[0].input_audio.format",
    ),
    (
        r#"{"role": "user", "content": [{"type": "file", "file": {}}]}"#,
        "missing_required_parameter",
        "messages[0].content[0].file.file_data",
    ),
    (
        r#"{"role": "assistant"}"#,
        "invalid_value",
        "messages[0].content",
    ),
    (
        r#"{"role": "assistant", "tool_calls": []}"#,
        "empty_array",
        "messages[0].tool_calls",
    ),
    (
        r#"{"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}"#,
        "missing_required_parameter",
        "messages[0].tool_calls[0].id",
    ),
    (
        r#"{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {}}}]}"#,
        "invalid_type",
        "messages[0].tool_calls[0].function.arguments",
    ),
    (
        r#"{"role": "assistant", "tool_calls": [{"id": "1", "type": "magic"}]}"#,
        "invalid_value",
        "messages[0].tool_calls[0].type",
    ),
    (
        r#"{"role": "assistant", "thinking_blocks": [{"type": "dream"}]}"#,
        "invalid_value",
        "messages[0].thinking_blocks[0].type",
    ),
    (
        r#"{"role": "tool", "content": "x"}"#,
        "missing_required_parameter",
        "messages[0].tool_call_id",
    ),
    (
        r#"{"role": "function", "content": "x"}"#,
        "missing_required_parameter",
        "messages[0].name",
    ),
    (
        r#"{"role": "user", "content": "x", "cache_control": {"type": "ephemeral", "ttl": "1d"}}"#,
        "invalid_value",
        "messages[0].cache_control.ttl",
    ),
];

const TOOLS: &[(&str, &str, &str)] = &[
    (
        r#"{"tools": [{"type": "function", "function": {"name": ""}}]}"#,
        "empty_string",
        "tools[0].function.name",
    ),
    (
        r#"{"tools": [{"type": "function", "function": {"name": "a b"}}]}"#,
        "invalid_value",
        "tools[0].function.name",
    ),
    (
        r#"{"functions": [{"name": "f"}], "tools": [{"type": "function", "function": {"name": "f"}}]}"#,
        "invalid_value",
        "functions",
    ),
    (r#"{"tools": {}}"#, "invalid_type", "tools"),
    (
        r#"{"tools": [{}]}"#,
        "missing_required_parameter",
        "tools[0].type",
    ),
    (
        r#"{"tools": [{"type": "magic"}]}"#,
        "invalid_value",
        "tools[0].type",
    ),
    (
        r#"{"tools": [{"type": "function"}]}"#,
        "missing_required_parameter",
        "tools[0].function",
    ),
    (
        r#"{"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}"#,
        "invalid_type",
        "tools[0].function.parameters",
    ),
    (
        r#"{"tool_choice": "maybe"}"#,
        "invalid_value",
        "tool_choice",
    ),
    (
        r#"{"tool_choice": {"type": "function"}}"#,
        "missing_required_parameter",
        "tool_choice.function",
    ),
    (
        r#"{"tool_choice": {"type": "magic"}}"#,
        "invalid_value",
        "tool_choice.type",
    ),
    (
        r#"{"parallel_tool_calls": 1}"#,
        "invalid_type",
        "parallel_tool_calls",
    ),
    (r#"{"functions": []}"#, "empty_array", "functions"),
    (
        r#"{"functions": [{"name": "f"}], "function_call": "maybe"}"#,
        "invalid_value",
        "function_call",
    ),
];

const EMBEDDINGS: &[(&str, &str, &str)] = &[
    (r#"{"input": "x"}"#, "missing_required_parameter", "model"),
    (r#"{"model": "m"}"#, "missing_required_parameter", "input"),
    (r#"{"model": "m", "input": ""}"#, "empty_string", "input"),
    (r#"{"model": "m", "input": []}"#, "empty_array", "input"),
    (r#"{"model": "m", "input": 5}"#, "invalid_type", "input"),
    (
        r#"{"model": "m", "input": ["x", 5]}"#,
        "invalid_type",
        "input[1]",
    ),
    (
        r#"{"model": "m", "input": ["x", ""]}"#,
        "empty_string",
        "input[1]",
    ),
    (
        r#"{"model": "m", "input": [[1, -1]]}"#,
        "invalid_type",
        "input[0][1]",
    ),
    (
        r#"{"model": "m", "input": "x", "dimensions": 0}"#,
        "integer_below_min_value",
        "dimensions",
    ),
    (
        r#"{"model": "m", "input": "x", "encoding_format": "hex"}"#,
        "invalid_value",
        "encoding_format",
    ),
];

#[test]
fn wrong_fields_are_named() {
    check(refused, FIELDS);
}

#[test]
fn wrong_messages_are_named() {
    check(refused_message, MESSAGES);
}

#[test]
fn wrong_tools_are_named() {
    check(refused, TOOLS);
}

#[test]
fn wrong_embeddings_are_named() {
    check(refused_embeddings, EMBEDDINGS);
}

#[test]
fn everything_is_bounded() {
    let many = |count: usize| vec!["x"; count];
    let tool = |name: &str| json!([{"type": "function", "function": {"name": name}}]);
    let message = json!({"role": "user", "content": "x"});
    for (over, code, param) in [
        (
            json!({"messages": vec![message; 10_001]}),
            "array_above_max_length",
            "messages",
        ),
        (
            json!({"tools": vec![json!({}); 1_025]}),
            "array_above_max_length",
            "tools",
        ),
        (json!({"stop": many(17)}), "array_above_max_length", "stop"),
        (
            json!({"metadata": {"a": "x".repeat(513)}}),
            "string_above_max_length",
            "metadata.a",
        ),
        (
            json!({"tools": tool(&"x".repeat(129))}),
            "string_above_max_length",
            "tools[0].function.name",
        ),
    ] {
        let error = refused(&over);
        assert_eq!((error.code, error.param.as_deref()), (code, Some(param)));
    }
    let inputs = json!({"model": "m", "input": many(2_049)});
    assert_eq!(refused_embeddings(&inputs).code, "array_above_max_length");
}

#[test]
fn sentences_are_those_of_openai() {
    let body = br#"{"model":"m","messages":[{"role":"robot","content":""}]}"#;
    assert_eq!(
        chat::decode_request(body).unwrap_err().message,
        "Invalid value: 'robot'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
    );
    let body = br#"{"model":"m","messages":[]}"#;
    assert_eq!(
        chat::decode_request(body).unwrap_err().message,
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
    );
    let body = br#"{"model":"m","messages":[{"role":"user","content":""}],"temperature":3}"#;
    assert_eq!(
        chat::decode_request(body).unwrap_err().message,
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead."
    );
    let huge = format!(
        r#"{{"model":"m","messages":[{{"role":"{}"}}]}}"#,
        "x".repeat(10_000)
    );
    assert!(
        chat::decode_request(huge.as_bytes())
            .unwrap_err()
            .message
            .len()
            < 300
    );
}
