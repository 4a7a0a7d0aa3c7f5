//! Streams that go through as they are: any cut forwards the same bytes, whole events of the provider's in their
//! order, and what is noted on the way is what the decoder reads.

use sluice_units::Usage;
use sluice_wire::downstream::EventTap;
use sluice_wire::model::Event;
use sluice_wire::{
    DecodeError, Dialect, StreamDecoder, TokenBound, UpstreamError, openai as wire_openai,
    responses as wire_responses,
};

use crate::assertions::{events, whole_events};
use crate::order::Order;
use crate::splits;

/// All that a tap says of a stream.
#[derive(Debug, Clone, PartialEq)]
struct Tapped {
    out: Vec<u8>,
    outcome: Result<(), DecodeError>,
    usage: Option<Usage>,
    finish: Option<String>,
    written: TokenBound,
    is_complete: bool,
    error: Option<UpstreamError>,
}

macro_rules! tap {
    ($name:ident, $tap:ty, $new:expr) => {
        fn $name(pieces: &[&[u8]]) -> Tapped {
            let mut tap: $tap = $new;
            let mut out = Vec::new();
            let pushed = pieces
                .iter()
                .try_for_each(|piece| tap.push(piece, &mut out));
            let outcome = pushed.and_then(|()| tap.finish(&mut out));
            Tapped {
                out,
                outcome,
                usage: tap.usage(),
                finish: tap.finish_reason().map(str::to_owned),
                written: tap.written(),
                is_complete: tap.is_complete(),
                error: tap.take_error(),
            }
        }
    };
}

tap!(
    openai_with_usage,
    wire_openai::passthrough::StreamTap,
    wire_openai::passthrough::StreamTap::new(true)
);
tap!(
    openai_without_usage,
    wire_openai::passthrough::StreamTap,
    wire_openai::passthrough::StreamTap::new(false)
);
tap!(
    of_responses,
    wire_responses::passthrough::StreamTap,
    wire_responses::passthrough::StreamTap::new()
);

pub(crate) fn openai(bytes: &[u8]) {
    check(openai_without_usage, Dialect::OpenAi, bytes);
    check(openai_with_usage, Dialect::OpenAi, bytes);
}

pub(crate) fn responses(bytes: &[u8]) {
    check(of_responses, Dialect::Responses, bytes);
}

pub(crate) fn anthropic(bytes: &[u8]) {
    beside(Dialect::Anthropic, bytes);
}

pub(crate) fn gemini(bytes: &[u8]) {
    beside(Dialect::Gemini, bytes);
}

fn check(tap: fn(&[&[u8]]) -> Tapped, dialect: Dialect, bytes: &[u8]) {
    let tapped = tap(&[bytes]);
    for pieces in splits::all(bytes) {
        assert_eq!(tap(&pieces), tapped, "cut in {}", pieces.len());
    }
    were_sent(&tapped.out, bytes);
    if tapped.outcome.is_err() || tapped.error.is_some() {
        return;
    }
    let mut decoder = StreamDecoder::new(dialect);
    let mut read = Vec::new();
    let pushed = decoder.push(bytes, &mut read);
    let decoded = pushed.and_then(|()| decoder.finish(&mut read));
    if decoded.is_ok() && matches!(read.last(), Some(Event::End)) {
        let usage = read.iter().rev().find_map(|event| match event {
            Event::Usage(usage) => Some(*usage),
            _ => None,
        });
        assert_eq!(tapped.usage, usage, "the usage that is charged");
    }
}

/// What was forwarded are events of the provider's, in their order.
fn were_sent(out: &[u8], bytes: &[u8]) {
    // A last event is forwarded without the empty line that should end it.
    let (sent, _) = events(&[bytes, b"\n\n"].concat());
    let mut sent = sent.iter();
    for data in whole_events(out, "a stream that goes through") {
        let found = sent.any(|one| *one == data);
        assert!(found, "never sent: {}", String::from_utf8_lossy(&data));
    }
}

/// A stream that is read beside.
fn beside(dialect: Dialect, bytes: &[u8]) {
    let run = |pieces: &[&[u8]]| {
        let mut tap = EventTap::new(dialect);
        let (mut out, mut read) = (Vec::new(), Vec::new());
        let pushed = pieces
            .iter()
            .try_for_each(|piece| tap.push(piece, &mut out, &mut read));
        let outcome = pushed.and_then(|()| tap.finish(&mut out, &mut read));
        (out, read, outcome)
    };
    let whole = run(&[bytes]);
    for pieces in splits::all(bytes) {
        assert_eq!(run(&pieces), whole, "cut in {}", pieces.len());
    }
    were_sent(&whole.0, bytes);
    let mut order = Order::default();
    whole.1.iter().for_each(|event| order.push(event));
}
