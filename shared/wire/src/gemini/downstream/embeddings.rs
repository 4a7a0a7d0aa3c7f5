//! Embeddings for callers who speak Gemini: `embedContent` and `batchEmbedContents`.
//!
//! Follows <https://ai.google.dev/api/embeddings>. What the vectors are for (`taskType`, `title`) is kept in `extra`,
//! under Gemini's names.

use serde_json::{Map, Value, json};

use super::{message, request::note_left};
use crate::drops::Drops;
use crate::error::Malformed;
use crate::gemini::embeddings::OWN_FIELDS;
use crate::json;
use crate::json::Object;
use crate::model::{EmbeddingInput, EmbeddingsRequest, EmbeddingsResponse};
use crate::openai::embeddings::numbers;

/// The most contents of one request, as at Google.
const REQUESTS_MAX: usize = 100;

/// Reads a request for one vector (`embedContent`), or for many (`batchEmbedContents`). `model` is the name in the path.
///
/// # Errors
/// [`Malformed`] with the field at fault; also when the contents of one request are to be embedded differently.
pub fn decode_embeddings(
    model: &str,
    is_many: bool,
    body: &[u8],
) -> Result<(EmbeddingsRequest, Drops), Malformed> {
    let mut fields = message(Value::Object(json::parse_object(body)?.rest()), "")?;
    let mut drops = Drops::new();
    let mut request = EmbeddingsRequest {
        model: model.to_owned(),
        ..EmbeddingsRequest::default()
    };
    if !is_many {
        one(fields, &mut request, &mut drops)?;
        return Ok((request, drops));
    }
    let all = fields.take_array("requests")?.unwrap_or_default();
    if all.is_empty() || all.len() > REQUESTS_MAX {
        let allowed = format!("1 to {REQUESTS_MAX} requests");
        return Err(fields.invalid("requests", &allowed));
    }
    for (index, wanted) in all.into_iter().enumerate() {
        let fields = message(wanted, &format!("requests[{index}]"))?;
        one(fields, &mut request, &mut drops)?;
    }
    note_left(&fields, &mut drops);
    Ok((request, drops))
}

fn one(
    mut fields: Object,
    request: &mut EmbeddingsRequest,
    drops: &mut Drops,
) -> Result<(), Malformed> {
    // The name in the path counts; Google wants the same here.
    fields.take_string("model")?;
    let content = fields
        .take("content")
        .ok_or_else(|| fields.missing("content"))?;
    let text = text(content, &fields.path("content"))?;
    let dimensions = fields.take_u64("outputDimensionality", 1)?;
    let mut extra = Map::new();
    for key in OWN_FIELDS {
        if let Some(value) = fields.take_string(key)? {
            extra.insert(key.to_owned(), value.into());
        }
    }
    if request.input.is_empty() {
        request.dimensions = dimensions;
        request.extra = extra;
    } else if request.dimensions != dimensions {
        return Err(fields.invalid("outputDimensionality", "the same for all requests"));
    } else if request.extra != extra {
        return Err(fields.invalid(
            "taskType",
            "the same for all requests, and the same 'title'",
        ));
    }
    request.input.push(EmbeddingInput::Text(text));
    note_left(&fields, drops);
    Ok(())
}

/// The text of a content, which may come in parts.
fn text(content: Value, path: &str) -> Result<String, Malformed> {
    let mut content = message(content, path)?;
    let parts = match content.take("parts") {
        Some(Value::Array(parts)) => parts,
        Some(part @ Value::Object(_)) => vec![part],
        Some(other) => return Err(content.wrong("parts", "an array", &other)),
        None => Vec::new(),
    };
    let mut text = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        let mut part = message(part, &format!("{path}.parts[{index}]"))?;
        let Some(more) = part.take_string("text")? else {
            return Err(part.invalid("text", "a text: nothing else is embedded here"));
        };
        text.push_str(&more);
    }
    if text.is_empty() {
        return Err(content.invalid("parts", "at least one text that is not empty"));
    }
    Ok(text)
}

/// Writes the vectors.
#[must_use]
pub fn encode_embeddings(response: &EmbeddingsResponse, is_many: bool) -> Vec<u8> {
    let mut vectors = response
        .vectors
        .iter()
        .map(|vector| json!({"values": numbers(vector)}));
    let mut answer = Map::new();
    if is_many {
        answer.insert("embeddings".to_owned(), vectors.collect());
    } else {
        let vector = vectors.next().unwrap_or_default();
        answer.insert("embedding".to_owned(), vector);
    }
    if let Some(usage) = response.usage {
        let count = usage.input_total().count();
        let counted = json!({"promptTokenCount": count, "totalTokenCount": count});
        answer.insert("usageMetadata".to_owned(), counted);
    }
    Value::Object(answer).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Vector;

    fn decode(is_many: bool, body: &Value) -> Result<(EmbeddingsRequest, Drops), Malformed> {
        decode_embeddings("m", is_many, body.to_string().as_bytes())
    }

    #[test]
    fn one_and_many_are_read() {
        let body = json!({"content": {"parts": [{"text": "a"}, {"text": "b"}]}, "task_type": "CLUSTERING", "outputDimensionality": 8, "new": 1});
        let (request, drops) = decode(false, &body).unwrap();
        assert_eq!(request.input, [EmbeddingInput::Text("ab".to_owned())]);
        assert_eq!(request.dimensions, Some(8));
        assert_eq!(request.extra["taskType"], "CLUSTERING");
        assert_eq!(drops.as_slice()[0].field, "new");
        let one = |text: &str| json!({"model": "models/m", "content": {"parts": {"text": text}}});
        let (request, _) = decode(true, &json!({"requests": [one("a"), one("b")]})).unwrap();
        assert_eq!(request.input.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let content = json!({"parts": [{"text": "a"}]});
        for (is_many, body, param) in [
            (false, json!({}), "content"),
            (
                false,
                json!({"content": {"parts": [{"inlineData": {}}]}}),
                "content.parts[0].text",
            ),
            (false, json!({"content": {"parts": []}}), "content.parts"),
            (true, json!({"requests": []}), "requests"),
            (
                true,
                json!({"requests": [{"content": content}, {"content": content, "outputDimensionality": 3}]}),
                "requests[1].outputDimensionality",
            ),
            (
                true,
                json!({"requests": [{"content": content}, {"content": content, "taskType": "CLUSTERING"}]}),
                "requests[1].taskType",
            ),
        ] {
            let wrong = decode(is_many, &body).unwrap_err();
            assert_eq!(wrong.param.as_deref(), Some(param), "{body}");
        }
    }

    #[test]
    fn vectors_are_written_for_one_and_for_many() {
        let response = EmbeddingsResponse {
            vectors: vec![Vector::Base64("AACAPwAAAMA=".to_owned())],
            ..EmbeddingsResponse::default()
        };
        let text = |is_many| String::from_utf8(encode_embeddings(&response, is_many)).unwrap();
        assert_eq!(text(false), r#"{"embedding":{"values":[1.0,-2.0]}}"#);
        assert_eq!(text(true), r#"{"embeddings":[{"values":[1.0,-2.0]}]}"#);
    }
}
