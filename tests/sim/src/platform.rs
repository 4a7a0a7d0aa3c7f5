//! The core's platform in this world: one value for each request, in one isolate.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use sluice_core::platform::{
    FetchError, Left, Level, Platform, ReceiveError, Sink, StoreError, UpstreamAnswer, UpstreamCall,
};
use sluice_core::receipt::{SIGNATURE_BYTES, SigningKey};
use sluice_core::residency::Permitted;
use sluice_core::secret_key;
use sluice_machines::registry::{self, KeyRecord};
use sluice_machines::{health, ledger};
use sluice_units::{LedgerId, RequestId, Secret, Span, Timestamp};

use crate::capacity;
use crate::executor::Group;
use crate::faults::Fault;
use crate::ledger::{LedgerObject, Reach};
use crate::network::{self, Call};
use crate::provider::{self, ScriptedBody};
use crate::world::{Place, World};

/// How much likelier than any other call an admission that was refused is doubled.
const REFUSED_AGAIN: u64 = 100;

/// How much likelier than any other answer one is lost that lets somebody in who borrows: what nobody hears of is given
/// back.
const BORROWED_LOST: u64 = 25;

/// The caller's side of a request.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    has_left: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
    /// What has arrived at the caller of a stream.
    pub(crate) received: RefCell<Vec<u8>>,
    /// The stream was ended in good order.
    pub(crate) is_closed: Cell<bool>,
    /// How long the caller takes for each piece.
    pub(crate) reading_ms: Cell<i64>,
}

impl Connection {
    /// The caller goes away.
    pub(crate) fn leave(&self) {
        self.has_left.set(true);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    pub(crate) fn has_left(&self) -> bool {
        self.has_left.get()
    }
}

fn is_refusal(reply: &ledger::Reply) -> bool {
    matches!(reply, ledger::Reply::Denied(_))
}

fn borrows(reply: &ledger::Reply) -> bool {
    matches!(reply, ledger::Reply::Admitted(left) | ledger::Reply::Cut(_, left) if !left.borrowed.is_empty())
}

/// One request's view of the world.
#[derive(Clone)]
pub(crate) struct Port(Rc<Inner>);

struct Inner {
    world: Rc<World>,
    place: Rc<Place>,
    number: usize,
    body: Bytes,
    connection: Rc<Connection>,
    last: Cell<Timestamp>,
    is_named: Cell<bool>,
    is_read: Cell<bool>,
}

/// A call that is under way.
struct Called(Port);

impl Drop for Called {
    fn drop(&mut self) {
        let Inner { world, number, .. } = &*self.0.0;
        world.rests(*number);
    }
}

impl Port {
    /// A call of this request's begins; it ends when this is dropped, be it that nobody waits for it any more.
    fn calls(&self) -> Called {
        self.0.world.goes_on(self.0.number);
        Called(self.clone())
    }

    /// Sends a call to a ledger, where it is an object or rows in a store.
    async fn reach(
        &self,
        object: &Rc<LedgerObject>,
        call: &ledger::Call,
        asking: Vec<usize>,
    ) -> Result<ledger::Answer, StoreError> {
        let world = &self.0.world;
        let lost = |detail| unavailable("ledger", detail);
        if world.is_shared {
            let reach = Reach::new(world, &self.0.place, object);
            return reach.call(call).await.map_err(lost);
        }
        let again = (Rc::clone(object), call.clone());
        let (asked, living, object) = (call.clone(), Rc::clone(object), Rc::clone(object));
        let (then, waiting) = (Rc::clone(world), Rc::clone(world));
        let asked_for = asking.clone();
        let travelling = Call {
            execute: move || Rc::clone(&object).answer(&then, &asked),
            life: move || living.life(),
            // No admission comes when its request is over.
            may_return: move || asked_for.iter().all(|number| waiting.waits(*number)),
        };
        let answer = network::call(world, &self.0.place.region, travelling)
            .await
            .map_err(lost)?;
        if answer.replies.iter().any(is_refusal) {
            self.refused_again(again, asking);
        }
        Ok(answer)
    }

    /// What was refused may be delivered again while its request waits for its turn.
    fn refused_again(&self, (object, call): (Rc<LedgerObject>, ledger::Call), asking: Vec<usize>) {
        let Inner { world, .. } = &*self.0;
        let likely = world.weather.call_doubled.saturating_mul(REFUSED_AGAIN);
        if !world.faults.strikes(Fault::CallDoubled, likely) {
            return;
        }
        let then = Rc::clone(world);
        world.executor.spawn(Group::WORLD, async move {
            then.pause(1, 500).await;
            if asking.iter().all(|number| then.waits(*number)) {
                drop(object.answer(&then, &call).await);
            }
        });
    }

