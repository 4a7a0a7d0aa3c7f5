//! The JavaScript side of this crate, as Rust sees it.

use js_sys::{Function, Promise, Uint8Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./glue.js")]
extern "C" {
    pub(crate) fn head(request: &JsValue) -> String;

    pub(crate) fn receive(request: &JsValue, bytes_max: f64) -> Promise;

    pub(crate) fn drain(request: &JsValue) -> Promise;

    /// Tells under the key when the caller has gone away.
    pub(crate) fn left(request: &JsValue, key: f64);

    /// Tells under the key what becomes of the promise.
    pub(crate) fn watch(promise: &Promise, key: f64);

    /// Tells under the key after a while.
    pub(crate) fn sleep(milliseconds: f64, key: f64) -> f64;

    #[wasm_bindgen(catch)]
    pub(crate) fn respond(
        resolve: &Function,
        status: u16,
        headers: &str,
        body: &JsValue,
    ) -> Result<(), JsValue>;

    pub(crate) type Upload;

    #[wasm_bindgen(constructor, catch)]
    pub(crate) fn new(request: &JsValue) -> Result<Upload, JsValue>;

    #[wasm_bindgen(method)]
    pub(crate) fn next(this: &Upload) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn release(this: &Upload);

    pub(crate) type Call;

    /// Tells under the key when the answer's head is there.
    #[wasm_bindgen(constructor, catch)]
    pub(crate) fn new(
        method: &str,
        url: &str,
        headers: &str,
        body: &JsValue,
        way: &JsValue,
        key: f64,
    ) -> Result<Call, JsValue>;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn head(this: &Call) -> String;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn short(this: &Call) -> Option<Uint8Array>;

    #[wasm_bindgen(method)]
    pub(crate) fn next(this: &Call) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn abort(this: &Call);

    pub(crate) type Pipe;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(pulse: &str) -> Pipe;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn readable(this: &Pipe) -> JsValue;

    #[wasm_bindgen(method)]
    pub(crate) fn write(this: &Pipe, bytes: Uint8Array) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn close(this: &Pipe) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn abort(this: &Pipe);

    #[derive(Clone)]
    pub(crate) type Deferred;

    pub(crate) fn deferred() -> Deferred;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn promise(this: &Deferred) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn resolve(this: &Deferred);

    #[wasm_bindgen(method)]
    pub(crate) fn reject(this: &Deferred, error: &JsValue);

    #[wasm_bindgen(catch)]
    pub(crate) fn ask(namespace: &JsValue, name: &str, text: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn under(
        namespace: &JsValue,
        jurisdiction: &str,
        is_own_machine: bool,
    ) -> Result<JsValue, JsValue>;

    /// An object that calls from this place.
    #[wasm_bindgen(catch)]
    pub(crate) fn placed(
        namespace: &JsValue,
        place: &str,
        is_wish: bool,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = lookUp)]
    pub(crate) fn look_up(namespace: &JsValue, key: &str) -> Result<Promise, JsValue>;

    pub(crate) fn random(bytes: &mut [u8]);

    #[wasm_bindgen(js_name = codeHash)]
    pub(crate) fn code_hash() -> String;

    pub(crate) fn sign(seed: &str, public: &str, message: Uint8Array) -> Promise;

    pub(crate) fn seal(
        key: Uint8Array,
        nonce: Uint8Array,
        associated: Uint8Array,
        text: Uint8Array,
    ) -> Promise;

    pub(crate) fn outlive(context: &JsValue, work: Promise);
}

#[wasm_bindgen(raw_module = "./instance.js")]
extern "C" {
    /// Says that this instance is dead.
    pub(crate) fn died();
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = clearTimeout)]
    pub(crate) fn clear_timeout(id: f64);

    #[wasm_bindgen(js_namespace = console, js_name = log)]
    pub(crate) fn log_info(line: &str);

    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    pub(crate) fn log_warn(line: &str);

    #[wasm_bindgen(js_namespace = console, js_name = error)]
    pub(crate) fn log_error(line: &str);
}

/// What a thrown value says.
pub(crate) fn message(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => error
            .as_string()
            .unwrap_or_else(|| "an unknown error".to_owned()),
    }
}
