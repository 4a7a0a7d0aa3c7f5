//! Files and batches: what a caller gets back is its organisation's alone, and a batch spends nothing uncounted.

use serde_json::{Value, json};
use sluice_core::sandbox::Step;
use sluice_machines::record::{Operation, UsageSource};

use crate::world::{Got, Reaction, Seen, World, answer, send};
use crate::{OPENAI_ANSWER, with};

const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"lines.jsonl\"\r\n\r\n{\"custom_id\":\"1\"}\r\n--b--\r\n";
const BATCH: &str = r#"{"id":"batch_own1","object":"batch","endpoint":"/v1/chat/completions","input_file_id":"file-own1","output_file_id":"file-own2","error_file_id":null,"status":"completed","request_counts":{"total":1},"metadata":METADATA}"#;

/// Two organisations, and a second provider that keeps files.
fn world() -> World {
    with(|config| {
        config["orgs"]["other"] = json!({});
        config["orgs"]["thrifty"] = json!({"budgets": [{"usd": "5", "per": "day"}]});
        config["providers"]["third"] = json!({"dialect": "responses", "base_url": "https://third.example/v1",
            "key": "OPENAI_API_KEY", "auth": "bearer", "models": {"m": {}}});
        config["providers"]["second"] = json!({"dialect": "openai", "base_url": "https://second.example/v1",
            "key": "OPENAI_API_KEY", "auth": "bearer", "models": {"m": {}}});
    })
}

fn file_json(id: &str, name: &str) -> Value {
    json!({"id": id, "object": "file", "bytes": 17, "created_at": 1, "filename": name, "purpose": "batch", "status": "processed", "new": 1.50})
}

fn file(id: &str, name: &str) -> String {
    file_json(id, name).to_string()
}

fn ask(world: &mut World, key: &str, method: &str, path: &str, body: &Value) -> Got {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    world.send(method, path, key, &body)
}

/// Asks without a body, at an address under `/v1`.
fn call(world: &mut World, key: &str, method: &str, path: &str) -> Got {
    ask(world, key, method, &format!("/v1/{path}"), &Value::Null)
}

/// What a caller was refused with: status and message.
fn refused(got: &Got) -> (u16, String) {
    let message = got.json()["error"]["message"].as_str().map(str::to_owned);
    (got.status.as_u16(), message.expect("an error"))
}

fn code(got: &Got) -> (u16, String) {
    let code = got.json()["error"]["code"].as_str().map(str::to_owned);
    (got.status.as_u16(), code.expect("an error"))
}

/// What the providers were asked for, from the call of this number on.
fn asked(world: &World, from: usize) -> Vec<String> {
    let calls = world.seen().into_iter().skip(from);
    calls
        .map(|call| format!("{} {}", call.method, call.url))
        .collect()
}

fn upload(world: &mut World, key: &str, more: &[(&str, &str)]) -> Got {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![
        ("authorization", &*bearer),
        ("content-type", "multipart/form-data; boundary=b"),
    ];
    headers.extend_from_slice(more);
    world.send_with("POST", "/v1/files", &headers, FORM.as_bytes())
}

/// What a provider was told is the name of an uploaded file.
fn name_of(seen: &Seen) -> String {
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    let (_, rest) = body.split_once("filename=\"").expect("a file");
    rest.split_once('"').expect("a name").0.to_owned()
}

/// Uploads a file for a key; the provider calls it `id`.
fn uploaded(world: &mut World, key: &str, id: &str) -> String {
    world.script(vec![answer(200, &file(id, "x"))]);
    let got = upload(world, key, &[]);
    assert_eq!(got.status, 200, "{}", got.text());
    got.json()["id"].as_str().expect("an identifier").to_owned()
}

fn bytes(content: &str) -> Reaction {
    Reaction::Answer {
        status: 200,
        headers: vec![("content-type", "application/json".to_owned())],
        steps: vec![send(content), Step::Send("more".into())],
    }
}

