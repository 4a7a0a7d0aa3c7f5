//! One call to a target: the address and key put together, the time bounded, the body read piece by piece.
//!
//! The destination comes from the configuration alone. The caller's key, cookies and proxy headers never go along:
//! headers are built from nothing.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sluice_units::{Span, Timestamp};
use sluice_wire::UpstreamRequest;

use crate::config::{EgressName, Provider, ProviderDialect, TargetRef};
use crate::credentials;
use crate::isolate::Isolate;
use crate::plan::Failure;
use crate::platform::{FetchError, Platform, Rest, UpstreamBody, UpstreamCall};
use crate::residency::{self, Permitted};
use crate::sandbox::{self, SandboxAnswer, Step};

/// The largest answer that is read whole, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The largest error answer that is looked at, in bytes; the rest is left unread.
pub const ERROR_BYTES_MAX: usize = 64 << 10;

/// An answer of a provider, real or built in.
pub struct Answer<P: Platform> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body<P>,
}

/// The body of an answer.
pub enum Body<P: Platform> {
    /// From the network.
    Real(P::Body),
    /// From the sandbox.
    Sandbox(SandboxAnswer, P),
}

impl<P: Platform> Body<P> {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`FetchError::Broken`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        match self {
            Self::Real(body) => body.chunk().await,
            Self::Sandbox(answer, p) => loop {
                match answer.steps.front() {
                    None => return Ok(None),
                    Some(Step::Wait(span)) => {
                        let span = *span;
                        p.sleep(span).await;
                        answer.steps.pop_front();
                    }
                    Some(Step::Send(_)) => {
                        let Some(Step::Send(bytes)) = answer.steps.pop_front() else {
                            return Ok(None);
                        };
                        return Ok(Some(bytes));
                    }
                    Some(Step::Break) => return Err(FetchError::Broken),
                    Some(Step::Hang) => std::future::pending().await,
                }
            },
        }
    }
}

/// Waits for `work` until `deadline`, which `work` may move. `tick` is called each `every` meanwhile.
///
/// `None` means that the time was up.
pub async fn within<P: Platform, T>(
    p: &P,
    deadline: &Cell<Timestamp>,
    every: Span,
    mut tick: impl FnMut(),
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    loop {
        let left = deadline.get().since(p.now());
        if left == Span::ZERO {
            return None;
        }
        let timer = pin!(p.sleep(left.min(every)));
        match select(work, timer).await {
            Either::Left((done, _)) => return Some(done),
            Either::Right(((), still)) => work = still,
        }
        tick();
    }
}

/// Calls a target, from a place if one is given; `rest` follows the request's body. Of several keys the next is tried where one is refused, unless
/// something has been sent that cannot be sent again.
///
/// # Errors
/// [`Failure::NoKey`], [`Failure::BadKey`], [`Failure::Unreachable`], [`Failure::Inexpressible`].
pub async fn call<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    target: Permitted<&TargetRef>,
    request: UpstreamRequest,
    egress: Option<Permitted<EgressName>>,
    mut rest: Option<Rest>,
    trace: &HeaderMap,
) -> Result<Answer<P>, Failure> {
    let provider = &target.provider;
    if provider.dialect == ProviderDialect::Sandbox {
        return Ok(sandbox_call(p, &request).await);
    }
    let request = provider
        .hosting
        .place(request, &target.wire.model)
        .map_err(Failure::Inexpressible)?;
    let url = format!("{}{}", provider.base_url, request.path);
    let headers = headers(provider, request.headers, trace);
    let tries = if rest.is_some() { 1 } else { usize::MAX };
    let keys = credentials::keys(p, provider)?;
    let mut keys = keys.into_iter().take(tries).peekable();
    loop {
        let key = keys.next().flatten();
        let mut call = UpstreamCall {
            method: request.method.clone(),
            url: url.clone(),
            headers: headers.clone(),
            body: request.body.clone(),
            rest: rest.take(),
            egress,
        };
        credentials::authorize(p, isolate, provider, key.as_ref(), &mut call).await?;
        let answer = p
            .fetch(target.call(call))
            .await
            .map_err(Failure::Unreachable)?;
        let refused = matches!(
            answer.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        );
        if refused {
            isolate.tokens().forget(&provider.id);
        }
        if !refused || keys.peek().is_none() {
            return Ok(Answer {
                status: answer.status,
                headers: answer.headers,
                body: Body::Real(answer.body),
            });
        }
    }
}

