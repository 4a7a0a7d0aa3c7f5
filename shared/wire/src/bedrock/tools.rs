//! Tools, the choice among them, and the wanted form of the answer.
//!
//! Converse cannot forbid calls, and wants a tool configuration whenever the history holds calls. Where no call is
//! wanted and none stands in the history, the tools are left out; where one does, they are declared and the model is
//! asked not to call them.
//!
//! A JSON answer is Converse's own `outputConfig`, or a stand-in tool, as in [`crate::anthropic`].

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::blocks::{InputSchema, Structure, TextFormat, ToolConfig, ToolSpec, WireToolChoice};
use super::family::Family;
use super::turns::Conversation;
use super::{cannot, names};
use crate::anthropic::STRUCTURED_ANSWER_TOOL;
use crate::anthropic::format::{is_closed, rooted};
use crate::error::EncodeError;
use crate::model::{ChatRequest, ResponseFormat, Tool, ToolChoice};
use crate::{Drops, Target};

const DESCRIPTION: &str = "Gives the answer. Call it with the whole answer once it is complete.";

/// What the model is asked where calls cannot be forbidden.
const NO_CALLS: &str = "Do not call any tool now. Answer in text.";

/// What goes into the body.
#[derive(Debug, Default)]
pub(super) struct Toolbox<'a> {
    pub(super) config: Option<ToolConfig<'a>>,
    pub(super) text_format: Option<TextFormat<'a>>,
    /// An instruction that stands for what cannot be said otherwise.
    pub(super) instruction: Option<&'static str>,
}

impl Toolbox<'_> {
    /// The model must call something.
    pub(super) fn is_forced(&self) -> bool {
        let choice = self
            .config
            .as_ref()
            .and_then(|config| config.tool_choice.as_ref());
        choice.is_some_and(WireToolChoice::is_forced)
    }
}

/// Writes the caller's tools, its choice, and the form of the answer.
///
/// # Errors
/// When a tool has a schema that is none or a name that cannot be said, or the answer's schema can be said in no way.
pub(super) fn toolbox<'a>(
    request: &'a ChatRequest,
    said: &Conversation<'a>,
    family: Family,
    target: &Target,
    drops: &mut Drops,
) -> Result<Toolbox<'a>, EncodeError> {
    let mut specs = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        specs.push(spec(tool, index, family, target, drops)?);
    }
    let wants_call = matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Named(_))
    );
    if specs.is_empty() && wants_call {
        drops.push("tool_choice", "no tools are offered");
    }
    if request.parallel_tool_calls == Some(false) && !specs.is_empty() {
        drops.push("parallel_tool_calls", "bedrock has no switch for it");
    }
    let may_call = !specs.is_empty() && request.tool_choice != Some(ToolChoice::None);
    let mut out = Toolbox::default();
    let mut choice = match &request.tool_choice {
        _ if specs.is_empty() => None,
        Some(ToolChoice::Auto) => Some(WireToolChoice::Auto {}),
        Some(ToolChoice::Required) => Some(WireToolChoice::Any {}),
        Some(ToolChoice::Named(name)) => Some(WireToolChoice::Tool {
            name: names::function(name, "tool_choice")?,
        }),
        None | Some(ToolChoice::None) => None,
    };
    if !may_call && !said.has_calls {
        specs.clear();
    } else if !may_call {
        if specs.is_empty() {
            specs = from_history(said)?;
        } else {
            drops.push(
                "tool_choice",
                "bedrock cannot forbid calls; the model is asked not to make any",
            );
        }
        out.instruction = Some(NO_CALLS);
    }
    let stand_in = form(request, target, wants_call && may_call, &mut out, drops)?;
    if let Some(stand_in) = stand_in {
        specs.push(stand_in);
        out.instruction = None;
        choice = Some(if may_call {
            WireToolChoice::Any {}
        } else {
            WireToolChoice::Tool {
                name: Cow::Borrowed(STRUCTURED_ANSWER_TOOL),
            }
        });
    }
    out.config = (!specs.is_empty()).then_some(ToolConfig {
        tools: specs,
        tool_choice: choice,
    });
    Ok(out)
}