#[test]
fn a_file_goes_through_under_a_name_of_its_owners() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let id = uploaded(&mut world, &key, "file-own1");
    assert!(id.starts_with("file-") && !id.contains("own1"));
    let marked = name_of(&world.seen()[0]);
    assert!(marked.starts_with("sluice-") && marked.ends_with("-lines.jsonl"));

    world.script(vec![
        answer(200, &file("file-own1", &marked)),
        bytes("{\"custom_id\":\"1\"}"),
        answer(200, r#"{"id":"file-own1","object":"file","deleted":true}"#),
    ]);
    let shown = call(&mut world, &key, "GET", &format!("files/{id}"));
    assert_eq!(shown.json(), file_json(&id, "lines.jsonl"));
    let content = call(&mut world, &key, "GET", &format!("files/{id}/content"));
    assert_eq!(content.text(), "{\"custom_id\":\"1\"}more");
    let kind = content.header("content-type");
    assert_eq!(kind, Some("application/octet-stream"));
    let deleted = call(&mut world, &key, "DELETE", &format!("files/{id}"));
    let expected = json!({"id": id, "object": "file", "deleted": true});
    assert_eq!(deleted.json(), expected);
    assert_eq!(
        asked(&world, 0),
        [
            "POST https://api.openai.com/v1/files",
            "GET https://api.openai.com/v1/files/file-own1",
            "GET https://api.openai.com/v1/files/file-own1/content",
            "DELETE https://api.openai.com/v1/files/file-own1"
        ]
    );
    let records = world.records("acme");
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| {
        record.operation == Operation::Files && record.usage_source == UsageSource::None
    }));
}

#[test]
fn what_is_not_the_organisations_own_is_not_there() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let other = world.key(&json!({"org": "other"}));
    let id = uploaded(&mut world, &key, "file-own1");
    for (method, path) in [("GET", ""), ("GET", "/content"), ("DELETE", "")] {
        let got = call(&mut world, &other, method, &format!("files/{id}{path}"));
        assert_eq!(refused(&got), (404, format!("No such File object: {id}")));
    }
    let got = call(&mut world, &key, "GET", "files/file-own1");
    assert_eq!(code(&got), (404, "not_found".to_owned()));
    assert_eq!(world.seen().len(), 1, "nobody was asked");
}

#[test]
fn the_provider_is_the_one_that_is_named() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let gone = r#"{"error":{"message":"No such File object: f","type":"invalid_request_error","param":"id","code":null}}"#;
    world.script(vec![answer(200, &file("f", "x")), answer(404, gone)]);
    let got = upload(&mut world, &key, &[("x-sluice-provider", "second")]);
    assert_eq!(got.header("x-sluice-provider"), Some("second"));
    let id = got.json()["id"].as_str().expect("one").to_owned();
    let got = call(&mut world, &key, "GET", &format!("files/{id}"));
    assert_eq!(refused(&got), (404, format!("No such File object: {id}")));
    let is_second = |call: &String| call.contains(" https://second.example/v1/files");
    assert!(asked(&world, 0).iter().all(is_second));
    for name in ["anthropic", "nobody", "sandbox"] {
        let got = upload(&mut world, &key, &[("x-sluice-provider", name)]);
        assert_eq!(code(&got), (400, "provider_not_found".to_owned()), "{name}");
    }
    let narrow = world.key(&json!({"org": "acme", "models": ["second/*"]}));
    world.script(vec![answer(200, &file("f", "x"))]);
    let got = upload(&mut world, &narrow, &[]);
    assert_eq!(got.header("x-sluice-provider"), Some("second"));
}

/// Begins a batch; returns what the caller is told of it, and its owner's mark.
fn begun(world: &mut World, key: &str) -> (Value, String) {
    let input = uploaded(world, key, "file-own1");
    let number = world.seen().len();
    world.script(vec![answer(200, &BATCH.replace("METADATA", "null"))]);
    let got = ask(world, key, "POST", "/v1/batches", &batch_of(&input));
    assert_eq!(got.status, 200, "{}", got.text());
    let sent = world.seen()[number].body_json();
    assert_eq!(sent["input_file_id"], "file-own1");
    assert_eq!(got.json()["input_file_id"], json!(input));
    let mark = sent["metadata"]["sluice_owner"].as_str().expect("a mark");
    (got.json(), mark.to_owned())
}

fn batch_of(input: &str) -> Value {
    json!({"input_file_id": input, "endpoint": "/v1/chat/completions", "completion_window": "24h"})
}

