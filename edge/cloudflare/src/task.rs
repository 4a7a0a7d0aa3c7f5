//! Tasks, and the promises that they wait for.

use std::future::Future;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

/// What becomes of a promise.
pub(crate) fn settled(promise: &Promise) -> JsFuture {
    JsFuture::from(promise.clone())
}

/// Begins a task; the promise is settled at its end.
pub(crate) fn begin(work: impl Future<Output = Result<(), JsValue>> + 'static) -> Promise {
    future_to_promise(async move { work.await.map(|()| JsValue::UNDEFINED) })
}
