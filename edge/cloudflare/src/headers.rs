//! Heads of requests and answers as lines of text, which cross in one go.
//!
//! A header's value never holds a line feed, on either side.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};

/// Reads a request's head: method, address, then names and values, one to a line.
///
/// `None` when the method or the address is none that the core takes.
pub(crate) fn request(text: &str) -> Option<Parts> {
    let mut lines = text.split('\n');
    let method = lines.next()?.parse().ok()?;
    let uri: Uri = lines.next()?.parse().ok()?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.headers = map(lines);
    Some(parts)
}

/// Reads an answer's head: status, then names and values, one to a line.
pub(crate) fn answer(text: &str) -> Option<(StatusCode, HeaderMap)> {
    let mut lines = text.split('\n');
    let status = StatusCode::from_bytes(lines.next()?.as_bytes()).ok()?;
    Some((status, map(lines)))
}

fn map<'a>(mut lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        // The platform lets nothing else through; what it let through all the same is not worth a failure.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Writes names and values, one to a line. A value that is no text is left out.
pub(crate) fn lines(headers: &HeaderMap) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(name.as_str());
        text.push('\n');
        text.push_str(value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_there_and_back_is_the_same() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        headers.append("x-empty", HeaderValue::from_static(""));
        assert_eq!(
            answer(&format!("207\n{}", lines(&headers))),
            Some((StatusCode::MULTI_STATUS, headers))
        );
        assert_eq!(answer("200"), Some((StatusCode::OK, HeaderMap::new())));
        assert_eq!(answer(""), None);
    }

    #[test]
    fn a_request_keeps_its_path_as_it_came() {
        let parts = request("POST\nhttp://host:1/v1/a%2Fb?c=d\naccept\n*/*").unwrap();
        assert_eq!(parts.uri.path(), "/v1/a%2Fb");
        assert_eq!(parts.uri.query(), Some("c=d"));
        assert_eq!(parts.headers["accept"], "*/*");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in ["", "GET", "G T\nhttp://host/", "GET\nhttp://host/ b"] {
            assert!(request(text).is_none(), "{text:?}");
        }
    }
}
