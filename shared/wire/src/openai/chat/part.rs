//! The parts of a caller's message.

use serde_json::Value;

use super::message::{note_left, text_of};
use crate::Drops;
use crate::error::Malformed;
use crate::json::Object;
use crate::model::{CacheMark, Part, Source};
use crate::openai::fault;

/// The most parts of one message.
const PARTS_MAX: usize = 4_096;

/// What instructions may hold.
pub(super) const TEXT: [&str; 1] = ["text"];
/// What a person may say.
pub(super) const USER: [&str; 4] = ["text", "image_url", "input_audio", "file"];
/// What the model may have said. Thinking as parts is Mistral's way.
pub(super) const ASSISTANT: [&str; 4] = ["text", "refusal", "thinking", "redacted_thinking"];
/// What a tool may return. Pictures and files go beyond OpenAI; other providers take them.
pub(super) const RESULT: [&str; 3] = ["text", "image_url", "file"];

/// Takes `content`: a text, or an array of parts of the kinds that are allowed.
pub(super) fn take_content(
    fields: &mut Object,
    allowed: &[&str],
    drops: &mut Drops,
) -> Result<Option<Vec<Part>>, Malformed> {
    take_parts(fields, "content", allowed, drops, |kind, fields, drops| {
        Ok(match kind {
            "image_url" => image(fields, drops)?,
            "input_audio" => audio(fields, drops)?,
            "file" => file(fields, drops)?,
            "refusal" => Part::Refusal {
                text: fields.need_string("refusal")?,
            },
            "thinking" => thinking(fields)?,
            "redacted_thinking" => Part::RedactedThinking {
                data: fields.need_string("data")?,
            },
            _ => Part::text(fields.need_string("text")?),
        })
    })
}

/// Takes a text, or a list of parts of the allowed types; `read` reads one of such a type.
pub(crate) fn take_parts(
    fields: &mut Object,
    key: &str,
    allowed: &[&str],
    drops: &mut Drops,
    read: impl Fn(&str, &mut Object, &mut Drops) -> Result<Part, Malformed>,
) -> Result<Option<Vec<Part>>, Malformed> {
    let items = match fields.take(key) {
        None => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(vec![Part::text(text)])),
        Some(Value::Array(items)) => items,
        Some(other) => {
            return Err(fields.wrong(key, "one of a string or array of objects", &other));
        }
    };
    let path = fields.path(key);
    if items.len() > PARTS_MAX {
        return Err(fault::array_too_long(path, PARTS_MAX, items.len()));
    }
    let mut parts = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let mut fields = Object::new(item, &format!("{path}[{at}]"))?;
        let kind = fields.need_string("type")?;
        if !allowed.contains(&kind.as_str()) {
            return Err(fault::unsupported(fields.path("type"), &kind, allowed));
        }
        let cache = cache_mark(&mut fields, drops)?;
        let mut part = read(&kind, &mut fields, drops)?;
        if let Some(mark) = cache {
            part.set_cache(mark);
        }
        note_left(&fields, drops);
        parts.push(part);
    }
    Ok(Some(parts))
}

/// Reads one thinking block: a text (Anthropic's way) or an array of texts (Mistral's), with or without a signature.
pub(super) fn thinking(fields: &mut Object) -> Result<Part, Malformed> {
    let text = match fields.take("thinking") {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(Value::Array(items)) => {
            let mut all = String::new();
            for (at, item) in items.into_iter().enumerate() {
                let path = format!("{}[{at}]", fields.path("thinking"));
                all.push_str(&Object::new(item, &path)?.need_string("text")?);
            }
            all
        }
        Some(other) => return Err(fields.wrong("thinking", "a string", &other)),
    };
    Ok(Part::Thinking {
        text,
        signature: fields
            .take_string("signature")?
            .filter(|signature| !signature.is_empty()),
    })
}

