//! What is asserted in several places.

use serde::de::IgnoredAny;
use sluice_wire::drops::DROPS_MAX;
use sluice_wire::model::Part;
use sluice_wire::sse::SseDecoder;
use sluice_wire::{Drops, UpstreamRequest, json};

/// How many bytes may be written for any input at all: a small request can name many things that a dialect spells out.
const OUTPUT_BYTES_FREE: usize = 2 << 20;
/// How many bytes may be written for each byte read.
const OUTPUT_BYTES_EACH: usize = 64;

/// The bytes are one JSON value.
pub(crate) fn is_json(bytes: &[u8], what: &str) {
    // Reads any depth; what goes out may be nested deeper than what came in.
    let plain: Result<IgnoredAny, _> = serde_json::from_slice(bytes);
    let text = || String::from_utf8_lossy(bytes);
    assert!(plain.is_ok(), "{what}: {plain:?}: {}", text());
}

/// The bytes are one JSON value, and no object in it has a key twice.
pub(crate) fn is_strict_json(bytes: &[u8], what: &str) {
    is_json(bytes, what);
    let text = || String::from_utf8_lossy(bytes);
    if let Err(error) = json::parse(bytes) {
        assert_eq!(
            error.code,
            "nesting_too_deep",
            "{what}: {error}: {}",
            text()
        );
    }
}

/// What goes to a provider can be sent.
pub(crate) fn is_sendable(request: &UpstreamRequest, input: &[u8], what: &str) {
    is_json(&request.body, what);
    is_bounded(request.body.len(), input, what);
    let path = &request.path;
    assert!(path.starts_with('/'), "{what}: {path}");
    assert!(
        path.bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#'),
        "{what}: {path}"
    );
    let address: Result<http::Uri, _> = format!("https://provider.example{path}").parse();
    assert!(address.is_ok(), "{what}: {path}");
    let bare = path.split('?').next().unwrap_or_default();
    let climbs = bare.split('/').any(|segment| matches!(segment, "." | ".."));
    assert!(!climbs, "{what}: {path}");
}

/// As much is written as what was read explains.
pub(crate) fn is_bounded(output_bytes: usize, input: &[u8], what: &str) {
    let bound = OUTPUT_BYTES_FREE + input.len() * OUTPUT_BYTES_EACH;
    assert!(
        output_bytes <= bound,
        "{what}: {output_bytes} bytes of {}",
        input.len()
    );
}

/// The report of losses is short and says something.
pub(crate) fn is_report(drops: &Drops, what: &str) {
    assert!(drops.as_slice().len() <= DROPS_MAX, "{what}");
    for dropped in drops.as_slice() {
        assert!(!dropped.reason.is_empty(), "{what}: {dropped:?}");
    }
}

/// The data of the events in a stream that must end at an event's border.
pub(crate) fn whole_events(stream: &[u8], what: &str) -> Vec<Vec<u8>> {
    let (events, is_whole) = events(stream);
    assert!(is_whole, "{what}: {}", String::from_utf8_lossy(stream));
    events
}

/// The data of the whole events in a stream, and whether it ends with one.
pub(crate) fn events(stream: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = SseDecoder::new();
    let mut found = Vec::new();
    let read = decoder.push(stream, |event| {
        found.push(event.data.clone());
        Ok(())
    });
    assert_eq!(read, Ok(()));
    (found, decoder.is_empty())
}

/// Whether the arguments of every call name each key once. They are carried byte for byte, whatever the model wrote.
pub(crate) fn has_strict_arguments(parts: &[Part]) -> bool {
    parts.iter().all(|part| match part {
        Part::ToolCall { arguments, .. } => json::parse(arguments.as_bytes())
            .err()
            .is_none_or(|error| error.code != "duplicate_key"),
        Part::ToolResult { parts, .. } => has_strict_arguments(parts),
        _ => true,
    })
}