#[test]
fn a_batch_is_told_in_the_owners_identifiers() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let (batch, mark) = begun(&mut world, &key);
    assert_eq!(batch["error_file_id"], Value::Null);
    let id = batch["id"].as_str().expect("an identifier");
    assert!(id.starts_with("batch_") && !id.contains("own1"));

    let metadata = |value: Value| BATCH.replace("METADATA", &value.to_string());
    world.script(vec![
        answer(200, &metadata(json!({"sluice_owner": mark, "job": "x"}))),
        answer(200, &metadata(json!({"sluice_owner": mark}))),
        bytes("line"),
    ]);
    let shown = call(&mut world, &key, "GET", &format!("batches/{id}")).json();
    assert_eq!(
        (&shown["id"], &shown["metadata"]),
        (&json!(id), &json!({"job": "x"}))
    );
    let path = format!("batches/{id}/cancel");
    let cancelled = call(&mut world, &key, "POST", &path).json();
    assert_eq!(cancelled["metadata"], Value::Null);
    let output = shown["output_file_id"].as_str().expect("an identifier");
    let content = call(&mut world, &key, "GET", &format!("files/{output}/content"));
    assert_eq!(content.text(), "linemore");
    assert_eq!(
        asked(&world, 2),
        [
            "GET https://api.openai.com/v1/batches/batch_own1",
            "POST https://api.openai.com/v1/batches/batch_own1/cancel",
            "GET https://api.openai.com/v1/files/file-own2/content"
        ]
    );
    let records = world.records("acme");
    let mut batches = records.iter().map(|record| record.operation);
    assert_eq!(
        batches
            .by_ref()
            .filter(|it| *it == Operation::Batches)
            .count(),
        3
    );
}

#[test]
fn anothers_batch_is_not_there() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let other = world.key(&json!({"org": "other"}));
    let (batch, _) = begun(&mut world, &key);
    let id = batch["id"].as_str().expect("an identifier");
    for (method, path) in [("GET", ""), ("POST", "/cancel")] {
        let got = call(&mut world, &other, method, &format!("batches/{id}{path}"));
        let message = format!("No batch found with id '{id}'.");
        assert_eq!(refused(&got), (404, message));
    }
    let input = batch["input_file_id"].as_str().expect("an identifier");
    let got = ask(&mut world, &other, "POST", "/v1/batches", &batch_of(input));
    assert_eq!(
        refused(&got),
        (404, format!("No such File object: {input}"))
    );
    assert_eq!(world.seen().len(), 2, "nobody was asked");
}

#[test]
fn a_batch_that_nobody_bounds_is_refused() {
    let mut world = world();
    for (key, code) in [
        (json!({"org": "thrifty"}), "batch_not_bounded"),
        (
            json!({"org": "acme", "limits": [{"tokens": 1000, "per": "1h"}]}),
            "batch_not_bounded",
        ),
        (
            json!({"org": "acme", "limits": [{"usd": "1", "per": "1h"}]}),
            "batch_not_bounded",
        ),
        (
            json!({"org": "acme", "budgets": [{"usd": "1", "per": "month"}]}),
            "batch_not_bounded",
        ),
        (
            json!({"org": "acme", "models": ["openai/*"]}),
            "batch_models_unknown",
        ),
    ] {
        let key = world.key(&key);
        let input = uploaded(&mut world, &key, "file-own1");
        let body = json!({"input_file_id": input, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
        let got = ask(&mut world, &key, "POST", "/v1/batches", &body);
        assert_eq!(
            (got.status.as_u16(), got.json()["error"]["code"].as_str()),
            (403, Some(code))
        );
    }
    let key = world.key(&json!({"org": "acme", "limits": [{"requests": 2, "per": "1h"}]}));
    let input = uploaded(&mut world, &key, "file-own1");
    let mut body = json!({"input_file_id": input, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    world.script(vec![answer(200, &BATCH.replace("METADATA", "null"))]);
    assert_eq!(
        ask(&mut world, &key, "POST", "/v1/batches", &body).status,
        200
    );
    assert_eq!(
        ask(&mut world, &key, "POST", "/v1/batches", &body).status,
        429
    );
    body["metadata"] = json!({"sluice_owner": "me"});
    let free = world.key(&json!({"org": "acme"}));
    let got = ask(&mut world, &free, "POST", "/v1/batches", &body);
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["param"].as_str()),
        (400, Some("metadata"))
    );
}

/// A page of the provider's, of files with these names.
fn page(names: &[(usize, String)], has_more: bool) -> Reaction {
    let data: Vec<Value> = names
        .iter()
        .map(|(number, name)| file_json(&format!("file-{number}"), name))
        .collect();
    answer(
        200,
        &json!({"object": "list", "data": data, "has_more": has_more}).to_string(),
    )
}

#[test]
fn a_list_holds_what_the_organisation_owns_and_nothing_else() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let other = world.key(&json!({"org": "other"}));
    uploaded(&mut world, &key, "file-own1");
    uploaded(&mut world, &other, "file-own2");
    let (mine, theirs) = (name_of(&world.seen()[0]), name_of(&world.seen()[1]));
    let bare = "bare.jsonl".to_owned();
    let first = [(1, theirs.clone()), (2, bare), (3, mine.clone())];
    let second = [(4, mine.clone()), (5, theirs.clone()), (6, mine)];
    world.script(vec![page(&first, true), page(&second, false)]);
    let got = call(&mut world, &key, "GET", "files?limit=2&order=asc").json();
    let names = got["data"].as_array().expect("a list").iter();
    let names: Vec<&Value> = names.map(|one| &one["filename"]).collect();
    assert_eq!(names, ["lines.jsonl", "lines.jsonl"]);
    assert_eq!(got["has_more"], true);
    assert_eq!(got["last_id"], got["data"][1]["id"]);
    let base = "GET https://api.openai.com/v1/files?limit=100";
    assert_eq!(
        asked(&world, 2),
        [
            format!("{base}&order=asc"),
            format!("{base}&after=file-3&order=asc")
        ]
    );

    world.script(vec![page(&second[1..], false)]);
    let after = format!(
        "files?after={}",
        got["last_id"].as_str().expect("an identifier")
    );
    let rest = call(&mut world, &key, "GET", &after).json();
    assert_eq!(rest["data"].as_array().expect("a list").len(), 1);
    assert_eq!(rest["has_more"], false);
    assert_eq!(asked(&world, 4), [format!("{base}&after=file-4")]);
    assert_eq!(call(&mut world, &other, "GET", &after).status, 404);
}

#[test]
fn a_list_never_looks_complete_when_it_is_not() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let foreign = |_| page(&[(1, "theirs".to_owned())], true);
    world.script((0..21).map(foreign).collect());
    let got = call(&mut world, &key, "GET", "files");
    assert_eq!(code(&got), (400, "list_too_long".to_owned()));
    for query in ["limit=0", "limit=x", "limit=10001", "purpose=a%20b"] {
        let got = call(&mut world, &key, "GET", &format!("files?{query}"));
        assert_eq!(code(&got), (400, "invalid_value".to_owned()), "{query}");
    }
}

