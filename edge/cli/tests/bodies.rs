//! Bodies on record as auditors read them: opened by whoever has the key, and left as they are for everybody else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sluice_core::bodies::BodyKey;
use sluice_machines::chain::{self, Chain, ChainKind, Head};
use sluice_machines::record::{Bodies, Keep};
use sluice_units::{OrgId, Region, RequestId, base64url};

fn key() -> BodyKey {
    BodyKey::new("now", [7; 32]).unwrap()
}

/// Bodies as the gateway seals them.
fn sealed(key: &BodyKey, request: &str, text: &str) -> Value {
    let (org, request) = (
        OrgId::new("acme").unwrap(),
        RequestId::new(request).unwrap(),
    );
    let nonce = [9; 12];
    let empty = Bodies {
        keep: Keep::Full,
        key: key.id.clone(),
        sealed: Some(base64url::encode(&nonce)),
        missing: None,
    };
    let opening = key.opening(&org, &request, &empty).unwrap();
    let payload = Payload {
        msg: text.as_bytes(),
        aad: &opening.associated,
    };
    let cipher = Aes256Gcm::new(&opening.key.into());
    let sealed = cipher.encrypt(&opening.nonce.into(), payload).unwrap();
    let bytes = [&nonce[..], &sealed].concat();
    json!(Bodies {
        sealed: Some(base64url::encode(&bytes)),
        ..empty
    })
}

