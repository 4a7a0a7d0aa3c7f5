//! The conversation, turn by turn.
//!
//! Cohere takes one result in each `tool` turn, text only; pictures of a result go to the user's turn after it.
//! Blank texts are refused and left out.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use super::{PLAN, UNSUPPORTED, cannot, names};
use crate::Drops;
use crate::anthropic::names::CallIds;
use crate::anthropic::source::{Located, located};
use crate::error::EncodeError;
use crate::gemini::base64;
use crate::model::{Message, Part, Role, Source};

/// What stands for a result that is empty.
const EMPTY_RESULT: &str = "(empty)";

/// One turn.
#[derive(Debug, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(super) enum Turn<'a> {
    System {
        content: Content<'a>,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        #[serde(skip_serializing_if = "Content::is_empty")]
        content: Content<'a>,
        #[serde(skip_serializing_if = "String::is_empty")]
        tool_plan: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Value>,
    },
    Tool {
        tool_call_id: Cow<'a, str>,
        content: Content<'a>,
    },
}

/// Blocks; one text alone is a string.
#[derive(Debug, Default)]
pub(super) struct Content<'a>(Vec<Block<'a>>);

impl Content<'_> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Content<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [Block::Text { text }] => text.serialize(serializer),
            blocks => blocks.serialize(serializer),
        }
    }
}

/// A piece of a turn.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: Cow<'a, str> },
    Thinking { thinking: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Debug, Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// A call of a function.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
}

/// Rewrites the caller's turns.
///
/// # Errors
/// When something cannot be said that must not be left out, or nothing remains.
pub(super) fn turns<'a>(
    messages: &'a [Message],
    drops: &mut Drops,
) -> Result<Vec<Turn<'a>>, EncodeError> {
    let mut writer = Writer {
        turns: Vec::with_capacity(messages.len()),
        beside: Vec::new(),
        ids: CallIds::default(),
        drops,
    };
    for (index, message) in messages.iter().enumerate() {
        let has_results = message
            .parts
            .iter()
            .any(|part| matches!(part, Part::ToolResult { .. }));
        if !has_results {
            writer.beside_results();
        }
        writer.message(message, index)?;
    }
    writer.beside_results();
    let is_answer = |turn: &mut Turn<'_>| matches!(turn, Turn::Assistant { tool_calls, .. } if tool_calls.is_empty());
    if writer.turns.pop_if(is_answer).is_some() {
        let last = messages.len().saturating_sub(1);
        let reason = "cohere goes on from no beginning of an answer";
        writer.drops.push(format!("messages[{last}]"), reason);
    }
    if writer.turns.is_empty() {
        return Err(cannot("messages", "nothing is said in them"));
    }
    Ok(writer.turns)
}

struct Writer<'a, 'd> {
    turns: Vec<Turn<'a>>,
    /// Pictures of results, until all results of the turn are said.
    beside: Vec<Block<'a>>,
    ids: CallIds<'a>,
    drops: &'d mut Drops,
}