/// Asks a provider for its list of models, which costs nothing; the status, whatever the list.
///
/// # Errors
/// As [`call`].
pub async fn list_models<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    provider: &Arc<Provider>,
) -> Result<StatusCode, Failure> {
    let own = residency::own(provider).map_err(|_| Failure::Unreachable(FetchError::Connect))?;
    let keys = credentials::keys(p, provider)?;
    let mut call = UpstreamCall {
        method: Method::GET,
        url: format!("{}/models", provider.base_url),
        headers: headers(provider, HeaderMap::new(), &HeaderMap::new()),
        body: Bytes::new(),
        rest: None,
        egress: residency::own_egress(provider),
    };
    call.headers.remove(header::CONTENT_TYPE);
    let key = keys.into_iter().next().flatten();
    credentials::authorize(p, isolate, provider, key.as_ref(), &mut call).await?;
    let answer = p.fetch(own.call(call)).await;
    Ok(answer.map_err(Failure::Unreachable)?.status)
}

/// The headers of a call, built from nothing, but for what the provider knows the gateway by.
fn headers(provider: &Provider, dialect: HeaderMap, trace: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_static("application/json, text/event-stream"),
    );
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("sluice/", env!("CARGO_PKG_VERSION"))),
    );
    // The dialect's own word, such as the media type of its streams.
    headers.extend(dialect);
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in trace {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

async fn sandbox_call<P: Platform>(p: &P, request: &UpstreamRequest) -> Answer<P> {
    let mut answer = sandbox::answer(&request.path, &request.body);
    for step in std::mem::take(&mut answer.before) {
        match step {
            Step::Wait(span) => p.sleep(span).await,
            Step::Hang => std::future::pending().await,
            Step::Send(_) | Step::Break => {}
        }
    }
    Answer {
        status: answer.status,
        headers: std::mem::take(&mut answer.headers),
        body: Body::Sandbox(answer, p.clone()),
    }
}

/// Reads a whole body of at most `bytes_max`; what is beyond is an error, or cut off when `cut`.
///
/// # Errors
/// [`Failure::Unreachable`] when it breaks off, [`Failure::Garbled`] when it is too large.
pub async fn read_whole<P: Platform>(
    body: &mut Body<P>,
    bytes_max: usize,
    cut: bool,
) -> Result<Bytes, Failure> {
    let mut whole = match body.chunk().await.map_err(Failure::Unreachable)? {
        None => return Ok(Bytes::new()),
        Some(first) => match body.chunk().await.map_err(Failure::Unreachable)? {
            None => return Ok(first),
            Some(second) => {
                let mut whole = BytesMut::with_capacity(
                    first.len().saturating_add(second.len()).saturating_mul(2),
                );
                whole.extend_from_slice(&first);
                whole.extend_from_slice(&second);
                whole
            }
        },
    };
    while let Some(piece) = body.chunk().await.map_err(Failure::Unreachable)? {
        if whole.len().saturating_add(piece.len()) > bytes_max {
            if cut {
                break;
            }
            return Err(Failure::Garbled(sluice_wire::DecodeError::EventTooLarge(
                bytes_max,
            )));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Watches a stream for silence with one timer for many pieces.
pub struct Watch {
    idle: Span,
    last: Cell<Timestamp>,
    paused: Cell<bool>,
}

impl Watch {
    /// Starts to watch: more than `idle` between two pieces is too long.
    #[must_use]
    pub const fn new(idle: Span, now: Timestamp) -> Self {
        Self {
            idle,
            last: Cell::new(now),
            paused: Cell::new(false),
        }
    }

    /// It is the caller's turn now: silence is not the provider's.
    pub fn pause(&self) {
        self.paused.set(true);
    }

    /// A piece came, or is waited for from now on.
    pub fn touch(&self, now: Timestamp) {
        self.paused.set(false);
        self.last.set(now);
    }

    /// Returns when it has been silent for too long. Calls `tick` each `every` meanwhile.
    pub async fn silence<P: Platform>(&self, p: &P, every: Span, mut tick: impl FnMut()) {
        loop {
            let quiet = if self.paused.get() {
                Span::ZERO
            } else {
                p.now().since(self.last.get())
            };
            if quiet >= self.idle {
                return;
            }
            let left = Span::from_micros(self.idle.as_micros().saturating_sub(quiet.as_micros()));
            p.sleep(left.min(every)).await;
            tick();
        }
    }
}
