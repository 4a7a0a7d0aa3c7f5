//! Tools and the choice among them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::blocks::{WireTool, WireToolChoice};
use super::cannot;
use super::format::{STRUCTURED_ANSWER_TOOL, is_closed};
use super::names::legal;
use crate::error::EncodeError;
use crate::model::{ChatRequest, Tool, ToolChoice};
use crate::{Drops, Target};

/// What goes into the body.
#[derive(Debug, Default)]
pub(super) struct Toolbox<'a> {
    pub(super) tools: Vec<WireTool<'a>>,
    pub(super) choice: Option<WireToolChoice<'a>>,
}

/// Writes the caller's tools and its choice.
///
/// # Errors
/// When a tool has a schema that is none, or the name that the gateway keeps for itself.
pub(super) fn toolbox<'a>(
    request: &'a ChatRequest,
    called: &BTreeSet<&'a str>,
    target: &Target,
    drops: &mut Drops,
) -> Result<Toolbox<'a>, EncodeError> {
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        tools.push(wire(tool, index, target, drops)?);
    }
    if tools.is_empty() {
        if matches!(
            request.tool_choice,
            Some(ToolChoice::Required | ToolChoice::Named(_))
        ) {
            drops.push("tool_choice", "no tools are offered");
        }
        return Ok(from_history(called));
    }
    let disable_parallel_tool_use = request.parallel_tool_calls == Some(false);
    let choice = match &request.tool_choice {
        None if !disable_parallel_tool_use => None,
        None | Some(ToolChoice::Auto) => Some(WireToolChoice::Auto {
            disable_parallel_tool_use,
        }),
        Some(ToolChoice::None) => Some(WireToolChoice::None),
        Some(ToolChoice::Required) => Some(WireToolChoice::Any {
            disable_parallel_tool_use,
        }),
        Some(ToolChoice::Named(name)) => Some(WireToolChoice::Tool {
            name: legal(name),
            disable_parallel_tool_use,
        }),
    };
    Ok(Toolbox { tools, choice })
}

fn wire<'a>(
    tool: &'a Tool,
    index: usize,
    target: &Target,
    drops: &mut Drops,
) -> Result<WireTool<'a>, EncodeError> {
    let field = format!("tools[{index}].function");
    if tool.name == STRUCTURED_ANSWER_TOOL {
        return Err(cannot(
            format!("{field}.name"),
            "the gateway keeps this name for itself",
        ));
    }
    let input_schema = match &tool.parameters {
        None => Cow::Owned(json!({"type": "object", "properties": {}})),
        Some(Value::Object(fields)) => object_schema(fields, tool.parameters.as_ref()),
        Some(_) => return Err(cannot(format!("{field}.parameters"), "not a JSON schema")),
    };
    let strict = tool.strict == Some(true);
    let can_be_strict = target.structured_outputs && is_closed(&input_schema);
    if strict && !can_be_strict {
        drops.push(
            format!("{field}.strict"),
            "not supported by the model for this schema",
        );
    }
    Ok(WireTool {
        name: legal(&tool.name),
        description: tool.description.as_deref(),
        input_schema,
        strict: strict && can_be_strict,
        cache_control: tool.cache.map(Into::into),
    })
}

/// Messages wants `"type": "object"` at the root, which a schema without it means anyway.
fn object_schema<'a>(fields: &Map<String, Value>, whole: Option<&'a Value>) -> Cow<'a, Value> {
    match (fields.get("type"), whole) {
        (Some(_), Some(schema)) => Cow::Borrowed(schema),
        _ => {
            let mut fields = fields.clone();
            fields.insert("type".to_owned(), Value::from("object"));
            Cow::Owned(Value::Object(fields))
        }
    }
}

/// A history with calls needs their tools declared; where the caller offers none, they may not be called again.
fn from_history<'a>(called: &BTreeSet<&'a str>) -> Toolbox<'a> {
    let tools: Vec<_> = called
        .iter()
        .map(|name| WireTool {
            name: legal(name),
            description: None,
            input_schema: Cow::Owned(json!({"type": "object"})),
            strict: false,
            cache_control: None,
        })
        .collect();
    Toolbox {
        choice: (!tools.is_empty()).then_some(WireToolChoice::None),
        tools,
    }
}
