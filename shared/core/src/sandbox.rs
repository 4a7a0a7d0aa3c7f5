//! The built-in provider: deterministic answers, streams, tool calls, chosen faults and delays.
//!
//! It answers in OpenAI's dialect as a real provider would, so that every line of the request path is walked.
//! What it does stands in the model's name: a base and then options, separated by colons.
//!
//! | base | answer |
//! |---|---|
//! | `echo` | the last user message; with tools offered, a call of each tool whose name the message holds; after tool results, the results |
//! | `words-N` | N words |
//! | `embed` | a vector for each input (`/v1/embeddings`) |
//!
//! | option | effect |
//! |---|---|
//! | `delay-T` | T before the answer begins (`250ms`, `2s`) |
//! | `pace-T` | T between the chunks of a stream |
//! | `status-N` | an error with that HTTP status |
//! | `retry-after-N` | with `status-N`: a `Retry-After` of N seconds |
//! | `cut-N` | the connection breaks after N chunks of a stream (0: before the first) |
//! | `fail-N` | an error event after N chunks of a stream |
//! | `garbage` | an answer that is not JSON |
//! | `hang` | no answer at all |
//!
//! Token counts are one for every four bytes, rounded up; they are exact for the reservation too.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use sluice_units::{Span, Tokens};

use crate::hash::sha256;

/// The most words that `words-N` writes.
pub const WORDS_MAX: usize = 20_000;
const BYTES_PER_TOKEN: usize = 4;
const CREATED: i64 = 1_767_225_600;
const EMBEDDING_LENGTH: usize = 8;
const VOCABULARY: [&str; 16] = [
    "water", "gate", "river", "stone", "light", "paper", "north", "table", "green", "quiet",
    "seven", "glass", "cloud", "morning", "copper", "field",
];

/// One step of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing for a while.
    Wait(Span),
    /// Bytes.
    Send(Bytes),
    /// The connection breaks.
    Break,
    /// Nothing ever again.
    Hang,
}

/// An answer: steps before the headers, the headers, steps after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxAnswer {
    /// What happens before the status is there.
    pub before: VecDeque<Step>,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub steps: VecDeque<Step>,
}

#[derive(Debug, Default)]
struct Options {
    words: Option<usize>,
    delay: Option<Span>,
    pace: Option<Span>,
    status: Option<u16>,
    retry_after: Option<u16>,
    cut: Option<usize>,
    fail: Option<usize>,
    garbage: bool,
    hang: bool,
}

impl Options {
    fn parse(model: &str) -> Option<Self> {
        let mut options = Self::default();
        let mut parts = model.split(':');
        match parts.next()? {
            "echo" | "embed" => {}
            base => options.words = Some(number(base, "words-")?.min(WORDS_MAX)),
        }
        for part in parts {
            match part {
                "garbage" => options.garbage = true,
                "hang" => options.hang = true,
                _ => options.value(part)?,
            }
        }
        Some(options)
    }

    fn value(&mut self, part: &str) -> Option<()> {
        if let Some(span) = part.strip_prefix("delay-") {
            self.delay = Some(Span::parse(span).ok()?);
        } else if let Some(span) = part.strip_prefix("pace-") {
            self.pace = Some(Span::parse(span).ok()?);
        } else if let Some(status) = part.strip_prefix("status-") {
            self.status = Some(
                status
                    .parse()
                    .ok()
                    .filter(|status| (400..600).contains(status))?,
            );
        } else if let Some(seconds) = part.strip_prefix("retry-after-") {
            self.retry_after = Some(seconds.parse().ok()?);
        } else if let Some(chunks) = number(part, "cut-") {
            self.cut = Some(chunks);
        } else {
            self.fail = Some(number(part, "fail-")?);
        }
        Some(())
    }
}

fn number(part: &str, prefix: &str) -> Option<usize> {
    part.strip_prefix(prefix)?.parse().ok()
}

/// Whether the sandbox has a model of this name.
#[must_use]
pub fn knows(model: &str) -> bool {
    Options::parse(model).is_some()
}

