//! The output items of an answer for a caller, whole or growing.
//!
//! Texts and refusals that follow one another are parts of one message. Identifiers follow from the answer's own, so
//! that the same answer has the same ones, streamed or not.

use serde_json::{Map, Value, json};

use super::proof::{carry_call, carry_redacted, carry_thinking};
use super::shape;
use crate::Drops;
use crate::model::PartKind;

/// The largest output, in bytes of text: a stream's last event repeats it all.
pub(super) const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Output {
    suffix: String,
    items: Vec<Item>,
    bytes: usize,
    /// Signatures over calls: they travel behind everything else.
    signatures: Vec<(String, String)>,
}

/// One output item.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) body: Body,
    /// Parts that have not ended.
    pub(super) open: usize,
    /// Why the item may not be whole; `None` while it is not done.
    pub(super) status: Option<&'static str>,
}

/// What an item is.
#[derive(Debug)]
pub(super) enum Body {
    /// Texts and refusals.
    Message(Vec<Content>),
    /// Shown reasoning, and what proves it.
    Thought {
        text: String,
        carried: Option<String>,
    },
    /// A call.
    Call {
        id: String,
        name: String,
        arguments: String,
    },
}

/// One text or refusal.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) refusal: bool,
    pub(super) text: String,
    pub(super) annotations: Vec<Value>,
    pub(super) logprobs: Vec<Value>,
}

/// Where a part is: the item's number, and the content's number within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) item: usize,
    pub(super) content: usize,
}

impl Output {
    /// An output of nothing, for the answer with this identifier.
    pub(super) fn new(id: &str) -> Self {
        let suffix = id.strip_prefix("resp_").unwrap_or(id).to_owned();
        Self {
            suffix,
            ..Self::default()
        }
    }

    /// Begins a part. The flag says that an item began with it.
    pub(super) fn begin(&mut self, kind: &PartKind) -> (Place, bool) {
        let refusal = *kind == PartKind::Refusal;
        let number = self.items.len();
        let body = match kind {
            // Media never come here.
            PartKind::Text | PartKind::Refusal | PartKind::Media { .. } => {
                let content = Content {
                    refusal,
                    text: String::new(),
                    annotations: Vec::new(),
                    logprobs: Vec::new(),
                };
                if let Some(last) = self.items.last_mut()
                    && let Body::Message(contents) = &mut last.body
                {
                    last.open = last.open.saturating_add(1);
                    let place = Place {
                        item: number.saturating_sub(1),
                        content: contents.len(),
                    };
                    contents.push(content);
                    return (place, false);
                }
                Body::Message(vec![content])
            }
            PartKind::Thinking => Body::Thought {
                text: String::new(),
                carried: None,
            },
            PartKind::RedactedThinking { data } => {
                self.grow(data.len());
                Body::Thought {
                    text: String::new(),
                    carried: Some(carry_redacted(data)),
                }
            }
            PartKind::ToolCall { id, name } => Body::Call {
                id: if id.is_empty() {
                    format!("call_{}_{number}", self.suffix)
                } else {
                    id.clone()
                },
                name: name.clone(),
                arguments: String::new(),
            },
        };
        self.push(body);
        let place = Place {
            item: number,
            content: 0,
        };
        (place, true)
    }

    /// More text of a part.
    pub(super) fn append(&mut self, place: Place, more: &str) {
        self.grow(more.len());
        let text = match self.items.get_mut(place.item).map(|item| &mut item.body) {
            Some(Body::Message(contents)) => {
                contents.get_mut(place.content).map(|found| &mut found.text)
            }
            Some(Body::Thought { text, .. }) => Some(text),
            Some(Body::Call { arguments, .. }) => Some(arguments),
            None => None,
        };
        if let Some(text) = text {
            text.push_str(more);
        }
    }

    /// The proof over a part.
    pub(super) fn sign(&mut self, place: Place, signature: &str, drops: &mut Drops) {
        self.grow(signature.len());
        match self.items.get_mut(place.item).map(|item| &mut item.body) {
            Some(Body::Thought { carried, .. }) => *carried = Some(carry_thinking(signature)),
            Some(Body::Call { id, .. }) => self.signatures.push((id.clone(), signature.to_owned())),
            _ => drops.push("signature", "responses has no place for signed text"),
        }
    }

    /// Citations of a text; returns them, and their numbers, where the dialect can say them.
    pub(super) fn annotate(
        &mut self,
        place: Place,
        annotation: &Value,
        drops: &mut Drops,
    ) -> Vec<(usize, Value)> {
        let item = self.items.get_mut(place.item).map(|item| &mut item.body);
        let content = match item {
            Some(Body::Message(contents)) => contents.get_mut(place.content),
            _ => None,
        };
        let Some(Content {
            text, annotations, ..
        }) = content
        else {
            return Vec::new();
        };
        let found = shape::citations_out(annotation, text);
        if found.is_empty() {
            drops.push(
                "output[].content[].annotations",
                "responses knows citations of addresses and files only",
            );
        }
        let first = annotations.len();
        annotations.extend(found.iter().cloned());
        (first..).zip(found).collect()
    }

