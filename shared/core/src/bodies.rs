//! What was asked and answered, on its way into the record: sealed, so that nobody reads it who has not the key.
//!
//! Where a level of the configuration wants bodies on record, both are sealed with AES-256-GCM under a key of the
//! record's own, which follows (HKDF-SHA256, RFC 5869) from a key of its organisation's, which follows from a secret of
//! the operator's. What is sealed is bound to the secret's name, the organisation, the request and what is kept of it.
//! It travels inside the record: so the chain covers it, it is in the region's bucket and nowhere else, and whoever has
//! the records without the key has no word of it.
//!
//! Nobody waits for it. What is sealed is decided in [`said`]; the port ([`Platform::seal`]) only encrypts. How a
//! record is opened again is said here ([`BodyKey::opening`]), and done by the command line: the gateway never does.
//! See `docs/decisions/0014-bodies.md`.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use sluice_machines::record::{Bodies, Keep, Missing, Record};
use sluice_units::{OrgId, RequestId, Span, base64url};

use crate::admit::Admitted;
use crate::authenticate::Caller;
use crate::hash::hmac_sha256;
use crate::isolate::Isolate;
use crate::platform::{Level, Platform};
use crate::problem::Problem;
use crate::receipt::is_id;
use crate::settle;

pub mod said;

pub use said::{Said, Transcript};

/// The secret that bodies are sealed under, unless the organisation names another: `ID:KEY`, 32 bytes in base64url.
pub const BODY_KEY: &str = "SLUICE_BODY_KEY";
/// How many bytes of sealed bodies wait in an isolate to be recorded, at most; from then on they are left out.
pub const WAITING_BYTES_MAX: usize = 8 << 20;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const SALT: &[u8] = b"sluice bodies 1";

/// A key that seals and opens the bodies of all organisations, or of one.
#[derive(Clone)]
pub struct BodyKey {
    /// Its name, which every record carries.
    pub id: String,
    /// The only organisation that it is good for.
    org: Option<OrgId>,
    secret: [u8; KEY_BYTES],
}

impl fmt::Debug for BodyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyKey({})", self.id)
    }
}

/// What is wrong with a secret that should be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// It is not set.
    Absent,
    /// It is no key.
    Unusable,
}

/// The key that a secret of this name holds.
///
/// # Errors
/// [`KeyFault`].
pub fn key<P: Platform>(p: &P, name: &str) -> Result<BodyKey, KeyFault> {
    let set = p.secret(name).filter(|text| !text.expose().is_empty());
    let text = set.ok_or(KeyFault::Absent)?;
    let key = BodyKey::parse(text.expose()).ok_or(KeyFault::Unusable)?;
    // One that opens a single organisation's is an auditor's.
    match key.org {
        None => Ok(key),
        Some(_) => Err(KeyFault::Unusable),
    }
}

/// All that it takes to open what is sealed, but the cipher.
pub struct Opening {
    /// The key for AES-256-GCM.
    pub key: [u8; KEY_BYTES],
    /// The nonce.
    pub nonce: [u8; NONCE_BYTES],
    /// What it is bound to.
    pub associated: Vec<u8>,
    /// The ciphertext and its tag.
    pub sealed: Vec<u8>,
}

impl BodyKey {
    /// A key of this name; `None` where it can be none.
    #[must_use]
    pub fn new(id: &str, secret: [u8; KEY_BYTES]) -> Option<Self> {
        is_id(id).then(|| Self {
            id: id.to_owned(),
            org: None,
            secret,
        })
    }

    /// Reads `ID:KEY`, or `ID/ORG:KEY`, which opens one organisation's alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, secret) = text.trim().split_once(':')?;
        let (id, org) = match name.split_once('/') {
            Some((id, org)) => (id, Some(OrgId::new(org).ok()?)),
            None => (name, None),
        };
        let key = Self::new(id, base64url::decode(secret)?.try_into().ok()?)?;
        Some(Self { org, ..key })
    }

    /// The same, as it is read.
    #[must_use]
    pub fn text(&self) -> String {
        let org = self.org.as_ref();
        let org = org.map_or_else(String::new, |org| format!("/{org}"));
        format!("{}{org}:{}", self.id, base64url::encode(&self.secret))
    }

    /// The key that is good for this organisation alone; `None` where this one is another's.
    #[must_use]
    pub fn of_org(&self, org: &OrgId) -> Option<Self> {
        match &self.org {
            Some(own) => (own == org).then(|| self.clone()),
            None => Some(Self {
                id: self.id.clone(),
                org: Some(org.clone()),
                secret: derived(&hmac_sha256(SALT, &[&self.secret]), "org", org.as_str()),
            }),
        }
    }

    fn of_record(&self, org: &OrgId, request: &RequestId) -> Option<[u8; KEY_BYTES]> {
        let own = self.of_org(org)?;
        Some(derived(&own.secret, "request", request.as_str()))
    }

    /// How the bodies of a request of this organisation's are opened; `None` where they cannot be, by this key.
    #[must_use]
    pub fn opening(&self, org: &OrgId, request: &RequestId, bodies: &Bodies) -> Option<Opening> {
        let bytes = base64url::decode(bodies.sealed.as_ref()?)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        Some(Opening {
            key: self.of_record(org, request)?,
            nonce: *nonce,
            associated: associated(&bodies.key, org, request, bodies.keep),
            sealed: sealed.to_vec(),
        })
    }
}

