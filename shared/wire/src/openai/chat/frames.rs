//! A streamed answer for a caller: `chat.completion.chunk`s.
//!
//! Writes straight into the caller's bytes; keeps only what later events need.
//! Thoughts go out as `reasoning_content`; a block that can be sent back (signed or redacted) follows whole,
//! once, as `thinking_blocks` with an index, as OpenAI's own SDKs expect of lists in deltas.

use serde::Serialize;
use serde_json::{Value, json};

use super::Answered;
use super::answer::{note_annotation, note_media, signed, whole_logprobs};
use crate::citations::Cited;
use crate::model::{Event, Finish, PartKind, Usage};
use crate::openai::{error, finish, usage};
use crate::{Drops, kinds, sse};
use sluice_units::SortedMap;

/// The longest thoughts that are kept for a signed block, in bytes. Longer ones are shown but cannot come back.
const THOUGHT_BYTES_MAX: usize = 4 << 20;

/// Writes a streamed answer for a caller.
#[derive(Debug)]
pub struct StreamEncoder {
    answered: Answered,
    include_usage: bool,
    head: Vec<u8>,
    choices: SortedMap<u32, Choice>,
    usage: Option<Usage>,
    over: bool,
    drops: Drops,
}

#[derive(Debug, Default)]
struct Choice {
    greeted: bool,
    calls: u32,
    blocks: u32,
    cited: Cited,
    parts: SortedMap<u32, Part>,
}

#[derive(Debug)]
enum Part {
    Text,
    Refusal,
    Thinking { text: String },
    Call { index: u32, has_arguments: bool },
}

impl StreamEncoder {
    /// An encoder at the start of an answer. `include_usage`: the caller asked for the usage chunk.
    #[must_use]
    pub fn new(answered: Answered, include_usage: bool) -> Self {
        let mut encoder = Self {
            answered,
            include_usage,
            head: Vec::new(),
            choices: SortedMap::new(),
            usage: None,
            over: false,
            drops: Drops::new(),
        };
        encoder.write_head("", "", None);
        encoder
    }

