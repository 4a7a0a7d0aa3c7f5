//! The conversation: from the caller's turns to `system` and strictly alternating user and assistant turns.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::blocks::{Block, Content, Entry, Thought, Turn, TurnRole};
use super::family::Family;
use super::media::{self, DocumentNames};
use super::{cannot, names, reasoning};
use crate::Drops;
use crate::anthropic::blocks::Input;
use crate::anthropic::names::CallIds;
use crate::anthropic::turns::{OPENING, is_foreign};
use crate::error::EncodeError;
use crate::model::{CacheMark, Message, Part, Role};

/// What stands beside a document where the user says nothing: Converse wants a text there.
const BESIDE_DOCUMENT: &str = "(See the document.)";

/// What stands for a result that is empty: Converse takes neither blank text nor, from every model, no content.
const EMPTY_RESULT: &str = "(empty)";

/// The conversation as Converse takes it.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Content<'a>,
    pub(super) turns: Vec<Turn<'a>>,
    /// The functions that were called.
    pub(super) called: BTreeSet<&'a str>,
    /// There are calls or results.
    pub(super) has_calls: bool,
}

impl Conversation<'_> {
    /// With a budget, an assistant's turn that is to be continued must begin with its thoughts.
    pub(super) fn allows_thinking(&self) -> bool {
        let Some((last, before)) = self.turns.split_last() else {
            return true;
        };
        let first = |turn: &Turn<'_>, is: fn(&Block<'_>) -> bool| {
            turn.content.0.first().is_some_and(|entry| is(&entry.block))
        };
        match last.role {
            TurnRole::Assistant => first(last, |block| block.is_thought()),
            TurnRole::User => {
                !first(last, |block| matches!(block, Block::ToolResult { .. }))
                    || before
                        .last()
                        .is_none_or(|turn| first(turn, |block| block.is_thought()))
            }
        }
    }
}

/// Rewrites the caller's turns.
///
/// # Errors
/// When something cannot be said that must not be left out, or nothing remains.
pub(super) fn conversation<'a>(
    messages: &'a [Message],
    family: Family,
    drops: &mut Drops,
) -> Result<Conversation<'a>, EncodeError> {
    let mut writer = Writer {
        out: Conversation::default(),
        ids: CallIds::default(),
        documents: DocumentNames::default(),
        family,
        drops,
    };
    for (index, message) in messages.iter().enumerate() {
        writer.message(message, index)?;
    }
    writer.finish()
}

struct Writer<'a, 'd> {
    out: Conversation<'a>,
    ids: CallIds<'a>,
    documents: DocumentNames,
    family: Family,
    drops: &'d mut Drops,
}

