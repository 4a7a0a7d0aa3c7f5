//! The list of models, and the count of tokens.

use serde_json::{Value, json};
use sluice_units::Timestamp;

const SECONDS_PER_DAY: i64 = 86_400;

/// A model as a caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model<'a> {
    /// The name to send.
    pub id: &'a str,
    /// The name to read.
    pub display_name: &'a str,
    /// When it came.
    pub created_at: Timestamp,
}

/// Writes the whole list as one page.
#[must_use]
pub fn encode_models(models: &[Model<'_>]) -> Vec<u8> {
    let data: Vec<Value> = models.iter().map(value).collect();
    json!({
        "data": data,
        "has_more": false,
        "first_id": models.first().map(|model| model.id),
        "last_id": models.last().map(|model| model.id),
    })
    .to_string()
    .into_bytes()
}

/// Writes one.
#[must_use]
pub fn encode_model(model: &Model<'_>) -> Vec<u8> {
    value(model).to_string().into_bytes()
}

/// Writes the answer to a request for a count.
#[must_use]
pub fn encode_token_count(input_tokens: u64) -> Vec<u8> {
    json!({"input_tokens": input_tokens})
        .to_string()
        .into_bytes()
}

fn value(model: &Model<'_>) -> Value {
    json!({
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": rfc3339(model.created_at),
    })
}

fn rfc3339(at: Timestamp) -> String {
    let second = at.as_seconds().rem_euclid(SECONDS_PER_DAY);
    let (hour, minute) = (
        second.div_euclid(3_600),
        second.div_euclid(60).rem_euclid(60),
    );
    format!(
        "{}T{hour:02}:{minute:02}:{:02}Z",
        at.date(),
        second.rem_euclid(60)
    )
}
