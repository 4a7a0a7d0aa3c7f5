//! A conversation's turns as Gemini's `systemInstruction` and `contents`.
//!
//! Gemini knows two speakers, `user` and `model`, who take turns: consecutive turns of one are merged, instructions
//! stand apart, results of calls are the user's. A conversation begins with the user.
//! Follows <https://ai.google.dev/api/caching#Content> and
//! <https://ai.google.dev/gemini-api/docs/thought-signatures>.

use serde_json::{Map, Value};

use crate::Drops;
use crate::error::EncodeError;
use crate::json;
use crate::model::{ChatRequest, Message, Part, Role};

use super::media::media;
use super::names;
use super::value::{inexpressible, put, single, text_part};

/// The first generation that refuses calls without a signature, and takes media inside results.
const SIGNING_GENERATION: (u32, u32) = (3, 0);

/// What a function's result of text is called.
const OUTPUT: &str = "output";

/// What Google's own clients call it when they run functions themselves.
const RESULT: &str = "result";

/// What a function's failure is called.
const ERROR: &str = "error";

/// The largest whole number that a `google.protobuf.Struct` (doubles) holds exactly.
const EXACT_MAX: u64 = 1 << 53;

/// The turns, in Gemini's words.
pub(super) struct Contents {
    /// The parts of the instructions.
    pub(super) system: Vec<Value>,
    /// The turns.
    pub(super) contents: Vec<Value>,
}

/// Says the turns.
pub(super) fn encode(
    request: &ChatRequest,
    generation: (u32, u32),
    drops: &mut Drops,
) -> Result<Contents, EncodeError> {
    let mut writer = Writer {
        drops,
        generation,
        calls: Vec::new(),
        system: Vec::new(),
        turns: Vec::new(),
    };
    for (index, message) in request.messages.iter().enumerate() {
        writer.message(index, message)?;
    }
    writer.finish()
}

/// A call in the history.
struct Call {
    id: String,
    name: String,
    answered: bool,
}

struct Turn {
    is_model: bool,
    parts: Vec<Value>,
}

struct Writer<'a> {
    drops: &'a mut Drops,
    generation: (u32, u32),
    calls: Vec<Call>,
    system: Vec<Value>,
    turns: Vec<Turn>,
}