#[test]
fn a_conversation_refers_to_the_organisations_own_files_only() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let other = world.key(&json!({"org": "other"}));
    let id = uploaded(&mut world, &key, "file-own1");
    let chat = |model: &str, id: &str| json!({"model": model, "temperature": 1.0, "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": id}}]}]});
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = ask(
        &mut world,
        &key,
        "POST",
        "/v1/chat/completions",
        &chat("openai/gpt-4o-mini", &id),
    );
    assert_eq!(got.status, 200, "{}", got.text());
    let sent = String::from_utf8(world.seen()[1].body.to_vec()).unwrap();
    assert!(
        sent.contains(r#"{"file_id":"file-own1"}"#) && sent.contains(r#""temperature":1.0"#),
        "{sent}"
    );

    let escaped = chat("openai/gpt-4o-mini", "file-own1")
        .to_string()
        .replace("file_id", r"f\u0069le_id");
    for (key, body) in [
        (&key, chat("openai/gpt-4o-mini", "file-own1").to_string()),
        (&key, escaped),
        (&other, chat("openai/gpt-4o-mini", &id).to_string()),
    ] {
        let got = world.send("POST", "/v1/chat/completions", key, body.as_bytes());
        assert_eq!(
            (got.status.as_u16(), got.json()["error"]["code"].as_str()),
            (404, Some("not_found")),
            "{body}"
        );
    }
    let responses = json!({"model": "second/m", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": id}]}]});
    let got = ask(&mut world, &key, "POST", "/v1/responses", &responses);
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["code"].as_str()),
        (400, Some("provider_state_not_portable"))
    );
    assert_eq!(world.seen().len(), 2, "nobody was asked");

    world.script(vec![answer(400, r#"{"error":{"message":"file-own1 cannot be read","type":"invalid_request_error","param":null,"code":null}}"#)]);
    let got = ask(
        &mut world,
        &key,
        "POST",
        "/v1/chat/completions",
        &chat("openai/gpt-4o-mini", &id),
    );
    assert!(
        got.text().contains(&format!("{id} cannot be read")),
        "{}",
        got.text()
    );
}

#[test]
fn a_file_that_another_provider_keeps_does_not_leave_it() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let message = |model: &str| json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file-own1"}}]}]});
    let got = ask(
        &mut world,
        &key,
        "POST",
        "/v1/messages",
        &message("openai/gpt-4o-mini"),
    );
    assert_eq!(got.status, 400);
    assert!(got.text().contains("keeps no such file"), "{}", got.text());
    assert!(world.seen().is_empty());
    world.script(vec![answer(200, crate::ANTHROPIC_ANSWER)]);
    assert_eq!(
        ask(
            &mut world,
            &key,
            "POST",
            "/v1/messages",
            &message("anthropic/claude-haiku")
        )
        .status,
        200
    );
}

/// The identifiers under `file_id`, in order.
fn identifiers(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| identifiers(item, found)),
        Value::Object(fields) => {
            for (key, field) in fields {
                match (key.as_str(), field) {
                    ("file_id", Value::String(id)) => found.push(id.clone()),
                    _ => identifiers(field, found),
                }
            }
        }
        _ => {}
    }
}

