//! The bucket of usage records: any store that speaks S3.
//!
//! A batch is created, never written over; where the bucket has Object Lock, with its retention. That the same records
//! are there already is as good.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use sluice_core::hash;
use sluice_core::platform::{FetchError, UpstreamAnswer, UpstreamBody as _, UpstreamCall};
use sluice_machines::outbox::Batch;
use sluice_units::{Secret, Span, Timestamp};
use sluice_wire::sigv4::{self, Payload, Signer, SigningError};
use thiserror::Error;

use crate::instance::StartError;
use crate::upstream::{self, Body};
use crate::{clock, variables};

/// Where a bucket is that was not told.
const REGION_DEFAULT: &str = "us-east-1";
/// How much of a refusal is read, for the log.
const REFUSAL_BYTES_MAX: usize = 1_024;

const X_AMZ_META_SHA256: HeaderName = HeaderName::from_static("x-amz-meta-sha256");
const X_AMZ_CHECKSUM_SHA256: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
const X_AMZ_OBJECT_LOCK_MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const X_AMZ_OBJECT_LOCK_UNTIL: HeaderName =
    HeaderName::from_static("x-amz-object-lock-retain-until-date");

/// A bucket and who writes to it.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Without a slash at the end.
    address: String,
    region: String,
    access_key_id: String,
    secret_access_key: Secret,
    retention: Option<Retention>,
}

/// For how long nobody may delete what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Retention {
    mode: &'static str,
    span: Span,
}

/// Why a batch is not known to be in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BucketError {
    /// No bucket is configured.
    #[error("no bucket is configured: set the variable sluice_records_url")]
    None,
    /// It did not answer.
    #[error("the bucket did not answer: {0}")]
    Unreachable(#[from] FetchError),
    /// It refused.
    #[error("the bucket refused {name}: {status} {detail}")]
    Refused {
        /// What was to be written.
        name: String,
        /// The answer.
        status: StatusCode,
        /// Its body's beginning.
        detail: String,
    },
    /// Something else is under the batch's name.
    #[error("{name} in the bucket is not what was to be written there")]
    Taken {
        /// The name.
        name: String,
    },
    /// The request cannot be made.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Its address is none.
    #[error("the variable sluice_records_url is no address")]
    Address,
}

/// The bucket answers.
///
/// # Errors
/// [`BucketError`], also when there is none.
pub(crate) async fn probe(bucket: Option<&Bucket>) -> Result<(), BucketError> {
    let bucket = bucket.ok_or(BucketError::None)?;
    let answer = bucket
        .send(Method::HEAD, "", HeaderMap::new(), Bytes::new())
        .await?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(refusal("the bucket's head", answer).await)
}

