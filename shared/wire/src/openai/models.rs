//! The list of models, and one of them.

use serde_json::{Value, json};

/// A model as a caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model<'a> {
    /// The name to send.
    pub id: &'a str,
    /// Seconds since the Unix epoch.
    pub created: i64,
    /// Who serves it.
    pub owned_by: &'a str,
}

/// Writes the list.
#[must_use]
pub fn encode_list(models: &[Model<'_>]) -> Vec<u8> {
    let data: Vec<Value> = models.iter().map(value).collect();
    json!({"object": "list", "data": data})
        .to_string()
        .into_bytes()
}

/// Writes one.
#[must_use]
pub fn encode(model: &Model<'_>) -> Vec<u8> {
    value(model).to_string().into_bytes()
}

fn value(model: &Model<'_>) -> Value {
    json!({
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_each_model() {
        let model = Model {
            id: "fast",
            created: 1_700_000_000,
            owned_by: "acme",
        };
        let one = r#"{"id":"fast","object":"model","created":1700000000,"owned_by":"acme"}"#;
        assert_eq!(encode(&model), one.as_bytes());
        let list = format!(r#"{{"object":"list","data":[{one}]}}"#);
        assert_eq!(encode_list(&[model]), list.as_bytes());
        assert_eq!(encode_list(&[]), br#"{"object":"list","data":[]}"#);
    }
}
