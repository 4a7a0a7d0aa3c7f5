//! An answer in Gemini's words.
//!
//! What one part becomes is shared with the stream encoder: a whole answer and a streamed one say the same.

use serde_json::{Map, Value, json};

use crate::citations::{self, Cited};
use crate::json as strict;
use crate::model::{ChatResponse, Choice, Finish, Part, Source, Usage};
use crate::{Drops, kinds};

use super::super::names;
use super::super::value::{put, single};
use super::Answered;

const GROUNDING: &str = "groundingMetadata";

/// Metadata of a candidate that the neutral model carries as annotations.
const METADATA: [&str; 3] = [GROUNDING, "citationMetadata", "urlContextMetadata"];

pub(super) const REFUSAL: &str = "a refusal is plain text";

/// Reasons that only Gemini has; others are `OTHER`.
const OWN_REASONS: [&str; 8] = [
    "LANGUAGE",
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "NO_IMAGE",
    "IMAGE_OTHER",
    "MALFORMED_RESPONSE",
    "FINISH_REASON_UNSPECIFIED",
];

/// Writes a whole answer.
#[must_use]
pub fn encode_response(response: &ChatResponse, answered: &Answered) -> (Vec<u8>, Drops) {
    let mut drops = Drops::new();
    let mut body = Map::new();
    let feedback = response.extra.get("promptFeedback");
    let blocked = feedback.is_some_and(|feedback| feedback.get("blockReason").is_some());
    if let Some(feedback) = feedback {
        put(&mut body, "promptFeedback", feedback.clone());
    }
    if !blocked {
        let candidates: Vec<Value> = response
            .choices
            .iter()
            .map(|choice| candidate(choice, &mut drops))
            .collect();
        put(&mut body, "candidates", candidates);
    }
    if let Some(usage) = &response.usage {
        put(&mut body, "usageMetadata", self::usage(usage));
    }
    kinds::note(response.usage.as_ref(), &kinds::GEMINI, &mut drops);
    head(&mut body, &response.id, &response.model, answered);
    for key in response.extra.keys() {
        if key != "promptFeedback" {
            drops.push(key.clone(), "gemini's answers have no such field");
        }
    }
    (Value::Object(body).to_string().into_bytes(), drops)
}

/// The fields that every answer and chunk has.
pub(super) fn head(body: &mut Map<String, Value>, id: &str, model: &str, answered: &Answered) {
    put(body, "modelVersion", answered.model(model));
    put(body, "responseId", answered.id(id));
}

fn candidate(choice: &Choice, drops: &mut Drops) -> Value {
    let mut parts = Vec::new();
    let mut candidate = Map::new();
    let mut cited = Cited::default();
    for (number, part) in (0..).zip(&choice.parts) {
        let at = format!("choices[{}].content[{number}]", choice.index);
        if let Part::Text {
            text, annotations, ..
        } = part
        {
            cited.append(number, text);
            for annotation in annotations {
                let is_own = annotate(annotation, &mut candidate, &mut parts);
                if !is_own && !cited.annotate(number, annotation) {
                    note_annotation(&at, drops);
                }
            }
            if !text.is_empty() {
                parts.push(Value::Object(single("text", text.as_str())));
            }
        } else {
            parts.extend(other_part(part, &at, drops));
        }
    }
    if let Some(logprobs) = &choice.logprobs {
        put(&mut candidate, "logprobsResult", self::logprobs(logprobs));
    }
    let mut content = single("parts", parts);
    put(&mut content, "role", "model");
    put(&mut candidate, "content", content);
    let declines = |part: &Part| matches!(part, Part::Refusal { .. });
    let declined = choice.parts.iter().any(declines);
    let reason = finish(&choice.finish, declined, drops);
    put(&mut candidate, "finishReason", reason);
    ground(&cited, &mut candidate);
    put(&mut candidate, "index", choice.index);
    Value::Object(candidate)
}

/// Puts what others cite beside the parts, as Gemini does.
pub(super) fn ground(cited: &Cited, candidate: &mut Map<String, Value>) {
    let citations = cited.citations();
    if !citations.is_empty() && !candidate.contains_key(GROUNDING) {
        let grounding = citations::grounding(&citations, cited.text());
        put(candidate, GROUNDING, grounding);
    }
}

pub(super) fn note_annotation(at: &str, drops: &mut Drops) {
    drops.push(
        format!("{at}.annotations"),
        "gemini knows citations of addresses only",
    );
}

/// Puts an annotation of Gemini's where Gemini has it: beside the parts, or as a part of its own. The flag says that it
/// was one.
pub(super) fn annotate(
    annotation: &Value,
    candidate: &mut Map<String, Value>,
    parts: &mut Vec<Value>,
) -> bool {
    const PARTS: [&str; 5] = [
        "inlineData",
        "executableCode",
        "codeExecutionResult",
        "toolCall",
        "toolResponse",
    ];
    for key in METADATA {
        if let Some(metadata) = annotation.get(key) {
            put(candidate, key, metadata.clone());
            return true;
        }
    }
    let is_part = PARTS.iter().any(|key| annotation.get(key).is_some());
    if is_part {
        parts.push(annotation.clone());
    }
    is_part
}

fn other_part(part: &Part, at: &str, drops: &mut Drops) -> Option<Value> {
    match part {
        Part::Text { .. } => None,
        Part::Refusal { text } => {
            drops.push(at.to_owned(), REFUSAL);
            Some(Value::Object(single("text", text.as_str())))
        }
        Part::Thinking { text, signature } => Some(thinking(text, signature.as_deref())),
        Part::RedactedThinking { data } => Some(redacted(data)),
        Part::ToolCall {
            id,
            name,
            arguments,
            signature,
            ..
        } => Some(call(id, name, arguments, signature.as_deref())),
        Part::Image { source, .. } | Part::Audio { source, .. } | Part::Document { source, .. } => {
            Some(media(source))
        }
        Part::ToolResult { .. } => {
            drops.push(at.to_owned(), "an answer holds no results");
            None
        }
    }
}

