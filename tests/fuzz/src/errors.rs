//! Failed answers: every dialect classifies anything, bounds what it keeps, and can tell any caller.
//!
//! The input is an answer as HTTP/1.1 writes it: the status alone in the first line, headers, an empty line, the body.

use http::{HeaderMap, HeaderName, HeaderValue};
use sluice_units::Span;
use sluice_wire::error::MESSAGE_BYTES_MAX;
use sluice_wire::model::Event;
use sluice_wire::{UpstreamError, anthropic, gemini};

use crate::assertions::{is_strict_json, whole_events};
use crate::dialects::{CALLERS, PROVIDERS};

/// The longest code or field name that is kept, in bytes.
const WORD_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

pub(crate) fn check(bytes: &[u8]) {
    let (status, headers, body) = parts(bytes);
    for provider in &PROVIDERS {
        let error = (provider.error)(status, &headers, body);
        check_error(&error, provider.name);
    }
}

fn parts(bytes: &[u8]) -> (u16, HeaderMap, &[u8]) {
    let at = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = at.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines
        .next()
        .and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
    let mut headers = HeaderMap::new();
    for line in lines {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = halves.next().map(HeaderName::from_bytes);
        let value = halves
            .next()
            .map(|value| HeaderValue::from_bytes(value.trim_ascii()));
        if let (Some(Ok(name)), Some(Ok(value))) = (name, value) {
            headers.append(name, value);
        }
    }
    (status.unwrap_or(500), headers, body)
}

fn check_error(error: &UpstreamError, dialect: &str) {
    assert!(error.message.len() <= MESSAGE_BYTES_MAX, "{dialect}");
    for word in [&error.code, &error.param].into_iter().flatten() {
        assert!(
            word.len() <= WORD_BYTES_MAX,
            "{dialect}: {} bytes",
            word.len()
        );
    }
    assert!(
        error.retry_after.is_none_or(|span| span >= Span::ZERO),
        "{dialect}: {error:?}"
    );
    is_strict_json(
        &anthropic::error::encode_upstream(error, Some("req_1")),
        dialect,
    );
    let answer = gemini::downstream::ErrorAnswer {
        status: error.status,
        code: error.code.as_deref().unwrap_or("upstream_error"),
        message: &error.message,
        param: error.param.as_deref(),
        retry_after: error.retry_after,
    };
    is_strict_json(&gemini::downstream::encode_error(&answer), dialect);
    for caller in &CALLERS {
        let mut out = Vec::new();
        (caller.stream)()(&Event::Failed(error.clone()), &mut out);
        if caller.name == "gemini array" {
            is_strict_json(&out, caller.name);
            continue;
        }
        let written = whole_events(&out, caller.name);
        assert!(!written.is_empty(), "{} is not told", caller.name);
        for data in written {
            is_strict_json(&data, caller.name);
        }
    }
}
