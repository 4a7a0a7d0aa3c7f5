//! Callers of every language: what reaches the provider, and what comes back.

use serde_json::{Value, json};
use sluice_core::sandbox::Step;
use sluice_machines::record::{Operation, UsageSource};
use sluice_units::{NanoUsd, Tokens};

use crate::world::{Got, Reaction, World, answer, send, stream};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, key, with};

fn post(world: &mut World, key: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Got {
    let bearer = format!("Bearer {key}");
    let mut all = vec![("authorization", bearer.as_str())];
    all.extend_from_slice(headers);
    world.send_with("POST", path, &all, body.to_string().as_bytes())
}

fn message(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Say hello."}]})
}

#[test]
fn messages_pass_through_to_anthropic_but_for_the_model() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![answer(200, ANTHROPIC_ANSWER)]);
    let headers = [
        ("anthropic-beta", "files-2025"),
        ("anthropic-version", "2023-06-01"),
        ("cookie", "x=1"),
    ];
    let mut body = message("anthropic/claude-haiku");
    body["unknown"] = json!({"kept": [1]});
    let got = post(&mut world, &key, "/v1/messages", &headers, &body);
    assert_eq!(
        (got.status.as_u16(), got.text().as_str()),
        (200, ANTHROPIC_ANSWER)
    );
    assert_eq!(got.header("request-id"), got.header("x-request-id"));
    assert_eq!(got.header("x-sluice-dropped"), None);
    let seen = &world.seen()[0];
    assert_eq!(seen.url, "https://api.anthropic.com/v1/messages");
    assert_eq!(seen.headers["anthropic-beta"], "files-2025");
    assert!(seen.headers.get("cookie").is_none());
    body["model"] = json!("claude-haiku");
    assert_eq!(serde_json::from_slice::<Value>(&seen.body).unwrap(), body);
    let record = world.records("acme").remove(0);
    assert_eq!(record.usage_source, UsageSource::Provider);
    assert_eq!(record.finish.as_deref(), Some("stop"));
}

#[test]
fn a_stream_of_messages_passes_through_and_a_cut_one_is_no_end() {
    let head = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n";
    let end = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let mut body = message("anthropic/claude-haiku");
    body["stream"] = json!(true);
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![
        stream(vec![send(head), send(end)]),
        stream(vec![send(head), Step::Break]),
    ]);
    let got = post(&mut world, &key, "/v1/messages", &[], &body);
    assert!(
        got.text().starts_with(&format!("{head}{end}: sluice ")),
        "{}",
        got.text()
    );
    assert_eq!(world.records("acme")[0].usage.output, Tokens::new(5));
    let got = post(&mut world, &key, "/v1/messages", &[], &body);
    let last = got.text().strip_prefix(head).unwrap().to_owned();
    assert!(
        last.starts_with(
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\""
        ),
        "{last}"
    );
}

#[test]
fn every_language_is_answered_in_its_own_words() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER); 4]);
    let got = post(
        &mut world,
        &key,
        "/v1/messages",
        &[],
        &message("openai/gpt-4o-mini"),
    );
    let said = &got.json()["content"][0];
    assert_eq!(*said, json!({"type": "text", "text": "Hello."}));
    let input = json!({"model": "openai/gpt-4o-mini", "input": "Say hello."});
    let got = post(&mut world, &key, "/v1/responses", &[], &input);
    assert_eq!(got.json()["output"][0]["content"][0]["text"], "Hello.");
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}], "safetySettings": []});
    let path = "/v1beta/models/openai%2Fgpt-4o-mini:generateContent";
    let got = post(&mut world, &key, path, &[], &contents);
    assert_eq!(
        got.json()["candidates"][0]["content"]["parts"][0]["text"],
        "Hello."
    );
    assert_eq!(
        got.header("x-sluice-dropped"),
        Some("safetySettings, system_fingerprint")
    );
    let prompt = json!({"model": "openai/gpt-4o-mini", "prompt": "Say hello."});
    let got = post(&mut world, &key, "/v1/completions", &[], &prompt);
    assert_eq!(got.json()["choices"][0]["text"], "Hello.");
    for seen in world.seen() {
        let sent: Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(
            sent["messages"],
            json!([{"role": "user", "content": "Say hello."}])
        );
    }
}

