//! Who asks: the virtual key in the request, found, valid, and with a place in the configuration.

use std::rc::Rc;

use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use sluice_machines::limit::{Rule, Scope, ScopeRules};
use sluice_machines::record::Keep;
use sluice_machines::registry::KeyRecord;
use sluice_units::{KeyId, LedgerId, Span, Timestamp};

use crate::address;
use crate::config::{Config, Place, ScopeError};
use crate::hash::sha256_hex;
use crate::isolate::Isolate;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::residency::{self, Permitted, Residency};
use crate::secret_key;

/// A caller whose key is good. Only this module makes one.
#[derive(Debug)]
pub struct Caller {
    key: Rc<KeyRecord>,
    place: Place,
    residency: Residency,
    ledger: Permitted<LedgerId>,
}

impl Caller {
    /// The key, without its secret.
    #[must_use]
    pub fn key(&self) -> &KeyRecord {
        &self.key
    }

    /// All scopes that the key stands in, outermost first, with their rules.
    #[must_use]
    pub fn scopes(&self) -> &[ScopeRules] {
        &self.place.scopes
    }

    /// The limits that its requests wait for, and how long.
    #[must_use]
    pub fn queues(&self) -> &[(Scope, Rule, Span)] {
        &self.place.queues
    }

    /// The ledger that counts its requests.
    #[must_use]
    pub const fn ledger(&self) -> &Permitted<LedgerId> {
        &self.ledger
    }

    /// Where its request's data may go.
    #[must_use]
    pub const fn residency(&self) -> &Residency {
        &self.residency
    }

    /// What slices of the allowance are held under: the ledger that grants them, and the key.
    #[must_use]
    pub fn account(&self) -> (&LedgerId, &KeyId) {
        (&self.ledger, &self.key.id)
    }

    /// What of its requests and answers is on record, and the name of the secret that it is sealed under.
    #[must_use]
    pub fn bodies(&self) -> Option<(Keep, &str)> {
        let (keep, key) = self.place.bodies.as_ref()?;
        Some((*keep, key))
    }

    /// Whether its requests go where another's would, and leave the same behind, whatever the rules are for either.
    #[must_use]
    pub fn goes_like(&self, other: &Self) -> bool {
        // Another shard counts what is let in in the same way: a request stays with the one that it has asked.
        self.ledger.region() == other.ledger.region()
            && self.ledger.last_word() == other.ledger.last_word()
            && self.residency == other.residency
            && self.bodies() == other.bodies()
    }

    /// Whether its requests must be on record before their provider is called.
    #[must_use]
    pub const fn is_strict(&self) -> bool {
        self.place.is_strict
    }
}

/// Where clients of the different dialects put their key.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "x-goog-api-key", "api-key"];

/// Finds the key that the caller shows, good or not.
///
/// # Errors
/// A 401 when there is none that is known, a 503 when no store can tell.
pub async fn key<P: Platform>(
    p: &P,
    isolate: &Isolate,
    head: &Parts,
) -> Result<Rc<KeyRecord>, Problem> {
    let secret = presented(head)?;
    if !secret_key::is_well_formed(secret) {
        return Err(incorrect());
    }
    known(p, isolate, &sha256_hex(secret.as_bytes())).await
}

/// The key with this hash, good or not.
///
/// # Errors
/// A 401 when there is none, a 503 when no store can tell.
pub async fn known<P: Platform>(
    p: &P,
    isolate: &Isolate,
    hash: &str,
) -> Result<Rc<KeyRecord>, Problem> {
    isolate.key(p, hash).await?.ok_or_else(incorrect)
}

/// The caller whose key this is, and who sends these headers.
///
/// # Errors
/// A 401 when the key is not good any more, a 403 when its place is gone or it asks for a region that it may not ask for.
pub fn caller(
    config: &Config,
    key: Rc<KeyRecord>,
    now: Timestamp,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    if key.revoked_at.is_some() {
        return Err(unauthorized(
            "key_revoked",
            "This API key has been revoked. Ask whoever gave it to you for a new one.",
        ));
    }
    if key.expires_at <= now {
        return Err(unauthorized(
            "key_expired",
            "This API key has expired. Ask whoever gave it to you for a new one.",
        ));
    }
    let place = config.place_of(&key, now).map_err(|gone| removed(&gone))?;
    let residency = residency::asked(config, &place, headers)?;
    let region = residency.pin().map(|pin| &pin.region);
    let ledger = residency
        .ledger(&config.ledger_of((&key.org, &key.id), region))
        .map_err(|_| Problem::bug("a region's own ledger"))?;
    Ok(Caller {
        key,
        place,
        residency,
        ledger,
    })
}

/// The key's place is gone from the configuration.
pub(crate) fn removed(gone: &ScopeError) -> Problem {
    Problem::invalid(
        StatusCode::FORBIDDEN,
        "scope_removed",
        format!(
            "This API key belongs to something that the configuration no longer names: {gone}."
        ),
    )
}

fn presented(head: &Parts) -> Result<&str, Problem> {
    let headers = &head.headers;
    let bearer = headers.get(header::AUTHORIZATION).map(|value| {
        value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim())
    });
    if let Some(bearer) = bearer {
        return bearer
            .filter(|secret| !secret.is_empty())
            .ok_or_else(missing);
    }
    KEY_HEADERS
        .iter()
        .find_map(|name| headers.get(*name))
        .and_then(|value| value.to_str().ok())
        .map(str::trim)
        // Google's older clients write it into the address.
        .or_else(|| address::query(head, "key"))
        .filter(|secret| !secret.is_empty())
        .ok_or_else(missing)
}

fn missing() -> Problem {
    unauthorized(
        "missing_api_key",
        "You didn't provide an API key. Send it as 'Authorization: Bearer sk-sluice-…'.",
    )
}

fn incorrect() -> Problem {
    unauthorized(
        "invalid_api_key",
        "Incorrect API key provided. The gateway takes its own keys (sk-sluice-…), not a provider's.",
    )
}

fn unauthorized(code: &'static str, message: &str) -> Problem {
    Problem::invalid(StatusCode::UNAUTHORIZED, code, message)
}
