//! The core's ports over fetch, Durable Objects, KV, R2 and the worker's environment.

use std::cell::{Cell, OnceCell};
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use js_sys::{Promise, Reflect, Uint8Array};
use sluice_core::config::{Deployment, EgressName};
use sluice_core::platform::{
    FetchError, Level, Platform, ReceiveError, StoreError, UpstreamAnswer, UpstreamCall, Wake,
};
use sluice_core::receipt::{SIGNATURE_BYTES, SigningKey};
use sluice_core::residency::Permitted;
use sluice_machines::registry::KeyRecord;
use sluice_machines::{health, ledger, registry};
use sluice_units::{Jurisdiction, LedgerId, Secret, Span, Timestamp};
use wasm_bindgen::prelude::*;

use crate::body::{self, Body};
use crate::glue;
use crate::task::{self, Awaited, settled};

/// The Durable Objects of ledgers.
const LEDGER: &str = "LEDGER";
/// The Durable Objects of what regions know of their providers.
const HEALTH: &str = "HEALTH";
/// The Durable Objects that call providers from where they are.
const EGRESS: &str = "EGRESS";
/// The Durable Object of the registry.
const REGISTRY: &str = "REGISTRY";
/// The one object in there.
const REGISTRY_NAME: &str = "registry";
/// The namespace with the read copy of the keys.
const KEYS: &str = "KEYS";
/// Who runs the machines. The operator's word where they are not Cloudflare's: they are in the regions that the
/// configuration names, since the runtime itself knows no jurisdictions.
const MACHINES: &str = "SLUICE_MACHINES";
/// The operator does.
const MACHINES_OWN: &str = "own";
/// The longest wait that the platform's timers take, in milliseconds.
const TIMER_MILLIS_MAX: i64 = i32::MAX as i64;

/// What one request has of the platform.
#[derive(Clone)]
pub(crate) struct Worker(Rc<Inner>);

struct Inner {
    request: JsValue,
    env: JsValue,
    context: JsValue,
    deployment: Rc<Deployment>,
    upload: OnceCell<glue::Upload>,
    now: Cell<Timestamp>,
}

impl Worker {
    /// The platform for one request.
    pub(crate) fn new(
        request: JsValue,
        env: JsValue,
        context: JsValue,
        deployment: Rc<Deployment>,
    ) -> Self {
        Self(Rc::new(Inner {
            request,
            env,
            context,
            deployment,
            upload: OnceCell::new(),
            now: Cell::new(Timestamp::default()),
        }))
    }

    /// Lets go of the request's body, so that what is left of it can be drained.
    pub(crate) fn release(&self) {
        if let Some(upload) = self.0.upload.get() {
            upload.release();
        }
    }

    fn binding(&self, name: &'static str) -> Result<JsValue, StoreError> {
        Reflect::get(&self.0.env, &name.into())
            .ok()
            .filter(|binding| !binding.is_undefined())
            .ok_or_else(|| StoreError::Unavailable {
                store: name,
                detail: "the worker has no such binding".to_owned(),
            })
    }

    /// A namespace's objects under a jurisdiction: where the platform keeps none, there are none.
    fn under(
        &self,
        name: &'static str,
        jurisdiction: Option<Jurisdiction>,
    ) -> Result<JsValue, StoreError> {
        let namespace = self.binding(name)?;
        let Some(jurisdiction) = jurisdiction else {
            return Ok(namespace);
        };
        let said = Reflect::get(&self.0.env, &MACHINES.into()).unwrap_or_default();
        let is_own = said.as_string().as_deref() == Some(MACHINES_OWN);
        glue::under(&namespace, jurisdiction.as_str(), is_own).map_err(|error| {
            StoreError::Unavailable {
                store: name,
                detail: format!(
                    "no objects under the jurisdiction {}: {}",
                    jurisdiction.as_str(),
                    glue::message(&error)
                ),
            }
        })
    }

