//! Gemini's answers: what a whole answer and a stream's chunk have in common, and the whole answer.
//!
//! Token counts: `promptTokenCount` includes the cached ones; `toolUsePromptTokenCount` is input beside it;
//! `candidatesTokenCount` excludes `thoughtsTokenCount`
//! (<https://ai.google.dev/api/generate-content#UsageMetadata>).
//! Proofs on plain text become empty thinking parts after it, which is how Gemini itself streams them.

use serde_json::{Map, Value, json};
use sluice_units::Tokens;

use crate::Drops;
use crate::error::DecodeError;
use crate::model::{ChatResponse, Choice, Finish, Part, Source, Usage};

use super::args::Arguments;
use super::names;
use super::value::{parse, shape, single, take_array, take_flag, take_object, take_string};

/// The most alternatives that one answer may have.
const CHOICES_MAX: u32 = 128;

/// A whole answer, or one chunk of a stream.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) candidates: Vec<Candidate>,
    pub(super) blocked: bool,
    pub(super) usage: Option<Usage>,
    /// What has no place in the neutral model.
    pub(super) rest: Map<String, Value>,
}

/// One alternative, or a piece of it.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) index: u32,
    pub(super) pieces: Vec<Piece>,
    pub(super) finish: Option<String>,
    pub(super) annotations: Vec<Value>,
    pub(super) logprobs: Option<Value>,
    pub(super) rest: Map<String, Value>,
}

impl Candidate {
    /// Names what has no place in the neutral model.
    pub(super) fn note_rest(&self, drops: &mut Drops) {
        for key in self.rest.keys() {
            let field = format!("candidates[{}].{key}", self.index);
            drops.push(field, "no counterpart");
        }
    }
}

/// One part.
#[derive(Debug)]
pub(super) enum Piece {
    Text {
        text: String,
        is_thought: bool,
        signature: Option<String>,
    },
    Call {
        call: Map<String, Value>,
        signature: Option<String>,
    },
    Media {
        media_type: String,
        data: String,
    },
    /// Code that Google ran, and whatever comes next.
    Other(Value),
}

/// Reads a whole answer or a chunk.
pub(super) fn chunk(mut fields: Map<String, Value>) -> Result<Chunk, DecodeError> {
    let mut candidates = Vec::new();
    for candidate in take_array(&mut fields, "candidates") {
        let Value::Object(candidate) = candidate else {
            return Err(shape("a candidate is not an object"));
        };
        candidates.push(self::candidate(candidate)?);
    }
    let blocked = fields
        .get("promptFeedback")
        .is_some_and(|feedback| feedback.get("blockReason").is_some());
    Ok(Chunk {
        id: take_string(&mut fields, "responseId").unwrap_or_default(),
        model: take_string(&mut fields, "modelVersion").unwrap_or_default(),
        usage: take_object(&mut fields, "usageMetadata").and_then(|usage| self::usage(&usage)),
        candidates,
        blocked,
        rest: fields,
    })
}

fn candidate(mut fields: Map<String, Value>) -> Result<Candidate, DecodeError> {
    let index = fields
        .shift_remove("index")
        .and_then(|index| u32::try_from(index.as_u64()?).ok())
        .unwrap_or(0);
    if index >= CHOICES_MAX {
        return Err(shape("a candidate's index is too large"));
    }
    let mut content = take_object(&mut fields, "content").unwrap_or_default();
    let mut pieces = Vec::new();
    for part in take_array(&mut content, "parts") {
        let Value::Object(part) = part else {
            return Err(shape("a part is not an object"));
        };
        pieces.push(piece(part));
    }
    let annotations = [
        "groundingMetadata",
        "citationMetadata",
        "urlContextMetadata",
    ]
    .into_iter()
    .filter_map(|key| match fields.shift_remove(key) {
        Some(Value::Object(metadata)) if !metadata.is_empty() => {
            Some(Value::Object(single(key, metadata)))
        }
        _ => None,
    })
    .collect();
    Ok(Candidate {
        index,
        pieces,
        finish: take_string(&mut fields, "finishReason"),
        annotations,
        logprobs: take_object(&mut fields, "logprobsResult").map(logprobs),
        rest: fields,
    })
}

