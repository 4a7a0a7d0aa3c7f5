//! What the three dialects look like on the wire, written by hand from the providers' pages, not by our encoders.

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_core::platform::UpstreamCall;

use crate::rng::Rng;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
}

/// What a provider is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    dialect: Dialect,
    pub(crate) is_stream: bool,
    pub(crate) is_embedding: bool,
    /// The most tokens that the model may write.
    pub(crate) limit: Option<u64>,
}

/// What a provider says.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) pieces: Vec<&'static str>,
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl Said {
    /// All pieces together.
    pub(crate) fn text(&self) -> String {
        self.pieces.concat()
    }
}

impl Asked {
    /// Reads a call as its provider does.
    pub(crate) fn read(call: &UpstreamCall) -> Option<Self> {
        let (host, path) = call.url.strip_prefix("https://")?.split_once('/')?;
        let has = |text: &str| {
            call.body
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        let (dialect, is_stream) = match host {
            "openai.test" => (Dialect::OpenAi, has("\"stream\":true")),
            "anthropic.test" => (Dialect::Anthropic, has("\"stream\":true")),
            "gemini.test" => (Dialect::Gemini, path.contains(":streamGenerateContent")),
            _ => return None,
        };
        Some(Self {
            dialect,
            is_stream,
            is_embedding: path.ends_with("embeddings"),
            limit: limit(&call.body),
        })
    }

    pub(crate) const fn provider(self) -> &'static str {
        match self.dialect {
            Dialect::OpenAi => "openai",
            Dialect::Anthropic => "anthropic",
            Dialect::Gemini => "gemini",
        }
    }

    pub(crate) const fn model(self) -> &'static str {
        match self.dialect {
            Dialect::OpenAi if self.is_embedding => "embed",
            Dialect::OpenAi => "gpt",
            Dialect::Anthropic => "claude",
            Dialect::Gemini => "flash",
        }
    }
}

/// The limit on the output, by its names in the three dialects.
fn limit(body: &[u8]) -> Option<u64> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let own = [&body["max_tokens"], &body["max_completion_tokens"]];
    let all = own
        .into_iter()
        .chain([&body["generationConfig"]["maxOutputTokens"]]);
    all.filter_map(Value::as_u64).next()
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}

/// A whole answer, or all events of a stream.
pub(crate) fn answer(asked: Asked, said: &Said, rng: &Rng) -> Vec<u8> {
    let text = match (asked.dialect, asked.is_stream) {
        _ if asked.is_embedding => format!(
            r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":[0.25,-0.5]}}],"model":"embed","usage":{{"prompt_tokens":{0},"total_tokens":{0}}}}}"#,
            said.input
        ),
        (Dialect::OpenAi, false) => format!(
            r#"{{"id":"c1","object":"chat.completion","created":1,"model":"gpt-1","choices":[{{"index":0,"message":{{"role":"assistant","content":{},"refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}}}}"#,
            quoted(&said.text()),
            said.input,
            said.output,
            said.input + said.output
        ),
        (Dialect::Anthropic, false) => format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{{"type":"text","text":{}}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":{},"output_tokens":{}}}}}"#,
            quoted(&said.text()),
            said.input,
            said.output
        ),
        (Dialect::Gemini, false) => gemini(&said.text(), Some(said)),
        (Dialect::OpenAi, true) => openai_stream(said, rng),
        (Dialect::Anthropic, true) => anthropic_stream(said, rng),
        (Dialect::Gemini, true) => gemini_stream(said, rng),
    };
    text.into_bytes()
}

/// Writes events, each with one kind of line end.
struct Events {
    text: String,
    end: &'static str,
}

impl Events {
    fn new(rng: &Rng) -> Self {
        Self {
            text: String::new(),
            end: if rng.chance(200_000) { "\r\n" } else { "\n" },
        }
    }

    fn push(&mut self, name: Option<&str>, data: &str) {
        if let Some(name) = name {
            self.text.push_str(&format!("event: {name}{}", self.end));
        }
        self.text
            .push_str(&format!("data: {data}{}{}", self.end, self.end));
    }

    fn comment(&mut self) {
        self.text
            .push_str(&format!(": ping{}{}", self.end, self.end));
    }
}

fn openai_stream(said: &Said, rng: &Rng) -> String {
    let mut events = Events::new(rng);
    let mut chunk = |delta: &str, finish: &str| {
        let data = format!(
            r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-1","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
        );
        events.push(None, &data);
    };
    chunk(r#"{"role":"assistant","content":""}"#, "null");
    for piece in &said.pieces {
        chunk(&format!(r#"{{"content":{}}}"#, quoted(piece)), "null");
    }
    chunk("{}", r#""stop""#);
    if rng.chance(300_000) {
        events.comment();
    }
    let usage = format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-1","choices":[],"usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}}}}"#,
        said.input,
        said.output,
        said.input + said.output
    );
    events.push(None, &usage);
    // Some compatible providers leave it out.
    if rng.chance(900_000) {
        events.push(None, "[DONE]");
    }
    events.text
}

