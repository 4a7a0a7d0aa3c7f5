//! The core's ports over outbound HTTP, the store next door and the application's variables.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use bytes::Bytes;
use ed25519_compact::{KeyPair, Seed};
use http::{HeaderMap, header};
use sluice_core::platform::{
    FetchError, Level, Platform, ReceiveError, StoreError, UpstreamAnswer, UpstreamCall, Wake,
};
use sluice_core::receipt::{SIGNATURE_BYTES, SigningKey};
use sluice_core::residency::Permitted;
use sluice_machines::registry::KeyRecord;
use sluice_machines::{health, ledger, registry};
use sluice_units::{LedgerId, Secret, Span, Timestamp, base64url};
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Trailers};
use spin_sdk::wasip3::wit_future;
use spin_sdk::wit_bindgen::{self, FutureReader, StreamReader, StreamResult};

use crate::answer::Presence;
use crate::event::event;
use crate::instance::{Instance, REGISTRY};
use crate::store::Failure;
use crate::tasks::{Asked, Measured};
use crate::upstream::{self, Body};
use crate::{bucket, climb, clock, inbox, maintain, variables};

/// How much of a body is read at once, at most.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// How much of a refused body is taken in, at most.
const DRAIN_BYTES_MAX: usize = 64 << 20;

/// What one request has of the platform.
#[derive(Clone)]
pub(crate) struct Spin(Rc<Inner>);

struct Inner {
    instance: Rc<Instance>,
    request: RefCell<Option<Request>>,
    upload: RefCell<Option<Incoming>>,
    presence: Rc<Presence>,
    now: Cell<Timestamp>,
}

impl Spin {
    /// The platform for one request.
    pub(crate) fn new(instance: Rc<Instance>, request: Request) -> Self {
        Self(Rc::new(Inner {
            instance,
            request: RefCell::new(Some(request)),
            upload: RefCell::new(None),
            presence: Rc::default(),
            now: Cell::new(Timestamp::default()),
        }))
    }

    /// Takes in what nobody has read of the request's body, so that a caller who still sends it hears the answer.
    pub(crate) async fn drain(self) {
        let mut bytes = 0_usize;
        while let Ok(Some(piece)) = self.piece().await {
            bytes = bytes.saturating_add(piece.len());
            if bytes > DRAIN_BYTES_MAX {
                return;
            }
        }
    }

    /// Whether the caller is still there.
    pub(crate) fn presence(&self) -> Rc<Presence> {
        Rc::clone(&self.0.presence)
    }
}

/// The request's body on its way in.
struct Incoming {
    stream: StreamReader<u8>,
    end: FutureReader<Result<Option<Trailers>, ErrorCode>>,
}

impl Incoming {
    fn of(request: Request) -> Self {
        let (_, consumed) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
        let (stream, end) = Request::consume_body(request, consumed);
        Self { stream, end }
    }

    /// Whether it came to its end in good order.
    async fn end(self) -> Result<(), ReceiveError> {
        match self.end.await {
            Ok(_) => Ok(()),
            Err(_) => Err(ReceiveError::Incomplete),
        }
    }
}

fn unavailable(store: &'static str) -> impl Fn(Failure) -> StoreError {
    move |failure| StoreError::Unavailable {
        store,
        detail: failure.to_string(),
    }
}

