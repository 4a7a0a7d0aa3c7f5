//! The ports: all that the core asks of the place where it runs.
//!
//! One value of the platform serves one request; a clone of it serves that request's background work.
//! A port does what it says and nothing else: no retries, no caching, no interpretation. Those are the core's.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use futures_util::stream::LocalBoxStream;
use http::{HeaderMap, Method, StatusCode};
use sluice_machines::registry::KeyRecord;
use sluice_machines::{health, ledger, registry};
use sluice_units::{LedgerId, Secret, Span, Timestamp};
use thiserror::Error;

use crate::config::EgressName;
use crate::receipt::{SIGNATURE_BYTES, SigningKey};
use crate::residency::Permitted;

/// The place where the core runs: a worker's isolate, a Spin component, a simulated machine.
///
/// Single-threaded: futures need not be `Send`.
#[expect(
    async_fn_in_trait,
    reason = "every runtime here is single-threaded; no caller needs Send"
)]
pub trait Platform: Clone + 'static {
    /// The body of an upstream answer.
    type Body: UpstreamBody;

    /// The time. Never goes back within one request.
    fn now(&self) -> Timestamp;

    /// Sixteen unpredictable bytes.
    fn random(&self) -> [u8; 16];

    /// A provider's key or another secret, by its name in the secret store.
    fn secret(&self, name: &str) -> Option<Secret>;

    /// Signs with Ed25519; `None` where the key is none or the platform cannot.
    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Option<[u8; SIGNATURE_BYTES]>;

    /// Seals with AES-256-GCM under a nonce: the ciphertext and its tag; `None` where the platform cannot.
    async fn seal(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        associated: &[u8],
        text: &[u8],
    ) -> Option<Vec<u8>>;

    /// The SHA-256 of the code that runs, in lower-case hexadecimal, where it is known.
    fn code_hash(&self) -> Option<String>;

    /// The request's body, read now and not before: the caller is known by then.
    ///
    /// # Errors
    /// [`ReceiveError`], also when the body is larger than `bytes_max` (found out as early as can be).
    async fn receive(&self, bytes_max: usize) -> Result<Bytes, ReceiveError>;

    /// The next piece of the request's body, for bodies that are not read whole; `None` at the end. Never an empty piece.
    ///
    /// # Errors
    /// [`ReceiveError::Incomplete`].
    async fn piece(&self) -> Result<Option<Bytes>, ReceiveError>;

    /// Returns after `span`.
    async fn sleep(&self, span: Span);

    /// Returns when the downstream has gone away; never returns while it is there.
    async fn left(&self);

    /// Returns when the waker that is handed out at once has been called, by this request or by another.
    ///
    /// A runtime that ties what a request waits for to that request overrides it.
    async fn woken(&self, hand_out: impl FnOnce(Wake)) {
        let state: Rc<RefCell<(bool, Option<Waker>)>> = Rc::default();
        let told = Rc::clone(&state);
        hand_out(Box::new(move || {
            let waker = {
                let mut told = told.borrow_mut();
                told.0 = true;
                told.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }));
        poll_fn(|context| {
            let mut state = state.borrow_mut();
            if state.0 {
                return Poll::Ready(());
            }
            state.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Runs `work` beside the request, and after it if need be.
    fn spawn(&self, work: impl Future<Output = ()> + 'static);

    /// Whether calls can be made to leave from a place.
    fn has_places(&self) -> bool;

    /// Calls a provider: sends the whole request, returns when the answer's headers are there.
    /// Dropping the future, or the body, aborts the call. Redirects are not followed. A call that is to leave from a
    /// place leaves from there or not at all.
    async fn fetch(
        &self,
        call: Permitted<UpstreamCall>,
    ) -> Result<UpstreamAnswer<Self::Body>, FetchError>;

    /// Commits commands to a ledger, together, and returns a reply for each. A ledger that must stay under a
    /// jurisdiction is reached there or not at all.
    async fn ledger(
        &self,
        ledger: &Permitted<LedgerId>,
        call: &ledger::Call,
    ) -> Result<ledger::Answer, StoreError>;

    /// Asks the registry, which is the authority.
    async fn registry(&self, command: &registry::Command) -> Result<registry::Reply, StoreError>;

    /// Tells the keeper of this region's circuits what was seen, or asks it.
    async fn health(&self, command: &health::Command) -> Result<health::Reply, StoreError>;

    /// Whether there are read copies of keys.
    fn has_key_copies(&self) -> bool {
        true
    }

    /// Looks a key up in the read copy, which may lag.
    async fn key_copy(&self, hash: &str) -> Result<Option<KeyRecord>, StoreError>;

    /// The store of usage records answers.
    async fn probe_records(&self) -> Result<(), StoreError>;

    /// One line for the operator's log. Never holds a secret or a caller's content.
    fn log(&self, level: Level, line: &str);
}

/// Ends a wait.
pub type Wake = Box<dyn FnOnce()>;

/// A call to a provider. The address comes from the configuration alone.
pub struct UpstreamCall {
    /// The method.
    pub method: Method,
    /// The whole address, query included.
    pub url: String,
    /// The headers, the provider's key among them (marked sensitive).
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Bytes,
    /// What follows the beginning, a piece at a time; an error ends the call.
    pub rest: Option<Rest>,
    /// The place that it leaves from; from here where there is none.
    pub egress: Option<Permitted<EgressName>>,
}

/// What follows the beginning of a body.
pub type Rest = LocalBoxStream<'static, Result<Bytes, ReceiveError>>;

/// A provider's answer.
#[derive(Debug)]
pub struct UpstreamAnswer<B> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, not read yet.
    pub body: B,
}

/// The body of an upstream answer, read piece by piece. Dropping it aborts the call.
#[expect(
    async_fn_in_trait,
    reason = "every runtime here is single-threaded; no caller needs Send"
)]
pub trait UpstreamBody: 'static {
    /// The next piece, whatever came so far; `None` at the end. Never an empty piece.
    ///
    /// # Errors
    /// [`FetchError::Broken`] when the connection is lost before the end.
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError>;
}

