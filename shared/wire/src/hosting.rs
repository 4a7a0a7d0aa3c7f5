//! Where a cloud serves another company's dialect: at which path a model is called, and what of the body differs.
//!
//! Decides nothing about hosts and keys; a path follows the provider's base address.
//! Follows <https://learn.microsoft.com/en-us/azure/ai-foundry/openai/reference> (deployments),
//! <https://docs.claude.com/en/api/claude-on-vertex-ai> and
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::openai::passthrough::scan;
use crate::sigv4::percent_encode;
use crate::{EncodeError, UpstreamRequest};

/// The version of Messages that Vertex AI serves.
const VERTEX_VERSION: &str = r#""anthropic_version":"vertex-2023-10-16""#;

/// At which addresses a provider serves its dialect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Hosting {
    /// At the dialect's own.
    #[default]
    Own,
    /// Azure OpenAI: each deployment of a model has an address.
    AzureDeployments {
        /// The version of the API, such as `2024-10-21`.
        api_version: String,
    },
    /// Gemini at Vertex AI: embeddings are predictions, and each turn of a conversation has a role.
    VertexGemini,
    /// Messages at Vertex AI: the model stands in the address, and the body has a version instead.
    VertexMessages,
}

impl Hosting {
    /// The request as this provider wants it; `model` is what calls name the model.
    ///
    /// # Errors
    /// [`EncodeError`] when the model's name cannot stand in an address.
    pub fn place(
        &self,
        mut request: UpstreamRequest,
        model: &str,
    ) -> Result<UpstreamRequest, EncodeError> {
        match self {
            Self::Own => {}
            Self::AzureDeployments { api_version } => {
                let version = segment(api_version)?;
                let path = &request.path;
                // What the resource keeps stands beside its deployments.
                let is_kept = path.starts_with("/files") || path.starts_with("/batches");
                request.path = Cow::Owned(if is_kept {
                    let mark = if path.contains('?') { '&' } else { '?' };
                    format!("{path}{mark}api-version={version}")
                } else {
                    let model = segment(model)?;
                    format!("/deployments/{model}{path}?api-version={version}")
                });
            }
            Self::VertexGemini => vertex_gemini(&mut request),
            Self::VertexMessages => vertex_messages(&mut request, model)?,
        }
        Ok(request)
    }
}

fn vertex_gemini(request: &mut UpstreamRequest) {
    let embeds = request.path.strip_suffix(":batchEmbedContents");
    if let Some(model) = embeds {
        let path = format!("{model}:predict");
        if let Some(body) = prediction(&request.body) {
            (request.path, request.body) = (Cow::Owned(path), body);
        }
    } else if let Some(body) = with_roles(&request.body) {
        request.body = body;
    }
}

/// Contents to embed as Vertex AI's instances; `None` for what no encoder has written.
fn prediction(body: &[u8]) -> Option<Bytes> {
    let body: Value = sluice_units::json::from_slice(body).ok()?;
    let mut instances = Vec::new();
    let mut parameters = Map::new();
    for one in body.get("requests")?.as_array()? {
        let text = one.get("content")?.get("parts")?.get(0)?.get("text")?;
        let mut instance = Map::new();
        instance.insert("content".to_owned(), text.clone());
        for (name, there) in [("taskType", "task_type"), ("title", "title")] {
            if let Some(value) = one.get(name) {
                instance.insert(there.to_owned(), value.clone());
            }
        }
        instances.push(Value::Object(instance));
        if let Some(dimensions) = one.get("outputDimensionality") {
            parameters.insert("outputDimensionality".to_owned(), dimensions.clone());
        }
    }
    let mut body = Map::new();
    body.insert("instances".to_owned(), Value::Array(instances));
    if !parameters.is_empty() {
        body.insert("parameters".to_owned(), Value::Object(parameters));
    }
    Some(Bytes::from(Value::Object(body).to_string()))
}

/// The body with the caller's role in turns that name none: Gemini's own address takes those, Vertex AI does not.
/// `None` where nothing is missing.
fn with_roles(body: &[u8]) -> Option<Bytes> {
    const ROLE: &[u8] = br#""role":"user","#;
    let members = scan::members(body, 0)?;
    let contents = members.iter().find(|member| member.key == "contents")?;
    let turns = scan::elements(body, contents.value.start)?;
    let mut out = Vec::new();
    let mut from = 0;
    for turn in turns {
        let members = scan::members(body, turn.start)?;
        // An empty turn is the provider's to refuse.
        if members.is_empty() || members.iter().any(|member| member.key == "role") {
            continue;
        }
        let inside = scan::inside(body, turn.start)?;
        out.extend_from_slice(body.get(from..inside)?);
        out.extend_from_slice(ROLE);
        from = inside;
    }
    if from == 0 {
        return None;
    }
    out.extend_from_slice(body.get(from..)?);
    Some(Bytes::from(out))
}

fn vertex_messages(request: &mut UpstreamRequest, model: &str) -> Result<(), EncodeError> {
    let Some(members) = scan::members(&request.body, 0) else {
        return Ok(());
    };
    let value = |key: &str| {
        let member = members.iter().find(|member| member.key == key)?;
        request.body.get(member.value.clone())
    };
    let (path, model_stays) = if request.path == "/messages/count_tokens" {
        ("/models/count-tokens:rawPredict".to_owned(), true)
    } else {
        let streams = value("stream") == Some(b"true");
        let method = if streams {
            "streamRawPredict"
        } else {
            "rawPredict"
        };
        (format!("/models/{}:{method}", segment(model)?), false)
    };
    if let Some(member) = members.iter().find(|member| member.key == "model") {
        let (start, end) = (member.name.start, member.value.end);
        let cut = |range| request.body.get(range).unwrap_or_default();
        let kept = if model_stays {
            [cut(start..end), b","].concat()
        } else {
            Vec::new()
        };
        let before = request.body.get(..start).unwrap_or_default();
        let after = request.body.get(end..).unwrap_or_default();
        let body = [before, &kept, VERTEX_VERSION.as_bytes(), after].concat();
        request.body = Bytes::from(body);
    }
    // The body says it.
    request.headers.remove("anthropic-version");
    request.path = Cow::Owned(path);
    Ok(())
}