fn piece(mut part: Map<String, Value>) -> Piece {
    if part.contains_key("functionCall") {
        return Piece::Call {
            signature: take_string(&mut part, "thoughtSignature"),
            call: take_object(&mut part, "functionCall").unwrap_or_default(),
        };
    }
    if part.get("text").is_some_and(Value::is_string) {
        return Piece::Text {
            text: take_string(&mut part, "text").unwrap_or_default(),
            is_thought: take_flag(&mut part, "thought"),
            signature: take_string(&mut part, "thoughtSignature"),
        };
    }
    let media = part.get("inlineData").and_then(|blob| {
        Some((
            blob.get("mimeType")?.as_str()?.to_owned(),
            blob.get("data")?.as_str()?.to_owned(),
        ))
    });
    match media {
        Some((media_type, data)) => Piece::Media { media_type, data },
        None => Piece::Other(Value::Object(part)),
    }
}

/// Gemini's counts in the neutral meaning; `None` when nothing is counted yet.
pub(super) fn usage(fields: &Map<String, Value>) -> Option<Usage> {
    let count = |key: &str| Tokens::new(fields.get(key).and_then(Value::as_u64).unwrap_or(0));
    if !fields.contains_key("promptTokenCount") && !fields.contains_key("totalTokenCount") {
        return None;
    }
    let by_kind = |key: &str, kind: &str| {
        let details = fields.get(key).and_then(Value::as_array);
        details
            .into_iter()
            .flatten()
            .filter(|detail| detail.get("modality").and_then(Value::as_str) == Some(kind))
            .filter_map(|detail| detail.get("tokenCount")?.as_u64())
            .fold(Tokens::ZERO, |sum, count| sum.plus(Tokens::new(count)))
    };
    let uncached = |kind: &str| {
        by_kind("promptTokensDetails", kind)
            .plus(by_kind("toolUsePromptTokensDetails", kind))
            .minus(by_kind("cacheTokensDetails", kind))
    };
    let cached = count("cachedContentTokenCount");
    let reasoning = count("thoughtsTokenCount");
    Some(Usage {
        input: count("promptTokenCount")
            .plus(count("toolUsePromptTokenCount"))
            .minus(cached),
        input_cached: cached,
        input_audio: uncached("AUDIO"),
        input_image: uncached("IMAGE"),
        output: count("candidatesTokenCount").plus(reasoning),
        reasoning,
        output_audio: by_kind("candidatesTokensDetails", "AUDIO"),
        ..Usage::default()
    })
}

/// Why it stopped. Gemini says `STOP` when it waits for results.
pub(super) fn finish(reason: &str, has_calls: bool) -> Finish {
    match reason {
        "STOP" if has_calls => Finish::ToolCalls,
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    }
}

/// Log-probabilities in OpenAI's shape.
fn logprobs(mut result: Map<String, Value>) -> Value {
    let entry = |candidate: &Value| {
        let token = candidate.get("token").and_then(Value::as_str).unwrap_or("");
        json!({
            "token": token,
            "logprob": candidate.get("logProbability").cloned().unwrap_or(Value::Null),
            "bytes": token.as_bytes(),
        })
    };
    let chosen = take_array(&mut result, "chosenCandidates");
    let mut tops = take_array(&mut result, "topCandidates").into_iter();
    let content: Vec<Value> = chosen
        .iter()
        .map(|candidate| {
            let top = tops.next();
            let top = top
                .as_ref()
                .and_then(|top| top.get("candidates")?.as_array())
                .map(|top| top.iter().map(entry).collect::<Vec<_>>());
            let mut content = entry(candidate);
            if let Value::Object(content) = &mut content {
                content.insert("top_logprobs".to_owned(), top.unwrap_or_default().into());
            }
            content
        })
        .collect();
    json!({ "content": content, "refusal": null })
}

