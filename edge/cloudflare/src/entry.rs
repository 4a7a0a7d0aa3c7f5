//! The worker's events.
//!
//! A request is served in a task of its own, which hands the answer out when it has one and goes on to the end,
//! whether or not anybody listens: so a caller who leaves is settled like any other.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise, Uint8Array};
use serde::Deserialize;
use sluice_core::gateway::{self, Answer, AnswerBody};
use sluice_core::isolate::Isolate;
use sluice_core::platform::{Level, Platform};
use sluice_units::Span;
use wasm_bindgen::prelude::*;

use crate::answer::PipeSink;
use crate::task::{self, settled};
use crate::worker::Worker;
use crate::{glue, headers};

thread_local! {
    static ISOLATE: RefCell<Option<Rc<Isolate>>> = const { RefCell::new(None) };
}

/// What the shell itself must know of the configuration.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    accounting: Accounting,
}

/// How its ledgers ship.
#[derive(Default, Deserialize)]
struct Accounting {
    ship_interval: Option<String>,
}

/// Starts the instance with the configuration that was deployed with the code.
///
/// # Errors
/// When the document cannot be read, or says what the core would refuse too.
#[wasm_bindgen]
pub fn start(document: String) -> Result<(), JsError> {
    std::panic::set_hook(Box::new(|panic| {
        glue::log_error(&panic.to_string());
        // Without unwinding this instance ends here; what waits for it must know.
        if cfg!(panic = "abort") {
            glue::died();
        }
    }));
    let Document { accounting } = serde_json::from_slice(document.as_bytes())?;
    if let Some(interval) = accounting.ship_interval {
        sluice_objects::set_ship_interval(Span::parse(&interval)?);
    }
    ISOLATE.set(Some(Rc::new(Isolate::new(document))));
    Ok(())
}

/// Serves one request to its end, when the promise is settled; `resolve` takes the answer.
///
/// The promise is rejected when the platform refuses the answer, or nothing was started.
#[wasm_bindgen]
pub fn handle(request: JsValue, env: JsValue, context: JsValue, resolve: Function) -> Promise {
    task::begin(serve(request, env, context, resolve))
}

async fn serve(
    request: JsValue,
    env: JsValue,
    context: JsValue,
    resolve: Function,
) -> Result<(), JsValue> {
    let Some(isolate) = ISOLATE.with_borrow(Clone::clone) else {
        return Err(JsError::new("the instance was not started").into());
    };
    let head = headers::request(&glue::head(&request));
    let worker = Worker::new(request.clone(), env, context);
    let answer = match head {
        Some(head) => gateway::handle(&worker, &isolate, head).await,
        None => Answer::unreadable(),
    };
    if answer.status.is_client_error() || answer.status.is_server_error() {
        // What was refused may not have been read; what was served has been.
        let _ = settled(&glue::drain(&request)).await;
    }
    give(&worker, answer, &resolve).await
}

async fn give(worker: &Worker, answer: Answer<Worker>, resolve: &Function) -> Result<(), JsValue> {
    let status = answer.status.as_u16();
    let headers = headers::lines(&answer.headers);
    match answer.body {
        AnswerBody::Full(bytes) => {
            let body = Uint8Array::from(bytes.as_ref());
            glue::respond(resolve, status, &headers, &body)
        }
        AnswerBody::Stream(pump) => {
            let pipe = glue::Pipe::new(pump.pulse());
            let responded = glue::respond(resolve, status, &headers, &pipe.readable());
            if let Err(error) = &responded {
                worker.log(
                    Level::Error,
                    &format!("the answer was refused: {}", glue::message(error)),
                );
            }
            // Runs all the same, so that it is settled.
            pump.run(PipeSink::new(pipe)).await;
            responded
        }
    }
}
