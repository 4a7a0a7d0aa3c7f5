//! A request for a provider. Quirks come from the [`Target`], never from a provider's name.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use super::tools::effort_word;
use super::{quirks, write_message};
use crate::anthropic::names::legal;
use crate::error::EncodeError;
use crate::model::{ChatRequest, Effort, Reasoning, ResponseFormat, Tool, ToolChoice};
use crate::{Drops, Target, UpstreamRequest};

/// The most stop sequences at OpenAI itself.
const STOP_MAX: usize = 4;
/// Thinking budgets up to this are a low effort.
const LOW_TOKENS_MAX: u64 = 2_048;
/// Thinking budgets up to this are a medium effort.
const MEDIUM_TOKENS_MAX: u64 = 8_192;

/// Writes a request for a provider, and names what it cannot say.
///
/// # Errors
/// [`EncodeError`] when a message holds what the dialect cannot say and the model must not miss.
pub fn encode_request(
    request: &ChatRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut drops = Drops::new();
    let mut body = Map::new();
    put(&mut body, "model", Some(target.model.as_str()));
    let messages = write_message::encode_all(&request.messages, target, &mut drops)?;
    put(&mut body, "messages", Some(Value::Array(messages)));
    tools(request, target, &mut body, &mut drops);
    let limit = if target.max_completion_tokens {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    put(&mut body, limit, request.output_tokens_max);
    let effort = reasoning(request.reasoning.as_ref(), target, &mut drops);
    put(&mut body, "reasoning_effort", effort.map(effort_word));
    sampling(request, target, effort, &mut body, &mut drops);
    stop(request, target, &mut body, &mut drops);
    put(
        &mut body,
        "response_format",
        request.format.as_ref().map(format),
    );
    put(&mut body, "n", request.choices);
    put(&mut body, "user", request.user.as_deref());
    if !request.metadata.is_empty() {
        if target.max_completion_tokens {
            put(&mut body, "metadata", Some(request.metadata.clone()));
        } else {
            drops.push("metadata", "the provider keeps no labels");
        }
    }
    if request.stream {
        put(&mut body, "stream", Some(true));
        if target.stream_usage {
            let options = json!({"include_usage": true});
            put(&mut body, "stream_options", Some(options));
        }
    }
    for (key, value) in &request.extra {
        if !body.contains_key(key) {
            body.insert(key.clone(), value.clone());
        }
    }
    quirks::apply(request, target, &mut body, &mut drops);
    let request = UpstreamRequest {
        method: Method::POST,
        path: Cow::Borrowed("/chat/completions"),
        headers: HeaderMap::new(),
        body: Bytes::from(Value::Object(body).to_string()),
    };
    Ok((request, drops))
}

pub(crate) fn put(body: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(key.to_owned(), value.into());
    }
}

fn tools(request: &ChatRequest, target: &Target, body: &mut Map<String, Value>, drops: &mut Drops) {
    if request.tools.is_empty() {
        // OpenAI refuses a choice among no tools, and what cannot be called need not be forbidden.
        if !matches!(
            request.tool_choice,
            None | Some(ToolChoice::Auto | ToolChoice::None)
        ) {
            drops.push("tool_choice", "there are no tools");
        }
        return;
    }
    let tools = request.tools.iter().map(|each| tool(each, target));
    let tools: Vec<Value> = tools.collect();
    if request.tools.iter().any(|tool| tool.cache.is_some()) {
        drops.push("tools[].cache_control", "openai caches by itself");
    }
    put(body, "tools", Some(Value::Array(tools)));
    put(
        body,
        "tool_choice",
        request.tool_choice.as_ref().map(choice),
    );
    put(body, "parallel_tool_calls", request.parallel_tool_calls);
}

fn tool(tool: &Tool, target: &Target) -> Value {
    let mut function = Map::new();
    put(&mut function, "name", Some(legal(&tool.name)));
    put(&mut function, "description", tool.description.as_deref());
    let needed = || json!({"type": "object", "properties": {}});
    let parameters = tool.parameters.clone();
    let parameters = parameters.or_else(|| target.strict_fields.then(needed));
    put(&mut function, "parameters", parameters);
    put(&mut function, "strict", tool.strict);
    json!({"type": "function", "function": function})
}

