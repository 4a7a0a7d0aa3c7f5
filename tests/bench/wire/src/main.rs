//! Times the benchmarks natively.

fn main() {
    sluice_bench_wire::native::time_all();
}
