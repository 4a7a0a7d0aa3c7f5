//! Reasoning items, and the proofs that bring them back byte for byte.
//!
//! A provider's item with `encrypted_content` becomes a thinking part whose signature begins with `openai:` and holds
//! the item's identifier, the encrypted text, and how the shown text was divided. Base64 holds no colon: other
//! dialects' encoders see that the signature is not theirs.
//!
//! The other way, a caller of this dialect carries what another provider signed in `encrypted_content`, under one of
//! the marks `thinking:`, `redacted:` and `call:`; OpenAI's own encrypted texts hold no colon either.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::Part;

const OWNER: &str = "openai:";
const THINKING: &str = "thinking:";
const REDACTED: &str = "redacted:";
const CALL: &str = "call:";

/// Between two paragraphs of shown reasoning.
pub(super) const BREAK: &str = "\n\n";

/// Where a shown text stands in its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In `summary`.
    Summary,
    /// In `content`.
    Content,
}

/// A reasoning item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thought {
    pub(super) id: String,
    pub(super) texts: Vec<(Kind, String)>,
    pub(super) encrypted: Option<String>,
}

/// What a signature holds.
#[derive(Debug, Serialize, Deserialize)]
struct Proof {
    id: String,
    /// Such as `s12,c40`: a summary of 12 bytes, then 40 bytes of content.
    shape: String,
    encrypted_content: String,
}

/// Writes the signature of an item whose texts had these sizes.
pub(super) fn sign(id: &str, sections: &[(Kind, usize)], encrypted: &str) -> String {
    let shape: Vec<String> = sections
        .iter()
        .map(|(kind, bytes)| match kind {
            Kind::Summary => format!("s{bytes}"),
            Kind::Content => format!("c{bytes}"),
        })
        .collect();
    let proof = json!({"id": id, "shape": shape.join(","), "encrypted_content": encrypted});
    format!("{OWNER}{proof}")
}

/// What a caller carried in `encrypted_content`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Carried<'a> {
    /// A provider of this dialect encrypted it.
    Own(&'a str),
    /// A signature over the shown text.
    Thinking(&'a str),
    /// Reasoning that only its provider can read.
    Redacted(&'a str),
    /// A signature over a call.
    Call {
        /// The call.
        id: String,
        /// The signature.
        signature: String,
    },
}

/// Reads `encrypted_content`.
pub(super) fn carried(encrypted: &str) -> Carried<'_> {
    if let Some(signature) = encrypted.strip_prefix(THINKING) {
        return Carried::Thinking(signature);
    }
    if let Some(data) = encrypted.strip_prefix(REDACTED) {
        return Carried::Redacted(data);
    }
    let call = encrypted
        .strip_prefix(CALL)
        .and_then(|json| sluice_units::json::from_str::<(String, String)>(json).ok());
    match call {
        Some((id, signature)) => Carried::Call { id, signature },
        None => Carried::Own(encrypted),
    }
}

/// `encrypted_content` that carries a signature over thoughts.
pub(super) fn carry_thinking(signature: &str) -> String {
    format!("{THINKING}{signature}")
}

/// `encrypted_content` that carries redacted thoughts.
pub(super) fn carry_redacted(data: &str) -> String {
    format!("{REDACTED}{data}")
}

/// `encrypted_content` that carries a signature over a call.
pub(super) fn carry_call(id: &str, signature: &str) -> String {
    format!("{CALL}{}", json!([id, signature]))
}

impl Thought {
    /// The neutral part; `None` when nothing was said and nothing is to come back.
    pub(super) fn into_part(self) -> Option<Part> {
        let sections: Vec<(Kind, usize)> = self
            .texts
            .iter()
            .map(|(kind, text)| (*kind, text.len()))
            .collect();
        let texts: Vec<String> = self.texts.into_iter().map(|(_, text)| text).collect();
        let text = texts.join(BREAK);
        let proof = self
            .encrypted
            .map(|encrypted| sign(&self.id, &sections, &encrypted));
        match (text.is_empty(), proof) {
            (true, None) => None,
            (true, Some(data)) => Some(Part::RedactedThinking { data }),
            (false, signature) => Some(Part::Thinking { text, signature }),
        }
    }

    /// The item that a neutral part was; `None` when no provider of this dialect signed it.
    pub(super) fn of_part(part: &Part) -> Option<Self> {
        let (text, proof) = match part {
            Part::Thinking {
                text,
                signature: Some(proof),
            } => (text.as_str(), proof),
            Part::RedactedThinking { data } => ("", data),
            _ => return None,
        };
        let proof: Proof = sluice_units::json::from_str(proof.strip_prefix(OWNER)?).ok()?;
        let texts = divided(text, &proof.shape).unwrap_or_else(|| match text {
            "" => Vec::new(),
            text => vec![(Kind::Summary, text.to_owned())],
        });
        Some(Self {
            id: proof.id,
            texts,
            encrypted: Some(proof.encrypted_content),
        })
    }

    /// The item as it is sent back.
    pub(super) fn write(&self) -> Value {
        let texts = |wanted: Kind, name: &str| -> Vec<Value> {
            self.texts
                .iter()
                .filter(|(kind, _)| *kind == wanted)
                .map(|(_, text)| json!({"type": name, "text": text}))
                .collect()
        };
        let mut item = Map::new();
        item.insert("type".to_owned(), "reasoning".into());
        item.insert("id".to_owned(), self.id.as_str().into());
        item.insert(
            "summary".to_owned(),
            texts(Kind::Summary, "summary_text").into(),
        );
        let content = texts(Kind::Content, "reasoning_text");
        if !content.is_empty() {
            item.insert("content".to_owned(), content.into());
        }
        if let Some(encrypted) = &self.encrypted {
            item.insert("encrypted_content".to_owned(), encrypted.as_str().into());
        }
        Value::Object(item)
    }
}

/// Divides a text as it was before; `None` when it has changed since.
fn divided(text: &str, shape: &str) -> Option<Vec<(Kind, String)>> {
    let mut rest = text;
    let mut texts = Vec::new();
    for section in shape.split(',').filter(|section| !section.is_empty()) {
        if !texts.is_empty() {
            rest = rest.strip_prefix(BREAK)?;
        }
        let (kind, bytes) = match section.split_at_checked(1)? {
            ("s", bytes) => (Kind::Summary, bytes),
            ("c", bytes) => (Kind::Content, bytes),
            _ => return None,
        };
        let (head, tail) = rest.split_at_checked(bytes.parse().ok()?)?;
        texts.push((kind, head.to_owned()));
        rest = tail;
    }
    rest.is_empty().then_some(texts)
}
