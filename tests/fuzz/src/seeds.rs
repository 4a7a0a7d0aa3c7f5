//! Inputs to begin with: the project's fixtures, a few written for this, and recordings where there are any
//! (the folder that `SLUICE_RECORDINGS` names, or `../shared/recordings` beside the project).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The largest seed, in bytes: a mutant of a larger one takes too long to check.
const SEED_BYTES_MAX: usize = 24 << 10;

/// What a seed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A caller's request in this dialect.
    Request(&'static str),
    /// A provider's whole answer in this dialect.
    Answer(&'static str),
    /// A provider's stream in this dialect.
    Stream(&'static str),
    /// A request in legacy Completions.
    Completions,
    /// A content type, a line end, a form.
    Form,
    /// A request for vectors, a ranking, or of a direct endpoint.
    ListRequest,
    /// An answer to one.
    ListAnswer,
    /// A first line, headers, an empty line and a body.
    Headed,
    /// A resolved configuration.
    Configuration,
    /// Messages of AWS' event stream.
    EventStream,
    /// Anything in JSON.
    AnyJson,
    /// Any server-sent events.
    AnySse,
}

/// The seeds of these kinds, each once.
pub(crate) fn of(kinds: &[Kind], all: Vec<(Kind, Vec<u8>)>) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = all
        .into_iter()
        .filter(|(kind, seed)| {
            seed.len() <= SEED_BYTES_MAX && kinds.iter().any(|wanted| wanted.holds(*kind))
        })
        .map(|(_, seed)| seed)
        .collect();
    found.sort();
    found.dedup();
    found
}

impl Kind {
    fn holds(self, kind: Self) -> bool {
        match self {
            Self::AnyJson => matches!(kind, Self::Request(_) | Self::Configuration),
            Self::AnySse => matches!(kind, Self::Stream(dialect) if dialect != "bedrock"),
            _ => self == kind,
        }
    }
}

const DIALECTS: [&str; 6] = [
    "openai",
    "responses",
    "anthropic",
    "gemini",
    "bedrock",
    "cohere",
];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder by name; none where there is no such folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, fs::read(&path).ok()?))
        })
        .collect();
    files.sort();
    files
}

/// The project's own.
pub(crate) fn fixtures() -> Vec<(Kind, Vec<u8>)> {
    let mut seeds = Vec::new();
    for dialect in DIALECTS {
        for (name, text) in files(&project().join("tests/fixtures").join(dialect)) {
            seeds.extend(fixture(dialect, &name, text));
        }
    }
    for (name, text) in files(&project().join("tests/fuzz/seeds")) {
        let kind = name.split('.').next().unwrap_or_default();
        seeds.push(match kind {
            "configuration" => (Kind::Configuration, compact(text)),
            "completions" => (Kind::Completions, compact(text)),
            "embeddings" | "rerank" | "direct" => (Kind::ListRequest, compact(text)),
            "ranked" | "vectors" => (Kind::ListAnswer, compact(text)),
            "event_stream" => (Kind::EventStream, text),
            "headed" => (Kind::Headed, text),
            "form" => (Kind::Form, text),
            dialect => {
                let known = DIALECTS.into_iter().find(|known| *known == dialect);
                (
                    Kind::Request(known.expect("a seed is named after its kind")),
                    compact(text),
                )
            }
        });
    }
    seeds
}

fn fixture(dialect: &'static str, name: &str, text: Vec<u8>) -> Option<(Kind, Vec<u8>)> {
    let kind = name.split(['_', '.']).next()?;
    Some(match kind {
        "request" | "caller" | "downstream" => (Kind::Request(dialect), compact(text)),
        "answer" | "response" => (Kind::Answer(dialect), compact(text)),
        "stream" => (Kind::Stream(dialect), text),
        "embeddings" => (Kind::ListAnswer, compact(text)),
        "error" => (Kind::Headed, failed(name, &text)),
        _ => return None,
    })
}

