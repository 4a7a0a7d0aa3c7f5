//! Small things in which compatible providers, and at times OpenAI itself, depart from OpenAI's published description
//! (2.3.0): put right in answers that pass through, so that a strict client takes them. Every other byte stays.
//!
//! Azure's first chunk has an empty `object` and a `system_fingerprint` of `null`, as OpenAI's own chunks do; Ollama,
//! Groq, DeepSeek, Mistral and Cerebras leave out `refusal`, `content` or `logprobs`; vLLM writes `null` where an object
//! or a list belongs; xAI, Perplexity and Alibaba leave `finish_reason` out of chunks. Recorded exchanges and the providers' pages show it (2026-11-21).

use std::ops::Range;

use super::scan::{self, Member};

/// What `object` says in a chunk.
pub(super) const CHUNK: &str = "chat.completion.chunk";

/// What Azure leaves out of a choice that its filter has taken away.
const NO_MESSAGE: &str = r#""message":{"role":"assistant","content":null,"refusal":null},"#;

/// Texts in the place of others.
#[derive(Default)]
struct Edits(Vec<(Range<usize>, &'static str)>);

impl Edits {
    /// Takes members out that are `null` and must not be.
    fn not_null(&mut self, json: &[u8], members: &[Member<'_>], names: &[&str]) {
        for (at, member) in members.iter().enumerate() {
            let is_null = json.get(member.value.clone()) == Some(b"null");
            if !is_null || !names.contains(&&*member.key) {
                continue;
            }
            // With the comma before it, or, if it is the first, with the one behind it.
            let before = at.checked_sub(1).and_then(|before| members.get(before));
            let after = members.get(at.saturating_add(1));
            let range = match (before, after) {
                (Some(before), _) => before.value.end..member.value.end,
                (None, Some(after)) => member.name.start..after.name.start,
                (None, None) => member.name.start..member.value.end,
            };
            self.0.push((range, ""));
        }
    }

    /// Puts `null` in where a member must stand and does not; `at` is where its object begins.
    fn there(
        &mut self,
        json: &[u8],
        at: usize,
        members: &[Member<'_>],
        name: &str,
        text: &'static str,
    ) {
        let is_there = members.is_empty() || members.iter().any(|member| member.key == name);
        if !is_there && let Some(inside) = scan::inside(json, at) {
            self.0.push((inside..inside, text));
        }
    }

    /// The text with all of it; `None` where there is nothing.
    fn apply(mut self, json: &[u8]) -> Option<Vec<u8>> {
        self.0.sort_by_key(|(range, _)| range.start);
        let mut out = Vec::new();
        let mut from = 0;
        for (range, text) in &self.0 {
            // Two neighbours that go share a comma.
            let start = range.start.max(from);
            out.extend_from_slice(json.get(from..start)?);
            out.extend_from_slice(text.as_bytes());
            from = range.end.max(from);
        }
        if self.0.is_empty() {
            return None;
        }
        out.extend_from_slice(json.get(from..)?);
        Some(out)
    }
}

/// A chunk with what a blank one before it said, such as Azure's `prompt_filter_results`: so that all chunks have one
/// name. `None` where that said nothing.
pub(super) fn with_blank(blank: &[u8], json: &[u8]) -> Option<Vec<u8>> {
    const OF_A_HEAD: [&str; 7] = [
        "choices",
        "created",
        "id",
        "model",
        "object",
        "system_fingerprint",
        "usage",
    ];
    let inside = scan::inside(json, 0)?;
    let mut out = json.get(..inside)?.to_vec();
    for member in scan::members(blank, 0)? {
        if !OF_A_HEAD.contains(&&*member.key) {
            out.extend_from_slice(blank.get(member.name.start..member.value.end)?);
            out.push(b',');
        }
    }
    let says_something = out.len() > inside;
    out.extend_from_slice(json.get(inside..)?);
    says_something.then_some(out)
}

/// A chunk that says what it is, and has no fingerprint that is `null`; `None` where it is right already.
pub(super) fn chunk(json: &[u8]) -> Option<Vec<u8>> {
    let members = scan::members(json, 0)?;
    let mut edits = Edits::default();
    match members.iter().find(|member| member.key == "object") {
        Some(object) if scan::text(json.get(object.value.clone())?)?.as_ref() != CHUNK => {
            edits
                .0
                .push((object.value.clone(), r#""chat.completion.chunk""#));
        }
        Some(_) => {}
        None => edits.there(
            json,
            0,
            &members,
            "object",
            r#""object":"chat.completion.chunk","#,
        ),
    }
    edits.not_null(json, &members, &["system_fingerprint"]);
    let choices = members.iter().find(|member| member.key == "choices");
    let choices = choices.and_then(|choices| scan::elements(json, choices.value.start));
    for Range { start, .. } in choices.unwrap_or_default() {
        let inner = scan::members(json, start).unwrap_or_default();
        edits.there(
            json,
            start,
            &inner,
            "finish_reason",
            r#""finish_reason":null,"#,
        );
    }
    edits.apply(json)
}

/// A whole answer with what the description asks for; `None` where it is right already.
pub(super) fn whole(json: &[u8]) -> Option<Vec<u8>> {
    let members = scan::members(json, 0)?;
    let mut edits = Edits::default();
    edits.not_null(json, &members, &["system_fingerprint"]);
    for member in &members {
        let start = member.value.start;
        match &*member.key {
            "choices" => {
                for choice in scan::elements(json, start).unwrap_or_default() {
                    edits.choice(json, choice.start);
                }
            }
            "usage" => {
                let details = ["prompt_tokens_details", "completion_tokens_details"];
                let inner = scan::members(json, start).unwrap_or_default();
                edits.not_null(json, &inner, &details);
            }
            _ => {}
        }
    }
    edits.apply(json)
}

impl Edits {
    fn choice(&mut self, json: &[u8], at: usize) {
        let members = scan::members(json, at).unwrap_or_default();
        self.there(json, at, &members, "logprobs", r#""logprobs":null,"#);
        let Some(message) = members.iter().find(|member| member.key == "message") else {
            return self.there(json, at, &members, "message", NO_MESSAGE);
        };
        let at = message.value.start;
        let inner = scan::members(json, at).unwrap_or_default();
        self.there(json, at, &inner, "content", r#""content":null,"#);
        self.there(json, at, &inner, "refusal", r#""refusal":null,"#);
        self.not_null(
            json,
            &inner,
            &["annotations", "function_call", "tool_calls"],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mend: fn(&[u8]) -> Option<Vec<u8>>, json: &str, expected: Option<&str>) {
        let mended = mend(json.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(mended.as_deref(), expected, "{json}");
    }

    #[test]
    fn a_chunk_says_what_it_is() {
        let right = r#"{"object":"chat.completion.chunk","choices":[],"new":1.50}"#;
        check(chunk, right, None);
        check(
            chunk,
            r#"{"choices":[],"created":0,"id":"","model":"","object":"","system_fingerprint":null,"prompt_filter_results":[ ]}"#,
            Some(
                r#"{"choices":[],"created":0,"id":"","model":"","object":"chat.completion.chunk","prompt_filter_results":[ ]}"#,
            ),
        );
        check(
            chunk,
            r#"{ "system_fingerprint": null, "choices": [] }"#,
            Some(r#"{"object":"chat.completion.chunk", "choices": [] }"#),
        );
        check(
            chunk,
            r#"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{}},{"finish_reason":null}]}"#,
            Some(
                r#"{"object":"chat.completion.chunk","choices":[{"finish_reason":null,"index":0,"delta":{}},{"finish_reason":null}]}"#,
            ),
        );
    }

    #[test]
    fn a_whole_answer_has_what_is_asked_for() {
        let right = r#"{"choices":[{"logprobs":null,"message":{"content":"a","refusal":null}}]}"#;
        check(whole, right, None);
        check(whole, "[]", None);
        check(
            whole,
            r#"{"choices":[{"logprobs":null,"finish_reason":"content_filter"}]}"#,
            Some(
                r#"{"choices":[{"message":{"role":"assistant","content":null,"refusal":null},"logprobs":null,"finish_reason":"content_filter"}]}"#,
            ),
        );
        check(
            whole,
            r#"{"choices":[{"index":0,"message":{"role":"assistant","annotations":null,"function_call":null,"tool_calls":[]}}],"system_fingerprint":null,"usage":{"prompt_tokens_details":null},"x":1.50}"#,
            Some(
                r#"{"choices":[{"logprobs":null,"index":0,"message":{"content":null,"refusal":null,"role":"assistant","tool_calls":[]}}],"usage":{},"x":1.50}"#,
            ),
        );
    }
}
