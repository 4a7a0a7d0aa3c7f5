//! What `sluice check` says of broken files, as goldens; and that good files are good.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use sluice_catalogue::Catalogue;
use sluice_cli::load::{Loaded, Runtime, load};
use sluice_core::config::{Config, Document};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn check(text: &str) -> Result<Loaded, String> {
    let catalogue = Catalogue::built_in().unwrap();
    load(text, &catalogue, Runtime::Workers).map_err(|faults| {
        let lines: Vec<String> = faults
            .iter()
            .map(|fault| fault.line("sluice.toml"))
            .collect();
        lines.join("\n")
    })
}

#[test]
fn every_broken_file_is_told_all_that_is_wrong_with_it() {
    let mut files: Vec<PathBuf> = fs::read_dir(tests().join("broken"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 15);
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let said = check(&text).expect_err(name);
        insta::assert_snapshot!(name, said);
    }
}

#[test]
fn no_message_repeats_a_secret() {
    let text = fs::read_to_string(tests().join("broken/a_key_instead_of_its_name.toml")).unwrap();
    let said = check(&text).unwrap_err();
    for secret in ["Zm9vYmFy", "AKIA0123"] {
        assert!(text.contains(secret));
        assert!(!said.contains(secret), "{said}");
    }
    let text = fs::read_to_string(tests().join("broken/addresses.toml")).unwrap();
    assert!(!check(&text).unwrap_err().contains("hunter2"));
}

#[test]
fn the_example_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sluice.toml");
    let text = fs::read_to_string(path).unwrap();
    let loaded = check(&text).unwrap();
    assert!(loaded.config.resolve_model("demo").is_some());
    // And so is everything that it proposes.
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_toml(rest) => rest,
            _ => line,
        })
        .collect();
    let loaded = check(&uncommented.join("\n")).unwrap();
    let routes = [
        "fast",
        "gpt-4o-mini",
        "openai-eu/gpt-4o",
        "gemini-2.5-flash",
        "local/llama",
    ];
    for name in routes {
        assert!(loaded.config.resolve_model(name).is_some(), "{name}");
    }
}

/// Whether a comment of the example is a line of TOML.
fn is_toml(line: &str) -> bool {
    let begins = ["[", "{", "]", "  {"]
        .iter()
        .any(|start| line.starts_with(start));
    let word: String = line
        .chars()
        .take_while(|c| c.is_ascii_lowercase() || *c == '_')
        .collect();
    begins || (!word.is_empty() && line[word.len()..].trim_start().starts_with('='))
}

#[test]
fn an_empty_file_is_valid() {
    let loaded = check("").unwrap();
    assert_eq!(loaded.document, Document::default());
}

#[test]
fn what_was_compiled_is_read_as_the_same() {
    let loaded = check("[providers.openai]\n[providers.gemini]\n[orgs.dev]\n").unwrap();
    let json = serde_json::to_vec(&loaded.document).unwrap();
    let again = Document::from_json(&json).unwrap();
    assert_eq!(again, loaded.document);
    assert_eq!(Config::compile(&again).unwrap(), loaded.config);
}

#[test]
fn every_provider_of_the_catalogue_needs_nothing_but_its_name() {
    let catalogue = Catalogue::built_in().unwrap();
    let mut text = String::new();
    for facts in catalogue.providers() {
        text.push_str(&format!("[providers.\"{}\"]\n", facts.id));
        // What only the account's owner knows.
        if facts
            .base_url
            .as_ref()
            .is_none_or(|address| address.contains("${"))
        {
            text.push_str("base_url = \"https://owner.example.com/v1\"\n");
        }
        // What only the server's owner knows.
        if catalogue.models(facts).next().is_none() {
            text.push_str("models_allow = [\"*\"]\n");
        }
    }
    let loaded = check(&text).unwrap();
    assert!(loaded.config.providers().count() > 100);
    assert!(loaded.document.prices.len() > 4_000);
}

#[test]
fn everyday_models_are_known_with_their_prices() {
    let loaded = check("[providers.openai]\n[providers.anthropic]\n[providers.gemini]\n").unwrap();
    for (model, input, output) in [
        ("gpt-4o-mini", "0.15", "0.6"),
        ("gpt-4o-mini-2024-07-18", "0.15", "0.6"),
        ("text-embedding-3-small", "0.02", "0"),
        ("claude-haiku-4-5", "1", "5"),
        ("gemini-2.5-flash", "0.3", "2.5"),
    ] {
        let route = loaded.config.resolve_model(model).expect(model);
        let price = route.targets[0].price.as_ref().unwrap();
        let rates = price.at(sluice_units::Timestamp::default()).unwrap().rates;
        assert_eq!(
            (rates.input.to_string(), rates.output.to_string()),
            (input.to_owned(), output.to_owned()),
            "{model}"
        );
    }
}
