//! A caller's tools, the choice among them, the answer's form, and how much to think.

use serde_json::{Map, Value};

use super::message::note_left;
use super::part::cache_mark;
use crate::Drops;
use crate::error::Malformed;
use crate::json::Object;
use crate::model::{Effort, Reasoning, ResponseFormat, Tool, ToolChoice};
use crate::openai::fault;

/// The most tools. OpenAI takes 128, other providers more.
pub(crate) const TOOLS_MAX: usize = 1_024;
/// The longest name of a function or schema, in characters. OpenAI takes 64, Anthropic 128.
const NAME_CHARS_MAX: usize = 128;

const EFFORTS: [(&str, Effort); 7] = [
    ("none", Effort::None),
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::XHigh),
    ("max", Effort::Max),
];

/// The word for an effort.
pub(crate) fn effort_word(effort: Effort) -> &'static str {
    EFFORTS
        .iter()
        .find(|(_, known)| *known == effort)
        .map_or("medium", |(word, _)| word)
}

/// Takes `tools` and `tool_choice`, or the deprecated `functions` and `function_call`.
pub(super) fn decode(
    fields: &mut Object,
    drops: &mut Drops,
) -> Result<(Vec<Tool>, Option<ToolChoice>), Malformed> {
    let tools = fault::take_array(fields, "tools", TOOLS_MAX)?;
    let functions = fault::take_array(fields, "functions", TOOLS_MAX)?;
    if let Some(functions) = functions {
        if tools.is_some() {
            return Err(fields.invalid("functions", "either 'tools' or 'functions', not both"));
        }
        if functions.is_empty() {
            return Err(fault::empty_array(fields.path("functions")));
        }
        drops.push("functions", "deprecated; calls are answered as tool_calls");
        let mut out = Vec::with_capacity(functions.len());
        for (at, item) in functions.into_iter().enumerate() {
            let function = Object::new(item, &format!("functions[{at}]"))?;
            out.push(function_tool(function, drops)?);
        }
        return Ok((out, function_call(fields)?));
    }
    let mut out = Vec::new();
    for (at, item) in tools.into_iter().flatten().enumerate() {
        out.extend(tool(item, &format!("tools[{at}]"), drops)?);
    }
    let choice = tool_choice(fields, &mut out, drops)?;
    Ok((out, choice))
}

fn tool(value: Value, path: &str, drops: &mut Drops) -> Result<Option<Tool>, Malformed> {
    let mut fields = Object::new(value, path)?;
    let kind = fields.need_string("type")?;
    match kind.as_str() {
        "function" => {}
        "custom" => {
            drops.push(path.to_owned(), "custom tools are not supported");
            return Ok(None);
        }
        // A tool that one provider runs itself, such as `openrouter:web_search`, is for that provider alone.
        own if own.contains(':') => {
            drops.push(path.to_owned(), "the tool is one provider's own");
            return Ok(None);
        }
        other => {
            let kinds = ["function", "custom"];
            return Err(fault::unsupported(fields.path("type"), other, &kinds));
        }
    }
    let function = fields
        .take_object("function")?
        .ok_or_else(|| fields.missing("function"))?;
    let cache = cache_mark(&mut fields, drops)?;
    note_left(&fields, drops);
    let mut tool = function_tool(function, drops)?;
    tool.cache = cache.or(tool.cache);
    Ok(Some(tool))
}

fn function_tool(mut fields: Object, drops: &mut Drops) -> Result<Tool, Malformed> {
    let name = name(&mut fields)?;
    let description = fields.take_string("description")?;
    let strict = fields.take_bool("strict")?;
    let parameters = match fields.take("parameters") {
        None => None,
        Some(schema @ Value::Object(_)) => Some(schema),
        Some(other) => return Err(fields.wrong("parameters", "an object", &other)),
    };
    let cache = cache_mark(&mut fields, drops)?;
    note_left(&fields, drops);
    Ok(Tool {
        name,
        description,
        parameters,
        strict,
        cache,
    })
}

pub(crate) fn name(fields: &mut Object) -> Result<String, Malformed> {
    let name = fields.need_string("name")?;
    let path = fields.path("name");
    if name.is_empty() {
        return Err(fault::empty_string(path));
    }
    let chars = name.chars().count();
    if chars > NAME_CHARS_MAX {
        return Err(fault::string_too_long(path, NAME_CHARS_MAX, chars));
    }
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    {
        return Err(fault::invalid(
            path.clone(),
            format!(
                "Invalid '{path}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
            ),
        ));
    }
    Ok(name)
}

fn function_call(fields: &mut Object) -> Result<Option<ToolChoice>, Malformed> {
    match fields.take("function_call") {
        None => Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "none" => Ok(Some(ToolChoice::None)),
            "auto" => Ok(Some(ToolChoice::Auto)),
            other => {
                let words = ["none", "auto"];
                Err(fault::unsupported(
                    fields.path("function_call"),
                    other,
                    &words,
                ))
            }
        },
        Some(other) => {
            let mut named = Object::new(other, "function_call")?;
            Ok(Some(ToolChoice::Named(named.need_string("name")?)))
        }
    }
}

