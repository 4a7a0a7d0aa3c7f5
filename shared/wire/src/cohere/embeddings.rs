//! Embeddings: `POST /embed`.
//!
//! Follows <https://docs.cohere.com/v2/reference/embed>. Cohere wants to know what the vectors are for;
//! a caller that does not say (`input_type`) gets those for documents.

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::request::post;
use super::usage::Meta;
use super::{UNSUPPORTED, cannot, own_fields, shape};
use crate::anthropic::response::position;
use crate::error::{DecodeError, EncodeError};
use crate::model::{EmbeddingInput, EmbeddingsRequest, EmbeddingsResponse, Vector};
use crate::{Drops, Target, UpstreamRequest};

/// The most texts of one request.
pub const TEXTS_MAX: usize = 96;

const INPUT_TYPE: &str = "input_type";
const INPUT_TYPE_DEFAULT: &str = "search_document";

/// Fields that only Cohere has.
const OWN_FIELDS: [&str; 4] = [INPUT_TYPE, "truncate", "max_tokens", "priority"];

/// Writes a request for embeddings.
///
/// # Errors
/// [`EncodeError`] for token numbers, which Cohere does not take, for no input at all, and for more than
/// [`TEXTS_MAX`] texts.
pub fn encode_request(
    request: &EmbeddingsRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut drops = Drops::new();
    if request.input.is_empty() || request.input.len() > TEXTS_MAX {
        let reason = format!("cohere embeds 1 to {TEXTS_MAX} texts at once");
        return Err(cannot("input", reason));
    }
    let mut texts = Vec::with_capacity(request.input.len());
    for (index, input) in request.input.iter().enumerate() {
        let EmbeddingInput::Text(text) = input else {
            return Err(cannot(
                format!("input[{index}]"),
                "cohere embeds texts, not token numbers",
            ));
        };
        texts.push(Value::from(text.as_str()));
    }
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.as_str().into());
    body.insert(INPUT_TYPE.to_owned(), INPUT_TYPE_DEFAULT.into());
    body.insert("texts".to_owned(), texts.into());
    body.insert("embedding_types".to_owned(), vec!["float"].into());
    if let Some(dimensions) = request.dimensions {
        body.insert("output_dimension".to_owned(), dimensions.into());
    }
    own_fields(&request.extra, &OWN_FIELDS, &mut body, &mut drops);
    if request.user.is_some() {
        drops.push("user", UNSUPPORTED);
    }
    Ok((post("/embed", &body)?, drops))
}

#[derive(Deserialize)]
struct WireAnswer {
    embeddings: Embeddings,
    #[serde(default)]
    meta: Meta,
}

/// By type, or, as the first API answers, one list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Embeddings {
    ByType { float: Vec<Vec<Number>> },
    Floats(Vec<Vec<Number>>),
}

/// Reads the vectors. The model is the one that was asked for: the answer does not say.
///
/// # Errors
/// [`DecodeError::Shape`] when there is not one vector of numbers for each input.
pub fn decode_response(
    request: &EmbeddingsRequest,
    body: &[u8],
) -> Result<EmbeddingsResponse, DecodeError> {
    let answer: WireAnswer =
        sluice_units::json::from_slice(body).map_err(|error| shape(position(&error)))?;
    let (Embeddings::ByType { float: vectors } | Embeddings::Floats(vectors)) = answer.embeddings;
    if vectors.len() != request.input.len() {
        return Err(shape(format!(
            "{} vectors for {} inputs",
            vectors.len(),
            request.input.len()
        )));
    }
    Ok(EmbeddingsResponse {
        model: request.model.clone(),
        vectors: vectors.into_iter().map(Vector::Float).collect(),
        usage: answer.meta.usage(),
    })
}