    /// A ledger's answer to a call, unless it is lost after all.
    fn heard(
        &self,
        call: &ledger::Call,
        answer: ledger::Answer,
    ) -> Result<ledger::Answer, StoreError> {
        let Inner { world, .. } = &*self.0;
        let likely = world.weather.reply_lost.saturating_mul(BORROWED_LOST);
        let is_at_risk = answer.replies.iter().any(borrows);
        if is_at_risk && world.faults.strikes(Fault::ReplyLost, likely) {
            return Err(unavailable("ledger", "the answer was lost".to_owned()));
        }
        for (command, reply) in call.commands.iter().zip(&answer.replies) {
            let ledger::Command::Admit(admission) = command else {
                continue;
            };
            if let Some(number) = world.number(&admission.draft.request) {
                match reply {
                    ledger::Reply::Denied(denial) => world.is_refused(number, denial),
                    ledger::Reply::Admitted(_) | ledger::Reply::Cut(..) => {
                        world.is_let_in(number);
                    }
                    _ => world.has_waited(number),
                }
            }
        }
        Ok(answer)
    }

    pub(crate) fn new(
        world: &Rc<World>,
        place: &Rc<Place>,
        number: usize,
        body: Bytes,
        connection: &Rc<Connection>,
    ) -> Self {
        Self(Rc::new(Inner {
            world: Rc::clone(world),
            place: Rc::clone(place),
            number,
            body,
            connection: Rc::clone(connection),
            last: Cell::default(),
            is_named: Cell::new(false),
            is_read: Cell::new(false),
        }))
    }
}

fn unavailable(store: &'static str, detail: String) -> StoreError {
    StoreError::Unavailable { store, detail }
}

impl Platform for Port {
    type Body = ScriptedBody;

    fn now(&self) -> Timestamp {
        let inner = &self.0;
        let now = inner.place.clock.read(inner.world.now());
        inner.last.set(inner.last.get().max(now));
        inner.last.get()
    }

    fn random(&self) -> [u8; 16] {
        let bytes = self.0.world.dice.bytes();
        // The first that the core draws for a request becomes its name.
        if !self.0.is_named.replace(true)
            && let Ok(name) = RequestId::new(&secret_key::identifier("req_", bytes))
        {
            self.0.world.name_request(self.0.number, name);
        }
        bytes
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        Some(Secret::new(format!("secret-of-{name}")))
    }