/// Leaves no tools but those that may be called: "one of these" is "any" among these.
pub(crate) fn only_allowed(
    allowed: &mut Object,
    tools: &mut Vec<Tool>,
    drops: &mut Drops,
) -> Result<(), Malformed> {
    let path = allowed.path("tools");
    let mut names = Vec::new();
    for (at, item) in fault::take_array(allowed, "tools", TOOLS_MAX)?
        .into_iter()
        .flatten()
        .enumerate()
    {
        let mut item = Object::new(item, &format!("{path}[{at}]"))?;
        // Chat Completions' form, or Responses'.
        let named = match item.take_object("function")? {
            Some(mut function) => function.take_string("name")?,
            None => item.take_string("name")?,
        };
        names.extend(named);
    }
    if tools.iter().any(|tool| names.contains(&tool.name)) {
        tools.retain(|tool| names.contains(&tool.name));
    } else {
        drops.push(path, "all tools are allowed");
    }
    Ok(())
}

fn tool_choice(
    fields: &mut Object,
    tools: &mut Vec<Tool>,
    drops: &mut Drops,
) -> Result<Option<ToolChoice>, Malformed> {
    match fields.take("tool_choice") {
        None => Ok(None),
        Some(Value::String(word)) => choice_word(&word, fields.path("tool_choice")).map(Some),
        Some(other) => {
            let mut choice = Object::new(other, "tool_choice")?;
            let kind = choice.need_string("type")?;
            match kind.as_str() {
                "function" => {
                    let mut function = choice
                        .take_object("function")?
                        .ok_or_else(|| choice.missing("function"))?;
                    let name = function.need_string("name")?;
                    note_left(&function, drops);
                    note_left(&choice, drops);
                    Ok(Some(ToolChoice::Named(name)))
                }
                "allowed_tools" => {
                    let mut allowed = choice
                        .take_object("allowed_tools")?
                        .ok_or_else(|| choice.missing("allowed_tools"))?;
                    let mode = allowed.need_string("mode")?;
                    only_allowed(&mut allowed, tools, drops)?;
                    choice_word(&mode, allowed.path("mode")).map(Some)
                }
                "custom" => {
                    drops.push("tool_choice", "custom tools are not supported");
                    Ok(None)
                }
                other => {
                    let kinds = ["function", "allowed_tools", "custom"];
                    Err(fault::unsupported(choice.path("type"), other, &kinds))
                }
            }
        }
    }
}

pub(crate) fn choice_word(word: &str, path: String) -> Result<ToolChoice, Malformed> {
    match word {
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        "required" => Ok(ToolChoice::Required),
        other => Err(fault::unsupported(
            path,
            other,
            &["none", "auto", "required"],
        )),
    }
}

/// Takes `response_format`.
pub(super) fn format(
    fields: &mut Object,
    drops: &mut Drops,
) -> Result<Option<ResponseFormat>, Malformed> {
    let Some(mut format) = fields.take_object("response_format")? else {
        return Ok(None);
    };
    let kind = format.need_string("type")?;
    let read = match kind.as_str() {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => {
            let mut schema = format
                .take_object("json_schema")?
                .ok_or_else(|| format.missing("json_schema"))?;
            let read = ResponseFormat::JsonSchema {
                name: name(&mut schema)?,
                description: schema.take_string("description")?,
                strict: schema.take_bool("strict")?,
                schema: match schema.take("schema") {
                    None => Value::Object(Map::new()),
                    Some(value @ Value::Object(_)) => value,
                    Some(other) => return Err(schema.wrong("schema", "an object", &other)),
                },
            };
            note_left(&schema, drops);
            read
        }
        other => {
            let kinds = ["json_object", "json_schema", "text"];
            return Err(fault::unsupported(format.path("type"), other, &kinds));
        }
    };
    note_left(&format, drops);
    Ok(Some(read))
}

/// Takes `reasoning_effort`, OpenRouter's `reasoning` and Anthropic's `thinking`.
pub(super) fn reasoning(
    fields: &mut Object,
    drops: &mut Drops,
) -> Result<Option<Reasoning>, Malformed> {
    let mut out = Reasoning {
        effort: effort(fields, "reasoning_effort")?,
        ..Reasoning::default()
    };
    if let Some(mut reasoning) = fields.take_object("reasoning")? {
        out.effort = effort(&mut reasoning, "effort")?.or(out.effort);
        out.budget_tokens = reasoning.take_u64("max_tokens", 0)?;
        out.include = reasoning.take_bool("exclude")?.map(|exclude| !exclude);
        match reasoning.take_bool("enabled")? {
            Some(false) => out.effort = Some(Effort::None),
            Some(true) => out.effort = out.effort.or(Some(Effort::Medium)),
            None => {}
        }
        note_left(&reasoning, drops);
    }
    if let Some(mut thinking) = fields.take_object("thinking")? {
        let kind = thinking.need_string("type")?;
        let budget = thinking.take_u64("budget_tokens", 0)?;
        match kind.as_str() {
            "enabled" | "adaptive" if budget.is_some() => out.budget_tokens = budget,
            "enabled" | "adaptive" => out.effort = out.effort.or(Some(Effort::Medium)),
            "disabled" => out.budget_tokens = Some(0),
            other => {
                let kinds = ["enabled", "adaptive", "disabled"];
                return Err(fault::unsupported(thinking.path("type"), other, &kinds));
            }
        }
        note_left(&thinking, drops);
    }
    Ok((out != Reasoning::default()).then_some(out))
}

pub(crate) fn effort(fields: &mut Object, key: &str) -> Result<Option<Effort>, Malformed> {
    let Some(word) = fields.take_string(key)? else {
        return Ok(None);
    };
    match EFFORTS.iter().find(|(known, _)| *known == word) {
        Some((_, effort)) => Ok(Some(*effort)),
        None => {
            let words = EFFORTS.map(|(known, _)| known);
            Err(fault::unsupported(fields.path(key), &word, &words))
        }
    }
}
