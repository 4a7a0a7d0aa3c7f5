//! What an address asks for, and in which language its caller wants the answer.
//!
//! The path and the method are looked at once, here; what was checked is what is served.

use std::borrow::Cow;

use http::request::Parts;
use http::{Method, StatusCode};
use sluice_wire::Downstream;
use sluice_wire::gemini::downstream::Framing;
use sluice_wire::openai::direct;

use crate::files::{Asked, Kind};
use crate::problem::Problem;
use crate::receipt;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// The process is alive.
    Live,
    /// Requests can be served.
    Ready,
    /// Every dependency's state.
    Health,
    /// The public keys of receipts.
    ReceiptKeys,
    /// The next turn of a conversation.
    Chat(Named<'a>),
    /// How many tokens a conversation has.
    CountTokens(Named<'a>),
    /// Vectors; many of them, where a Gemini caller says so in the address.
    Embeddings(Named<'a>, bool),
    /// What only providers of the caller's own dialect have.
    Direct(direct::Endpoint),
    /// What a provider keeps.
    Files(Asked<'a>),
    /// The models that the caller may use.
    Models,
    /// One of them.
    Model(Cow<'a, str>),
    /// Governance.
    Admin,
}

/// What stands in the address of a dialect that names the model there; nothing in others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named<'a> {
    /// The model's name.
    pub model: Option<Cow<'a, str>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
}

/// The language in which the caller wants to be answered, errors included.
#[must_use]
pub fn language(head: &Parts) -> Downstream {
    let path = head.uri.path();
    let gemini = || {
        Downstream::GenerateContent(match query(head, "alt") {
            Some("sse") => Framing::Sse,
            _ => Framing::Array,
        })
    };
    if path.starts_with("/v1/messages") {
        Downstream::Messages
    } else if path.starts_with("/v1/responses") {
        Downstream::Responses
    } else if path == "/v1/completions" {
        Downstream::Completions
    } else if path.starts_with("/v1beta/") || gemini_endpoint(path).is_some() {
        gemini()
    } else if path != "/v1/models" && model(path).is_none() {
        Downstream::ChatCompletions
    } else if head.headers.contains_key("anthropic-version") {
        Downstream::Messages
    } else if head.headers.contains_key("x-goog-api-key") || query(head, "key").is_some() {
        gemini()
    } else {
        Downstream::ChatCompletions
    }
}

/// Finds what is asked for.
///
/// # Errors
/// A 404 for an address that nobody serves, a 405 for a method that it does not take.
pub fn endpoint(head: &Parts) -> Result<Endpoint<'_>, Problem> {
    let path = head.uri.path();
    let (endpoint, methods): (_, &[Method]) = match path {
        "/health/live" => (Endpoint::Live, &[Method::GET, Method::HEAD]),
        "/health/ready" => (Endpoint::Ready, &[Method::GET, Method::HEAD]),
        "/health" => (Endpoint::Health, &[Method::GET, Method::HEAD]),
        receipt::KEYS_PATH => (Endpoint::ReceiptKeys, &[Method::GET, Method::HEAD]),
        "/v1/chat/completions" | "/v1/completions" | "/v1/responses" | "/v1/messages" => {
            (Endpoint::Chat(Named::default()), &[Method::POST])
        }
        "/v1/messages/count_tokens" => (Endpoint::CountTokens(Named::default()), &[Method::POST]),
        "/v1/embeddings" => (
            Endpoint::Embeddings(Named::default(), false),
            &[Method::POST],
        ),
        "/v1/models" | "/v1beta/models" => (Endpoint::Models, &[Method::GET]),
        _ if let Some(endpoint) = direct(path) => (Endpoint::Direct(endpoint), &[Method::POST]),
        _ if let Some(choices) = kept(path) => {
            let methods: Vec<Method> = choices.iter().map(|(method, _)| method.clone()).collect();
            allow(head, &methods)?;
            let mut choices = choices.into_iter();
            let asked = choices.find(|(method, _)| *method == head.method);
            let (_, asked) = asked.ok_or_else(|| unknown(head))?;
            return Ok(Endpoint::Files(asked));
        }
        // It looks at its methods itself.
        _ if path.starts_with("/admin/") => return Ok(Endpoint::Admin),
        _ => match gemini_endpoint(path) {
            Some(endpoint) => (endpoint, &[Method::POST]),
            None => match model(path) {
                Some(name) => (Endpoint::Model(percent_decoded(name)), &[Method::GET]),
                None => return Err(unknown(head)),
            },
        },
    };
    allow(head, methods)?;
    Ok(endpoint)
}

fn direct(path: &str) -> Option<direct::Endpoint> {
    Some(match path.strip_prefix("/v1")? {
        "/images/generations" => direct::Endpoint::Images,
        "/images/edits" => direct::Endpoint::ImageEdits,
        "/images/variations" => direct::Endpoint::ImageVariations,
        "/audio/speech" => direct::Endpoint::Speech,
        "/audio/transcriptions" => direct::Endpoint::Transcriptions,
        "/audio/translations" => direct::Endpoint::Translations,
        "/moderations" => direct::Endpoint::Moderations,
        "/rerank" => direct::Endpoint::Rerank,
        _ => return None,
    })
}

/// What can be asked for at an address of files or batches.
fn kept(path: &str) -> Option<Vec<(Method, Asked<'_>)>> {
    let (kind, rest) = match path.strip_prefix("/v1/files") {
        Some(rest) => (Kind::File, rest),
        None => (Kind::Batch, path.strip_prefix("/v1/batches")?),
    };
    if rest.is_empty() {
        let new = match kind {
            Kind::File => Asked::Upload,
            Kind::Batch => Asked::Begin,
        };
        return Some(vec![(Method::GET, Asked::List(kind)), (Method::POST, new)]);
    }
    let one = rest.strip_prefix('/').filter(|one| !one.is_empty())?;
    Some(match (kind, one.split_once('/')) {
        (_, None) => {
            let id = percent_decoded(one);
            let show = (Method::GET, Asked::Show(kind, id.clone()));
            match kind {
                Kind::File => vec![show, (Method::DELETE, Asked::Delete(id))],
                Kind::Batch => vec![show],
            }
        }
        (Kind::File, Some((id, "content"))) => {
            vec![(Method::GET, Asked::Content(percent_decoded(id)))]
        }
        (Kind::Batch, Some((id, "cancel"))) => {
            vec![(Method::POST, Asked::Cancel(percent_decoded(id)))]
        }
        _ => return None,
    })
}

fn model(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/v1/models/");
    name.or_else(|| path.strip_prefix("/v1beta/models/"))
        .filter(|name| !name.is_empty())
}

/// An address with model and method, such as `/v1beta/models/gemini-2.5-flash:generateContent`.
fn gemini_endpoint(path: &str) -> Option<Endpoint<'_>> {
    // Vercel's client leaves `models/` out where a name has a slash (2026-11-21).
    let named = model(path).or_else(|| path.strip_prefix("/v1beta/"))?;
    let (name, method) = named.rsplit_once(':')?;
    let named = |stream| Named {
        model: Some(percent_decoded(name)),
        stream,
    };
    match method {
        "generateContent" => Some(Endpoint::Chat(named(false))),
        "streamGenerateContent" => Some(Endpoint::Chat(named(true))),
        "countTokens" => Some(Endpoint::CountTokens(named(false))),
        "embedContent" => Some(Endpoint::Embeddings(named(false), false)),
        "batchEmbedContents" => Some(Endpoint::Embeddings(named(false), true)),
        _ => None,
    }
}

/// A parameter of the address's query, as it was written.
pub(crate) fn query<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    })
}

