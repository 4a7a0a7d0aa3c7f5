//! The benchmarks of `sluice-wire` as a program and as a wasm module, with a count of allocations.
//!
//! What is measured stands in that crate's `benches/pairs/cases.rs`; how often and how long is decided by `native` and,
//! for the module, by `tests/bench/wire.mjs`.
#![expect(
    unsafe_code,
    reason = "an allocator that counts and functions that JavaScript can call are unsafe by nature"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU32, Ordering};

#[path = "../../../../shared/wire/benches/pairs/cases.rs"]
#[expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where a case is not what it should be"
)]
mod cases;
pub mod native;

use cases::Case;

struct Counting;

static ALLOCATIONS: AtomicU32 = AtomicU32::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

thread_local! {
    static CASES: Vec<Case> = cases::all();
}

/// How often memory was asked for so far; it wraps around.
#[unsafe(no_mangle)]
pub extern "C" fn allocations() -> u32 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Runs the case of that number so many times.
#[unsafe(no_mangle)]
pub extern "C" fn run(number: u32, times: u32) -> u32 {
    CASES.with(|cases| {
        let case = usize::try_from(number).ok().and_then(|at| cases.get(at));
        let mut sum = 0_usize;
        for _ in 0..times {
            sum = sum.wrapping_add(case.map_or(0, |case| std::hint::black_box(case).run()));
        }
        u32::try_from(sum & 0xffff).unwrap_or_default()
    })
}
