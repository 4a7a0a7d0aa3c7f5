//! The estimates of tokens, held against what real providers counted (`SLUICE_RECORDINGS`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sluice_core::estimate;
use sluice_wire::dialect::decode_chat;
use sluice_wire::gemini::downstream::Framing;
use sluice_wire::{Downstream, gemini};

/// What a provider adds by itself, or keeps: nobody can count it beforehand.
const UNCOUNTABLE: [&str; 8] = [
    "web_search",
    "compound-beta",
    "urlContext",
    "codeExecution",
    "code_execution",
    "fileSearch",
    "fileUri",
    "cachedContent",
];

fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("SLUICE_RECORDINGS")
        .map_or_else(|| root.join("../shared/recordings"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn exchanges(folder: &Path) -> Vec<Value> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    let read = |path: PathBuf| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    files.flat_map(read).collect()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The bound, and what the provider counted.
fn compare(exchange: &Value) -> Option<(u64, u64)> {
    if exchange["status"] != 200 || exchange["response_kind"] != "json" {
        return None;
    }
    let body = text(&exchange["request"]);
    let (downstream, request) = match exchange["op"].as_str()? {
        "chat.completions" => (Downstream::ChatCompletions, None),
        "messages" => (Downstream::Messages, None),
        "responses" => (Downstream::Responses, None),
        "generateContent" => {
            let request = gemini::downstream::decode_request("m", false, body.as_bytes());
            (Downstream::GenerateContent(Framing::Sse), Some(request))
        }
        _ => return None,
    };
    let request = request.unwrap_or_else(|| downstream.decode_request(body.as_bytes()));
    let (request, _) = request.ok()?;
    let answer = text(&exchange["response"]);
    let (response, _) = decode_chat(downstream.dialect(), answer.as_bytes()).ok()?;
    let usage = response.usage?;
    let counted = usage.input_total().count();
    if counted == 0 || UNCOUNTABLE.iter().any(|word| body.contains(word)) {
        return None;
    }
    let around = estimate::around(&request, downstream.dialect());
    Some((estimate::chat_input(&request).plus(around).count(), counted))
}

#[test]
fn what_providers_count_is_within_the_bound() {
    let Some(folder) = folder() else {
        println!("skipped: there are no recordings");
        return;
    };
    let mut hundredths: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for exchange in exchanges(&folder) {
        let Some((bound, counted)) = compare(&exchange) else {
            continue;
        };
        assert!(
            bound >= counted,
            "{}: {bound} of {counted}",
            exchange["src"]
        );
        let name = format!("{} {}", text(&exchange["provider"]), text(&exchange["op"]));
        hundredths
            .entry(name)
            .or_default()
            .push(bound * 100 / counted);
    }
    assert!(hundredths.len() > 5, "{hundredths:?}");
    for (name, mut ratios) in hundredths {
        ratios.sort_unstable();
        let middle = ratios[ratios.len() / 2];
        println!(
            "{name}: {} answers, the bound is {}% to {}% of what was counted, {middle}% in the middle",
            ratios.len(),
            ratios[0],
            ratios[ratios.len() - 1],
        );
    }
}
