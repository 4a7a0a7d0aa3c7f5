//! Legacy Completions, for callers: a prompt in, text out.
//!
//! Follows OpenAI's API description 2.3.0 (`POST /completions`). For a provider of conversations the prompt is the one
//! message of the user. What only a provider of this API has (several prompts, prompts as token numbers, `suffix`)
//! stays in [`ChatRequest::extra`]; [`for_other_dialects`] refuses or names it.

mod stream;

use serde_json::{Map, Number, Value, json};

pub use stream::StreamEncoder;

use super::chat::request::{extra, sampling, stop, streaming};
use super::{fault, finish, usage};
use crate::Drops;
use crate::error::Malformed;
use crate::json;
use crate::model::{ChatRequest, ChatResponse, Choice, Finish, Logprobs, Message, Part, Role};

/// The most alternatives to each token, as at OpenAI.
const LOGPROBS_MAX: u32 = 5;
/// The most alternatives, as at OpenAI.
const CHOICES_MAX: u32 = 128;
/// What a request generates that does not say how much, as at OpenAI.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 16;

/// What the gateway itself knows of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// The answer's identifier where the provider gave none, such as `cmpl-…`.
    pub id: String,
    /// When it began, in seconds since the Unix epoch; used where the provider does not say.
    pub created: i64,
}

/// Reads a caller's request strictly.
///
/// # Errors
/// [`Malformed`] with the code, field and sentence that OpenAI would answer with.
pub fn decode_request(body: &[u8]) -> Result<(ChatRequest, Drops), Malformed> {
    let mut fields = json::parse_object(body)?;
    let mut drops = Drops::new();
    let model = fields.need_string("model")?;
    if model.is_empty() {
        return Err(fault::empty_string("model".to_owned()));
    }
    let prompt = fields
        .take("prompt")
        .ok_or_else(|| fields.missing("prompt"))?;
    let (text, native) = match prompt {
        Value::String(text) => (text, None),
        Value::Array(mut items) => match (items.len(), items.pop()) {
            (1, Some(Value::String(text))) => (text, None),
            (_, Some(last)) => {
                items.push(last);
                (said(&items), Some(Value::Array(items)))
            }
            (_, None) => return Err(fields.invalid("prompt", "a prompt that is not empty")),
        },
        other => return Err(fields.wrong("prompt", "a string or an array", &other)),
    };
    let (stream, stream_usage) = streaming(&mut fields, &mut drops)?;
    let best_of = fault::take_u32(&mut fields, "best_of", 1, CHOICES_MAX)?;
    let choices = fault::take_u32(&mut fields, "n", 1, CHOICES_MAX)?;
    let mut request = ChatRequest {
        model,
        messages: vec![Message {
            role: Role::User,
            parts: vec![Part::text(text)],
            name: None,
        }],
        output_tokens_max: Some(
            fields
                .take_u64("max_tokens", 0)?
                .unwrap_or(OUTPUT_TOKENS_DEFAULT),
        ),
        sampling: sampling(&mut fields)?,
        stop: stop(&mut fields)?,
        logprobs: fault::take_u32(&mut fields, "logprobs", 0, LOGPROBS_MAX)?.map(|top| Logprobs {
            enabled: true,
            top: (top > 0).then_some(top),
        }),
        // Each of them is generated, and paid for.
        choices: choices.max(best_of),
        user: fields.take_string("user")?,
        stream,
        stream_usage,
        extra: extra(fields),
        ..ChatRequest::default()
    };
    for (key, value) in [
        ("prompt", native),
        (
            "best_of",
            best_of
                .filter(|best| Some(*best) > choices)
                .map(Value::from),
        ),
    ] {
        request
            .extra
            .extend(value.map(|value| (key.to_owned(), value)));
    }
    Ok((request, drops))
}

/// What several prompts come to, for whoever counts them.
fn said(prompts: &[Value]) -> String {
    let texts: Vec<String> = prompts
        .iter()
        .map(|prompt| match prompt {
            Value::String(text) => text.clone(),
            tokens => tokens.to_string(),
        })
        .collect();
    texts.join("\n")
}

/// Makes a request fit for a provider of conversations.
///
/// # Errors
/// [`Malformed`] when it needs what only a provider of this API has.
pub fn for_other_dialects(request: &mut ChatRequest) -> Result<Drops, Malformed> {
    const REFUSED: [(&str, &str); 4] = [
        ("prompt", "The model takes one prompt, as a string."),
        ("suffix", "The model cannot insert text before a suffix."),
        (
            "best_of",
            "The model's provider does not choose the best of several answers; send 'n'.",
        ),
        ("echo", "The model does not repeat its prompt."),
    ];
    let mut drops = Drops::new();
    for (key, value) in std::mem::take(&mut request.extra) {
        let known = REFUSED.iter().find(|(refused, _)| *refused == key);
        match known {
            _ if key == "echo" && value == Value::Bool(false) => {}
            Some((_, message)) => {
                return Err(Malformed {
                    code: "unsupported_parameter",
                    message: (*message).to_owned(),
                    param: Some(key),
                });
            }
            None => drops.push(key, "only the caller's own dialect has it"),
        }
    }
    Ok(drops)
}

/// Writes a whole answer for a caller, and names what the dialect cannot say.
#[must_use]
pub fn encode_response(response: &ChatResponse, answered: &Answered) -> (Vec<u8>, Drops) {
    let mut drops = Drops::new();
    let choices: Vec<Value> = response
        .choices
        .iter()
        .map(|choice| encode_choice(choice, &mut drops))
        .collect();
    let mut body = json!({
        "id": answered.id,
        "object": "text_completion",
        "created": response.created.unwrap_or(answered.created),
        "model": response.model,
        "choices": choices,
    });
    if let (Some(used), Some(fields)) = (&response.usage, body.as_object_mut()) {
        fields.insert("usage".to_owned(), usage::encode(used));
    }
    (body.to_string().into_bytes(), drops)
}

