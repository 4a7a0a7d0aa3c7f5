//! OpenAI's dialect on both sides: the bytes go through as they are, but for what policy changes.
//!
//! [`rewrite_request`] replaces top-level values in place and leaves every other byte alone, unknown fields included.
//! [`look`] and [`StreamTap`] watch answers without writing them anew; small departures from OpenAI's description are
//! put right ([`mended`]).

mod mend;
pub(crate) mod scan;
pub(crate) mod split;
mod tap;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::Value;
use sluice_units::Usage;

use super::{NAME, ids, usage};
use crate::error::DecodeError;
use crate::halves;
use crate::model::{ChatRequest, Role};
use crate::{Target, UpstreamRequest};
use scan::Member;
pub use tap::StreamTap;

/// What is changed in a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// The model's name at the provider.
    pub model: Option<String>,
    /// Ask for usage at the end of the stream.
    pub include_usage: bool,
    /// The provider refuses `stream_options`.
    pub no_stream_options: bool,
    /// The one name for the limit on output tokens that the provider reads.
    pub limit_key: Option<&'static str>,
    /// The provider knows no `developer` role.
    pub developer_as_system: bool,
    /// The provider takes short identifiers of calls only.
    pub short_call_ids: bool,
}

impl Edits {
    /// The edits that a chat request needs for a target.
    #[must_use]
    pub fn chat(request: &ChatRequest, target: &Target) -> Self {
        let developer = request
            .messages
            .iter()
            .any(|message| message.role == Role::Developer);
        Self {
            model: Some(target.model.clone()),
            include_usage: request.stream && target.stream_usage,
            no_stream_options: !target.stream_usage,
            limit_key: request.output_tokens_max.map(|_| limit_key(target)),
            developer_as_system: developer && !target.developer_role,
            short_call_ids: target.short_call_ids,
        }
    }
}

/// The name of the limit on output tokens that the provider reads.
pub(crate) const fn limit_key(target: &Target) -> &'static str {
    if target.max_completion_tokens {
        LIMIT_KEYS[1]
    } else {
        LIMIT_KEYS[0]
    }
}

/// Sets a top-level number; all other bytes stay as they are.
pub(crate) fn set_number(body: &[u8], key: &str, number: u64) -> Vec<u8> {
    let Some(members) = scan::members(body, 0) else {
        return body.to_vec();
    };
    let mut changes = Changes::default();
    changes.set(&members, key, number.to_string());
    changes.apply(body, &members)
}

/// The two names of the limit on output tokens.
const LIMIT_KEYS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// Applies the edits to a body that [`super::chat::decode_request`] has accepted; all other bytes stay as they are.
#[must_use]
pub fn rewrite_request(body: &[u8], edits: &Edits) -> Vec<u8> {
    let Some(members) = scan::members(body, 0) else {
        // Not an object; it was never accepted.
        return body.to_vec();
    };
    let mut changes = Changes::default();
    if let Some(model) = &edits.model {
        let model = Value::from(model.as_str()).to_string();
        changes.set(&members, "model", model);
    }
    if edits.include_usage {
        include_usage(body, &members, &mut changes);
    }
    if edits.no_stream_options {
        changes.remove(&members, "stream_options");
    }
    if let Some(wanted) = edits.limit_key {
        rename_limit(body, &members, wanted, &mut changes);
    }
    if edits.developer_as_system {
        developer_as_system(body, &members, &mut changes);
    }
    if edits.short_call_ids {
        short_call_ids(body, &members, &mut changes);
    }
    changes.apply(body, &members)
}

/// Replaces the model's name in a whole answer; all other bytes stay as they are.
#[must_use]
pub fn rewrite_model_in_response(body: &[u8], model: &str) -> Vec<u8> {
    let edits = Edits {
        model: Some(model.to_owned()),
        ..Edits::default()
    };
    rewrite_request(body, &edits)
}

/// A request that carries such a body.
#[must_use]
pub fn request(path: &'static str, body: Vec<u8>) -> UpstreamRequest {
    UpstreamRequest {
        method: Method::POST,
        path: Cow::Borrowed(path),
        headers: HeaderMap::new(),
        body: Bytes::from(body),
    }
}

/// Replacements in place, and members to add at the end.
#[derive(Default)]
struct Changes {
    replaced: Vec<(Range<usize>, String)>,
    added: Vec<String>,
}

