//! Recorded exchanges with real providers (`SLUICE_RECORDINGS`), by the dialect that was spoken.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::facts::base64;
use super::folders::beside;
use super::framing;
use super::sides::{Downstream, Upstream};

/// One exchange, or one answer of a collection.
pub(crate) struct Recorded {
    pub(crate) provider: String,
    pub(crate) source: String,
    pub(crate) upstream: Upstream,
    pub(crate) status: u16,
    pub(crate) request: Option<Value>,
    pub(crate) answer: Answer,
}

/// What was answered.
pub(crate) enum Answer {
    Whole(Value),
    Stream(Vec<u8>),
}

/// The collection's folders, and what is spoken in them.
const FOLDERS: [(&str, Upstream); 19] = [
    ("alibaba", Upstream::Chat),
    ("amazon-bedrock", Upstream::Bedrock),
    ("anthropic", Upstream::Anthropic),
    ("azure", Upstream::Responses),
    ("cohere", Upstream::Cohere),
    ("deepseek/chat", Upstream::Chat),
    ("google", Upstream::Gemini),
    ("groq", Upstream::Chat),
    ("mistral", Upstream::Chat),
    ("moonshotai", Upstream::Chat),
    ("open-responses/responses", Upstream::Responses),
    ("openai/chat", Upstream::Chat),
    ("openai/responses", Upstream::Responses),
    ("openai-compatible/chat", Upstream::Chat),
    ("perplexity", Upstream::Chat),
    ("togetherai", Upstream::Chat),
    ("xai", Upstream::Chat),
    ("xai/responses", Upstream::Responses),
    ("google-vertex", Upstream::Gemini),
];

/// All that speaks a dialect of the library. `None`, said aloud, where there are no recordings.
pub(crate) fn all() -> Option<Vec<Recorded>> {
    let root = folder()?;
    let mut all = Vec::new();
    for file in files(&root) {
        if file.extension().is_some_and(|ending| ending == "jsonl") {
            all.extend(exchanges(&file).filter_map(exchange));
        }
    }
    for (name, upstream) in FOLDERS {
        for file in files(&root.join("vercel-ai").join(name)) {
            all.extend(collected(&file, name, upstream));
        }
    }
    Some(all)
}

/// Those that speak this dialect.
pub(crate) fn of_dialect(upstream: Upstream) -> Vec<Recorded> {
    let all = all().into_iter().flatten();
    all.filter(|recorded| recorded.upstream == upstream)
        .collect()
}

/// Where the recordings are.
pub(crate) fn folder() -> Option<PathBuf> {
    beside("SLUICE_RECORDINGS", "recordings")
}

/// The exchanges of one file that went to an address with this ending.
pub(crate) fn exchanges_to(name: &str, ending: &str) -> Vec<Value> {
    let Some(folder) = folder() else {
        return Vec::new();
    };
    let mut found: Vec<Value> = exchanges(&folder.join(name)).collect();
    found.retain(|exchange| {
        let url = exchange["url"].as_str().unwrap();
        url.split('?').next().unwrap().ends_with(ending)
    });
    found
}

/// The files of a folder of the collection with this ending: name and text.
pub(crate) fn collection(name: &str, ending: &str) -> Vec<(String, String)> {
    let Some(folder) = folder() else {
        return Vec::new();
    };
    let files = files(&folder.join("vercel-ai").join(name)).into_iter();
    let named = files.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    named.filter(|(name, _)| name.ends_with(ending)).collect()
}

/// The files of a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

pub(crate) fn exchanges(file: &Path) -> impl Iterator<Item = Value> {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.into_iter()
}

fn exchange(mut exchange: Value) -> Option<Recorded> {
    // OpenAI's assistants have messages too.
    let is_thread = exchange["url"].as_str()?.contains("/threads/");
    let upstream = match exchange["op"].as_str()? {
        "chat.completions" => Upstream::Chat,
        "responses" => Upstream::Responses,
        "messages" if !is_thread => Upstream::Anthropic,
        "generateContent" | "streamGenerateContent" => Upstream::Gemini,
        "converse" | "converse-stream" => Upstream::Bedrock,
        "cohere.v2.chat" => Upstream::Cohere,
        _ => return None,
    };
    let answer = match exchange["response"].take() {
        Value::String(text) => Answer::Stream(text.into_bytes()),
        Value::Object(fields) if fields.contains_key("_base64") => {
            Answer::Stream(base64(fields["_base64"].as_str().unwrap()))
        }
        other => Answer::Whole(other),
    };
    let text = |key: &str| exchange[key].as_str().unwrap_or_default().to_owned();
    Some(Recorded {
        provider: text("provider"),
        source: text("src"),
        upstream,
        status: u16::try_from(exchange["status"].as_u64()?).unwrap(),
        answer,
        request: Some(exchange["request"].take()),
    })
}

/// The answer, or the streams, of one file.
fn collected(file: &Path, folder: &str, upstream: Upstream) -> Vec<Recorded> {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(file).unwrap();
    let recorded = |answer| Recorded {
        provider: format!("vercel-ai/{folder}"),
        source: name.clone(),
        upstream,
        status: 200,
        request: None,
        answer,
    };
    if name.ends_with(".json") {
        let value: Value = serde_json::from_str(&text).unwrap();
        let is_answer = match upstream {
            Upstream::Chat => "choices",
            Upstream::Responses | Upstream::Bedrock => "output",
            Upstream::Anthropic => "content",
            Upstream::Gemini => "candidates",
            Upstream::Cohere => "message",
        };
        let answer = value.get(is_answer).is_some();
        return answer
            .then(|| recorded(Answer::Whole(value)))
            .into_iter()
            .collect();
    }
    // A relay's fault: a second message within the first. And two events whose JSON was cut by hand.
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let chunks: Result<Vec<Value>, _> = lines.map(serde_json::from_str).collect();
    let Ok(chunks) = chunks else {
        return Vec::new();
    };
    let is_typed =
        upstream != Upstream::Responses || chunks.iter().all(|chunk| chunk["type"].is_string());
    if name.starts_with("spliced") || !is_typed {
        return Vec::new();
    }
    let streams = split(upstream, chunks);
    streams
        .map(|chunks| recorded(Answer::Stream(framing::stream(upstream, &chunks))))
        .collect()
}

/// Some files hold the streams of several turns.
fn split(upstream: Upstream, chunks: Vec<Value>) -> impl Iterator<Item = Vec<Value>> {
    let mut streams: Vec<Vec<Value>> = vec![Vec::new()];
    for chunk in chunks {
        let begins = upstream == Upstream::Responses && chunk["type"] == "response.created";
        let ends = upstream == Upstream::Anthropic && chunk["type"] == "message_stop";
        if begins {
            streams.push(Vec::new());
        }
        streams.last_mut().unwrap().push(chunk);
        if ends {
            streams.push(Vec::new());
        }
    }
    streams.into_iter().filter(|stream| !stream.is_empty())
}

impl Upstream {
    /// The dialect of the callers who send the same requests.
    pub(crate) fn as_downstream(self) -> Option<Downstream> {
        let same = |downstream: &Downstream| downstream.as_upstream() == self;
        Downstream::ALL.into_iter().find(same)
    }
}
