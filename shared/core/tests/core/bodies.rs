//! Bodies on record: who wants them, what is kept, who can open them, and what becomes of them where there is no room.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use serde_json::{Value, json};
use sluice_core::bodies::{BodyKey, Opening};
use sluice_core::sandbox::Step;
use sluice_machines::record::{Bodies, Keep, Missing, Outcome, Record};
use sluice_units::{LedgerId, OrgId, RequestId, Span, base64url};

use crate::world::{ADMIN_TOKEN, World, answer, send, stream};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, SERVER_ERROR, chat, config, key, streamed};

const HELLO: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hello \"},\"finish_reason\":null}]}\n\n";
const WORLD: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"world.\"},\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn body_key() -> BodyKey {
    BodyKey::new("now", [7; 32]).unwrap()
}

/// A world whose organisation wants this on record.
fn keeping(org: Value) -> World {
    let mut config = config();
    for (name, value) in org.as_object().unwrap() {
        config["orgs"]["acme"][name] = value.clone();
    }
    let world = World::new(&config);
    world.secret("SLUICE_BODY_KEY", &body_key().text());
    world
}

fn deciphered(opening: &Opening) -> Option<Value> {
    let payload = Payload {
        msg: &opening.sealed,
        aad: &opening.associated,
    };
    let cipher = Aes256Gcm::new(&opening.key.into());
    let text = cipher.decrypt(&opening.nonce.into(), payload).ok()?;
    serde_json::from_slice(&text).ok()
}

fn opened(key: &BodyKey, org: &OrgId, request: &RequestId, bodies: &Bodies) -> Option<Value> {
    deciphered(&key.opening(org, request, bodies)?)
}

fn read(record: &Record) -> Value {
    let bodies = record.bodies.as_ref().expect("bodies");
    opened(&body_key(), &record.org, &record.request, bodies).expect("what opens")
}

/// What is on record of a request that this answers.
fn kept(world: &mut World, body: &[u8], reaction: crate::world::Reaction) -> Record {
    let key = key(world);
    world.script(vec![reaction]);
    let got = world.send("POST", "/v1/chat/completions", &key, body);
    assert_eq!(got.status, 200, "{}", got.text());
    world.records("acme").pop().expect("a record")
}

#[test]
fn nothing_of_bodies_is_on_record_unless_it_is_wanted() {
    let mut world = keeping(json!({}));
    let record = kept(&mut world, &chat("fast"), answer(200, OPENAI_ANSWER));
    assert_eq!(record.bodies, None);
}

#[test]
fn what_was_asked_and_answered_is_on_record_word_for_word_and_only_the_key_opens_it() {
    let mut world = keeping(json!({"bodies": "full"}));
    let record = kept(&mut world, &chat("fast"), answer(200, OPENAI_ANSWER));
    let text = serde_json::to_string(&record).unwrap();
    assert!(!text.contains("hello") && !text.contains("Hello"), "{text}");
    let said = read(&record);
    let asked = chat("fast");
    assert_eq!(
        said["request"]["text"],
        std::str::from_utf8(&asked).unwrap()
    );
    assert_eq!(said["request"]["bytes"], asked.len());
    let hash = sluice_core::hash::sha256_hex(&asked);
    assert_eq!(said["request"]["sha256"], hash);
    assert_eq!(said["answer"]["text"], OPENAI_ANSWER);
    assert_eq!(said["request"].get("truncated"), None);
    for secret in ["sk-provider", "sk-sluice", "authorization"] {
        assert!(!said.to_string().contains(secret), "{said}");
    }
}

