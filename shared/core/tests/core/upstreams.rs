//! Every language that a provider may speak: where its calls go, what goes along, what comes back.

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_core::sandbox::Step;
use sluice_units::{Secret, Span};
use sluice_wire::event_stream::{HeaderValue, Message, write_message};
use sluice_wire::sigv4;

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

#[test]
fn a_call_to_bedrock_is_signed_as_it_goes_out() {
    let provider = json!({"dialect": "bedrock", "base_url": "http://localhost:4566", "region": "us-west-2", "auth": "sigv4",
        "aws": {"session_token": "AWS_SESSION_TOKEN"}});
    let mut world = with(&provider);
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        (
            "AWS_SECRET_ACCESS_KEY",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        ),
        ("AWS_SESSION_TOKEN", "session-token"),
    ] {
        world.secret(name, value);
    }
    let key = key(&mut world);
    world.script(vec![answer(200, BEDROCK_ANSWER)]);
    let model = "p/arn:aws:bedrock:us-west-2:1:inference-profile/us.amazon.nova-lite-v1:0";
    let got = world.send("POST", "/v1/chat/completions", &key, &chat(model));
    assert_eq!(got.status, 200, "{}", got.text());
    let seen = world.seen().remove(0);
    assert_eq!(
        seen.url,
        "http://localhost:4566/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A1%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse"
    );
    // The signature anew, over what went out.
    let mut headers = seen.headers.clone();
    let signed = headers.remove("authorization").expect("a signature");
    let date = headers.remove("x-amz-date").expect("a date");
    let token = headers.remove("x-amz-security-token").expect("a token");
    assert_eq!(date, "20261121T120000Z");
    assert_eq!(token, "session-token");
    let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
    let token = Secret::new("session-token".to_owned());
    let signer = sigv4::Signer {
        session_token: Some(&token),
        ..sigv4::Signer::bedrock("AKIDEXAMPLE", &secret, "us-west-2")
    };
    let request = sigv4::Request {
        method: &seen.method,
        host: "localhost:4566",
        path: seen.url.strip_prefix("http://localhost:4566").unwrap(),
        query: "",
        headers: &headers,
        payload: sigv4::Payload::Bytes(&seen.body),
    };
    let expected = sigv4::sign(&request, &signer, seen.at).unwrap();
    assert_eq!(signed, expected["authorization"]);
    assert!(signed.is_sensitive());
}

#[test]
fn a_signer_without_its_secrets_says_which() {
    let provider = json!({"dialect": "bedrock", "base_url": "https://p.example", "region": "us-west-2", "auth": "sigv4"});
    let mut world = with(&provider);
    let key = key(&mut world);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("p/m"));
    assert_eq!(got.status, 503);
    assert_eq!(got.json()["error"]["code"], "provider_key_missing");
    assert!(got.text().contains("AWS_ACCESS_KEY_ID"), "{}", got.text());
}

#[test]
fn azure_is_called_at_its_deployments_or_at_its_new_address() {
    for (provider, url, model) in [
        (
            json!({"base_url": "https://acme.openai.azure.com/", "azure": {"api_version": "2024-10-21"}}),
            "https://acme.openai.azure.com/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21",
            "prod-4o",
        ),
        (
            json!({"base_url": "https://acme.openai.azure.com/openai/v1", "azure": {"api_version": "2024-10-21"}}),
            "https://acme.openai.azure.com/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21",
            "prod-4o",
        ),
        (
            json!({"base_url": "https://acme.openai.azure.com/openai/v1"}),
            "https://acme.openai.azure.com/openai/v1/chat/completions",
            "prod-4o",
        ),
    ] {
        let mut provider = provider;
        provider["dialect"] = json!("openai");
        provider["key"] = json!("P_KEY");
        provider["auth"] = json!({"header": "api-key"});
        provider["models"] = json!({"gpt-4o": {"deployment": "prod-4o"}});
        let (seen, got) = ask(&provider, "gpt-4o", chat, answer(200, OPENAI_ANSWER));
        assert_eq!(seen.url, url);
        assert_eq!(header(&seen, "api-key"), Some("key-of-p"));
        assert_eq!(seen.body_json()["model"], model);
        assert_eq!(got.status, 200, "{}", got.text());
    }
}