    /// Nothing is kept of bodies here.
    async fn seal(&self, _: &[u8; 32], _: &[u8; 12], _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    async fn sign(&self, _: &SigningKey, _: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        None
    }

    fn code_hash(&self) -> Option<String> {
        None
    }

    async fn receive(&self, bytes_max: usize) -> Result<Bytes, ReceiveError> {
        if self.0.body.len() > bytes_max {
            return Err(ReceiveError::TooLarge);
        }
        Ok(self.0.body.clone())
    }

    async fn piece(&self) -> Result<Option<Bytes>, ReceiveError> {
        let is_first = !self.0.is_read.replace(true);
        Ok((is_first && !self.0.body.is_empty()).then(|| self.0.body.clone()))
    }

    async fn sleep(&self, span: Span) {
        self.0.world.sleep(span).await;
    }

    async fn left(&self) {
        let connection = &self.0.connection;
        poll_fn(|context| {
            if connection.has_left() {
                return Poll::Ready(());
            }
            let mut wakers = connection.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        self.0.world.executor.spawn(self.0.place.group, work);
    }

    fn has_places(&self) -> bool {
        true
    }

    async fn fetch(
        &self,
        call: Permitted<UpstreamCall>,
    ) -> Result<UpstreamAnswer<ScriptedBody>, FetchError> {
        let world = &self.0.world;
        world.is_let_in(self.0.number);
        world.asked_upstream(&self.0.place, self.0.number);
        if let Some(owner) = world.owner(self.0.number) {
            let host = call.url.trim_start_matches("https://");
            let provider = host.split('.').next().unwrap_or_default();
            let egress = call.egress.map(|place| place.name());
            let number = self.0.number;
            world.require(world.borders.passes(number, owner, provider, egress));
        }
        provider::react(world, &self.0.place, self.0.number, &call).await
    }

    async fn ledger(
        &self,
        ledger: &Permitted<LedgerId>,
        call: &ledger::Call,
    ) -> Result<ledger::Answer, StoreError> {
        let world = &self.0.world;
        let Some(object) = world.ledger(ledger) else {
            return Err(unavailable(
                "ledger",
                format!("no ledger {}", ledger.name()),
            ));
        };
        let counts = world.borders.counts(object.org, ledger);
        world.require(counts);
        let mut asking = Vec::new();
        for command in &call.commands {
            match command {
                ledger::Command::Admit(admission) => {
                    if let Some(number) = world.number(&admission.draft.request) {
                        asking.push(number);
                        world.asks(&self.0.place, number, &admission.scopes);
                    }
                }
                // Who is not let in has nothing that could be extended.
                ledger::Command::Extend { request, ttl } if *ttl == Span::ZERO => {
                    if let Some(number) = world.number(request) {
                        world.tells_for(number);
                    }
                }
                _ => {}
            }
        }
        let called_at = world.ledger_called(&self.0.place);
        let answer = self.reach(&object, call, asking).await;
        let answer = answer.and_then(|answer| self.heard(call, answer));
        world.ledger_answered(&self.0.place, called_at, answer.is_err());
        answer
    }

    async fn registry(&self, command: &registry::Command) -> Result<registry::Reply, StoreError> {
        let world = &self.0.world;
        let told = format!("{command:?}");
        let is_of_config = told.starts_with("SeedConfig");
        let told = world.borders.tells("registry", &told);
        world.require(if is_of_config { Ok(()) } else { told });
        let called = self.calls();
        let asked = network::registry(world, &self.0.place, command).await;
        drop(called);
        asked.map_err(|detail| {
            self.0.place.registry_failed_at.set(world.now());
            unavailable("registry", detail)
        })
    }

    async fn health(&self, command: &health::Command) -> Result<health::Reply, StoreError> {
        let (world, asked) = (&self.0.world, command.clone());
        let told = world.borders.tells("health object", &format!("{asked:?}"));
        world.require(told);
        if matches!(&asked, health::Command::Report(report) if !report.probe.is_empty()) {
            // Who asks for leave to call a target was let in.
            world.is_let_in(self.0.number);
        }
        let (then, living) = (Rc::clone(world), Rc::clone(world));
        let call = Call {
            execute: move || network::at_once(then.health.call(&then, &asked)),
            life: move || living.health.life(),
            may_return: || true,
        };
        let asked_at = world.now();
        let called = self.calls();
        let answer = network::call(world, &self.0.place.region, call).await;
        drop(called);
        let reply = answer.map_err(|detail| unavailable("health", detail))?;
        capacity::hears(world, &self.0.place.name, command, asked_at);
        Ok(reply)
    }

    async fn key_copy(&self, hash: &str) -> Result<Option<KeyRecord>, StoreError> {
        let world = &self.0.world;
        let called = self.calls();
        world.pause(1, 20).await;
        let read = world.registry.read_copy(world, hash);
        world.pause(1, 20).await;
        drop(called);
        if world
            .faults
            .strikes(Fault::CopyFailed, world.weather.copy_failed)
        {
            return Err(unavailable("key copy", "it did not answer".to_owned()));
        }
        Ok(read)
    }

    async fn probe_records(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn log(&self, level: Level, line: &str) {
        let place = &self.0.place;
        self.0
            .world
            .log(|| format!("{} {level:?}: {line}", place.name));
        let told = self.0.world.borders.tells("log", line);
        self.0.world.require(told);
        let is_bug = line.contains("bug");
        self.0.world.require(if is_bug {
            Err(format!("the core says: {line}"))
        } else {
            Ok(())
        });
    }
}

/// The way back to the caller of a stream.
pub(crate) struct Downstream {
    pub(crate) world: Rc<World>,
    pub(crate) number: usize,
    pub(crate) connection: Rc<Connection>,
}

impl Sink for Downstream {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Left> {
        self.world.delivers(self.number);
        let reading_ms = self.connection.reading_ms.get();
        if reading_ms > 0 {
            self.world.pause(0, reading_ms).await;
        }
        if self.connection.has_left() {
            return Err(Left);
        }
        self.connection
            .received
            .borrow_mut()
            .extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(self) -> Result<(), Left> {
        if self.connection.has_left() {
            return Err(Left);
        }
        self.connection.is_closed.set(true);
        Ok(())
    }
}