fn unknown(head: &Parts) -> Problem {
    Problem::invalid(
        StatusCode::NOT_FOUND,
        "unknown_url",
        format!(
            "Unknown request URL: {} {}. Try POST /v1/chat/completions.",
            head.method,
            shown(head.uri.path())
        ),
    )
}

/// The path as it may be shown: short, and visible characters only.
fn shown(path: &str) -> String {
    path.chars()
        .filter(char::is_ascii_graphic)
        .take(80)
        .collect()
}

/// Refuses a method that an address does not take.
///
/// # Errors
/// A 405 that names those that it takes.
pub(crate) fn allow(head: &Parts, methods: &[Method]) -> Result<(), Problem> {
    if methods.contains(&head.method) {
        return Ok(());
    }
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    Err(Problem::invalid(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!(
            "Not allowed to {} on {}. Allowed: {}.",
            head.method,
            shown(head.uri.path()),
            names.join(", ")
        ),
    ))
}

/// `%2F` and its like in a path segment; what is not well-formed stays as it is and names no model.
fn percent_decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let decoded = (*first == b'%')
            .then(|| after.split_at_checked(2))
            .flatten()
            .and_then(|(digits, after)| {
                let digits = std::str::from_utf8(digits).ok()?;
                Some((u8::from_str_radix(digits, 16).ok()?, after))
            });
        let (byte, after) = decoded.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str, header: Option<&str>) -> Parts {
        let mut request = http::Request::builder().method(method).uri(target);
        if let Some(name) = header {
            request = request.header(name, "x");
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_language_is_known_from_the_address() {
        let array = Downstream::GenerateContent(Framing::Array);
        let sse = Downstream::GenerateContent(Framing::Sse);
        for (target, header, expected) in [
            ("/v1/chat/completions", None, Downstream::ChatCompletions),
            (
                "/v1/chat/completions",
                Some("x-goog-api-key"),
                Downstream::ChatCompletions,
            ),
            ("/v1/responses", None, Downstream::Responses),
            ("/v1/messages/count_tokens", None, Downstream::Messages),
            ("/v1/models", None, Downstream::ChatCompletions),
            (
                "/v1/models",
                Some("anthropic-version"),
                Downstream::Messages,
            ),
            ("/v1/models", Some("x-goog-api-key"), array),
            ("/v1beta/models?key=x", None, array),
            ("/v1/models/a/b:streamGenerateContent?alt=sse", None, sse),
            ("/nowhere", None, Downstream::ChatCompletions),
        ] {
            assert_eq!(language(&head("GET", target, header)), expected, "{target}");
        }
    }

    #[test]
    fn an_address_leads_to_one_place() {
        let named = |model: &'static str, stream| Named {
            model: Some(Cow::Borrowed(model)),
            stream,
        };
        for (method, target, expected) in [
            ("POST", "/v1/messages", Endpoint::Chat(Named::default())),
            (
                "POST",
                "/v1beta/models/gemini-2.5-pro:generateContent",
                Endpoint::Chat(named("gemini-2.5-pro", false)),
            ),
            (
                "POST",
                "/v1/models/openai%2Fgpt-5:streamGenerateContent?alt=sse",
                Endpoint::Chat(named("openai/gpt-5", true)),
            ),
            (
                "POST",
                "/v1beta/openai/gpt-5:generateContent",
                Endpoint::Chat(named("openai/gpt-5", false)),
            ),
            (
                "POST",
                "/v1beta/models/ft:gpt:x:countTokens",
                Endpoint::CountTokens(named("ft:gpt:x", false)),
            ),
            (
                "GET",
                "/v1/models/ft:gpt:x",
                Endpoint::Model("ft:gpt:x".into()),
            ),
            ("DELETE", "/admin/keys", Endpoint::Admin),
        ] {
            assert_eq!(
                endpoint(&head(method, target, None)),
                Ok(expected),
                "{target}"
            );
        }
        for (method, target, status) in [
            ("GET", "/v1/messages", 405),
            ("GET", "/v1beta/models/x:generateContent", 405),
            ("POST", "/v1/models", 405),
            ("GET", "/v1/models/", 404),
            ("POST", "/v1/responses/resp_1/cancel", 404),
        ] {
            let problem = endpoint(&head(method, target, None)).unwrap_err();
            assert_eq!(problem.status().as_u16(), status, "{target}");
        }
    }

    #[test]
    fn what_is_kept_has_addresses() {
        for (method, target, expected) in [
            ("POST", "/v1/files", Asked::Upload),
            ("GET", "/v1/batches?limit=2", Asked::List(Kind::Batch)),
            ("DELETE", "/v1/files/file-1", Asked::Delete("file-1".into())),
            (
                "GET",
                "/v1/files/file-1/content",
                Asked::Content("file-1".into()),
            ),
            (
                "POST",
                "/v1/batches/b%5F1/cancel",
                Asked::Cancel("b_1".into()),
            ),
        ] {
            assert_eq!(
                endpoint(&head(method, target, None)),
                Ok(Endpoint::Files(expected)),
                "{target}"
            );
        }
        for (method, target, status) in [
            ("DELETE", "/v1/batches/b", 405),
            ("PUT", "/v1/files", 405),
            ("GET", "/v1/files/", 404),
            ("GET", "/v1/files/a/b", 404),
            ("GET", "/v1/filesystem", 404),
        ] {
            let problem = endpoint(&head(method, target, None)).unwrap_err();
            assert_eq!(problem.status().as_u16(), status, "{target}");
        }
    }

    #[test]
    fn names_in_paths_are_decoded_once() {
        assert_eq!(percent_decoded("openai%2Fgpt-4o"), "openai/gpt-4o");
        assert_eq!(percent_decoded("a%252Fb"), "a%2Fb");
        assert_eq!(percent_decoded("100%"), "100%");
    }
}
