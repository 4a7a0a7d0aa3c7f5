//! Embeddings, in both directions.
//!
//! A vector is kept as it was written; only a caller who wants the other form has it converted, exactly.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use super::{NAME, base64, fault, loose, usage};
use crate::error::{DecodeError, EncodeError, Malformed};
use crate::json::{self, Object};
use crate::model::{
    EmbeddingEncoding, EmbeddingInput, EmbeddingsRequest, EmbeddingsResponse, Vector,
};
use crate::{Drops, Target, UpstreamRequest};

/// The most inputs of one request, as at OpenAI.
const INPUTS_MAX: usize = 2_048;
/// The most tokens of one input that comes as token numbers.
const TOKENS_MAX: usize = 131_072;

/// Reads a caller's request strictly.
///
/// # Errors
/// [`Malformed`] with the code, field and sentence that OpenAI would answer with.
pub fn decode_request(body: &[u8]) -> Result<(EmbeddingsRequest, Drops), Malformed> {
    let mut fields = json::parse_object(body)?;
    let model = fields.need_string("model")?;
    if model.is_empty() {
        return Err(fault::empty_string("model".to_owned()));
    }
    let input = input(&mut fields)?;
    let dimensions = fields.take_u64("dimensions", 1)?;
    let encoding = match fields.take_string("encoding_format")?.as_deref() {
        None | Some("float") => EmbeddingEncoding::Float,
        Some("base64") => EmbeddingEncoding::Base64,
        Some(other) => {
            let formats = ["float", "base64"];
            let path = fields.path("encoding_format");
            return Err(fault::unsupported(path, other, &formats));
        }
    };
    let user = fields.take_string("user")?;
    let mut extra = fields.rest();
    extra.retain(|_, value| !value.is_null());
    let request = EmbeddingsRequest {
        model,
        input,
        dimensions,
        encoding,
        user,
        extra,
    };
    Ok((request, Drops::new()))
}

fn input(fields: &mut Object) -> Result<Vec<EmbeddingInput>, Malformed> {
    const EXPECTED: &str = "a string, an array of strings, or arrays of token numbers";
    let path = fields.path("input");
    let items = match fields.take("input") {
        None => return Err(fields.missing("input")),
        Some(Value::String(text)) => return Ok(vec![text_input(text, path)?]),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(fields.wrong("input", EXPECTED, &other)),
    };
    if items.is_empty() {
        return Err(fault::empty_array(path));
    }
    if items.iter().all(Value::is_number) {
        return Ok(vec![tokens(&items, &path)?]);
    }
    if items.len() > INPUTS_MAX {
        return Err(fault::array_too_long(path, INPUTS_MAX, items.len()));
    }
    let mut inputs = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        inputs.push(match item {
            Value::String(text) => text_input(text, path)?,
            Value::Array(items) => tokens(&items, &path)?,
            other => return Err(json::wrong_type(Some(path), EXPECTED, &other)),
        });
    }
    Ok(inputs)
}

fn text_input(text: String, path: String) -> Result<EmbeddingInput, Malformed> {
    if text.is_empty() {
        return Err(fault::empty_string(path));
    }
    Ok(EmbeddingInput::Text(text))
}

fn tokens(items: &[Value], path: &str) -> Result<EmbeddingInput, Malformed> {
    if items.is_empty() {
        return Err(fault::empty_array(path.to_owned()));
    }
    if items.len() > TOKENS_MAX {
        return Err(fault::array_too_long(
            path.to_owned(),
            TOKENS_MAX,
            items.len(),
        ));
    }
    items
        .iter()
        .enumerate()
        .map(|(at, item)| {
            item.as_u64().ok_or_else(|| {
                json::wrong_type(Some(format!("{path}[{at}]")), "a token number", item)
            })
        })
        .collect::<Result<_, _>>()
        .map(EmbeddingInput::Tokens)
}

