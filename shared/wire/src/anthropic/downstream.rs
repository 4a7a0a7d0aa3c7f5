//! The side of callers that speak Messages: their requests, and answers, streams, errors and lists for them.

mod content;
mod lists;
mod request;
mod response;
mod stream;

pub use lists::{Model, encode_model, encode_models, encode_token_count};
pub use request::{decode_count_tokens, decode_request};
pub use response::encode_response;
pub use stream::{HELD_BYTES_MAX, StreamEncoder};

use serde_json::{Value, json};
use sluice_units::Tokens;

use crate::Drops;
use crate::model::{Finish, Usage};

const UNSUPPORTED: &str = "not supported by the gateway";

/// What the gateway itself knows of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// The answer's identifier where the provider gave none of this dialect's, such as `msg_…`;
    /// also what made-up call identifiers are built from.
    pub id: String,
    /// The model's name to show; empty: the provider's.
    pub model: String,
}

impl Answered {
    /// The identifier of a call that the provider gave none, the same whether streamed or not.
    fn call_id(&self, call: u32) -> String {
        let id = self.id.strip_prefix("msg_").unwrap_or(&self.id);
        format!("toolu_{id}_{call}")
    }

    fn shown<'a>(&'a self, id: &'a str, model: &'a str) -> (&'a str, &'a str) {
        let is_own = id.starts_with("msg_") || self.id.is_empty();
        let id = if is_own { id } else { &self.id };
        let model = if self.model.is_empty() {
            model
        } else {
            &self.model
        };
        (id, model)
    }
}

/// `stop_reason` and `stop_sequence`.
fn stop(finish: &Finish, drops: &mut Drops) -> (&'static str, Option<String>) {
    let reason = match finish {
        Finish::Stop => "end_turn",
        Finish::StopSequence(sequence) => return ("stop_sequence", sequence.clone()),
        Finish::Length => "max_tokens",
        Finish::ContextFull => "model_context_window_exceeded",
        Finish::ToolCalls => "tool_use",
        // Messages' word for the model's own refusal and for that of the provider's safety system.
        Finish::Refusal | Finish::ContentFilter => "refusal",
        Finish::Pause => "pause_turn",
        Finish::Other(_) => {
            drops.push("finish_reason", "unknown to anthropic");
            "end_turn"
        }
    };
    (reason, None)
}

fn stop_details(refusal: &str) -> Value {
    json!({"type": "refusal", "category": null, "explanation": refusal})
}

fn usage(usage: &Usage) -> Value {
    let written = usage.cache_write_5m.plus(usage.cache_write_1h);
    let mut value = json!({
        "input_tokens": usage.input.count(),
        "cache_creation_input_tokens": written.count(),
        "cache_read_input_tokens": usage.input_cached.count(),
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m.count(),
            "ephemeral_1h_input_tokens": usage.cache_write_1h.count(),
        },
        "output_tokens": usage.output.count(),
    });
    if usage.reasoning > Tokens::new(0)
        && let Some(fields) = value.as_object_mut()
    {
        let details = json!({"thinking_tokens": usage.reasoning.count()});
        fields.insert("output_tokens_details".to_owned(), details);
    }
    value
}

/// Annotations in this dialect's own shape; others have none here.
fn citation(annotation: &Value, drops: &mut Drops) -> Option<Value> {
    let kind = annotation.get("type").and_then(Value::as_str);
    if kind.is_some_and(|kind| kind.ends_with("_location")) {
        return Some(annotation.clone());
    }
    drops.push(
        "annotations",
        "another provider's annotations have no counterpart",
    );
    None
}
