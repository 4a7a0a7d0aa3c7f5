//! What providers that call themselves compatible want otherwise. All of it is said by the [`Target`].

use serde_json::{Map, Value, json};

use crate::model::{ChatRequest, Part, ResponseFormat, Role};
use crate::openai::ids;
use crate::{Drops, Target};

/// Whether a caller's own body may go to the provider, but for what [`Edits`](crate::openai::passthrough::Edits)
/// change: nothing in it must be said otherwise, and nothing in the answer either.
#[must_use]
pub fn suits(request: &ChatRequest, target: &Target) -> bool {
    let ends_with_answer = request.messages.last().is_some_and(is_assistant);
    let has_schema = matches!(request.format, Some(ResponseFormat::JsonSchema { .. }));
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let thinks_in_parts = target.thinking_chunks && target.reasoning;
    let needs_words = target.strict_fields
        || thinks_in_parts
        || (target.random_seed && request.sampling.seed.is_some())
        || (target.assistant_prefix && ends_with_answer)
        || (!target.json_schema && has_schema);
    !needs_words && !asks_for_refused(request, target) && parts_suit(parts, target)
}

fn is_assistant(message: &crate::model::Message) -> bool {
    message.role == Role::Assistant
}

fn parts_suit<'a>(mut parts: impl Iterator<Item = &'a Part>, target: &Target) -> bool {
    parts.all(|part| match part {
        Part::Thinking { .. } | Part::RedactedThinking { .. } => {
            target.reasoning_content || target.reasoning_key
        }
        Part::ToolCall { signature, id, .. } => {
            let signed = signature.is_none() || target.thought_signatures;
            signed && ids::for_chat(id, target) == id.as_str()
        }
        Part::ToolResult { id, parts, .. } => {
            // OpenAI's tools return text; what they showed beside it is sent as the user's.
            let is_text = |part: &Part| matches!(part, Part::Text { .. });
            parts.iter().all(is_text) && ids::for_chat(id, target) == id.as_str()
        }
        _ => true,
    })
}

fn asks_for_refused(request: &ChatRequest, target: &Target) -> bool {
    let sampling = &request.sampling;
    let refused = |field: &String| match field.as_str() {
        "frequency_penalty" => sampling.frequency_penalty.is_some(),
        "logit_bias" => !sampling.logit_bias.is_empty(),
        "logprobs" | "top_logprobs" => request.logprobs.is_some(),
        "metadata" => !request.metadata.is_empty(),
        "n" => request.choices.is_some(),
        "parallel_tool_calls" => request.parallel_tool_calls.is_some(),
        "presence_penalty" => sampling.presence_penalty.is_some(),
        "reasoning_effort" => request.reasoning.is_some(),
        "response_format" => request.format.is_some(),
        "seed" => sampling.seed.is_some(),
        "stop" => !request.stop.is_empty(),
        "temperature" => sampling.temperature.is_some(),
        "tool_choice" => request.tool_choice.is_some(),
        "top_k" => sampling.top_k.is_some(),
        "top_p" => sampling.top_p.is_some(),
        "user" => request.user.is_some(),
        field => request.extra.contains_key(field),
    };
    target.fields_refused.iter().any(refused)
}

/// Says a finished body as the provider wants it.
pub(super) fn apply(
    request: &ChatRequest,
    target: &Target,
    body: &mut Map<String, Value>,
    drops: &mut Drops,
) {
    if target.random_seed
        && let Some(seed) = body.shift_remove("seed")
    {
        body.insert("random_seed".to_owned(), seed);
    }
    for field in &target.fields_refused {
        if body.shift_remove(field).is_some() {
            drops.push(field.clone(), "the provider refuses it");
        }
    }
    let messages = body.get_mut("messages").and_then(Value::as_array_mut);
    if target.assistant_prefix
        && request.messages.last().is_some_and(is_assistant)
        && let Some(Value::Object(last)) = messages.and_then(|messages| messages.last_mut())
        && last.get("role") == Some(&"assistant".into())
    {
        last.insert("prefix".to_owned(), true.into());
    }
    if !target.json_schema {
        lower_schema(request, body, drops);
    }
}

/// Asks for any JSON, and for the schema in words.
fn lower_schema(request: &ChatRequest, body: &mut Map<String, Value>, drops: &mut Drops) {
    let Some(ResponseFormat::JsonSchema { schema, .. }) = &request.format else {
        return;
    };
    let text = format!(
        "Answer with one JSON object and nothing else. It must be valid against this JSON Schema: {schema}"
    );
    let instruction = json!({"role": "system", "content": text});
    if let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) {
        // Behind the caller's own instructions.
        let is_system = |message: &&Value| message.get("role") == Some(&"system".into());
        let at = messages.iter().take_while(is_system).count();
        messages.insert(at, instruction);
    }
    let format = json!({"type": "json_object"});
    body.insert("response_format".to_owned(), format);
    drops.push(
        "response_format.json_schema",
        "the provider promises JSON and no schema; it stands among the instructions",
    );
}

/// An assistant's thoughts as parts of its content.
pub(super) fn chunks(parts: &[Part]) -> Vec<Value> {
    let thoughts = parts.iter().filter_map(|part| match part {
        Part::Thinking { text, .. } if !text.is_empty() => {
            let texts = json!([{"type": "text", "text": text}]);
            Some(json!({"type": "thinking", "thinking": texts}))
        }
        _ => None,
    });
    thoughts.collect()
}