fn cited(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    identifiers(value, &mut found);
    found
}

/// A conversation that refers to a file, whose last answer has these annotations.
fn citing(id: &str, annotations: &Value) -> Value {
    json!({"model": "openai/gpt-4o-mini", "metadata": {"file_id": "label"}, "messages": [
        {"role": "user", "content": [{"type": "file", "file": {"file_id": id}}]},
        {"role": "assistant", "content": "So.", "annotations": annotations},
        {"role": "user", "content": "And?"},
    ]})
}

fn chat(world: &mut World, key: &str, body: &Value) -> Got {
    ask(world, key, "POST", "/v1/chat/completions", body)
}

/// Has an answer cite a file of the request, one with the organisation's mark, and one that may be anybody's: what the
/// caller calls the first, and the answer.
fn cites(world: &mut World, key: &str) -> (String, Got) {
    world.script(vec![answer(200, &file("file-own1", "x"))]);
    let sent = upload(world, key, &[("x-sluice-provider", "openai")]);
    let id = sent.json()["id"]
        .as_str()
        .expect("an identifier")
        .to_owned();
    let marked = name_of(&world.seen()[0]);
    let mut whole: Value = serde_json::from_str(OPENAI_ANSWER).expect("an answer");
    let message = &mut whole["choices"][0]["message"];
    message["annotations"] = json!([
        {"type": "file_citation", "file_id": "file-own1", "filename": "x", "index": 1},
        {"type": "file_citation", "file_id": "file-own9", "filename": marked, "index": 1},
        {"type": "container_file_citation", "file_id": "cfile_1", "container_id": "cntr_1", "filename": "plot.png", "start_index": 0, "end_index": 1},
    ]);
    message["tool_calls"] = json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"file_id\":\"mine\"}"}}]);
    world.script(vec![answer(200, &whole.to_string())]);
    let got = chat(world, key, &citing(&id, &json!([])));
    (id, got)
}

#[test]
fn what_an_answer_cites_is_named_for_its_caller() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let (id, got) = cites(&mut world, &key);
    assert_eq!(got.status, 200, "{}", got.text());
    let said = got.json()["choices"][0]["message"]["annotations"].clone();
    let names = cited(&said);
    assert_eq!(names[0], id);
    assert!(names[1].starts_with("file-") && !names[1].starts_with("file-cited-"));
    assert!(names[2].starts_with("file-cited-"));
    assert_eq!(said[1]["filename"], "lines.jsonl");
    for own in ["file-own", "cfile_1", "sluice-"] {
        assert!(!got.text().contains(own), "{own}: {}", got.text());
    }
    assert!(got.text().contains("mine"));

    // What may be anybody's is good for nothing but being said again.
    let calls = world.seen().len();
    for (method, path) in [("GET", ""), ("GET", "/content"), ("DELETE", "")] {
        let got = call(
            &mut world,
            &key,
            method,
            &format!("files/{}{path}", names[2]),
        );
        assert_eq!(code(&got), (404, "not_found".to_owned()));
    }
    let got = chat(&mut world, &key, &citing(&names[2], &json!([])));
    assert_eq!(code(&got), (404, "not_found".to_owned()));
    assert_eq!(world.seen().len(), calls, "nobody was asked");
}

