//! Requests to a bucket that speaks S3, signed and ready to be sent.
//!
//! Decides what is asked and how it is signed ([`crate::sigv4`]); sends nothing and reads no clock. An object is
//! created, never written over (`If-None-Match: *`), and where a retention is configured, it is locked (Object Lock).
//! Buckets are addressed by their path.
//!
//! Follows <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html> (and `HeadObject`, `GetObject`,
//! `ListObjectsV2`).

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use sha2::{Digest, Sha256};
use sluice_units::{Secret, Span, Timestamp};
use thiserror::Error;

use crate::gemini::base64;
use crate::sigv4::{self, Payload, Signer, SigningError, percent_encode};

/// Where a bucket is that was not told.
pub const REGION_DEFAULT: &str = "us-east-1";
/// How many objects are listed at once, at most.
pub const LIST_MAX: u32 = 1_000;

/// Where an object keeps the hash of what is in it.
pub const X_AMZ_META_SHA256: HeaderName = HeaderName::from_static("x-amz-meta-sha256");
const X_AMZ_CHECKSUM_SHA256: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
const X_AMZ_OBJECT_LOCK_MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const X_AMZ_OBJECT_LOCK_UNTIL: HeaderName =
    HeaderName::from_static("x-amz-object-lock-retain-until-date");

/// A bucket, and who uses it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its address, the bucket's name included, without a slash at the end.
    pub address: String,
    /// Such as `eu-central-1`.
    pub region: String,
    /// The access key's identifier.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret_access_key: Secret,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// For how long nobody may delete what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    mode: &'static str,
    span: Span,
}

/// A request, ready to be sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub url: String,
    /// The headers.
    pub headers: HeaderMap,
}

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CallError {
    /// The bucket's address is none.
    #[error("the bucket's address is no address")]
    Address,
    /// The credentials cannot stand in a header.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Retention {
    /// Reads `compliance 365d` or `governance 30d`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mode, span) = text
            .split_once(' ')
            .ok_or_else(|| format!("{text:?} is not like `compliance 365d`"))?;
        let mode = match mode {
            "compliance" => "COMPLIANCE",
            "governance" => "GOVERNANCE",
            _ => return Err(format!("{mode:?} is neither `compliance` nor `governance`")),
        };
        let span = Span::parse(span.trim()).map_err(|error| error.to_string())?;
        Ok(Self { mode, span })
    }
}

impl Bucket {
    /// Creates an object, unless there is one of this name (412 then). `hash` is the SHA-256 of what `body` is the
    /// compressed form of.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn create(
        &self,
        name: &str,
        body: &[u8],
        hash: &str,
        retention: Option<Retention>,
        now: Timestamp,
    ) -> Result<Call, CallError> {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, text: &str| {
            // All of them are plain text.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        put(header::IF_NONE_MATCH, "*");
        put(header::CONTENT_TYPE, "application/gzip");
        put(X_AMZ_META_SHA256, hash);
        // Object Lock demands a checksum of what is sent.
        put(
            X_AMZ_CHECKSUM_SHA256,
            &base64::encode(&Sha256::digest(body)),
        );
        if let Some(Retention { mode, span }) = retention {
            put(X_AMZ_OBJECT_LOCK_MODE, mode);
            put(X_AMZ_OBJECT_LOCK_UNTIL, &second(now.plus(span)));
        }
        self.call(Method::PUT, name, "", headers, body, now)
    }

    /// Asks for an object's headers; for the bucket's where `name` is empty.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn head(&self, name: &str, now: Timestamp) -> Result<Call, CallError> {
        self.call(Method::HEAD, name, "", HeaderMap::new(), b"", now)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn get(&self, name: &str, now: Timestamp) -> Result<Call, CallError> {
        self.call(Method::GET, name, "", HeaderMap::new(), b"", now)
    }

    /// Lists the objects whose names begin with `prefix`, from where an earlier answer's token points to.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn list(
        &self,
        prefix: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Call, CallError> {
        let value = |text: &str| percent_encode(text.as_bytes(), b"");
        let token = token.map_or_else(String::new, |token| {
            format!("continuation-token={}&", value(token))
        });
        let query = format!(
            "{token}encoding-type=url&list-type=2&max-keys={LIST_MAX}&prefix={}",
            value(prefix)
        );
        self.call(Method::GET, "", &query, HeaderMap::new(), b"", now)
    }

    fn call(
        &self,
        method: Method,
        name: &str,
        query: &str,
        mut headers: HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Call, CallError> {
        let mut url = self.address.clone();
        if !name.is_empty() {
            url.push('/');
            url.push_str(&percent_encode(name.as_bytes(), b"/"));
        }
        if !query.is_empty() {
            url.push('?');
            url.push_str(query);
        }
        let address: Uri = url.parse().map_err(|_| CallError::Address)?;
        let signer = Signer {
            session_token: self.session_token.as_ref(),
            ..Signer::s3(&self.access_key_id, &self.secret_access_key, &self.region)
        };
        let request = sigv4::Request {
            method: &method,
            host: &sigv4::host(&address),
            path: address.path(),
            query,
            headers: &headers,
            payload: Payload::Bytes(body),
        };
        let signed = sigv4::sign(&request, &signer, now)?;
        headers.extend(signed);
        Ok(Call {
            method,
            url,
            headers,
        })
    }
}

/// A page of a listing: the objects' names, and the token of the next page if there is one.
#[must_use]
pub fn listed(xml: &str) -> (Vec<String>, Option<String>) {
    let names = texts(xml, "Key").map(decoded).collect();
    let next = texts(xml, "NextContinuationToken").next();
    (names, next.map(unescaped))
}

/// What stands between the tags of this name.
fn texts<'a>(xml: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (text, after) = after.split_once(&close)?;
        rest = after;
        Some(text)
    })
}

