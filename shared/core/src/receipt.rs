//! The receipt of an answer: what the gateway says that it did, signed, for whoever holds the answer.
//!
//! A receipt is a compact JWS (RFC 7515) with Ed25519 (RFC 8037); the public keys are a JWK set at [`KEYS_PATH`], so
//! any such library checks it. What it says is what the record says. The record's number in the audit chain is not
//! known yet when the answer ends: so a receipt carries the request and the head of the chain that the isolate knew
//! last. Whoever rewrites the chain up to that head contradicts every receipt that was given out since.
//!
//! Without a signing key there are no receipts, and `/health` says so. Signing is the platform's ([`Platform::sign`]).

use std::cell::RefCell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluice_machines::chain::{Chain, ChainKind, Head};
use sluice_machines::record::{CacheState, Outcome, Record, UsageSource};
use sluice_units::{
    KeyId, LedgerId, ModelId, NanoUsd, OrgId, ProviderId, Region, RequestId, Secret, Timestamp,
    Usage, base64url,
};

use crate::isolate::Isolate;
use crate::platform::Platform;

/// The secret that holds the signing key: `ID:SEED:PUBLIC`, the latter two 32 bytes each in base64url.
pub const KEY_SECRET: &str = "SLUICE_RECEIPT_KEY";
/// The variable that holds the public keys of before, `ID:PUBLIC`, with spaces between them.
pub const RETIRED_VARIABLE: &str = "SLUICE_RECEIPT_KEYS_RETIRED";
/// Where the public keys are published.
pub const KEYS_PATH: &str = "/.well-known/sluice-receipts.json";
/// The header of an answer that came whole; a stream has it in its last comment.
pub const HEADER: &str = "x-sluice-receipt";
/// How long an Ed25519 signature is.
pub const SIGNATURE_BYTES: usize = 64;

const KEY_BYTES: usize = 32;
const ID_BYTES_MAX: usize = 64;

/// A key that signs receipts.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// Its name, which every receipt carries.
    pub id: String,
    /// The secret half, in base64url.
    pub seed: Secret,
    /// The public half, in base64url.
    pub public: String,
    /// What every token begins with that it signs.
    head: String,
}

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The request.
    pub request: RequestId,
    /// When it arrived, in microseconds.
    pub at_us: Timestamp,
    /// Who pays.
    pub org: OrgId,
    /// The virtual key.
    pub key: KeyId,
    /// The registry's sequence number: which changes of keys were known.
    pub policy: u64,
    /// The version of the configuration.
    pub config: u64,
    /// The model's name as the caller wrote it.
    pub model: ModelId,
    /// The provider that served.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<ProviderId>,
    /// The model's name there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider_model: Option<ModelId>,
    /// The region whose ledger counted it.
    pub region: Region,
    /// The region that it was held to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pin: Option<Region>,
    /// The country where the provider processed it, as the configuration has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// The place that the provider was called from, where that was not where the gateway served its caller.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub egress: Option<String>,
    /// Whether a cache answered.
    pub cache: CacheState,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status.
    pub status: u16,
    /// Tokens by kind, none of those that are nothing.
    #[serde(with = "sparse")]
    pub usage: Usage,
    /// Where the numbers come from.
    pub usage_source: UsageSource,
    /// What is charged, in nano-dollars.
    pub cost_nano_usd: NanoUsd,
    /// What the translation could not express.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub dropped: Vec<String>,
    /// The SHA-256 of the code that ran, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wasm: Option<String>,
    /// Where the audit chain stood.
    pub audit: Position,
}

/// Where an audit chain stood, as far as was known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The chain.
    pub chain: String,
    /// Its head; absent when none was known.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub head: Option<Head>,
}

impl SigningKey {
    /// Reads what [`KEY_SECRET`] holds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.trim().split_once(':')?;
        let (seed, public) = rest.split_once(':')?;
        (is_id(id) && is_key(seed) && is_key(public)).then(|| Self {
            id: id.to_owned(),
            seed: Secret::new(seed.to_owned()),
            public: public.to_owned(),
            head: head(id),
        })
    }
}

/// Whether a text can name a key.
pub(crate) fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(is_plain)
}

fn is_key(text: &str) -> bool {
    base64url::decode(text).is_some_and(|bytes| bytes.len() == KEY_BYTES)
}

/// Whether there are receipts.
#[derive(Debug, Clone)]
pub enum Signer {
    /// They are signed by this key.
    Key(SigningKey),
    /// No key is set.
    Off,
    /// What is set is no key.
    Unusable,
}

/// Who signs here.
#[must_use]
pub fn signer<P: Platform>(p: &P) -> Signer {
    match p.secret(KEY_SECRET) {
        None => Signer::Off,
        Some(text) if text.expose().is_empty() => Signer::Off,
        Some(text) => SigningKey::parse(text.expose()).map_or(Signer::Unusable, Signer::Key),
    }
}

