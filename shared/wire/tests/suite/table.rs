//! What each dialect can say, found out by saying each thing alone, and written into `docs/dialects.md`.
//!
//! `cargo xtask bless` writes the tables anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sluice_units::{Tokens, Usage};
use sluice_wire::Drops;
use sluice_wire::model::{
    CacheMark, ChatRequest, ChatResponse, Choice, Effort, Finish, Logprobs, Message, Part,
    Reasoning, ResponseFormat, Role, Source, Tool, ToolChoice,
};

use crate::support::sides::{Downstream, Upstream};

/// The line before the tables; what comes before it is written by hand.
const MARK: &str = "<!-- From here on written by `cargo xtask bless`. -->";

/// What one dialect makes of one thing.
enum Verdict {
    Said,
    /// With the reasons.
    Lost(Vec<String>),
    Refused(String),
}

#[test]
fn the_tables_are_those_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dialects.md");
    let text = fs::read_to_string(&file).unwrap();
    let (by_hand, _) = text.split_once(MARK).expect("the mark stands in the file");
    let wanted = format!("{by_hand}{MARK}\n{}{}", requests(), answers());
    if std::env::var_os("SLUICE_BLESS").is_some() {
        fs::write::<PathBuf, _>(file, wanted).unwrap();
        return;
    }
    assert!(
        text == wanted,
        "docs/dialects.md is stale: `cargo xtask bless` writes it anew"
    );
}

fn requests() -> String {
    let names = Upstream::ALL.map(Upstream::name);
    let rows = asked().into_iter().map(|(what, request)| {
        let verdicts = Upstream::ALL.map(|upstream| {
            let [target, _] = upstream.targets();
            match upstream.encode(&request, &target) {
                Err(refusal) => Verdict::Refused(refusal.reason),
                Ok((_, drops)) => verdict(&drops),
            }
        });
        (what, verdicts.into())
    });
    format!(
        "\n## What a request says, to a provider\n\n{}",
        table(&names, &rows.collect::<Vec<_>>())
    )
}

fn answers() -> String {
    let names = Downstream::ALL.map(Downstream::name);
    let all = answered().into_iter().chain(ended());
    let rows = all.map(|(what, response)| {
        let verdicts = Downstream::ALL.map(|downstream| verdict(&downstream.answer(&response).1));
        (what, verdicts.into())
    });
    format!(
        "\n## What an answer says, to a caller\n\n{}",
        table(&names, &rows.collect::<Vec<_>>())
    )
}

fn verdict(drops: &Drops) -> Verdict {
    let reasons = drops.as_slice().iter().map(|drop| drop.reason.to_string());
    let reasons: Vec<String> = reasons.collect();
    if reasons.is_empty() {
        Verdict::Said
    } else {
        Verdict::Lost(reasons)
    }
}