    /// Log-probabilities in Chat Completions' shape: they belong to the text that came last.
    pub(super) fn logprobs(&mut self, logprobs: &Value, first: bool, drops: &mut Drops) {
        let mut contents = self.items.iter_mut().flat_map(|item| match &mut item.body {
            Body::Message(contents) => contents.as_mut_slice(),
            _ => &mut [],
        });
        let content = if first {
            contents.find(|content| !content.refusal)
        } else {
            contents.filter(|content| !content.refusal).last()
        };
        match (logprobs.get("content").and_then(Value::as_array), content) {
            (Some(found), Some(content)) => {
                content.logprobs.extend(found.iter().map(logprob));
            }
            _ => drops.push("logprobs", "there is no text that they belong to"),
        }
    }

    /// Ends a part. A call without arguments is `{}`.
    pub(super) fn end(&mut self, place: Place) {
        if let Some(item) = self.items.get_mut(place.item) {
            item.open = item.open.saturating_sub(1);
            if let Body::Call { arguments, .. } = &mut item.body
                && arguments.is_empty()
            {
                arguments.push_str("{}");
            }
        }
    }

    /// Adds the items that carry signatures over calls; returns the number of the first.
    pub(super) fn end_all(&mut self) -> usize {
        let first = self.items.len();
        for (id, signature) in std::mem::take(&mut self.signatures) {
            self.push(Body::Thought {
                text: String::new(),
                carried: Some(carry_call(&id, &signature)),
            });
        }
        first
    }

    /// The items.
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// One item.
    pub(super) fn item_mut(&mut self, number: usize) -> Option<&mut Item> {
        self.items.get_mut(number)
    }

    /// More has been said than is kept.
    pub(super) const fn is_too_large(&self) -> bool {
        self.bytes > OUTPUT_BYTES_MAX
    }

    /// The items as they are written. What is not done is in progress.
    pub(super) fn json(&self) -> Vec<Value> {
        self.items
            .iter()
            .map(|item| item.json(item.status.unwrap_or("in_progress")))
            .collect()
    }

    fn push(&mut self, body: Body) {
        let prefix = match body {
            Body::Message(_) => "msg",
            Body::Thought { .. } => "rs",
            Body::Call { .. } => "fc",
        };
        self.items.push(Item {
            id: format!("{prefix}_{}_{}", self.suffix, self.items.len()),
            body,
            open: 1,
            status: None,
        });
    }

    const fn grow(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Item {
    /// The item as it is written.
    pub(super) fn json(&self, status: &str) -> Value {
        match &self.body {
            Body::Message(contents) => {
                let contents: Vec<Value> = contents.iter().map(Content::json).collect();
                json!({
                    "id": self.id,
                    "type": "message",
                    "status": status,
                    "role": "assistant",
                    "content": contents,
                })
            }
            Body::Thought { text, carried } => {
                let mut item = Map::new();
                item.insert("id".to_owned(), self.id.as_str().into());
                item.insert("type".to_owned(), "reasoning".into());
                let summary = match text.as_str() {
                    "" => json!([]),
                    text => json!([summary_text(text)]),
                };
                item.insert("summary".to_owned(), summary);
                if let Some(carried) = carried {
                    let carried = carried.as_str().into();
                    item.insert("encrypted_content".to_owned(), carried);
                }
                Value::Object(item)
            }
            Body::Call {
                id,
                name,
                arguments,
            } => json!({
                "id": self.id,
                "type": "function_call",
                "status": status,
                "call_id": id,
                "name": name,
                "arguments": arguments,
            }),
        }
    }

    /// The item as it begins: with nothing in it.
    pub(super) fn json_begun(&self) -> Value {
        let body = match &self.body {
            Body::Message(_) => Body::Message(Vec::new()),
            Body::Thought { .. } => Body::Thought {
                text: String::new(),
                carried: None,
            },
            Body::Call { id, name, .. } => Body::Call {
                id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
            },
        };
        let begun = Self {
            id: self.id.clone(),
            body,
            open: 0,
            status: None,
        };
        begun.json("in_progress")
    }
}

impl Content {
    /// The part as it is written.
    pub(super) fn json(&self) -> Value {
        if self.refusal {
            return json!({"type": "refusal", "refusal": self.text});
        }
        json!({
            "type": "output_text",
            "text": self.text,
            "annotations": self.annotations,
            "logprobs": self.logprobs,
        })
    }
}

/// A text of a reasoning item's summary.
pub(super) fn summary_text(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

/// One token's, with every field that the description asks for.
fn logprob(found: &Value) -> Value {
    let mut whole = found.clone();
    let Some(fields) = whole.as_object_mut() else {
        return whole;
    };
    fill_bytes(fields);
    let top = fields
        .entry("top_logprobs")
        .or_insert_with(|| Value::Array(Vec::new()));
    for other in top.as_array_mut().into_iter().flatten() {
        if let Some(other) = other.as_object_mut() {
            fill_bytes(other);
        }
    }
    whole
}

fn fill_bytes(fields: &mut Map<String, Value>) {
    if !fields.get("bytes").is_some_and(Value::is_array) {
        let token = fields.get("token").and_then(Value::as_str);
        let bytes: Vec<u8> = token.unwrap_or_default().bytes().collect();
        fields.insert("bytes".to_owned(), bytes.into());
    }
}