fn anthropic_stream(said: &Said, rng: &Rng) -> String {
    let mut events = Events::new(rng);
    let start = format!(
        r#"{{"type":"message_start","message":{{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{},"output_tokens":1}}}}}}"#,
        said.input
    );
    events.push(Some("message_start"), &start);
    events.push(
        Some("content_block_start"),
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    );
    if rng.chance(300_000) {
        events.push(Some("ping"), r#"{"type":"ping"}"#);
    }
    for piece in &said.pieces {
        let delta = format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":{}}}}}"#,
            quoted(piece)
        );
        events.push(Some("content_block_delta"), &delta);
    }
    events.push(
        Some("content_block_stop"),
        r#"{"type":"content_block_stop","index":0}"#,
    );
    let end = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{{"output_tokens":{}}}}}"#,
        said.output
    );
    events.push(Some("message_delta"), &end);
    events.push(Some("message_stop"), r#"{"type":"message_stop"}"#);
    events.text
}

fn gemini(text: &str, last: Option<&Said>) -> String {
    let (finish, usage) = last.map_or_else(Default::default, |said| {
        (
            r#","finishReason":"STOP""#.to_owned(),
            format!(
                r#","usageMetadata":{{"promptTokenCount":{},"candidatesTokenCount":{},"totalTokenCount":{}}}"#,
                said.input,
                said.output,
                said.input + said.output
            ),
        )
    });
    format!(
        r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":{}}}]}}{finish},"index":0}}]{usage},"modelVersion":"flash","responseId":"r1"}}"#,
        quoted(text)
    )
}

fn gemini_stream(said: &Said, rng: &Rng) -> String {
    let mut events = Events::new(rng);
    let last = said.pieces.len() - 1;
    for (place, piece) in said.pieces.iter().enumerate() {
        events.push(None, &gemini(piece, (place == last).then_some(said)));
    }
    events.text
}

/// An error answer: what the dialect says, or what a proxy before it says.
pub(crate) fn refusal(asked: Asked, rng: &Rng) -> (u16, Bytes) {
    let status = *rng.pick(&[400_u16, 401, 403, 404, 429, 500, 503, 529]);
    let body = match rng.below(4) {
        0 => "<html><body>Bad gateway</body></html>".to_owned(),
        1 => String::new(),
        _ => match asked.dialect {
            Dialect::OpenAi => {
                r#"{"error":{"message":"No.","type":"server_error","param":null,"code":null}}"#
            }
            Dialect::Anthropic => {
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#
            }
            Dialect::Gemini => {
                r#"{"error":{"code":503,"message":"Overloaded.","status":"UNAVAILABLE"}}"#
            }
        }
        .to_owned(),
    };
    (status, Bytes::from(body))
}

/// How a provider refuses the country that a call comes from, where its pages say so.
pub(crate) fn wrong_country(asked: Asked) -> Option<(u16, Bytes)> {
    let (status, body) = match asked.dialect {
        Dialect::OpenAi => (
            403,
            r#"{"error":{"message":"Country, region, or territory not supported","type":"request_forbidden","param":null,"code":"unsupported_country_region_territory"}}"#,
        ),
        Dialect::Anthropic => return None,
        Dialect::Gemini => (
            400,
            r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#,
        ),
    };
    Some((status, Bytes::from_static(body.as_bytes())))
}

/// Something that no dialect allows, in place of an answer.
pub(crate) fn garbage(asked: Asked, rng: &Rng, sound: Vec<u8>) -> Vec<u8> {
    let wrap = |data: &str| {
        if asked.is_stream {
            format!("data: {data}\n\n").into_bytes()
        } else {
            data.as_bytes().to_vec()
        }
    };
    match rng.below(5) {
        0 => b"<html>".to_vec(),
        1 => Vec::new(),
        2 => wrap(r#"{"error":{"message":"No.","type":"server_error","code":500}}"#),
        3 => wrap(r#"{"choices":7,"candidates":7,"content":7,"data":7,"type":7}"#),
        _ => {
            // The beginning of the answer, and then no JSON.
            let mut bytes = sound;
            bytes.truncate(bytes.len() / 3);
            bytes.extend_from_slice(&wrap("\n\n{]"));
            bytes
        }
    }
}
