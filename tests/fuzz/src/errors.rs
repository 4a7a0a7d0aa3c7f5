//! Failed answers: every dialect classifies anything, bounds what it keeps, and can tell any caller.
//!
//! The input is an answer as HTTP/1.1 writes it: the status alone in the first line, headers, an empty line, the body.

use http::{HeaderMap, HeaderName, HeaderValue};
use sluice_units::Span;
use sluice_wire::dialect::decode_error;
use sluice_wire::downstream::{Downstream, Fault, StreamEncoder};
use sluice_wire::error::MESSAGE_BYTES_MAX;
use sluice_wire::model::Event;
use sluice_wire::{Dialect, UpstreamError};

use crate::assertions::{is_strict_json, whole_events};
use crate::dialects::{CALLERS, answered};

/// The longest wait that is believed, in seconds: a day and a fraction.
const WAIT_SECONDS_MAX: i64 = 86_401;

pub(crate) fn check(bytes: &[u8]) {
    let (status, headers, body) = parts(bytes);
    for dialect in Dialect::ALL {
        let error = decode_error(dialect, status, &headers, body);
        is_bounded(&error, dialect);
        for caller in CALLERS {
            tell(caller, &error);
        }
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

fn is_bounded(error: &UpstreamError, dialect: Dialect) {
    let words = [&error.code, &error.param].into_iter().flatten();
    for text in words.chain([&error.message]) {
        assert!(text.len() <= MESSAGE_BYTES_MAX, "{dialect:?}: {text}");
    }
    if let Some(wait) = error.retry_after {
        let is_believed = wait >= Span::ZERO && wait <= Span::from_seconds(WAIT_SECONDS_MAX);
        assert!(is_believed, "{dialect:?}: {wait:?}");
    }
}

/// As the provider's word in mid-stream, and as the gateway's.
fn tell(caller: Downstream, error: &UpstreamError) {
    let what = format!("{caller:?}");
    let fault = Fault {
        status: error.status,
        kind: "server_error",
        code: error.code.as_deref().unwrap_or("upstream_error"),
        message: &error.message,
        param: error.param.as_deref(),
        retry_after: error.retry_after,
        request_id: Some("req_1"),
    };
    is_strict_json(&caller.encode_error(&fault), &what);
    let mut said = Vec::new();
    StreamEncoder::new(caller, &answered(), true).push(&Event::Failed(error.clone()), &mut said);
    let mut failed = Vec::new();
    StreamEncoder::new(caller, &answered(), true).fail(&fault, &mut failed);
    for stream in [said, failed] {
        if !caller.streams_events() {
            is_strict_json(&stream, &what);
            continue;
        }
        let written = whole_events(&stream, &what);
        assert!(!written.is_empty(), "{what} is not told");
        written.iter().for_each(|data| is_strict_json(data, &what));
    }
}
