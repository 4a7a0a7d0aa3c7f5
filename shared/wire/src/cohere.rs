//! Cohere's second API: `POST /chat`, `/embed` and `/rerank` after a base address that ends in `/v2`.
//!
//! Decides how the neutral model is said in Cohere's words and what an answer means. Knows nothing of keys or hosts.
//! Follows <https://docs.cohere.com/v2/reference/chat>, `/embed`, `/rerank`, `/errors` and the guides on tool use,
//! structured outputs and reasoning beside them.
//!
//! What the model says beside its calls is its `tool_plan`, "a chain-of-thought style reflection": a thinking part here,
//! marked so that it goes back to where it was. What another model said beside its calls goes there too.
//! A function's name is escaped reversibly (see [`names`]), so that the answer alone restores
//! it. What could not be said is named in [`Drops`](crate::Drops); what must not be left out is an
//! [`EncodeError`](crate::EncodeError).
//!
//! What only Cohere can say stands in a request's `extra`, in Cohere's words, at the top or under `cohere`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::Drops;
use crate::error::{DecodeError, EncodeError};

mod config;
pub mod embeddings;
pub mod error;
mod messages;
mod names;
mod request;
pub mod rerank;
mod response;
mod stream;
mod tools;
mod usage;

pub use request::encode_request;
pub use response::decode_response;
pub use stream::StreamDecoder;

const DIALECT: &str = "cohere";

const UNSUPPORTED: &str = "not supported by cohere";

/// The proof over a plan: no proof, but the mark by which it is told from other reasoning. Its colon says, as with every
/// provider but Anthropic, that the part is nobody else's.
const PLAN: &str = "cohere:plan";

fn cannot(field: impl Into<String>, reason: impl Into<String>) -> EncodeError {
    EncodeError {
        dialect: DIALECT,
        field: field.into(),
        reason: reason.into(),
    }
}

fn shape(detail: impl Into<Cow<'static, str>>) -> DecodeError {
    DecodeError::Shape {
        dialect: DIALECT,
        detail: detail.into().into_owned(),
    }
}

/// Copies Cohere's own fields of `extra` into the body, and names the others.
fn own_fields(
    extra: &Map<String, Value>,
    known: &[&str],
    body: &mut Map<String, Value>,
    drops: &mut Drops,
) {
    let nested = extra.get(DIALECT).and_then(Value::as_object);
    let nested = nested
        .into_iter()
        .flatten()
        .map(|(key, value)| (key, value, format!("{DIALECT}.{key}")));
    let top = extra
        .iter()
        .filter(|(key, value)| *key != DIALECT || !value.is_object())
        .map(|(key, value)| (key, value, key.clone()));
    for (key, value, field) in top.chain(nested) {
        if known.contains(&key.as_str()) {
            body.insert(key.clone(), value.clone());
        } else {
            drops.push(field, UNSUPPORTED);
        }
    }
}

#[cfg(test)]
mod tests;