    /// Appends what the caller gets for this event. After [`Event::End`] or [`Event::Failed`] nothing more is written.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, created } => self.write_head(id, model, *created),
            Event::PartStart { choice, part, kind } => self.part_start(*choice, *part, kind, out),
            Event::Delta { choice, part, text } => self.delta(*choice, *part, text, out),
            Event::Signature {
                choice,
                part,
                signature,
            } => self.signature(*choice, *part, signature, out),
            Event::Annotation {
                choice,
                part,
                annotation,
            } => {
                let choice = self.choices.get_or_default(*choice);
                if !choice.cited.annotate(*part, annotation) {
                    note_annotation(&mut self.drops);
                }
            }
            Event::Logprobs { choice, logprobs } => {
                let logprobs = whole_logprobs(logprobs.clone());
                self.chunk(*choice, b"", Some(&logprobs), None, out);
            }
            Event::PartEnd { choice, part } => self.part_end(*choice, *part, out),
            Event::Finish { choice, finish } => self.finish(*choice, finish, out),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failed(failed) => {
                self.over = true;
                sse::write_event(out, None, &error::encode_upstream(failed));
            }
            Event::End => self.end(out),
        }
    }

    /// What the dialect could not say so far.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    fn write_head(&mut self, id: &str, model: &str, created: Option<i64>) {
        let pick = |own: &str, other: &str| if own.is_empty() { other } else { own }.to_owned();
        let mut head = b"{\"id\":".to_vec();
        write_json(&mut head, &pick(id, &self.answered.id));
        head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        write_json(&mut head, &created.unwrap_or(self.answered.created));
        head.extend_from_slice(b",\"model\":");
        write_json(&mut head, &pick(&self.answered.model, model));
        self.head = head;
    }

    /// Writes one chunk. `delta` is the inside of the delta object.
    fn chunk(
        &mut self,
        index: u32,
        delta: &[u8],
        logprobs: Option<&Value>,
        finish: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let choice = self.choices.get_or_default(index);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"choices\":[{\"index\":");
        write_json(out, &index);
        out.extend_from_slice(b",\"delta\":{");
        if !choice.greeted {
            choice.greeted = true;
            out.extend_from_slice(b"\"role\":\"assistant\"");
            if !delta.is_empty() {
                out.push(b',');
            }
        }
        out.extend_from_slice(delta);
        out.push(b'}');
        if let Some(logprobs) = logprobs {
            out.extend_from_slice(b",\"logprobs\":");
            write_json(out, logprobs);
        }
        out.extend_from_slice(b",\"finish_reason\":");
        write_json(out, &finish);
        out.extend_from_slice(b"}]");
        if self.include_usage {
            out.extend_from_slice(b",\"usage\":null");
        }
        out.extend_from_slice(b"}\n\n");
    }

    fn part_start(&mut self, index: u32, part: u32, kind: &PartKind, out: &mut Vec<u8>) {
        let choice = self.choices.get_or_default(index);
        let (state, delta) = match kind {
            PartKind::Text => (Part::Text, None),
            PartKind::Refusal => (Part::Refusal, None),
            PartKind::Thinking => (
                Part::Thinking {
                    text: String::new(),
                },
                None,
            ),
            PartKind::Media { .. } => return note_media(&mut self.drops),
            PartKind::RedactedThinking { data } => {
                let block = json!([{
                    "index": choice.blocks,
                    "type": "redacted_thinking",
                    "data": data,
                }]);
                choice.blocks = choice.blocks.saturating_add(1);
                // Whole already: nothing follows that needs the part.
                let delta = field("thinking_blocks", &block);
                self.chunk(index, &delta, None, None, out);
                return;
            }
            PartKind::ToolCall { id, name } => {
                let number = choice.calls;
                choice.calls = number.saturating_add(1);
                let id = if id.is_empty() {
                    self.answered.call_id(index, number)
                } else {
                    id.clone()
                };
                let call = json!([{
                    "index": number,
                    "id": id,
                    "type": "function",
                    "function": {"name": name, "arguments": ""},
                }]);
                let state = Part::Call {
                    index: number,
                    has_arguments: false,
                };
                (state, Some(field("tool_calls", &call)))
            }
        };
        choice.parts.insert(part, state);
        if let Some(delta) = delta {
            self.chunk(index, &delta, None, None, out);
        }
    }

    fn delta(&mut self, index: u32, part: u32, text: &str, out: &mut Vec<u8>) {
        let choice = self.choices.get_or_default(index);
        let delta = match choice.parts.get_mut(&part) {
            Some(Part::Text) => {
                choice.cited.append(part, text);
                field("content", text)
            }
            Some(Part::Refusal) => field("refusal", text),
            Some(Part::Thinking { text: all }) => {
                if all.len().saturating_add(text.len()) <= THOUGHT_BYTES_MAX {
                    all.push_str(text);
                } else {
                    self.drops
                        .push("thinking_blocks", "the thoughts are too long to keep");
                }
                field("reasoning_content", text)
            }
            Some(Part::Call {
                index,
                has_arguments,
            }) => {
                *has_arguments = true;
                arguments(*index, text)
            }
            None => return,
        };
        self.chunk(index, &delta, None, None, out);
    }

    fn signature(&mut self, index: u32, part: u32, signature: &str, out: &mut Vec<u8>) {
        let choice = self.choices.get_or_default(index);
        let delta = match choice.parts.get_mut(&part) {
            Some(Part::Thinking { text }) => {
                let number = choice.blocks;
                choice.blocks = number.saturating_add(1);
                let block = json!([{
                    "index": number,
                    "type": "thinking",
                    "thinking": std::mem::take(text),
                    "signature": signature,
                }]);
                field("thinking_blocks", &block)
            }
            Some(Part::Call { index, .. }) => {
                // Clients look for `function` in every piece of a call.
                let call = json!([{
                    "index": index,
                    "function": {"arguments": ""},
                    "extra_content": signed(signature),
                }]);
                field("tool_calls", &call)
            }
            _ => {
                self.drops
                    .push("signature", "openai has no place for signed text");
                return;
            }
        };
        self.chunk(index, &delta, None, None, out);
    }

    fn part_end(&mut self, index: u32, part: u32, out: &mut Vec<u8>) {
        let choice = self.choices.get_or_default(index);
        if let Some(Part::Call {
            index: number,
            has_arguments: false,
        }) = choice.parts.remove(&part)
        {
            let delta = arguments(number, "{}");
            self.chunk(index, &delta, None, None, out);
        }
    }

    fn finish(&mut self, index: u32, said: &Finish, out: &mut Vec<u8>) {
        let word = finish::encode(said, &mut self.drops);
        let choice = self.choices.get_or_default(index);
        let found = std::mem::take(&mut choice.cited).for_chat();
        let delta = if !found.is_empty() {
            field("annotations", &found)
        } else if choice.greeted {
            Vec::new()
        } else {
            field("content", "")
        };
        self.chunk(index, &delta, None, Some(word), out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        kinds::note(self.usage.as_ref(), &kinds::OPENAI, &mut self.drops);
        if let (true, Some(used)) = (self.include_usage, &self.usage) {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b",\"choices\":[],\"usage\":");
            write_json(out, &usage::encode(used));
            out.extend_from_slice(b"}\n\n");
        }
        sse::write_event(out, None, b"[DONE]");
    }
}

/// `"key":value`.
fn field(key: &str, value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let mut delta = Vec::with_capacity(64);
    write_json(&mut delta, key);
    delta.push(b':');
    write_json(&mut delta, value);
    delta
}

fn arguments(index: u32, text: &str) -> Vec<u8> {
    let mut delta = b"\"tool_calls\":[{\"index\":".to_vec();
    write_json(&mut delta, &index);
    delta.extend_from_slice(b",\"function\":{\"arguments\":");
    write_json(&mut delta, text);
    delta.extend_from_slice(b"}}]");
    delta
}

/// Appends a value as JSON. Texts, numbers and JSON values cannot fail to be written to memory.
fn write_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "a plain value can be written");
}
