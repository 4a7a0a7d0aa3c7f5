//! Files that a conversation refers to: the caller's identifiers become the provider's, or the request ends here.
//!
//! Holds for callers of OpenAI's dialects, whatever item or tool a `file_id` stands in. What is not the organisation's
//! own is refused, so that no identifier that was found out elsewhere can be used.

use bytes::Bytes;
use memchr::memmem;
use serde_json::Value;
use sluice_units::ProviderId;
use sluice_wire::{Malformed, json};

use super::{Ids, Kind, disabled};
use crate::problem::Problem;

/// The most files of one request.
const FILES_MAX: usize = 256;

/// Files that a request refers to, and where they are.
#[derive(Debug, Clone)]
pub struct Held {
    provider: ProviderId,
    /// The provider's names, and the caller's.
    names: Vec<(String, String)>,
}

impl Held {
    /// Whether a provider has them.
    ///
    /// # Errors
    /// [`Malformed`] when another one has.
    pub fn at(&self, provider: &ProviderId) -> Result<(), Malformed> {
        if self.provider == *provider {
            return Ok(());
        }
        let (own, other) = (&self.provider, provider);
        Err(Malformed {
            code: "provider_state_not_portable",
            message: format!(
                "The file is kept by the provider {own}, and the model's provider is {other}. Choose a model of {own}'s, upload the file with 'x-sluice-provider: {other}', or send its content."
            ),
            param: Some("file_id".to_owned()),
        })
    }

    /// Takes the provider's own identifiers out of its words.
    pub fn reword(&self, message: &mut String) {
        for (own, written) in &self.names {
            *message = message.replace(own.as_str(), written);
        }
    }
}

/// A conversation's body with the provider's names of the files that it refers to, and where these are.
///
/// # Errors
/// A 404 for a file that is not the caller's, a 400 for files of several providers, a 503 where the gateway cannot tell.
pub fn held(
    body: Bytes,
    ids: impl FnOnce() -> Option<Ids>,
) -> Result<(Bytes, Option<Held>), Problem> {
    if !may_refer(&body) {
        return Ok((body, None));
    }
    let mut written = Vec::new();
    // What cannot be read is refused where it is read for good.
    if let Ok(value) = json::parse(&body) {
        collect(&value, &mut written);
    }
    if written.is_empty() {
        return Ok((body, None));
    }
    written.sort_unstable();
    written.dedup();
    let ids = ids().ok_or_else(disabled)?;
    let mut held: Option<Held> = None;
    // It is JSON, and so it is text.
    let mut renamed = String::from_utf8_lossy(&body).into_owned();
    for text in written {
        let (provider, own) = ids
            .open(Kind::File, &text)
            .ok_or_else(|| Kind::File.missing(&text))?;
        let all = held.get_or_insert_with(|| Held {
            provider: provider.clone(),
            names: Vec::new(),
        });
        all.at(&provider)?;
        if all.names.len() >= FILES_MAX {
            return Err(Problem::from(Malformed {
                code: "invalid_value",
                message: format!("More than {FILES_MAX} files are referred to."),
                param: Some("file_id".to_owned()),
            }));
        }
        let quoted = |text: &str| Value::from(text).to_string();
        renamed = renamed.replace(&quoted(&text), &quoted(&own));
        all.names.push((own, text));
    }
    Ok((Bytes::from(renamed), held))
}

/// Whether a `file_id` may stand in a body, its letters escaped or not.
fn may_refer(body: &[u8]) -> bool {
    const ESCAPED: [&[u8]; 3] = [b"\\u006", b"\\u005f", b"\\u005F"];
    let has = |text: &[u8]| memmem::find(body, text).is_some();
    has(b"file_id") || (has(b"\\u00") && ESCAPED.into_iter().any(has))
}

fn collect(value: &Value, written: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, written)),
        Value::Object(fields) => {
            for (key, field) in fields {
                match (key.as_str(), field) {
                    // What an answer has cited is a name, and nothing is read for it.
                    ("annotations", _) => {}
                    ("file_id", Value::String(id)) => written.push(id.clone()),
                    ("file_ids", Value::Array(ids)) => {
                        let texts = ids.iter().filter_map(Value::as_str);
                        written.extend(texts.map(str::to_owned));
                    }
                    _ => collect(field, written),
                }
            }
        }
        _ => {}
    }
}
