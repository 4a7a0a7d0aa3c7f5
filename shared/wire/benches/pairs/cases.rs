//! What is measured: for each pair of a caller's and a provider's dialect one request, one whole answer and one chunk
//! of a streamed one, and beside them the splitting of server-sent events.
//!
//! The work is what the gateway does with it: where both sides speak the same dialect, the body passes through.
//! Knows neither clocks nor how often a case runs, so that the same cases are timed natively and in wasm.

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_units::{Tokens, Usage};
use sluice_wire::dialect::{decode_chat, encode_chat};
use sluice_wire::downstream::{Answered, Downstream, EventTap, StreamEncoder};
use sluice_wire::event_stream::{HeaderValue, Message, write_message};
use sluice_wire::gemini::downstream::Framing;
use sluice_wire::model::{ChatRequest, Collector, Event, Finish, PartKind};
use sluice_wire::sse::{SseDecoder, write_event};
use sluice_wire::{Dialect, StreamDecoder, Target, openai, responses};

/// A caller's request: system, several turns with calls and results, three tools; in Chat Completions.
const CONVERSATION: &[u8] = include_bytes!("conversation.json");
/// What the model says, a word a chunk.
const SAID: &str = "Pack for two to five degrees and a little rain on the first morning: a warm, waterproof jacket for \
    each of you, sturdy shoes, hats and gloves, and for the afternoons on the harbour a scarf against the wind from the \
    south-west. For the child I would add a second pair of trousers and rubber boots, because the playground by the \
    quay is on grass. An umbrella is not worth it in that wind. The hotel has towels, a hair dryer and a cot, so you \
    can leave those at home. I will put the booking together now and show it to you before anything is fixed.";
/// The arguments of the call that follows, in the pieces in which they come.
const ARGUMENTS: [&str; 5] = [
    "{\"hotel\":",
    "\"Havnekontoret\",",
    "\"from\":\"2026-11-13\",",
    "\"nights\":3,",
    "\"guests\":3}",
];
const NAME: &str = "book_hotel";
const CALL_ID: &str = "call_Yq7Lw02d";
/// The size of the stream on which splitting is measured, in bytes.
const STREAM_BYTES: usize = 1 << 20;

const CALLERS: [Downstream; 4] = [
    Downstream::ChatCompletions,
    Downstream::Responses,
    Downstream::Messages,
    Downstream::GenerateContent(Framing::Sse),
];

/// One thing that is measured.
pub(crate) struct Case {
    /// `request`, `answer`, `chunk` or `bytes`.
    pub(crate) kind: &'static str,
    /// Which pair, such as `anthropic to openai`: from the caller's dialect to the provider's.
    pub(crate) name: String,
    /// How many requests, answers, chunks or bytes one run works off.
    pub(crate) units: usize,
    run: Box<dyn Fn() -> usize>,
}

impl Case {
    /// Does the work once. What comes back depends on all of it.
    pub(crate) fn run(&self) -> usize {
        (self.run)()
    }
}

/// Everything that is measured.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for caller in CALLERS {
        for dialect in Dialect::ALL {
            let name = format!("{} to {}", caller.dialect().name(), dialect.name());
            let add = |kind, units, run| Case {
                kind,
                name: name.clone(),
                units,
                run,
            };
            let pieces = streamed(dialect);
            cases.push(add("request", 1, request(caller, dialect)));
            cases.push(add("answer", 1, answer(caller, dialect)));
            cases.push(add("chunk", pieces.len(), chunks(caller, dialect, pieces)));
        }
    }
    let stream = long_stream();
    let (bytes, same) = (stream.len(), stream.clone());
    cases.push(Case {
        kind: "bytes",
        name: "server-sent events".to_owned(),
        units: bytes,
        run: Box::new(move || split(&stream)),
    });
    cases.push(Case {
        kind: "bytes",
        name: "memchr over the same".to_owned(),
        units: bytes,
        run: Box::new(move || memchr::memchr_iter(b'\n', &same).count()),
    });
    cases
}

fn target() -> Target {
    Target {
        model: "claude-sonnet-4-5".to_owned(),
        output_tokens_max: Some(64_000),
        ..Target::default()
    }
}

fn answered() -> Answered {
    Answered {
        id: "018f3c1e".to_owned(),
        created: 1_793_000_000,
        echo: None,
    }
}

