//! Tells receivers of events: each at the address that the deployed configuration names, signed with its secret.

use std::cell::RefCell;
use std::rc::Rc;

use sluice_machines::events::{Delivery, Receiver};
use thiserror::Error;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::storage::message;

#[wasm_bindgen(raw_module = "./storage.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn notify(
        url: &str,
        secret: Option<String>,
        id: &str,
        text: &str,
    ) -> Result<js_sys::Promise, JsValue>;
}

thread_local! {
    static RECEIVERS: RefCell<Rc<Vec<Receiver>>> = RefCell::default();
}

/// Says who is told of events.
pub fn set_receivers(receivers: Vec<Receiver>) {
    RECEIVERS.set(Rc::new(receivers));
}

pub(crate) fn receivers() -> Rc<Vec<Receiver>> {
    RECEIVERS.with_borrow(Rc::clone)
}

/// Why an event is not known to be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NotifyError {
    /// The secret that signs it is not there.
    #[error("the secret {0} is not set")]
    NoSecret(String),
    /// Its receiver does not answer, or refuses.
    #[error("it was not taken{0}")]
    NotTaken(String),
}

/// Sends an event to its receiver.
pub(crate) async fn send(
    env: &JsValue,
    receiver: &Receiver,
    delivery: &Delivery,
) -> Result<(), NotifyError> {
    let secret = match &receiver.secret {
        None => None,
        Some(name) => {
            let found = js_sys::Reflect::get(env, &name.as_str().into()).unwrap_or_default();
            let found = found.as_string().filter(|secret| !secret.is_empty());
            Some(found.ok_or_else(|| NotifyError::NoSecret(name.clone()))?)
        }
    };
    let failed = |error: JsValue| NotifyError::NotTaken(format!(": {}", message(&error)));
    let text = receiver.text(&delivery.event);
    let sent = notify(&receiver.url, secret, &delivery.event.id, &text).map_err(failed)?;
    let taken = JsFuture::from(sent).await.map_err(failed)?;
    if taken.is_truthy() {
        return Ok(());
    }
    Err(NotifyError::NotTaken(String::new()))
}