fn declared_bytes(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

impl Platform for Spin {
    type Body = Body;

    fn now(&self) -> Timestamp {
        self.0.now.set(self.0.now.get().max(clock::now()));
        self.0.now.get()
    }

    fn random(&self) -> [u8; 16] {
        clock::random()
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        variables::secret(name)
    }

    async fn receive(&self, bytes_max: usize) -> Result<Bytes, ReceiveError> {
        let taken = self.0.request.take();
        let request = taken.ok_or(ReceiveError::Incomplete)?;
        let declared = declared_bytes(&crate::headers::map(&request.get_headers()));
        if declared.is_some_and(|bytes| bytes > bytes_max) {
            self.0.request.replace(Some(request));
            return Err(ReceiveError::TooLarge);
        }
        let mut incoming = Incoming::of(request);
        let mut body = Vec::with_capacity(declared.unwrap_or(PIECE_BYTES_MAX));
        loop {
            body.reserve(1);
            let (result, read) = incoming.stream.read(body).await;
            body = read;
            if body.len() > bytes_max {
                self.0.upload.replace(Some(incoming));
                return Err(ReceiveError::TooLarge);
            }
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        incoming.end().await?;
        Ok(Bytes::from(body))
    }

    async fn piece(&self) -> Result<Option<Bytes>, ReceiveError> {
        let begun = self.0.upload.take();
        let mut incoming = match begun {
            Some(incoming) => incoming,
            None => Incoming::of(self.0.request.take().ok_or(ReceiveError::Incomplete)?),
        };
        loop {
            let buffer = Vec::with_capacity(PIECE_BYTES_MAX);
            let (result, piece) = incoming.stream.read(buffer).await;
            if !piece.is_empty() {
                self.0.upload.replace(Some(incoming));
                return Ok(Some(Bytes::from(piece)));
            }
            if result != StreamResult::Complete(0) {
                incoming.end().await?;
                return Ok(None);
            }
        }
    }

    async fn sleep(&self, span: Span) {
        clock::sleep(span).await;
    }

    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        let seed = base64url::decode(key.seed.expose())?;
        let pair = KeyPair::from_seed(Seed::from_slice(&seed).ok()?);
        Some(*pair.sk.sign(message, None))
    }

    async fn seal(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        associated: &[u8],
        text: &[u8],
    ) -> Option<Vec<u8>> {
        let payload = Payload {
            msg: text,
            aad: associated,
        };
        let cipher = Aes256Gcm::new(key.into());
        cipher.encrypt(nonce.into(), payload).ok()
    }

    fn code_hash(&self) -> Option<String> {
        self.0.instance.code_hash.clone()
    }

    async fn left(&self) {
        self.0.presence.left().await;
    }

    /// A waker does not reach from one request to another; an event does.
    async fn woken(&self, hand_out: impl FnOnce(Wake)) {
        let (event, wait) = event();
        hand_out(Box::new(move || drop(event)));
        wait.over().await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        wit_bindgen::spawn(work);
    }

    /// A component is where its machines are.
    fn has_places(&self) -> bool {
        false
    }

    async fn fetch(
        &self,
        call: Permitted<UpstreamCall>,
    ) -> Result<UpstreamAnswer<Body>, FetchError> {
        let call = call.into_inner();
        if call.egress.is_some() {
            return Err(FetchError::NoEgress);
        }
        upstream::fetch(call).await
    }

    /// The registry is next door and is asked for its own news: nothing rides on what is said to a ledger.
    async fn ledger(
        &self,
        ledger: &Permitted<LedgerId>,
        call: &ledger::Call,
    ) -> Result<ledger::Answer, StoreError> {
        let instance = &self.0.instance;
        let object = instance
            .ledger(ledger)
            .ok_or_else(|| StoreError::Unavailable {
                store: "ledger",
                detail: format!(
                    "{} is pinned, and this component is in another region",
                    ledger.name()
                ),
            })?;
        let replies = if sluice_machines::inbox::takes(clock::now(), &call.commands) {
            inbox::put(instance, &object, &call.commands).await
        } else {
            climb::run(instance, &object, &call.commands).await
        };
        let replies = replies.map_err(unavailable("ledger"))?;
        let head = instance.heads.borrow().get(&object).cloned();
        maintain::soon(instance, object);
        Ok(ledger::Answer {
            replies,
            notices: call.notices,
            head: head.filter(|head| head.batch > call.batch),
        })
    }

    async fn registry(&self, command: &registry::Command) -> Result<registry::Reply, StoreError> {
        let instance = &self.0.instance;
        let reply = instance.store.run(REGISTRY, &Asked(command)).await;
        if command.changes() {
            maintain::soon(instance, REGISTRY.to_owned());
        }
        reply.map_err(unavailable("registry"))
    }

    async fn health(&self, command: &health::Command) -> Result<health::Reply, StoreError> {
        let instance = &self.0.instance;
        instance
            .store
            .run(&instance.health(), &Measured(command))
            .await
            .map_err(unavailable("health"))
    }

    /// The authority is next door: there is no copy beside it.
    fn has_key_copies(&self) -> bool {
        false
    }

    async fn key_copy(&self, _: &str) -> Result<Option<KeyRecord>, StoreError> {
        Ok(None)
    }

    async fn probe_records(&self) -> Result<(), StoreError> {
        bucket::probe(self.0.instance.bucket.as_ref())
            .await
            .map_err(|error| StoreError::Unavailable {
                store: "records",
                detail: error.to_string(),
            })
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        eprintln!("{level}: {line}");
    }
}
