//! Tools, the choice among them, and the wanted form of the answer.
//!
//! Cohere can require a call and forbid all, not name one: then only that one is offered, and required. Its JSON
//! answers cannot be had beside tools, and their schema wants a required field: otherwise a tool stands in, as in
//! [`crate::anthropic`] (<https://docs.cohere.com/docs/structured-outputs>).

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{cannot, names};
use crate::Drops;
use crate::anthropic::STRUCTURED_ANSWER_TOOL;
use crate::anthropic::format::rooted;
use crate::error::EncodeError;
use crate::model::{ChatRequest, ResponseFormat, Tool, ToolChoice};

const DESCRIPTION: &str = "Gives the answer. Call it with the whole answer once it is complete.";
const REQUIRED: &str = "REQUIRED";

/// Writes the caller's tools, its choice and the form of the answer.
///
/// # Errors
/// When a tool has a schema that is none, or the name that the gateway keeps for itself.
pub(super) fn write(
    request: &ChatRequest,
    body: &mut Map<String, Value>,
    drops: &mut Drops,
) -> Result<(), EncodeError> {
    let named = match &request.tool_choice {
        Some(ToolChoice::Named(name)) => Some(name),
        _ => None,
    };
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        let tool = (tool, function(tool, index, drops)?);
        if named.is_none_or(|name| *name == tool.0.name) {
            tools.push(tool);
        }
    }
    if let Some(name) = named
        && tools.is_empty()
        && !request.tools.is_empty()
    {
        let reason = format!("no tool of this name is offered: {}", names::legal(name));
        return Err(cannot("tool_choice", reason));
    }
    let wants_call = matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Named(_))
    );
    if tools.is_empty() && wants_call {
        drops.push("tool_choice", "no tools are offered");
    }
    if request.parallel_tool_calls == Some(false) && !tools.is_empty() {
        drops.push("parallel_tool_calls", "cohere has no switch for it");
    }
    strict(&tools, body, drops);
    let may_call = !tools.is_empty() && request.tool_choice != Some(ToolChoice::None);
    let mut choice = match request.tool_choice {
        _ if tools.is_empty() => None,
        Some(ToolChoice::None) => Some("NONE"),
        _ if wants_call => Some(REQUIRED),
        _ => None,
    };
    let mut written: Vec<Value> = tools.into_iter().map(|(_, written)| written).collect();
    let must_call = wants_call && may_call;
    if let Some(stand_in) = form(request, must_call, written.is_empty(), body, drops)? {
        if !may_call {
            written.clear();
        }
        written.push(stand_in);
        choice = Some(REQUIRED);
    }
    if !written.is_empty() {
        body.insert("tools".to_owned(), written.into());
    }
    if let Some(choice) = choice {
        body.insert("tool_choice".to_owned(), choice.into());
    }
    Ok(())
}

fn function(tool: &Tool, index: usize, drops: &mut Drops) -> Result<Value, EncodeError> {
    let field = format!("tools[{index}].function");
    if tool.name == STRUCTURED_ANSWER_TOOL {
        return Err(cannot(
            format!("{field}.name"),
            "the gateway keeps this name for itself",
        ));
    }
    let parameters = match &tool.parameters {
        None => json!({"type": "object", "properties": {}}),
        Some(Value::Object(fields)) => {
            let mut fields = fields.clone();
            fields.entry("type").or_insert_with(|| "object".into());
            Value::Object(fields)
        }
        Some(_) => return Err(cannot(format!("{field}.parameters"), "not a JSON schema")),
    };
    if tool.cache.is_some() {
        drops.push(
            format!("tools[{index}].cache_control"),
            "cohere caches by itself",
        );
    }
    let description = tool.description.as_deref();
    Ok(wire(&names::legal(&tool.name), description, parameters))
}

fn wire(name: &str, description: Option<&str>, parameters: Value) -> Value {
    let mut function = Map::new();
    function.insert("name".to_owned(), name.into());
    if let Some(description) = description {
        function.insert("description".to_owned(), description.into());
    }
    function.insert("parameters".to_owned(), parameters);
    json!({"type": "function", "function": function})
}

/// Cohere holds all tools to their schemas, or none; and only such as require something.
fn strict(tools: &[(&Tool, Value)], body: &mut Map<String, Value>, drops: &mut Drops) {
    let is_strict = |tool: &Tool| tool.strict == Some(true);
    let can_be = |tool: &Tool| tool.parameters.as_ref().is_some_and(requires_something);
    if !tools.iter().any(|(tool, _)| is_strict(tool)) {
        return;
    }
    if tools
        .iter()
        .all(|(tool, _)| is_strict(tool) && can_be(tool))
    {
        body.insert("strict_tools".to_owned(), true.into());
    } else {
        drops.push(
            "tools.strict",
            "cohere holds all tools to their schemas or none, and each must require something",
        );
    }
}

fn requires_something(schema: &Value) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|required| !required.is_empty())
}

/// Writes the wanted form into the body, or returns the tool that stands in for it.
fn form(
    request: &ChatRequest,
    must_call: bool,
    is_free: bool,
    body: &mut Map<String, Value>,
    drops: &mut Drops,
) -> Result<Option<Value>, EncodeError> {
    let mut native = json!({"type": "json_object"});
    let (schema, description) = match &request.format {
        None | Some(ResponseFormat::Text) => return Ok(None),
        Some(ResponseFormat::JsonObject) if is_free => {
            body.insert("response_format".to_owned(), native);
            return Ok(None);
        }
        Some(ResponseFormat::JsonObject) => (Cow::Owned(json!({"type": "object"})), None),
        Some(ResponseFormat::JsonSchema {
            schema,
            description,
            ..
        }) => {
            let rooted = rooted(schema).map_err(|error| cannot(error.field, error.reason))?;
            (rooted, description.as_deref())
        }
    };
    if must_call {
        drops.push("response_format", "the answer is a tool call already");
        return Ok(None);
    }
    if is_free
        && requires_something(&schema)
        && let Some(native) = native.as_object_mut()
    {
        native.insert("json_schema".to_owned(), schema.into_owned());
        body.insert("response_format".to_owned(), native.clone().into());
        return Ok(None);
    }
    let description = description.unwrap_or(DESCRIPTION);
    Ok(Some(wire(
        STRUCTURED_ANSWER_TOOL,
        Some(description),
        schema.into_owned(),
    )))
}