fn encode_choice(choice: &Choice, drops: &mut Drops) -> Value {
    let mut text = String::new();
    for part in &choice.parts {
        match part {
            Part::Text { text: more, .. } | Part::Refusal { text: more } => text.push_str(more),
            other => drops.push(kind(other), "a text has no such part"),
        }
    }
    let logprobs = choice.logprobs.as_ref();
    json!({
        "text": text,
        "index": choice.index,
        "logprobs": logprobs.and_then(|logprobs| legacy_logprobs(logprobs, &mut 0)),
        "finish_reason": finish_word(&choice.finish, drops),
    })
}

const fn kind(part: &Part) -> &'static str {
    match part {
        Part::ToolCall { .. } => "tool_calls",
        Part::Thinking { .. } | Part::RedactedThinking { .. } => "reasoning",
        _ => "content",
    }
}

fn finish_word(finish: &Finish, drops: &mut Drops) -> &'static str {
    match finish::encode(finish, drops) {
        "length" => "length",
        "content_filter" => "content_filter",
        _ => "stop",
    }
}

/// The log-probabilities of Chat Completions in the shape of this API. `offset` is where the text stands, in characters.
fn legacy_logprobs(logprobs: &Value, offset: &mut usize) -> Option<Value> {
    let tokens = logprobs.get("content")?.as_array()?;
    let text = |token: &Value| {
        token
            .get("token")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let number = |token: &Value| -> Option<Number> { token.get("logprob")?.as_number().cloned() };
    let mut offsets = Vec::new();
    for token in tokens {
        offsets.push(*offset);
        let chars = text(token).map_or(0, |text| text.chars().count());
        *offset = offset.saturating_add(chars);
    }
    let top = |token: &Value| -> Map<String, Value> {
        let top = token.get("top_logprobs").and_then(Value::as_array);
        top.into_iter()
            .flatten()
            .filter_map(|token| Some((text(token)?, number(token)?.into())))
            .collect()
    };
    Some(json!({
        "tokens": tokens.iter().filter_map(text).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(number).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: Value) -> Result<ChatRequest, Malformed> {
        decode_request(body.to_string().as_bytes()).map(|(request, _)| request)
    }

    #[test]
    fn a_prompt_is_the_users_message() {
        let request =
            decode(json!({"model": "m", "prompt": ["once"], "stop": "\n", "n": 2, "logprobs": 3}))
                .unwrap();
        assert_eq!(request.messages[0].parts, [Part::text("once".to_owned())]);
        assert_eq!(request.output_tokens_max, Some(OUTPUT_TOKENS_DEFAULT));
        assert_eq!(request.choices, Some(2));
        assert_eq!(request.logprobs.unwrap().top, Some(3));
        assert!(request.extra.is_empty());
    }

    #[test]
    fn what_only_this_api_has_is_refused_elsewhere() {
        for (body, param) in [
            (json!({"model": "m", "prompt": ["a", "b"]}), "prompt"),
            (json!({"model": "m", "prompt": [1, 2]}), "prompt"),
            (
                json!({"model": "m", "prompt": "a", "suffix": "b"}),
                "suffix",
            ),
            (json!({"model": "m", "prompt": "a", "echo": true}), "echo"),
            (
                json!({"model": "m", "prompt": "a", "best_of": 3}),
                "best_of",
            ),
        ] {
            let mut request = decode(body).unwrap();
            let refused = for_other_dialects(&mut request).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(param));
        }
        let mut request =
            decode(json!({"model": "m", "prompt": "a", "echo": false, "x": 1})).unwrap();
        let drops = for_other_dialects(&mut request).unwrap();
        assert_eq!(drops.as_slice()[0].field, "x");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, param) in [
            (json!({"model": "m"}), "prompt"),
            (json!({"model": "m", "prompt": []}), "prompt"),
            (json!({"model": "m", "prompt": 3}), "prompt"),
            (json!({"model": "", "prompt": "x"}), "model"),
            (
                json!({"model": "m", "prompt": "x", "logprobs": 6}),
                "logprobs",
            ),
        ] {
            assert_eq!(decode(body).unwrap_err().param.as_deref(), Some(param));
        }
    }

    #[test]
    fn an_answer_is_one_text() {
        let token = |token: &str| json!({"token": token, "logprob": -1, "top_logprobs": [{"token": token, "logprob": -1}]});
        let response = ChatResponse {
            model: "m".to_owned(),
            choices: vec![Choice {
                index: 0,
                parts: vec![
                    Part::Thinking {
                        text: "hm".to_owned(),
                        signature: None,
                    },
                    Part::text("über".to_owned()),
                ],
                finish: Finish::Length,
                logprobs: Some(json!({"content": [token("ü"), token("ber")]})),
            }],
            ..ChatResponse::default()
        };
        let answered = Answered {
            id: "cmpl-1".to_owned(),
            created: 7,
        };
        let (body, drops) = encode_response(&response, &answered);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            json!({"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "m", "choices": [{
                "text": "über", "index": 0, "finish_reason": "length", "logprobs": {
                    "tokens": ["ü", "ber"], "token_logprobs": [-1, -1],
                    "top_logprobs": [{"ü": -1}, {"ber": -1}], "text_offset": [0, 1],
                },
            }]})
        );
        assert_eq!(drops.as_slice()[0].field, "reasoning");
    }
}
