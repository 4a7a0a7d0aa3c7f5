//! How the gateway is known to a provider: its key in a header, a signature over the call, or a token that was bought.
//!
//! Secrets are looked up by the names in the configuration, at the last moment. Tokens are remembered by the isolate:
//! bought once however many requests wait, and renewed beside requests before they end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use sluice_units::{ProviderId, Secret, SortedMap, Span, Timestamp};
use sluice_wire::service_account::{self, ServiceAccount, Token};
use sluice_wire::{ErrorClass, UpstreamError, sigv4};

use crate::config::{Auth, AwsKeys, Provider};
use crate::isolate::Isolate;
use crate::plan::Failure;
use crate::platform::{Level, Platform, UpstreamCall};
use crate::residency;
use crate::upstream::{self, Body};

/// A token with less life than this is renewed beside the request that uses it.
pub const TOKEN_RENEW_BEFORE: Span = Span::from_seconds(300);
/// A token with less life than this is not used any more.
pub const TOKEN_LIFE_MIN: Span = Span::from_seconds(30);
/// How long a purchase may take; after it, it is taken for dead.
const PURCHASE_MAX: Span = Span::from_seconds(10);
/// How often one who waits for another's purchase looks.
const LOOK_EVERY: Span = Span::from_millis(20);
/// The largest answer to a purchase, in bytes.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// The tokens that an isolate holds, by provider.
#[derive(Debug, Default)]
pub struct Tokens(RefCell<SortedMap<ProviderId, Held>>);

#[derive(Debug, Default)]
struct Held {
    /// The file that bought it: another file is another account.
    file: Option<Secret>,
    token: Option<(Secret, Timestamp)>,
    buying_since: Option<Timestamp>,
}

impl Tokens {
    /// Forgets a provider's token: it was refused.
    pub fn forget(&self, provider: &ProviderId) {
        if let Some(held) = self.0.borrow_mut().get_mut(provider) {
            held.token = None;
        }
    }

    /// The token that was bought with this file, and how long it lives yet.
    fn find(&self, provider: &ProviderId, file: &Secret, now: Timestamp) -> Option<(Secret, Span)> {
        let all = self.0.borrow();
        let held = all.get(provider)?;
        let (secret, ends_at) = held.token.as_ref()?;
        let same = held.file.as_ref() == Some(file);
        same.then(|| (secret.clone(), ends_at.since(now)))
    }

    /// The right to buy; none while another one buys.
    fn claim<'a>(&'a self, provider: &'a ProviderId, now: Timestamp) -> Option<Claim<'a>> {
        let mut all = self.0.borrow_mut();
        let held = all.get_or_default(provider.clone());
        let buying = held
            .buying_since
            .is_some_and(|since| now.since(since) < PURCHASE_MAX);
        if buying {
            return None;
        }
        held.buying_since = Some(now);
        Some(Claim {
            tokens: self,
            provider,
        })
    }
}

/// The right to buy a token, until it is dropped.
struct Claim<'a> {
    tokens: &'a Tokens,
    provider: &'a ProviderId,
}

impl Claim<'_> {
    fn put(&self, file: &Secret, token: Secret, ends_at: Timestamp) {
        if let Some(held) = self.tokens.0.borrow_mut().get_mut(self.provider) {
            held.file = Some(file.clone());
            held.token = Some((token, ends_at));
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.tokens.0.borrow_mut().get_mut(self.provider) {
            held.buying_since = None;
        }
    }
}

/// The provider's keys that are there, in the order in which they are tried; one nothing where it asks for none.
///
/// # Errors
/// [`Failure::NoKey`] when none is there.
pub fn keys<P: Platform>(p: &P, provider: &Provider) -> Result<Vec<Option<Secret>>, Failure> {
    let Some(first) = provider.keys.first() else {
        return Ok(vec![None]);
    };
    let found = provider.keys.iter().filter_map(|name| p.secret(name));
    let found: Vec<_> = found.map(Some).collect();
    if found.is_empty() {
        return Err(Failure::NoKey(first.clone()));
    }
    Ok(found)
}