#[test]
fn azure_s_filter_is_a_matter_of_policy() {
    let provider = json!({"dialect": "openai", "base_url": "https://acme.openai.azure.com", "key": "P_KEY",
        "auth": {"header": "api-key"}, "azure": {"api_version": "2024-10-21"}});
    let refused = r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#;
    let (_, got) = ask(&provider, "m", chat, answer(400, refused));
    assert_eq!(got.status, 400);
    assert_eq!(got.json()["error"]["code"], "content_policy_violation");
    let filtered = OPENAI_ANSWER.replace(
        r#""finish_reason":"stop""#,
        r#""finish_reason":"stop","content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}"#,
    );
    let (_, got) = ask(&provider, "m", chat, answer(200, &filtered));
    assert_eq!(got.text(), filtered, "the results are kept");
}

const ANTHROPIC_STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello."}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}}

event: message_stop
data: {"type":"message_stop"}

"#;

const FILE: &str = include_str!("../../../../tests/fixtures/google/service_account.json");

fn vertex(dialect: &str) -> Value {
    json!({"dialect": dialect, "key": "P_KEY", "auth": "service_account", "google": {"project": "acme-prod", "location": "europe-west1"}})
}

/// A world whose key for `p` is a service account's.
fn vertex_world(provider: &Value) -> (World, String) {
    let mut world = with(provider);
    world.secret("P_KEY", FILE);
    let key = key(&mut world);
    (world, key)
}

