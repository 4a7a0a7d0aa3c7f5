//! The rules. Each test names all offenders at once.

use sluice_tidy::{SourceFile, files, without_tests};

const LINES_MAX: usize = 500;

/// Fails with a list when there are offenders.
fn check(rule: &str, offenders: Vec<String>) {
    assert!(
        offenders.is_empty(),
        "{rule}:\n  {}",
        offenders.join("\n  ")
    );
}

fn rust() -> impl Iterator<Item = SourceFile> {
    files()
        .into_iter()
        .filter(|file| file.path.ends_with(".rs"))
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn manifest(path: &str) -> String {
    let wanted = format!("{path}/Cargo.toml");
    files()
        .into_iter()
        .find(|file| file.path == wanted)
        .unwrap_or_else(|| panic!("{wanted} exists"))
        .text
}

#[test]
fn files_are_short_enough_to_read() {
    let offenders = rust()
        .filter(|file| !is_test(&file.path))
        .map(|file| (without_tests(&file.text).lines().count(), file.path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    check("a file has at most 500 lines besides its tests", offenders);
}

#[test]
fn every_module_says_what_it_decides() {
    let offenders = rust()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.path)
        .collect();
    check("a Rust file opens with a `//!` comment", offenders);
}

#[test]
fn modules_stand_beside_their_folders() {
    let offenders = rust()
        .filter(|file| file.path.ends_with("/mod.rs"))
        .map(|file| file.path)
        .collect();
    check("`foo.rs` beside `foo/`, no `mod.rs`", offenders);
}

#[test]
fn tests_neither_sleep_nor_are_ignored() {
    let banned = [
        concat!("#[", "ignore"),
        concat!("thread::", "sleep"),
        concat!("#[should_", "panic"),
    ];
    let offenders = rust()
        .filter(|file| !file.path.starts_with("xtask/"))
        .filter(|file| banned.iter().any(|word| file.text.contains(word)))
        .map(|file| file.path)
        .collect();
    check("no ignored, sleeping or should-panic tests", offenders);
}

#[test]
fn nothing_names_a_machine() {
    let banned = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
    ];
    let offenders = files()
        .into_iter()
        .filter(|file| banned.iter().any(|word| file.text.contains(word)))
        .map(|file| file.path)
        .collect();
    check("no path of a machine", offenders);
}

#[test]
fn pure_crates_know_no_runtime() {
    let pure = [
        "shared/units",
        "shared/wire",
        "shared/core",
        "shared/catalogue",
        "durable/machines",
    ];
    let banned = [
        "tokio",
        "reqwest",
        "worker",
        "wasm-bindgen",
        "spin-sdk",
        "js-sys",
        "web-sys",
        "ureq",
    ];
    let offenders = pure
        .iter()
        .flat_map(|path| {
            let text = manifest(path);
            let dependencies = text
                .split("[dev-dependencies]")
                .next()
                .unwrap_or_default()
                .to_owned();
            banned
                .iter()
                .filter(move |name| {
                    dependencies
                        .lines()
                        .any(|line| line.starts_with(&format!("{name} ")))
                })
                .map(move |name| format!("{path} depends on {name}"))
        })
        .collect();
    check(
        "nothing in shared/ or durable/machines knows a runtime",
        offenders,
    );
}

#[test]
fn dependencies_point_one_way() {
    let allowed: [(&str, &[&str]); 6] = [
        ("shared/units", &[]),
        ("shared/wire", &["units"]),
        ("shared/catalogue", &["units"]),
        ("durable/machines", &["units"]),
        ("shared/core", &["units", "wire", "machines"]),
        ("durable/objects", &["units", "wire", "machines"]),
    ];
    let offenders = allowed
        .iter()
        .flat_map(|(path, allowed)| {
            manifest(path)
                .split("[dev-dependencies]")
                .next()
                .unwrap_or_default()
                .lines()
                .filter_map(|line| line.strip_prefix("sluice-").map(str::to_owned))
                .filter_map(|rest| rest.split([' ', '.', '=']).next().map(str::to_owned))
                .filter(|name| !allowed.contains(&name.as_str()))
                .map(|name| format!("{path} must not depend on {name}"))
                .collect::<Vec<_>>()
        })
        .collect();
    check(
        "units ← wire ← core → machines → units; objects → machines, wire",
        offenders,
    );
}

#[test]
fn pure_crates_forbid_what_panics() {
    let pure = [
        "shared/units",
        "shared/wire",
        "shared/core",
        "durable/machines",
    ];
    let wanted = [
        "#![forbid(unsafe_code)]",
        "clippy::indexing_slicing",
        "clippy::arithmetic_side_effects",
        "clippy::float_arithmetic",
        "clippy::panic",
    ];
    let all = files();
    let offenders = pure
        .iter()
        .filter_map(|path| {
            let wanted_path = format!("{path}/src/lib.rs");
            let file = all.iter().find(|file| file.path == wanted_path)?;
            let missing: Vec<&str> = wanted
                .into_iter()
                .filter(|word| !file.text.contains(word))
                .collect();
            (!missing.is_empty()).then(|| format!("{wanted_path}: {}", missing.join(", ")))
        })
        .collect();
    check(
        "pure crates forbid unsafe code, panics, indexing, unchecked arithmetic and floats",
        offenders,
    );
}

#[test]
fn pure_code_reads_no_clock_and_no_hash_order() {
    let banned = [
        "SystemTime",
        "Instant::now",
        "HashMap",
        "HashSet",
        "std::env",
        "println!",
        "eprintln!",
    ];
    let offenders = rust()
        .filter(|file| {
            file.path.starts_with("shared/") || file.path.starts_with("durable/machines")
        })
        .filter(|file| file.path.contains("/src/") && !is_test(&file.path))
        .flat_map(|file| {
            let body = without_tests(&file.text).to_owned();
            banned
                .iter()
                .filter(move |word| body.contains(*word))
                .map(move |word| format!("{}: {word}", file.path))
                .collect::<Vec<_>>()
        })
        .collect();
    check(
        "no clock, environment, output or hash order in pure code",
        offenders,
    );
}

#[test]
fn every_error_code_is_documented() {
    let documented = files()
        .into_iter()
        .find(|file| file.path == "docs/errors.md")
        .expect("docs/errors.md exists")
        .text;
    let is_code = |word: &str| {
        word.contains('_')
            && word.len() > 8
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let offenders = rust()
        .filter(|file| {
            ["problem.rs", "plan.rs"]
                .iter()
                .any(|name| file.path == format!("shared/core/src/{name}"))
        })
        .flat_map(|file| {
            without_tests(&file.text)
                .split('"')
                .skip(1)
                .step_by(2)
                .filter(|word| is_code(word))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        // OpenAI's error types stand beside the codes.
        .filter(|word| {
            ![
                "invalid_request_error",
                "server_error",
                "insufficient_quota",
            ]
            .contains(&word.as_str())
        })
        .filter(|word| !documented.contains(&format!("`{word}`")))
        .collect();
    check("every error code stands in docs/errors.md", offenders);
}

#[test]
fn what_is_claimed_of_residency_is_shown_by_a_test() {
    let page = files()
        .into_iter()
        .find(|file| file.path == "docs/residency.md")
        .expect("docs/residency.md exists")
        .text;
    let sources: Vec<String> = files()
        .into_iter()
        .filter(|file| file.path.ends_with(".rs") || file.path.ends_with(".test.mjs"))
        .map(|file| file.text)
        .collect();
    let is_test = |name: &str| {
        let (rust, script) = (format!("fn {name}("), format!("test('{name}'"));
        let mut sources = sources.iter();
        sources.any(|text| text.contains(&rust) || text.contains(&script))
    };
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let claims = rows.filter(|row| !row.starts_with("| claim ")).map(|row| {
        let shown = row.trim_end_matches('|').rsplit('|').next();
        let names = shown.unwrap_or_default().split('`').skip(1).step_by(2);
        (row, names.collect::<Vec<_>>())
    });
    let claims: Vec<_> = claims.collect();
    assert!(claims.len() >= 10, "the page makes claims");
    let offenders = claims
        .into_iter()
        .filter(|(_, names)| names.is_empty() || !names.iter().all(|name| is_test(name)))
        .map(|(row, _)| row.to_owned())
        .collect();
    check(
        "every claim in docs/residency.md names its tests",
        offenders,
    );
}