impl Bucket {
    /// The bucket that the application's variables name, if they name one.
    ///
    /// # Errors
    /// When a variable is missing beside the address, or is not understood.
    pub(crate) fn from_variables() -> Result<Option<Self>, StartError> {
        let Some(address) = variables::get("sluice_records_url") else {
            return Ok(None);
        };
        let wanted = |name: &'static str| {
            variables::get(name).ok_or_else(|| StartError::Variable {
                name,
                detail: "sluice_records_url needs it".to_owned(),
            })
        };
        let retention = variables::get("sluice_records_retention")
            .map(|text| Retention::parse(&text))
            .transpose()
            .map_err(|detail| StartError::Variable {
                name: "sluice_records_retention",
                detail,
            })?;
        Ok(Some(Self {
            address: address.trim_end_matches('/').to_owned(),
            region: variables::get("sluice_records_region")
                .unwrap_or_else(|| REGION_DEFAULT.to_owned()),
            access_key_id: wanted("sluice_records_access_key_id")?,
            secret_access_key: Secret::new(wanted("sluice_records_secret_access_key")?),
            retention,
        }))
    }

    /// Stores the batch, once.
    ///
    /// # Errors
    /// [`BucketError`] when it is not known to be there.
    pub(crate) async fn ship(&self, batch: &Batch) -> Result<(), BucketError> {
        // The hash is that of the text, not of the compressed bytes: those may differ from one version of zlib to the next.
        let wanted = &batch.hash;
        let body = compressed(batch.ndjson.as_bytes());
        let headers = self.object_headers(wanted, &body, clock::now());
        let answer = self.send(Method::PUT, &batch.name, headers, body).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::PRECONDITION_FAILED => self.same(&batch.name, wanted).await,
            _ => Err(refusal(&batch.name, answer).await),
        }
    }

    fn object_headers(&self, hash: &str, body: &[u8], now: Timestamp) -> HeaderMap {
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
        put(X_AMZ_CHECKSUM_SHA256, &base64(&hash::sha256(body)));
        if let Some(retention) = self.retention {
            put(X_AMZ_OBJECT_LOCK_MODE, retention.mode);
            put(X_AMZ_OBJECT_LOCK_UNTIL, &second(now.plus(retention.span)));
        }
        headers
    }

    /// Something is under this name: the same records, or others.
    async fn same(&self, name: &str, wanted: &str) -> Result<(), BucketError> {
        let answer = self
            .send(Method::HEAD, name, HeaderMap::new(), Bytes::new())
            .await?;
        if !answer.status.is_success() {
            return Err(refusal(name, answer).await);
        }
        let found = answer.headers.get(X_AMZ_META_SHA256);
        if found.is_some_and(|found| found.as_bytes() == wanted.as_bytes()) {
            return Ok(());
        }
        Err(BucketError::Taken {
            name: name.to_owned(),
        })
    }

    async fn send(
        &self,
        method: Method,
        name: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<UpstreamAnswer<Body>, BucketError> {
        let separator = if name.is_empty() { "" } else { "/" };
        let url = format!("{}{separator}{}", self.address, encoded(name));
        let address: Uri = url.parse().map_err(|_| BucketError::Address)?;
        let signer = Signer::s3(&self.access_key_id, &self.secret_access_key, &self.region);
        let request = sigv4::Request {
            method: &method,
            host: &sigv4::host(&address),
            path: address.path(),
            query: "",
            headers: &headers,
            payload: Payload::Bytes(&body),
        };
        let signed = sigv4::sign(&request, &signer, clock::now())?;
        headers.extend(signed);
        let call = UpstreamCall {
            method,
            url,
            headers,
            body,
            rest: None,
        };
        Ok(upstream::fetch(call).await?)
    }
}

async fn refusal(name: &str, mut answer: UpstreamAnswer<Body>) -> BucketError {
    let mut detail = Vec::new();
    while let Ok(Some(piece)) = answer.body.chunk().await {
        detail.extend_from_slice(&piece);
        if detail.len() >= REFUSAL_BYTES_MAX {
            detail.truncate(REFUSAL_BYTES_MAX);
            break;
        }
    }
    BucketError::Refused {
        name: name.to_owned(),
        status: answer.status,
        detail: String::from_utf8_lossy(&detail).into_owned(),
    }
}

impl Retention {
    /// Reads `compliance 365d` or `governance 30d`.
    fn parse(text: &str) -> Result<Self, String> {
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

/// The same bytes for the same records: no time and no name in the header.
fn compressed(bytes: &[u8]) -> Bytes {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    Bytes::from(written.unwrap_or_default())
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

/// A name as S3 wants it in a path and in a signature: all but slashes and unreserved characters is encoded.
fn encoded(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let mut word = [0_u8; 4];
        for (to, from) in word.iter_mut().skip(1).zip(group) {
            *to = *from;
        }
        let word = u32::from_be_bytes(word);
        for place in 0..4_u32 {
            if usize::try_from(place).is_ok_and(|place| place > group.len()) {
                text.push('=');
                continue;
            }
            let digit = (word >> (18 - 6 * place)) & 63;
            let digit = usize::try_from(digit).unwrap_or_default();
            text.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'=')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }

    #[test]
    fn names_are_encoded_as_they_are_signed() {
        assert_eq!(
            encoded("usage/region=eu/org=a b/1.gz"),
            "usage/region%3Deu/org%3Da%20b/1.gz"
        );
    }

    #[test]
    fn a_retention_is_a_mode_and_a_span() {
        let parsed = Retention::parse("compliance 365d");
        let expected = Retention {
            mode: "COMPLIANCE",
            span: Span::from_seconds(365 * 86_400),
        };
        assert_eq!(parsed, Ok(expected));
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
}
