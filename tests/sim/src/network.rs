//! The way from an isolate to an object and back: it takes time, and calls are lost, late and doubled on it.
//!
//! What has left an isolate travels on when the isolate dies.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use sluice_machines::registry::{Command, Reply};
use sluice_units::{Span, Timestamp};

use crate::executor::Group;
use crate::faults::Fault;
use crate::world::{Place, World};

/// How long a caller waits for an object that it cannot reach.
const GIVE_UP: Span = Span::from_millis(1_500);
/// How much later than its caller gave up a call may still arrive.
const LATE_MAX_MS: i64 = 3_000;

/// Where isolates run.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) name: &'static str,
    /// The region that its callers ask to be counted in.
    pub(crate) asks_for: Option<&'static str>,
    /// The way to the objects, one way.
    pub(crate) distance: Cell<Span>,
    /// The way always takes the same time.
    pub(crate) is_steady: Cell<bool>,
    /// Until when nothing gets through.
    pub(crate) cut_until: Cell<Timestamp>,
}

impl Region {
    /// How long the way takes now.
    fn way(&self, world: &World) -> Span {
        if self.is_steady.get() {
            self.distance.get()
        } else {
            world.about(self.distance.get())
        }
    }
}

/// A value that one task waits for and another one brings.
struct Letter<T> {
    value: RefCell<Option<T>>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Letter<T> {
    fn bring(&self, value: T) {
        *self.value.borrow_mut() = Some(value);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn wait(&self) -> T {
        poll_fn(|context| match self.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                *self.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// What an object is about to answer.
pub(crate) type Answering<T> = Pin<Box<dyn Future<Output = Result<T, String>>>>;

/// What an object answers at once.
pub(crate) fn at_once<T: 'static>(answer: Result<T, String>) -> Answering<T> {
    Box::pin(ready(answer))
}

/// The end of something that many wait for.
#[derive(Default)]
pub(crate) struct Ended {
    is_over: Cell<bool>,
    /// Whether it ended well.
    pub(crate) has_heard: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl Ended {
    /// It is over.
    pub(crate) fn tell(&self, has_heard: bool) {
        self.is_over.set(true);
        self.has_heard.set(has_heard);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    /// Returns when it is over.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            if self.is_over.get() {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What is called, and how.
pub(crate) struct Call<E, L, R> {
    /// Carries it out at the object, once for each time that it arrives.
    pub(crate) execute: E,
    /// Which of its lives the object is in.
    pub(crate) life: L,
    /// Whether a second delivery may still come.
    pub(crate) may_return: R,
}

/// Calls an object; `Err` says only that no answer came.
pub(crate) async fn call<T: 'static>(
    world: &Rc<World>,
    region: &Rc<Region>,
    call: Call<
        impl Fn() -> Answering<T> + 'static,
        impl Fn() -> u64 + 'static,
        impl Fn() -> bool + 'static,
    >,
) -> Result<T, String> {
    let letter = Rc::new(Letter {
        value: RefCell::new(None),
        waker: RefCell::new(None),
    });
    let (answer, then) = (Rc::clone(&letter), Rc::clone(world));
    let region = Rc::clone(region);
    world.executor.spawn(Group::WORLD, async move {
        let outcome = travel(&then, &region, call).await;
        answer.bring(outcome);
    });
    letter.wait().await
}

async fn travel<T: 'static>(
    world: &Rc<World>,
    region: &Region,
    call: Call<
        impl Fn() -> Answering<T> + 'static,
        impl Fn() -> u64 + 'static,
        impl Fn() -> bool + 'static,
    >,
) -> Result<T, String> {
    let strikes = |fault, ppm| world.faults.strikes(fault, ppm);
    if world.now() < region.cut_until.get() {
        world.sleep(GIVE_UP).await;
        return Err(format!("{} is cut off", region.name));
    }
    if strikes(Fault::CallLost, world.weather.call_lost) {
        world.sleep(GIVE_UP).await;
        return Err("the call was lost".to_owned());
    }
    if strikes(Fault::CallLate, world.weather.call_late) {
        world.sleep(GIVE_UP).await;
        let then = Rc::clone(world);
        world.executor.spawn(Group::WORLD, async move {
            then.pause(1, LATE_MAX_MS).await;
            // Whoever called has given up.
            drop((call.execute)().await);
        });
        return Err("the call is late".to_owned());
    }
    world.sleep(region.way(world)).await;
    let life = (call.life)();
    let outcome = (call.execute)().await;
    let is_doubled = strikes(Fault::CallDoubled, world.weather.call_doubled);
    world.sleep(region.way(world)).await;
    let is_lost = strikes(Fault::ReplyLost, world.weather.reply_lost)
        || world.now() < region.cut_until.get()
        || life != (call.life)();
    if is_doubled {
        let then = Rc::clone(world);
        world.executor.spawn(Group::WORLD, async move {
            then.pause(1, LATE_MAX_MS).await;
            // Nobody waits for the second answer.
            if (call.may_return)() {
                drop((call.execute)().await);
            }
        });
    }
    if is_lost {
        world.sleep(GIVE_UP).await;
        return Err("the answer was lost".to_owned());
    }
    outcome
}

/// Calls the registry.
pub(crate) async fn registry(
    world: &Rc<World>,
    place: &Place,
    command: &Command,
) -> Result<Reply, String> {
    let (then, command) = (Rc::clone(world), command.clone());
    let living = Rc::clone(world);
    let to_registry = Call {
        execute: move || at_once(then.registry.call(&then, &command)),
        life: move || living.registry.life(),
        may_return: || true,
    };
    call(world, &place.region, to_registry).await
}
