//! What a conversation or an answer says, as a list of facts in one form, whatever dialect it came through.
//!
//! Two conversations that say the same have the same facts. Where one lacks a fact, the loss report must name its field.
//! Roles that no dialect tells apart, the split of one speaker's words into turns, and identifiers of calls are no
//! facts: a result's fact says which call it answers.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_wire::model::{
    CacheMark, ChatRequest, ChatResponse, Choice, Finish, Message, Part, ResponseFormat, Role,
    Source, ToolChoice,
};

/// One thing that is said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fact {
    /// Where, in the neutral model's words.
    pub(crate) field: String,
    /// What.
    pub(crate) what: String,
}

impl Fact {
    /// It is the model's reasoning, or the proof over it.
    pub(crate) fn is_thought(&self) -> bool {
        ["assistant thinks", "assistant hides", "thoughts signed"]
            .iter()
            .any(|begin| self.what.starts_with(begin))
    }
}

/// No tool is offered, or none may be called.
pub(crate) const NO_CALLS: &str = "makes no calls";

fn fact(field: impl Into<String>, what: impl Into<String>) -> Fact {
    Fact {
        field: field.into(),
        what: what.into(),
    }
}

/// What a conversation says. `names` restores functions' names that an upstream's dialect escapes.
pub(crate) fn of_request(request: &ChatRequest, names: &Names) -> Vec<Fact> {
    let mut facts = Conversation::new(names).read(&request.messages);
    let is_free = request.tool_choice != Some(ToolChoice::None) && !request.tools.is_empty();
    if !is_free {
        facts.push(fact("tool_choice", NO_CALLS));
    }
    for (at, tool) in request.tools.iter().enumerate().filter(|_| is_free) {
        let name = names.restore(&tool.name);
        let field = format!("tools[{at}]");
        facts.push(fact(field.clone(), format!("offers {name}")));
        if let Some(description) = tool.description.as_ref().filter(|text| !text.is_empty()) {
            let what = format!("{name} does {description}");
            facts.push(fact(format!("{field}.description"), what));
        }
        if let Some(schema) = tool.parameters.as_ref().and_then(schema) {
            let what = format!("{name} takes {schema}");
            facts.push(fact(format!("{field}.parameters"), what));
        }
        if tool.strict == Some(true) {
            facts.push(fact(format!("{field}.strict"), format!("{name} is strict")));
        }
        mark(tool.cache, &field, &name, &mut facts);
    }
    if is_free {
        let choice = match request.tool_choice.as_ref() {
            None | Some(ToolChoice::Auto) => None,
            Some(ToolChoice::Named(name)) => Some(format!("calls {}", names.restore(name))),
            Some(choice) => Some(format!("choice {choice:?}")),
        };
        facts.extend(choice.map(|choice| fact("tool_choice", choice)));
        if request.parallel_tool_calls == Some(false) {
            facts.push(fact("parallel_tool_calls", "one call at a time"));
        }
    }
    settings(request, &mut facts);
    facts
}

fn settings(request: &ChatRequest, facts: &mut Vec<Fact>) {
    let sampling = &request.sampling;
    for (field, number, default) in [
        ("temperature", &sampling.temperature, None),
        ("top_p", &sampling.top_p, None),
        ("top_k", &sampling.top_k, None),
        ("presence_penalty", &sampling.presence_penalty, Some(0.0)),
        ("frequency_penalty", &sampling.frequency_penalty, Some(0.0)),
    ] {
        let number = number.as_ref().and_then(serde_json::Number::as_f64);
        if let Some(number) = number.filter(|number| Some(*number) != default) {
            facts.push(fact(field, format!("{field} {number}")));
        }
    }
    if let Some(seed) = sampling.seed {
        facts.push(fact("seed", format!("seed {seed}")));
    }
    if !sampling.logit_bias.is_empty() {
        facts.push(fact("logit_bias", format!("{:?}", sampling.logit_bias)));
    }
    if let Some(most) = request.output_tokens_max {
        facts.push(fact("max_tokens", format!("at most {most} tokens")));
    }
    for (at, stop) in request.stop.iter().enumerate() {
        facts.push(fact(format!("stop[{at}]"), format!("stops at {stop:?}")));
    }
    match &request.format {
        None | Some(ResponseFormat::Text) => {}
        Some(ResponseFormat::JsonObject) => facts.push(fact("response_format", "answers in JSON")),
        Some(ResponseFormat::JsonSchema { schema: form, .. }) => {
            let form = schema(form).unwrap_or_default();
            facts.push(fact("response_format", format!("answers after {form}")));
        }
    }
    thinking(request, facts);
    let logprobs = request.logprobs.unwrap_or_default();
    if logprobs.enabled {
        facts.push(fact("logprobs", "log-probabilities"));
    }
    if let Some(top) = logprobs.top.filter(|top| *top > 0) {
        facts.push(fact("top_logprobs", format!("the best {top}")));
    }
    if let Some(count) = request.choices.filter(|count| *count > 1) {
        facts.push(fact("n", format!("{count} choices")));
    }
    if let Some(user) = &request.user {
        facts.push(fact("user", format!("for {user}")));
    }
    for (key, value) in &request.metadata {
        facts.push(fact(format!("metadata.{key}"), format!("{key}: {value}")));
    }
    for (key, value) in &request.extra {
        facts.push(fact(key.clone(), format!("{key}: {value}")));
    }
}

