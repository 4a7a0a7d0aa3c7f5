//! Pictures, sounds and files as `inlineData` and `fileData`.
//!
//! Follows <https://ai.google.dev/api/caching#Blob> and <https://ai.google.dev/api/caching#FileData>.
//! An address is not fetched here: Gemini fetches it.

use serde_json::{Map, Value};

use crate::error::EncodeError;
use crate::model::Source;

use super::value::{inexpressible, put, single, text_part};

/// A picture, sound or file. `family` is what it is when its address does not say more.
pub(super) fn media(source: &Source, family: &str, at: &str) -> Result<Value, EncodeError> {
    match source {
        Source::Text(text) => Ok(text_part(text)),
        Source::Base64 { media_type, data } => Ok(inline(media_type, data)),
        Source::Url(url) => {
            if let Some(rest) = url.strip_prefix("data:") {
                let (kind, data) = rest.split_once(";base64,").ok_or_else(|| {
                    inexpressible(at.to_owned(), "a data URL must be base64 here")
                })?;
                return Ok(inline(kind, data));
            }
            if ["https://", "http://", "gs://"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
            {
                return Ok(file(url, media_type(url, family)));
            }
            Err(inexpressible(
                at.to_owned(),
                "gemini reads https and gs addresses",
            ))
        }
        Source::FileId(id) if id.starts_with("https://") || id.starts_with("gs://") => {
            Ok(file(id, media_type(id, family)))
        }
        Source::FileId(_) => Err(inexpressible(
            at.to_owned(),
            "the file was uploaded to another provider",
        )),
    }
}

fn inline(media_type: &str, data: &str) -> Value {
    let mut blob = single("mimeType", media_type);
    put(&mut blob, "data", data);
    Value::Object(single("inlineData", blob))
}

fn file(uri: &str, media_type: Option<&str>) -> Value {
    let mut file = Map::new();
    if let Some(media_type) = media_type {
        put(&mut file, "mimeType", media_type);
    }
    put(&mut file, "fileUri", uri);
    Value::Object(single("fileData", file))
}

/// The media type that an address's ending tells, else the family's most common one.
pub(super) fn media_type(url: &str, family: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let ending = path.rsplit(['.', '/']).next().unwrap_or("");
    let known = match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "csv" => "text/csv",
        "html" => "text/html",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ if family == "image" => "image/jpeg",
        _ => return None,
    };
    Some(known)
}