impl Writer<'_> {
    fn message(&mut self, index: usize, message: &Message) -> Result<(), EncodeError> {
        if message.name.is_some() {
            self.drops.push(
                format!("messages[{index}].name"),
                "gemini's turns have no names",
            );
        }
        let instructs = matches!(message.role, Role::System | Role::Developer);
        if instructs && !self.turns.is_empty() {
            self.drops.push(
                format!("messages[{index}].role"),
                "a late instruction is moved to the system instruction",
            );
        }
        for (number, part) in message.parts.iter().enumerate() {
            let at = format!("messages[{index}].content[{number}]");
            if part.cache().is_some() {
                self.drops
                    .push(format!("{at}.cache_control"), "gemini caches by itself");
            }
            if instructs {
                self.instruction(part, &at);
            } else {
                self.part(message.role == Role::Assistant, part, &at)?;
            }
        }
        Ok(())
    }

    fn instruction(&mut self, part: &Part, at: &str) {
        match part {
            Part::Text { text, .. } if text.is_empty() => {}
            Part::Text { text, .. } => self.system.push(text_part(text)),
            _ => self
                .drops
                .push(at.to_owned(), "gemini's system instruction is text only"),
        }
    }

    fn part(&mut self, from_model: bool, part: &Part, at: &str) -> Result<(), EncodeError> {
        match part {
            Part::Text {
                text, annotations, ..
            } => {
                if !annotations.is_empty() {
                    self.drops
                        .push(format!("{at}.annotations"), "gemini takes none back");
                }
                if !text.is_empty() {
                    self.push(from_model, text_part(text));
                }
            }
            Part::Refusal { text } => {
                self.drops
                    .push(at.to_owned(), "a refusal is sent as plain text");
                if !text.is_empty() {
                    self.push(from_model, text_part(text));
                }
            }
            Part::Image { source, detail, .. } => {
                if detail.as_deref().is_some_and(|detail| detail != "auto") {
                    self.drops
                        .push(format!("{at}.detail"), "gemini sets the resolution itself");
                }
                let media = media(source, "image", at)?;
                self.push(from_model, media);
            }
            Part::Audio { source, .. } => {
                let media = media(source, "audio", at)?;
                self.push(from_model, media);
            }
            Part::Document { source, name, .. } => {
                if name.is_some() {
                    self.drops
                        .push(format!("{at}.filename"), "gemini's files have no names");
                }
                let media = media(source, "application", at)?;
                self.push(from_model, media);
            }
            Part::ToolCall {
                id,
                name,
                arguments,
                signature,
                ..
            } => self.call(id, name, arguments, signature.as_deref(), at)?,
            Part::ToolResult {
                id,
                name,
                parts,
                is_error,
                ..
            } => self.result(id, name.as_deref(), parts, *is_error, at)?,
            Part::Thinking { text, signature } => self.thinking(text, signature.as_deref(), at),
            Part::RedactedThinking { .. } => self
                .drops
                .push(at.to_owned(), "another provider's encrypted reasoning"),
        }
        Ok(())
    }

    fn push(&mut self, is_model: bool, part: Value) {
        match self.turns.last_mut() {
            Some(turn) if turn.is_model == is_model => turn.parts.push(part),
            _ => self.turns.push(Turn {
                is_model,
                parts: vec![part],
            }),
        }
    }

    fn call(
        &mut self,
        id: &str,
        name: &str,
        arguments: &str,
        signature: Option<&str>,
        at: &str,
    ) -> Result<(), EncodeError> {
        let mut call = Map::new();
        if !id.is_empty() {
            put(&mut call, "id", id);
        }
        put(
            &mut call,
            "name",
            names::encode_function(name, &format!("{at}.name"))?,
        );
        put(&mut call, "args", self.arguments(arguments, at));
        let mut part = single("functionCall", call);
        let own = signature.and_then(names::call_signature);
        if signature.is_some() && own.is_none() {
            self.drops.push(
                format!("{at}.signature"),
                "the signature is another provider's",
            );
        }
        if let Some(signature) = own {
            put(&mut part, "thoughtSignature", signature);
        }
        self.push(true, Value::Object(part));
        self.calls.push(Call {
            id: id.to_owned(),
            name: name.to_owned(),
            answered: false,
        });
        Ok(())
    }

    fn arguments(&mut self, arguments: &str, at: &str) -> Map<String, Value> {
        if arguments.trim().is_empty() {
            return Map::new();
        }
        if let Ok(Value::Object(fields)) = json::parse(arguments.as_bytes()) {
            return fields;
        }
        self.drops.push(
            format!("{at}.arguments"),
            "not a JSON object; sent as a text named `arguments`",
        );
        single("arguments", arguments)
    }

    /// Finds the call that a result answers: by its identifier, or the first unanswered one of that name.
    fn answered(&mut self, id: &str, name: Option<&str>) -> Option<String> {
        let found = self.calls.iter_mut().find(|call| {
            let named = name.is_none_or(|name| name == call.name);
            if id.is_empty() {
                !call.answered && named
            } else {
                call.id == id && !call.answered
            }
        });
        match found {
            Some(call) => {
                call.answered = true;
                Some(call.name.clone())
            }
            None => name.map(str::to_owned),
        }
    }

    fn result(
        &mut self,
        id: &str,
        name: Option<&str>,
        parts: &[Part],
        is_error: bool,
        at: &str,
    ) -> Result<(), EncodeError> {
        let name = self.answered(id, name).ok_or_else(|| {
            inexpressible(
                format!("{at}.tool_call_id"),
                "gemini wants the function's name, and no earlier call has this id",
            )
        })?;
        let mut text = String::new();
        let mut inside = Vec::new();
        let mut beside = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let at = format!("{at}.content[{number}]");
            let (source, family) = match part {
                Part::Text { text: more, .. } | Part::Refusal { text: more } => {
                    if !text.is_empty() {
                        text.push('\n');
                    }
                    text.push_str(more);
                    continue;
                }
                Part::Image { source, .. } => (source, "image"),
                Part::Audio { source, .. } => (source, "audio"),
                Part::Document { source, .. } => (source, "application"),
                _ => {
                    self.drops.push(at, "not a result");
                    continue;
                }
            };
            let media = media(source, family, &at)?;
            if self.generation >= SIGNING_GENERATION && media.get("inlineData").is_some() {
                inside.push(media);
            } else {
                self.drops
                    .push(at, "gemini's results are text; this is sent as the user's");
                beside.push(media);
            }
        }
        let mut response = Map::new();
        if !id.is_empty() {
            put(&mut response, "id", id);
        }
        put(
            &mut response,
            "name",
            names::encode_function(&name, &format!("{at}.name"))?,
        );
        put(&mut response, "response", result_struct(text, is_error));
        if !inside.is_empty() {
            put(&mut response, "parts", inside);
        }
        self.push(false, Value::Object(single("functionResponse", response)));
        for media in beside {
            self.push(false, media);
        }
        Ok(())
    }

    fn thinking(&mut self, text: &str, signature: Option<&str>, at: &str) {
        let Some(own) = signature.and_then(names::owned_signature) else {
            let reason = if signature.is_some() {
                "the signature is another provider's"
            } else {
                "gemini takes no thoughts back without a signature"
            };
            self.drops.push(at.to_owned(), reason);
            return;
        };
        let mut part = single("text", text);
        if !text.is_empty() {
            put(&mut part, "thought", true);
        }
        put(&mut part, "thoughtSignature", own);
        self.push(true, Value::Object(part));
    }

    fn finish(mut self) -> Result<Contents, EncodeError> {
        if self.turns.is_empty() {
            if self.system.is_empty() {
                return Err(inexpressible("messages", "nothing is said in them"));
            }
            self.drops
                .push("messages", "instructions alone are sent as the user's turn");
            let parts = std::mem::take(&mut self.system);
            self.turns.push(Turn {
                is_model: false,
                parts,
            });
        }
        if self.turns.first().is_some_and(|turn| turn.is_model) {
            self.turns.insert(
                0,
                Turn {
                    is_model: false,
                    parts: vec![text_part(" ")],
                },
            );
        }
        let signs = self.generation >= SIGNING_GENERATION;
        let contents = self
            .turns
            .into_iter()
            .map(|mut turn| {
                if signs && turn.is_model {
                    sign_first_call(&mut turn.parts);
                }
                let role = if turn.is_model { "model" } else { "user" };
                let mut content = single("role", role);
                put(&mut content, "parts", turn.parts);
                Value::Object(content)
            })
            .collect();
        Ok(Contents {
            system: self.system,
            contents,
        })
    }
}