fn spec<'a>(
    tool: &'a Tool,
    index: usize,
    family: Family,
    target: &Target,
    drops: &mut Drops,
) -> Result<ToolSpec<'a>, EncodeError> {
    let field = format!("tools[{index}].function");
    if tool.name == STRUCTURED_ANSWER_TOOL {
        return Err(cannot(
            format!("{field}.name"),
            "the gateway keeps this name for itself",
        ));
    }
    let schema = match &tool.parameters {
        None => Cow::Owned(json!({"type": "object", "properties": {}})),
        Some(Value::Object(fields)) if fields.contains_key("type") => tool
            .parameters
            .as_ref()
            .map_or_else(|| Cow::Owned(Value::Null), Cow::Borrowed),
        Some(Value::Object(fields)) => Cow::Owned(typed(fields)),
        Some(_) => return Err(cannot(format!("{field}.parameters"), "not a JSON schema")),
    };
    let is_strict = tool.strict == Some(true);
    let can_be_strict = target.structured_outputs && is_closed(&schema);
    if is_strict && !can_be_strict {
        drops.push(
            format!("{field}.strict"),
            "not supported by the model for this schema",
        );
    }
    let has_cache = matches!(family, Family::Claude | Family::Unknown);
    if tool.cache.is_some() && !has_cache {
        drops.push(
            format!("tools[{index}].cache_control"),
            "the model has no prompt cache for tools",
        );
    }
    Ok(ToolSpec {
        name: names::function(&tool.name, &format!("{field}.name"))?,
        description: tool.description.as_deref().filter(|text| !text.is_empty()),
        input_schema: InputSchema { json: schema },
        strict: (is_strict && can_be_strict).then_some(true),
        cache: tool.cache.filter(|_| has_cache),
    })
}

/// Converse wants `"type": "object"` at the root, which a schema without it means anyway.
fn typed(fields: &Map<String, Value>) -> Value {
    let mut typed = fields.clone();
    typed.insert("type".to_owned(), Value::from("object"));
    Value::Object(typed)
}

/// The functions that the history calls, where the caller offers none.
fn from_history<'a>(said: &Conversation<'a>) -> Result<Vec<ToolSpec<'a>>, EncodeError> {
    // Results alone, of calls that were cut off, want a configuration too.
    let unknown = said.called.is_empty().then_some("unknown");
    said.called
        .iter()
        .copied()
        .chain(unknown)
        .map(|name| {
            Ok(ToolSpec {
                name: names::function(name, "messages")?,
                description: None,
                input_schema: InputSchema {
                    json: Cow::Owned(json!({"type": "object"})),
                },
                strict: None,
                cache: None,
            })
        })
        .collect()
}

/// Writes the wanted form into the toolbox, or returns the tool that stands in for it.
fn form<'a>(
    request: &'a ChatRequest,
    target: &Target,
    is_call: bool,
    out: &mut Toolbox<'a>,
    drops: &mut Drops,
) -> Result<Option<ToolSpec<'a>>, EncodeError> {
    let (schema, description) = match &request.format {
        None | Some(ResponseFormat::Text) => return Ok(None),
        Some(ResponseFormat::JsonObject) => (Cow::Owned(json!({"type": "object"})), None),
        Some(ResponseFormat::JsonSchema {
            name,
            schema,
            description,
            ..
        }) => {
            let description = description.as_deref().filter(|text| !text.is_empty());
            if target.structured_outputs && is_closed(schema) {
                out.text_format = Some(TextFormat {
                    kind: "json_schema",
                    structure: Structure::JsonSchema {
                        schema: schema.to_string(),
                        name,
                        description,
                    },
                });
                return Ok(None);
            }
            (rooted(schema).map_err(renamed)?, description)
        }
    };
    if is_call {
        drops.push("response_format", "the answer is a tool call already");
        return Ok(None);
    }
    Ok(Some(ToolSpec {
        name: Cow::Borrowed(STRUCTURED_ANSWER_TOOL),
        description: Some(description.unwrap_or(DESCRIPTION)),
        input_schema: InputSchema { json: schema },
        strict: None,
        cache: None,
    }))
}

fn renamed(error: EncodeError) -> EncodeError {
    cannot(error.field, error.reason)
}