/// One block of HKDF-SHA256's second half.
fn derived(key: &[u8; KEY_BYTES], what: &str, name: &str) -> [u8; KEY_BYTES] {
    hmac_sha256(key, &[what.as_bytes(), b"\0", name.as_bytes(), &[1]])
}

/// What sealed bodies are bound to. None of these names has a zero byte.
fn associated(key: &str, org: &OrgId, request: &RequestId, keep: Keep) -> Vec<u8> {
    let keep = match keep {
        Keep::None => "none",
        Keep::Redacted => "redacted",
        Keep::Full => "full",
    };
    [key, org.as_str(), request.as_str(), keep]
        .join("\0")
        .into_bytes()
}

/// Who keeps the bodies of one request.
#[derive(Debug)]
pub struct Keeper {
    keep: Keep,
    key: BodyKey,
    /// What was asked, as it came.
    asked: Option<Bytes>,
}

impl Keeper {
    /// The keeper of a caller's bodies; `None` where none are on record. `asked` is the request's.
    ///
    /// # Errors
    /// A 503 where they are to be on record and nothing can seal them: then nothing is asked of anybody.
    pub fn of<P: Platform>(
        p: &P,
        caller: &Caller,
        asked: Option<Bytes>,
    ) -> Result<Option<Self>, Problem> {
        let Some((keep, name)) = caller.bodies() else {
            return Ok(None);
        };
        let key = key(p, name).map_err(|_| {
            p.log(
                Level::Error,
                &format!("what is asked and answered is to be on record, and the secret {name}, which seals it, is not set or no key"),
            );
            Problem::unavailable(
                "body_key_missing",
                "This gateway must keep what is asked and answered on record and cannot seal it at present.",
                Span::from_seconds(60),
            )
        })?;
        Ok(Some(Self { keep, key, asked }))
    }

    /// What of bodies is kept.
    #[must_use]
    pub const fn keep(&self) -> Keep {
        self.keep
    }

    /// What was asked, as it came.
    #[must_use]
    pub const fn asked(&self) -> Option<&Bytes> {
        self.asked.as_ref()
    }

    /// What stands in a record as long as nobody has come back to settle it.
    #[must_use]
    pub fn promise(&self) -> Bodies {
        Bodies {
            keep: self.keep,
            key: self.key.id.clone(),
            sealed: None,
            missing: Some(Missing::Unsettled),
        }
    }

    /// Settles with this text as what was asked and answered. Nobody waits for it.
    pub fn settle<P: Platform>(
        &self,
        p: &P,
        isolate: &Rc<Isolate>,
        admitted: &Admitted,
        mut record: Record,
        text: String,
    ) {
        let (key, mut bodies) = (self.key.clone(), self.promise());
        let (platform, isolate) = (p.clone(), Rc::clone(isolate));
        let ledger = admitted.ledger().clone();
        p.spawn(async move {
            let place = (&record.org, &record.request);
            match sealed(&platform, &key, place, bodies.keep, &text).await {
                Some(sealed) => {
                    bodies.missing = None;
                    bodies.sealed = Some(sealed);
                    let waiting = isolate.outgoing.body_bytes();
                    if waiting.saturating_add(bodies.bytes()) > WAITING_BYTES_MAX {
                        bodies.leave_out(Missing::NoRoom);
                    }
                }
                None => bodies.leave_out(Missing::NotSealed),
            }
            record.bodies = Some(bodies);
            settle::settle(&platform, &isolate, &ledger, record);
        });
    }
}

/// A nonce and what is sealed under it, in base64url.
async fn sealed<P: Platform>(
    p: &P,
    key: &BodyKey,
    (org, request): (&OrgId, &RequestId),
    keep: Keep,
    text: &str,
) -> Option<String> {
    let of_record = key.of_record(org, request)?;
    let random = p.random();
    let nonce = random.first_chunk::<NONCE_BYTES>()?;
    let associated = associated(&key.id, org, request, keep);
    let sealed = p.seal(&of_record, nonce, &associated, text.as_bytes());
    let mut bytes = nonce.to_vec();
    bytes.extend(sealed.await?);
    Some(base64url::encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_what_it_writes_and_does_not_print() {
        let key = BodyKey::new("2026-11", [7; 32]).expect("a key");
        let again = BodyKey::parse(&key.text()).expect("a key");
        assert_eq!(again.text(), key.text());
        assert_eq!(format!("{key:?}"), "BodyKey(2026-11)");
        let org = OrgId::new("acme").expect("a legal name");
        let narrow = key.of_org(&org).expect("a key");
        assert!(narrow.text().starts_with("2026-11/acme:"));
        let other = OrgId::new("other").expect("a legal name");
        assert!(narrow.of_org(&other).is_none());
        let request = RequestId::new("req_1").expect("a legal name");
        let read = BodyKey::parse(&narrow.text()).expect("a key");
        assert_eq!(
            read.of_record(&org, &request),
            key.of_record(&org, &request)
        );
        assert_ne!(
            key.of_record(&org, &request),
            key.of_record(&other, &request)
        );
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in [
            "",
            "id",
            "id:",
            "id:short",
            ":aaaa",
            "a b:aaaa",
            "id/ :aaaa",
        ] {
            assert!(BodyKey::parse(text).is_none(), "{text}");
        }
    }
}