#[test]
fn whatever_is_changed_about_sealed_bodies_they_do_not_open() {
    let mut world = keeping(json!({"bodies": "full"}));
    let record = kept(&mut world, &chat("fast"), answer(200, OPENAI_ANSWER));
    let (org, request) = (&record.org, &record.request);
    let bodies = record.bodies.as_ref().unwrap();
    let sealed = base64url::decode(bodies.sealed.as_ref().unwrap()).unwrap();
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone();
        bytes[at] ^= 1;
        let forged = Bodies {
            sealed: Some(base64url::encode(&bytes)),
            ..bodies.clone()
        };
        assert_eq!(opened(&body_key(), org, request, &forged), None, "{at}");
    }
    let other = OrgId::new("other").unwrap();
    assert_eq!(opened(&body_key(), &other, request, bodies), None);
    let another = RequestId::new("req_another").unwrap();
    assert_eq!(opened(&body_key(), org, &another, bodies), None);
    let renamed = Bodies {
        key: "later".to_owned(),
        ..bodies.clone()
    };
    assert_eq!(opened(&body_key(), org, request, &renamed), None);
    let relabelled = Bodies {
        keep: Keep::Redacted,
        ..bodies.clone()
    };
    assert_eq!(opened(&body_key(), org, request, &relabelled), None);
    let wrong = BodyKey::new("now", [8; 32]).unwrap();
    assert_eq!(opened(&wrong, org, request, bodies), None);
}

#[test]
fn an_organisations_key_opens_its_own_bodies_and_no_others() {
    let mut world = keeping(json!({"bodies": "full"}));
    let record = kept(&mut world, &chat("fast"), answer(200, OPENAI_ANSWER));
    let (org, request) = (&record.org, &record.request);
    let bodies = record.bodies.as_ref().unwrap();
    let own = body_key().of_org(org).unwrap();
    assert!(opened(&own, org, request, bodies).is_some());
    let others = body_key().of_org(&OrgId::new("other").unwrap()).unwrap();
    assert!(others.opening(org, request, bodies).is_none());
}

#[test]
fn a_streams_words_are_put_together() {
    let mut world = keeping(json!({"bodies": "full"}));
    let pieces = stream(vec![send(HELLO), send(WORLD), send(STOP)]);
    let record = kept(&mut world, &streamed("fast"), pieces);
    let said = read(&record);
    let part = json!({"kind": "text", "bytes": 12, "text": "Hello world."});
    let choice = json!({"index": 0, "parts": [part], "finish": "stop"});
    assert_eq!(said["answer"]["choices"], json!([choice]));
    // The receipt and the cost, which are comments of the gateway's, are no part of it.
    let sent = [HELLO, WORLD, STOP].concat();
    assert_eq!(said["answer"]["bytes"], sent.len());
    let hash = sluice_core::hash::sha256_hex(sent.as_bytes());
    assert_eq!(said["answer"]["sha256"], hash);
}

