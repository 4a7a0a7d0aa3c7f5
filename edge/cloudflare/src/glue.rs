//! The JavaScript side of this crate, as Rust sees it.

use js_sys::{Function, Promise, Uint8Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./glue.js")]
extern "C" {
    pub(crate) fn head(request: &JsValue) -> String;

    pub(crate) fn receive(request: &JsValue, bytes_max: f64) -> Promise;

    pub(crate) fn drain(request: &JsValue) -> Promise;

    pub(crate) fn left(request: &JsValue) -> Promise;

    #[wasm_bindgen(catch)]
    pub(crate) fn respond(
        resolve: &Function,
        status: u16,
        headers: &str,
        body: &JsValue,
    ) -> Result<(), JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn call(
        method: &str,
        url: &str,
        headers: &str,
        body: &JsValue,
        signal: &JsValue,
    ) -> Result<Promise, JsValue>;

    pub(crate) type Upload;

    #[wasm_bindgen(constructor, catch)]
    pub(crate) fn new(request: &JsValue) -> Result<Upload, JsValue>;

    #[wasm_bindgen(method)]
    pub(crate) fn next(this: &Upload) -> Promise;

    pub(crate) fn answered(response: &JsValue) -> String;

    pub(crate) type Pieces;

    #[wasm_bindgen(constructor, catch)]
    pub(crate) fn new(response: &JsValue) -> Result<Pieces, JsValue>;

    #[wasm_bindgen(method)]
    pub(crate) fn next(this: &Pieces) -> Promise;

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

    pub(crate) type Timer;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(milliseconds: f64) -> Timer;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn done(this: &Timer) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn cancel(this: &Timer);

    #[derive(Clone)]
    pub(crate) type Signal;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new() -> Signal;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn done(this: &Signal) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn wake(this: &Signal);

    #[wasm_bindgen(catch)]
    pub(crate) fn ask(namespace: &JsValue, name: &str, text: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn under(
        namespace: &JsValue,
        jurisdiction: &str,
        is_own_machine: bool,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = lookUp)]
    pub(crate) fn look_up(namespace: &JsValue, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn probe(bucket: &JsValue) -> Result<Promise, JsValue>;

    pub(crate) fn random(bytes: &mut [u8]);

    pub(crate) fn outlive(context: &JsValue, work: Promise);
}

#[wasm_bindgen(raw_module = "./instance.js")]
extern "C" {
    /// Says that this instance is dead.
    pub(crate) fn died();
}

#[wasm_bindgen]
extern "C" {
    pub(crate) type AbortController;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new() -> AbortController;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn signal(this: &AbortController) -> JsValue;

    #[wasm_bindgen(method)]
    pub(crate) fn abort(this: &AbortController);

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