fn thinking(request: &ChatRequest, facts: &mut Vec<Fact>) {
    let Some(wanted) = &request.reasoning else {
        return;
    };
    let is_off =
        wanted.budget_tokens == Some(0) || wanted.effort == Some(sluice_wire::model::Effort::None);
    if is_off {
        facts.push(fact("reasoning", "does not think"));
    } else if wanted.budget_tokens.is_some() || wanted.effort.is_some() {
        facts.push(fact("reasoning", "thinks"));
    }
    if let Some(budget) = wanted.budget_tokens.filter(|budget| *budget > 0) {
        let what = format!("thinks at most {budget} tokens");
        facts.push(fact("reasoning.budget_tokens", what));
    }
    if wanted.include == Some(true) {
        facts.push(fact("reasoning.include", "shows its thoughts"));
    }
}

/// A schema with its keys in order; an empty object's schema says nothing.
fn schema(schema: &Value) -> Option<String> {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.shift_remove("$schema");
        let is_empty = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
        if fields.get("properties").is_none_or(is_empty)
            && fields.keys().all(|key| {
                ["type", "properties", "additionalProperties", "required"].contains(&key.as_str())
            })
        {
            return None;
        }
    }
    schema.sort_all_objects();
    Some(schema.to_string())
}

fn mark(cache: Option<CacheMark>, field: &str, what: &str, facts: &mut Vec<Fact>) {
    if let Some(cache) = cache {
        let what = format!("{cache:?} after {what}");
        facts.push(fact(format!("{field}.cache_control"), what));
    }
}

/// Functions' names as a dialect escapes them, and as they are.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    /// Pairs the tools of a request with those of what was written, which stand in the same order.
    pub(crate) fn between(said: &ChatRequest, written: &ChatRequest) -> Self {
        let names = |request: &ChatRequest| -> Vec<String> {
            let offered = request.tools.iter().map(|tool| tool.name.clone());
            let parts = request.messages.iter().flat_map(|message| &message.parts);
            let called = parts.filter_map(|part| match part {
                Part::ToolCall { name, .. } => Some(name.clone()),
                _ => None,
            });
            if request.tools.len() == said.tools.len() {
                offered.chain(called).collect()
            } else {
                called.collect()
            }
        };
        Self(names(written).into_iter().zip(names(said)).collect())
    }

    fn restore(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }
}

struct Conversation<'n> {
    names: &'n Names,
    calls: Vec<Call>,
    turns: usize,
}

struct Call {
    id: String,
    name: String,
    is_answered: bool,
}

impl<'n> Conversation<'n> {
    const fn new(names: &'n Names) -> Self {
        Self {
            names,
            calls: Vec::new(),
            turns: 0,
        }
    }