#[test]
fn a_stream_of_another_dialect_is_on_record_as_the_caller_got_it() {
    let mut world = keeping(json!({"bodies": "full"}));
    let key = key(&mut world);
    let body = json!({"model": "fast", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    world.script(vec![stream(vec![send(HELLO), send(STOP)])]);
    world.send("POST", "/v1/messages", &key, body.to_string().as_bytes());
    let said = read(&world.records("acme")[0]);
    let text = &said["answer"]["choices"][0]["parts"][0]["text"];
    assert_eq!(text, "Hello ", "{said}");
    assert_eq!(said["answer"]["choices"][0]["finish"], "stop");
}

#[test]
fn long_bodies_are_cut_and_it_is_said_how_long_they_were() {
    let mut world = keeping(json!({"bodies": "full"}));
    let long = "é".repeat(20_000);
    let body = json!({"model": "fast", "messages": [{"role": "user", "content": long}]});
    let mut whole: Value = serde_json::from_str(OPENAI_ANSWER).unwrap();
    whole["choices"][0]["message"]["content"] = json!("x".repeat(40_000));
    let (body, whole) = (body.to_string(), whole.to_string());
    let record = kept(&mut world, body.as_bytes(), answer(200, &whole));
    let said = read(&record);
    for (side, all) in [("request", &body), ("answer", &whole)] {
        assert_eq!(said[side]["bytes"], all.len());
        assert_eq!(said[side]["truncated"], true);
        let text = said[side]["text"].as_str().unwrap();
        assert!(all.starts_with(text));
        assert!(
            text.len() > 16_380 && text.len() <= 16_384,
            "{}",
            text.len()
        );
    }
    let many = (0..3_000).map(|_| send(HELLO)).chain([send(STOP)]);
    let record = kept(&mut world, &streamed("fast"), stream(many.collect()));
    let answer = &read(&record)["answer"];
    assert_eq!(answer["truncated"], true);
    let part = &answer["choices"][0]["parts"][0];
    assert_eq!(part["bytes"], 6 * 3_000);
    assert_eq!(part["text"].as_str().unwrap().len(), 16_384);
}

#[test]
fn redacted_bodies_say_who_spoke_and_how_long_and_no_word() {
    let secrets = [
        "alice@example.com",
        "Alice",
        "4111",
        "get_iban",
        "private",
        "data:image",
        "iVBOR",
        "Hello",
        "hidden",
    ];
    let body = json!({
        "model": "fast", "temperature": 0.5, "max_tokens": 50, "user": "alice@example.com", "metadata": {"Alice": "4111"},
        "tools": [{"type": "function", "function": {"name": "look_up", "description": "private",
            "parameters": {"type": "object", "properties": {"get_iban": {"type": "string"}}}}}],
        "messages": [
            {"role": "system", "content": "private"},
            {"role": "user", "name": "Alice", "content": [{"type": "text", "text": "4111 1111"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
                "function": {"name": "look_up", "arguments": "{\"get_iban\":\"4111\"}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "hidden"},
        ],
    });
    let mut world = keeping(json!({"bodies": "redacted"}));
    let text = body.to_string();
    let record = kept(&mut world, text.as_bytes(), answer(200, OPENAI_ANSWER));
    assert_eq!(record.bodies.as_ref().unwrap().keep, Keep::Redacted);
    let said = read(&record);
    for secret in secrets {
        assert!(!said.to_string().contains(secret), "{secret}: {said}");
    }
    assert_eq!(said["request"]["tools"], json!(["look_up"]));
    assert_eq!(said["request"]["temperature"], json!(0.5));
    assert_eq!(said["request"]["output_tokens_max"], 50);
    assert_eq!(
        said["request"]["messages"],
        json!([
            {"role": "system", "parts": [{"kind": "text", "bytes": 7}]},
            {"role": "user", "parts": [{"kind": "text", "bytes": 9}, {"kind": "image", "by": "data", "type": "image/png", "bytes": 12}]},
            {"role": "assistant", "parts": [{"kind": "tool_call", "name": "look_up", "bytes": 19}]},
            {"role": "tool", "parts": [{"kind": "tool_result", "parts": [{"kind": "text", "bytes": 6}], "is_error": false}]},
        ])
    );
    let part = json!({"kind": "text", "bytes": 6});
    let choice = json!({"index": 0, "parts": [part], "finish": "stop"});
    assert_eq!(said["answer"]["choices"], json!([choice]));

    let record = kept(
        &mut world,
        &streamed("fast"),
        stream(vec![send(HELLO), send(STOP)]),
    );
    let said = read(&record);
    assert_eq!(said["answer"]["choices"], json!([choice]));
    assert!(!said.to_string().contains("Hello"));
}

#[test]
fn a_long_outline_is_counted() {
    let mut world = keeping(json!({"bodies": "redacted"}));
    let turn = json!({"role": "user", "content": "Hi"});
    let body = json!({"model": "fast", "messages": vec![turn; 2_000]}).to_string();
    let record = kept(&mut world, body.as_bytes(), answer(200, OPENAI_ANSWER));
    let asked = &read(&record)["request"];
    let expected = json!({"bytes": body.len(), "messages": 2_000, "tools": 0, "truncated": true});
    assert_eq!(*asked, expected);
}

#[test]
fn the_innermost_level_that_says_so_decides() {
    let cases = [
        (json!({"bodies": "full"}), Some(Keep::Full)),
        (
            json!({"bodies": "full", "teams": {"search": {"apps": {"web": {}}, "bodies": "none"}}}),
            None,
        ),
        (
            json!({"bodies": "none", "teams": {"search": {"apps": {"web": {"bodies": "redacted"}}, "bodies": "full"}}}),
            Some(Keep::Redacted),
        ),
        (
            json!({"teams": {"search": {"apps": {"web": {}}, "bodies": "none"}}, "users": {"ada": {"bodies": "full"}}}),
            Some(Keep::Full),
        ),
    ];
    for (org, keep) in cases {
        let mut world = keeping(org.clone());
        let record = kept(&mut world, &chat("fast"), answer(200, OPENAI_ANSWER));
        assert_eq!(record.bodies.map(|bodies| bodies.keep), keep, "{org}");
    }
}

#[test]
fn failures_keep_the_request_and_refusals_nothing() {
    let mut world = keeping(json!({"bodies": "full", "limits": [{"requests": 1, "per": "1h"}]}));
    let key = key(&mut world);
    world.script(vec![answer(500, SERVER_ERROR); 12]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert!(got.status.is_server_error());
    let record = world.records("acme").remove(0);
    assert_eq!(record.outcome, Outcome::Failed);
    let said = read(&record);
    assert_eq!(said["answer"], Value::Null);
    assert!(
        said["request"]["text"]
            .as_str()
            .unwrap()
            .contains("Say hello.")
    );
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 429);
    let refused = serde_json::to_value(&world.refusals("acme")[0]).unwrap();
    assert_eq!(refused.get("bodies"), None);
}

#[test]
fn what_was_sent_of_a_broken_stream_is_on_record() {
    let mut world = keeping(json!({"bodies": "full"}));
    let record = kept(
        &mut world,
        &streamed("fast"),
        stream(vec![send(HELLO), Step::Break]),
    );
    assert_eq!(record.outcome, Outcome::Interrupted);
    let said = read(&record);
    let part = &said["answer"]["choices"][0]["parts"][0];
    assert_eq!(part["text"], "Hello ", "{said}");
}

#[test]
fn a_count_of_tokens_keeps_what_was_counted() {
    let mut world = keeping(json!({"bodies": "full"}));
    let key = key(&mut world);
    let body = chat("anthropic/claude-haiku");
    world.script(vec![answer(200, r#"{"input_tokens": 9}"#)]);
    let got = world.send("POST", "/v1/messages/count_tokens", &key, &body);
    assert_eq!(got.status, 200, "{}", got.text());
    let said = read(&world.records("acme")[0]);
    assert_eq!(said["request"]["text"], std::str::from_utf8(&body).unwrap());
}

#[test]
fn what_is_asked_in_other_ways_is_kept_too() {
    let mut world = keeping(json!({"bodies": "full"}));
    let key = key(&mut world);
    let body = json!({"model": "openai/gpt-4o-mini", "input": "Say hello."}).to_string();
    let vectors = r#"{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":1,"total_tokens":1}}"#;
    world.script(vec![answer(200, vectors), answer(200, ANTHROPIC_ANSWER)]);
    let got = world.send("POST", "/v1/embeddings", &key, body.as_bytes());
    assert_eq!(got.status, 200, "{}", got.text());
    let messages = json!({"model": "anthropic/claude-haiku", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let got = world.send("POST", "/v1/messages", &key, messages.as_bytes());
    assert_eq!(got.status, 200, "{}", got.text());
    let records = world.records("acme");
    assert_eq!(read(&records[0])["request"]["text"], body);
    assert_eq!(read(&records[1])["answer"]["text"], got.text());
}

#[test]
fn a_request_that_nobody_settles_says_that_its_bodies_are_lost() {
    let mut world = keeping(json!({"bodies": "full"}));
    let key = key(&mut world);
    world.script(vec![crate::world::Reaction::Hang]);
    let headers = [("authorization", format!("Bearer {key}"))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    world.start(
        "POST",
        "/v1/chat/completions",
        &headers,
        &chat("fast"),
        None,
    );
    world.wait(Span::from_millis(10));
    // The isolate is gone: its reservation passes its deadline unheard of.
    world.fail_ledger(1_000);
    world.wait(Span::from_seconds(40));
    world.expire("acme");
    let record = world.records("acme").remove(0);
    let bodies = record.bodies.expect("what became of them");
    assert_eq!(bodies.missing, Some(Missing::Unsettled));
    assert_eq!(bodies.sealed, None);
}

#[test]
fn without_the_key_nothing_is_asked_of_anybody() {
    let mut world = keeping(json!({"bodies": "full"}));
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    world.secret("SLUICE_BODY_KEY", "");
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 503);
    assert_eq!(got.json()["error"]["code"], "body_key_missing");
    assert!(world.seen().is_empty());
    assert!(
        world
            .log()
            .iter()
            .any(|line| line.contains("SLUICE_BODY_KEY"))
    );
}

#[test]
fn a_configuration_whose_key_is_not_set_is_refused_by_its_name() {
    for (value, problem) in [
        ("", "is not set"),
        ("nonsense", "is no key"),
        (
            "now/acme:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
            "is no key",
        ),
    ] {
        let mut world = keeping(json!({"bodies": "redacted", "body_key": "ACME_BODIES"}));
        world.secret("ACME_BODIES", value);
        let got = world.send("POST", "/v1/chat/completions", "sk-nobody", &chat("fast"));
        assert_eq!(got.status, 503, "{}", got.text());
        let line = format!("orgs.acme.bodies: the secret ACME_BODIES, which seals them, {problem}");
        let log = world.log();
        assert!(log.iter().any(|one| one.contains(&line)), "{log:?}");
        // Of another name's key there is no need.
        world.secret("ACME_BODIES", &body_key().text());
        world.wait(Span::from_seconds(10));
        let got = world.send("POST", "/v1/chat/completions", "sk-nobody", &chat("fast"));
        assert_eq!(got.status, 401);
    }
    let mut world = World::new(&config());
    let mut document = config();
    document["orgs"]["acme"]["teams"]["search"]["bodies"] = json!("full");
    let body = json!({"document": document, "author": "ada", "reason": "audit"});
    let got = world.send(
        "PUT",
        "/admin/config",
        ADMIN_TOKEN,
        body.to_string().as_bytes(),
    );
    assert_eq!(got.status, 400);
    assert!(
        got.text().contains("the secret SLUICE_BODY_KEY"),
        "{}",
        got.text()
    );
}

#[test]
fn what_waits_is_bounded_and_the_record_says_what_is_left_out() {
    let mut world = keeping(json!({"bodies": "full"}));
    let key = key(&mut world);
    let body =
        json!({"model": "fast", "messages": [{"role": "user", "content": "x".repeat(20_000)}]})
            .to_string();
    let headers = [("authorization", format!("Bearer {key}"))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    world.script(vec![answer(200, OPENAI_ANSWER); 500]);
    world.slow_ledger(Span::from_seconds(3));
    for _ in 0..500 {
        world.start(
            "POST",
            "/v1/chat/completions",
            &headers,
            body.as_bytes(),
            None,
        );
    }
    world.settle();
    let records = world.records("acme");
    assert_eq!(records.len(), 500);
    let left_out = records.iter().filter(|record| {
        let bodies = record.bodies.as_ref().unwrap();
        assert_eq!(
            bodies.sealed.is_none(),
            bodies.missing == Some(Missing::NoRoom)
        );
        bodies.sealed.is_none()
    });
    let left_out = left_out.count();
    assert!((1..499).contains(&left_out), "{left_out}");
    for commands in world.ledger_calls() {
        let bytes: usize = commands.iter().map(|one| one.body_bytes()).sum();
        assert!(bytes <= 1 << 20 || commands.len() == 1, "{bytes}");
    }
}

#[test]
fn a_pinned_requests_bodies_are_in_its_regions_ledger_alone() {
    let mut config = config();
    config["regions"] = json!({"eu": {"bucket": "RECORDS_EU"}});
    config["providers"]["openai"]["country"] = json!("DE");
    config["orgs"]["acme"]["region"] = json!("eu");
    config["orgs"]["acme"]["bodies"] = json!("full");
    let mut world = World::new(&config);
    world.secret("SLUICE_BODY_KEY", &body_key().text());
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 200, "{}", got.text());
    let holding: Vec<LedgerId> = world
        .ledgers()
        .into_iter()
        .filter(|ledger| {
            world
                .records_in(ledger)
                .iter()
                .any(|it| it.bodies.is_some())
        })
        .collect();
    assert_eq!(holding.len(), 1);
    assert_eq!(holding[0].region().as_str(), "eu");
    assert_eq!(holding[0].jurisdiction().map(|it| it.as_str()), Some("eu"));
    let said = read(&world.records_in(&holding[0])[0]);
    assert_eq!(said["answer"]["text"], OPENAI_ANSWER);
}
