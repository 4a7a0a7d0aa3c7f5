//! Heads of requests and answers, between the platform's types and the core's.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request as HttpRequest};
use spin_sdk::wasip3::http::types::{Fields, HeaderError, Method, Request, Scheme};

/// The head of a request. `None` when its method or its address is none that the core takes.
pub(crate) fn head(request: &Request) -> Option<Parts> {
    let (mut parts, ()) = HttpRequest::new(()).into_parts();
    parts.method = method(request.get_method())?;
    let path = request.get_path_with_query().unwrap_or_default();
    parts.uri = path.parse().ok()?;
    parts.headers = map(&request.get_headers());
    Some(parts)
}

fn method(method: Method) -> Option<http::Method> {
    Some(match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Connect => http::Method::CONNECT,
        Method::Options => http::Method::OPTIONS,
        Method::Trace => http::Method::TRACE,
        Method::Patch => http::Method::PATCH,
        Method::Other(name) => name.parse().ok()?,
    })
}

/// A method as the platform has it.
pub(crate) fn wasi_method(method: &http::Method) -> Method {
    match method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    }
}

/// A scheme as the platform has it.
pub(crate) fn wasi_scheme(scheme: &str) -> Scheme {
    match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}

/// Headers that came in.
pub(crate) fn map(fields: &Fields) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.copy_all() {
        // The platform lets nothing else through; what it let through all the same is not worth a failure.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Headers that go out.
///
/// # Errors
/// When the platform sends one of them itself and takes none.
pub(crate) fn fields(headers: &HeaderMap) -> Result<Fields, HeaderError> {
    let entries: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    Fields::from_list(&entries)
}
