//! A streamed answer for a caller: chunks of text.

use serde_json::{Value, json};

use super::{Answered, finish_word, legacy_logprobs};
use crate::Drops;
use crate::model::{Event, PartKind, Usage};
use crate::openai::{error, usage};
use crate::sse;
use sluice_units::{SortedMap, SortedSet};

/// Writes a stream of events.
#[derive(Debug)]
pub struct StreamEncoder {
    answered: Answered,
    include_usage: bool,
    model: String,
    /// The open parts that are text.
    texts: SortedSet<(u32, u32)>,
    /// Where each choice's log-probabilities stand in its text.
    offsets: SortedMap<u32, usize>,
    usage: Option<Usage>,
    over: bool,
    drops: Drops,
}

impl StreamEncoder {
    /// An encoder at the start of a stream. `include_usage`: the caller asked for the usage chunk.
    #[must_use]
    pub const fn new(answered: Answered, include_usage: bool) -> Self {
        Self {
            answered,
            include_usage,
            model: String::new(),
            texts: SortedSet::new(),
            offsets: SortedMap::new(),
            usage: None,
            over: false,
            drops: Drops::new(),
        }
    }

    /// Appends what the caller gets for this event. After [`Event::End`] or [`Event::Failed`] nothing more is written.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { model, created, .. } => {
                self.model.clone_from(model);
                self.answered.created = created.unwrap_or(self.answered.created);
            }
            Event::PartStart { choice, part, kind } => match kind {
                PartKind::Text | PartKind::Refusal => {
                    self.texts.insert((*choice, *part));
                }
                PartKind::ToolCall { .. } => self.lost("tool_calls"),
                PartKind::Media { .. } => self.lost("content"),
                PartKind::Thinking | PartKind::RedactedThinking { .. } => self.lost("reasoning"),
            },
            Event::Delta { choice, part, text } if self.texts.contains(&(*choice, *part)) => {
                self.choice(*choice, text, &Value::Null, None, out);
            }
            Event::Logprobs { choice, logprobs } => {
                let offset = self.offsets.get_or_default(*choice);
                if let Some(logprobs) = legacy_logprobs(logprobs, offset) {
                    self.choice(*choice, "", &logprobs, None, out);
                }
            }
            Event::Annotation { .. } => self.lost("annotations"),
            Event::PartEnd { choice, part } => {
                self.texts.remove(&(*choice, *part));
            }
            Event::Finish { choice, finish } => {
                let word = finish_word(finish, &mut self.drops);
                self.choice(*choice, "", &Value::Null, Some(word), out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failed(failed) => {
                self.over = true;
                sse::write_event(out, None, &error::encode_upstream(failed));
            }
            Event::End => self.end(out),
            Event::Delta { .. } | Event::Signature { .. } => {}
        }
    }

    /// What the dialect could not say so far.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    fn lost(&mut self, field: &'static str) {
        self.drops.push(field, "a text has no such part");
    }

    fn choice(
        &self,
        index: u32,
        text: &str,
        logprobs: &Value,
        finish: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let choice = json!([{
            "text": text, "index": index, "logprobs": logprobs, "finish_reason": finish,
        }]);
        self.chunk(&choice, None, out);
    }

    fn chunk(&self, choices: &Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = json!({
            "id": self.answered.id,
            "object": "text_completion",
            "created": self.answered.created,
            "model": self.model,
            "choices": choices,
        });
        if let (true, Some(fields)) = (self.include_usage, chunk.as_object_mut()) {
            fields.insert("usage".to_owned(), usage.unwrap_or(Value::Null));
        }
        sse::write_event(out, None, chunk.to_string().as_bytes());
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.include_usage
            && let Some(used) = &self.usage
        {
            self.chunk(&json!([]), Some(usage::encode(used)), out);
        }
        sse::write_event(out, None, b"[DONE]");
        self.over = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Finish;

    #[test]
    fn texts_flow_and_the_rest_is_named() {
        let answered = Answered {
            id: "cmpl-1".to_owned(),
            created: 7,
        };
        let mut encoder = StreamEncoder::new(answered, false);
        let mut out = Vec::new();
        let start = |part, kind| Event::PartStart {
            choice: 0,
            part,
            kind,
        };
        let delta = |part, text: &str| Event::Delta {
            choice: 0,
            part,
            text: text.to_owned(),
        };
        for event in [
            Event::Start {
                id: "x".to_owned(),
                model: "m".to_owned(),
                created: None,
            },
            start(0, PartKind::Thinking),
            delta(0, "hm"),
            Event::PartEnd { choice: 0, part: 0 },
            start(1, PartKind::Text),
            delta(1, "hi"),
            Event::PartEnd { choice: 0, part: 1 },
            Event::Finish {
                choice: 0,
                finish: Finish::Stop,
            },
            Event::End,
        ] {
            encoder.push(&event, &mut out);
        }
        let head =
            r#"{"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":"#;
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "data: {head}[{{\"text\":\"hi\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}}]}}\n\n\
                 data: {head}[{{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}}]}}\n\n\
                 data: [DONE]\n\n"
            )
        );
        assert_eq!(encoder.drops().as_slice()[0].field, "reasoning");
    }
}