fn image(fields: &mut Object, drops: &mut Drops) -> Result<Part, Malformed> {
    let path = fields.path("image_url");
    let (url, detail) = match fields.take("image_url") {
        None => return Err(fields.missing("image_url")),
        // Mistral's clients send the address alone.
        Some(Value::String(url)) => (url, None),
        Some(other) => {
            let mut image = Object::new(other, &path)?;
            let found = (image.need_string("url")?, image.take_string("detail")?);
            note_left(&image, drops);
            found
        }
    };
    let url_path = format!("{path}.url");
    let source = if url.starts_with("https://") || url.starts_with("http://") {
        Source::Url(url)
    } else {
        data_url(&url).ok_or_else(|| {
            fault::invalid(
                url_path.clone(),
                format!(
                    "Invalid '{url_path}'. Expected an http(s) URL or a base64-encoded data URL."
                ),
            )
        })?
    };
    if let Some(detail) = &detail
        && !["auto", "low", "high"].contains(&detail.as_str())
    {
        let supported = ["auto", "low", "high"];
        return Err(fault::unsupported(
            format!("{path}.detail"),
            detail,
            &supported,
        ));
    }
    Ok(Part::Image {
        source,
        detail,
        cache: None,
    })
}

pub(crate) fn audio(fields: &mut Object, drops: &mut Drops) -> Result<Part, Malformed> {
    let mut audio = fields
        .take_object("input_audio")?
        .ok_or_else(|| fields.missing("input_audio"))?;
    let data = audio.need_string("data")?;
    let format = audio.need_string("format")?;
    if !["wav", "mp3"].contains(&format.as_str()) {
        return Err(fault::unsupported(
            audio.path("format"),
            &format,
            &["wav", "mp3"],
        ));
    }
    note_left(&audio, drops);
    Ok(Part::Audio {
        source: Source::Base64 {
            media_type: format!("audio/{format}"),
            data,
        },
        cache: None,
    })
}

fn file(fields: &mut Object, drops: &mut Drops) -> Result<Part, Malformed> {
    let mut file = fields
        .take_object("file")?
        .ok_or_else(|| fields.missing("file"))?;
    let name = file.take_string("filename")?;
    let id = file.take_string("file_id")?;
    let data = file.take_string("file_data")?;
    let source = match (id, data) {
        (Some(id), None) => Source::FileId(id),
        // By its documentation OpenRouter takes addresses here.
        (None, Some(data)) if data.starts_with("https://") => Source::Url(data),
        (None, Some(data)) => data_url(&data).ok_or_else(|| {
            fault::invalid(
                file.path("file_data"),
                format!(
                    "Invalid '{}'. Expected a base64-encoded data URL with a MIME type (e.g. 'data:application/pdf;base64,...').",
                    file.path("file_data")
                ),
            )
        })?,
        (Some(_), Some(_)) => {
            return Err(file.invalid("file_id", "one of 'file_id' and 'file_data', not both"));
        }
        (None, None) => return Err(file.missing("file_data")),
    };
    note_left(&file, drops);
    Ok(Part::Document {
        source,
        name,
        cache: None,
    })
}

/// `data:<type>;base64,<data>`.
pub(crate) fn data_url(url: &str) -> Option<Source> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    // Parameters such as `;charset=…` mean nothing to base64.
    let media_type = media_type.split(';').next()?;
    let valid = data
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    (valid && media_type.contains('/') && !data.is_empty()).then(|| Source::Base64 {
        media_type: media_type.to_owned(),
        data: data.to_owned(),
    })
}

/// Takes `cache_control`.
pub(crate) fn cache_mark(
    fields: &mut Object,
    drops: &mut Drops,
) -> Result<Option<CacheMark>, Malformed> {
    let Some(mut mark) = fields.take_object("cache_control")? else {
        return Ok(None);
    };
    let kind = text_of(mark.take("type").unwrap_or(Value::Null), mark.path("type"))?;
    if kind != "ephemeral" {
        return Err(fault::unsupported(mark.path("type"), &kind, &["ephemeral"]));
    }
    let ttl = mark.take_string("ttl")?;
    note_left(&mark, drops);
    match ttl.as_deref() {
        None | Some("5m") => Ok(Some(CacheMark::FiveMinutes)),
        Some("1h") => Ok(Some(CacheMark::OneHour)),
        Some(other) => Err(fault::unsupported(mark.path("ttl"), other, &["5m", "1h"])),
    }
}
