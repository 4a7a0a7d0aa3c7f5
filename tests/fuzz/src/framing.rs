//! What lies below the dialects: server-sent events, AWS' event stream, JSON, signatures.

use http::{HeaderMap, HeaderName, HeaderValue as HttpValue, Method};
use serde_json::Value;
use sluice_units::{Secret, Timestamp};
use sluice_wire::event_stream::{EventStreamDecoder, HeaderValue, Message, write_message};
use sluice_wire::sigv4::{Payload, Request, Signer, sign};
use sluice_wire::sse::{SseDecoder, write_event};
use sluice_wire::{DecodeError, json as strict};

use crate::splits;

/// Any cut gives the events that the standard's own words give, and what is written is read back.
pub(crate) fn sse(bytes: &[u8]) {
    let expected = by_the_standard(bytes);
    for pieces in splits::all(bytes) {
        let mut decoder = SseDecoder::new();
        let mut found = Vec::new();
        for piece in pieces {
            let read = decoder.push(piece, |event| {
                found.push((event.event.clone(), event.data.clone()));
                Ok(())
            });
            assert_eq!(read, Ok(()));
        }
        assert_eq!(found, expected);
    }
    let line: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\n' | b'\r'))
        .collect();
    let mut written = Vec::new();
    write_event(&mut written, Some("name"), &line);
    assert_eq!(by_the_standard(&written), [(b"name".to_vec(), line)]);
}

/// WHATWG HTML §9.2.6, line by line and slowly.
fn by_the_standard(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut before = 0;
    for byte in bytes {
        match (before, *byte) {
            (b'\r', b'\n') => {}
            (_, b'\r' | b'\n') => lines.push(Vec::new()),
            (_, other) => lines.last_mut().expect("there is a line").push(other),
        }
        before = *byte;
    }
    // A line that does not end is none.
    lines.pop();
    let mut events = Vec::new();
    let (mut name, mut data) = (Vec::new(), None::<Vec<u8>>);
    for line in lines {
        if line.is_empty() {
            let name = std::mem::take(&mut name);
            events.extend(data.take().map(|data| (name, data)));
            continue;
        }
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let field = halves.next().unwrap_or_default();
        let value = halves.next().unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match (field, &mut data) {
            (b"event", _) => name = value.to_vec(),
            (b"data", Some(data)) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            (b"data", none) => *none = Some(value.to_vec()),
            _ => {}
        }
    }
    events
}

/// Any cut gives the same messages, and what is written is read back. The bytes are taken as a stream, and as a
/// message's header lines and payload.
pub(crate) fn event_stream(bytes: &[u8]) {
    let expected = messages(&[bytes]);
    for pieces in splits::all(bytes) {
        assert_eq!(messages(&pieces), expected);
    }
    let text = String::from_utf8_lossy(bytes);
    let (head, payload) = text.split_once("\n\n").unwrap_or((&text, ""));
    let headers: Vec<_> = head
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name, header_value(value)))
        .collect();
    let message = Message {
        headers,
        payload: payload.as_bytes(),
    };
    let mut written = Vec::new();
    let is_written = write_message(&mut written, &message).is_some();
    let (read, outcome) = messages(&[&written]);
    assert_eq!(outcome, Ok(true));
    let shown = is_written.then(|| format!("{message:?}"));
    assert_eq!(read, Vec::from_iter(shown));
}

fn header_value(text: &str) -> HeaderValue<'_> {
    let number: i64 = text.parse().unwrap_or(0);
    match text.len() % 5 {
        0 => HeaderValue::Bytes(text.as_bytes()),
        1 => HeaderValue::Timestamp(number),
        2 => HeaderValue::Bool(number == 0),
        3 => i32::try_from(number).map_or(HeaderValue::Byte(-1), HeaderValue::Integer),
        _ => HeaderValue::Text(text),
    }
}

/// The messages, and whether the stream ended with a whole one.
fn messages(pieces: &[&[u8]]) -> (Vec<String>, Result<bool, DecodeError>) {
    let mut decoder = EventStreamDecoder::new();
    let mut found = Vec::new();
    for piece in pieces {
        let read = decoder.push(piece, |message| {
            found.push(format!("{message:?}"));
            Ok(())
        });
        if let Err(error) = read {
            return (found, Err(error));
        }
    }
    (found, Ok(decoder.is_empty()))
}

/// The strict parser agrees with the usual one, but for keys that stand twice.
pub(crate) fn json(bytes: &[u8]) {
    let usual: Result<Value, _> = serde_json::from_slice(bytes);
    match (strict::parse(bytes), usual) {
        (Ok(value), Ok(usual)) => {
            assert_eq!(value, usual);
            let written = value.to_string();
            assert_eq!(strict::parse(written.as_bytes()), Ok(value));
        }
        (Err(error), usual) => {
            // What a caller reads is short whatever he sent.
            assert!(error.message.len() < 1_024, "{error}");
            let is_twice = error.code == "duplicate_key";
            assert!(is_twice || usual.is_err(), "{error}");
        }
        (Ok(value), Err(error)) => panic!("{value} is {error}"),
    }
}

/// A signature is made for any request, the same twice, and is a legal header.
pub(crate) fn signature(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let target = lines.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HttpValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
    for signer in [
        Signer::bedrock("AKIDEXAMPLE", &secret, "us-east-1"),
        Signer::s3("AKIDEXAMPLE", &secret, "us-east-1"),
    ] {
        let request = Request {
            method: &Method::POST,
            host: "bedrock.example",
            path,
            query,
            headers: &headers,
            payload: Payload::Bytes(body.as_bytes()),
        };
        let now = Timestamp::from_micros(1_440_938_160_000_000);
        let signed = sign(&request, &signer, now).expect("the credentials are legal");
        assert!(signed.contains_key("authorization"));
        assert_eq!(sign(&request, &signer, now), Ok(signed));
    }
}