/// A signed call's name and identifier, in the caller's words.
pub(super) fn call_head(call: &mut Map<String, Value>) -> Option<(String, String)> {
    let name = take_string(call, "name").filter(|name| !name.is_empty())?;
    let id = take_string(call, "id").unwrap_or_default();
    Some((id, names::decode_function(name)))
}

/// Reads a whole answer.
///
/// # Errors
/// [`DecodeError::Shape`] when it is not Gemini's answer, or holds neither a candidate nor the reason for none.
pub fn decode_response(body: &[u8]) -> Result<(ChatResponse, Drops), DecodeError> {
    let Value::Object(fields) = parse(body)? else {
        return Err(shape("the answer is not an object"));
    };
    let chunk = chunk(fields)?;
    let mut drops = Drops::new();
    let mut choices = Vec::new();
    for candidate in chunk.candidates {
        choices.push(choice(candidate, &mut drops)?);
    }
    if choices.is_empty() {
        if !chunk.blocked {
            return Err(shape("the answer has no candidates"));
        }
        choices.push(Choice {
            index: 0,
            parts: Vec::new(),
            finish: Finish::ContentFilter,
            logprobs: None,
        });
    }
    choices.sort_by_key(|choice| choice.index);
    let response = ChatResponse {
        id: chunk.id,
        model: chunk.model,
        created: None,
        choices,
        usage: chunk.usage,
        extra: chunk.rest,
    };
    Ok((response, drops))
}

fn choice(candidate: Candidate, drops: &mut Drops) -> Result<Choice, DecodeError> {
    let index = candidate.index;
    candidate.note_rest(drops);
    let mut parts = Vec::new();
    for piece in candidate.pieces {
        whole_part(piece, &mut parts)?;
    }
    if !candidate.annotations.is_empty() {
        let text = parts.iter_mut().rev().find_map(|part| match part {
            Part::Text { annotations, .. } => Some(annotations),
            _ => None,
        });
        match text {
            Some(annotations) => annotations.extend(candidate.annotations),
            None => parts.push(annotated(candidate.annotations)),
        }
    }
    let has_calls = parts
        .iter()
        .any(|part| matches!(part, Part::ToolCall { .. }));
    let reason = candidate
        .finish
        .unwrap_or_else(|| "FINISH_REASON_UNSPECIFIED".to_owned());
    Ok(Choice {
        index,
        parts,
        finish: finish(&reason, has_calls),
        logprobs: candidate.logprobs,
    })
}

const fn annotated(annotations: Vec<Value>) -> Part {
    Part::Text {
        text: String::new(),
        cache: None,
        annotations,
    }
}

fn whole_part(piece: Piece, parts: &mut Vec<Part>) -> Result<(), DecodeError> {
    match piece {
        Piece::Text {
            text,
            is_thought: true,
            signature,
        } => parts.push(Part::Thinking {
            text,
            signature: signature.as_deref().map(names::own_signature),
        }),
        Piece::Text {
            text, signature, ..
        } => {
            if !text.is_empty() {
                parts.push(Part::text(text));
            }
            if let Some(signature) = signature {
                parts.push(Part::Thinking {
                    text: String::new(),
                    signature: Some(names::own_signature(&signature)),
                });
            }
        }
        Piece::Call {
            mut call,
            signature,
        } => {
            let (id, name) =
                call_head(&mut call).ok_or_else(|| shape("a function call has no name"))?;
            let mut arguments = Arguments::default();
            arguments.take(&mut call)?;
            parts.push(Part::ToolCall {
                id,
                name,
                arguments: arguments.finish(),
                signature,
                cache: None,
            });
        }
        Piece::Media { media_type, data } => {
            parts.push(Part::media(Source::Base64 { media_type, data }));
        }
        Piece::Other(part) => parts.push(annotated(vec![part])),
    }
    Ok(())
}