    /// An object that calls from this place. Where a jurisdiction is asked for and the platform has none, there is none.
    fn way(&self, place: EgressName) -> Result<JsValue, FetchError> {
        let jurisdiction = place.jurisdiction();
        let placed = self.under(EGRESS, jurisdiction).and_then(|namespace| {
            let placed = glue::placed(&namespace, place.name(), jurisdiction.is_none());
            placed.map_err(|error| StoreError::Unavailable {
                store: EGRESS,
                detail: glue::message(&error),
            })
        });
        placed.map_err(|error| {
            let line = format!("no call leaves from {}: {error}", place.name());
            self.log(Level::Error, &line);
            FetchError::NoEgress
        })
    }

    /// Asks an object and reads its answer.
    async fn ask<R: serde::de::DeserializeOwned>(
        &self,
        store: &'static str,
        namespace: &JsValue,
        name: &str,
        command: &impl serde::Serialize,
    ) -> Result<R, StoreError> {
        let unavailable = |detail: String| StoreError::Unavailable { store, detail };
        let text =
            serde_json::to_string(command).map_err(|error| unavailable(error.to_string()))?;
        let answer = answer(store, glue::ask(namespace, name, &text)).await?;
        let answer = answer.as_string().unwrap_or_default();
        sluice_units::json::from_slice(answer.as_bytes())
            .map_err(|error| unavailable(error.to_string()))
    }
}

/// Waits for what a store says.
async fn answer(
    store: &'static str,
    asked: Result<Promise, JsValue>,
) -> Result<JsValue, StoreError> {
    let failed = |error: JsValue| StoreError::Unavailable {
        store,
        detail: glue::message(&error),
    };
    settled(&asked.map_err(failed)?).await.map_err(failed)
}

/// A wait that is given up when it is dropped.
struct Timer(f64);

impl Drop for Timer {
    fn drop(&mut self) {
        glue::clear_timeout(self.0);
    }
}

impl Platform for Worker {
    type Body = Body;

