//! The worker's events.
//!
//! A request is served in a task of its own, which hands the answer out when it has one and goes on to the end,
//! whether or not anybody listens: so a caller who leaves is settled like any other.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise, Uint8Array};
use sluice_core::config::Deployment;
use sluice_core::gateway::{self, Answer, AnswerBody};
use sluice_core::isolate::Isolate;
use sluice_core::look;
use sluice_core::platform::{Level, Platform};
use sluice_machines::health::{Finding, Listed};
use sluice_objects::Told;
use sluice_units::ProviderId;
use wasm_bindgen::prelude::*;

use crate::answer::PipeSink;
use crate::task::{self, settled};
use crate::worker::Worker;
use crate::{glue, headers};

/// What this instance was started with.
struct Instance {
    isolate: Rc<Isolate>,
    deployment: Rc<Deployment>,
}

thread_local! {
    static INSTANCE: RefCell<Option<Rc<Instance>>> = const { RefCell::new(None) };
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
    let deployment = Deployment::read(&document).map_err(|error| JsError::new(&error))?;
    sluice_objects::set_ship_interval(deployment.ship_interval);
    sluice_objects::set_receivers(deployment.receivers.clone());
    let deployment = Rc::new(deployment);
    let places = Rc::clone(&deployment);
    sluice_objects::set_records_suffixes(Rc::new(move |region| places.records_suffixes(region)));
    let instance = Instance {
        deployment,
        isolate: Rc::new(Isolate::new(document)),
    };
    INSTANCE.set(Some(Rc::new(instance)));
    sluice_objects::set_lookout(Rc::new(Lookout));
    Ok(())
}

/// Looks at providers on behalf of an object.
struct Lookout;

impl sluice_objects::Lookout for Lookout {
    fn listed(&self, env: &JsValue, context: &JsValue) -> Told<Vec<Listed>> {
        let at_hand = at_hand(env, context);
        Box::pin(async move {
            let (worker, isolate) = at_hand?;
            look::listed(&worker, &isolate).await
        })
    }

    fn look(&self, env: &JsValue, context: &JsValue, provider: ProviderId) -> Told<Finding> {
        let at_hand = at_hand(env, context);
        Box::pin(async move {
            let (worker, isolate) = at_hand?;
            look::look(&worker, &isolate, &provider).await
        })
    }
}

/// What an object sees the world with; nothing before the instance was started.
fn at_hand(env: &JsValue, context: &JsValue) -> Option<(Worker, Rc<Isolate>)> {
    let instance = INSTANCE.with_borrow(Clone::clone)?;
    let deployment = Rc::clone(&instance.deployment);
    let worker = Worker::new(JsValue::UNDEFINED, env.clone(), context.clone(), deployment);
    Some((worker, Rc::clone(&instance.isolate)))
}

/// Serves one request to its end; `resolve` takes the answer.
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
    let Some(instance) = INSTANCE.with_borrow(Clone::clone) else {
        return Err(JsError::new("the instance was not started").into());
    };
    let head = headers::request(&glue::head(&request));
    let worker = Worker::new(
        request.clone(),
        env,
        context,
        Rc::clone(&instance.deployment),
    );
    let answer = match head {
        Some(head) => gateway::handle(&worker, &instance.isolate, head).await,
        None => Answer::unreadable(),
    };
    if answer.status.is_client_error() || answer.status.is_server_error() {
        // What was refused may not have been read; what was served has been.
        worker.release();
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
