//! Content blocks of a caller's turns.

use serde_json::Value;

use super::UNSUPPORTED;
use super::request::name_left;
use crate::Drops;
use crate::anthropic::names::restore;
use crate::error::Malformed;
use crate::json::{Object, wrong_type};
use crate::model::{CacheMark, Part, Source};

/// The content of a turn or of a result, which must be there.
pub(super) fn content(turn: &mut Object, drops: &mut Drops) -> Result<Vec<Part>, Malformed> {
    let value = turn.take("content");
    let value = value.ok_or_else(|| turn.missing("content"))?;
    text_or_blocks(value, &turn.path("content"), drops)
}

/// A text, or an array of blocks.
pub(super) fn text_or_blocks(
    value: Value,
    path: &str,
    drops: &mut Drops,
) -> Result<Vec<Part>, Malformed> {
    let items = match value {
        Value::String(text) => return Ok(vec![Part::text(text)]),
        Value::Array(items) => items,
        other => {
            let path = Some(path.to_owned());
            return Err(wrong_type(path, "a string or an array", &other));
        }
    };
    let mut parts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        parts.extend(part(Object::new(item, &path)?, path, drops)?);
    }
    Ok(parts)
}

fn part(mut block: Object, path: String, drops: &mut Drops) -> Result<Option<Part>, Malformed> {
    let kind = block.need_string("type")?;
    let cache = cache(&mut block)?;
    let part = match kind.as_str() {
        "text" => Part::Text {
            text: block.need_string("text")?,
            cache,
            annotations: block.take_array("citations")?.unwrap_or_default(),
        },
        "image" => Part::Image {
            source: match source(&mut block, drops)? {
                Some(source) => source,
                None => return Ok(None),
            },
            detail: None,
            cache,
        },
        "document" => Part::Document {
            source: match source(&mut block, drops)? {
                Some(source) => source,
                None => return Ok(None),
            },
            name: block.take_string("title")?,
            cache,
        },
        "tool_use" => Part::ToolCall {
            id: restore(&block.need_string("id")?).into_owned(),
            name: block.need_string("name")?,
            arguments: match block.take_object("input")? {
                Some(input) => Value::Object(input.rest()).to_string(),
                None => return Err(block.missing("input")),
            },
            signature: None,
            cache,
        },
        "tool_result" => Part::ToolResult {
            id: restore(&block.need_string("tool_use_id")?).into_owned(),
            name: None,
            parts: match block.take("content") {
                Some(value) => text_or_blocks(value, &block.path("content"), drops)?,
                None => Vec::new(),
            },
            is_error: block.take_bool("is_error")?.unwrap_or(false),
            cache,
        },
        "thinking" => Part::Thinking {
            text: block.need_string("thinking")?,
            signature: block
                .take_string("signature")?
                .filter(|signature| !signature.is_empty()),
        },
        "redacted_thinking" => Part::RedactedThinking {
            data: block.need_string("data")?,
        },
        _ => {
            drops.push(path, "a block of this type has no counterpart");
            return Ok(None);
        }
    };
    name_left(&block, drops);
    Ok(Some(part))
}

fn source(block: &mut Object, drops: &mut Drops) -> Result<Option<Source>, Malformed> {
    let source = block.take_object("source")?;
    let mut source = source.ok_or_else(|| block.missing("source"))?;
    let found = match source.need_string("type")?.as_str() {
        "base64" => Source::Base64 {
            media_type: source.need_string("media_type")?,
            data: source.need_string("data")?,
        },
        "url" => Source::Url(source.need_string("url")?),
        "file" => Source::FileId(source.need_string("file_id")?),
        "text" => {
            source.take_string("media_type")?;
            Source::Text(source.need_string("data")?)
        }
        "content" => return Ok(content_source(&mut source, drops)?.map(Source::Text)),
        _ => {
            let allowed = "one of 'base64', 'url', 'file', 'text', 'content'";
            return Err(source.invalid("type", allowed));
        }
    };
    name_left(&source, drops);
    Ok(Some(found))
}

/// A document made of blocks: its texts, joined.
fn content_source(source: &mut Object, drops: &mut Drops) -> Result<Option<String>, Malformed> {
    let path = source.path("content");
    let mut whole = String::new();
    for part in content(source, drops)? {
        match part {
            Part::Text { text, .. } => whole.push_str(&text),
            _ => drops.push(path.clone(), UNSUPPORTED),
        }
    }
    Ok((!whole.is_empty()).then_some(whole))
}

/// The prompt-cache mark of a block or tool.
pub(super) fn cache(block: &mut Object) -> Result<Option<CacheMark>, Malformed> {
    let Some(mut control) = block.take_object("cache_control")? else {
        return Ok(None);
    };
    if control.need_string("type")? != "ephemeral" {
        return Err(control.invalid("type", "'ephemeral'"));
    }
    match control.take_string("ttl")?.as_deref() {
        None | Some("5m") => Ok(Some(CacheMark::FiveMinutes)),
        Some("1h") => Ok(Some(CacheMark::OneHour)),
        Some(_) => Err(control.invalid("ttl", "one of '5m', '1h'")),
    }
}