fn request(caller: Downstream, dialect: Dialect) -> Box<dyn Fn() -> usize> {
    let (conversation, _) = Downstream::ChatCompletions
        .decode_request(CONVERSATION)
        .unwrap();
    let (written, _) = encode_chat(caller.dialect(), &conversation, &target()).unwrap();
    let (body, target) = (written.body, target());
    Box::new(move || {
        let (mut request, _) = caller.decode_request(&body).unwrap();
        let written = if caller.passes(dialect, &request, &target) {
            caller.pass_through(&request, &target, &body).unwrap()
        } else {
            caller.leave(&mut request).unwrap();
            encode_chat(dialect, &request, &target).unwrap().0
        };
        written.body.len()
    })
}

fn answer(caller: Downstream, dialect: Dialect) -> Box<dyn Fn() -> usize> {
    let body = Bytes::from(whole(dialect));
    let answered = answered();
    let passes = caller.passes(dialect, &ChatRequest::default(), &target());
    Box::new(move || match caller {
        Downstream::ChatCompletions if passes => openai::passthrough::look(&body)
            .unwrap()
            .finish
            .map_or(0, |word| word.len()),
        Downstream::Responses if passes => responses::passthrough::look(&body)
            .unwrap()
            .finish
            .map_or(0, |word| word.len()),
        _ => {
            let (response, _) = decode_chat(dialect, &body).unwrap();
            if passes {
                return response.choices.len();
            }
            caller.encode_response(&response, &answered).0.len()
        }
    })
}

fn chunks(caller: Downstream, dialect: Dialect, pieces: Vec<Vec<u8>>) -> Box<dyn Fn() -> usize> {
    if caller.passes(dialect, &ChatRequest::default(), &target()) {
        return passing(caller, pieces);
    }
    let answered = answered();
    Box::new(move || {
        let mut decoder = StreamDecoder::new(dialect);
        let mut encoder = StreamEncoder::new(caller, &answered, true);
        let (mut events, mut written) = (Vec::new(), 0);
        for piece in &pieces {
            let mut out = Vec::new();
            decoder.push(piece, &mut events).unwrap();
            events
                .drain(..)
                .for_each(|event| encoder.push(&event, &mut out));
            written += out.len();
        }
        written
    })
}

fn passing(caller: Downstream, pieces: Vec<Vec<u8>>) -> Box<dyn Fn() -> usize> {
    Box::new(move || {
        let mut chat = openai::passthrough::StreamTap::new(true);
        let mut own = responses::passthrough::StreamTap::new();
        let mut other = EventTap::new(caller.dialect());
        let (mut events, mut written) = (Vec::new(), 0);
        for piece in &pieces {
            let mut out = Vec::new();
            match caller {
                Downstream::ChatCompletions => chat.push(piece, &mut out),
                Downstream::Responses => own.push(piece, &mut out),
                _ => other.push(piece, &mut out, &mut events),
            }
            .unwrap();
            events.clear();
            written += out.len();
        }
        written
    })
}

fn split(stream: &[u8]) -> usize {
    let mut bytes = 0;
    let split = SseDecoder::new().push(stream, |event| {
        bytes += event.data.len();
        Ok(())
    });
    split.unwrap();
    bytes
}

fn words() -> impl Iterator<Item = &'static str> {
    SAID.split_inclusive(' ')
}

fn usage() -> Usage {
    Usage {
        input: Tokens::new(1_204),
        output: Tokens::new(163),
        ..Usage::default()
    }
}

/// The answer as the neutral model has it.
fn events() -> Vec<Event> {
    let (choice, mut events) = (0, Vec::new());
    let (id, model) = ("answer_1".to_owned(), "model".to_owned());
    events.push(Event::Start {
        id,
        model,
        created: Some(1_793_000_000),
    });
    let call = PartKind::ToolCall {
        id: CALL_ID.to_owned(),
        name: NAME.to_owned(),
    };
    let said: Vec<&str> = words().collect();
    for (part, kind, texts) in [(0, PartKind::Text, &said[..]), (1, call, &ARGUMENTS)] {
        events.push(Event::PartStart { choice, part, kind });
        events.extend(texts.iter().map(|text| Event::Delta {
            choice,
            part,
            text: (*text).to_owned(),
        }));
        events.push(Event::PartEnd { choice, part });
    }
    let finish = Finish::ToolCalls;
    events.extend([
        Event::Finish { choice, finish },
        Event::Usage(usage()),
        Event::End,
    ]);
    events
}

/// The caller whose dialect this is, if callers speak it.
fn speaker(dialect: Dialect) -> Option<Downstream> {
    CALLERS
        .into_iter()
        .find(|caller| caller.dialect() == dialect)
}

