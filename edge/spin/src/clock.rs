//! Time and chance, as the platform gives them.

use sluice_units::{Span, Timestamp};
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::random::random::{get_random_bytes, get_random_u64};

/// Now.
pub(crate) fn now() -> Timestamp {
    let now = system_clock::now();
    let micros = i64::from(now.nanoseconds).div_euclid(1_000);
    Timestamp::from_micros(now.seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// Returns after `span`.
pub(crate) async fn sleep(span: Span) {
    let micros = u64::try_from(span.as_micros()).unwrap_or_default();
    monotonic_clock::wait_for(micros.saturating_mul(1_000)).await;
}

/// Between half of `span` and the whole, by chance.
pub(crate) fn jitter(span: Span) -> Span {
    let half = span.as_micros().div_euclid(2);
    let chance = i64::try_from(get_random_u64() >> 1).unwrap_or_default();
    Span::from_micros(half.saturating_add(chance.rem_euclid(half.max(1))))
}

/// Sixteen unpredictable bytes.
pub(crate) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    for (byte, drawn) in bytes.iter_mut().zip(get_random_bytes(16)) {
        *byte = drawn;
    }
    bytes
}
