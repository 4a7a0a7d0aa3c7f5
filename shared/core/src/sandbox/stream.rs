//! The sandbox's answer as a stream of chunks, broken where it was told to break.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::reply::{Reply, cut_at_character};
use super::{CREATED, Options, SandboxAnswer, Step, usage};

pub(super) fn stream(
    request: &Value,
    model: &str,
    options: &Options,
    reply: &Reply,
    id: &str,
) -> SandboxAnswer {
    let chunk = |choices: Value| json!({"id": id, "object": "chat.completion.chunk", "created": CREATED, "model": model, "choices": choices});
    let choice = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]))
    };
    let mut chunks = vec![choice(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    )];
    for word in reply.text.split_inclusive(' ') {
        chunks.push(choice(json!({"content": word}), Value::Null));
    }
    for (index, call) in reply.calls.iter().enumerate() {
        chunks.push(choice(
            json!({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}]}),
            Value::Null,
        ));
        let mut half = call.arguments.clone();
        cut_at_character(&mut half, call.arguments.len() / 2);
        let rest = call.arguments.get(half.len()..).unwrap_or_default();
        for piece in [half.as_str(), rest] {
            if !piece.is_empty() {
                chunks.push(choice(
                    json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}),
                    Value::Null,
                ));
            }
        }
    }
    chunks.push(choice(json!({}), json!(reply.finish)));
    let wants_usage = request
        .pointer("/stream_options/include_usage")
        .and_then(Value::as_bool)
        == Some(true);
    if wants_usage {
        let mut last = chunk(json!([]));
        if let Some(fields) = last.as_object_mut() {
            fields.insert("usage".to_owned(), usage(request, reply.tokens));
        }
        chunks.push(last);
    }
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    SandboxAnswer {
        before: VecDeque::new(),
        status: StatusCode::OK,
        headers,
        steps: stream_steps(&chunks, options),
    }
}

fn stream_steps(chunks: &[Value], options: &Options) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    for (index, chunk) in chunks.iter().enumerate() {
        if options.cut == Some(index) {
            steps.push_back(Step::Break);
            return steps;
        }
        if options.fail == Some(index) {
            let error = json!({"error": {"message": "The sandbox was asked to fail in mid-stream.", "type": "server_error", "param": null, "code": "sandbox_failure"}});
            steps.push_back(Step::Send(Bytes::from(format!("data: {error}\n\n"))));
            return steps;
        }
        if let (true, Some(pace)) = (index > 0, options.pace) {
            steps.push_back(Step::Wait(pace));
        }
        steps.push_back(Step::Send(Bytes::from(format!("data: {chunk}\n\n"))));
    }
    if options.cut.is_some() {
        steps.push_back(Step::Break);
        return steps;
    }
    steps.push_back(Step::Send(Bytes::from_static(b"data: [DONE]\n\n")));
    steps
}
