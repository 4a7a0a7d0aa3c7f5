//! AWS Signature Version 4 of one request, in its headers.
//!
//! Decides what is signed and how; takes the request as it will go over the wire, and the time, and returns the
//! headers to add. Knows nothing of where credentials come from, of clocks or of sockets.
//! Follows <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html> and, for S3,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
//!
//! A path that is sent percent-encoded is encoded a second time for the signature (`%3A` is signed as `%253A`),
//! except at S3. A port belongs to the signed host unless it is the scheme's own.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use sha2::{Digest, Sha256};
use sluice_units::{Secret, Timestamp, hex};
use thiserror::Error;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// Headers that intermediaries change, or that sign themselves.
const NEVER_SIGNED: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::HOST,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::EXPECT,
    header::TE,
    header::UPGRADE,
    header::USER_AGENT,
    HeaderName::from_static("x-amzn-trace-id"),
];

/// Who signs, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The access key's identifier.
    pub access_key_id: &'a str,
    /// The access key's secret.
    pub secret_access_key: &'a Secret,
    /// The token of temporary credentials.
    pub session_token: Option<&'a Secret>,
    /// Such as `eu-central-1`.
    pub region: &'a str,
    /// The service's signing name: `bedrock`, `s3`.
    pub service: &'a str,
    /// How the service wants its paths signed.
    pub paths: Paths,
    /// Send the payload's hash as `x-amz-content-sha256` too, as S3 demands.
    pub content_sha256: bool,
}

impl<'a> Signer<'a> {
    /// A signer for Bedrock.
    #[must_use]
    pub const fn bedrock(access_key_id: &'a str, secret: &'a Secret, region: &'a str) -> Self {
        Self {
            access_key_id,
            secret_access_key: secret,
            session_token: None,
            region,
            service: "bedrock",
            paths: Paths::EncodedTwice,
            content_sha256: false,
        }
    }

    /// A signer for S3 and what is compatible with it.
    #[must_use]
    pub const fn s3(access_key_id: &'a str, secret: &'a Secret, region: &'a str) -> Self {
        Self {
            access_key_id,
            secret_access_key: secret,
            session_token: None,
            region,
            service: "s3",
            paths: Paths::EncodedOnce,
            content_sha256: true,
        }
    }
}

/// How a path stands in the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    /// Without `.`, `..` and empty segments, and each byte of the path on the wire encoded: every service but S3.
    EncodedTwice,
    /// As it is on the wire, with everything encoded that may be: S3.
    EncodedOnce,
}

/// The body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// It is signed.
    Bytes(&'a [u8]),
    /// It is not signed, so it may be streamed; only where the service allows it.
    Unsigned,
}

/// A request as it will go over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The value of the `host` header; see [`host`].
    pub host: &'a str,
    /// The path, percent-encoded as it is sent.
    pub path: &'a str,
    /// The query without its question mark, percent-encoded as it is sent; may be empty.
    pub query: &'a str,
    /// The headers to sign. `host` is not among them.
    pub headers: &'a HeaderMap,
    /// The body.
    pub payload: Payload<'a>,
}

/// The credentials cannot stand in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the credentials, the region or the service hold characters that no header may hold")]
pub struct SigningError;

/// Signs a request: the headers to add, `authorization` among them.
///
/// # Errors
/// [`SigningError`] when the credentials cannot stand in a header.
pub fn sign(
    request: &Request<'_>,
    signer: &Signer<'_>,
    now: Timestamp,
) -> Result<HeaderMap, SigningError> {
    let time = Time::of(now);
    let payload_hash = match request.payload {
        Payload::Bytes(bytes) => hex(&Sha256::digest(bytes)),
        Payload::Unsigned => UNSIGNED_PAYLOAD.to_owned(),
    };
    let mut added = HeaderMap::new();
    added.insert(X_AMZ_DATE, value(&time.second, false)?);
    if let Some(token) = signer.session_token {
        added.insert(X_AMZ_SECURITY_TOKEN, value(token.expose(), true)?);
    }
    if signer.content_sha256 {
        added.insert(X_AMZ_CONTENT_SHA256, value(&payload_hash, false)?);
    }
    let canonical = canonical(request, signer.paths, &added, &payload_hash);
    let scope = [&*time.day, signer.region, signer.service, TERMINATOR].join("/");
    let hash = hex(&Sha256::digest(canonical.text.as_bytes()));
    let to_sign = [ALGORITHM, &*time.second, &*scope, &*hash].join("\n");
    let signature = hex(&hmac(&signing_key(signer, &time.day), to_sign.as_bytes()));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
        signer.access_key_id, canonical.signed_headers
    );
    added.insert(header::AUTHORIZATION, value(&authorization, true)?);
    Ok(added)
}

