//! Receipts: signed, true, and in step with the records and their chain.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use sluice_core::receipt::{self, Receipt};
use sluice_core::sandbox::Step;
use sluice_machines::chain::{GENESIS, hash};
use sluice_machines::record::Outcome;
use sluice_units::{Span, base64url};

use crate::world::{World, answer, send, stream};
use crate::{OPENAI_ANSWER, SERVER_ERROR, chat, key, streamed, with};

const HELLO: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hello.\"},\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn pair() -> ed25519_compact::KeyPair {
    ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([7; 32]))
}

/// What the secret holds: a key called `now`.
pub(crate) fn secret() -> String {
    let public = base64url::encode(&*pair().pk);
    format!("now:{}:{public}", base64url::encode(&[7; 32]))
}

fn signing() -> World {
    let world = with(|_| ());
    world.secret("SLUICE_RECEIPT_KEY", &secret());
    world
}

/// What a receipt says, once its signature is proven.
fn proven(token: &str) -> Receipt {
    let parts = receipt::parts(token).expect("a receipt");
    assert_eq!(parts.key_id, "now");
    let signature = ed25519_compact::Signature::from_slice(&parts.signature).unwrap();
    pair().pk.verify(&parts.message, &signature).unwrap();
    parts.receipt
}

fn comment(text: &str) -> &str {
    let (_, rest) = text.split_once(": x-sluice-receipt=").expect("a receipt");
    rest.lines().next().unwrap_or_default()
}

#[test]
fn a_whole_answer_carries_a_receipt_that_says_what_the_record_says() {
    let mut world = signing();
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    let receipt = proven(got.header("x-sluice-receipt").expect("a receipt"));
    let record = world.records("acme").remove(0);
    assert_eq!(Some(receipt.request.as_str()), got.header("x-request-id"));
    assert_eq!(receipt.request, record.request);
    assert_eq!(receipt.key, record.key);
    assert_eq!(receipt.provider, record.provider);
    assert_eq!(receipt.usage, record.usage);
    assert_eq!(receipt.cost_nano_usd, record.cost_nano_usd);
    assert_eq!((receipt.outcome, receipt.status), (Outcome::Completed, 200));
    assert_eq!(receipt.wasm.as_deref(), Some("c0de"));
    assert_eq!(receipt.config, 1);
    assert_eq!(receipt.audit.chain, "usage/region=local/org=acme");
    assert_eq!(receipt.audit.head, None);
}

#[test]
fn a_receipt_carries_the_head_of_the_chain_that_was_heard_of_last() {
    let mut world = signing();
    let key = key(&mut world);
    let mut heads = Vec::new();
    for _ in 0..3 {
        world.script(vec![answer(200, OPENAI_ANSWER)]);
        world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
        let batches = world.ship("acme");
        heads.push(hash(batches[0].as_bytes()));
    }
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    let receipt = proven(got.header("x-sluice-receipt").expect("a receipt"));
    let head = receipt.audit.head.expect("a head");
    assert_ne!(head.hash, GENESIS);
    let batch = usize::try_from(head.batch).unwrap();
    assert_eq!(head.hash, heads[batch - 1], "batch {batch}");
}

#[test]
fn a_stream_ends_with_its_receipt() {
    let mut world = signing();
    let key = key(&mut world);
    world.script(vec![stream(vec![send(HELLO), send(STOP)])]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    assert_eq!(got.header("x-sluice-receipt"), None);
    let text = got.text();
    assert!(text.ends_with("\n\n"), "{text}");
    let receipt = proven(comment(&text));
    let record = world.records("acme").remove(0);
    assert_eq!(receipt.request, record.request);
    assert_eq!(receipt.usage, record.usage);
    assert_eq!(receipt.cost_nano_usd, record.cost_nano_usd);
}

#[test]
fn failures_have_receipts_too() {
    let mut world = signing();
    let key = key(&mut world);
    world.script(vec![answer(500, SERVER_ERROR); 12]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert!(got.status.is_server_error());
    let receipt = proven(got.header("x-sluice-receipt").expect("a receipt"));
    assert_eq!(receipt.outcome, Outcome::Failed);
    assert_eq!(receipt.status, got.status);

    // Until the targets are called again.
    world.wait(Span::from_seconds(30));
    world.script(vec![stream(vec![send(HELLO), Step::Break])]);
    let got = world.send("POST", "/v1/chat/completions", &key, &streamed("fast"));
    let receipt = proven(comment(&got.text()));
    assert_eq!(receipt.outcome, Outcome::Interrupted);
}

#[test]
fn a_receipt_whose_words_were_changed_is_not_proven() {
    let mut world = signing();
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    let token = got.header("x-sluice-receipt").expect("a receipt");
    let mut parts: Vec<&str> = token.split('.').collect();
    let claims = String::from_utf8(base64url::decode(parts[1]).unwrap()).unwrap();
    let changed = base64url::encode(claims.replace("\"local\"", "\"eu\"").as_bytes());
    parts[1] = &changed;
    let forged = receipt::parts(&parts.join(".")).expect("a receipt");
    let signature = ed25519_compact::Signature::from_slice(&forged.signature).unwrap();
    assert!(pair().pk.verify(&forged.message, &signature).is_err());
}

#[test]
fn the_public_keys_are_published_with_those_of_before() {
    let mut world = signing();
    let retired = base64url::encode(&[9; 32]);
    world.secret(
        "SLUICE_RECEIPT_KEYS_RETIRED",
        &format!("old:{retired} bad:xyz"),
    );
    let got = world.send("GET", receipt::KEYS_PATH, "", &[]);
    let keys: Value = serde_json::from_str(&got.text()).unwrap();
    let ids: Vec<&str> = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["now", "old"]);
    assert_eq!(keys["keys"][0]["x"], base64url::encode(&*pair().pk));
    assert!(!got.text().contains(&base64url::encode(&[7; 32])));
}

#[test]
fn without_a_key_there_are_no_receipts_and_health_says_so() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.header("x-sluice-receipt"), None);
    let state = |world: &mut World| {
        let got = world.send("GET", "/health", "", &[]);
        let health: Value = serde_json::from_str(&got.text()).unwrap();
        health["checks"]["receipts"]["status"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(state(&mut world).as_deref(), Some("off"));
    world.secret("SLUICE_RECEIPT_KEY", "nonsense");
    assert_eq!(state(&mut world).as_deref(), Some("degraded"));
    world.secret("SLUICE_RECEIPT_KEY", &secret());
    assert_eq!(state(&mut world).as_deref(), Some("ok"));
}

#[test]
fn a_key_that_is_replaced_signs_no_more() {
    let mut world = signing();
    let key = key(&mut world);
    let signed_by = |world: &mut World| {
        world.script(vec![answer(200, OPENAI_ANSWER)]);
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
        let token = got.header("x-sluice-receipt")?.to_owned();
        Some(receipt::parts(&token).expect("a receipt").key_id)
    };
    assert_eq!(signed_by(&mut world).as_deref(), Some("now"));
    world.secret("SLUICE_RECEIPT_KEY", &secret().replacen("now", "next", 1));
    assert_eq!(signed_by(&mut world).as_deref(), Some("next"));
    world.secret("SLUICE_RECEIPT_KEY", "");
    assert_eq!(signed_by(&mut world), None);
    world.secret("SLUICE_RECEIPT_KEY", &secret());
    assert_eq!(signed_by(&mut world).as_deref(), Some("now"));
}
