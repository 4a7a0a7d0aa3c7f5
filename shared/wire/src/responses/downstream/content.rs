//! The parts of a caller's messages and results.

use crate::Drops;
use crate::error::Malformed;
use crate::json::Object;
use crate::model::{Part, Source};
use crate::openai::chat::part::{audio, data_url, take_parts};
use crate::openai::fault;
use crate::responses::shape::citation_in;

/// The most citations of one text.
const ANNOTATIONS_MAX: usize = 1_024;

/// What instructions may hold.
pub(super) const TEXT: [&str; 1] = ["input_text"];
/// What a person may say. Sound goes beyond OpenAI; other providers take it.
pub(super) const USER: [&str; 4] = ["input_text", "input_image", "input_file", "input_audio"];
/// What the model may have said. Agents send their own texts as input.
pub(super) const ASSISTANT: [&str; 3] = ["output_text", "refusal", "input_text"];
/// What a tool may return.
pub(super) const RESULT: [&str; 3] = ["input_text", "input_image", "input_file"];

/// Takes a text, or an array of parts of the kinds that are allowed.
pub(super) fn take(
    fields: &mut Object,
    key: &str,
    allowed: &[&str],
    drops: &mut Drops,
) -> Result<Option<Vec<Part>>, Malformed> {
    take_parts(fields, key, allowed, drops, |kind, fields, drops| {
        Ok(match kind {
            "input_image" => image(fields)?,
            "input_file" => file(fields)?,
            "input_audio" => audio(fields, drops)?,
            "refusal" => Part::Refusal {
                text: fields.need_string("refusal")?,
            },
            _ => text(fields)?,
        })
    })
}

fn text(fields: &mut Object) -> Result<Part, Malformed> {
    let text = fields.need_string("text")?;
    let annotations = fault::take_array(fields, "annotations", ANNOTATIONS_MAX)?;
    // What an answer said of its own tokens, and what OpenAI's clients made of its text.
    fields.take("logprobs");
    fields.take("parsed");
    Ok(Part::Text {
        text,
        cache: None,
        annotations: annotations.into_iter().flatten().map(citation_in).collect(),
    })
}

fn image(fields: &mut Object) -> Result<Part, Malformed> {
    const DETAILS: [&str; 4] = ["low", "high", "auto", "original"];
    let url = fields.take_string("image_url")?;
    let source = match (url, fields.take_string("file_id")?) {
        (Some(url), None) => address(url, &fields.path("image_url"))?,
        (None, Some(id)) => Source::FileId(id),
        (Some(_), Some(_)) => {
            let allowed = "one of 'image_url' and 'file_id', not both";
            return Err(fields.invalid("image_url", allowed));
        }
        (None, None) => return Err(fields.missing("image_url")),
    };
    let detail = fields.take_string("detail")?;
    if let Some(detail) = &detail
        && !DETAILS.contains(&detail.as_str())
    {
        return Err(fault::unsupported(fields.path("detail"), detail, &DETAILS));
    }
    Ok(Part::Image {
        source,
        detail,
        cache: None,
    })
}

fn file(fields: &mut Object) -> Result<Part, Malformed> {
    let name = fields.take_string("filename")?;
    let mut sources = Vec::new();
    if let Some(id) = fields.take_string("file_id")? {
        sources.push(Source::FileId(id));
    }
    if let Some(url) = fields.take_string("file_url")? {
        sources.push(address(url, &fields.path("file_url"))?);
    }
    if let Some(data) = fields.take_string("file_data")? {
        let path = fields.path("file_data");
        sources.push(data_url(&data).ok_or_else(|| {
            fault::invalid(
                path.clone(),
                format!(
                    "Invalid '{path}'. Expected a base64-encoded data URL with a MIME type (e.g. 'data:application/pdf;base64,...')."
                ),
            )
        })?);
    }
    let (Some(source), None) = (sources.pop(), sources.pop()) else {
        let allowed = "exactly one of 'file_id', 'file_url' and 'file_data' beside it";
        return Err(fields.invalid("type", allowed));
    };
    Ok(Part::Document {
        source,
        name,
        cache: None,
    })
}

/// An address, or the data itself.
fn address(url: String, path: &str) -> Result<Source, Malformed> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(Source::Url(url));
    }
    data_url(&url).ok_or_else(|| {
        fault::invalid(
            path.to_owned(),
            format!("Invalid '{path}'. Expected an http(s) URL or a base64-encoded data URL."),
        )
    })
}