/// A thought, with its proof. Gemini's own proof over text stands on an empty text.
pub(super) fn thinking(text: &str, signature: Option<&str>) -> Value {
    let own = signature.and_then(names::owned_signature);
    let mut part = single("text", text);
    if !(text.is_empty() && own.is_some()) {
        put(&mut part, "thought", true);
    }
    match (own, signature) {
        (Some(own), _) => put(&mut part, "thoughtSignature", own),
        (None, Some(foreign)) => put(&mut part, "thoughtSignature", names::carry(foreign)),
        (None, None) => {}
    }
    Value::Object(part)
}

/// Another provider's encrypted reasoning, as a thought without words.
pub(super) fn redacted(data: &str) -> Value {
    let mut part = single("text", "");
    put(&mut part, "thought", true);
    put(&mut part, "thoughtSignature", names::carry_redacted(data));
    Value::Object(part)
}

/// A call. Arguments that are no object stand in one, under `arguments`.
pub(super) fn call(id: &str, name: &str, arguments: &str, signature: Option<&str>) -> Value {
    let args = match strict::parse(arguments.as_bytes()) {
        Ok(Value::Object(args)) => args,
        _ if arguments.trim().is_empty() => Map::new(),
        _ => single("arguments", arguments),
    };
    let mut call = Map::new();
    if !id.is_empty() {
        put(&mut call, "id", id);
    }
    put(&mut call, "name", name);
    put(&mut call, "args", args);
    let mut part = single("functionCall", call);
    if let Some(signature) = signature.and_then(names::call_signature) {
        put(&mut part, "thoughtSignature", signature);
    }
    Value::Object(part)
}

pub(super) fn media(source: &Source) -> Value {
    match source {
        Source::Base64 { media_type, data } => {
            json!({"inlineData": {"mimeType": media_type, "data": data}})
        }
        Source::Url(uri) | Source::FileId(uri) => json!({"fileData": {"fileUri": uri}}),
        Source::Text(text) => json!({ "text": text }),
    }
}

/// Why it stopped, in Gemini's word. A refusal is a safety stop, never `STOP`; `declined` says that it came in words.
pub(super) fn finish<'a>(finish: &'a Finish, declined: bool, drops: &mut Drops) -> &'a str {
    match finish {
        Finish::Stop if declined => "SAFETY",
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::StopSequence(sequence) => {
            if sequence.is_some() {
                drops.push("stop_sequence", "gemini does not say which one was met");
            }
            "STOP"
        }
        Finish::Length => "MAX_TOKENS",
        Finish::ContextFull => {
            drops.push("finish_reason", "a full context is gemini's MAX_TOKENS");
            "MAX_TOKENS"
        }
        Finish::ContentFilter | Finish::Refusal => "SAFETY",
        Finish::Other(reason) if OWN_REASONS.contains(&reason.as_str()) => reason,
        Finish::Pause | Finish::Other(_) => {
            drops.push(
                "finish_reason",
                "the provider's word is not one of gemini's",
            );
            "OTHER"
        }
    }
}

/// The counts in Gemini's meaning: cached input is part of the prompt, thoughts are not part of the candidates.
pub(super) fn usage(usage: &Usage) -> Value {
    let mut fields = Map::new();
    put(&mut fields, "promptTokenCount", usage.input_total().count());
    if usage.input_cached.count() > 0 {
        put(
            &mut fields,
            "cachedContentTokenCount",
            usage.input_cached.count(),
        );
    }
    let said = usage.output.minus(usage.reasoning);
    put(&mut fields, "candidatesTokenCount", said.count());
    if usage.reasoning.count() > 0 {
        put(&mut fields, "thoughtsTokenCount", usage.reasoning.count());
    }
    put(&mut fields, "totalTokenCount", usage.total().count());
    let details = |kinds: &[(&str, u64)]| {
        let details: Vec<Value> = kinds
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| json!({"modality": kind, "tokenCount": count}))
            .collect();
        (!details.is_empty()).then_some(details)
    };
    let media = usage.input_audio.plus(usage.input_image);
    let prompt = [
        ("TEXT", usage.input_total().minus(media).count()),
        ("AUDIO", usage.input_audio.count()),
        ("IMAGE", usage.input_image.count()),
    ];
    if let Some(details) = details(&prompt).filter(|_| media.count() > 0) {
        put(&mut fields, "promptTokensDetails", details);
    }
    if let Some(details) = details(&[("AUDIO", usage.output_audio.count())]) {
        put(&mut fields, "candidatesTokensDetails", details);
    }
    Value::Object(fields)
}

/// OpenAI's log-probabilities in Gemini's shape.
pub(super) fn logprobs(logprobs: &Value) -> Value {
    let entry = |entry: &Value| {
        json!({
            "token": entry.get("token").cloned().unwrap_or(Value::Null),
            "logProbability": entry.get("logprob").cloned().unwrap_or(Value::Null),
        })
    };
    let content = logprobs.get("content").and_then(Value::as_array);
    let content = content.map_or(&[][..], Vec::as_slice);
    let chosen: Vec<Value> = content.iter().map(entry).collect();
    let top: Vec<Value> = content
        .iter()
        .map(|token| {
            let top = token.get("top_logprobs").and_then(Value::as_array);
            let top: Vec<Value> = top.into_iter().flatten().map(entry).collect();
            json!({ "candidates": top })
        })
        .collect();
    json!({ "chosenCandidates": chosen, "topCandidates": top })
}