/// Writes a request for a provider.
///
/// # Errors
/// None today: the dialect can say all that the model holds.
pub fn encode_request(
    request: &EmbeddingsRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.as_str().into());
    body.insert("input".to_owned(), encode_input(&request.input));
    if let Some(dimensions) = request.dimensions {
        let key = if target.output_dimension {
            "output_dimension"
        } else {
            "dimensions"
        };
        body.insert(key.to_owned(), dimensions.into());
    }
    // Floats are what every provider sends unasked, and not every provider knows the word.
    if request.encoding == EmbeddingEncoding::Base64 && target.max_completion_tokens {
        body.insert("encoding_format".to_owned(), "base64".into());
    }
    if let Some(user) = &request.user {
        body.insert("user".to_owned(), user.as_str().into());
    }
    for (key, value) in &request.extra {
        if !body.contains_key(key) {
            body.insert(key.clone(), value.clone());
        }
    }
    let request = UpstreamRequest {
        method: Method::POST,
        path: Cow::Borrowed("/embeddings"),
        headers: HeaderMap::new(),
        body: Bytes::from(Value::Object(body).to_string()),
    };
    Ok((request, Drops::new()))
}

fn encode_input(input: &[EmbeddingInput]) -> Value {
    let one = |input: &EmbeddingInput| match input {
        EmbeddingInput::Text(text) => Value::from(text.as_str()),
        EmbeddingInput::Tokens(tokens) => Value::from(tokens.clone()),
    };
    match input {
        // A list of one list of tokens is understood everywhere, a bare list of tokens is not.
        [EmbeddingInput::Text(text)] => text.as_str().into(),
        inputs => inputs.iter().map(one).collect(),
    }
}

/// Reads a provider's vectors, in the order of the inputs.
///
/// # Errors
/// [`DecodeError::Shape`] when it is not a list of vectors.
pub fn decode_response(body: &[u8]) -> Result<EmbeddingsResponse, DecodeError> {
    let value = sluice_units::json::from_slice(body).map_err(|error| shape(&error.to_string()))?;
    let Value::Object(mut fields) = value else {
        return Err(shape("the answer is not an object"));
    };
    let Some(Value::Array(data)) = fields.shift_remove("data") else {
        return Err(shape("the answer has no data"));
    };
    let mut vectors = Vec::with_capacity(data.len());
    for (at, item) in data.into_iter().enumerate() {
        let Value::Object(mut item) = item else {
            return Err(shape("a vector is not an object"));
        };
        let place = u32::try_from(at).unwrap_or(u32::MAX);
        let index = loose::count(&mut item, "index").unwrap_or(place);
        vectors.push((index, vector(item.shift_remove("embedding"))?));
    }
    vectors.sort_by_key(|(index, _)| *index);
    Ok(EmbeddingsResponse {
        model: loose::text(&mut fields, "model").unwrap_or_default(),
        vectors: vectors.into_iter().map(|(_, vector)| vector).collect(),
        usage: fields.get("usage").and_then(usage::decode),
    })
}

fn vector(value: Option<Value>) -> Result<Vector, DecodeError> {
    match value {
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                Value::Number(number) => Ok(number),
                _ => Err(shape("a vector holds something that is not a number")),
            })
            .collect::<Result<_, _>>()
            .map(Vector::Float),
        Some(Value::String(text)) if base64::to_numbers(&text).is_some() => {
            Ok(Vector::Base64(text))
        }
        _ => Err(shape("a vector is neither numbers nor base64")),
    }
}

fn shape(detail: &str) -> DecodeError {
    DecodeError::Shape {
        dialect: NAME,
        detail: detail.to_owned(),
    }
}

/// Writes the answer in the form that the caller asked for.
#[must_use]
pub fn encode_response(response: &EmbeddingsResponse, encoding: EmbeddingEncoding) -> Vec<u8> {
    let data: Vec<Value> = response
        .vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let embedding = encode_vector(vector, encoding);
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let used = response.usage.unwrap_or_default();
    json!({
        "object": "list",
        "data": data,
        "model": response.model,
        "usage": {
            "prompt_tokens": used.input_total().count(),
            "total_tokens": used.total().count(),
        },
    })
    .to_string()
    .into_bytes()
}

fn encode_vector(vector: &Vector, encoding: EmbeddingEncoding) -> Value {
    match (vector, encoding) {
        (_, EmbeddingEncoding::Float) => numbers(vector),
        (Vector::Float(numbers), EmbeddingEncoding::Base64) => base64::of_numbers(numbers).into(),
        (Vector::Base64(text), EmbeddingEncoding::Base64) => text.as_str().into(),
    }
}

/// A vector as an array of numbers.
pub(crate) fn numbers(vector: &Vector) -> Value {
    match vector {
        Vector::Float(numbers) => numbers.iter().cloned().map(Value::Number).collect(),
        Vector::Base64(text) => {
            let numbers = base64::to_numbers(text).unwrap_or_default();
            numbers.into_iter().map(Value::Number).collect()
        }
    }
}
