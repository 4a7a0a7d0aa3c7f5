//! A whole answer for a caller, and the object that a stream's first and last events repeat.

use serde_json::{Map, Value, json};

use super::output::Output;
use super::{shape, usage};
use crate::error::UpstreamError;
use crate::model::{ChatRequest, ChatResponse, Finish, Part, PartKind, Role, Usage};
use crate::openai::chat::answer::is_tier;
use crate::openai::chat::tools::effort_word;
use crate::openai::error::classify;
use crate::{Drops, kinds};

/// What the gateway itself knows of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answered {
    /// The answer's identifier where the provider gave none of this dialect's, such as `resp_…`;
    /// also what the identifiers of items are built from.
    pub id: String,
    /// When it began, in seconds since the Unix epoch; used where the provider does not say.
    pub created: i64,
    /// The model's name to show; empty: the provider's.
    pub model: String,
    /// What the answer repeats of the request.
    pub echo: Echo,
}

/// What an answer repeats of its request.
#[derive(Debug, Clone, PartialEq)]
pub struct Echo(Map<String, Value>);

impl Default for Echo {
    fn default() -> Self {
        Self::of(&ChatRequest::default())
    }
}

impl Echo {
    /// Takes from a request what its answer repeats. What [`super::for_other_dialects`] took out is not repeated.
    #[must_use]
    pub fn of(request: &ChatRequest) -> Self {
        let instructions = request
            .messages
            .first()
            .filter(|first| first.role == Role::System)
            .and_then(|first| match first.parts.as_slice() {
                [Part::Text { text, .. }] => Some(text.as_str()),
                _ => None,
            });
        let reasoning = request.reasoning.as_ref();
        let effort = reasoning.and_then(|reasoning| reasoning.effort);
        let shown = reasoning.and_then(|reasoning| reasoning.include) == Some(true);
        let tools: Vec<Value> = request.tools.iter().map(shape::tool).collect();
        let choice = request.tool_choice.as_ref();
        let format = request.format.as_ref();
        let mut text = Map::new();
        text.insert(
            "format".to_owned(),
            format.map_or_else(|| json!({"type": "text"}), shape::format),
        );
        if let Some(verbosity) = request.extra.get("verbosity") {
            text.insert("verbosity".to_owned(), verbosity.clone());
        }
        let fields = json!({
            "instructions": instructions,
            "max_output_tokens": request.output_tokens_max,
            "metadata": request.metadata,
            "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
            "previous_response_id": request.extra.get("previous_response_id"),
            "reasoning": {
                "effort": effort.map(effort_word),
                "summary": shown.then_some("auto"),
            },
            "store": request.extra.get("store").and_then(Value::as_bool).unwrap_or(false),
            "temperature": request.sampling.temperature,
            "text": text,
            "tool_choice": choice.map_or_else(|| "auto".into(), shape::choice),
            "tools": tools,
            "top_p": request.sampling.top_p,
            "truncation": "disabled",
        });
        let Value::Object(mut fields) = fields else {
            return Self(Map::new());
        };
        if let Some(user) = &request.user {
            fields.insert("user".to_owned(), user.as_str().into());
        }
        Self(fields)
    }
}

/// What stands at the head of every response object of one answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) id: String,
    created: i64,
    model: String,
    echo: Map<String, Value>,
}

/// How an answer ended, or that it has not.
#[derive(Debug, Clone, Copy)]
pub(super) enum State<'a> {
    Growing,
    Ended(Ending),
    Failed(&'a UpstreamError),
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was done.
    Completed,
    /// It was cut off, in the dialect's word.
    Incomplete(&'static str),
}

impl Ending {
    /// Of a finish. `declined`: the model said so in words of its own, and the caller reads them.
    pub(super) fn of(finish: &Finish, declined: bool, drops: &mut Drops) -> Self {
        match finish {
            Finish::Stop | Finish::ToolCalls => Self::Completed,
            Finish::StopSequence(sequence) => {
                if sequence.is_some() {
                    drops.push("stop_sequence", "responses does not say which one was met");
                }
                Self::Completed
            }
            Finish::Length => Self::Incomplete("max_output_tokens"),
            Finish::ContextFull => {
                let reason = "a full context is responses' max_output_tokens";
                drops.push("finish_reason", reason);
                Self::Incomplete("max_output_tokens")
            }
            Finish::Refusal if declined => Self::Completed,
            Finish::ContentFilter | Finish::Refusal => Self::Incomplete("content_filter"),
            Finish::Pause | Finish::Other(_) => {
                let reason = "the provider's word is not one of responses'";
                drops.push("finish_reason", reason);
                Self::Completed
            }
        }
    }

    /// The status of an answer, and of its last item.
    pub(super) const fn status(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
        }
    }
}

impl Head {
    /// The head of an answer: the provider's identifier counts if it is one of this dialect's.
    pub(super) fn new(answered: &Answered, id: &str, model: &str, created: Option<i64>) -> Self {
        let own = id.starts_with("resp_") || answered.id.is_empty();
        let shown = if answered.model.is_empty() {
            model
        } else {
            &answered.model
        };
        Self {
            id: if own { id } else { &answered.id }.to_owned(),
            created: created.unwrap_or(answered.created),
            model: shown.to_owned(),
            echo: answered.echo.0.clone(),
        }
    }

