//! The conversation: from the caller's turns to `system` and strictly alternating user and assistant turns.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::blocks::{Block, Input, Turn, TurnRole};
use super::names::{CallIds, legal};
use super::{cannot, source};
use crate::Drops;
use crate::error::EncodeError;
use crate::model::{Message, Part, Role, Source};

/// What the user says where the conversation would begin with the assistant, which Messages refuses.
pub(crate) const OPENING: &str = "(The conversation begins with the assistant.)";

/// The conversation as Messages takes it.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
    /// The functions that were called.
    pub(super) called: BTreeSet<&'a str>,
    /// A file is named that was uploaded before.
    pub(super) has_files: bool,
}

/// Rewrites the caller's turns.
///
/// # Errors
/// When something cannot be said that must not be left out, or nothing remains.
pub(super) fn conversation<'a>(
    messages: &'a [Message],
    drops: &mut Drops,
) -> Result<Conversation<'a>, EncodeError> {
    let mut writer = Writer {
        out: Conversation::default(),
        ids: CallIds::default(),
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
    drops: &'d mut Drops,
}

impl<'a> Writer<'a, '_> {
    fn message(&mut self, message: &'a Message, index: usize) -> Result<(), EncodeError> {
        if message.name.is_some() {
            self.drops.push(
                format!("messages[{index}].name"),
                "not supported by anthropic",
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
            content.extend(self.block(part, role, &field)?);
        }
        match self.out.turns.last_mut() {
            _ if content.is_empty() => {}
            Some(turn) if turn.role == role => {
                turn.content.append(&mut content);
                turn.from = index;
            }
            _ => self.out.turns.push(Turn {
                role,
                content,
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
            match part {
                Part::Text { .. } => {
                    let block = self.block(part, TurnRole::User, &field)?;
                    self.out.system.extend(block);
                }
                _ => return Err(cannot(field, "instructions must be text")),
            }
        }
        Ok(())
    }

    fn block(
        &mut self,
        part: &'a Part,
        role: TurnRole,
        field: &str,
    ) -> Result<Option<Block<'a>>, EncodeError> {
        let block = match part {
            Part::Text {
                text,
                cache,
                annotations,
            } => {
                if text.trim().is_empty() {
                    if !text.is_empty() || cache.is_some() {
                        self.drops
                            .push(field.to_owned(), "blank text is not accepted");
                    }
                    return Ok(None);
                }
                Block::Text {
                    text: Cow::Borrowed(text),
                    citations: self.citations(annotations, field),
                    cache_control: cache.map(Into::into),
                }
            }
            Part::Refusal { text } => {
                self.drops
                    .push(field.to_owned(), "a refusal is sent as plain text");
                if text.trim().is_empty() {
                    return Ok(None);
                }
                plain(text)
            }
            Part::Image {
                source,
                detail,
                cache,
            } => {
                if detail.as_deref().is_some_and(|detail| detail != "auto") {
                    self.drops
                        .push(format!("{field}.detail"), "not supported by anthropic");
                }
                self.out.has_files |= matches!(source, Source::FileId(_));
                Block::Image {
                    source: source::image(source, field)?,
                    cache_control: cache.map(Into::into),
                }
            }
            Part::Document {
                source,
                name,
                cache,
            } => {
                self.out.has_files |= matches!(source, Source::FileId(_));
                Block::Document {
                    source: source::document(source, field)?,
                    title: name.as_deref(),
                    cache_control: cache.map(Into::into),
                }
            }
            Part::Audio { .. } => return Err(cannot(field, "the dialect has no audio")),
            Part::ToolCall { .. } | Part::ToolResult { .. } => {
                self.tool_block(part, role, field)?
            }
            Part::Thinking { .. } | Part::RedactedThinking { .. } => {
                return Ok(self.thought(part, role, field));
            }
        };
        Ok(Some(block))
    }

    fn tool_block(
        &mut self,
        part: &'a Part,
        role: TurnRole,
        field: &str,
    ) -> Result<Block<'a>, EncodeError> {
        match (part, role) {
            (
                Part::ToolCall {
                    id,
                    name,
                    arguments,
                    signature,
                    cache,
                },
                TurnRole::Assistant,
            ) => {
                if signature.is_some() {
                    self.drops.push(
                        format!("{field}.signature"),
                        "another provider's proof is not sent",
                    );
                }
                self.out.called.insert(name);
                Ok(Block::ToolUse {
                    id: self.ids.call(id),
                    name: legal(name),
                    input: self.input(arguments, field),
                    cache_control: cache.map(Into::into),
                })
            }
            (
                Part::ToolResult {
                    id,
                    parts,
                    is_error,
                    cache,
                    name: _,
                },
                TurnRole::User,
            ) => {
                let mut content = Vec::with_capacity(parts.len());
                for (at, part) in parts.iter().enumerate() {
                    let field = format!("{field}.content[{at}]");
                    if matches!(part, Part::ToolCall { .. } | Part::ToolResult { .. }) {
                        return Err(cannot(
                            field,
                            "a result holds text, pictures and documents only",
                        ));
                    }
                    content.extend(self.block(part, role, &field)?);
                }
                Ok(Block::ToolResult {
                    tool_use_id: self.ids.result(id),
                    content,
                    is_error: *is_error,
                    cache_control: cache.map(Into::into),
                })
            }
            _ => Err(cannot(
                field,
                "calls belong to the assistant, results to the user",
            )),
        }
    }

    fn input(&mut self, arguments: &'a str, field: &str) -> Input<'a> {
        let (input, wrapped) = Input::of(arguments);
        if wrapped {
            self.drops.push(
                format!("{field}.arguments"),
                "not a JSON object; sent inside of one",
            );
        }
        input
    }

    fn thought(&mut self, part: &'a Part, role: TurnRole, field: &str) -> Option<Block<'a>> {
        let reason = match part {
            _ if role == TurnRole::User => "thoughts belong to the assistant",
            Part::Thinking {
                signature: Some(proof),
                ..
            }
            | Part::RedactedThinking { data: proof }
                if is_foreign(proof) =>
            {
                "the signature is another provider's"
            }
            Part::Thinking {
                text,
                signature: Some(signature),
            } => {
                return Some(Block::Thinking {
                    thinking: text,
                    signature,
                });
            }
            Part::RedactedThinking { data } => return Some(Block::RedactedThinking { data }),
            _ => "thoughts without a signature are not accepted",
        };
        self.drops.push(field.to_owned(), reason);
        None
    }

    /// Annotations in this dialect's own shape go back as citations.
    fn citations(&mut self, annotations: &[Value], field: &str) -> Vec<Value> {
        let mut citations = Vec::new();
        for annotation in annotations {
            let kind = annotation.get("type").and_then(Value::as_str);
            if kind.is_some_and(|kind| kind.ends_with("_location")) {
                let mut citation = annotation.clone();
                if let Some(fields) = citation.as_object_mut() {
                    // A part of answers' citations that the schema of requests does not have.
                    fields.shift_remove("file_id");
                }
                citations.push(citation);
            } else {
                self.drops
                    .push(format!("{field}.annotations"), "not supported by anthropic");
            }
        }
        citations
    }

    fn finish(mut self) -> Result<Conversation<'a>, EncodeError> {
        for turn in &mut self.out.turns {
            match turn.role {
                TurnRole::User => results_first(&mut turn.content),
                TurnRole::Assistant => {
                    while turn.content.last().is_some_and(Block::is_thinking) {
                        turn.content.pop();
                        self.drops.push(
                            place(turn.from),
                            "an assistant's turn may not end with its thoughts",
                        );
                    }
                }
            }
        }
        self.trim_prefill();
        self.out.turns.retain(|turn| !turn.content.is_empty());
        if self.out.turns.is_empty() && !self.out.system.is_empty() {
            self.drops
                .push("messages", "instructions alone are sent as the user's turn");
            let content = std::mem::take(&mut self.out.system);
            self.out.turns.push(Turn {
                role: TurnRole::User,
                content,
                from: 0,
            });
        }
        match self.out.turns.first() {
            None => return Err(cannot("messages", "nothing is said in them")),
            Some(turn) if turn.role == TurnRole::Assistant => {
                self.drops.push(
                    place(turn.from),
                    "a user's turn was put before the assistant's first",
                );
                let opening = Turn {
                    role: TurnRole::User,
                    content: vec![plain(OPENING)],
                    from: 0,
                };
                self.out.turns.insert(0, opening);
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
        if turn.role != TurnRole::Assistant {
            return;
        }
        if let Some(Block::Text { text, .. }) = turn.content.last_mut() {
            let trimmed = text.trim_end().len();
            if trimmed < text.len() {
                self.drops
                    .push(place(turn.from), "white space at the very end was removed");
                // The length is a character border: `trim_end` found it.
                *text = Cow::Owned(text.get(..trimmed).unwrap_or_default().to_owned());
            }
        }
    }
}

/// Anthropic's proofs are bare base64, which holds no colon; the proofs of others carry their owner's name and one.
pub(crate) fn is_foreign(proof: &str) -> bool {
    proof.contains(':')
}

fn place(message: usize) -> String {
    format!("messages[{message}]")
}

/// Messages wants the results of calls before anything else that the user says.
fn results_first(content: &mut [Block<'_>]) {
    content.sort_by_key(|block| !matches!(block, Block::ToolResult { .. }));
}

fn plain(text: &str) -> Block<'_> {
    Block::Text {
        text: Cow::Borrowed(text),
        citations: Vec::new(),
        cache_control: None,
    }
}
