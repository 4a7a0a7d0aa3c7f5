//! Recorded answers in OpenAI's dialect as callers of that dialect get them: passed through, and like OpenAI's published
//! description (`SLUICE_SPECS`), whoever answered.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use sluice_wire::openai::passthrough::{self, StreamTap};

use crate::support::recordings::{self, Answer, Recorded};
use crate::support::rules::{check_answer, check_chunk};
use crate::support::sides::{Downstream, Upstream};

/// Where a provider says what the description has no word for, and no other word would be true.
const OWN_WORDS: [&str; 3] = [
    // Together's and Perplexity's reasons to stop, and OpenRouter's class of service.
    "/finish_reason",
    "/service_tier",
    // What a gateway before the provider writes into a delta.
    "/delta/function_call",
];

#[test]
fn answers_that_pass_through_are_like_openais_description() {
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut faults = Vec::new();
    let recorded = recordings::of_dialect(Upstream::Chat);
    // Mistral's are always written anew.
    let passes = |one: &&Recorded| one.status == 200 && !one.provider.contains("mistral");
    for one in recorded.iter().filter(passes) {
        let outcome = match &one.answer {
            Answer::Whole(answer) => whole(answer).map(|()| 0),
            Answer::Stream(bytes) => stream(bytes).map(|()| 1),
        };
        match outcome {
            Ok(kind) => counts.entry(one.provider.clone()).or_default()[kind] += 1,
            Err(fault) => faults.push(said(one, &fault)),
        }
    }
    for (provider, [whole, streams]) in &counts {
        println!("{provider:>20}: {whole} answers and {streams} streams passed on");
    }
    let unknown = |fault: &&String| !OWN_WORDS.iter().any(|word| fault.contains(word));
    let unknown: Vec<&String> = faults.iter().filter(unknown).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

fn said(one: &Recorded, fault: &str) -> String {
    format!("{} {}: {fault}", one.provider, one.source)
}

fn whole(answer: &Value) -> Result<(), String> {
    if answer.get("choices").is_none() {
        return Ok(());
    }
    let body = Bytes::from(answer.to_string());
    let mended: Value = serde_json::from_slice(&passthrough::mended(&body)).unwrap();
    check_answer(Downstream::Chat, &mended)
}

fn stream(bytes: &[u8]) -> Result<(), String> {
    let mut tap = StreamTap::new(true).mending();
    let mut out = Vec::new();
    if tap.push(bytes, &mut out).is_err() || tap.finish(&mut out).is_err() {
        return Ok(());
    }
    let text = String::from_utf8(out).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    for data in lines.map(str::trim).filter(|data| *data != "[DONE]") {
        let chunk: Value = serde_json::from_str(data).unwrap();
        check_chunk(Downstream::Chat, &chunk)?;
    }
    Ok(())
}