impl<'a> Writer<'a, '_> {
    fn message(&mut self, message: &'a Message, index: usize) -> Result<(), EncodeError> {
        if message.name.is_some() {
            self.drops
                .push(format!("messages[{index}].name"), UNSUPPORTED);
        }
        match message.role {
            Role::System | Role::Developer => self.instructions(message, index),
            Role::User | Role::Tool => self.user(message, index),
            Role::Assistant => self.assistant(message, index),
        }
    }

    fn instructions(&mut self, message: &'a Message, index: usize) -> Result<(), EncodeError> {
        let mut content = Content::default();
        for (at, part) in message.parts.iter().enumerate() {
            let field = field(index, at);
            if !matches!(part, Part::Text { .. }) {
                return Err(cannot(field, "instructions must be text"));
            }
            content.0.extend(self.said(part, &field)?);
        }
        if !content.is_empty() {
            self.turns.push(Turn::System { content });
        }
        Ok(())
    }

    /// Results first, each in a turn of its own; then what else is said.
    fn user(&mut self, message: &'a Message, index: usize) -> Result<(), EncodeError> {
        let mut content = Content::default();
        for (at, part) in message.parts.iter().enumerate() {
            let field = field(index, at);
            if matches!(part, Part::ToolResult { .. }) {
                self.result(part, &field)?;
            } else {
                content.0.extend(self.said(part, &field)?);
            }
        }
        if !content.is_empty() {
            self.beside_results();
            self.turns.push(Turn::User { content });
        }
        Ok(())
    }

    fn beside_results(&mut self) {
        if !self.beside.is_empty() {
            let content = Content(std::mem::take(&mut self.beside));
            self.turns.push(Turn::User { content });
        }
    }

    fn assistant(&mut self, message: &'a Message, index: usize) -> Result<(), EncodeError> {
        let mut content = Content::default();
        let mut citations = Vec::new();
        let mut tool_calls = Vec::new();
        let mut plans: Vec<Cow<'a, str>> = Vec::new();
        for (at, part) in message.parts.iter().enumerate() {
            let field = field(index, at);
            match part {
                Part::ToolCall { .. } => tool_calls.extend(self.call(part, &field)),
                Part::Thinking {
                    text,
                    signature: Some(signature),
                } if signature == PLAN => plans.push(Cow::Borrowed(text)),
                Part::Thinking { .. } | Part::RedactedThinking { .. } => {
                    content.0.extend(self.thought(part, &field));
                }
                _ => {
                    citations.extend(self.citations(part, &field));
                    content.0.extend(self.said(part, &field)?);
                }
            }
        }
        if !tool_calls.is_empty() {
            plans.extend(texts(&mut content));
        } else if !plans.is_empty() {
            plans.clear();
            self.drops
                .push(format!("messages[{index}]"), "a plan without its calls");
        }
        // Nothing stands between a call and its result: what follows a call belongs to its turn.
        if let Some(Turn::Assistant {
            content: before,
            tool_plan,
            tool_calls: calls,
            citations: cited,
        }) = self.turns.last_mut()
            && !calls.is_empty()
        {
            plans.extend(texts(&mut content));
            before.0.append(&mut content.0);
            plans.insert(0, Cow::Owned(std::mem::take(tool_plan)));
            plans.retain(|plan| !plan.is_empty());
            *tool_plan = plans.join("\n");
            calls.append(&mut tool_calls);
            cited.append(&mut citations);
            return Ok(());
        }
        let tool_plan = plans.join("\n");
        if !content.is_empty() || !tool_calls.is_empty() {
            self.turns.push(Turn::Assistant {
                content,
                tool_plan,
                tool_calls,
                citations,
            });
        }
        Ok(())
    }

    /// What may stand in any turn.
    fn said(&mut self, part: &'a Part, field: &str) -> Result<Option<Block<'a>>, EncodeError> {
        self.note_cache(part, field);
        Ok(match part {
            Part::Text { text, .. } => self.text(Cow::Borrowed(text), field),
            Part::Refusal { text } => {
                self.drops
                    .push(field.to_owned(), "a refusal is sent as plain text");
                self.text(Cow::Borrowed(text), field)
            }
            Part::Image { source, detail, .. } => Some(Block::ImageUrl {
                image_url: ImageUrl {
                    url: address(source, field)?,
                    detail: detail.as_deref(),
                },
            }),
            Part::Document { source, name, .. } => {
                let text = text_of(source, name.as_deref(), field)?;
                self.text(text, field)
            }
            Part::Audio { .. } => return Err(cannot(field, "the dialect has no audio")),
            Part::Thinking { .. } | Part::RedactedThinking { .. } => {
                self.drops
                    .push(field.to_owned(), "thoughts belong to the assistant");
                None
            }
            Part::ToolCall { .. } | Part::ToolResult { .. } => {
                return Err(cannot(
                    field,
                    "calls belong to the assistant, results to the user",
                ));
            }
        })
    }

    fn text(&mut self, text: Cow<'a, str>, field: &str) -> Option<Block<'a>> {
        if text.trim().is_empty() {
            if !text.is_empty() {
                self.drops
                    .push(field.to_owned(), "blank text is not accepted");
            }
            return None;
        }
        Some(Block::Text { text })
    }

    fn note_cache(&mut self, part: &Part, field: &str) {
        if part.cache().is_some() {
            self.drops
                .push(format!("{field}.cache_control"), "cohere caches by itself");
        }
    }

    fn call(&mut self, part: &'a Part, field: &str) -> Option<Call<'a>> {
        let Part::ToolCall {
            id,
            name,
            arguments,
            signature,
            ..
        } = part
        else {
            return None;
        };
        self.note_cache(part, field);
        if signature.is_some() {
            self.drops.push(
                format!("{field}.signature"),
                "another provider's proof is not sent",
            );
        }
        Some(Call {
            id: self.ids.call(id),
            kind: "function",
            function: Function {
                name: names::legal(name),
                arguments: self.arguments(arguments, field),
            },
        })
    }

    fn arguments(&mut self, arguments: &'a str, field: &str) -> Cow<'a, str> {
        if arguments.trim().is_empty() {
            return Cow::Borrowed("{}");
        }
        match sluice_units::json::from_str(arguments) {
            Ok(Value::Object(_)) => Cow::Borrowed(arguments),
            other => {
                self.drops.push(
                    format!("{field}.arguments"),
                    "not a JSON object; sent inside of one",
                );
                let value = other.unwrap_or_else(|_| Value::from(arguments));
                Cow::Owned(json!({ "arguments": value }).to_string())
            }
        }
    }

    fn result(&mut self, part: &'a Part, field: &str) -> Result<(), EncodeError> {
        let Part::ToolResult {
            id,
            parts,
            is_error,
            ..
        } = part
        else {
            return Ok(());
        };
        self.note_cache(part, field);
        if *is_error {
            self.drops.push(format!("{field}.is_error"), UNSUPPORTED);
        }
        let mut content = Content::default();
        for (at, part) in parts.iter().enumerate() {
            let field = format!("{field}.content[{at}]");
            match self.said(part, &field)? {
                Some(image @ Block::ImageUrl { .. }) => {
                    self.drops.push(
                        field,
                        "cohere's results are text; this is sent as the user's",
                    );
                    self.beside.push(image);
                }
                block => content.0.extend(block),
            }
        }
        if content.is_empty() {
            let text = Cow::Borrowed(EMPTY_RESULT);
            content.0.push(Block::Text { text });
        }
        self.turns.push(Turn::Tool {
            tool_call_id: self.ids.result(id),
            content,
        });
        Ok(())
    }

    /// Cohere's thoughts bear no proof; those that do are another provider's.
    fn thought(&mut self, part: &'a Part, field: &str) -> Option<Block<'a>> {
        match part {
            Part::Thinking {
                text,
                signature: None,
            } if !text.trim().is_empty() => return Some(Block::Thinking { thinking: text }),
            Part::Thinking {
                text,
                signature: None,
            } if text.is_empty() => {}
            _ => self.drops.push(
                field.to_owned(),
                "the reasoning is another provider's, or blank",
            ),
        }
        None
    }

    /// Annotations in this dialect's own shape go back as citations.
    fn citations(&mut self, part: &Part, field: &str) -> Vec<Value> {
        let Part::Text { annotations, .. } = part else {
            return Vec::new();
        };
        let is_own = |annotation: &&Value| {
            ["start", "end", "text", "sources"]
                .iter()
                .all(|key| annotation.get(key).is_some())
        };
        let own: Vec<Value> = annotations.iter().filter(is_own).cloned().collect();
        if own.len() < annotations.len() {
            self.drops.push(format!("{field}.annotations"), UNSUPPORTED);
        }
        own
    }
}

/// Takes the texts out of a turn with calls: they belong to the plan.
fn texts<'a>(content: &mut Content<'a>) -> Vec<Cow<'a, str>> {
    let mut plan = Vec::new();
    let mut rest = Vec::new();
    for block in std::mem::take(&mut content.0) {
        match block {
            Block::Text { text } => plan.push(text),
            block => rest.push(block),
        }
    }
    content.0 = rest;
    plan
}

fn address<'a>(source: &'a Source, field: &str) -> Result<Cow<'a, str>, EncodeError> {
    match source {
        Source::Url(url) => Ok(Cow::Borrowed(url)),
        Source::Base64 { media_type, data } => {
            Ok(Cow::Owned(format!("data:{media_type};base64,{data}")))
        }
        Source::FileId(_) => Err(cannot(field, "the file was uploaded to another provider")),
        Source::Text(_) => Err(cannot(field, "text is not a picture")),
    }
}

/// A document as text, under its name: Cohere reads no others in a turn.
fn text_of<'a>(
    source: &'a Source,
    name: Option<&str>,
    field: &str,
) -> Result<Cow<'a, str>, EncodeError> {
    let text = match located(source) {
        Located::Text(text) => Cow::Borrowed(text),
        Located::Base64 { media_type, data } if media_type.starts_with("text/") => {
            let text = base64::decode(data).and_then(|bytes| String::from_utf8(bytes).ok());
            let text =
                text.ok_or_else(|| cannot(field, "the document is not base64 of UTF-8 text"))?;
            Cow::Owned(text)
        }
        _ => return Err(cannot(field, "documents must be text")),
    };
    Ok(match name {
        Some(name) => Cow::Owned(format!("{name}:\n{text}")),
        None => text,
    })
}

fn field(message: usize, part: usize) -> String {
    format!("messages[{message}].content[{part}]")
}
