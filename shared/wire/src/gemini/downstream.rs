//! The other direction: callers who speak Gemini.
//!
//! The model and whether to stream stand in the path, so they are handed in. Keys are read in `camelCase` and
//! `snake_case`, as protobuf's JSON mapping allows (<https://protobuf.dev/programming-guides/json/>).
//! What only Gemini can say is kept under `extra["gemini"]`, where only Gemini's encoder looks for it.

use serde_json::{Map, Value};

use crate::error::Malformed;
use crate::json::{self, Object};

mod answer;
mod config;
mod embeddings;
mod frames;
mod lists;
mod request;
mod schema;
mod turns;

pub use answer::encode_response;
pub use embeddings::{decode_embeddings, encode_embeddings};
pub use frames::{Framing, StreamEncoder};
pub use lists::{
    ErrorAnswer, ListedModel, decode_count_tokens, encode_count_tokens, encode_error, encode_model,
    encode_models,
};
pub use request::decode_request;

pub(crate) use lists::count_body;

/// What the gateway itself knows of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// The answer's identifier where the provider gave none.
    pub id: String,
    /// The model's name to show; empty: the provider's.
    pub model: String,
}

impl Answered {
    fn id<'a>(&'a self, said: &'a str) -> &'a str {
        if said.is_empty() { &self.id } else { said }
    }

    fn model<'a>(&'a self, said: &'a str) -> &'a str {
        if self.model.is_empty() {
            said
        } else {
            &self.model
        }
    }
}

/// Opens a protobuf message: its keys in `camelCase`, each once.
fn message(value: Value, path: &str) -> Result<Object, Malformed> {
    let Value::Object(fields) = value else {
        let param = (!path.is_empty()).then(|| path.to_owned());
        return Err(json::wrong_type(param, "an object", &value));
    };
    let mut renamed = Map::new();
    for (key, value) in fields {
        let key = camel(key);
        if renamed.contains_key(&key) {
            return Err(Malformed {
                code: "duplicate_key",
                message: format!("'{key}' is given twice, in two spellings. Send it once."),
                param: Some(key),
            });
        }
        renamed.insert(key, value);
    }
    Object::new(Value::Object(renamed), path)
}

fn camel(key: String) -> String {
    if !key.contains('_') {
        return key;
    }
    let mut camel = String::with_capacity(key.len());
    let mut up = false;
    for c in key.chars() {
        if c == '_' {
            up = true;
        } else {
            camel.push(if up { c.to_ascii_uppercase() } else { c });
            up = false;
        }
    }
    camel
}