fn choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => {
            json!({"type": "function", "function": {"name": legal(name)}})
        }
    }
}

pub(crate) fn reasoning(
    reasoning: Option<&Reasoning>,
    target: &Target,
    drops: &mut Drops,
) -> Option<Effort> {
    let reasoning = reasoning?;
    if !target.reasoning {
        if !reasoning.is_off() {
            drops.push("reasoning_effort", "the model does not think");
        }
        return None;
    }
    if reasoning.include == Some(true) {
        drops.push("reasoning.include", "openai does not say what it thinks");
    }
    if let Some(effort) = reasoning.effort {
        return Some(known(effort, target, drops));
    }
    let budget = reasoning.budget_tokens?;
    if budget == 0 {
        return Some(Effort::None);
    }
    drops.push("reasoning.budget_tokens", "sent as the nearest effort");
    Some(match budget {
        budget if budget <= LOW_TOKENS_MAX => Effort::Low,
        budget if budget <= MEDIUM_TOKENS_MAX => Effort::Medium,
        _ => Effort::High,
    })
}

/// The nearest effort that the provider has a word for: Mistral has four.
fn known(effort: Effort, target: &Target, drops: &mut Drops) -> Effort {
    let nearest = match effort {
        Effort::Minimal => Effort::Low,
        Effort::XHigh | Effort::Max => Effort::High,
        other => other,
    };
    if !target.strict_fields || nearest == effort {
        return effort;
    }
    drops.push("reasoning_effort", "sent as the nearest one");
    nearest
}

fn sampling(
    request: &ChatRequest,
    target: &Target,
    effort: Option<Effort>,
    body: &mut Map<String, Value>,
    drops: &mut Drops,
) {
    let sampling = &request.sampling;
    // By OpenAI's documentation thinking models refuse these unless thinking is off.
    let refused = !target.sampling && effort != Some(Effort::None);
    let logprobs = request.logprobs.filter(|logprobs| logprobs.enabled);
    let bias = Some(&sampling.logit_bias).filter(|bias| !bias.is_empty());
    let fields: [(&'static str, Option<Value>); 7] = [
        ("temperature", sampling.temperature.clone().map(Value::from)),
        ("top_p", sampling.top_p.clone().map(Value::from)),
        (
            "presence_penalty",
            sampling.presence_penalty.clone().map(Value::from),
        ),
        (
            "frequency_penalty",
            sampling.frequency_penalty.clone().map(Value::from),
        ),
        ("logit_bias", bias.cloned().map(Value::from)),
        ("logprobs", logprobs.map(|_| Value::Bool(true))),
        (
            "top_logprobs",
            logprobs.and_then(|logprobs| logprobs.top).map(Value::from),
        ),
    ];
    for (key, value) in fields {
        if refused && value.is_some() {
            drops.push(key, "the model takes none");
        } else {
            put(body, key, value);
        }
    }
    put(body, "seed", sampling.seed);
    if target.max_completion_tokens && sampling.top_k.is_some() {
        drops.push("top_k", "not supported by openai");
    } else {
        put(body, "top_k", sampling.top_k.clone());
    }
}

fn stop(request: &ChatRequest, target: &Target, body: &mut Map<String, Value>, drops: &mut Drops) {
    let max = if target.max_completion_tokens {
        STOP_MAX
    } else {
        usize::MAX
    };
    if request.stop.len() > max {
        drops.push(
            "stop",
            "openai takes four sequences; the others are left out",
        );
    }
    let kept: Vec<Value> = request
        .stop
        .iter()
        .take(max)
        .map(|text| text.as_str().into())
        .collect();
    if !kept.is_empty() {
        put(body, "stop", Some(Value::Array(kept)));
    }
}

fn format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Text => json!({"type": "text"}),
        ResponseFormat::JsonObject => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => {
            let mut fields = Map::new();
            put(&mut fields, "name", Some(name.as_str()));
            put(&mut fields, "description", description.as_deref());
            put(&mut fields, "schema", Some(schema.clone()));
            put(&mut fields, "strict", *strict);
            json!({"type": "json_schema", "json_schema": fields})
        }
    }
}