impl<'a> Writer<'a, '_> {
    fn message(&mut self, message: &'a Message, index: usize) -> Result<(), EncodeError> {
        if message.name.is_some() {
            self.drops.push(
                format!("messages[{index}].name"),
                "not supported by bedrock",
            );
        }
        let role = match message.role {
            Role::System | Role::Developer => return self.system(message, index),
            Role::User | Role::Tool => TurnRole::User,
            Role::Assistant => TurnRole::Assistant,
        };
        let mut content = Vec::with_capacity(message.parts.len());
        for (at, part) in message.parts.iter().enumerate() {
            let field = format!("messages[{index}].content[{at}]");
            content.extend(self.entry(part, role, &field)?);
        }
        match self.out.turns.last_mut() {
            _ if content.is_empty() => {}
            Some(turn) if turn.role == role => {
                turn.content.0.append(&mut content);
                turn.from = index;
            }
            _ => self.out.turns.push(Turn {
                role,
                content: Content(content),
                from: index,
            }),
        }
        Ok(())
    }

    fn system(&mut self, message: &'a Message, index: usize) -> Result<(), EncodeError> {
        if !self.out.turns.is_empty() {
            self.drops.push(
                format!("messages[{index}]"),
                "instructions in mid-conversation are moved to its beginning",
            );
        }
        for (at, part) in message.parts.iter().enumerate() {
            let field = format!("messages[{index}].content[{at}]");
            if !matches!(part, Part::Text { .. }) {
                return Err(cannot(field, "instructions must be text"));
            }
            let entry = self.entry(part, TurnRole::User, &field)?;
            self.out.system.0.extend(entry);
        }
        Ok(())
    }

    /// The mark, where the model has a prompt cache.
    fn mark(&mut self, cache: Option<CacheMark>, field: &str) -> Option<CacheMark> {
        if cache.is_some() && !self.family.has_cache() {
            self.drops.push(
                format!("{field}.cache_control"),
                "the model has no prompt cache",
            );
            return None;
        }
        cache
    }

    fn text(&mut self, text: &'a str, field: &str) -> Option<Block<'a>> {
        if text.trim().is_empty() {
            if !text.is_empty() {
                self.drops
                    .push(field.to_owned(), "blank text is not accepted");
            }
            return None;
        }
        Some(Block::Text(Cow::Borrowed(text)))
    }

    fn entry(
        &mut self,
        part: &'a Part,
        role: TurnRole,
        field: &str,
    ) -> Result<Option<Entry<'a>>, EncodeError> {
        let (block, cache) = match part {
            Part::ToolCall { cache, .. } => (Some(self.call(part, role, field)?), *cache),
            Part::ToolResult { parts, cache, .. } => {
                let inner = parts.iter().rev().find_map(Part::cache);
                (Some(self.result(part, role, field)?), cache.or(inner))
            }
            Part::Thinking { .. } | Part::RedactedThinking { .. } => {
                (self.thought(part, role, field), None)
            }
            _ => (self.said(part, field)?, part.cache()),
        };
        let cache = self.mark(cache, field);
        let Some(block) = block else {
            if cache.is_some() {
                self.drops
                    .push(field.to_owned(), "blank text is not accepted");
            }
            return Ok(None);
        };
        Ok(Some(Entry { block, cache }))
    }

    /// What may stand in a turn and in a result.
    fn said(&mut self, part: &'a Part, field: &str) -> Result<Option<Block<'a>>, EncodeError> {
        Ok(match part {
            Part::Text {
                text, annotations, ..
            } => {
                let block = self.text(text, field);
                let citations = self.citations(annotations, field);
                match block {
                    Some(block) if !citations.is_empty() => Some(Block::CitationsContent {
                        content: vec![block],
                        citations,
                    }),
                    block => block,
                }
            }
            Part::Refusal { text } => {
                self.drops
                    .push(field.to_owned(), "a refusal is sent as plain text");
                self.text(text, field)
            }
            Part::Image { source, detail, .. } => {
                if detail.as_deref().is_some_and(|detail| detail != "auto") {
                    self.drops
                        .push(format!("{field}.detail"), "not supported by bedrock");
                }
                Some(Block::Image(media::image(source, field)?))
            }
            Part::Audio { source, .. } => Some(Block::Audio(media::audio(source, field)?)),
            Part::Document { source, name, .. } => {
                let (format, source) = media::document(source, name.as_deref(), field)?;
                let (name, is_changed) = self.documents.name(name.as_deref());
                if is_changed {
                    self.drops.push(
                        format!("{field}.filename"),
                        "characters that bedrock's names may not hold were replaced",
                    );
                }
                Some(Block::Document {
                    format,
                    name,
                    source,
                })
            }
            _ => {
                return Err(cannot(
                    field,
                    "a result holds text, pictures and documents only",
                ));
            }
        })
    }

    fn call(
        &mut self,
        part: &'a Part,
        role: TurnRole,
        field: &str,
    ) -> Result<Block<'a>, EncodeError> {
        let (
            Part::ToolCall {
                id,
                name,
                arguments,
                signature,
                ..
            },
            TurnRole::Assistant,
        ) = (part, role)
        else {
            return Err(cannot(field, "calls belong to the assistant"));
        };
        if signature.is_some() {
            self.drops.push(
                format!("{field}.signature"),
                "another provider's proof is not sent",
            );
        }
        let (input, is_wrapped) = Input::of(arguments);
        if is_wrapped {
            self.drops.push(
                format!("{field}.arguments"),
                "not a JSON object; sent inside of one",
            );
        }
        self.out.called.insert(name);
        self.out.has_calls = true;
        Ok(Block::ToolUse {
            tool_use_id: names::bounded_id(self.ids.call(id)),
            name: names::function(name, &format!("{field}.name"))?,
            input,
        })
    }

    fn result(
        &mut self,
        part: &'a Part,
        role: TurnRole,
        field: &str,
    ) -> Result<Block<'a>, EncodeError> {
        let (
            Part::ToolResult {
                id,
                parts,
                is_error,
                ..
            },
            TurnRole::User,
        ) = (part, role)
        else {
            return Err(cannot(field, "results belong to the user"));
        };
        let mut content = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let field = format!("{field}.content[{at}]");
            if matches!(part, Part::Audio { .. }) {
                return Err(cannot(field, "a result holds no sound"));
            }
            let block = self.said(part, &field)?;
            // A result holds no citations, only what they stand on.
            content.extend(block.map(|block| {
                match block {
                    Block::CitationsContent { mut content, .. } => content
                        .pop()
                        .unwrap_or(Block::Text(Cow::Borrowed(EMPTY_RESULT))),
                    block => block,
                }
            }));
        }
        if content.is_empty() {
            content.push(Block::Text(Cow::Borrowed(EMPTY_RESULT)));
        }
        self.out.has_calls = true;
        Ok(Block::ToolResult {
            tool_use_id: names::bounded_id(self.ids.result(id)),
            content,
            status: is_error.then_some("error"),
        })
    }

    fn thought(&mut self, part: &'a Part, role: TurnRole, field: &str) -> Option<Block<'a>> {
        let reason = match part {
            _ if role == TurnRole::User => "thoughts belong to the assistant",
            Part::Thinking {
                text,
                signature: Some(signature),
            } if !is_foreign(signature) => {
                return Some(Block::ReasoningContent(Thought::ReasoningText {
                    text,
                    signature,
                }));
            }
            Part::RedactedThinking { data } => match reasoning::own_redacted(data) {
                Some(content) => {
                    return Some(Block::ReasoningContent(Thought::RedactedContent(content)));
                }
                None => "the encrypted reasoning is another provider's",
            },
            Part::Thinking {
                signature: Some(_), ..
            } => "the signature is another provider's",
            _ => "thoughts without a signature are not accepted",
        };
        self.drops.push(field.to_owned(), reason);
        None
    }

    /// Annotations in this dialect's own shape go back as citations.
    fn citations(&mut self, annotations: &[Value], field: &str) -> Vec<Value> {
        let is_own = |annotation: &Value| {
            annotation.get("type").is_none()
                && ["location", "sourceContent"]
                    .iter()
                    .any(|key| annotation.get(key).is_some())
        };
        if !annotations.iter().all(is_own) {
            self.drops
                .push(format!("{field}.annotations"), "not supported by bedrock");
        }
        annotations
            .iter()
            .filter(|one| is_own(one))
            .cloned()
            .collect()
    }

    fn finish(mut self) -> Result<Conversation<'a>, EncodeError> {
        for turn in &mut self.out.turns {
            let content = &mut turn.content.0;
            match turn.role {
                // Converse wants the results of calls before anything else that the user says.
                TurnRole::User => {
                    content.sort_by_key(|entry| !matches!(entry.block, Block::ToolResult { .. }));
                    beside_documents(content, turn.from, self.drops);
                }
                TurnRole::Assistant => {
                    while content.last().is_some_and(|entry| entry.block.is_thought()) {
                        content.pop();
                        self.drops.push(
                            place(turn.from),
                            "an assistant's turn may not end with its thoughts",
                        );
                    }
                }
            }
        }
        self.out.turns.retain(|turn| !turn.content.is_empty());
        self.trim_prefill();
        if self.out.turns.is_empty() && !self.out.system.is_empty() {
            self.drops
                .push("messages", "instructions alone are sent as the user's turn");
            let content = std::mem::take(&mut self.out.system);
            self.out.turns.push(user(content));
        }
        match self.out.turns.first() {
            None => return Err(cannot("messages", "nothing is said in them")),
            Some(turn) if turn.role == TurnRole::Assistant => {
                self.drops.push(
                    place(turn.from),
                    "a user's turn was put before the assistant's first",
                );
                self.out
                    .turns
                    .insert(0, user(Content(vec![plain(OPENING)])));
            }
            Some(_) => {}
        }
        Ok(self.out)
    }

    /// The text that the answer is to continue may not end with white space.
    fn trim_prefill(&mut self) {
        let Some(turn) = self.out.turns.last_mut() else {
            return;
        };
        let Some(Entry {
            block: Block::Text(text),
            ..
        }) = turn.content.0.last_mut()
        else {
            return;
        };
        let trimmed = text.trim_end();
        if turn.role == TurnRole::Assistant && trimmed.len() < text.len() {
            let trimmed = trimmed.to_owned();
            *text = Cow::Owned(trimmed);
            self.drops
                .push(place(turn.from), "white space at the very end was removed");
        }
    }
}

/// A turn with a document must hold a text too.
fn beside_documents(content: &mut Vec<Entry<'_>>, from: usize, drops: &mut Drops) {
    let has = |is: fn(&Block<'_>) -> bool| content.iter().any(|entry| is(&entry.block));
    let is_text =
        |block: &Block<'_>| matches!(block, Block::Text(_) | Block::CitationsContent { .. });
    if has(|block| matches!(block, Block::Document { .. })) && !has(is_text) {
        drops.push(place(from), "a text was put beside the document");
        content.push(plain(BESIDE_DOCUMENT));
    }
}

const fn user(content: Content<'_>) -> Turn<'_> {
    Turn {
        role: TurnRole::User,
        content,
        from: 0,
    }
}

/// An entry of plain text.
pub(super) const fn plain(text: &str) -> Entry<'_> {
    Entry {
        block: Block::Text(Cow::Borrowed(text)),
        cache: None,
    }
}

fn place(message: usize) -> String {
    format!("messages[{message}]")
}
