//! Embeddings: `batchEmbedContents`.
//!
//! Follows <https://ai.google.dev/api/embeddings>. The answer names no model and, for older models,
//! counts no tokens. Vertex AI's `predictions` are read too.

use serde_json::{Map, Value};
use sluice_units::Tokens;

use crate::error::{DecodeError, EncodeError};
use crate::model::{EmbeddingInput, EmbeddingsRequest, EmbeddingsResponse, Usage, Vector};
use crate::{Dialect, Drops, Target, UpstreamRequest};

use super::value::{inexpressible, parse, put, shape, single, take_array, take_object};
use super::{names, request, response};

/// Fields of each request that only Gemini has.
pub(crate) const OWN_FIELDS: [&str; 2] = ["taskType", "title"];

/// Writes a request for embeddings.
///
/// # Errors
/// [`EncodeError`] for token numbers, which Gemini does not take, and for no input at all.
pub fn encode_request(
    request: &EmbeddingsRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut drops = Drops::new();
    let resource = names::model_resource(&target.model)?;
    if request.input.is_empty() {
        return Err(inexpressible("input", "there is nothing to embed"));
    }
    let mut requests = Vec::with_capacity(request.input.len());
    for (index, input) in request.input.iter().enumerate() {
        let EmbeddingInput::Text(text) = input else {
            return Err(inexpressible(
                format!("input[{index}]"),
                "gemini embeds texts, not token numbers",
            ));
        };
        let mut one = single("model", resource.as_str());
        let part = Value::Object(single("text", text.as_str()));
        put(&mut one, "content", single("parts", vec![part]));
        if let Some(dimensions) = request.dimensions {
            put(&mut one, "outputDimensionality", dimensions);
        }
        for key in OWN_FIELDS {
            if let Some(value) = request.extra.get(key) {
                put(&mut one, key, value.clone());
            }
        }
        requests.push(Value::Object(one));
    }
    if request.user.is_some() {
        drops.push("user", "gemini has no end users");
    }
    for key in request.extra.keys() {
        if !OWN_FIELDS.contains(&key.as_str()) {
            drops.push(key.clone(), "not supported by gemini");
        }
    }
    let path = format!("/{resource}:batchEmbedContents");
    let body = single("requests", requests);
    Ok((request::post(path, body)?, drops))
}

/// Makes a request of a Gemini caller's fit for a provider of another dialect: what the vectors are for is said in
/// Cohere's words, and named as lost elsewhere.
#[must_use]
pub fn leave(request: &mut EmbeddingsRequest, dialect: Dialect) -> Drops {
    let mut drops = Drops::new();
    for key in OWN_FIELDS {
        let Some(value) = request.extra.shift_remove(key) else {
            continue;
        };
        let purpose = match value.as_str() {
            Some("RETRIEVAL_QUERY") => Some("search_query"),
            Some("RETRIEVAL_DOCUMENT") => Some("search_document"),
            Some("CLASSIFICATION") => Some("classification"),
            Some("CLUSTERING") => Some("clustering"),
            _ => None,
        };
        match (dialect, key, purpose) {
            (Dialect::Cohere, "taskType", Some(purpose)) => {
                let field = "input_type".to_owned();
                request.extra.insert(field, purpose.into());
            }
            _ => drops.push(key, "only gemini has it"),
        }
    }
    drops
}

/// Reads the vectors. The model is the one that was asked for: the answer does not say.
///
/// # Errors
/// [`DecodeError::Shape`] when there is not one vector of numbers for each input.
pub fn decode_response(
    request: &EmbeddingsRequest,
    body: &[u8],
) -> Result<EmbeddingsResponse, DecodeError> {
    let Value::Object(mut fields) = parse(body)? else {
        return Err(shape("the answer is not an object"));
    };
    let mut counted =
        take_object(&mut fields, "usageMetadata").and_then(|usage| response::usage(&usage));
    let mut embeddings = take_array(&mut fields, "embeddings");
    for prediction in take_array(&mut fields, "predictions") {
        let Some(embedding) = prediction.get("embeddings") else {
            return Err(shape("a prediction holds no embedding"));
        };
        let tokens = embedding
            .get("statistics")
            .and_then(|statistics| statistics.get("token_count")?.as_u64());
        if let Some(tokens) = tokens {
            let usage = counted.get_or_insert_with(Usage::default);
            usage.input = usage.input.plus(Tokens::new(tokens));
        }
        embeddings.push(embedding.clone());
    }
    let vectors = embeddings
        .into_iter()
        .map(vector)
        .collect::<Result<Vec<_>, _>>()?;
    if vectors.len() != request.input.len() {
        return Err(shape(format!(
            "{} vectors for {} inputs",
            vectors.len(),
            request.input.len()
        )));
    }
    Ok(EmbeddingsResponse {
        model: request.model.clone(),
        vectors,
        usage: counted,
    })
}

fn vector(embedding: Value) -> Result<Vector, DecodeError> {
    let mut fields: Map<String, Value> = match embedding {
        Value::Object(fields) => fields,
        _ => return Err(shape("an embedding is not an object")),
    };
    take_array(&mut fields, "values")
        .into_iter()
        .map(|value| match value {
            Value::Number(number) => Ok(number),
            _ => Err(shape("an embedding holds something that is no number")),
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Vector::Float)
}
