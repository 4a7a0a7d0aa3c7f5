//! Tasks, and what they wait for.
//!
//! A task runs when something that it waits for is told by JavaScript, at once and within that call. The platform
//! ties whatever a task does to the request in whose event it wakes: what tells must therefore be a promise or an
//! event of the task's own request.
//!
//! In the place of `wasm-bindgen-futures`, which makes two closures with finalizers for each promise and a microtask
//! for each wake (see `docs/decisions/0009-own-promises.md`).

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_executor::{LocalPool, LocalSpawner};
use futures_util::task::LocalSpawnExt;
use js_sys::Promise;
use wasm_bindgen::prelude::*;

use crate::glue;
use sluice_units::SortedMap;

/// What JavaScript said: a value, or what was thrown.
type Said = Result<JsValue, JsValue>;

/// All tasks of the instance, and all that they wait for.
struct Tasks {
    pool: RefCell<LocalPool>,
    spawner: LocalSpawner,
    awaited: RefCell<SortedMap<u64, Told>>,
    keys: RefCell<u64>,
}

/// Whether it was told.
enum Told {
    No(Option<Waker>),
    Yes(Said),
}

thread_local! {
    static TASKS: Tasks = {
        let pool = LocalPool::new();
        Tasks {
            spawner: pool.spawner(),
            pool: RefCell::new(pool),
            awaited: RefCell::default(),
            keys: RefCell::default(),
        }
    };
}

/// Something that JavaScript tells once, under a key.
pub(crate) struct Awaited(u64);

impl Awaited {
    /// Something new.
    pub(crate) fn new() -> Self {
        TASKS.with(|tasks| {
            let mut key = tasks.keys.borrow_mut();
            *key = key.wrapping_add(1);
            tasks.awaited.borrow_mut().insert(*key, Told::No(None));
            Self(*key)
        })
    }

    /// Its key, as JavaScript takes numbers: exact for three centuries at a million keys a second.
    pub(crate) const fn key(&self) -> f64 {
        self.0 as f64
    }
}

impl Future for Awaited {
    type Output = Said;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Said> {
        TASKS.with(|tasks| {
            let mut awaited = tasks.awaited.borrow_mut();
            match awaited.remove(&self.0) {
                Some(Told::Yes(said)) => Poll::Ready(said),
                _ => {
                    awaited.insert(self.0, Told::No(Some(context.waker().clone())));
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        TASKS.with(|tasks| tasks.awaited.borrow_mut().remove(&self.0));
    }
}

/// What becomes of a promise.
pub(crate) fn settled(promise: &Promise) -> Awaited {
    let awaited = Awaited::new();
    glue::watch(promise, awaited.key());
    awaited
}

/// Tells what is awaited under a key; of no effect when nobody waits any longer.
#[wasm_bindgen]
pub fn tell(key: f64, is_good: bool, value: JsValue) {
    TASKS.with(|tasks| {
        let said = if is_good { Ok(value) } else { Err(value) };
        let before = {
            let mut awaited = tasks.awaited.borrow_mut();
            match awaited.get_mut(&(key as u64)) {
                Some(told @ Told::No(_)) => Some(std::mem::replace(told, Told::Yes(said))),
                _ => None,
            }
        };
        if let Some(Told::No(Some(waker))) = before {
            waker.wake();
        }
        tasks.run();
    });
}

/// Begins a task; the promise is settled at its end.
pub(crate) fn begin(work: impl Future<Output = Result<(), JsValue>> + 'static) -> Promise {
    let deferred = glue::deferred();
    let promise = deferred.promise();
    let task = async move {
        match work.await {
            Ok(()) => deferred.resolve(),
            Err(error) => deferred.reject(&error),
        }
    };
    TASKS.with(|tasks| {
        // The pool lives as long as its spawner.
        let _ = tasks.spawner.spawn_local(task);
        tasks.run();
    });
    promise
}

impl Tasks {
    /// Runs what can go on. What is begun by a running task is run by whoever runs that.
    fn run(&self) {
        if let Ok(mut pool) = self.pool.try_borrow_mut() {
            pool.run_until_stalled();
        }
    }
}
