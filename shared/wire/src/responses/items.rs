//! A provider's output items, put together from pieces: says which part begins, grows and ends.
//!
//! Streams and whole answers both go through here, so both decode alike: a whole item is one of which nothing was
//! said before. Items are known by their place in the output; some providers change identifiers in mid-stream.

use serde_json::{Map, Value, json};

use super::proof::{BREAK, Kind, sign};
use super::{NAME, shape};
use crate::Drops;
use crate::anthropic::names::restore;
use crate::error::DecodeError;
use crate::model::{Event, PartKind};
use crate::openai::loose;
use sluice_units::{SortedMap, SortedSet};

/// The most items of one answer, and the most parts of one item.
const COUNT_MAX: usize = 4_096;

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Items {
    parts: u32,
    open: SortedMap<u32, Item>,
    done: SortedSet<u32>,
    called: bool,
    pub(super) drops: Drops,
}

#[derive(Debug)]
enum Item {
    Message(SortedMap<u32, Content>),
    Thought(Thinking),
    Call(Call),
}

/// One text or refusal of a message.
#[derive(Debug)]
struct Content {
    part: u32,
    said: bool,
    annotations: usize,
    logprobs: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct Thinking {
    part: Option<u32>,
    /// The texts in the order in which they came: kind, number, size.
    sections: Vec<(Kind, u32, usize)>,
    /// Breaks that come before the next text.
    breaks: usize,
}

#[derive(Debug)]
struct Call {
    part: u32,
    said: bool,
}

impl Items {
    /// Whether a function was called.
    pub(super) const fn called(&self) -> bool {
        self.called
    }

    /// An item begins.
    pub(super) fn added(
        &mut self,
        at: u32,
        item: &Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if !self.is_new(at)? {
            return Ok(());
        }
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        let begun = match text("type") {
            "message" => Item::Message(SortedMap::new()),
            "reasoning" => Item::Thought(Thinking::default()),
            "function_call" => {
                self.called = true;
                let part = self.begin(
                    PartKind::ToolCall {
                        id: text("call_id").to_owned(),
                        name: restore(text("name")).into_owned(),
                    },
                    events,
                );
                Item::Call(Call { part, said: false })
            }
            // Named when it is whole.
            _ => return Ok(()),
        };
        self.open.insert(at, begun);
        Ok(())
    }

    /// More text, or more of a refusal.
    pub(super) fn text(
        &mut self,
        at: u32,
        number: u32,
        kind: PartKind,
        text: String,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let Some(content) = self.content(at, number, kind, events)? else {
            return Ok(());
        };
        if !text.is_empty() && !content.ended {
            content.said = true;
            let part = content.part;
            events.push(delta(part, text));
        }
        Ok(())
    }

    /// A part of a message as it stands: it begins, or (`whole`) it is complete.
    pub(super) fn content_part(
        &mut self,
        at: u32,
        number: u32,
        fields: &mut Map<String, Value>,
        whole: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let word = loose::text(fields, "type").unwrap_or_default();
        let (kind, key) = match word.as_str() {
            "output_text" | "text" => (PartKind::Text, "text"),
            "refusal" => (PartKind::Refusal, "refusal"),
            // LM Studio's thoughts come as parts too (2026-01); their texts are said elsewhere.
            "reasoning_text" | "summary_text" => return Ok(()),
            other => {
                let field = format!("output[].content.{other}");
                self.drops
                    .push(field, "not a part that the gateway understands");
                return Ok(());
            }
        };
        let text = loose::text(fields, key).unwrap_or_default();
        let annotations = loose::array(fields, "annotations");
        let logprobs = loose::array(fields, "logprobs");
        let Some(content) = self.content(at, number, kind, events)? else {
            return Ok(());
        };
        if !whole || content.ended {
            return Ok(());
        }
        let (part, said) = (content.part, content.said);
        let fresh = annotations.into_iter().skip(content.annotations);
        let logprobs = (!content.logprobs).then_some(logprobs);
        content.ended = true;
        if !said && !text.is_empty() {
            events.push(delta(part, text));
        }
        events.extend(fresh.map(|found| annotation(part, found)));
        events.extend(logprobs.and_then(self::logprobs));
        events.push(Event::PartEnd { choice: 0, part });
        loose::note_rest(&mut self.drops, "output[].content[].", fields);
        Ok(())
    }

