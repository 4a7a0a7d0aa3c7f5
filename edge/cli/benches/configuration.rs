//! Times what a gateway does with its configuration when it starts: `cargo bench -p sluice-cli`.
//!
//! The document is what `sluice compile` writes for four providers of the catalogue, every model of theirs with its facts
//! and prices.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where the document is not what it should be"
)]

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use sluice_catalogue::Catalogue;
use sluice_cli::load::{self, Runtime};
use sluice_core::config::{Config, Deployment, Document};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const WRITTEN: &str = r#"
[providers.openai]
[providers.anthropic]
[providers.gemini]
[providers.mistral]

[models.fast]
targets = [{ provider = "openai", model = "gpt-4o-mini" }, { provider = "mistral", model = "mistral-small-latest" }]

[orgs.acme]
limits = [{ requests = 600, per = "1m" }, { tokens = 1_000_000, per = "1m" }]
budgets = [{ usd = "1000", per = "month" }]

[orgs.acme.teams.search]
budgets = [{ usd = "100", per = "day" }]
"#;

fn main() {
    divan::main();
}

/// The document as it is deployed.
fn deployed() -> String {
    let catalogue = Catalogue::built_in().unwrap();
    let loaded = load::load(WRITTEN, &catalogue, Runtime::default()).unwrap();
    serde_json::to_string(&loaded.document).unwrap()
}

/// What must be known before the whole is compiled.
#[divan::bench]
fn deployment(bencher: Bencher<'_, '_>) {
    let text = deployed();
    bencher
        .counter(BytesCount::of_str(&text))
        .bench_local(|| black_box(Deployment::read(&text).unwrap()));
}

#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    let text = deployed();
    bencher
        .counter(BytesCount::of_str(&text))
        .bench_local(|| black_box(Document::from_json(text.as_bytes()).unwrap()));
}

#[divan::bench]
fn compile(bencher: Bencher<'_, '_>) {
    let text = deployed();
    let document = Document::from_json(text.as_bytes()).unwrap();
    bencher
        .counter(BytesCount::of_str(&text))
        .bench_local(|| black_box(Config::compile(&document).unwrap()));
}
