//! Reranking: `POST /rerank`, for callers and for providers. Others (Jina, Voyage, vLLM) speak dialects close to it.
//!
//! Follows <https://docs.cohere.com/v2/reference/rerank>. Documents are texts; the first API's objects
//! are taken where they hold a `text` and nothing else.

use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::request::post;
use super::usage::Meta;
use super::{cannot, own_fields, shape};
use crate::anthropic::response::position;
use crate::error::{DecodeError, EncodeError, Malformed};
use crate::json::{Object, parse_object};
use crate::model::Usage;
use crate::{Drops, Target, UpstreamRequest};

/// The most documents of one request.
pub const DOCUMENTS_MAX: usize = 10_000;

/// Fields that only Cohere has.
const OWN_FIELDS: [&str; 1] = ["priority"];

/// A request to order documents by what they say to a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RerankRequest {
    /// The model's name as the caller wrote it.
    pub model: String,
    /// What is asked.
    pub query: String,
    /// The documents.
    pub documents: Vec<String>,
    /// How many results to return; `None` means all.
    pub top_n: Option<u64>,
    /// The most tokens of each document that are read.
    pub max_tokens_per_doc: Option<u64>,
    /// Top-level fields that the model has no name for.
    pub extra: Map<String, Value>,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RerankResponse {
    /// The provider's identifier for the answer; empty where it gave none.
    pub id: String,
    /// The documents, the best first.
    pub results: Vec<RerankResult>,
    /// Searches that are billed.
    pub searches: Option<u64>,
    /// Tokens that were used, where the provider counts them.
    pub usage: Option<Usage>,
}

/// One document's place.
#[derive(Debug, Clone, PartialEq)]
pub struct RerankResult {
    /// Its number in the request, from 0.
    pub index: u64,
    /// How much it says to the query, as it was written.
    pub relevance: Number,
}

/// Reads a caller's request.
///
/// # Errors
/// [`Malformed`] when it is none.
pub fn decode_request(body: &[u8]) -> Result<RerankRequest, Malformed> {
    let mut object = parse_object(body)?;
    let model = object.need_string("model")?;
    let query = object.need_string("query")?;
    let documents = object
        .take_array("documents")?
        .ok_or_else(|| object.missing("documents"))?;
    if documents.is_empty() || documents.len() > DOCUMENTS_MAX {
        return Err(object.invalid("documents", &format!("1 to {DOCUMENTS_MAX} documents")));
    }
    let documents = documents
        .into_iter()
        .enumerate()
        .map(|(at, document)| text(document, at, &object))
        .collect::<Result<_, _>>()?;
    Ok(RerankRequest {
        model,
        query,
        documents,
        top_n: object.take_u64("top_n", 1)?,
        max_tokens_per_doc: object.take_u64("max_tokens_per_doc", 1)?,
        extra: object.rest(),
    })
}

fn text(document: Value, at: usize, object: &Object) -> Result<String, Malformed> {
    let key = format!("documents[{at}]");
    match document {
        Value::String(text) => Ok(text),
        Value::Object(mut fields) if fields.len() == 1 => match fields.shift_remove("text") {
            Some(Value::String(text)) => Ok(text),
            _ => Err(object.invalid(&key, "a string, or an object with a `text` only")),
        },
        other => Err(object.wrong(&key, "a string", &other)),
    }
}

/// Writes a request for Cohere.
///
/// # Errors
/// [`EncodeError`] for no documents.
pub fn encode_request(
    request: &RerankRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut drops = Drops::new();
    if request.documents.is_empty() {
        return Err(cannot("documents", "there is nothing to rank"));
    }
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.as_str().into());
    body.insert("query".to_owned(), request.query.as_str().into());
    let documents: Vec<Value> = request
        .documents
        .iter()
        .map(|document| Value::from(document.as_str()))
        .collect();
    body.insert("documents".to_owned(), documents.into());
    if let Some(top_n) = request.top_n {
        body.insert("top_n".to_owned(), top_n.into());
    }
    if let Some(max) = request.max_tokens_per_doc {
        body.insert("max_tokens_per_doc".to_owned(), max.into());
    }
    own_fields(&request.extra, &OWN_FIELDS, &mut body, &mut drops);
    Ok((post("/rerank", &body)?, drops))
}

#[derive(Deserialize)]
struct WireAnswer {
    #[serde(default)]
    id: String,
    results: Vec<WireResult>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize)]
struct WireResult {
    index: u64,
    relevance_score: Number,
}

/// Reads a provider's answer.
///
/// # Errors
/// [`DecodeError::Shape`] when it is none, or ranks a document that was not sent.
pub fn decode_response(
    request: &RerankRequest,
    body: &[u8],
) -> Result<RerankResponse, DecodeError> {
    let answer: WireAnswer =
        sluice_units::json::from_slice(body).map_err(|error| shape(position(&error)))?;
    let sent = u64::try_from(request.documents.len()).unwrap_or(u64::MAX);
    if answer.results.iter().any(|result| result.index >= sent) {
        return Err(shape("a result for a document that was not sent"));
    }
    let searches = answer.meta.searches();
    Ok(RerankResponse {
        id: answer.id,
        results: answer
            .results
            .into_iter()
            .map(|result| RerankResult {
                index: result.index,
                relevance: result.relevance_score,
            })
            .collect(),
        searches,
        usage: answer.meta.usage(),
    })
}

/// Writes the answer for a caller.
#[must_use]
pub fn encode_response(response: &RerankResponse) -> Vec<u8> {
    let results: Vec<Value> = response
        .results
        .iter()
        .map(|result| json!({"index": result.index, "relevance_score": result.relevance}))
        .collect();
    let mut billed = Map::new();
    if let Some(searches) = response.searches {
        billed.insert("search_units".to_owned(), searches.into());
    }
    let usage = response.usage.unwrap_or_default();
    let tokens = [
        ("input_tokens", usage.input_total().count()),
        ("output_tokens", usage.output.count()),
    ];
    for (key, count) in tokens {
        if count > 0 {
            billed.insert(key.to_owned(), count.into());
        }
    }
    json!({
        "id": response.id,
        "results": results,
        "meta": {"api_version": {"version": "2"}, "billed_units": billed},
    })
    .to_string()
    .into_bytes()
}
