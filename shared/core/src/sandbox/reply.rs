//! What the sandbox says: the words and calls of one answer, and how many tokens they are.

use serde_json::{Map, Value, json};
use sluice_units::Tokens;

use super::Options;
use crate::hash::sha256;

const BYTES_PER_TOKEN: usize = 4;
const VOCABULARY: [&str; 16] = [
    "water", "gate", "river", "stone", "light", "paper", "north", "table", "green", "quiet",
    "seven", "glass", "cloud", "morning", "copper", "field",
];

pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

pub(super) struct Reply {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    pub(super) tokens: Tokens,
    pub(super) finish: &'static str,
}

impl Reply {
    pub(super) fn to(request: &Value, options: &Options) -> Self {
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

pub(super) fn cut_at_character(text: &mut String, bytes: usize) {
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

pub(super) fn input_tokens(request: &Value) -> Tokens {
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
            let digest = sluice_units::hex(&sha256(format!("{said}/{index}/{name}").as_bytes()));
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