/// Adds to a call what the provider knows the gateway by.
///
/// # Errors
/// [`Failure::NoKey`] and [`Failure::BadKey`]; [`Failure`] of a purchase.
pub async fn authorize<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    provider: &Arc<Provider>,
    key: Option<&Secret>,
    call: &mut UpstreamCall,
) -> Result<(), Failure> {
    match (&provider.auth, key) {
        (Auth::SigV4(keys), _) => sign(p, provider, keys, call),
        (Auth::None, _) | (_, None) => Ok(()),
        (Auth::Bearer, Some(key)) => bearer(provider, key, &mut call.headers),
        (Auth::Header(name), Some(key)) => put(
            provider,
            name.clone(),
            key.expose().trim(),
            &mut call.headers,
        ),
        (Auth::ServiceAccount(_), Some(file)) => {
            let token = token(p, isolate, provider, file).await?;
            bearer(provider, &token, &mut call.headers)
        }
    }
}

/// Every secret text that belongs to a provider, tokens included: none of it may reach a caller or a log.
pub fn secrets<P: Platform>(p: &P, isolate: &Isolate, provider: &Provider) -> Vec<Secret> {
    let mut secrets: Vec<Secret> = provider
        .secret_names()
        .filter_map(|name| p.secret(name))
        .collect();
    let held = isolate.tokens().0.borrow();
    let held = held.get(&provider.id).and_then(|held| held.token.clone());
    secrets.extend(held.map(|(token, _)| token));
    secrets
}

/// Takes a provider's secrets out of its words.
pub fn scrub<P: Platform>(p: &P, isolate: &Isolate, provider: &Provider, failure: &mut Failure) {
    let Failure::Answered(UpstreamError { message, .. }) = failure else {
        return;
    };
    for secret in secrets(p, isolate, provider) {
        let secret = secret.expose().trim();
        if !secret.is_empty() && message.contains(secret) {
            *message = message.replace(secret, "…");
        }
    }
}

fn bearer(provider: &Provider, key: &Secret, headers: &mut HeaderMap) -> Result<(), Failure> {
    let text = format!("Bearer {}", key.expose().trim());
    put(provider, header::AUTHORIZATION, &text, headers)
}

fn put(
    provider: &Provider,
    name: HeaderName,
    text: &str,
    headers: &mut HeaderMap,
) -> Result<(), Failure> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| bad(provider, "it holds characters that no header may hold"))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

fn sign<P: Platform>(
    p: &P,
    provider: &Provider,
    keys: &AwsKeys,
    call: &mut UpstreamCall,
) -> Result<(), Failure> {
    let secret = |name: &String| p.secret(name).ok_or_else(|| Failure::NoKey(name.clone()));
    let access_key_id = secret(&keys.access_key_id)?;
    let secret_access_key = secret(&keys.secret_access_key)?;
    let session_token = keys.session_token.as_ref().map(secret).transpose()?;
    let address: Uri = call
        .url
        .parse()
        .map_err(|_| bad(provider, "its address cannot be signed"))?;
    let signer = sigv4::Signer {
        session_token: session_token.as_ref(),
        ..sigv4::Signer::bedrock(
            access_key_id.expose().trim(),
            &secret_access_key,
            &keys.region,
        )
    };
    let request = sigv4::Request {
        method: &call.method,
        host: &sigv4::host(&address),
        path: address.path(),
        query: address.query().unwrap_or_default(),
        headers: &call.headers,
        payload: sigv4::Payload::Bytes(&call.body),
    };
    let signed = sigv4::sign(&request, &signer, p.now())
        .map_err(|_| bad(provider, "it holds characters that no header may hold"))?;
    call.headers.extend(signed);
    Ok(())
}

