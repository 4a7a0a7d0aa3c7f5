//! Requests that are refused, with OpenAI's code and field.

use serde_json::{Value, json};

use super::super::{chat, embeddings};

/// A valid request, with these fields put over it; `null` takes one away.
fn code_of(over: Value) -> (&'static str, String) {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    for (key, value) in over.as_object().unwrap() {
        body[key] = value.clone();
    }
    let error = chat::decode_request(body.to_string().as_bytes()).expect_err(&body.to_string());
    assert!(!error.message.is_empty());
    (error.code, error.param.unwrap_or_default())
}

fn message(message: Value) -> Value {
    json!({"messages": [message]})
}

#[test]
fn wrong_fields_are_named() {
    for (over, code, param) in [
        (
            json!({"model": null}),
            "missing_required_parameter",
            "model",
        ),
        (json!({"model": ""}), "empty_string", "model"),
        (json!({"model": 5}), "invalid_type", "model"),
        (
            json!({"messages": null}),
            "missing_required_parameter",
            "messages",
        ),
        (json!({"messages": []}), "empty_array", "messages"),
        (json!({"messages": {}}), "invalid_type", "messages"),
        (json!({"messages": ["Hi"]}), "invalid_type", "messages[0]"),
        (
            json!({"max_tokens": -1}),
            "integer_below_min_value",
            "max_tokens",
        ),
        (
            json!({"max_tokens": 0}),
            "integer_below_min_value",
            "max_tokens",
        ),
        (json!({"max_tokens": 1.5}), "invalid_type", "max_tokens"),
        (json!({"max_tokens": "9"}), "invalid_type", "max_tokens"),
        (
            json!({"max_completion_tokens": -1}),
            "integer_below_min_value",
            "max_completion_tokens",
        ),
        (
            json!({"max_tokens": 1, "max_completion_tokens": 2}),
            "invalid_value",
            "max_tokens",
        ),
        (json!({"n": 0}), "integer_below_min_value", "n"),
        (json!({"n": 129}), "integer_above_max_value", "n"),
        (
            json!({"temperature": 2.1}),
            "decimal_above_max_value",
            "temperature",
        ),
        (
            json!({"temperature": -0.1}),
            "decimal_below_min_value",
            "temperature",
        ),
        (json!({"temperature": "hot"}), "invalid_type", "temperature"),
        (json!({"top_p": 1.1}), "decimal_above_max_value", "top_p"),
        (
            json!({"presence_penalty": 3}),
            "decimal_above_max_value",
            "presence_penalty",
        ),
        (
            json!({"frequency_penalty": -3}),
            "decimal_below_min_value",
            "frequency_penalty",
        ),
        (json!({"seed": 1.5}), "invalid_type", "seed"),
        (
            json!({"logit_bias": {"1": 101}}),
            "decimal_above_max_value",
            "logit_bias.1",
        ),
        (json!({"stop": 5}), "invalid_type", "stop"),
        (json!({"stop": [5]}), "invalid_type", "stop[0]"),
        (
            json!({"stop": vec!["x"; 17]}),
            "array_above_max_length",
            "stop",
        ),
        (json!({"stream": "yes"}), "invalid_type", "stream"),
        (
            json!({"stream_options": {}}),
            "invalid_value",
            "stream_options",
        ),
        (json!({"logprobs": 5}), "invalid_type", "logprobs"),
        (json!({"top_logprobs": 5}), "invalid_value", "top_logprobs"),
        (
            json!({"logprobs": true, "top_logprobs": 21}),
            "integer_above_max_value",
            "top_logprobs",
        ),
        (
            json!({"response_format": "json"}),
            "invalid_type",
            "response_format",
        ),
        (
            json!({"response_format": {"type": "xml"}}),
            "invalid_value",
            "response_format.type",
        ),
        (
            json!({"response_format": {"type": "json_schema"}}),
            "missing_required_parameter",
            "response_format.json_schema",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}),
            "invalid_value",
            "response_format.json_schema.name",
        ),
        (
            json!({"reasoning_effort": "heroic"}),
            "invalid_value",
            "reasoning_effort",
        ),
        (
            json!({"thinking": {"type": "maybe"}}),
            "invalid_value",
            "thinking.type",
        ),
        (json!({"metadata": {"a": 1}}), "invalid_type", "metadata.a"),
        (
            json!({"metadata": {"a": "x".repeat(513)}}),
            "string_above_max_length",
            "metadata.a",
        ),
        (json!({"user": 5}), "invalid_type", "user"),
    ] {
        assert_eq!(code_of(over.clone()), (code, param.to_owned()), "{over}");
    }
}

