//! The audit commands on a folder, from their arguments to what they print.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ed25519_compact::{KeyPair, Seed};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sluice_machines::chain::{self, Chain, ChainKind, Head};
use sluice_machines::outbox::Line;
use sluice_machines::record::{Outcome, Record, RecordKind, Refusal};
use sluice_units::{OrgId, Region, Shard, base64url};

const CHAIN: &str = "usage/region=eu/org=demo";

fn sluice(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(arguments);
    command
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A folder with three batches: 1,000 records in each of the first two, 500 in the last.
fn demo(name: &str) -> PathBuf {
    let root = folder(name);
    fs::remove_dir_all(&root).unwrap();
    let made = sluice(&["audit", "demo", text(&root), "--records", "2500"])
        .output()
        .unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    root
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn verify(root: &Path) -> Output {
    sluice(&["audit", "verify", text(root)]).output().unwrap()
}

fn batch(root: &Path, number: u32) -> PathBuf {
    root.join(format!("{CHAIN}/date=2026-11-01/{number:012}.ndjson.gz"))
}

fn change(path: &Path, change: impl FnOnce(String) -> String) {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut encoder = GzBuilder::new().write(fs::File::create(path).unwrap(), Compression::fast());
    encoder.write_all(change(text).as_bytes()).unwrap();
    encoder.finish().unwrap();
}

#[test]
fn a_good_folder_is_proven() {
    let root = demo("audit-good");
    let output = verify(&root);
    let printed = out(&output);
    assert!(
        printed.starts_with(&format!("{CHAIN}: 2500 records in 3 batches; head 3 ")),
        "{printed}"
    );
    assert!(
        printed.contains("2500 records: none is missing, moved or changed ("),
        "{printed}"
    );
    assert_eq!(output.status.code(), Some(0));
    // Whoever has the folder twice is not written over.
    let again = sluice(&["audit", "demo", text(&root)]).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
}

type Meddle = fn(&Path);

/// What is done to a folder, and what is said of it.
const CASES: [(&str, Meddle, &str); 7] = [
    (
        "changed",
        |root| {
            change(&batch(root, 2), |text| {
                text.replacen(r#""team":"legal""#, r#""team":"rebel""#, 1)
            });
        },
        "000000000002.ndjson.gz: record 1001 was changed",
    ),
    (
        "dropped",
        |root| {
            change(&batch(root, 2), |text| {
                let kept = text
                    .lines()
                    .filter(|line| !line.contains("\"sequence\":1500,"));
                kept.map(|line| format!("{line}\n")).collect()
            });
        },
        "record 1500 is not where it should be: record 1501 is there",
    ),
    (
        "swapped",
        |root| {
            change(&batch(root, 2), |text| {
                let mut lines: Vec<&str> = text.lines().collect();
                lines.swap(10, 11);
                lines.iter().map(|line| format!("{line}\n")).collect()
            });
        },
        "record 1010 is not where it should be: record 1011 is there",
    ),
    (
        "gone",
        |root| fs::remove_file(batch(root, 2)).unwrap(),
        "batch 2 is missing, with the records from 1001 on: batch 3 comes instead",
    ),
    (
        "twice",
        |root| {
            let other = root.join(CHAIN).join("date=2026-11-02");
            fs::create_dir_all(&other).unwrap();
            fs::copy(batch(root, 2), other.join("000000000002.ndjson.gz")).unwrap();
        },
        "batch 2 is there twice",
    ),
    (
        "elsewhere",
        |root| {
            let other = root.join("usage/region=eu/org=other/date=2026-11-01");
            fs::create_dir_all(&other).unwrap();
            fs::copy(batch(root, 1), other.join("000000000001.ndjson.gz")).unwrap();
        },
        "it belongs to usage/region=eu/org=demo",
    ),
    (
        "torn",
        |root| {
            let bytes = fs::read(batch(root, 3)).unwrap();
            fs::write(batch(root, 3), &bytes[..bytes.len() / 2]).unwrap();
        },
        "000000000003.ndjson.gz: it cannot be unpacked",
    ),
];

#[test]
fn whatever_was_done_is_named_with_the_first_record() {
    for (name, meddle, expected) in CASES {
        let root = demo(&format!("audit-{name}"));
        meddle(&root);
        let output = verify(&root);
        assert!(err(&output).contains(expected), "{name}: {}", err(&output));
        assert!(err(&output).ends_with("1 fault found\n"));
        assert_eq!((out(&output), output.status.code()), ("", Some(1)));
    }
}

#[test]
fn a_folder_without_batches_proves_nothing() {
    let root = folder("audit-empty");
    let output = verify(&root);
    assert!(err(&output).contains("there are no batches"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_auditor_gets_the_records_of_a_team_and_a_day() {
    let root = demo("audit-export");
    let file = root.join("export");
    let export = |more: &[&str]| {
        let arguments = ["audit", "export", text(&root), "--out", text(&file)];
        let output = sluice(&[&arguments[..], more].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        fs::read_to_string(&file).unwrap()
    };
    let all = export(&[]);
    assert_eq!(all.lines().count(), 2500);
    let legal = export(&[
        "--team",
        "legal",
        "--from",
        "2026-11-01",
        "--to",
        "2026-11-01",
    ]);
    assert!(legal.lines().count() > 500);
    assert!(legal.lines().all(|line| line.contains(r#""team":"legal""#)));
    assert_eq!(export(&["--from", "2026-11-02"]), "");
    let csv = export(&["--team", "legal", "--format", "csv"]);
    let mut lines = csv.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("at,sequence,kind,request,org,team,")
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("2026-11-01T00:00:08.000Z,2,settled,req_"),
    );
}

/// The demo's first record again, as a shard counts it, and a refusal of the same key there; in the shard's own chain.
fn add_shard(root: &Path, number: u8) {
    let mut all = String::new();
    GzDecoder::new(fs::File::open(batch(root, 1)).unwrap())
        .read_to_string(&mut all)
        .unwrap();
    let shard = Shard::new(number);
    let record = Record {
        shard,
        ..serde_json::from_str::<Line>(all.lines().nth(1).unwrap())
            .unwrap()
            .record
    };
    let refusal = Refusal {
        request: record.request.clone(),
        kind: RecordKind::Refused,
        at_us: record.at_us,
        org: record.org.clone(),
        team: record.team.clone(),
        app: None,
        user: None,
        key: Some(record.key.clone()),
        model: None,
        region: record.region.clone(),
        shard,
        outcome: Outcome::Refused,
        status: 429,
        error: "rate_limit_exceeded".to_owned(),
        count: 1,
        withheld: 0,
    };
    let lines = format!(
        "{}\n{}\n",
        json!(Line::new(1, record)),
        json!(Line::new(2, refusal))
    );
    let chain = Chain {
        kind: ChainKind::Usage,
        region: Region::new("eu").ok(),
        org: OrgId::new("demo").ok(),
        shard,
    };
    let written = chain::write(&chain, &Head::default(), 1, &lines).unwrap();
    let file = root.join(format!(
        "{}/date=2026-11-01/000000000001.ndjson.gz",
        chain.folder()
    ));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut encoder = GzBuilder::new().write(fs::File::create(file).unwrap(), Compression::fast());
    encoder.write_all(written.as_bytes()).unwrap();
    encoder.finish().unwrap();
}

#[test]
fn a_row_says_in_which_ledger_its_record_was_counted() {
    let root = demo("audit-shards");
    add_shard(&root, 2);
    add_shard(&root, 10);
    let file = root.join("export.csv");
    let arguments = ["audit", "export", text(&root), "--format", "csv"];
    let output = sluice(&[&arguments[..], &["--out", text(&file)]].concat())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let csv = fs::read_to_string(&file).unwrap();
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = rows.next().unwrap();
    let column = |name: &str| names.iter().position(|one| *one == name).unwrap();
    let columns = ["region", "org", "shard", "sequence", "kind"].map(column);
    let places: Vec<String> = rows
        .map(|row| columns.map(|column| row[column]).join(" "))
        .collect();
    assert_eq!(places.len(), 2504);
    assert_eq!(places[0], "eu demo  1 settled");
    for expected in [
        "eu demo 2 1 settled",
        "eu demo 2 2 refused",
        "eu demo 10 1 settled",
        "eu demo 10 2 refused",
    ] {
        let found = places.iter().filter(|place| *place == expected);
        assert_eq!(found.count(), 1, "{expected}");
    }
}

#[test]
fn only_what_is_under_a_name_is_looked_at_and_not_what_begins_like_it() {
    let root = demo("audit-only");
    add_shard(&root, 10);
    let verified = |only: &str| {
        let arguments = ["audit", "verify", text(&root), "--only", only];
        let output = sluice(&arguments).output().unwrap();
        output.status.code() == Some(0)
    };
    let org = "usage/region=eu/org=demo";
    let all = ["usage", "usage/", "usage/region=eu", org].map(&verified);
    assert_eq!(all, [true; 4]);
    assert!(verified(&format!("{org}/shard=10")));
    let none = ["usage/region=e", &format!("{org}/shard=1")].map(verified);
    assert_eq!(none, [false; 2]);
}

const SEED: [u8; 32] = [7; 32];

/// A receipt of a record of the demo, as the gateway signs it, and the published keys.
fn receipt(root: &Path, sequence: usize, change: impl FnOnce(&mut Value)) -> (String, PathBuf) {
    let mut all = String::new();
    GzDecoder::new(fs::File::open(batch(root, 1)).unwrap())
        .read_to_string(&mut all)
        .unwrap();
    let record: Value = serde_json::from_str(all.lines().nth(sequence).unwrap()).unwrap();
    let second = {
        let mut second = String::new();
        GzDecoder::new(fs::File::open(batch(root, 2)).unwrap())
            .read_to_string(&mut second)
            .unwrap();
        second
    };
    let header: Value = serde_json::from_str(second.lines().next().unwrap()).unwrap();
    let mut claims = record.clone();
    claims["policy"] = 3.into();
    claims["config"] = 4.into();
    // What the second batch follows is the first one.
    claims["audit"] = json!({"chain": CHAIN, "b": 1, "h": header["before"]});
    change(&mut claims);
    let pair = KeyPair::from_seed(Seed::new(SEED));
    let head = base64url::encode(br#"{"alg":"EdDSA","kid":"now"}"#);
    let message = format!(
        "{head}.{}",
        base64url::encode(claims.to_string().as_bytes())
    );
    let signature = base64url::encode(&*pair.sk.sign(&message, None));
    let keys = root.join("keys.json");
    let x = base64url::encode(&*pair.pk);
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "now", "x": x}]});
    fs::write(&keys, set.to_string()).unwrap();
    (format!("{message}.{signature}"), keys)
}

#[test]
fn a_receipt_is_checked_by_the_published_keys_alone() {
    let root = demo("receipt");
    let (token, keys) = receipt(&root, 1, |_| ());
    let check = |token: &str| {
        sluice(&["receipt", "verify", token, "--keys", text(&keys)])
            .output()
            .unwrap()
    };
    let output = check(&token);
    assert!(
        out(&output).contains(": good, signed by now\n"),
        "{}",
        err(&output)
    );
    assert!(out(&output).contains(" by key_"), "{}", out(&output));
    let stream = root.join("stream");
    fs::write(
        &stream,
        format!("data: [DONE]\n\n: sluice request=x\n: x-sluice-receipt={token}\n\n"),
    )
    .unwrap();
    assert_eq!(out(&check(text(&stream))), out(&output));
    let other = receipt(&root, 2, |_| ()).0;
    let (message, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    let output = check(&format!("{message}.{signature}"));
    assert!(err(&output).contains("it was changed, or now never signed it"));
    assert_eq!(output.status.code(), Some(1));
    let cut = &token[..token.len() / 2];
    assert_eq!(check(&format!("{cut}.x")).status.code(), Some(1));
}

#[test]
fn receipts_are_joined_to_their_records() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 6] = [
        (|_| (), ""),
        (
            |claims| claims["cost_nano_usd"] = 1.into(),
            "it says 0.000000001 USD, the records say ",
        ),
        (
            |claims| claims["region"] = "us".into(),
            "the record has another region",
        ),
        (
            |claims| claims["request"] = "req_gone".into(),
            "there is no record of it",
        ),
        (
            |claims| claims["audit"]["h"] = "00".into(),
            "the chain was written anew",
        ),
        (
            |claims| claims["audit"]["b"] = 9.into(),
            "it knows batch 9 of usage/region=eu/org=demo, which is not there",
        ),
    ];
    for (change, expected) in cases {
        let root = demo("receipts-joined");
        let (token, keys) = receipt(&root, 5, change);
        let file = root.join("receipts");
        fs::write(&file, token).unwrap();
        let arguments = [
            "audit",
            "verify",
            text(&root),
            "--receipts",
            text(&file),
            "--keys",
            text(&keys),
        ];
        let output = sluice(&arguments).output().unwrap();
        if expected.is_empty() {
            assert!(
                out(&output).contains("1 receipts: each has its record\n"),
                "{}",
                err(&output)
            );
        } else {
            assert!(
                err(&output).contains(expected),
                "{expected}: {}",
                err(&output)
            );
        }
        assert_eq!(output.status.code(), Some(i32::from(!expected.is_empty())));
    }
}

#[test]
fn a_new_signing_key_is_one_that_the_gateway_takes() {
    let output = sluice(&["receipt", "key", "--id", "mine"])
        .output()
        .unwrap();
    let secret = out(&output).lines().next().unwrap();
    let key = sluice_core::receipt::SigningKey::parse(secret).unwrap();
    assert_eq!(key.id, "mine");
    let seed = Seed::from_slice(&base64url::decode(key.seed.expose()).unwrap()).unwrap();
    assert_eq!(base64url::encode(&*KeyPair::from_seed(seed).pk), key.public);
}

#[test]
fn the_residency_report_adds_up() {
    let root = demo("audit-report");
    let output = sluice(&["report", "residency", text(&root), "--period", "2026-11"])
        .output()
        .unwrap();
    let printed = out(&output);
    assert!(printed.ends_with("\n2500 requests\n"), "{printed}");
    let requests: u64 = printed
        .lines()
        .filter(|line| line.starts_with("demo "))
        .map(|line| line.split_whitespace().rev().nth(1).unwrap())
        .map(|count| count.parse::<u64>().unwrap())
        .sum();
    assert_eq!(requests, 2500);
    assert!(printed.contains("failed: upstream_error"));
    let output = sluice(&["report", "residency", text(&root), "--period", "2026-10"])
        .output()
        .unwrap();
    assert!(out(&output).ends_with("\n0 requests\n"));
}
