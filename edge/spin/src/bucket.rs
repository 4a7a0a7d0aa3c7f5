//! The bucket of usage records: any store that speaks S3.
//!
//! A batch is created, never written over; where the bucket has Object Lock, with its retention. That the same records
//! are there already is as good.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use http::StatusCode;
use sluice_core::platform::{FetchError, UpstreamAnswer, UpstreamBody as _, UpstreamCall};
use sluice_machines::outbox::Batch;
use sluice_units::Secret;
use sluice_wire::s3::{self, Call, CallError, REGION_DEFAULT, Retention, X_AMZ_META_SHA256};
use thiserror::Error;

use crate::instance::StartError;
use crate::upstream::{self, Body};
use crate::{clock, variables};

/// How much of a refusal is read, for the log.
const REFUSAL_BYTES_MAX: usize = 1_024;

/// A bucket, who writes to it, and for how long it is kept.
#[derive(Debug)]
pub(crate) struct Bucket {
    s3: s3::Bucket,
    retention: Option<Retention>,
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
    #[error("{0} (the variables sluice_records_… name it)")]
    Call(#[from] CallError),
}

/// The bucket answers.
///
/// # Errors
/// [`BucketError`], also when there is none.
pub(crate) async fn probe(bucket: Option<&Bucket>) -> Result<(), BucketError> {
    let bucket = bucket.ok_or(BucketError::None)?;
    let answer = send(bucket.s3.head("", clock::now())?, Bytes::new()).await?;
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
        let s3 = s3::Bucket {
            address: address.trim_end_matches('/').to_owned(),
            region: variables::get("sluice_records_region")
                .unwrap_or_else(|| REGION_DEFAULT.to_owned()),
            access_key_id: wanted("sluice_records_access_key_id")?,
            secret_access_key: Secret::new(wanted("sluice_records_secret_access_key")?),
            session_token: None,
        };
        Ok(Some(Self { s3, retention }))
    }

    /// Stores the batch, once.
    ///
    /// # Errors
    /// [`BucketError`] when it is not known to be there.
    pub(crate) async fn ship(&self, batch: &Batch) -> Result<(), BucketError> {
        // The hash is that of the text, not of the compressed bytes: those may differ from one version of zlib to the next.
        let body = compressed(batch.ndjson.as_bytes());
        let (name, now) = (&batch.name, clock::now());
        let call = self
            .s3
            .create(name, &body, &batch.hash, self.retention, now)?;
        let answer = send(call, body).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::PRECONDITION_FAILED => self.same(name, &batch.hash).await,
            _ => Err(refusal(name, answer).await),
        }
    }

    /// Something is under this name: the same records, or others.
    async fn same(&self, name: &str, wanted: &str) -> Result<(), BucketError> {
        let answer = send(self.s3.head(name, clock::now())?, Bytes::new()).await?;
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
}

async fn send(call: Call, body: Bytes) -> Result<UpstreamAnswer<Body>, BucketError> {
    let call = UpstreamCall {
        method: call.method,
        url: call.url,
        headers: call.headers,
        body,
        rest: None,
        egress: None,
    };
    Ok(upstream::fetch(call).await?)
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

/// The same bytes for the same records: no time and no name in the header.
fn compressed(bytes: &[u8]) -> Bytes {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    Bytes::from(written.unwrap_or_default())
}