#[test]
fn wrong_messages_are_named() {
    for (wrong, code, param) in [
        (
            json!({"content": "Hi"}),
            "missing_required_parameter",
            "messages[0].role",
        ),
        (
            json!({"role": "robot", "content": "Hi"}),
            "invalid_value",
            "messages[0].role",
        ),
        (
            json!({"role": "user"}),
            "missing_required_parameter",
            "messages[0].content",
        ),
        (
            json!({"role": "user", "content": 5}),
            "invalid_type",
            "messages[0].content",
        ),
        (
            json!({"role": "user", "content": ["Hi"]}),
            "invalid_type",
            "messages[0].content[0]",
        ),
        (
            json!({"role": "user", "content": [{"type": "smell"}]}),
            "invalid_value",
            "messages[0].content[0].type",
        ),
        (
            json!({"role": "system", "content": [{"type": "image_url"}]}),
            "invalid_value",
            "messages[0].content[0].type",
        ),
        (
            json!({"role": "user", "content": [{"type": "text"}]}),
            "missing_required_parameter",
            "messages[0].content[0].text",
        ),
        (
            json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "cat.png"}}]}),
            "invalid_value",
            "messages[0].content[0].image_url.url",
        ),
        (
            json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/", "detail": "huge"}}]}),
            "invalid_value",
            "messages[0].content[0].image_url.detail",
        ),
        (
            json!({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "midi"}}]}),
            "invalid_value",
            "messages[0].content[0].input_audio.format",
        ),
        (
            json!({"role": "user", "content": [{"type": "file", "file": {}}]}),
            "missing_required_parameter",
            "messages[0].content[0].file.file_data",
        ),
        (
            json!({"role": "assistant"}),
            "invalid_value",
            "messages[0].content",
        ),
        (
            json!({"role": "assistant", "tool_calls": []}),
            "empty_array",
            "messages[0].tool_calls",
        ),
        (
            json!({"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
            "missing_required_parameter",
            "messages[0].tool_calls[0].id",
        ),
        (
            json!({"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {}}}]}),
            "invalid_type",
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            json!({"role": "assistant", "tool_calls": [{"id": "1", "type": "magic"}]}),
            "invalid_value",
            "messages[0].tool_calls[0].type",
        ),
        (
            json!({"role": "assistant", "thinking_blocks": [{"type": "dream"}]}),
            "invalid_value",
            "messages[0].thinking_blocks[0].type",
        ),
        (
            json!({"role": "tool", "content": "x"}),
            "missing_required_parameter",
            "messages[0].tool_call_id",
        ),
        (
            json!({"role": "function", "content": "x"}),
            "missing_required_parameter",
            "messages[0].name",
        ),
        (
            json!({"role": "user", "content": "x", "cache_control": {"type": "ephemeral", "ttl": "1d"}}),
            "invalid_value",
            "messages[0].cache_control.ttl",
        ),
    ] {
        assert_eq!(
            code_of(message(wrong.clone())),
            (code, param.to_owned()),
            "{wrong}"
        );
    }
}

#[test]
fn wrong_tools_are_named() {
    let tool = |name: &str| json!([{"type": "function", "function": {"name": name}}]);
    for (over, code, param) in [
        (json!({"tools": {}}), "invalid_type", "tools"),
        (
            json!({"tools": [{}]}),
            "missing_required_parameter",
            "tools[0].type",
        ),
        (
            json!({"tools": [{"type": "magic"}]}),
            "invalid_value",
            "tools[0].type",
        ),
        (
            json!({"tools": [{"type": "function"}]}),
            "missing_required_parameter",
            "tools[0].function",
        ),
        (
            json!({"tools": tool("")}),
            "empty_string",
            "tools[0].function.name",
        ),
        (
            json!({"tools": tool("a b")}),
            "invalid_value",
            "tools[0].function.name",
        ),
        (
            json!({"tools": tool(&"x".repeat(129))}),
            "string_above_max_length",
            "tools[0].function.name",
        ),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}),
            "invalid_type",
            "tools[0].function.parameters",
        ),
        (
            json!({"tool_choice": "maybe"}),
            "invalid_value",
            "tool_choice",
        ),
        (
            json!({"tool_choice": {"type": "function"}}),
            "missing_required_parameter",
            "tool_choice.function",
        ),
        (
            json!({"tool_choice": {"type": "magic"}}),
            "invalid_value",
            "tool_choice.type",
        ),
        (
            json!({"parallel_tool_calls": 1}),
            "invalid_type",
            "parallel_tool_calls",
        ),
        (json!({"functions": []}), "empty_array", "functions"),
        (
            json!({"functions": [{"name": "f"}], "tools": tool("f")}),
            "invalid_value",
            "functions",
        ),
        (
            json!({"functions": [{"name": "f"}], "function_call": "maybe"}),
            "invalid_value",
            "function_call",
        ),
    ] {
        assert_eq!(code_of(over.clone()), (code, param.to_owned()), "{over}");
    }
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

#[test]
fn wrong_embeddings_are_named() {
    for (body, code, param) in [
        (json!({"input": "x"}), "missing_required_parameter", "model"),
        (json!({"model": "m"}), "missing_required_parameter", "input"),
        (json!({"model": "m", "input": ""}), "empty_string", "input"),
        (json!({"model": "m", "input": []}), "empty_array", "input"),
        (json!({"model": "m", "input": 5}), "invalid_type", "input"),
        (
            json!({"model": "m", "input": ["x", 5]}),
            "invalid_type",
            "input[1]",
        ),
        (
            json!({"model": "m", "input": ["x", ""]}),
            "empty_string",
            "input[1]",
        ),
        (
            json!({"model": "m", "input": [[1, -1]]}),
            "invalid_type",
            "input[0][1]",
        ),
        (
            json!({"model": "m", "input": vec!["x"; 2049]}),
            "array_above_max_length",
            "input",
        ),
        (
            json!({"model": "m", "input": "x", "dimensions": 0}),
            "integer_below_min_value",
            "dimensions",
        ),
        (
            json!({"model": "m", "input": "x", "encoding_format": "hex"}),
            "invalid_value",
            "encoding_format",
        ),
    ] {
        let error = embeddings::decode_request(body.to_string().as_bytes()).expect_err(code);
        assert_eq!(
            (error.code, error.param.as_deref()),
            (code, Some(param)),
            "{body}"
        );
    }
}
