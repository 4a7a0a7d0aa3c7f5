//! Files that an answer names: the provider's identifiers become the caller's.
//!
//! The caller's own files are called what the caller calls them: those that the request referred to, and those that bear
//! the organisation's mark. Any other may be somebody else's, in a store that several share, or made by the provider's
//! tools: its identifier can be said again in a conversation, and nothing else. Knows where identifiers stand, not why.

use bytes::Bytes;
use memchr::memmem;
use serde_json::Value;
use sluice_units::ProviderId;

use super::ids::{CITED, Ids};
use super::{Held, Kind};

/// What an answer must hold to name a file.
const NAME: &[u8] = b"file_id";

/// Whether an answer may name a file.
#[must_use]
pub fn may_name(answer: &[u8]) -> bool {
    memmem::find(answer, NAME).is_some()
}

/// The caller's words for files of one provider.
#[derive(Debug)]
pub struct Cited<'a> {
    /// The organisation's identifiers.
    pub ids: Ids,
    /// Whose answer it is.
    pub provider: &'a ProviderId,
    /// What the request referred to.
    pub held: Option<&'a Held>,
}

impl Cited<'_> {
    /// A whole answer, or events of a streamed one, in the caller's words.
    #[must_use]
    pub fn told(&self, answer: &[u8], is_stream: bool) -> Bytes {
        let text = String::from_utf8_lossy(answer);
        if !is_stream {
            return Bytes::from(self.reworded(&text));
        }
        let lines = text.split_inclusive(['\n', '\r']);
        Bytes::from(lines.map(|line| self.line(line)).collect::<String>())
    }

    fn line(&self, line: &str) -> String {
        match line.split_once("data:") {
            Some(("", data)) if may_name(data.as_bytes()) => {
                format!("data:{}", self.reworded(data))
            }
            _ => line.to_owned(),
        }
    }

    fn reworded(&self, json: &str) -> String {
        let mut told = json.to_owned();
        let mut found = Vec::new();
        if let Ok(value) = sluice_units::json::from_str(json) {
            self.collect(&value, &mut found);
        }
        let quoted = |text: &str| Value::from(text).to_string();
        for (own, sealed) in found {
            told = told.replace(&quoted(&own), &quoted(&sealed));
        }
        for mark in self.ids.marks() {
            told = told.replace(&format!("\"{mark}-"), "\"");
        }
        told
    }

    /// All identifiers of files, and what the caller is to read instead.
    fn collect(&self, value: &Value, found: &mut Vec<(String, String)>) {
        let Value::Object(fields) = value else {
            if let Value::Array(items) = value {
                items.iter().for_each(|item| self.collect(item, found));
            }
            return;
        };
        let marked = |name: &str| self.ids.unmarked(name).is_some();
        let name = fields.get("filename").and_then(Value::as_str);
        let is_own = name.is_some_and(marked);
        let mut seal = |id: &str| {
            let sealed = self.seal(id, is_own);
            found.extend(sealed.map(|sealed| (id.to_owned(), sealed)));
        };
        for (key, field) in fields {
            match (key.as_str(), field) {
                ("file_id", Value::String(id)) => seal(id),
                ("file_ids", Value::Array(ids)) => {
                    ids.iter().filter_map(Value::as_str).for_each(&mut seal);
                }
                _ => {}
            }
        }
        for (key, field) in fields {
            // A model's arguments, at Anthropic.
            if key != "input" && !is_callers(key) {
                self.collect(field, found);
            }
        }
    }

    fn seal(&self, id: &str, is_own: bool) -> Option<String> {
        if let Some(written) = self.held.and_then(|held| held.written(id)) {
            return Some(written.to_owned());
        }
        let kind = if is_own { Kind::File.prefix() } else { CITED };
        self.ids.seal(kind, self.provider, id)
    }
}

/// Whether what stands under a key is the caller's or the model's own: arguments, schemas, labels. No provider looks for
/// a file in it.
pub(super) fn is_callers(key: &str) -> bool {
    matches!(
        key,
        "args" | "arguments" | "attributes" | "input_schema" | "metadata" | "parameters" | "schema"
    )
}
