//! Files that a conversation refers to: the caller's identifiers become the provider's, or the request ends here.
//!
//! Holds whatever item or tool a `file_id` stands in. What a caller of OpenAI's dialects refers to must be the
//! organisation's own, so that no identifier that was found out elsewhere can be used. What an answer has cited, and is
//! said again, is a name: nothing is read for it. Anthropic's callers may know files of their own there.

use bytes::Bytes;
use memchr::memmem;
use serde_json::Value;
use sluice_units::ProviderId;
use sluice_wire::{Downstream, Malformed, json};

use super::cite::is_callers;
use super::ids::CITED;
use super::{Ids, Kind, disabled};
use crate::problem::Problem;

/// The most files of one request.
const FILES_MAX: usize = 256;

/// Files that a request refers to, and where they are.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Who keeps them; `None` where they are but cited.
    provider: Option<ProviderId>,
    /// The provider's names, and the caller's.
    names: Vec<(String, String)>,
}

impl Held {
    /// Whether a provider has them.
    ///
    /// # Errors
    /// [`Malformed`] when another one has.
    pub fn at(&self, provider: &ProviderId) -> Result<(), Malformed> {
        let Some(own) = self.provider.as_ref().filter(|own| *own != provider) else {
            return Ok(());
        };
        Err(Malformed {
            code: "provider_state_not_portable",
            message: format!(
                "The file is kept by the provider {own}, and the model's provider is {provider}. Choose a model of {own}'s, upload the file with 'x-sluice-provider: {provider}', or send its content."
            ),
            param: Some("file_id".to_owned()),
        })
    }

    /// Whether some provider must have them.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.provider.is_some()
    }

    /// What the caller calls a file of the provider's.
    pub(super) fn written(&self, own: &str) -> Option<&str> {
        let found = self.names.iter().find(|(name, _)| name == own);
        found.map(|(_, written)| written.as_str())
    }

    /// Takes the provider's own identifiers out of its words.
    pub fn reword(&self, message: &mut String) {
        for (own, written) in &self.names {
            *message = message.replace(own.as_str(), written);
        }
    }
}

/// An identifier in a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    text: String,
    /// It stands in what an answer has said.
    is_cited: bool,
}

/// A conversation's body with the provider's names of the files that it refers to, and where these are.
///
/// # Errors
/// A 404 for a file that is not the caller's, a 400 for files of several providers, a 503 where the gateway cannot tell.
pub fn held(
    body: Bytes,
    downstream: Downstream,
    ids: impl FnOnce() -> Option<Ids>,
) -> Result<(Bytes, Option<Held>), Problem> {
    if !may_refer(&body) {
        return Ok((body, None));
    }
    let mut written = Vec::new();
    // What cannot be read is refused where it is read for good.
    if let Ok(value) = json::parse(&body) {
        collect(&value, downstream, false, &mut written);
    }
    if written.is_empty() {
        return Ok((body, None));
    }
    written.sort_unstable();
    written.dedup();
    let knows_others = downstream == Downstream::Messages;
    let must_open = |it: &Written| !knows_others && !it.is_cited;
    let ids = match ids() {
        Some(ids) => ids,
        None if written.iter().any(must_open) => return Err(disabled()),
        None => return Ok((body, None)),
    };
    let mut held = Held::default();
    // It is JSON, and so it is text.
    let mut renamed = String::from_utf8_lossy(&body).into_owned();
    for it in written {
        let may_be_cited = it.is_cited || knows_others;
        let found = ids.open(Kind::File.prefix(), &it.text);
        let found = found.or_else(|| ids.open(CITED, &it.text).filter(|_| may_be_cited));
        let Some((provider, own)) = found else {
            if must_open(&it) || (knows_others && it.text.starts_with(CITED)) {
                return Err(Kind::File.missing(&it.text));
            }
            continue;
        };
        if !it.is_cited {
            held.at(&provider)?;
            held.provider = Some(provider);
        }
        if held.names.len() >= FILES_MAX {
            return Err(Problem::from(Malformed {
                code: "invalid_value",
                message: format!("More than {FILES_MAX} files are referred to."),
                param: Some("file_id".to_owned()),
            }));
        }
        let quoted = |text: &str| Value::from(text).to_string();
        renamed = renamed.replace(&quoted(&it.text), &quoted(&own));
        held.names.push((own, it.text));
    }
    Ok((Bytes::from(renamed), Some(held)))
}

/// Whether a `file_id` may stand in a body, its letters escaped or not.
fn may_refer(body: &[u8]) -> bool {
    const ESCAPED: [&[u8]; 3] = [b"\\u006", b"\\u005f", b"\\u005F"];
    let has = |text: &[u8]| memmem::find(body, text).is_some();
    has(b"file_id") || (has(b"\\u00") && ESCAPED.into_iter().any(has))
}

fn collect(value: &Value, downstream: Downstream, is_cited: bool, written: &mut Vec<Written>) {
    let Value::Object(fields) = value else {
        if let Value::Array(items) = value {
            let mut each = |item| collect(item, downstream, is_cited, written);
            items.iter().for_each(&mut each);
        }
        return;
    };
    for (key, field) in fields {
        let mut note = |id: &str| {
            written.push(Written {
                text: id.to_owned(),
                is_cited,
            });
        };
        match (key.as_str(), field) {
            ("file_id", Value::String(id)) => note(id),
            ("file_ids", Value::Array(ids)) => ids.iter().filter_map(Value::as_str).for_each(note),
            // A model's arguments.
            ("input", _) if downstream == Downstream::Messages => {}
            (key, _) if is_callers(key) => {}
            (key, _) => {
                // What an answer cited, and what the provider's own search had found.
                let is_cited = is_cited || matches!(key, "annotations" | "citations" | "results");
                collect(field, downstream, is_cited, written);
            }
        }
    }
}
