//! Embeddings and reranking, there and back.

use serde_json::{Value, json};
use sluice_units::Tokens;

use super::{body, golden, named, shown, target};
use crate::cohere::{embeddings, rerank};
use crate::model::{EmbeddingInput, EmbeddingsRequest, Vector};

fn texts(count: usize) -> EmbeddingsRequest {
    EmbeddingsRequest {
        model: "embed-v4.0".to_owned(),
        input: (0..count)
            .map(|at| EmbeddingInput::Text(format!("t{at}")))
            .collect(),
        ..EmbeddingsRequest::default()
    }
}

fn fields(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[test]
fn embeddings_are_asked_for() {
    let request = EmbeddingsRequest {
        dimensions: Some(256),
        user: Some("u".to_owned()),
        extra: fields(json!({"input_type": "search_query", "novel": 1})),
        ..texts(2)
    };
    let (upstream, drops) = embeddings::encode_request(&request, &target()).unwrap();
    golden("request_embeddings", &shown(&upstream, &drops));
    let (upstream, _) = embeddings::encode_request(&texts(96), &target()).unwrap();
    assert_eq!(body(&upstream)["input_type"], "search_document");
}

#[test]
fn inputs_that_cohere_cannot_take_are_refused() {
    let tokens = EmbeddingsRequest {
        input: vec![EmbeddingInput::Tokens(vec![1])],
        ..texts(0)
    };
    for request in [texts(0), texts(97), tokens] {
        assert!(embeddings::encode_request(&request, &target()).is_err());
    }
}

#[test]
fn vectors_are_read_in_both_shapes() {
    let by_type = json!({"id": "e", "embeddings": {"float": [[0.5, -1], [0.25, 2]]}, "meta": {"billed_units": {"input_tokens": 10}}});
    let plain = json!({"embeddings": [[0.5, -1], [0.25, 2]]});
    for (answer, tokens) in [(by_type, Some(10)), (plain, None)] {
        let answer = answer.to_string();
        let response = embeddings::decode_response(&texts(2), answer.as_bytes()).unwrap();
        assert_eq!(response.model, "embed-v4.0");
        assert_eq!(
            response.usage.map(|usage| usage.input),
            tokens.map(Tokens::new)
        );
        assert!(matches!(&response.vectors[1], Vector::Float(numbers) if numbers.len() == 2));
        assert!(embeddings::decode_response(&texts(3), answer.as_bytes()).is_err());
    }
    for body in [
        "{}",
        "[]",
        "{\"embeddings\":{\"int8\":[[1]]}}",
        "{\"embeddings\":[[\"a\"]]}",
    ] {
        assert!(
            embeddings::decode_response(&texts(1), body.as_bytes()).is_err(),
            "{body}"
        );
    }
}

#[test]
fn a_reranking_goes_there_and_back() {
    let asked = json!({
        "model": "rerank-v3.5", "query": "capital?", "documents": ["Oslo", {"text": "Bergen"}],
        "top_n": 1, "max_tokens_per_doc": 100, "priority": 3, "return_documents": true,
    });
    let request = rerank::decode_request(asked.to_string().as_bytes()).unwrap();
    assert_eq!(request.documents, ["Oslo", "Bergen"]);
    let (upstream, drops) = rerank::encode_request(&request, &target()).unwrap();
    assert_eq!(upstream.path, "/rerank");
    assert_eq!(named(&drops), ["return_documents"]);
    let sent = json!({
        "model": "command-a-03-2025", "query": "capital?", "documents": ["Oslo", "Bergen"],
        "top_n": 1, "max_tokens_per_doc": 100, "priority": 3,
    });
    assert_eq!(body(&upstream), sent);
    let answered = json!({
        "id": "r", "results": [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 1e-7}],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    });
    let response = rerank::decode_response(&request, answered.to_string().as_bytes()).unwrap();
    assert_eq!((response.searches, response.usage), (Some(1), None));
    let again: Value = serde_json::from_slice(&rerank::encode_response(&response)).unwrap();
    assert_eq!(again, answered);
}

#[test]
fn rerankings_that_cannot_be_are_refused() {
    for (asked, code) in [
        (
            json!({"query": "q", "documents": ["a"]}),
            "missing_required_parameter",
        ),
        (
            json!({"model": "m", "query": "q"}),
            "missing_required_parameter",
        ),
        (
            json!({"model": "m", "query": "q", "documents": []}),
            "invalid_value",
        ),
        (
            json!({"model": "m", "query": "q", "documents": [1]}),
            "invalid_type",
        ),
        (
            json!({"model": "m", "query": "q", "documents": [{"text": "a", "title": "b"}]}),
            "invalid_type",
        ),
        (
            json!({"model": "m", "query": "q", "documents": [{"title": "b"}]}),
            "invalid_value",
        ),
        (
            json!({"model": "m", "query": "q", "documents": ["a"], "top_n": 0}),
            "integer_below_min_value",
        ),
    ] {
        let error = rerank::decode_request(asked.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.code, code, "{asked}");
    }
    let request = rerank::RerankRequest {
        documents: vec!["a".to_owned()],
        ..rerank::RerankRequest::default()
    };
    let answered = json!({"results": [{"index": 1, "relevance_score": 0.5}]});
    assert!(rerank::decode_response(&request, answered.to_string().as_bytes()).is_err());
    assert!(rerank::encode_request(&rerank::RerankRequest::default(), &target()).is_err());
}