    fn now(&self) -> Timestamp {
        let now = Timestamp::from_millis(js_sys::Date::now() as i64);
        self.0.now.set(self.0.now.get().max(now));
        self.0.now.get()
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        glue::random(&mut bytes);
        bytes
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        let value = Reflect::get(&self.0.env, &name.into()).ok()?;
        value.as_string().map(Secret::new)
    }

    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        // Copied before the first wait: the view would not outlive a growing memory.
        let message = Uint8Array::from(message);
        let signed = settled(&glue::sign(key.seed.expose(), &key.public, message)).await;
        let signed: Uint8Array = signed.ok()?.unchecked_into();
        signed.to_vec().try_into().ok()
    }

    async fn seal(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        associated: &[u8],
        text: &[u8],
    ) -> Option<Vec<u8>> {
        // Copied before the first wait, as above.
        let [key, nonce, associated, text] =
            [&key[..], nonce, associated, text].map(Uint8Array::from);
        let sealed = settled(&glue::seal(key, nonce, associated, text)).await;
        let sealed: Uint8Array = sealed.ok()?.unchecked_into();
        Some(sealed.to_vec())
    }

    fn code_hash(&self) -> Option<String> {
        thread_local! {
            static CODE_HASH: OnceCell<String> = const { OnceCell::new() };
        }
        Some(CODE_HASH.with(|known| known.get_or_init(glue::code_hash).clone()))
    }

    async fn receive(&self, bytes_max: usize) -> Result<Bytes, ReceiveError> {
        let received = settled(&glue::receive(&self.0.request, bytes_max as f64))
            .await
            .map_err(|_| ReceiveError::Incomplete)?;
        if received.is_null() {
            return Err(ReceiveError::TooLarge);
        }
        let bytes: Uint8Array = received.unchecked_into();
        Ok(Bytes::from(bytes.to_vec()))
    }

    async fn piece(&self) -> Result<Option<Bytes>, ReceiveError> {
        let incomplete = |_| ReceiveError::Incomplete;
        let upload = match self.0.upload.get() {
            Some(upload) => upload,
            None => {
                let upload = glue::Upload::new(&self.0.request).map_err(incomplete)?;
                self.0.upload.get_or_init(|| upload)
            }
        };
        let piece = settled(&upload.next()).await.map_err(incomplete)?;
        if piece.is_undefined() {
            return Ok(None);
        }
        let piece: Uint8Array = piece.unchecked_into();
        Ok(Some(Bytes::from(piece.to_vec())))
    }

    async fn sleep(&self, span: Span) {
        let millis = span.as_millis_ceil().clamp(0, TIMER_MILLIS_MAX);
        let over = Awaited::new();
        let _timer = Timer(glue::sleep(millis as f64, over.key()));
        // A timer never fails.
        let _ = over.await;
    }

    async fn left(&self) {
        let left = Awaited::new();
        glue::left(&self.0.request, left.key());
        // Nor does this.
        let _ = left.await;
    }

    /// The platform ties a task to the request whose event it wakes in: so a wait goes through a promise, which
    /// brings it back to its own.
    async fn woken(&self, hand_out: impl FnOnce(Wake)) {
        let signal = glue::deferred();
        let woken = settled(&signal.promise());
        hand_out(Box::new(move || signal.resolve()));
        // Never rejected.
        let _ = woken.await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        let work = task::begin(async move {
            work.await;
            Ok(())
        });
        glue::outlive(&self.0.context, work);
    }

    fn has_places(&self) -> bool {
        true
    }

    async fn fetch(
        &self,
        call: Permitted<UpstreamCall>,
    ) -> Result<UpstreamAnswer<Body>, FetchError> {
        let call = call.into_inner();
        let way = match call.egress {
            None => JsValue::UNDEFINED,
            Some(place) => self.way(place.into_inner())?,
        };
        body::fetch(call, &way).await
    }

    async fn ledger(
        &self,
        ledger: &Permitted<LedgerId>,
        call: &ledger::Call,
    ) -> Result<ledger::Answer, StoreError> {
        let namespace = self.under(LEDGER, ledger.jurisdiction())?;
        self.ask("ledger", &namespace, ledger.name(), call).await
    }

    async fn registry(&self, command: &registry::Command) -> Result<registry::Reply, StoreError> {
        let namespace = self.binding(REGISTRY)?;
        self.ask("registry", &namespace, REGISTRY_NAME, command)
            .await
    }

    async fn health(&self, command: &health::Command) -> Result<health::Reply, StoreError> {
        let Deployment {
            region,
            jurisdiction,
            ..
        } = &*self.0.deployment;
        let namespace = self.under(HEALTH, *jurisdiction)?;
        self.ask("health", &namespace, region.as_str(), command)
            .await
    }

    async fn key_copy(&self, hash: &str) -> Result<Option<KeyRecord>, StoreError> {
        let store = "key copy";
        let found = answer(
            store,
            glue::look_up(&self.binding(KEYS)?, &format!("key/{hash}")),
        )
        .await?;
        found
            .as_string()
            .map(|text| sluice_units::json::from_slice(text.as_bytes()))
            .transpose()
            .map_err(|error| StoreError::Unavailable {
                store,
                detail: error.to_string(),
            })
    }

    async fn probe_records(&self) -> Result<(), StoreError> {
        let store = "records";
        let asked = sluice_objects::probe_records(&self.0.env);
        let asked = asked.map_err(|error| StoreError::Unavailable {
            store,
            detail: error.to_string(),
        })?;
        answer(store, Ok(asked)).await.map(drop)
    }

    fn log(&self, level: Level, line: &str) {
        match level {
            Level::Info => glue::log_info(line),
            Level::Warn => glue::log_warn(line),
            Level::Error => glue::log_error(line),
        }
    }
}