/// Gemini 3 refuses a step whose first call bears no signature; clients that keep standard fields only lose it.
fn sign_first_call(parts: &mut [Value]) {
    let first = parts
        .iter_mut()
        .find(|part| part.get("functionCall").is_some());
    if let Some(Value::Object(part)) = first
        && !part.contains_key("thoughtSignature")
    {
        put(part, "thoughtSignature", names::NO_SIGNATURE);
    }
}

/// A function's result. An object is given as it is; a text stands under `output` or `error`, as Google's page says.
fn result_struct(text: String, is_error: bool) -> Map<String, Value> {
    if is_error {
        return single(ERROR, text);
    }
    match json::parse(text.as_bytes()) {
        Ok(Value::Object(fields))
            if !fields.contains_key(OUTPUT)
                && !fields.contains_key(ERROR)
                && !fields.get(RESULT).is_some_and(Value::is_string)
                && fields.values().all(survives_struct) =>
        {
            fields
        }
        _ => single(OUTPUT, text),
    }
}

/// Whether the value is the same after `google.protobuf.Struct`, whose numbers are doubles.
fn survives_struct(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_f64()
                || number.as_u64().is_some_and(|n| n <= EXACT_MAX)
                || number
                    .as_i64()
                    .is_some_and(|n| n.unsigned_abs() <= EXACT_MAX)
        }
        Value::Array(items) => items.iter().all(survives_struct),
        Value::Object(fields) => fields.values().all(survives_struct),
        _ => true,
    }
}