#[test]
fn what_was_cited_is_the_providers_own_again_when_it_is_said_again() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let other = world.key(&json!({"org": "other"}));
    let (id, got) = cites(&mut world, &key);
    let said = got.json()["choices"][0]["message"]["annotations"].clone();
    world.script(vec![answer(200, OPENAI_ANSWER), answer(200, OPENAI_ANSWER)]);
    assert_eq!(chat(&mut world, &key, &citing(&id, &said)).status, 200);
    let back = world.seen().last().unwrap().body_json();
    assert_eq!(
        cited(&back["messages"]),
        ["file-own1", "file-own1", "file-own9", "cfile_1"]
    );
    assert_eq!(back["metadata"]["file_id"], "label");
    // Another organisation's is a name without a meaning.
    let mut foreign = citing(&id, &said);
    foreign["messages"][0]["content"] = "Hi".into();
    assert_eq!(chat(&mut world, &other, &foreign).status, 200);
    let sent = world.seen().last().unwrap().body_json();
    assert_eq!(cited(&sent["messages"]), cited(&said));
}

#[test]
fn what_a_stream_cites_is_named_for_its_caller() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let event = |value: Value| {
        send(&format!(
            "event: {}\ndata: {value}\n\n",
            value["type"].as_str().unwrap_or_default()
        ))
    };
    let citation =
        json!({"type": "file_citation", "file_id": "file-x1", "filename": "a.pdf", "index": 0});
    let response = json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-x2"]}}],
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "a", "annotations": [citation], "logprobs": []}]}],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}});
    world.script(vec![crate::world::stream(vec![
        event(json!({"type": "response.created", "sequence_number": 0, "response": response})),
        event(json!({"type": "response.output_text.annotation.added", "sequence_number": 1, "item_id": "msg_1", "output_index": 0, "content_index": 0, "annotation_index": 0, "annotation": citation})),
        event(json!({"type": "response.completed", "sequence_number": 2, "response": response})),
    ])]);
    let body = json!({"model": "third/m", "stream": true, "max_output_tokens": 100, "input": "Hi"});
    let got = ask(&mut world, &key, "POST", "/v1/responses", &body);
    let text = got.text();
    assert_eq!(got.status, 200, "{text}");
    assert!(
        !text.contains("file-x") && text.matches("file-cited-").count() == 5,
        "{text}"
    );
}

/// And they may know files of their own there.
#[test]
fn what_anthropic_cites_can_be_said_wherever_a_file_can() {
    let mut world = world();
    let key = world.key(&json!({"org": "acme"}));
    let block = json!({"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_1", "content": {"type": "code_execution_result", "stdout": "", "stderr": "", "return_code": 0, "content": [{"type": "code_execution_output", "file_id": "file_011"}]}});
    let used =
        json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"file_id": "mine"}});
    let mut whole: Value = serde_json::from_str(crate::ANTHROPIC_ANSWER).unwrap();
    whole["content"] = json!([block, used]);
    world.script(vec![
        answer(200, &whole.to_string()),
        answer(200, crate::ANTHROPIC_ANSWER),
    ]);
    let message = |content: &Value| {
        json!({"model": "anthropic/claude-haiku", "max_tokens": 9, "messages": [
            {"role": "user", "content": [{"type": "container_upload", "file_id": "file_own"}]},
            {"role": "assistant", "content": content},
            {"role": "user", "content": "Go on."},
        ]})
    };
    let got = ask(
        &mut world,
        &key,
        "POST",
        "/v1/messages",
        &message(&json!("Hm.")),
    );
    assert_eq!(got.status, 200, "{}", got.text());
    let said = got.json()["content"].clone();
    let names = cited(&said);
    assert!(
        names[0].starts_with("file-cited-") && names[1] == "mine",
        "{names:?}"
    );
    let got = ask(&mut world, &key, "POST", "/v1/messages", &message(&said));
    assert_eq!(got.status, 200, "{}", got.text());
    let back = world.seen().last().unwrap().body_json();
    assert_eq!(cited(&back), ["file_own", "file_011", "mine"]);
    let other = world.key(&json!({"org": "other"}));
    let got = ask(&mut world, &other, "POST", "/v1/messages", &message(&said));
    assert_eq!(got.status, 404, "{}", got.text());
}

#[test]
fn without_a_key_for_identifiers_nothing_is_kept() {
    let mut world = world();
    world.secret("SLUICE_ID_KEY", "short");
    let key = world.key(&json!({"org": "acme"}));
    let got = upload(&mut world, &key, &[]);
    assert_eq!(
        (got.status.as_u16(), got.json()["error"]["code"].as_str()),
        (503, Some("files_disabled"))
    );
    let chat = json!({"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]});
    assert_eq!(
        ask(&mut world, &key, "POST", "/v1/chat/completions", &chat).status,
        503
    );
    assert!(world.seen().is_empty());
}