impl Changes {
    /// Sets a top-level member, new or not.
    fn set(&mut self, members: &[Member<'_>], key: &str, json: String) {
        match members.iter().find(|member| member.key == key) {
            Some(member) => self.replaced.push((member.value.clone(), json)),
            None => self.added.push(format!("{}:{json}", Value::from(key))),
        }
    }

    /// Takes out a top-level member that others stand beside.
    fn remove(&mut self, members: &[Member<'_>], key: &str) {
        let Some(at) = members.iter().position(|member| member.key == key) else {
            return;
        };
        let end = |at: usize| members.get(at).map(|member| member.value.end);
        let start = |at: usize| members.get(at).map(|member| member.name.start);
        // With the comma before it, or, if it is the first, with the one behind it.
        let range = match at.checked_sub(1) {
            Some(before) => end(before).zip(end(at)),
            None => start(at).zip(start(at.saturating_add(1))),
        };
        if let Some((from, to)) = range {
            self.replaced.push((from..to, String::new()));
        }
    }

    fn apply(mut self, body: &[u8], members: &[Member<'_>]) -> Vec<u8> {
        if !self.added.is_empty() {
            // Before the closing brace, behind the last member.
            let end = members
                .last()
                .map_or_else(|| scan::inside(body, 0), |member| Some(member.value.end));
            if let Some(end) = end {
                let comma = if members.is_empty() { "" } else { "," };
                let added = format!("{comma}{}", self.added.join(","));
                self.replaced.push((end..end, added));
            }
        }
        self.replaced
            .sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = Vec::with_capacity(body.len().saturating_add(128));
        let mut at = 0;
        for (range, json) in self.replaced {
            out.extend_from_slice(body.get(at..range.start).unwrap_or_default());
            out.extend_from_slice(json.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(body.get(at..).unwrap_or_default());
        out
    }
}

fn include_usage(body: &[u8], members: &[Member<'_>], changes: &mut Changes) {
    let options = members
        .iter()
        .find(|member| member.key == "stream_options")
        .and_then(|member| scan::members(body, member.value.start));
    let Some(inner) = options else {
        // None, or null.
        let options = r#"{"include_usage":true}"#.to_owned();
        changes.set(members, "stream_options", options);
        return;
    };
    let known = inner.iter().find(|member| member.key == "include_usage");
    match (known, inner.last()) {
        (Some(member), _) => changes
            .replaced
            .push((member.value.clone(), "true".to_owned())),
        (None, Some(last)) => {
            let end = last.value.end;
            changes
                .replaced
                .push((end..end, r#","include_usage":true"#.to_owned()));
        }
        (None, None) => {
            changes.set(
                members,
                "stream_options",
                r#"{"include_usage":true}"#.to_owned(),
            );
        }
    }
}

/// Gives the limit the one name that the provider reads. Where both names are there, the other becomes `null`.
fn rename_limit(body: &[u8], members: &[Member<'_>], wanted: &'static str, changes: &mut Changes) {
    let find = |key: &str| members.iter().find(|member| member.key == key);
    let other = LIMIT_KEYS.into_iter().find(|key| *key != wanted);
    let Some(other) = other.and_then(find) else {
        return;
    };
    let Some(known) = find(wanted) else {
        let name = format!("\"{wanted}\"");
        changes.replaced.push((other.name.clone(), name));
        return;
    };
    let text = |member: &Member<'_>| {
        let value = body.get(member.value.clone()).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    };
    if text(known) == "null" {
        changes.replaced.push((known.value.clone(), text(other)));
    }
    changes
        .replaced
        .push((other.value.clone(), "null".to_owned()));
}

fn developer_as_system(body: &[u8], members: &[Member<'_>], changes: &mut Changes) {
    for member in each(body, members, "messages") {
        let value = body.get(member.value.clone()).unwrap_or_default();
        if member.key == "role" && scan::text(value).as_deref() == Some("developer") {
            changes
                .replaced
                .push((member.value, "\"system\"".to_owned()));
        }
    }
}

fn short_call_ids(body: &[u8], members: &[Member<'_>], changes: &mut Changes) {
    let mut shorten = |member: &Member<'_>| {
        let value = body.get(member.value.clone()).unwrap_or_default();
        if let Some(id) = scan::text(value)
            && let Cow::Owned(short) = ids::short(&id)
        {
            let short = Value::from(short).to_string();
            changes.replaced.push((member.value.clone(), short));
        }
    };
    for member in each(body, members, "messages") {
        match member.key.as_ref() {
            "tool_call_id" => shorten(&member),
            "tool_calls" => {
                let calls = each(body, std::slice::from_ref(&member), "tool_calls");
                let ids = calls.iter().filter(|member| member.key == "id");
                ids.for_each(&mut shorten);
            }
            _ => {}
        }
    }
}

/// The members of all objects of a list.
fn each<'a>(body: &'a [u8], members: &[Member<'_>], list: &str) -> Vec<Member<'a>> {
    let list = members.iter().find(|member| member.key == list);
    let elements = list.and_then(|member| scan::elements(body, member.value.start));
    let objects = elements.unwrap_or_default().into_iter();
    objects
        .filter_map(|element| scan::members(body, element.start))
        .flatten()
        .collect()
}

/// What a whole answer says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// What was used, where the provider says it.
    pub usage: Option<Usage>,
    /// Why the first choice ended, in the provider's word.
    pub finish: Option<String>,
}

#[derive(Deserialize)]
struct Whole {
    choices: Vec<WholeChoice>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct WholeChoice {
    finish_reason: Option<String>,
}

/// A whole answer of a chat with what OpenAI's description asks for; all other bytes stay as they are.
#[must_use]
pub fn mended(body: &Bytes) -> Bytes {
    mend::whole(body).map_or_else(|| body.clone(), Bytes::from)
}

/// Looks at a whole answer that goes through as it is.
///
/// # Errors
/// [`DecodeError::Shape`] when it is not a chat completion.
pub fn look(body: &Bytes) -> Result<Look, DecodeError> {
    let mended = halves::mended(body);
    let body = mended.as_deref().unwrap_or(body);
    let whole: Whole =
        sluice_units::json::from_slice(body).map_err(|error| DecodeError::Shape {
            dialect: NAME,
            detail: error.to_string(),
        })?;
    Ok(Look {
        usage: usage::decode(&whole.usage),
        finish: whole
            .choices
            .into_iter()
            .next()
            .and_then(|choice| choice.finish_reason),
    })
}