/// What a request will use, exactly, whatever model it names: input and output tokens.
#[must_use]
pub fn count(model: &str, body: &[u8]) -> (Tokens, Tokens) {
    let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if request.get("input").is_some() {
        return (input_tokens(&request), Tokens::ZERO);
    }
    let options = Options::parse(model).unwrap_or_default();
    let reply = Reply::to(&request, &options);
    (input_tokens(&request), reply.tokens)
}

/// Answers a request as a provider with OpenAI's dialect would.
#[must_use]
pub fn answer(path: &str, body: &[u8]) -> SandboxAnswer {
    let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let model = request
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(options) = Options::parse(model) else {
        return error_answer(404, None, "The sandbox has no such model.");
    };
    let mut answer = if let Some(status) = options.status {
        error_answer(
            status,
            options.retry_after,
            "The sandbox was asked to fail.",
        )
    } else if options.garbage {
        whole(StatusCode::OK, Bytes::from_static(b"<html>not json"))
    } else if path.ends_with("/embeddings") {
        whole(StatusCode::OK, to_bytes(&embeddings(&request, model)))
    } else {
        chat(&request, model, &options)
    };
    if let Some(delay) = options.delay {
        answer.before.push_back(Step::Wait(delay));
    }
    if options.hang {
        answer.before.push_back(Step::Hang);
    }
    answer
}

fn whole(status: StatusCode, body: Bytes) -> SandboxAnswer {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    SandboxAnswer {
        before: VecDeque::new(),
        status,
        headers,
        steps: VecDeque::from([Step::Send(body)]),
    }
}