    /// The response object.
    pub(super) fn json(
        &self,
        state: State<'_>,
        output: Vec<Value>,
        used: Option<&Usage>,
    ) -> Map<String, Value> {
        let (status, reason, error) = match state {
            State::Growing => ("in_progress", None, Value::Null),
            State::Ended(Ending::Completed) => ("completed", None, Value::Null),
            State::Ended(Ending::Incomplete(reason)) => ("incomplete", Some(reason), Value::Null),
            State::Failed(failed) => ("failed", None, error(failed)),
        };
        let details = reason.map_or(Value::Null, |reason| json!({"reason": reason}));
        let mut fields = Map::new();
        for (key, value) in [
            ("id", self.id.as_str().into()),
            ("object", "response".into()),
            ("created_at", self.created.into()),
            ("status", status.into()),
            ("background", false.into()),
            ("error", error),
            ("incomplete_details", details),
            ("model", self.model.as_str().into()),
            ("output", Value::Array(output)),
        ] {
            fields.insert(key.to_owned(), value);
        }
        fields.extend(self.echo.clone());
        if let Some(used) = used {
            fields.insert("usage".to_owned(), usage::encode(used));
        }
        fields
    }
}

/// The error of a failed response: its codes are few.
fn error(failed: &UpstreamError) -> Value {
    let (_, code) = classify::words(failed.class);
    let code = match code {
        "rate_limit_exceeded" => code,
        "content_filter" | "context_length_exceeded" | "invalid_request" => "invalid_prompt",
        _ => "server_error",
    };
    json!({"code": code, "message": message(failed)})
}

/// What a failure says to a person.
pub(super) fn message(failed: &UpstreamError) -> &str {
    match failed.message.as_str() {
        "" => "The provider failed while it was answering.",
        message => message,
    }
}

/// Writes a whole answer for a caller, and names what the dialect cannot say.
#[must_use]
pub fn encode_response(response: &ChatResponse, answered: &Answered) -> (Vec<u8>, Drops) {
    let mut drops = Drops::new();
    let head = Head::new(answered, &response.id, &response.model, response.created);
    let mut output = Output::new(&head.id);
    let mut ending = Ending::Completed;
    for choice in &response.choices {
        if choice.index != 0 {
            let field = format!("choices[{}]", choice.index);
            drops.push(field, "responses has one choice");
            continue;
        }
        for part in &choice.parts {
            add(part, &mut output, &mut drops);
        }
        if let Some(logprobs) = &choice.logprobs {
            output.logprobs(logprobs, true, &mut drops);
        }
        let declined = choice
            .parts
            .iter()
            .any(|part| matches!(part, Part::Refusal { .. }));
        ending = Ending::of(&choice.finish, declined, &mut drops);
    }
    let last = output.items().len();
    output.end_all();
    for number in 0..output.items().len() {
        let cut = number.checked_add(1) == Some(last);
        if let Some(item) = output.item_mut(number) {
            item.status = Some(if cut { ending.status() } else { "completed" });
        }
    }
    let used = response.usage.as_ref();
    kinds::note(used, &kinds::OPENAI, &mut drops);
    let mut body = head.json(State::Ended(ending), output.json(), used);
    for (key, value) in &response.extra {
        if key == "service_tier" && !is_tier(value) {
            drops.push("service_tier", "the provider's word is not one of openai's");
        } else if key == "prompt" && !value.is_object() {
            drops.push(
                "prompt",
                "another provider's; responses means another thing by it",
            );
        } else if !body.contains_key(key) {
            body.insert(key.clone(), value.clone());
        }
    }
    (Value::Object(body).to_string().into_bytes(), drops)
}

pub(super) fn note_media(drops: &mut Drops) {
    drops.push("output[]", "responses answers with text and calls only");
}

fn add(part: &Part, output: &mut Output, drops: &mut Drops) {
    let (kind, text) = match part {
        Part::Text { text, .. } => (PartKind::Text, text.as_str()),
        Part::Refusal { text } => (PartKind::Refusal, text.as_str()),
        Part::Thinking { text, .. } => (PartKind::Thinking, text.as_str()),
        Part::RedactedThinking { data } => (PartKind::RedactedThinking { data: data.clone() }, ""),
        Part::ToolCall {
            id,
            name,
            arguments,
            ..
        } => {
            let kind = PartKind::ToolCall {
                id: id.clone(),
                name: name.clone(),
            };
            (kind, arguments.as_str())
        }
        Part::Image { .. }
        | Part::Audio { .. }
        | Part::Document { .. }
        | Part::ToolResult { .. } => return note_media(drops),
    };
    let (place, _) = output.begin(&kind);
    output.append(place, text);
    match part {
        Part::Text { annotations, .. } => {
            for annotation in annotations {
                output.annotate(place, annotation, drops);
            }
        }
        Part::Thinking {
            signature: Some(signature),
            ..
        }
        | Part::ToolCall {
            signature: Some(signature),
            ..
        } => output.sign(place, signature, drops),
        _ => {}
    }
    output.end(place);
}