/// The table, and the reasons below it.
fn table(names: &[&str], rows: &[(&'static str, Vec<Verdict>)]) -> String {
    let mut out = format!(
        "| | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    let mut reasons: BTreeMap<(usize, &str), Vec<&str>> = BTreeMap::new();
    for (what, verdicts) in rows {
        let cells = verdicts.iter().enumerate().map(|(at, verdict)| {
            let (cell, why) = match verdict {
                Verdict::Said => return "yes",
                Verdict::Lost(why) => ("named", why.as_slice()),
                Verdict::Refused(why) => ("refused", std::slice::from_ref(why)),
            };
            for why in why {
                let known = reasons.entry((at, why)).or_default();
                if !known.contains(what) {
                    known.push(what);
                }
            }
            cell
        });
        let cells: Vec<&str> = cells.collect();
        writeln!(out, "| {what} | {} |", cells.join(" | ")).unwrap();
    }
    for (at, name) in names.iter().enumerate() {
        let own: Vec<_> = reasons
            .iter()
            .filter(|((place, _), _)| *place == at)
            .collect();
        if !own.is_empty() {
            writeln!(out, "\n### Why, at {name}\n").unwrap();
        }
        for ((_, why), what) in own {
            writeln!(out, "- {}: {why}.", what.join(", ")).unwrap();
        }
    }
    out
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

fn text(text: &str) -> Part {
    Part::text(text.to_owned())
}

fn hello() -> ChatRequest {
    ChatRequest {
        model: "m".to_owned(),
        messages: vec![message(Role::User, vec![text("Hi.")])],
        output_tokens_max: Some(30_000),
        ..ChatRequest::default()
    }
}

fn with(change: impl FnOnce(&mut ChatRequest)) -> ChatRequest {
    let mut request = hello();
    change(&mut request);
    request
}

/// A part of what the user says.
fn shown(part: Part) -> ChatRequest {
    with(|request| request.messages[0].parts.push(part))
}

/// A part of what the assistant said before.
fn said(part: Part) -> ChatRequest {
    with(|request| {
        let parts = vec![part, text("Well.")];
        request.messages.push(message(Role::Assistant, parts));
        request
            .messages
            .push(message(Role::User, vec![text("And?")]));
    })
}

fn function() -> Tool {
    Tool {
        name: "f".to_owned(),
        description: None,
        parameters: Some(json!({
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
            "additionalProperties": false,
        })),
        strict: None,
        cache: None,
    }
}

fn offering(change: impl FnOnce(&mut ChatRequest)) -> ChatRequest {
    with(|request| {
        request.tools.push(function());
        change(request);
    })
}

fn call(signature: Option<&str>) -> Part {
    Part::ToolCall {
        id: "call_1".to_owned(),
        name: "f".to_owned(),
        arguments: "{\"a\":\"b\"}".to_owned(),
        signature: signature.map(str::to_owned),
        cache: None,
    }
}

/// A call, and its result.
fn resulting(signature: Option<&str>, is_error: bool, parts: Vec<Part>) -> ChatRequest {
    offering(|request| {
        request
            .messages
            .push(message(Role::Assistant, vec![call(signature)]));
        let result = Part::ToolResult {
            id: "call_1".to_owned(),
            name: None,
            parts,
            is_error,
            cache: None,
        };
        request.messages.push(message(Role::Tool, vec![result]));
    })
}

fn inline(media_type: &str) -> Source {
    Source::Base64 {
        media_type: media_type.to_owned(),
        data: "AAAA".to_owned(),
    }
}

fn address() -> Source {
    Source::Url("https://example.com/a".to_owned())
}

fn image(source: Source, detail: Option<&str>) -> Part {
    Part::Image {
        source,
        detail: detail.map(str::to_owned),
        cache: None,
    }
}

fn document(source: Source) -> Part {
    Part::Document {
        source,
        name: None,
        cache: None,
    }
}

fn thought(signature: Option<&str>) -> Part {
    Part::Thinking {
        text: "Hm.".to_owned(),
        signature: signature.map(str::to_owned),
    }
}

fn noted(annotation: Value) -> Part {
    Part::Text {
        text: "It is cold.".to_owned(),
        cache: None,
        annotations: vec![annotation],
    }
}

fn marked(cache: CacheMark) -> Part {
    Part::Text {
        text: "Rules.".to_owned(),
        cache: Some(cache),
        annotations: Vec::new(),
    }
}

fn number(number: u32) -> Option<serde_json::Number> {
    Some(number.into())
}

fn reasoning(effort: Option<Effort>, budget_tokens: Option<u64>) -> ChatRequest {
    with(|request| {
        request.reasoning = Some(Reasoning {
            effort,
            budget_tokens,
            include: None,
        });
    })
}

/// Each thing that a request can say, alone.
fn asked() -> Vec<(&'static str, ChatRequest)> {
    let mut all = turns();
    all.extend(content());
    all.extend(tools());
    all.extend(settings());
    all
}

fn turns() -> Vec<(&'static str, ChatRequest)> {
    let says = |role, words| message(role, vec![text(words)]);
    vec![
        ("text", hello()),
        (
            "instructions first",
            with(|request| request.messages.insert(0, says(Role::System, "Be brief."))),
        ),
        (
            "instructions in mid-conversation",
            with(|request| {
                request.messages.push(says(Role::Assistant, "Hello."));
                request.messages.push(says(Role::System, "Be brief."));
                request.messages.push(says(Role::User, "And?"));
            }),
        ),
        (
            "the assistant first",
            with(|request| request.messages.insert(0, says(Role::Assistant, "Hello."))),
        ),
        (
            "equal roles in a row",
            with(|request| request.messages.push(says(Role::User, "And?"))),
        ),
        (
            "a speaker's name",
            with(|request| request.messages[0].name = Some("ada".to_owned())),
        ),
        ("blank text", shown(text(" "))),
        (
            "the answer's beginning",
            with(|request| request.messages.push(says(Role::Assistant, "One,"))),
        ),
    ]
}

fn content() -> Vec<(&'static str, ChatRequest)> {
    let sound = |source| Part::Audio {
        source,
        cache: None,
    };
    let refusal = Part::Refusal {
        text: "No.".to_owned(),
    };
    let redacted = Part::RedactedThinking {
        data: "ZGF0YQ==".to_owned(),
    };
    let location = json!({"type": "char_location", "cited_text": "cold", "document_index": 0,
        "document_title": null, "start_char_index": 0, "end_char_index": 4});
    vec![
        ("image by address", shown(image(address(), None))),
        ("image inline", shown(image(inline("image/png"), None))),
        (
            "image's detail",
            shown(image(inline("image/png"), Some("low"))),
        ),
        ("sound inline", shown(sound(inline("audio/wav")))),
        ("sound by address", shown(sound(address()))),
        ("PDF inline", shown(document(inline("application/pdf")))),
        ("PDF by address", shown(document(address()))),
        (
            "document of text",
            shown(document(Source::Text("Notes.".to_owned()))),
        ),
        (
            "uploaded file",
            shown(document(Source::FileId("file-1".to_owned()))),
        ),
        (
            "cache mark, 5 minutes",
            shown(marked(CacheMark::FiveMinutes)),
        ),
        ("cache mark, 1 hour", shown(marked(CacheMark::OneHour))),
        ("thoughts without a proof", said(thought(None))),
        ("thoughts signed by Anthropic", said(thought(Some("c2ln")))),
        (
            "thoughts signed by Gemini",
            said(thought(Some("gemini:c2ln"))),
        ),
        ("redacted thoughts of Anthropic's", said(redacted)),
        ("refusal in the history", said(refusal)),
        (
            "citation of a document in the history",
            said(noted(location)),
        ),
    ]
}

fn tools() -> Vec<(&'static str, ChatRequest)> {
    let choice = |choice| offering(|request| request.tool_choice = Some(choice));
    let done = || vec![text("done")];
    vec![
        ("tools", offering(|_| {})),
        (
            "strict tools",
            offering(|request| request.tools[0].strict = Some(true)),
        ),
        (
            "cache mark on a tool",
            offering(|request| request.tools[0].cache = Some(CacheMark::OneHour)),
        ),
        (
            "names with dots",
            offering(|request| request.tools[0].name = "ns.f".to_owned()),
        ),
        ("no calls", choice(ToolChoice::None)),
        ("at least one call", choice(ToolChoice::Required)),
        ("a call by name", choice(ToolChoice::Named("f".to_owned()))),
        (
            "one call at a time",
            offering(|request| request.parallel_tool_calls = Some(false)),
        ),
        ("calls and results", resulting(None, false, done())),
        ("failed results", resulting(None, true, done())),
        ("empty results", resulting(None, false, Vec::new())),
        (
            "images in results",
            resulting(None, false, vec![image(inline("image/png"), None)]),
        ),
        (
            "calls signed by Gemini",
            resulting(Some("c2ln"), false, done()),
        ),
        ("history with calls, no tools", {
            let mut request = resulting(None, false, done());
            request.tools.clear();
            request
        }),
    ]
}

fn settings() -> Vec<(&'static str, ChatRequest)> {
    let schema = function().parameters.unwrap_or_default();
    let form = |form| with(|request| request.format = Some(form));
    let logprobs = |top| with(|request| request.logprobs = Some(Logprobs { enabled: true, top }));
    vec![
        (
            "answer after a JSON schema",
            form(ResponseFormat::JsonSchema {
                name: "answer".to_owned(),
                description: None,
                schema,
                strict: Some(true),
            }),
        ),
        ("answer in JSON", form(ResponseFormat::JsonObject)),
        ("effort of thinking", reasoning(Some(Effort::High), None)),
        ("budget of thinking", reasoning(None, Some(4_096))),
        ("no thinking", reasoning(Some(Effort::None), None)),
        (
            "temperature",
            with(|request| request.sampling.temperature = number(0)),
        ),
        (
            "temperature above 1",
            with(|request| request.sampling.temperature = number(2)),
        ),
        (
            "top_p",
            with(|request| request.sampling.top_p = serde_json::Number::from_f64(0.5)),
        ),
        ("top_k", with(|request| request.sampling.top_k = number(40))),
        (
            "presence_penalty",
            with(|request| request.sampling.presence_penalty = number(1)),
        ),
        (
            "frequency_penalty",
            with(|request| request.sampling.frequency_penalty = number(1)),
        ),
        ("seed", with(|request| request.sampling.seed = Some(7))),
        (
            "logit_bias",
            with(|request| {
                request.sampling.logit_bias = Map::from_iter([("1".to_owned(), json!(5))]);
            }),
        ),
        (
            "stop sequences",
            with(|request| request.stop = vec!["END".to_owned()]),
        ),
        (
            "six stop sequences",
            with(|request| request.stop = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).into()),
        ),
        ("log-probabilities", logprobs(None)),
        ("best alternatives of each token", logprobs(Some(2))),
        ("several choices", with(|request| request.choices = Some(2))),
        (
            "end user",
            with(|request| request.user = Some("u-1".to_owned())),
        ),
        (
            "labels",
            with(|request| {
                request.metadata = Map::from_iter([("team".to_owned(), json!("blue"))]);
            }),
        ),
    ]
}

fn answer(parts: Vec<Part>) -> ChatResponse {
    ChatResponse {
        id: "1".to_owned(),
        model: "m".to_owned(),
        created: None,
        choices: vec![Choice {
            index: 0,
            parts,
            finish: Finish::Stop,
            logprobs: None,
        }],
        usage: None,
        extra: Map::new(),
    }
}

fn ending(finish: Finish) -> ChatResponse {
    let mut response = answer(vec![text("Well.")]);
    response.choices[0].finish = finish;
    response
}

fn using(change: impl FnOnce(&mut Usage)) -> ChatResponse {
    let mut usage = Usage {
        input: Tokens::new(20),
        output: Tokens::new(10),
        ..Usage::default()
    };
    change(&mut usage);
    ChatResponse {
        usage: Some(usage),
        ..answer(vec![text("Well.")])
    }
}

/// Each thing that an answer can say, alone.
fn answered() -> Vec<(&'static str, ChatResponse)> {
    let web = json!({"type": "web_search_result_location", "cited_text": "cold",
        "encrypted_index": "", "title": "Log", "url": "https://example.com/a"});
    let page = json!({"type": "page_location", "cited_text": "cold", "document_index": 0,
        "document_title": null, "start_page_number": 1, "end_page_number": 2});
    let grounding = json!({"groundingMetadata": {"groundingChunks": [
        {"web": {"uri": "https://example.com/a", "title": "Log"}}
    ]}});
    let redacted = Part::RedactedThinking {
        data: "ZGF0YQ==".to_owned(),
    };
    let refusal = Part::Refusal {
        text: "No.".to_owned(),
    };
    let mut chosen = answer(vec![text("Hi")]);
    chosen.choices[0].logprobs = Some(json!({"content": [
        {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    ]}));
    let mut twice = answer(vec![text("One")]);
    twice.choices.push(Choice {
        index: 1,
        ..twice.choices[0].clone()
    });
    vec![
        ("text", answer(vec![text("Well.")])),
        ("calls", answer(vec![call(None)])),
        ("calls signed by Gemini", answer(vec![call(Some("c2ln"))])),
        ("thoughts", answer(vec![thought(None), text("Well.")])),
        (
            "signed thoughts",
            answer(vec![thought(Some("c2ln")), text("Well.")]),
        ),
        ("redacted thoughts", answer(vec![redacted, text("Well.")])),
        ("refusal in words", answer(vec![refusal])),
        (
            "citations of addresses, Anthropic's",
            answer(vec![noted(web)]),
        ),
        (
            "citations of addresses, Gemini's",
            answer(vec![noted(grounding)]),
        ),
        ("citations of documents", answer(vec![noted(page)])),
        ("images", answer(vec![image(inline("image/png"), None)])),
        ("log-probabilities", chosen),
        ("several choices", twice),
    ]
}

/// How an answer can end, and what it can have used.
fn ended() -> Vec<(&'static str, ChatResponse)> {
    vec![
        (
            "end: stop sequence",
            ending(Finish::StopSequence(Some("END".to_owned()))),
        ),
        ("end: limit on output", ending(Finish::Length)),
        ("end: context full", ending(Finish::ContextFull)),
        ("end: safety", ending(Finish::ContentFilter)),
        ("end: refusal", ending(Finish::Refusal)),
        ("end: paused turn", ending(Finish::Pause)),
        (
            "usage: cached input",
            using(|usage| usage.input_cached = Tokens::new(5)),
        ),
        (
            "usage: cache written, 5 minutes",
            using(|usage| usage.cache_write_5m = Tokens::new(5)),
        ),
        (
            "usage: cache written, 1 hour",
            using(|usage| usage.cache_write_1h = Tokens::new(5)),
        ),
        (
            "usage: reasoning",
            using(|usage| usage.reasoning = Tokens::new(5)),
        ),
        (
            "usage: sound heard",
            using(|usage| usage.input_audio = Tokens::new(5)),
        ),
        (
            "usage: images seen",
            using(|usage| usage.input_image = Tokens::new(5)),
        ),
        (
            "usage: sound spoken",
            using(|usage| usage.output_audio = Tokens::new(5)),
        ),
    ]
}
