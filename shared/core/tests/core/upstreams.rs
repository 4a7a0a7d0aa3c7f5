//! Every language that a provider may speak: where its calls go, what goes along, what comes back.

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_core::sandbox::Step;
use sluice_wire::event_stream::{HeaderValue, Message, write_message};

use crate::world::{Got, Reaction, Seen, World, answer, send, stream};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, chat, key, streamed};

const RESPONSES_ANSWER: &str = r#"{"id":"resp_1","object":"response","created_at":1700000000,"status":"completed","model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hello.","annotations":[]}]}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":0},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":13}}"#;
const GEMINI_ANSWER: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello."}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":3,"totalTokenCount":13},"modelVersion":"m","responseId":"r"}"#;
const BEDROCK_ANSWER: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hello."}]}},"stopReason":"end_turn","usage":{"inputTokens":10,"outputTokens":3,"totalTokens":13},"metrics":{"latencyMs":1}}"#;
const COHERE_ANSWER: &str = r#"{"id":"c1","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"Hello."}]},"usage":{"billed_units":{"input_tokens":10,"output_tokens":3},"tokens":{"input_tokens":10,"output_tokens":3}}}"#;

/// A world with one provider, `p`, that serves the model `m`.
fn with(provider: &Value) -> World {
    let mut provider = provider.clone();
    provider["models_allow"] = json!(["*"]);
    World::new(&json!({
        "providers": {"p": provider},
        "orgs": {"acme": {"teams": {"search": {"apps": {"web": {}}}}, "users": {"ada": {}}}},
    }))
}

/// Asks `p` for a turn and returns what it received and what the caller got.
fn ask(
    provider: &Value,
    model: &str,
    body: fn(&str) -> Vec<u8>,
    reaction: Reaction,
) -> (Seen, Got) {
    let mut world = with(provider);
    world.secret("P_KEY", "key-of-p");
    let key = key(&mut world);
    world.script(vec![reaction]);
    let body = body(&format!("p/{model}"));
    let got = world.send("POST", "/v1/chat/completions", &key, &body);
    let seen = world.seen();
    assert_eq!(seen.len(), 1, "{}", got.text());
    (seen[0].clone(), got)
}

fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    seen.headers.get(name).and_then(|value| value.to_str().ok())
}

#[test]
fn each_dialect_is_called_at_its_own_address_with_its_own_key_header() {
    let bearer = ("authorization", "Bearer key-of-p");
    for (dialect, url, key, text) in [
        (
            "openai",
            "https://p.example/v1/chat/completions",
            bearer,
            OPENAI_ANSWER,
        ),
        (
            "responses",
            "https://p.example/v1/responses",
            bearer,
            RESPONSES_ANSWER,
        ),
        (
            "anthropic",
            "https://p.example/v1/messages",
            ("x-api-key", "key-of-p"),
            ANTHROPIC_ANSWER,
        ),
        (
            "gemini",
            "https://p.example/v1/models/m:generateContent",
            ("x-goog-api-key", "key-of-p"),
            GEMINI_ANSWER,
        ),
        (
            "bedrock",
            "https://p.example/v1/model/m/converse",
            bearer,
            BEDROCK_ANSWER,
        ),
        ("cohere", "https://p.example/v1/chat", bearer, COHERE_ANSWER),
    ] {
        let provider =
            json!({"dialect": dialect, "base_url": "https://p.example/v1", "key": "P_KEY"});
        let (seen, got) = ask(&provider, "m", chat, answer(200, text));
        assert_eq!(seen.url, url);
        assert_eq!(header(&seen, key.0), Some(key.1), "{dialect}");
        assert_eq!(
            header(&seen, "content-type"),
            Some("application/json"),
            "{dialect}"
        );
        assert_eq!(got.status, 200, "{dialect}: {}", got.text());
        let answer = got.json();
        assert_eq!(
            answer["choices"][0]["message"]["content"], "Hello.",
            "{dialect}"
        );
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{dialect}");
        assert_eq!(answer["usage"]["prompt_tokens"], 10, "{dialect}");
        assert_eq!(answer["usage"]["completion_tokens"], 3, "{dialect}");
    }
}

fn frame(event: &str, payload: &str) -> Step {
    let mut out = Vec::new();
    let headers = vec![
        (":message-type", HeaderValue::Text("event")),
        (":event-type", HeaderValue::Text(event)),
        (":content-type", HeaderValue::Text("application/json")),
    ];
    let payload = payload.as_bytes();
    write_message(&mut out, &Message { headers, payload }).expect("a small message");
    Step::Send(Bytes::from(out))
}

#[test]
fn bedrock_s_frames_are_asked_for_by_their_media_type_and_become_chunks() {
    let provider = json!({"dialect": "bedrock", "base_url": "https://p.example", "key": "P_KEY"});
    let frames = stream(vec![
        frame("messageStart", r#"{"role":"assistant"}"#),
        frame(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"Hello."}}"#,
        ),
        frame("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        frame("messageStop", r#"{"stopReason":"end_turn"}"#),
        frame(
            "metadata",
            r#"{"usage":{"inputTokens":10,"outputTokens":3,"totalTokens":13},"metrics":{"latencyMs":1}}"#,
        ),
    ]);
    let (seen, got) = ask(&provider, "eu.amazon.nova-lite-v1:0", streamed, frames);
    assert_eq!(
        seen.url,
        "https://p.example/model/eu.amazon.nova-lite-v1%3A0/converse-stream"
    );
    assert_eq!(
        header(&seen, "accept"),
        Some("application/vnd.amazon.eventstream")
    );
    assert!(
        got.text().contains("\"content\":\"Hello.\""),
        "{}",
        got.text()
    );
    assert!(got.text().contains("data: [DONE]"), "{}", got.text());
}

#[test]
fn streams_of_responses_and_of_cohere_become_chunks() {
    let responses = [
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"m","output":[]}}"#,
        r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}"#,
        r#"{"type":"response.content_part.added","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}"#,
        r#"{"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hello."}"#,
        &format!(r#"{{"type":"response.completed","sequence_number":4,"response":{RESPONSES_ANSWER}}}"#),
    ]
    .map(|event| format!("data: {event}\n\n"));
    let cohere = [
        r#"{"type":"message-start","id":"c1","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#,
        r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}"#,
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hello."}}}}"#,
        r#"{"type":"content-end","index":0}"#,
        r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":10,"output_tokens":3},"tokens":{"input_tokens":10,"output_tokens":3}}}}"#,
    ]
    .map(|event| format!("data: {event}\n\n"));
    for (dialect, events) in [("responses", responses), ("cohere", cohere)] {
        let provider = json!({"dialect": dialect, "base_url": "https://p.example", "key": "P_KEY"});
        let steps = events.iter().map(|event| send(event)).collect();
        let (_, got) = ask(&provider, "m", streamed, stream(steps));
        let text = got.text();
        assert!(text.contains("\"content\":\"Hello.\""), "{dialect}: {text}");
        assert!(
            text.contains("\"finish_reason\":\"stop\""),
            "{dialect}: {text}"
        );
        assert!(text.contains("\"prompt_tokens\":10"), "{dialect}: {text}");
        assert!(text.contains("data: [DONE]"), "{dialect}: {text}");
    }
}
