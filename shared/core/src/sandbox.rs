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

mod reply;
mod stream;

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sluice_units::{Span, Tokens};

use crate::hash::sha256;
use reply::{Reply, input_tokens};
use stream::stream;

/// The most words that `words-N` writes.
pub const WORDS_MAX: usize = 20_000;
const CREATED: i64 = 1_767_225_600;
const EMBEDDING_LENGTH: usize = 8;
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
    let request: Value = sluice_units::json::from_slice(body).unwrap_or(Value::Null);
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
    let request: Value = sluice_units::json::from_slice(body).unwrap_or(Value::Null);
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
        sluice_units::hex(&sha256(request.to_string().as_bytes()))
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
                .filter_map(|byte| {
                    sluice_units::json::from_slice(format!("0.{:03}", byte).as_bytes()).ok()
                })
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
