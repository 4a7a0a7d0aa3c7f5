//! A caller's tools, the choice among them, the answer's form, and how much to think.

use serde_json::{Map, Value, json};

use crate::Drops;
use crate::error::Malformed;
use crate::json::Object;
use crate::model::{Reasoning, ResponseFormat, Tool, ToolChoice};
use crate::openai::chat::message::note_left;
use crate::openai::chat::part::cache_mark;
use crate::openai::chat::tools::{TOOLS_MAX, choice_word, effort, name, only_allowed};
use crate::openai::fault;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Tools {
    pub(super) functions: Vec<Tool>,
    pub(super) choice: Option<ToolChoice>,
    /// The places and types of tools that the provider runs itself.
    pub(super) native: Option<Value>,
    /// A choice that names one of those.
    pub(super) native_choice: Option<Value>,
}

/// Takes `tools` and `tool_choice`.
pub(super) fn decode(fields: &mut Object, drops: &mut Drops) -> Result<Tools, Malformed> {
    let mut out = Tools::default();
    let mut native = Vec::new();
    let items = fault::take_array(fields, "tools", TOOLS_MAX)?;
    for (at, item) in items.into_iter().flatten().enumerate() {
        let mut tool = Object::new(item, &format!("tools[{at}]"))?;
        match tool.need_string("type")?.as_str() {
            "function" => out.functions.push(function(tool, drops)?),
            own => native.push(json!({"index": at, "type": own})),
        }
    }
    out.native = (!native.is_empty()).then_some(Value::Array(native));
    match fields.take("tool_choice") {
        None => {}
        Some(Value::String(word)) => {
            out.choice = Some(choice_word(&word, fields.path("tool_choice"))?);
        }
        Some(other) => choice(other, &mut out, drops)?,
    }
    Ok(out)
}

fn function(mut fields: Object, drops: &mut Drops) -> Result<Tool, Malformed> {
    let tool = Tool {
        name: name(&mut fields)?,
        description: fields.take_string("description")?,
        parameters: match fields.take("parameters") {
            None => None,
            Some(schema @ Value::Object(_)) => Some(schema),
            Some(other) => return Err(fields.wrong("parameters", "an object", &other)),
        },
        strict: fields.take_bool("strict")?,
        cache: cache_mark(&mut fields, drops)?,
    };
    note_left(&fields, drops);
    Ok(tool)
}

fn choice(value: Value, out: &mut Tools, drops: &mut Drops) -> Result<(), Malformed> {
    let mut choice = Object::new(value.clone(), "tool_choice")?;
    match choice.need_string("type")?.as_str() {
        "function" => {
            out.choice = Some(ToolChoice::Named(choice.need_string("name")?));
            note_left(&choice, drops);
        }
        "allowed_tools" => {
            let mode = choice.need_string("mode")?;
            only_allowed(&mut choice, &mut out.functions, drops)?;
            out.choice = Some(choice_word(&mode, choice.path("mode"))?);
        }
        _ => out.native_choice = Some(value),
    }
    Ok(())
}

/// Takes `text`: the form of the answer, and how much it says.
pub(super) fn text(
    fields: &mut Object,
    drops: &mut Drops,
) -> Result<(Option<ResponseFormat>, Option<Value>), Malformed> {
    let Some(mut text) = fields.take_object("text")? else {
        return Ok((None, None));
    };
    let format = text
        .take_object("format")?
        .map(|format| self::format(format, drops))
        .transpose()?;
    let verbosity = text.take_string("verbosity")?;
    let levels = ["low", "medium", "high"];
    if let Some(word) = &verbosity
        && !levels.contains(&word.as_str())
    {
        return Err(fault::unsupported(text.path("verbosity"), word, &levels));
    }
    note_left(&text, drops);
    Ok((format, verbosity.map(Value::String)))
}

fn format(mut format: Object, drops: &mut Drops) -> Result<ResponseFormat, Malformed> {
    let kind = format.need_string("type")?;
    let read = match kind.as_str() {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => ResponseFormat::JsonSchema {
            name: name(&mut format)?,
            description: format.take_string("description")?,
            strict: format.take_bool("strict")?,
            schema: match format.take("schema") {
                None => Value::Object(Map::new()),
                Some(value @ Value::Object(_)) => value,
                Some(other) => return Err(format.wrong("schema", "an object", &other)),
            },
        },
        other => {
            let kinds = ["json_object", "json_schema", "text"];
            return Err(fault::unsupported(format.path("type"), other, &kinds));
        }
    };
    note_left(&format, drops);
    Ok(read)
}

/// Takes `reasoning`.
pub(super) fn reasoning(
    fields: &mut Object,
    drops: &mut Drops,
) -> Result<Option<Reasoning>, Malformed> {
    let Some(mut reasoning) = fields.take_object("reasoning")? else {
        return Ok(None);
    };
    let effort = effort(&mut reasoning, "effort")?;
    let old = reasoning.take_string("generate_summary")?;
    let summary = reasoning.take_string("summary")?.or(old);
    match summary.as_deref() {
        None | Some("auto") => {}
        Some("concise" | "detailed") => {
            drops.push("reasoning.summary", "its length is the provider's choice");
        }
        Some(other) => {
            let words = ["auto", "concise", "detailed"];
            let path = reasoning.path("summary");
            return Err(fault::unsupported(path, other, &words));
        }
    }
    note_left(&reasoning, drops);
    let out = Reasoning {
        effort,
        budget_tokens: None,
        include: summary.map(|_| true),
    };
    Ok((out != Reasoning::default()).then_some(out))
}