/// An error of the fixtures: its status stands in its name.
fn failed(name: &str, body: &[u8]) -> Vec<u8> {
    let status = name.split('_').nth(1).unwrap_or("500");
    let headers =
        "retry-after: 7\nx-ratelimit-reset-requests: 1s\nx-amzn-errortype: ThrottlingException";
    let mut seed = format!("{status}\n{headers}\n\n").into_bytes();
    seed.extend(compact(body.to_vec()));
    seed
}

/// JSON without spaces, so that a mutant's bytes mean something; anything else as it is.
fn compact(text: Vec<u8>) -> Vec<u8> {
    serde_json::from_slice(&text).map_or(text, |value: Value| value.to_string().into_bytes())
}

/// Recordings, where there are any.
pub(crate) fn recordings() -> Vec<(Kind, Vec<u8>)> {
    let folder = std::env::var_os("SLUICE_RECORDINGS")
        .map_or_else(|| project().join("../shared/recordings"), PathBuf::from);
    let mut seeds = Vec::new();
    for (name, text) in files(&folder) {
        if name.ends_with(".jsonl") {
            let text = String::from_utf8_lossy(&text).into_owned();
            for line in text.lines() {
                let exchange = serde_json::from_str(line).unwrap_or_default();
                recorded(&exchange, &mut seeds);
            }
        }
    }
    for (place, dialect) in [
        ("amazon-bedrock", "bedrock"),
        ("anthropic", "anthropic"),
        ("cohere", "cohere"),
        ("deepseek", "openai"),
        ("google", "gemini"),
        ("groq", "openai"),
        ("mistral", "openai"),
        ("openai", "responses"),
        ("xai", "openai"),
    ] {
        for (name, text) in files(&folder.join("vercel-ai").join(place)) {
            if name.ends_with(".json") {
                seeds.push((Kind::Answer(dialect), compact(text)));
            } else {
                seeds.push((Kind::Stream(dialect), framed(dialect, text)));
            }
        }
    }
    seeds
}

fn recorded(exchange: &Value, seeds: &mut Vec<(Kind, Vec<u8>)>) {
    let text = |field: &str| match &exchange[field] {
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    };
    let dialect = match exchange["op"].as_str().unwrap_or_default() {
        "chat.completions" => "openai",
        "responses" => "responses",
        "messages" => "anthropic",
        "generateContent" | "streamGenerateContent" => "gemini",
        "converse" => "bedrock",
        "cohere.v2.chat" => "cohere",
        "embeddings" | "batchEmbedContents" | "embed" | "rerank" => {
            seeds.push((Kind::ListRequest, text("request")));
            seeds.push((Kind::ListAnswer, text("response")));
            return;
        }
        "completions" => return seeds.push((Kind::Completions, text("request"))),
        _ => return,
    };
    let status = exchange["status"].as_u64().unwrap_or(500);
    seeds.push((Kind::Request(dialect), text("request")));
    let answer = text("response");
    match exchange["response_kind"].as_str() {
        _ if status >= 300 => {
            let mut seed = format!("{status}\n\n").into_bytes();
            seed.extend(answer);
            seeds.push((Kind::Headed, seed));
        }
        Some("json") => seeds.push((Kind::Answer(dialect), answer)),
        Some("sse") => seeds.push((Kind::Stream(dialect), answer)),
        _ => {}
    }
}

/// Chunks of which the framing was taken off; the properties frame Bedrock's themselves.
fn framed(dialect: &str, chunks: Vec<u8>) -> Vec<u8> {
    if dialect == "bedrock" {
        return chunks;
    }
    let mut stream = Vec::new();
    for line in chunks
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        sluice_wire::sse::write_event(&mut stream, None, line);
    }
    if dialect == "openai" {
        sluice_wire::sse::write_event(&mut stream, None, b"[DONE]");
    }
    stream
}
