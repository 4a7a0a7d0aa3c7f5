//! The audit commands on a folder, from their arguments to what they print.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

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

#[test]
fn whatever_was_done_is_named_with_the_first_record() {
    type Meddle = fn(&Path);
    let cases: [(&str, Meddle, &str); 7] = [
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
    for (name, meddle, expected) in cases {
        let root = demo(&format!("audit-{name}"));
        meddle(&root);
        let output = verify(&root);
        assert!(err(&output).contains(expected), "{name}: {}", err(&output));
        assert!(err(&output).ends_with("1 chain is broken\n"));
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