    /// A citation.
    pub(super) fn annotation(
        &mut self,
        at: u32,
        number: u32,
        found: Value,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if let Some(content) = self.content(at, number, PartKind::Text, events)?
            && !content.ended
        {
            content.annotations = content.annotations.saturating_add(1);
            let part = content.part;
            events.push(annotation(part, found));
        }
        Ok(())
    }

    /// Log-probabilities of the text that came last.
    pub(super) fn logprobs(
        &mut self,
        at: u32,
        number: u32,
        found: Vec<Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if let Some(content) = self.content(at, number, PartKind::Text, events)?
            && let Some(event) = logprobs(found)
        {
            content.logprobs = true;
            events.push(event);
        }
        Ok(())
    }

    /// A text of shown reasoning begins, or grows.
    pub(super) fn thought(
        &mut self,
        at: u32,
        kind: Kind,
        number: u32,
        text: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if self.is_new(at)? {
            self.open.insert(at, Item::Thought(Thinking::default()));
        }
        let Some(Item::Thought(thinking)) = self.open.get_mut(&at) else {
            return Ok(());
        };
        thinking.section(kind, number)?;
        let grown = thinking.grow(kind, number, text);
        if grown.is_empty() {
            return Ok(());
        }
        let begun = thinking.part;
        let part = begun.unwrap_or_else(|| self.begin(PartKind::Thinking, events));
        if let Some(Item::Thought(thinking)) = self.open.get_mut(&at) {
            thinking.part = Some(part);
        }
        events.push(delta(part, grown));
        Ok(())
    }

    /// More of a call's arguments.
    pub(super) fn arguments(&mut self, at: u32, text: String, events: &mut Vec<Event>) {
        if let Some(Item::Call(call)) = self.open.get_mut(&at)
            && !text.is_empty()
        {
            call.said = true;
            events.push(delta(call.part, text));
        }
    }

    /// An item is whole.
    pub(super) fn done(
        &mut self,
        at: u32,
        mut item: Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if self.done.contains(&at) {
            return Ok(());
        }
        self.added(at, &item, events)?;
        let kind = loose::text(&mut item, "type").unwrap_or_default();
        let id = loose::text(&mut item, "id").unwrap_or_default();
        match kind.as_str() {
            "message" => {
                for (number, part) in loose::array(&mut item, "content").into_iter().enumerate() {
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    if let Value::Object(mut part) = part {
                        self.content_part(at, number, &mut part, true, events)?;
                    }
                }
            }
            "reasoning" => self.thought_done(at, &id, &mut item, events)?,
            "function_call" => {
                let arguments = loose::text(&mut item, "arguments").unwrap_or_default();
                if let Some(Item::Call(call)) = self.open.get(&at)
                    && !call.said
                {
                    self.arguments(at, arguments, events);
                }
            }
            other => {
                let field = format!("output[].{other}");
                self.drops
                    .push(field, "not an item that the gateway understands");
                self.done.insert(at);
                return Ok(());
            }
        }
        for key in ["role", "status", "call_id", "name", "arguments", "content"] {
            item.shift_remove(key);
        }
        loose::note_rest(&mut self.drops, "output[].", &item);
        self.close(at, events);
        Ok(())
    }

    /// Ends every item.
    pub(super) fn end(&mut self, events: &mut Vec<Event>) {
        let open: Vec<u32> = self.open.keys().copied().collect();
        for at in open {
            self.close(at, events);
        }
    }

    fn thought_done(
        &mut self,
        at: u32,
        id: &str,
        item: &mut Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        for (kind, key) in [(Kind::Summary, "summary"), (Kind::Content, "content")] {
            for (number, text) in loose::array(item, key).into_iter().enumerate() {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let text = text.get("text").and_then(Value::as_str).unwrap_or_default();
                let heard = match self.open.get(&at) {
                    Some(Item::Thought(thinking)) => thinking.size(kind, number).unwrap_or(0),
                    _ => return Ok(()),
                };
                let rest = if heard == 0 { text } else { "" };
                self.thought(at, kind, number, rest, events)?;
            }
        }
        let encrypted = loose::some_text(item, "encrypted_content");
        let (Some(encrypted), Some(Item::Thought(thinking))) = (encrypted, self.open.get(&at))
        else {
            return Ok(());
        };
        let sections: Vec<(Kind, usize)> = thinking
            .sections
            .iter()
            .map(|(kind, _, bytes)| (*kind, *bytes))
            .collect();
        let proof = sign(id, &sections, &encrypted);
        match thinking.part {
            Some(part) => events.push(Event::Signature {
                choice: 0,
                part,
                signature: proof,
            }),
            None => {
                let part = self.begin(PartKind::RedactedThinking { data: proof }, events);
                events.push(Event::PartEnd { choice: 0, part });
            }
        }
        Ok(())
    }