/// A name that cannot leave its place in an address.
fn segment(name: &str) -> Result<String, EncodeError> {
    // Dots alone would be taken for a way up.
    if name.bytes().all(|byte| byte == b'.') {
        return Err(EncodeError {
            dialect: "hosting",
            field: "model".to_owned(),
            reason: "the name cannot stand in an address".to_owned(),
        });
    }
    Ok(percent_encode(name.as_bytes(), b"@"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    fn check(hosting: &Hosting, path: &'static str, body: &'static str, expected: (&str, &str)) {
        let request = UpstreamRequest {
            method: Method::POST,
            path: Cow::Borrowed(path),
            headers: HeaderMap::new(),
            body: Bytes::from(body),
        };
        let placed = hosting.place(request, "my/model@1").unwrap();
        let body = String::from_utf8_lossy(&placed.body).into_owned();
        assert_eq!((&*placed.path, &*body), expected);
    }

    #[test]
    fn the_dialect_s_own_address_stays() {
        check(
            &Hosting::Own,
            "/chat/completions",
            "{}",
            ("/chat/completions", "{}"),
        );
    }

    #[test]
    fn azure_has_an_address_for_each_deployment() {
        let azure = Hosting::AzureDeployments {
            api_version: "2024-10-21".to_owned(),
        };
        check(
            &azure,
            "/embeddings",
            r#"{"model":"m"}"#,
            (
                "/deployments/my%2Fmodel@1/embeddings?api-version=2024-10-21",
                r#"{"model":"m"}"#,
            ),
        );
    }

    #[test]
    fn what_azure_keeps_stands_beside_its_deployments() {
        let azure = Hosting::AzureDeployments {
            api_version: "2024-10-21".to_owned(),
        };
        for (path, expected) in [
            ("/files", "/files?api-version=2024-10-21"),
            (
                "/batches?limit=100",
                "/batches?limit=100&api-version=2024-10-21",
            ),
        ] {
            check(&azure, path, "", (expected, ""));
        }
    }

    #[test]
    fn a_name_cannot_leave_its_place() {
        let hosting = Hosting::AzureDeployments {
            api_version: "1".to_owned(),
        };
        let request = || crate::openai::passthrough::request("/embeddings", b"{}".to_vec());
        assert!(hosting.place(request(), "..").is_err());
        let placed = hosting.place(request(), "../x?y#z").unwrap();
        assert_eq!(
            placed.path,
            "/deployments/..%2Fx%3Fy%23z/embeddings?api-version=1"
        );
    }

    #[test]
    fn vertex_embeds_by_prediction() {
        check(
            &Hosting::VertexGemini,
            "/models/m:batchEmbedContents",
            r#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"taskType":"CLUSTERING","outputDimensionality":8},{"model":"models/m","content":{"parts":[{"text":"b"}]},"outputDimensionality":8}]}"#,
            (
                "/models/m:predict",
                r#"{"instances":[{"content":"a","task_type":"CLUSTERING"},{"content":"b"}],"parameters":{"outputDimensionality":8}}"#,
            ),
        );
    }

    #[test]
    fn vertex_is_told_the_caller_s_role_where_a_turn_names_none() {
        for (body, expected) in [
            (
                r#"{"contents": [{ "parts": [{"text": "a"}]}, {"role": "model", "parts": []}, {"parts": [1.0]}], "x": 1.50}"#,
                r#"{"contents": [{"role":"user", "parts": [{"text": "a"}]}, {"role": "model", "parts": []}, {"role":"user","parts": [1.0]}], "x": 1.50}"#,
            ),
            (
                r#"{"contents":[{"role":"user","parts":[]},{}]}"#,
                r#"{"contents":[{"role":"user","parts":[]},{}]}"#,
            ),
        ] {
            let path = "/models/m:generateContent";
            check(&Hosting::VertexGemini, path, body, (path, expected));
        }
    }

    #[test]
    fn vertex_takes_the_model_in_the_address_and_a_version_in_the_body() {
        for (path, body, expected) in [
            (
                "/messages",
                r#"{"model":"m","max_tokens":1}"#,
                (
                    "/models/my%2Fmodel@1:rawPredict",
                    r#"{"anthropic_version":"vertex-2023-10-16","max_tokens":1}"#,
                ),
            ),
            (
                "/messages",
                r#"{"stream": true, "x": {"model": 1}, "model": "m"}"#,
                (
                    "/models/my%2Fmodel@1:streamRawPredict",
                    r#"{"stream": true, "x": {"model": 1}, "anthropic_version":"vertex-2023-10-16"}"#,
                ),
            ),
            (
                "/messages/count_tokens",
                r#"{"model":"m","messages":[]}"#,
                (
                    "/models/count-tokens:rawPredict",
                    r#"{"model":"m","anthropic_version":"vertex-2023-10-16","messages":[]}"#,
                ),
            ),
        ] {
            check(&Hosting::VertexMessages, path, body, expected);
        }
    }
}
