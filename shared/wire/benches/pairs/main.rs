//! Times every case natively, with its allocations: `cargo bench -p sluice-wire`.
//!
//! `cargo xtask bench --kinds wire` times the same cases in wasm too and prints one table.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where a case is not what it should be"
)]

mod cases;

use cases::Case;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn names(kind: &'static str) -> impl Iterator<Item = String> {
    let cases = cases::all()
        .into_iter()
        .filter(move |case| case.kind == kind);
    cases.map(|case| case.name)
}

fn case(kind: &str, name: &str) -> Case {
    let mut cases = cases::all().into_iter();
    cases
        .find(|case| case.kind == kind && case.name == name)
        .unwrap()
}

#[divan::bench(args = names("request"))]
fn request(bencher: Bencher<'_, '_>, name: &str) {
    let case = case("request", name);
    bencher.bench_local(|| black_box(case.run()));
}

#[divan::bench(args = names("answer"))]
fn answer(bencher: Bencher<'_, '_>, name: &str) {
    let case = case("answer", name);
    bencher.bench_local(|| black_box(case.run()));
}

/// A whole stream; the number of its chunks a second is beside it.
#[divan::bench(args = names("chunk"))]
fn stream(bencher: Bencher<'_, '_>, name: &str) {
    let case = case("chunk", name);
    let chunks = ItemsCount::new(case.units);
    bencher
        .counter(chunks)
        .bench_local(|| black_box(case.run()));
}

#[divan::bench(args = names("bytes"))]
fn bytes(bencher: Bencher<'_, '_>, name: &str) {
    let case = case("bytes", name);
    let bytes = BytesCount::new(case.units);
    bencher.counter(bytes).bench_local(|| black_box(case.run()));
}