/// A name as a listing writes it when it is asked for `encoding-type=url`.
fn decoded(name: &str) -> String {
    let bytes = sigv4::percent_decode(&unescaped(name).replace('+', " "));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#43;", "+")
        .replace("&amp;", "&")
}

/// `2026-11-21T06:00:00Z`.
fn second(at: Timestamp) -> String {
    let of_day = at.as_seconds().rem_euclid(86_400);
    format!(
        "{}T{:02}:{:02}:{:02}Z",
        at.date(),
        of_day.div_euclid(3_600),
        of_day.rem_euclid(3_600).div_euclid(60),
        of_day.rem_euclid(60)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> Bucket {
        Bucket {
            address: "http://127.0.0.1:9000/records".to_owned(),
            region: "eu-central-1".to_owned(),
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("secret".to_owned()),
            session_token: None,
        }
    }

    #[test]
    fn an_object_is_created_locked_and_never_written_over() {
        let retention = Retention::parse("compliance 365d").unwrap();
        let now = Timestamp::from_millis(1_795_262_400_000);
        let name = "usage/region=eu/org=a b/1.gz";
        let call = bucket()
            .create(name, b"body", "hash", Some(retention), now)
            .unwrap();
        assert_eq!(
            call.url,
            "http://127.0.0.1:9000/records/usage/region%3Deu/org%3Da%20b/1.gz"
        );
        let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("if-none-match"), Some("*"));
        assert_eq!(header("x-amz-meta-sha256"), Some("hash"));
        assert_eq!(header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
        assert_eq!(
            header("x-amz-object-lock-retain-until-date"),
            Some("2027-11-21T12:00:00Z")
        );
        let signed = header("authorization").unwrap_or_default();
        assert!(
            signed.contains("x-amz-checksum-sha256;x-amz-content-sha256;x-amz-date;x-amz-meta-sha256;x-amz-object-lock-mode;"),
            "{signed}"
        );
    }

    #[test]
    fn a_retention_is_a_mode_and_a_span() {
        let expected = Retention {
            mode: "GOVERNANCE",
            span: Span::from_seconds(30 * 86_400),
        };
        assert_eq!(Retention::parse("governance 30d"), Ok(expected));
        for wrong in ["", "compliance", "forever 1d", "governance soon"] {
            assert!(Retention::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_are_written_to_the_second() {
        assert_eq!(
            second(Timestamp::from_millis(86_399_999)),
            "1970-01-01T23:59:59Z"
        );
    }

    #[test]
    fn a_listing_gives_names_and_where_to_go_on() {
        let xml = "<ListBucketResult><Contents><Key>usage/region%3Deu/1.gz</Key></Contents>\
            <Contents><Key>a%26b+c</Key></Contents>\
            <NextContinuationToken>x&amp;y=</NextContinuationToken></ListBucketResult>";
        let (names, next) = listed(xml);
        assert_eq!(names, ["usage/region=eu/1.gz", "a&b c"]);
        assert_eq!(next.as_deref(), Some("x&y="));
        assert_eq!(listed("<ListBucketResult/>"), (Vec::new(), None));
    }
}