    fn read(mut self, messages: &[Message]) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut last = Role::System;
        for (at, message) in messages.iter().enumerate() {
            let field = format!("messages[{at}]");
            if let Some(name) = &message.name {
                facts.push(fact(format!("{field}.name"), format!("{name} speaks")));
            }
            let speaker = match message.role {
                Role::System | Role::Developer => "system",
                Role::User | Role::Tool => "user",
                Role::Assistant => "assistant",
            };
            let is_system = speaker == "system";
            if !is_system && message.role != last && !message.parts.is_empty() {
                self.turns += 1;
                last = message.role;
            }
            if is_system && self.turns > 0 {
                facts.push(fact(field.clone(), "instructions in mid-conversation"));
            }
            for (at, part) in message.parts.iter().enumerate() {
                let field = format!("{field}.content[{at}]");
                self.part(part, speaker, &field, &mut facts);
            }
        }
        facts
    }

    fn part(&mut self, part: &Part, speaker: &str, field: &str, facts: &mut Vec<Fact>) {
        match part {
            Part::ToolCall {
                id,
                name,
                arguments,
                signature,
                cache,
            } => {
                let name = self.names.restore(name);
                let arguments = arguments_of(arguments);
                self.calls.push(Call {
                    id: id.clone(),
                    name: name.clone(),
                    is_answered: false,
                });
                let call = format!("call {} of {name}", self.calls.len());
                facts.push(fact(field, call.clone()));
                let what = format!("{call} with {arguments}");
                facts.push(fact(format!("{field}.arguments"), what));
                if let Some(signature) = signature {
                    let what = format!("{call} signed {signature}");
                    facts.push(fact(format!("{field}.signature"), what));
                }
                mark(*cache, field, &call, facts);
            }
            Part::ToolResult {
                id,
                name,
                parts,
                is_error,
                cache,
            } => {
                let what = self.answered(id, name.as_deref());
                facts.push(fact(field, what.clone()));
                if *is_error {
                    let what = format!("{what} is an error");
                    facts.push(fact(format!("{field}.is_error"), what));
                }
                mark(*cache, field, &what, facts);
                result(parts, &what, field, facts);
            }
            _ => said(part, speaker, field, facts),
        }
    }

    /// Which call a result answers. A result without an identifier answers the first open call of its function.
    fn answered(&mut self, id: &str, name: Option<&str>) -> String {
        let name = name.map(|name| self.names.restore(name));
        let found = self.calls.iter().position(|call| {
            let is_named = name.as_ref().is_none_or(|name| *name == call.name);
            call.id == id && !call.is_answered && (!id.is_empty() || is_named)
        });
        match found {
            Some(at) => {
                self.calls[at].is_answered = true;
                format!("result of call {}", at + 1)
            }
            None => format!("result of unknown {id}"),
        }
    }
}

/// A result's texts are one text.
fn result(parts: &[Part], speaker: &str, field: &str, facts: &mut Vec<Fact>) {
    let mut texts = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let field = format!("{field}.content[{at}]");
        match part {
            Part::Text { text, cache, .. } => {
                if !text.is_empty() {
                    texts.push(text.as_str());
                }
                mark(*cache, &field, text, facts);
            }
            _ => said(part, speaker, &field, facts),
        }
    }
    if !texts.is_empty() {
        let text = texts.join("\n");
        // A result that is an object may be sent as one.
        let text = match serde_json::from_str::<Value>(&text) {
            Ok(value @ Value::Object(_)) => arguments_of(&value.to_string()),
            _ => text,
        };
        let what = format!("{speaker} says {text:?}");
        facts.push(fact(format!("{field}.content"), what));
    }
}

fn arguments_of(arguments: &str) -> String {
    let text = if arguments.trim().is_empty() {
        "{}"
    } else {
        arguments
    };
    serde_json::from_str::<Value>(text).map_or_else(
        |_| text.to_owned(),
        |mut value| {
            value.sort_all_objects();
            value.to_string()
        },
    )
}

fn said(part: &Part, speaker: &str, field: &str, facts: &mut Vec<Fact>) {
    let (what, cache) = match part {
        Part::Text {
            text,
            cache,
            annotations,
        } => {
            for annotation in annotations {
                let what = format!("{annotation}");
                facts.push(fact(format!("{field}.annotations"), what));
            }
            if text.is_empty() {
                return;
            }
            (format!("{speaker} says {text:?}"), *cache)
        }
        Part::Image {
            source,
            detail,
            cache,
        } => {
            if let Some(detail) = detail.as_ref().filter(|detail| *detail != "auto") {
                let what = format!("seen in detail {detail}");
                facts.push(fact(format!("{field}.detail"), what));
            }
            (format!("{speaker} shows {}", place(source)), *cache)
        }
        Part::Audio { source, cache } => (format!("{speaker} plays {}", place(source)), *cache),
        Part::Document {
            source,
            name,
            cache,
        } if as_text(source).is_some() => {
            let text = as_text(source).unwrap();
            let text = match name {
                Some(name) => format!("{name}:\n{text}"),
                None => text,
            };
            (format!("{speaker} says {text:?}"), *cache)
        }
        Part::Document {
            source,
            name,
            cache,
        } => {
            // The type tells the ending.
            let name = name.as_ref().map(|name| name.trim_end_matches(".pdf"));
            if let Some(name) = name {
                let what = format!("a file named {name}");
                facts.push(fact(format!("{field}.filename"), what));
            }
            (format!("{speaker} hands in {}", place(source)), *cache)
        }
        Part::Thinking { text, signature } => {
            if let Some(signature) = signature {
                let what = format!("thoughts signed {signature}");
                facts.push(fact(format!("{field}.signature"), what));
            }
            if text.is_empty() {
                return;
            }
            (format!("{speaker} thinks {text:?}"), None)
        }
        Part::RedactedThinking { data } => (format!("{speaker} hides {data}"), None),
        Part::Refusal { text } => (format!("{speaker} declines {text:?}"), None),
        Part::ToolCall { .. } | Part::ToolResult { .. } => return,
    };
    mark(cache, field, &what, facts);
    facts.push(fact(field, what));
}