#[test]
fn errors_are_said_in_the_callers_language() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let got = post(
        &mut world,
        "sk-wrong",
        "/v1/messages",
        &[],
        &message("fast"),
    );
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["type"].as_str()),
        (401, Some("authentication_error"))
    );
    let path = "/v1beta/models/nobody:generateContent";
    let contents = json!({"contents": [{"parts": [{"text": "x"}]}]});
    let got = post(&mut world, &key, path, &[], &contents);
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["status"].as_str()),
        (404, Some("NOT_FOUND"))
    );
    let got = post(
        &mut world,
        &key,
        "/v1/responses",
        &[],
        &json!({"model": "fast", "input": "x", "previous_response_id": "r"}),
    );
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["code"].as_str()),
        (400, Some("provider_state_not_portable"))
    );
}

#[test]
fn a_stream_for_googles_clients_has_no_comments() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let chunk = r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#;
    world.script(vec![stream(vec![send(&format!(
        "{chunk}\n\ndata: [DONE]\n\n"
    ))])]);
    let path = "/v1beta/models/openai%2Fgpt-4o-mini:streamGenerateContent?alt=sse";
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]});
    let text = post(&mut world, &key, path, &[], &contents).text();
    assert!(text.contains("\"Hi\""), "{text}");
    let stray = text
        .lines()
        .find(|line| !line.is_empty() && !line.starts_with("data: "));
    assert_eq!(stray, None);
}

#[test]
fn googles_clients_may_write_the_key_into_the_address() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let got = world.send_with("GET", &format!("/v1beta/models?key={key}"), &[], b"");
    assert_eq!(got.status.as_u16(), 200);
    assert!(
        got.json()["models"][0]["name"]
            .as_str()
            .unwrap()
            .starts_with("models/")
    );
}

#[test]
fn a_strict_caller_gets_an_error_and_no_loss() {
    let mut world = with(|_| ());
    let lax = key(&mut world);
    let strict = world.key(&json!({"org": "acme", "strict": true}));
    let mut body = message("openai/gpt-4o-mini");
    body["container"] = json!("c");
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = post(&mut world, &lax, "/v1/messages", &[], &body);
    assert_eq!(
        (got.status.as_u16(), got.header("x-sluice-dropped")),
        (200, Some("container, system_fingerprint"))
    );
    for (key, header) in [(&strict, None), (&lax, Some(("x-sluice-strict", "true")))] {
        let headers: Vec<_> = header.into_iter().collect();
        let got = post(&mut world, key, "/v1/messages", &headers, &body);
        assert_eq!(
            (got.status.as_u16(), got.json()["error"]["code"].as_str()),
            (400, Some("lossy_translation"))
        );
    }
    let got = post(
        &mut world,
        &strict,
        "/v1/messages",
        &[("x-sluice-strict", "false")],
        &body,
    );
    assert_eq!(got.status.as_u16(), 403);
    assert_eq!(world.seen().len(), 1);
}

#[test]
fn tokens_are_counted_by_a_provider_of_the_callers_language_or_else_estimated() {
    let mut world = with(|config| {
        config["prices"]["anthropic/claude-haiku"] =
            json!({"input": "0.80", "output": "4", "per_request": "1"});
    });
    let key = world.key(&json!({"org": "acme", "budgets": [{"usd": "0.5", "per": "day"}]}));
    let path = "/v1/messages/count_tokens";
    let body = message("anthropic/claude-haiku");
    let counted = r#"{"input_tokens":14,"more":true}"#;
    world.script(vec![
        answer(200, counted),
        answer(
            500,
            r#"{"type":"error","error":{"type":"api_error","message":"no"}}"#,
        ),
        answer(200, "{}"),
    ]);
    let got = post(&mut world, &key, path, &[("anthropic-beta", "b-1")], &body);
    assert_eq!((got.status.as_u16(), got.text().as_str()), (200, counted));
    assert_eq!(got.header("x-sluice-estimated"), None);
    let seen = &world.seen()[0];
    assert_eq!(
        seen.url,
        "https://api.anthropic.com/v1/messages/count_tokens"
    );
    assert_eq!(seen.headers["anthropic-beta"], "b-1");
    assert_eq!(seen.body_json()["model"], "claude-haiku");
    for model in [
        "anthropic/claude-haiku",
        "anthropic/claude-haiku",
        "openai/gpt-4o-mini",
        "fast",
    ] {
        let got = post(&mut world, &key, path, &[], &message(model));
        assert_eq!(got.header("x-sluice-estimated"), Some("true"), "{model}");
        assert!(got.json()["input_tokens"].as_u64() > Some(0), "{model}");
    }
    assert_eq!(world.seen().len(), 3);
    let records = world.records("acme");
    assert_eq!(records.len(), 5);
    for record in records {
        assert_eq!(record.operation, Operation::CountTokens);
        assert_eq!(record.cost_nano_usd, NanoUsd::ZERO);
        assert_eq!(record.usage_source, UsageSource::None);
    }
}

