//! Puts a stream's events together to the whole answer.

use serde_json::{Map, Value};
use thiserror::Error;

use super::{ChatResponse, Choice, Event, Finish, Part, PartKind};
use crate::error::UpstreamError;
use sluice_units::SortedMap;

/// Puts events together. Memory grows with the answer: the caller bounds what it pushes.
#[derive(Debug, Default)]
pub struct Collector {
    response: ChatResponse,
    choices: SortedMap<u32, Partial>,
    failed: Option<UpstreamError>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Partial {
    parts: SortedMap<u32, Part>,
    finish: Finish,
    logprobs: Option<Value>,
}

/// Why there is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CollectError {
    /// The provider said in mid-stream that it failed.
    #[error("the provider failed in mid-stream")]
    Failed(UpstreamError),
    /// The events ended before [`Event::End`].
    #[error("the events ended before the answer was complete")]
    Incomplete,
}

impl Collector {
    /// A collector of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Start { id, model, created } => {
                self.response.id = id;
                self.response.model = model;
                self.response.created = created;
            }
            Event::PartStart { choice, part, kind } => {
                let parts = &mut self.choices.get_or_default(choice).parts;
                parts.insert(part, empty(kind));
            }
            Event::Delta { choice, part, text } => {
                if let Some(part) = self.part(choice, part) {
                    append(part, &text);
                }
            }
            Event::Signature {
                choice,
                part,
                signature: proof,
            } => {
                if let Some(Part::Thinking { signature, .. } | Part::ToolCall { signature, .. }) =
                    self.part(choice, part)
                {
                    *signature = Some(proof);
                }
            }
            Event::Annotation {
                choice,
                part,
                annotation,
            } => {
                if let Some(Part::Text { annotations, .. }) = self.part(choice, part) {
                    annotations.push(annotation);
                }
            }
            Event::Logprobs { choice, logprobs } => {
                let all = &mut self.choices.get_or_default(choice).logprobs;
                join(all, logprobs);
            }
            Event::PartEnd { choice, part } => {
                if let Some(Part::ToolCall { arguments, .. }) = self.part(choice, part)
                    && arguments.is_empty()
                {
                    arguments.push_str("{}");
                }
            }
            Event::Finish { choice, finish } => {
                self.choices.get_or_default(choice).finish = finish;
            }
            Event::Usage(usage) => self.response.usage = Some(usage),
            Event::Failed(error) => self.failed = Some(error),
            Event::End => self.ended = true,
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`CollectError`] when the events did not end well.
    pub fn finish(self) -> Result<ChatResponse, CollectError> {
        if let Some(error) = self.failed {
            return Err(CollectError::Failed(error));
        }
        if !self.ended {
            return Err(CollectError::Incomplete);
        }
        let mut response = self.response;
        response.choices = self
            .choices
            .into_iter()
            .map(|(index, partial)| Choice {
                index,
                parts: partial.parts.into_values().collect(),
                finish: partial.finish,
                logprobs: partial.logprobs,
            })
            .collect();
        Ok(response)
    }

    fn part(&mut self, choice: u32, part: u32) -> Option<&mut Part> {
        self.choices.get_mut(&choice)?.parts.get_mut(&part)
    }
}

fn empty(kind: PartKind) -> Part {
    match kind {
        PartKind::Text => Part::text(String::new()),
        PartKind::Thinking => Part::Thinking {
            text: String::new(),
            signature: None,
        },
        PartKind::RedactedThinking { data } => Part::RedactedThinking { data },
        PartKind::Refusal => Part::Refusal {
            text: String::new(),
        },
        PartKind::Media { source } => Part::media(source),
        PartKind::ToolCall { id, name } => Part::ToolCall {
            id,
            name,
            arguments: String::new(),
            signature: None,
            cache: None,
        },
    }
}

fn append(part: &mut Part, more: &str) {
    match part {
        Part::Text { text, .. }
        | Part::Thinking { text, .. }
        | Part::Refusal { text }
        | Part::ToolCall {
            arguments: text, ..
        } => text.push_str(more),
        _ => {}
    }
}

/// Joins the lists of two objects, field by field.
fn join(all: &mut Option<Value>, more: Value) {
    let Some(all) = all else {
        *all = Some(more);
        return;
    };
    let mut nothing = Map::new();
    let fields = all.as_object_mut().unwrap_or(&mut nothing);
    let Value::Object(more) = more else {
        return;
    };
    for (key, value) in more {
        match (fields.get_mut(&key), value) {
            (Some(Value::Array(known)), Value::Array(items)) => known.extend(items),
            (Some(Value::Null) | None, value) => {
                fields.insert(key, value);
            }
            _ => {}
        }
    }
}