/// A document of plain text.
fn as_text(source: &Source) -> Option<String> {
    match source {
        Source::Text(text) => Some(text.clone()),
        Source::Base64 { media_type, data } if media_type.starts_with("text/") => {
            String::from_utf8(base64(data)).ok()
        }
        _ => None,
    }
}

/// The bytes of padded base64.
pub(crate) fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let bits = group.iter().fold(0_u32, |bits, digit| {
            let value = ALPHABET.find(char::from(*digit)).unwrap_or(0);
            (bits << 6) | u32::try_from(value).unwrap()
        });
        let padding = group.iter().filter(|digit| **digit == b'=').count();
        bytes.extend(&bits.to_be_bytes()[1..4 - padding]);
    }
    bytes
}

/// A data address and inline bytes are one thing, and so are inline plain text and its bytes.
fn place(source: &Source) -> String {
    match source {
        Source::Url(url) => url.strip_prefix("data:").map_or_else(
            || format!("what is at {url}"),
            |data| data.replacen(";base64,", " ", 1),
        ),
        Source::Base64 { media_type, data } => {
            format!("{} {data}", media_type.replace("audio/mpeg", "audio/mp3"))
        }
        Source::FileId(id) => format!("the file {id}"),
        Source::Text(text) => format!("the text {text:?}"),
    }
}

/// Why a choice ends. The model's own refusal and that of the provider's safety system have one meaning.
fn ending(choice: &Choice, field: &str) -> Fact {
    let declines = |part: &Part| matches!(part, Part::Refusal { .. });
    let calls = |part: &Part| matches!(part, Part::ToolCall { .. });
    match &choice.finish {
        Finish::Stop if choice.parts.iter().any(calls) => {
            fact("finish_reason", format!("ends by {:?}", Finish::ToolCalls))
        }
        Finish::Refusal | Finish::ContentFilter => fact("finish_reason", "ends by declining"),
        Finish::Stop if choice.parts.iter().any(declines) => {
            fact("finish_reason", "ends by declining")
        }
        Finish::StopSequence(Some(sequence)) => {
            fact("stop_sequence", format!("ends by {sequence:?}"))
        }
        Finish::Stop | Finish::StopSequence(None) => fact(format!("{field}.finish_reason"), "ends"),
        finish => fact("finish_reason", format!("ends by {finish:?}")),
    }
}

/// What an answer says, but for identifiers.
pub(crate) fn of_response(response: &ChatResponse) -> Vec<Fact> {
    let names = Names::default();
    let mut facts = Vec::new();
    for choice in &response.choices {
        let field = format!("choices[{}]", choice.index);
        let mut conversation = Conversation::new(&names);
        for (at, part) in choice.parts.iter().enumerate() {
            let field = format!("{field}.content[{at}]");
            conversation.part(part, "assistant", &field, &mut facts);
        }
        facts.push(ending(choice, &field));
        if let Some(logprobs) = &choice.logprobs {
            facts.push(fact("logprobs", format!("{field} {logprobs}")));
        }
    }
    if let Some(usage) = response.usage {
        facts.push(fact(
            "usage",
            format!("input {}", usage.input_total().count()),
        ));
        facts.push(fact("usage", format!("output {}", usage.output.count())));
        for (field, count) in [
            ("input_cached", usage.input_cached),
            (
                "cache_write_5m",
                usage.cache_write_5m.plus(usage.cache_write_1h),
            ),
            ("cache_write_1h", usage.cache_write_1h),
            ("reasoning", usage.reasoning),
            ("input_audio", usage.input_audio),
            ("input_image", usage.input_image),
            ("output_audio", usage.output_audio),
            ("prediction_accepted", usage.prediction_accepted),
            ("prediction_rejected", usage.prediction_rejected),
        ] {
            if count.count() > 0 {
                let what = format!("{field} {}", count.count());
                facts.push(fact(format!("usage.{field}"), what));
            }
        }
    }
    for (key, value) in &response.extra {
        facts.push(fact(key.clone(), format!("{key}: {value}")));
    }
    facts
}