#[test]
fn images_moderations_and_reranking_pass_through_and_are_counted() {
    let mut world = with(|config| {
        config["providers"]["openai"]["models_allow"] = json!(["*"]);
        config["prices"]["openai/gpt-image-1"] = json!({"input": "5", "output": "40"});
    });
    let key = key(&mut world);
    let image = r#"{"created":1,"data":[{"b64_json":"aGk="}],"usage":{"input_tokens":10,"output_tokens":100,"total_tokens":110}}"#;
    world.script(vec![
        answer(200, image),
        answer(200, r#"{"id":"m","results":[]}"#),
    ]);
    let body = json!({"model": "openai/gpt-image-1", "prompt": "a cat", "quality": "low"});
    let got = post(&mut world, &key, "/v1/images/generations", &[], &body);
    assert_eq!((got.status.as_u16(), got.text().as_str()), (200, image));
    assert_eq!(got.header("x-sluice-cost-usd"), Some("0.00405"));
    let body = json!({"model": "openai/omni-moderation-latest", "input": "x"});
    let got = post(&mut world, &key, "/v1/moderations", &[], &body);
    assert_eq!(got.status.as_u16(), 200);
    let operations: Vec<Operation> = world
        .records("acme")
        .iter()
        .map(|record| record.operation)
        .collect();
    assert_eq!(operations, [Operation::Images, Operation::Moderation]);
    let body = json!({"model": "anthropic/claude-haiku", "prompt": "a cat"});
    let got = post(&mut world, &key, "/v1/images/generations", &[], &body);
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["code"].as_str()),
        (400, Some("unsupported_by_target"))
    );
}

fn form(parts: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (head, content) in parts {
        body += &format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n");
    }
    body + "--b--\r\n"
}

fn upload(world: &mut World, key: &str, body: &str) -> Got {
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "multipart/form-data; boundary=b"),
    ];
    world.send_with(
        "POST",
        "/v1/audio/transcriptions",
        &headers,
        body.as_bytes(),
    )
}

#[test]
fn a_recording_goes_on_as_it_comes() {
    let mut world = with(|config| config["providers"]["openai"]["models_allow"] = json!(["*"]));
    let key = key(&mut world);
    let recording = "0123456789".repeat(100);
    let file = "name=\"file\"; filename=\"a.mp3\"";
    for parts in [
        [
            ("name=\"model\"", "openai/whisper-1"),
            (file, recording.as_str()),
        ],
        [
            (file, recording.as_str()),
            ("name=\"model\"", "openai/whisper-1"),
        ],
    ] {
        let body = form(&parts);
        world.script(vec![Reaction::Answer {
            status: 200,
            headers: vec![("content-type", "text/plain; charset=utf-8".to_owned())],
            steps: vec![send("what was said")],
        }]);
        let got = upload(&mut world, &key, &body);
        assert_eq!(
            (got.status.as_u16(), got.text().as_str()),
            (200, "what was said")
        );
        assert_eq!(
            got.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        let seen = world.seen().pop().unwrap();
        assert_eq!(
            seen.headers["content-type"],
            "multipart/form-data; boundary=b"
        );
        assert_eq!(
            String::from_utf8_lossy(&seen.body),
            body.replace("openai/whisper-1", "whisper-1")
        );
    }
    assert_eq!(world.records("acme").len(), 2);
    assert_eq!(world.records("acme")[0].operation, Operation::Transcription);
}

#[test]
fn a_wrong_form_is_refused_also_when_it_is_half_sent() {
    let mut world = with(|config| config["providers"]["openai"]["models_allow"] = json!(["*"]));
    let key = key(&mut world);
    let recording = "0123456789".repeat(100);
    let file = ("name=\"file\"; filename=\"a.mp3\"", recording.as_str());
    let twice = form(&[
        ("name=\"model\"", "openai/whisper-1"),
        file,
        ("name=\"model\"", "openai/dear"),
    ]);
    let got = upload(&mut world, &key, &twice);
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["code"].as_str()),
        (400, Some("invalid_form"))
    );
    let got = upload(&mut world, &key, &form(&[file]));
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["param"].as_str()),
        (400, Some("model"))
    );
    let got = upload(&mut world, &key, "{}");
    assert_eq!(got.status.as_u16(), 400);
    assert!(world.seen().is_empty());
}

