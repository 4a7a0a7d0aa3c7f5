//! A provider's stream as the bytes that it comes in.

use serde_json::Value;
use sluice_wire::event_stream::{HeaderValue, Message, write_message};

use super::sides::Upstream;

/// The bytes of a stream of such chunks, up to its end.
pub(crate) fn stream(upstream: Upstream, chunks: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks {
        let kind = chunk["type"].as_str().unwrap_or_default();
        match upstream {
            Upstream::Chat => bytes.extend(format!("data: {chunk}\n\n").bytes()),
            Upstream::Gemini => bytes.extend(format!("data: {chunk}\r\n\r\n").bytes()),
            Upstream::Responses | Upstream::Anthropic | Upstream::Cohere => {
                bytes.extend(format!("event: {kind}\ndata: {chunk}\n\n").bytes());
            }
            Upstream::Bedrock => {
                let (kind, payload) = chunk.as_object().unwrap().iter().next().unwrap();
                let payload = payload.to_string();
                let headers = vec![
                    (":event-type", HeaderValue::Text(kind)),
                    (":message-type", HeaderValue::Text("event")),
                ];
                let payload = payload.as_bytes();
                write_message(&mut bytes, &Message { headers, payload }).unwrap();
            }
        }
    }
    match upstream {
        Upstream::Chat => bytes.extend(b"data: [DONE]\n\n"),
        Upstream::Cohere => bytes.extend(b"data: [DONE]\n\n"),
        _ => {}
    }
    bytes
}
