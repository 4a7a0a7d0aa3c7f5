//! Tells receivers of events: each at the address that the configuration names, signed with its secret.

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use sluice_core::platform::{FetchError, UpstreamCall};
use sluice_machines::events::{Event, Receiver};
use sluice_units::{Span, Timestamp, hex};
use sluice_wire::sigv4;
use thiserror::Error;

use crate::{clock, upstream, variables};

/// How long a receiver may take.
const PATIENCE: Span = Span::from_seconds(10);

const EVENT_ID: HeaderName = HeaderName::from_static("x-sluice-event-id");
const SIGNATURE: HeaderName = HeaderName::from_static("x-sluice-signature");

/// Why an event is not known to be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NotifyError {
    /// The secret that signs it is not there.
    #[error("the variable for the secret {0} is not set")]
    NoSecret(String),
    /// Its receiver cannot be reached.
    #[error("its receiver did not answer: {0}")]
    Unreachable(#[from] FetchError),
    /// Its receiver takes too long.
    #[error("its receiver did not answer in time")]
    Late,
    /// Its receiver refuses it.
    #[error("its receiver refused it: {0}")]
    Refused(StatusCode),
}

/// Sends an event to its receiver.
///
/// # Errors
/// [`NotifyError`] when it is not known to be taken.
pub(crate) async fn send(receiver: &Receiver, event: &Event) -> Result<(), NotifyError> {
    let text = receiver.text(event);
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, text: &str| {
        // All of them are plain text.
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, "application/json");
    put(EVENT_ID, &event.id);
    if let Some(name) = &receiver.secret {
        let secret = variables::secret(name);
        let secret = secret.ok_or_else(|| NotifyError::NoSecret(name.clone()))?;
        put(SIGNATURE, &signature(secret.expose(), clock::now(), &text));
    }
    let fetched = pin!(upstream::fetch(UpstreamCall {
        method: Method::POST,
        url: receiver.url.clone(),
        headers,
        body: Bytes::from(text),
        rest: None,
        egress: None,
    }));
    let late = pin!(clock::sleep(PATIENCE));
    match select(fetched, late).await {
        Either::Left((answer, _)) => match answer?.status {
            status if status.is_success() => Ok(()),
            status => Err(NotifyError::Refused(status)),
        },
        Either::Right(_) => Err(NotifyError::Late),
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds, a full stop and the body.
fn signature(secret: &str, now: Timestamp, text: &str) -> String {
    let at = now.as_seconds();
    let mac = sigv4::hmac(secret.as_bytes(), format!("{at}.{text}").as_bytes());
    format!("t={at},v1={}", hex(&mac))
}