#[test]
fn vectors_are_written_for_googles_clients() {
    let mut world = with(|config| {
        config["providers"]["openai"]["models"]["text-embedding-3-small"] = json!({});
    });
    let key = key(&mut world);
    let vectors = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]},{"object":"embedding","index":1,"embedding":[2,3]}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    world.script(vec![answer(200, vectors)]);
    let one = |text: &str| json!({"model": "models/x", "content": {"parts": [{"text": text}]}, "taskType": "CLUSTERING"});
    let path = "/v1beta/models/text-embedding-3-small:batchEmbedContents";
    let body = json!({"requests": [one("a"), one("b")]});
    let got = post(&mut world, &key, path, &[], &body);
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(
        got.json()["embeddings"],
        json!([{"values": [0.5, -1]}, {"values": [2, 3]}])
    );
    assert_eq!(got.header("x-sluice-dropped"), Some("taskType"));
    assert_eq!(world.seen()[0].body_json()["input"], json!(["a", "b"]));
    let wrong = json!({"content": {"parts": []}});
    let path = "/v1beta/models/text-embedding-3-small:embedContent";
    let got = post(&mut world, &key, path, &[], &wrong);
    assert_eq!(got.json()["error"]["status"], "INVALID_ARGUMENT");
}

#[test]
fn an_error_in_anthropics_words_names_its_request() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    for choice in [json!("auto"), json!({"type": "nothing"})] {
        let mut body = message("anthropic/claude-haiku");
        body["tool_choice"] = choice;
        let got = post(&mut world, &key, "/v1/messages", &[], &body);
        let error = got.json();
        assert_eq!(
            (got.status.as_u16(), &error["error"]["type"]),
            (400, &json!("invalid_request_error"))
        );
        assert!(
            error["error"]["message"]
                .as_str()
                .is_some_and(|text| text.contains("tool_choice"))
        );
        assert_eq!(error["request_id"].as_str(), got.header("request-id"));
    }
}

#[test]
fn what_is_no_token_is_reserved_under_a_budget_and_charged() {
    let mut world = with(|config| {
        let models = &mut config["providers"]["openai"]["models"];
        models["dall-e"] = json!({});
        models["tts"] = json!({});
        models["whisper"] = json!({});
        config["prices"]["openai/dall-e"] = json!({"per_image": "0.04"});
        config["prices"]["openai/tts"] = json!({"per_million_characters": "15"});
        config["prices"]["openai/whisper"] = json!({"per_second": "0.0001"});
    });
    let key = world.key(&json!({"org": "acme", "budgets": [{"usd": "0.1", "per": "day"}]}));
    let images = |n: u32| json!({"model": "dall-e", "prompt": "a cat", "n": n});
    let got = post(&mut world, &key, "/v1/images/generations", &[], &images(3));
    assert_eq!(got.json()["error"]["code"], "budget_exceeded");
    world.script(vec![answer(
        200,
        r#"{"created":1,"data":[{"b64_json":"AA=="}]}"#,
    )]);
    let got = post(&mut world, &key, "/v1/images/generations", &[], &images(2));
    assert_eq!(got.header("x-sluice-cost-usd"), Some("0.04"));
    world.script(vec![Reaction::Answer {
        status: 200,
        headers: vec![("content-type", "audio/mpeg".to_owned())],
        steps: vec![send("ID3")],
    }]);
    let speech = json!({"model": "tts", "voice": "alloy", "input": "x".repeat(1_000)});
    assert_eq!(
        post(&mut world, &key, "/v1/audio/speech", &[], &speech).status,
        200
    );
    let heard = r#"{"text":"hello","usage":{"type":"duration","seconds":3}}"#;
    world.script(vec![answer(200, heard)]);
    let form = form(&[
        ("name=\"model\"", "whisper"),
        ("name=\"file\"; filename=\"a.mp3\"", "x"),
    ]);
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "multipart/form-data; boundary=b"),
        ("content-length", &form.len().to_string()),
    ];
    let path = "/v1/audio/transcriptions";
    let got = world.send_with("POST", path, &headers, form.as_bytes());
    assert_eq!(got.status, 200, "{}", got.text());
    let costs: Vec<String> = world
        .records("acme")
        .iter()
        .map(|record| record.cost_nano_usd.to_string())
        .collect();
    assert_eq!(costs, ["0.04", "0.015", "0.0003"]);
}