/// The whole answer as a provider of the dialect sends it.
fn whole(dialect: Dialect) -> Vec<u8> {
    let arguments: Value = serde_json::from_str(&ARGUMENTS.concat()).unwrap();
    let body = match (speaker(dialect), dialect) {
        (Some(caller), _) => {
            let mut collector = Collector::new();
            events().into_iter().for_each(|event| collector.push(event));
            let response = collector.finish().unwrap();
            return caller.encode_response(&response, &answered()).0;
        }
        (None, Dialect::Bedrock) => json!({
            "metrics": {"latencyMs": 1234},
            "output": {"message": {"role": "assistant", "content": [
                {"text": SAID},
                {"toolUse": {"toolUseId": CALL_ID, "name": NAME, "input": arguments}},
            ]}},
            "stopReason": "tool_use",
            "usage": {"inputTokens": 1_204, "outputTokens": 163, "totalTokens": 1_367},
        }),
        (None, _) => json!({
            "id": "answer_1",
            "message": {"role": "assistant", "tool_plan": SAID, "tool_calls": [
                {"id": CALL_ID, "type": "function", "function": {"name": NAME, "arguments": ARGUMENTS.concat()}},
            ]},
            "finish_reason": "TOOL_CALL",
            "usage": {"tokens": {"input_tokens": 1_204, "output_tokens": 163}},
        }),
    };
    body.to_string().into_bytes()
}

/// The streamed answer as a provider of the dialect sends it, a chunk each.
fn streamed(dialect: Dialect) -> Vec<Vec<u8>> {
    let pieces = match (speaker(dialect), dialect) {
        (Some(caller), _) => {
            let mut encoder = StreamEncoder::new(caller, &answered(), true);
            events()
                .iter()
                .map(|event| {
                    let mut out = Vec::new();
                    encoder.push(event, &mut out);
                    out
                })
                .collect()
        }
        (None, Dialect::Bedrock) => bedrock_stream(),
        (None, _) => cohere_stream(),
    };
    pieces
        .into_iter()
        .filter(|piece: &Vec<u8>| !piece.is_empty())
        .collect()
}

fn bedrock_stream() -> Vec<Vec<u8>> {
    let delta = |index: u32, delta: Value| {
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": index, "delta": delta, "p": "abcdefghij"}),
        )
    };
    let call = json!({"toolUse": {"toolUseId": CALL_ID, "name": NAME}});
    let usage = json!({"inputTokens": 1_204, "outputTokens": 163, "totalTokens": 1_367});
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    events.extend(words().map(|word| delta(0, json!({"text": word}))));
    events.extend([
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 1, "start": call}),
        ),
    ]);
    events.extend(ARGUMENTS.map(|piece| delta(1, json!({"toolUse": {"input": piece}}))));
    events.extend([
        ("contentBlockStop", json!({"contentBlockIndex": 1})),
        ("messageStop", json!({"stopReason": "tool_use"})),
        (
            "metadata",
            json!({"usage": usage, "metrics": {"latencyMs": 1234}}),
        ),
    ]);
    let frames = events.into_iter().map(|(kind, payload)| {
        let mut out = Vec::new();
        let headers = vec![
            (":event-type", HeaderValue::Text(kind)),
            (":content-type", HeaderValue::Text("application/json")),
            (":message-type", HeaderValue::Text("event")),
        ];
        let payload = payload.to_string();
        write_message(
            &mut out,
            &Message {
                headers,
                payload: payload.as_bytes(),
            },
        )
        .unwrap();
        out
    });
    frames.collect()
}

fn cohere_stream() -> Vec<Vec<u8>> {
    let start = json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []});
    let call =
        json!({"id": CALL_ID, "type": "function", "function": {"name": NAME, "arguments": ""}});
    let usage = json!({"tokens": {"input_tokens": 1_204, "output_tokens": 163}});
    let mut events =
        vec![json!({"id": "answer_1", "type": "message-start", "delta": {"message": start}})];
    events.extend(
        words().map(
            |word| json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": word}}}),
        ),
    );
    events.push(
        json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}}),
    );
    events.extend(ARGUMENTS.map(|piece| {
        let call = json!({"function": {"arguments": piece}});
        json!({"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": call}}})
    }));
    events.extend([
        json!({"type": "tool-call-end", "index": 0}),
        json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": usage}}),
    ]);
    let frames = events.into_iter().map(|event| {
        let mut out = Vec::new();
        write_event(
            &mut out,
            event["type"].as_str(),
            event.to_string().as_bytes(),
        );
        out
    });
    frames.collect()
}

fn long_stream() -> Vec<u8> {
    let once = streamed(Dialect::OpenAi).concat();
    once.iter().copied().cycle().take(STREAM_BYTES).collect()
}