/// A token that is good for a while: the one that is held, or a new one.
async fn token<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    provider: &Arc<Provider>,
    file: &Secret,
) -> Result<Secret, Failure> {
    let tokens = isolate.tokens();
    loop {
        let now = p.now();
        match tokens.find(&provider.id, file, now) {
            Some((token, life)) if life >= TOKEN_LIFE_MIN => {
                if life < TOKEN_RENEW_BEFORE {
                    renew(p, isolate, provider, file);
                }
                return Ok(token);
            }
            _ => {}
        }
        match tokens.claim(&provider.id, now) {
            Some(claim) => return buy(p, provider, file, &claim).await,
            None => p.sleep(LOOK_EVERY).await,
        }
    }
}

/// Buys a new token beside the request.
fn renew<P: Platform>(p: &P, isolate: &Rc<Isolate>, provider: &Arc<Provider>, file: &Secret) {
    let (platform, isolate) = (p.clone(), Rc::clone(isolate));
    let (provider, file) = (Arc::clone(provider), file.clone());
    p.spawn(async move {
        let Some(claim) = isolate.tokens().claim(&provider.id, platform.now()) else {
            return;
        };
        if let Err(failure) = buy(&platform, &provider, &file, &claim).await {
            let line = format!("no new token for {}: {}", provider.id, failure.code());
            platform.log(Level::Warn, &line);
        }
    });
}

async fn buy<P: Platform>(
    p: &P,
    provider: &Provider,
    file: &Secret,
    claim: &Claim<'_>,
) -> Result<Secret, Failure> {
    let server = residency::own(provider).map_err(|refusal| bad(provider, refusal.to_string()))?;
    let account = ServiceAccount::read(file).map_err(|error| bad(provider, error.to_string()))?;
    let url = destination(provider, &account)?;
    let asked_at = p.now();
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    let call = UpstreamCall {
        method: Method::POST,
        url,
        headers,
        body: account.form(asked_at),
        rest: None,
        egress: None,
    };
    let deadline = Cell::new(asked_at.plus(PURCHASE_MAX));
    let answer = async {
        let answer = p.fetch(server.call(call)).await;
        let answer = answer.map_err(Failure::Unreachable)?;
        let mut body: Body<P> = Body::Real(answer.body);
        let body = upstream::read_whole(&mut body, TOKEN_BYTES_MAX, true).await?;
        Ok((answer.status.as_u16(), body))
    };
    let (status, body) = upstream::within(p, &deadline, PURCHASE_MAX, || (), answer)
        .await
        .unwrap_or(Err(Failure::Timeout("access token")))?;
    let Token { secret, life } = match (status, service_account::token(&body)) {
        (200, Some(token)) => token,
        (400..=403, _) => {
            let reason = service_account::refusal(&body).unwrap_or_else(|| status.to_string());
            let why = format!("the token server refused the service account: {reason}");
            return Err(bad(provider, why));
        }
        _ => return Err(unserved(status)),
    };
    claim.put(file, secret.clone(), asked_at.plus(life));
    Ok(secret)
}

/// Where a token is bought: where the configuration says, or at Google's. The file alone decides nothing.
fn destination(provider: &Provider, account: &ServiceAccount) -> Result<String, Failure> {
    match &provider.auth {
        Auth::ServiceAccount(Some(url)) => Ok(url.clone()),
        _ if account.token_url == service_account::TOKEN_URL => Ok(account.token_url.clone()),
        _ => Err(bad(
            provider,
            "its token_uri is not Google's, and the configuration has no google.token_url",
        )),
    }
}

/// The token server is out of order.
fn unserved(status: u16) -> Failure {
    Failure::Answered(UpstreamError {
        class: ErrorClass::Server,
        status,
        message: "the token server did not hand out a token".to_owned(),
        code: None,
        param: None,
        retry_after: None,
    })
}

fn bad(provider: &Provider, why: impl Into<String>) -> Failure {
    let names: Vec<&str> = provider.secret_names().collect();
    Failure::BadKey {
        name: names.join(", "),
        why: why.into(),
    }
}