/// The way back to the caller of a streamed answer.
#[expect(
    async_fn_in_trait,
    reason = "every runtime here is single-threaded; no caller needs Send"
)]
pub trait Sink {
    /// Hands over the next piece; returns when there is room for another.
    ///
    /// # Errors
    /// [`Left`] when the caller has gone away.
    async fn send(&mut self, bytes: Bytes) -> Result<(), Left>;

    /// Ends the answer in good order.
    ///
    /// # Errors
    /// [`Left`] when the caller has gone away.
    async fn close(self) -> Result<(), Left>;
}

/// The caller has gone away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the downstream has gone away")]
pub struct Left;

/// Why a request's body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReceiveError {
    /// It is larger than is allowed.
    #[error("the request's body is too large")]
    TooLarge,
    /// The caller went away before it was complete.
    #[error("the request's body is incomplete")]
    Incomplete,
    /// It is not what it says that it is.
    #[error("the request's body is wrong")]
    Refused,
}

/// Why a call to a provider brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FetchError {
    /// No connection could be made: no bytes of the request were accepted, as far as can be known.
    #[error("no connection to the provider")]
    Connect,
    /// The connection was lost.
    #[error("the connection to the provider broke")]
    Broken,
    /// Nothing can be sent from the place that the call is to leave from.
    #[error("no way out at the place that the provider is called from")]
    NoEgress,
}

/// Why a store did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It could not be reached or failed; the command may or may not have been carried out.
    #[error("the {store} did not answer: {detail}")]
    Unavailable {
        /// Which: `ledger`, `registry`, `health`, `key copy`, `records`.
        store: &'static str,
        /// What the platform says, for the operator.
        detail: String,
    },
}

/// How important a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the record.
    Info,
    /// Somebody should look some day.
    Warn,
    /// Somebody should look now.
    Error,
}