    fn close(&mut self, at: u32, events: &mut Vec<Event>) {
        let end = |part| Event::PartEnd { choice: 0, part };
        match self.open.remove(&at) {
            Some(Item::Message(contents)) => events.extend(
                contents
                    .values()
                    .filter(|content| !content.ended)
                    .map(|content| end(content.part)),
            ),
            Some(Item::Thought(thinking)) => events.extend(thinking.part.map(end)),
            Some(Item::Call(call)) => events.push(end(call.part)),
            None => {}
        }
        self.done.insert(at);
    }

    /// Whether nothing was said of an item yet.
    fn is_new(&self, at: u32) -> Result<bool, DecodeError> {
        let new = !self.open.contains_key(&at) && !self.done.contains(&at);
        if new && self.open.len().saturating_add(self.done.len()) >= COUNT_MAX {
            return Err(shape_error("too many output items"));
        }
        Ok(new)
    }

    fn begin(&mut self, kind: PartKind, events: &mut Vec<Event>) -> u32 {
        let part = self.parts;
        self.parts = part.saturating_add(1);
        events.push(Event::PartStart {
            choice: 0,
            part,
            kind,
        });
        part
    }

    /// The text or refusal of that number, begun if it is new; `None` where there can be none.
    fn content(
        &mut self,
        at: u32,
        number: u32,
        kind: PartKind,
        events: &mut Vec<Event>,
    ) -> Result<Option<&mut Content>, DecodeError> {
        if self.is_new(at)? {
            self.open.insert(at, Item::Message(SortedMap::new()));
        }
        let known = match self.open.get(&at) {
            Some(Item::Message(contents)) if contents.len() >= COUNT_MAX => {
                return Err(shape_error("too many parts in one message"));
            }
            Some(Item::Message(contents)) => contents.contains_key(&number),
            _ => return Ok(None),
        };
        let begun = (!known).then(|| self.begin(kind, events));
        let Some(Item::Message(contents)) = self.open.get_mut(&at) else {
            return Ok(None);
        };
        if let Some(part) = begun {
            contents.insert(
                number,
                Content {
                    part,
                    said: false,
                    annotations: 0,
                    logprobs: false,
                    ended: false,
                },
            );
        }
        Ok(contents.get_mut(&number))
    }
}

impl Thinking {
    /// Begins a section, if it is new.
    fn section(&mut self, kind: Kind, number: u32) -> Result<(), DecodeError> {
        if self.size(kind, number).is_some() {
            return Ok(());
        }
        if self.sections.len() >= COUNT_MAX {
            return Err(shape_error("too many texts in one reasoning item"));
        }
        if !self.sections.is_empty() {
            self.breaks = self.breaks.saturating_add(1);
        }
        self.sections.push((kind, number, 0));
        Ok(())
    }

    fn size(&self, kind: Kind, number: u32) -> Option<usize> {
        self.sections
            .iter()
            .find(|(known, place, _)| (*known, *place) == (kind, number))
            .map(|(_, _, bytes)| *bytes)
    }

    /// The text to say: the breaks that are due, and what was added to the last section.
    fn grow(&mut self, kind: Kind, number: u32, text: &str) -> String {
        let mut grown = BREAK.repeat(std::mem::take(&mut self.breaks));
        // A text that grows after another one began would stand in the wrong place.
        if let Some((known, place, bytes)) = self.sections.last_mut()
            && (*known, *place) == (kind, number)
        {
            *bytes = bytes.saturating_add(text.len());
            grown.push_str(text);
        }
        grown
    }
}

fn delta(part: u32, text: String) -> Event {
    Event::Delta {
        choice: 0,
        part,
        text,
    }
}

fn annotation(part: u32, found: Value) -> Event {
    Event::Annotation {
        choice: 0,
        part,
        annotation: shape::citation_in(found),
    }
}

fn logprobs(found: Vec<Value>) -> Option<Event> {
    (!found.is_empty()).then(|| Event::Logprobs {
        choice: 0,
        logprobs: json!({"content": found}),
    })
}

/// "The answer is not what it should be."
pub(super) fn shape_error(detail: &str) -> DecodeError {
    DecodeError::Shape {
        dialect: NAME,
        detail: detail.to_owned(),
    }
}
