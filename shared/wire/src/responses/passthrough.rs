//! This dialect on both sides: the bytes go through as they are, but for what policy changes.
//!
//! [`rewrite_request`] replaces the model's name, and what callers carry for providers of other dialects; every other
//! byte stays as it is, unknown fields included. [`look`] and [`StreamTap`] watch answers without writing them anew.

mod tap;

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use sluice_units::Usage;

use super::proof::{Carried, Thought, carried};
use super::{NAME, usage};
use crate::error::DecodeError;
use crate::halves;
use crate::model::Part;
use crate::openai::passthrough::scan;
pub use tap::StreamTap;

/// Rewrites a body that [`super::decode_request`] has accepted: the model's name, and the reasoning items that another
/// provider's answer left behind. What a provider of this dialect once encrypted gets its old form back.
#[must_use]
pub fn rewrite_request(body: &[u8], model: &str) -> Vec<u8> {
    let Some(members) = scan::members(body, 0) else {
        // Not an object; it was never accepted.
        return body.to_vec();
    };
    let mut changes = Vec::new();
    for member in members {
        match member.key.as_ref() {
            "model" => changes.push((member.value, Value::from(model).to_string())),
            "input" => changes.extend(reasoning(body, member.value)),
            _ => {}
        }
    }
    let mut out = Vec::with_capacity(body.len().saturating_add(128));
    let mut at = 0;
    for (range, json) in changes {
        out.extend_from_slice(body.get(at..range.start).unwrap_or_default());
        out.extend_from_slice(json.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    out
}

/// The input without what other providers signed; `None` when there is no such thing in it.
fn reasoning(body: &[u8], input: Range<usize>) -> Option<(Range<usize>, String)> {
    let mut kept = Vec::new();
    let mut changed = false;
    for element in scan::elements(body, input.start)? {
        let item = body.get(element)?;
        match foreign(item) {
            None => kept.push(String::from_utf8(item.to_vec()).ok()?),
            Some(own) => {
                changed = true;
                kept.extend(own.map(|thought| thought.write().to_string()));
            }
        }
    }
    changed.then(|| (input, format!("[{}]", kept.join(","))))
}

/// `None` when an item is not one that carries another provider's proof; otherwise what it was at a provider of this
/// dialect, if it was anything.
fn foreign(item: &[u8]) -> Option<Option<Thought>> {
    let members = scan::members(item, 0)?;
    let text = |key: &str| {
        let member = members.iter().find(|member| member.key == key)?;
        scan::text(item.get(member.value.clone())?)
    };
    if text("type")? != "reasoning" {
        return None;
    }
    let part = match carried(&text("encrypted_content")?) {
        Carried::Own(_) => return None,
        Carried::Call { .. } => return Some(None),
        Carried::Redacted(data) => Part::RedactedThinking {
            data: data.to_owned(),
        },
        Carried::Thinking(signature) => Part::Thinking {
            text: summary(item).unwrap_or_default(),
            signature: Some(signature.to_owned()),
        },
    };
    Some(Thought::of_part(&part))
}

/// The shown text of an item that the gateway wrote.
fn summary(item: &[u8]) -> Option<String> {
    let item: Value = sluice_units::json::from_slice(item).ok()?;
    let text = item.get("summary")?.get(0)?.get("text")?.as_str()?;
    Some(text.to_owned())
}

/// What a whole answer says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// What was used, where the provider says it.
    pub usage: Option<Usage>,
    /// `completed`, or why the answer is incomplete, in the provider's word.
    pub finish: Option<String>,
}

/// The outside of a response object.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Outside {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    incomplete_details: Option<Details>,
    #[serde(default)]
    usage: Value,
}

#[derive(Debug, Deserialize)]
struct Details {
    #[serde(default)]
    reason: Option<String>,
}

impl Outside {
    fn look(self) -> Look {
        let reason = self.incomplete_details.and_then(|details| details.reason);
        Look {
            usage: usage::decode(&self.usage),
            finish: reason.or(self.status),
        }
    }
}

/// Looks at a whole answer that goes through as it is.
///
/// # Errors
/// [`DecodeError::Shape`] when it is not a response, or one that failed.
pub fn look(body: &Bytes) -> Result<Look, DecodeError> {
    #[derive(Deserialize)]
    struct Whole {
        #[serde(rename = "output")]
        _output: Vec<serde::de::IgnoredAny>,
        #[serde(flatten)]
        outside: Outside,
    }
    let shape = |detail: String| DecodeError::Shape {
        dialect: NAME,
        detail,
    };
    let mended = halves::mended(body);
    let body = mended.as_deref().unwrap_or(body);
    let whole: Whole =
        sluice_units::json::from_slice(body).map_err(|error| shape(error.to_string()))?;
    if whole.outside.status.as_deref() == Some("failed") {
        return Err(shape("the response failed".to_owned()));
    }
    Ok(whole.outside.look())
}