fn token(text: &str, seconds: u32) -> Reaction {
    answer(
        200,
        &format!(r#"{{"access_token":"{text}","expires_in":{seconds},"token_type":"Bearer"}}"#),
    )
}

#[test]
fn vertex_serves_gemini_claude_and_compatible_models_for_a_bought_token() {
    let root = "https://europe-west1-aiplatform.googleapis.com/v1/projects/acme-prod/locations/europe-west1";
    for (dialect, body, path, text) in [
        (
            "gemini",
            chat as fn(&str) -> Vec<u8>,
            "publishers/google/models/m-1:generateContent",
            GEMINI_ANSWER,
        ),
        (
            "anthropic",
            chat,
            "publishers/anthropic/models/m-1:rawPredict",
            ANTHROPIC_ANSWER,
        ),
        (
            "openai",
            chat,
            "endpoints/openapi/chat/completions",
            OPENAI_ANSWER,
        ),
        (
            "anthropic",
            streamed,
            "publishers/anthropic/models/m-1:streamRawPredict",
            ANTHROPIC_STREAM,
        ),
    ] {
        let (mut world, key) = vertex_world(&vertex(dialect));
        world.script(vec![token("ya29.one", 3600), answer(200, text)]);
        let got = world.send("POST", "/v1/chat/completions", &key, &body("p/m-1"));
        assert!(got.text().contains("Hello."), "{}", got.text());
        let seen = world.seen();
        assert_eq!(seen[0].url, "https://oauth2.googleapis.com/token");
        assert!(
            seen[0].body.starts_with(b"grant_type=urn%3Aietf"),
            "{dialect}"
        );
        assert_eq!(seen[1].url, format!("{root}/{path}"), "{}", got.text());
        assert_eq!(header(&seen[1], "authorization"), Some("Bearer ya29.one"));
        if dialect == "anthropic" {
            assert_eq!(
                seen[1].body_json()["anthropic_version"],
                "vertex-2023-10-16"
            );
            assert_eq!(seen[1].body_json().get("model"), None);
        }
    }
}

#[test]
fn a_token_is_bought_once_renewed_beside_and_bought_anew_when_refused() {
    let (mut world, key) = vertex_world(&vertex("gemini"));
    let send = |world: &mut World| {
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("p/m"));
        assert_eq!(got.status, 200, "{}", got.text());
    };
    let good = || answer(200, GEMINI_ANSWER);
    // Two at once buy one.
    world.script(vec![token("one", 3600), good(), good()]);
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let first = world.start("POST", "/v1/chat/completions", &headers, &chat("p/m"), None);
    let second = world.start("POST", "/v1/chat/completions", &headers, &chat("p/m"), None);
    world.settle();
    assert_eq!(first.take().unwrap().status, 200);
    assert_eq!(second.take().unwrap().status, 200);
    assert_eq!(world.seen().len(), 3);
    // Shortly before its end the old one still serves, and a new one is fetched beside.
    world.wait(Span::from_seconds(3400));
    world.script(vec![good(), token("two", 3600)]);
    send(&mut world);
    world.script(vec![good()]);
    send(&mut world);
    let sent: Vec<_> = world
        .seen()
        .into_iter()
        .filter(|seen| !seen.url.ends_with("/token"))
        .collect();
    let bearers: Vec<_> = sent
        .iter()
        .filter_map(|seen| header(seen, "authorization"))
        .collect();
    assert_eq!(
        bearers,
        ["Bearer one", "Bearer one", "Bearer one", "Bearer two"]
    );
    // One that is refused is forgotten.
    world.script(vec![answer(401, r#"{"error":{"code":401,"message":"Request had invalid authentication credentials: two.","status":"UNAUTHENTICATED"}}"#)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("p/m"));
    assert!(!got.text().contains("two"), "{}", got.text());
    world.script(vec![token("three", 3600), good()]);
    send(&mut world);
}

#[test]
fn a_service_account_that_is_of_no_use_is_named_and_not_shown() {
    let elsewhere = FILE.replace(
        "https://oauth2.googleapis.com/token",
        "https://evil.example/token",
    );
    let refused = r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
    for (file, script, code, word) in [
        ("{}", vec![], "provider_key_invalid", "service account"),
        (
            elsewhere.as_str(),
            vec![],
            "provider_key_invalid",
            "token_uri",
        ),
        (
            FILE,
            vec![answer(400, refused)],
            "provider_key_invalid",
            "invalid_grant",
        ),
        (
            FILE,
            vec![answer(500, "x"), answer(500, "x"), answer(500, "x")],
            "upstream_error",
            "token server",
        ),
    ] {
        let (mut world, key) = vertex_world(&vertex("gemini"));
        world.secret("P_KEY", file);
        world.script(script);
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("p/m"));
        assert_eq!(got.json()["error"]["code"], code, "{}", got.text());
        assert!(got.text().contains(word), "{}", got.text());
        assert!(!got.text().contains("PRIVATE"), "{}", got.text());
        assert!(world.seen().iter().all(|seen| !seen.url.contains("evil")));
    }
}

#[test]
fn tokens_are_bought_where_the_configuration_says() {
    let mut provider = vertex("gemini");
    provider["google"]["token_url"] = json!("http://localhost:9000/token");
    provider["base_url"] = json!("http://localhost:9000/v1");
    let (mut world, key) = vertex_world(&provider);
    world.script(vec![token("one", 3600), answer(200, GEMINI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("p/m"));
    assert_eq!(got.status, 200, "{}", got.text());
    let seen = world.seen();
    assert_eq!(seen[0].url, "http://localhost:9000/token");
    assert_eq!(
        seen[1].url,
        "http://localhost:9000/v1/projects/acme-prod/locations/europe-west1/publishers/google/models/m:generateContent"
    );
}

#[test]
fn where_one_key_is_refused_the_next_is_tried() {
    let provider = json!({"dialect": "openai", "base_url": "https://p.example", "key": ["NEW_KEY", "OLD_KEY"]});
    let refused = || {
        answer(
            401,
            r#"{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        )
    };
    let good = || answer(200, OPENAI_ANSWER);
    for (secrets, script, expected, status) in [
        (
            &["NEW_KEY", "OLD_KEY"] as &[&str],
            vec![good()],
            &["NEW_KEY"] as &[&str],
            200,
        ),
        (
            &["NEW_KEY", "OLD_KEY"],
            vec![refused(), good()],
            &["NEW_KEY", "OLD_KEY"],
            200,
        ),
        (&["OLD_KEY"], vec![good()], &["OLD_KEY"], 200),
        (
            &["NEW_KEY", "OLD_KEY"],
            vec![refused(), refused()],
            &["NEW_KEY", "OLD_KEY"],
            502,
        ),
    ] {
        let mut world = with(&provider);
        for name in secrets {
            world.secret(name, name);
        }
        let key = key(&mut world);
        world.script(script);
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("p/m"));
        assert_eq!(got.status.as_u16(), status, "{}", got.text());
        let seen = world.seen();
        let sent: Vec<_> = seen
            .iter()
            .filter_map(|seen| header(seen, "authorization"))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|name| format!("Bearer {name}"))
            .collect();
        assert_eq!(sent, expected);
    }
}

#[test]
fn a_model_without_chat_completions_is_asked_over_responses() {
    let provider = json!({"dialect": "openai", "base_url": "https://p.example/v1", "key": "P_KEY",
        "models": {"o3-pro": {"quirks": {"chat_completions": false}}}});
    let (seen, got) = ask(&provider, "o3-pro", chat, answer(200, RESPONSES_ANSWER));
    assert_eq!(seen.url, "https://p.example/v1/responses");
    assert_eq!(
        got.json()["choices"][0]["message"]["content"],
        "Hello.",
        "{}",
        got.text()
    );
}