/// The `host` header of a request to this address: with its port, unless that is the scheme's own.
/// Empty when the address has no host.
#[must_use]
pub fn host(address: &Uri) -> String {
    let name = address.host().unwrap_or_default();
    match (address.port_u16(), address.scheme_str()) {
        (None, _) | (Some(443), Some("https")) | (Some(80), Some("http")) => name.to_owned(),
        (Some(port), _) => format!("{name}:{port}"),
    }
}

fn value(text: &str, is_sensitive: bool) -> Result<HeaderValue, SigningError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| SigningError)?;
    value.set_sensitive(is_sensitive);
    Ok(value)
}

/// `20150830T123600Z` and `20150830`.
struct Time {
    second: String,
    day: String,
}

impl Time {
    fn of(now: Timestamp) -> Self {
        let date = now.date();
        let of_day = now.as_seconds().rem_euclid(86_400);
        let (hour, minute, second) = (
            of_day.div_euclid(3_600),
            of_day.rem_euclid(3_600).div_euclid(60),
            of_day.rem_euclid(60),
        );
        let day = format!("{:04}{:02}{:02}", date.year, date.month, date.day);
        Self {
            second: format!("{day}T{hour:02}{minute:02}{second:02}Z"),
            day,
        }
    }
}

struct Canonical {
    text: String,
    signed_headers: String,
}

fn canonical(request: &Request<'_>, paths: Paths, added: &HeaderMap, hash: &str) -> Canonical {
    let path = match paths {
        Paths::EncodedTwice => percent_encode(normal_path(request.path).as_bytes(), b"/"),
        Paths::EncodedOnce => percent_encode(&percent_decode(request.path), b"/"),
    };
    let mut headers: Vec<(&str, String)> =
        vec![(header::HOST.as_str(), trimmed(request.host.as_bytes()))];
    for name in request.headers.keys() {
        if !NEVER_SIGNED.contains(name) && !added.contains_key(name) {
            headers.push((name.as_str(), joined(request.headers, name)));
        }
    }
    for name in added.keys() {
        headers.push((name.as_str(), joined(added, name)));
    }
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed_headers = names.join(";");
    let mut text = String::new();
    for line in [request.method.as_str(), &path, &query(request.query)] {
        text.push_str(line);
        text.push('\n');
    }
    for (name, value) in &headers {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "\n{signed_headers}\n{hash}");
    Canonical {
        text,
        signed_headers,
    }
}

/// Removes `.`, `..` and empty segments (RFC 3986 §5.2.4).
fn normal_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut normal = format!("/{}", segments.join("/"));
    if path.ends_with('/') && !segments.is_empty() {
        normal.push('/');
    }
    normal
}

fn query(query: &str) -> String {
    let encoded = |text: &str| percent_encode(&percent_decode(text), b"");
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (encoded(key), encoded(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join("&")
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|value| trimmed(value.as_bytes()))
        .collect();
    values.join(",")
}

/// A header's value without outer spaces, each run of inner ones as one.
fn trimmed(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let words: Vec<&str> = text
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

/// Everything but letters, digits, `-._~` and `kept` as `%` and two upper-case hexadecimal digits.
#[must_use]
pub fn percent_encode(bytes: &[u8], kept: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept.contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// What is no escape stays as it is.
pub(crate) fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let escaped = (*byte == b'%')
            .then(|| after.split_at_checked(2))
            .flatten()
            .and_then(|(digits, after)| {
                let digits = std::str::from_utf8(digits).ok()?;
                let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let byte = u8::from_str_radix(digits, 16).ok()?;
                is_hex.then_some((byte, after))
            });
        match escaped {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => bytes.push(*byte),
        }
    }
    bytes
}

fn signing_key(signer: &Signer<'_>, day: &str) -> [u8; 32] {
    let secret = format!("AWS4{}", signer.secret_access_key.expose());
    [day, signer.region, signer.service, TERMINATOR]
        .into_iter()
        .fold(None, |key: Option<[u8; 32]>, part| {
            let key = key.as_ref().map_or(secret.as_bytes(), <[u8; 32]>::as_slice);
            Some(hmac(key, part.as_bytes()))
        })
        .unwrap_or_default()
}

/// HMAC-SHA256 (RFC 2104).
#[must_use]
pub fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length: the error cannot come.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(message).finalize().into_bytes().into())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