/// A folder with one batch of these bodies.
fn folder(name: &str, bodies: &[Value]) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let lines: String = bodies
        .iter()
        .enumerate()
        .map(|(index, bodies)| {
            let record = json!({"v": 1, "sequence": index + 1, "request": format!("req_{index}"), "kind": "settled",
                "at_us": 1_795_262_400_000_000_i64, "org": "acme", "bodies": bodies});
            format!("{record}\n")
        })
        .collect();
    let chain = Chain {
        kind: ChainKind::Usage,
        region: Some(Region::new("eu").unwrap()),
        org: Some(OrgId::new("acme").unwrap()),
        shard: None,
    };
    let text = chain::write(&chain, &Head::default(), 1, &lines).unwrap();
    let file = root.join(format!(
        "{}/date=2026-11-21/000000000001.ndjson.gz",
        chain.folder()
    ));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut encoder = GzBuilder::new().write(fs::File::create(file).unwrap(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap();
    root
}

fn sluice(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.env("BODY_KEYS", format!("{} {}", before().text(), key().text()));
    command.args(arguments).output().unwrap()
}

fn before() -> BodyKey {
    BodyKey::new("before", [8; 32]).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn printed(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(all).unwrap()
}

fn keys(root: &Path, lines: &str) -> PathBuf {
    let file = root.with_extension("keys");
    fs::write(&file, lines).unwrap();
    file
}

/// What is written of a folder, and what is said of it.
fn exported(root: &Path, more: &[&str]) -> (Vec<Value>, Output) {
    let out = root.with_extension("ndjson");
    let mut arguments = vec!["audit", "export", text(root), "--out", text(&out)];
    arguments.extend_from_slice(more);
    let output = sluice(&arguments);
    let lines = fs::read_to_string(&out).unwrap_or_default();
    let records = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (records.collect(), output)
}

fn said(word: &str) -> String {
    json!({"request": {"bytes": 2, "text": word}, "answer": null}).to_string()
}

#[test]
fn bodies_are_opened_for_whoever_has_the_key_and_stay_sealed_for_everybody_else() {
    let all = [
        sealed(&key(), "req_0", &said("hello")),
        sealed(&before(), "req_1", &said("earlier")),
        json!({"keep": "full", "key": "now", "missing": "no_room"}),
    ];
    let root = folder("bodies-opened", &all);
    let (records, output) = exported(&root, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(records[0]["bodies"], all[0]);

    let file = keys(&root, &format!("{}\n", key().text()));
    let (records, output) = exported(&root, &["--body-keys", text(&file)]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let opened = json!({"keep": "full", "key": "now", "request": {"bytes": 2, "text": "hello"}, "answer": null});
    assert_eq!(records[0]["bodies"], opened);
    assert_eq!(records[1]["bodies"], all[1]);
    assert_eq!(records[2]["bodies"], all[2]);
    let words = printed(&output);
    assert!(words.contains("1 bodies were opened"), "{words}");
    assert!(
        words.contains("1 bodies are sealed under keys that were not given"),
        "{words}"
    );

    let (records, _) = exported(&root, &["--body-keys-env", "BODY_KEYS"]);
    assert_eq!(records[1]["bodies"]["request"]["text"], "earlier");
    let proven = sluice(&[
        "audit",
        "verify",
        text(&root),
        "--body-keys-env",
        "BODY_KEYS",
    ]);
    assert_eq!(proven.status.code(), Some(0));
    assert!(printed(&proven).contains("2 bodies were opened"));
}

#[test]
fn bodies_of_another_request_or_another_key_are_named() {
    let all = [
        sealed(&key(), "req_1", &said("moved")),
        sealed(
            &BodyKey::new("now", [6; 32]).unwrap(),
            "req_1",
            &said("forged"),
        ),
        sealed(&key(), "req_2", &said("good")),
    ];
    let root = folder("bodies-moved", &all);
    for command in ["verify", "export"] {
        let out = root.with_extension("ndjson");
        let mut arguments = vec![
            "audit",
            command,
            text(&root),
            "--body-keys-env",
            "BODY_KEYS",
        ];
        if command == "export" {
            arguments.extend(["--out", text(&out)]);
        }
        let output = sluice(&arguments);
        assert_eq!(output.status.code(), Some(1));
        let words = printed(&output);
        for request in ["req_0", "req_1"] {
            let line = format!(
                "{request}: its bodies do not open: they were changed, or sealed by another key named now"
            );
            assert!(words.contains(&line), "{words}");
        }
        assert!(words.contains("2 faults found"), "{words}");
        assert!(words.contains("1 bodies were opened"), "{words}");
    }
}

#[test]
fn an_organisations_auditors_get_a_key_for_it_alone() {
    let root = folder("bodies-narrow", &[sealed(&key(), "req_0", &said("hello"))]);
    let narrow = |org: &str| {
        let output = sluice(&["audit", "key", "--org", org, "--body-keys-env", "BODY_KEYS"]);
        assert_eq!(output.status.code(), Some(0));
        printed(&output)
    };
    let file = keys(&root, &narrow("acme"));
    let (records, _) = exported(&root, &["--body-keys", text(&file)]);
    assert_eq!(records[0]["bodies"]["request"]["text"], "hello");
    let file = keys(&root, &narrow("other"));
    let (records, output) = exported(&root, &["--body-keys", text(&file)]);
    assert_eq!(records[0]["bodies"]["request"], Value::Null);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_key_is_made_and_what_is_none_is_not_repeated() {
    let made = printed(&sluice(&["audit", "key", "--id", "2026"]));
    let line = made.lines().next().unwrap();
    assert_eq!(BodyKey::parse(line).unwrap().id, "2026");
    let other = printed(&sluice(&["audit", "key", "--id", "2026"]));
    assert_ne!(Some(line), other.lines().next());

    let root = folder("bodies-nonsense", &[Value::Null]);
    let file = keys(&root, "now:s3cr3t");
    let (_, output) = exported(&root, &["--body-keys", text(&file)]);
    assert_eq!(output.status.code(), Some(1));
    let words = printed(&output);
    assert!(
        words.contains("there are no keys there that open bodies"),
        "{words}"
    );
    assert!(!words.contains("s3cr3t"), "{words}");
}

#[test]
fn the_check_names_the_keys_that_a_configuration_needs() {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bodies-check");
    fs::create_dir_all(&root).unwrap();
    let file = root.join("sluice.toml");
    let checked = |text: &str| {
        fs::write(&file, text).unwrap();
        printed(&sluice(&["check", file.to_str().unwrap()]))
    };
    let words =
        checked("[orgs.acme]\nbodies = \"none\"\n[orgs.acme.teams.law]\nbodies = \"full\"\n");
    assert!(
        words.contains("secrets that must be set: SLUICE_BODY_KEY"),
        "{words}"
    );
    let words = checked("[orgs.acme]\nbodies = \"redacted\"\nbody_key = \"ACME_BODIES\"\n");
    assert!(
        words.contains("secrets that must be set: ACME_BODIES"),
        "{words}"
    );
    let words = checked("[orgs.acme]\nbodies = \"none\"\n");
    assert!(!words.contains("secrets that must be set"), "{words}");
    let words = checked("[orgs.acme]\nbodies = \"everything\"\nbody_key = \"a key\"\n");
    assert!(words.contains("orgs.acme.bodies"), "{words}");
    let words = checked("[orgs.acme]\nbody_key = \"a key\"\n");
    assert!(
        words.contains("orgs.acme.body_key: \"a key\" is not the name of a secret"),
        "{words}"
    );
}