/// The key that signed last, and what it was read from: reading it takes longer than much else of a receipt.
#[derive(Debug, Default)]
pub(crate) struct Signing(RefCell<Option<(Secret, Rc<SigningKey>)>>);

impl Signing {
    fn key<P: Platform>(&self, p: &P) -> Option<Rc<SigningKey>> {
        let text = p.secret(KEY_SECRET)?;
        let mut last = self.0.borrow_mut();
        match &*last {
            Some((read, key)) if *read == text => Some(Rc::clone(key)),
            _ => {
                let key = Rc::new(SigningKey::parse(text.expose())?);
                *last = Some((text, Rc::clone(&key)));
                Some(key)
            }
        }
    }
}

/// The receipt of an answer that ends as the record says; nothing where there are no receipts.
pub async fn of<P: Platform>(
    p: &P,
    isolate: &Isolate,
    ledger: &LedgerId,
    config: u64,
    record: impl FnOnce() -> Record,
) -> Option<String> {
    let key = isolate.signing.key(p)?;
    let record = record();
    let claims = serde_json::to_vec(&Receipt {
        request: record.request,
        at_us: record.at_us,
        org: record.org,
        key: record.key,
        policy: isolate.sequence(),
        config,
        model: record.model,
        provider: record.provider,
        provider_model: record.provider_model,
        region: record.region,
        pin: record.pin,
        place: record.place,
        egress: record.egress,
        cache: record.cache,
        outcome: record.outcome,
        status: record.status,
        usage: record.usage,
        usage_source: record.usage_source,
        cost_nano_usd: record.cost_nano_usd,
        dropped: record.dropped,
        wasm: p.code_hash(),
        audit: Position {
            chain: folder(ledger),
            head: isolate.head(ledger),
        },
    })
    .ok()?;
    let mut token = format!("{}.{}", key.head, base64url::encode(&claims));
    let signature = p.sign(&key, token.as_bytes()).await?;
    token.push('.');
    token.push_str(&base64url::encode(&signature));
    Some(token)
}

/// The chain of a ledger.
fn folder(ledger: &LedgerId) -> String {
    let chain = Chain {
        kind: ChainKind::Usage,
        region: Some(ledger.region().clone()),
        org: Some(ledger.org().clone()),
        shard: ledger.of_shard(),
    };
    chain.folder()
}

fn head(id: &str) -> String {
    // An identifier needs no escapes.
    base64url::encode(format!(r#"{{"alg":"EdDSA","kid":"{id}"}}"#).as_bytes())
}

/// The public keys, as a JWK set: the one that signs now, then those of before.
#[must_use]
pub fn keys<P: Platform>(p: &P) -> Value {
    let mut keys = Vec::new();
    if let Signer::Key(key) = signer(p) {
        keys.push(jwk(&key.id, &key.public));
    }
    let retired = p.secret(RETIRED_VARIABLE);
    let retired = retired.as_ref().map_or("", Secret::expose);
    for (id, public) in retired
        .split_whitespace()
        .filter_map(|key| key.split_once(':'))
    {
        if is_id(id) && is_key(public) {
            keys.push(jwk(id, public));
        }
    }
    json!({"keys": keys})
}

fn jwk(id: &str, public: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": public})
}

/// A receipt in its parts, nothing of it proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The key that is said to have signed it.
    pub key_id: String,
    /// What it says.
    pub receipt: Receipt,
    /// What is signed.
    pub message: String,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Takes a token apart; `None` when it is none. The signature is not checked.
#[must_use]
pub fn parts(token: &str) -> Option<Parts> {
    #[derive(Deserialize)]
    struct Header {
        alg: String,
        kid: String,
    }
    let (message, signature) = token.trim().rsplit_once('.')?;
    let (head, claims) = message.split_once('.')?;
    let header: Header = sluice_units::json::from_slice(&base64url::decode(head)?).ok()?;
    let receipt = sluice_units::json::from_slice(&base64url::decode(claims)?).ok()?;
    (header.alg == "EdDSA").then_some(Parts {
        key_id: header.kid,
        receipt,
        message: message.to_owned(),
        signature: base64url::decode(signature)?,
    })
}

/// Usage without the kinds that are nothing.
mod sparse {
    use serde::{Deserialize, Deserializer, Serializer};
    use sluice_units::{Tokens, Usage};

    pub(super) fn serialize<S: Serializer>(
        usage: &Usage,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let kinds = usage.kinds().into_iter();
        serializer.collect_map(kinds.filter(|(_, tokens)| *tokens != Tokens::ZERO))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Usage, D::Error> {
        Usage::deserialize(deserializer)
    }
}
