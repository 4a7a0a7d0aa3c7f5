//! Embeddings and rerankings: what is accepted can be written, and an answer fits the request or is refused.

use sluice_wire::model::{
    EmbeddingEncoding, EmbeddingInput, EmbeddingsRequest, EmbeddingsResponse,
};
use sluice_wire::{
    DecodeError, Drops, EncodeError, Target, UpstreamRequest, cohere, gemini, openai,
};

use crate::assertions::{is_bounded, is_report, is_sendable, is_strict_json};
use crate::requests::is_sentence;

type Encode = fn(&EmbeddingsRequest, &Target) -> Result<(UpstreamRequest, Drops), EncodeError>;

const ENCODERS: [(&str, Encode); 3] = [
    ("openai", openai::embeddings::encode_request),
    ("gemini", gemini::embeddings::encode_request),
    ("cohere", cohere::embeddings::encode_request),
];

/// A caller's request for vectors or for a ranking.
pub(crate) fn requests(body: &[u8]) {
    match openai::embeddings::decode_request(body) {
        Ok((request, drops)) => {
            is_report(&drops, "embeddings");
            let target = target(&request.model);
            for (name, encode) in ENCODERS {
                sent(encode(&request, &target), body, name);
            }
        }
        Err(error) => is_sentence(&error),
    }
    match cohere::rerank::decode_request(body) {
        Ok(request) => {
            let target = target(&request.model);
            sent(
                cohere::rerank::encode_request(&request, &target),
                body,
                "rerank",
            );
        }
        Err(error) => is_sentence(&error),
    }
}

fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        ..Target::default()
    }
}

fn sent(written: Result<(UpstreamRequest, Drops), EncodeError>, input: &[u8], what: &str) {
    if let Ok((written, drops)) = written {
        is_sendable(&written, input, what);
        is_strict_json(&written.body, what);
        is_report(&drops, what);
    }
}

/// A provider's answer to a request for two vectors, or for a ranking of two documents.
pub(crate) fn answers(body: &[u8]) {
    let text = |text: &str| EmbeddingInput::Text(text.to_owned());
    let request = EmbeddingsRequest {
        model: "model".to_owned(),
        input: vec![text("one"), text("two")],
        dimensions: None,
        encoding: EmbeddingEncoding::Float,
        user: None,
        extra: serde_json::Map::new(),
    };
    let read: [Result<EmbeddingsResponse, DecodeError>; 3] = [
        openai::embeddings::decode_response(body),
        gemini::embeddings::decode_response(&request, body),
        cohere::embeddings::decode_response(&request, body),
    ];
    for response in read.into_iter().flatten() {
        for encoding in [EmbeddingEncoding::Float, EmbeddingEncoding::Base64] {
            let written = openai::embeddings::encode_response(&response, encoding);
            is_strict_json(&written, "embeddings");
            is_bounded(written.len(), body, "embeddings");
        }
    }
    let request = cohere::rerank::RerankRequest {
        documents: vec!["one".to_owned(), "two".to_owned()],
        ..cohere::rerank::RerankRequest::default()
    };
    if let Ok(response) = cohere::rerank::decode_response(&request, body) {
        let ranked =
            |index: u64| usize::try_from(index).is_ok_and(|index| index < request.documents.len());
        assert!(response.results.iter().all(|result| ranked(result.index)));
        let written = cohere::rerank::encode_response(&response);
        is_strict_json(&written, "rerank");
        is_bounded(written.len(), body, "rerank");
    }
}