fn error_answer(status: u16, retry_after: Option<u16>, message: &str) -> SandboxAnswer {
    let body = json!({"error": {"message": message, "type": "sandbox_error", "param": null, "code": format!("status_{status}")}});
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = whole(status, to_bytes(&body));
    if let Some(seconds) = retry_after {
        answer
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

fn to_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

struct Call {
    id: String,
    name: String,
    arguments: String,
}

struct Reply {
    text: String,
    calls: Vec<Call>,
    tokens: Tokens,
    finish: &'static str,
}

impl Reply {
    fn to(request: &Value, options: &Options) -> Self {
        let mut reply = Self {
            text: String::new(),
            calls: Vec::new(),
            tokens: Tokens::ZERO,
            finish: "stop",
        };
        if let Some(words) = options.words {
            reply.text = words_text(words);
        } else {
            let said = last_words(request);
            reply.calls = calls(request, &said);
            if reply.calls.is_empty() {
                reply.text = said;
            } else {
                reply.finish = "tool_calls";
            }
        }
        let mut tokens = tokens_of(reply.text.len());
        for call in &reply.calls {
            tokens = tokens.plus(tokens_of(
                call.name.len().saturating_add(call.arguments.len()),
            ));
        }
        if let Some(max) = output_max(request)
            && tokens.count() > max
            && reply.calls.is_empty()
        {
            tokens = Tokens::new(max);
            let bytes = usize::try_from(max)
                .unwrap_or(usize::MAX)
                .saturating_mul(BYTES_PER_TOKEN);
            cut_at_character(&mut reply.text, bytes);
            reply.finish = "length";
        }
        reply.tokens = tokens;
        reply
    }
}

fn cut_at_character(text: &mut String, bytes: usize) {
    if bytes < text.len() {
        let mut end = bytes;
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        text.truncate(end);
    }
}

fn output_max(request: &Value) -> Option<u64> {
    ["max_completion_tokens", "max_tokens"]
        .iter()
        .find_map(|field| request.get(*field).and_then(Value::as_u64))
}

fn words_text(words: usize) -> String {
    let mut text = String::new();
    for (index, word) in VOCABULARY.iter().cycle().take(words).enumerate() {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

fn tokens_of(bytes: usize) -> Tokens {
    Tokens::new(u64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX))
}

fn input_tokens(request: &Value) -> Tokens {
    let bytes = match (request.get("messages"), request.get("input")) {
        (Some(Value::Array(messages)), _) => messages
            .iter()
            .map(|message| text_of(message).len().saturating_add(1))
            .sum(),
        (_, Some(Value::Array(items))) => items
            .iter()
            .map(|item| item.as_str().map_or(BYTES_PER_TOKEN, str::len))
            .sum(),
        (_, Some(Value::String(text))) => text.len(),
        _ => 0,
    };
    tokens_of(bytes)
}

fn text_of(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect::<Vec<_>>()
            .join("\n"),
        _ => String::new(),
    }
}

/// The last user message, or all tool results after it.
fn last_words(request: &Value) -> String {
    let empty = Vec::new();
    let messages = request
        .get("messages")
        .and_then(Value::as_array)
        .unwrap_or(&empty);
    let role =
        |message: &Value, role: &str| message.get("role").and_then(Value::as_str) == Some(role);
    let results: Vec<String> = messages
        .iter()
        .rev()
        .take_while(|message| role(message, "tool"))
        .map(text_of)
        .collect();
    if !results.is_empty() {
        return results.into_iter().rev().collect::<Vec<_>>().join("\n");
    }
    messages
        .iter()
        .rev()
        .find(|message| role(message, "user"))
        .map(text_of)
        .unwrap_or_default()
}

/// The calls that the last user message asks for by name, or that the tool choice demands.
fn calls(request: &Value, said: &str) -> Vec<Call> {
    let last_is_user = request
        .get("messages")
        .and_then(Value::as_array)
        .and_then(|messages| messages.last())
        .and_then(|message| message.get("role"))
        .and_then(Value::as_str)
        == Some("user");
    let choice = request.get("tool_choice");
    if !last_is_user || choice.and_then(Value::as_str) == Some("none") {
        return Vec::new();
    }
    let named = choice
        .and_then(|choice| choice.pointer("/function/name"))
        .and_then(Value::as_str);
    let required = choice.and_then(Value::as_str) == Some("required");
    let one = request.get("parallel_tool_calls").and_then(Value::as_bool) == Some(false);
    let tools = request.get("tools").and_then(Value::as_array);
    let offered = || {
        tools
            .into_iter()
            .flatten()
            .filter_map(|tool| tool.get("function"))
    };
    let name_of = |tool: &Value| {
        tool.get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut chosen: Vec<&Value> = offered()
        .filter(|tool| {
            let name = name_of(tool);
            named.map_or_else(|| said.contains(&name), |named| named == name)
        })
        .collect();
    if chosen.is_empty() && required {
        chosen.extend(offered().next());
    }
    if one {
        chosen.truncate(1);
    }
    chosen
        .into_iter()
        .enumerate()
        .map(|(index, tool)| {
            let name = name_of(tool);
            let digest = crate::hash::hex(&sha256(format!("{said}/{index}/{name}").as_bytes()));
            Call {
                id: format!("call_{}", digest.get(..24).unwrap_or_default()),
                arguments: arguments(tool.get("parameters"), said).to_string(),
                name,
            }
        })
        .collect()
}

/// Arguments that satisfy the common part of JSON Schema: one value for each required property.
fn arguments(schema: Option<&Value>, said: &str) -> Value {
    let mut fields = Map::new();
    let properties = schema
        .and_then(|schema| schema.get("properties"))
        .and_then(Value::as_object);
    let required = schema
        .and_then(|schema| schema.get("required"))
        .and_then(Value::as_array);
    for (name, property) in properties.into_iter().flatten() {
        let wanted = required.is_none_or(|required| required.iter().any(|field| field == name));
        if wanted {
            fields.insert(name.clone(), sample(property, said));
        }
    }
    Value::Object(fields)
}

fn sample(schema: &Value, said: &str) -> Value {
    if let Some(first) = schema
        .get("enum")
        .and_then(Value::as_array)
        .and_then(|values| values.first())
    {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => json!(7),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => arguments(Some(schema), said),
        _ => {
            let mut text = said.to_owned();
            cut_at_character(&mut text, 64);
            Value::String(text)
        }
    }
}

fn usage(request: &Value, output: Tokens) -> Value {
    let input = input_tokens(request);
    json!({
        "prompt_tokens": input.count(),
        "completion_tokens": output.count(),
        "total_tokens": input.plus(output).count(),
    })
}

fn chat(request: &Value, model: &str, options: &Options) -> SandboxAnswer {
    let reply = Reply::to(request, options);
    let id = format!(
        "chatcmpl-{}",
        crate::hash::hex(&sha256(request.to_string().as_bytes()))
            .get(..24)
            .unwrap_or_default()
    );
    if request.get("stream").and_then(Value::as_bool) == Some(true) {
        return stream(request, model, options, &reply, &id);
    }
    let calls: Vec<Value> = reply
        .calls
        .iter()
        .map(|call| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}))
        .collect();
    let mut message = json!({"role": "assistant", "content": reply.text, "refusal": null});
    if let (false, Some(fields)) = (calls.is_empty(), message.as_object_mut()) {
        fields.insert("content".to_owned(), Value::Null);
        fields.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    whole(
        StatusCode::OK,
        to_bytes(&json!({
            "id": id,
            "object": "chat.completion",
            "created": CREATED,
            "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reply.finish}],
            "usage": usage(request, reply.tokens),
        })),
    )
}

fn stream(
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

fn embeddings(request: &Value, model: &str) -> Value {
    let input = request.get("input").cloned().unwrap_or(Value::Null);
    let items = match input {
        Value::Array(items) if items.iter().any(|item| item.is_string() || item.is_array()) => {
            items
        }
        other => vec![other],
    };
    let length = request
        .get("dimensions")
        .and_then(Value::as_u64)
        .and_then(|length| usize::try_from(length).ok())
        .map_or(EMBEDDING_LENGTH, |length| length.clamp(1, 32));
    let data: Vec<Value> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let digest = sha256(item.to_string().as_bytes());
            // Thousandths written as decimal text: exact, and no float is computed.
            let vector: Vec<Value> = digest
                .iter()
                .take(length)
                .filter_map(|byte| serde_json::from_str(&format!("0.{:03}", byte)).ok())
                .collect();
            json!({"object": "embedding", "index": index, "embedding": vector})
        })
        .collect();
    let input = input_tokens(request).count();
    json!({"object": "list", "model": model, "data": data, "usage": {"prompt_tokens": input, "total_tokens": input}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(model: &str, rest: &str) -> Vec<u8> {
        format!("{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"use get_time in Oslo\"}}]{rest}}}").into_bytes()
    }

    fn json_of(answer: &SandboxAnswer) -> Value {
        let Some(Step::Send(bytes)) = answer.steps.front() else {
            panic!("no body");
        };
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn it_echoes_the_last_user_message_and_counts_it_exactly() {
        let request = body("echo", "");
        let answer = json_of(&answer("/chat/completions", &request));
        assert_eq!(
            answer["choices"][0]["message"]["content"],
            "use get_time in Oslo"
        );
        let (input, output) = count("echo", &request);
        assert_eq!(answer["usage"]["prompt_tokens"], input.count());
        assert_eq!(answer["usage"]["completion_tokens"], output.count());
    }

    #[test]
    fn it_calls_the_tool_that_is_named() {
        let tools = r#","tools":[{"type":"function","function":{"name":"get_time","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]"#;
        let answer = json_of(&answer("/chat/completions", &body("echo", tools)));
        assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(
            answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
            "{\"city\":\"use get_time in Oslo\"}"
        );
    }

    #[test]
    fn a_limit_on_output_is_kept() {
        let answer = json_of(&answer(
            "/chat/completions",
            &body("words-100", ",\"max_tokens\":3"),
        ));
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!(answer["usage"]["completion_tokens"], 3);
    }

    #[test]
    fn faults_are_chosen_by_name() {
        let failed = answer(
            "/chat/completions",
            &body("echo:status-429:retry-after-2", ""),
        );
        assert_eq!(failed.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(failed.headers[header::RETRY_AFTER], "2");
        let cut = answer(
            "/chat/completions",
            &body("words-9:cut-2", ",\"stream\":true"),
        );
        assert_eq!(cut.steps.len(), 3);
        assert_eq!(cut.steps.back(), Some(&Step::Break));
        let hung = answer("/chat/completions", &body("echo:delay-2s:hang", ""));
        assert_eq!(hung.before, [Step::Wait(Span::from_seconds(2)), Step::Hang]);
        for wrong in [
            "",
            "gpt-4o",
            "echo:cut-x",
            "words-",
            "echo:status-200",
            "echo:what",
        ] {
            assert!(!knows(wrong), "{wrong}");
        }
    }
}
