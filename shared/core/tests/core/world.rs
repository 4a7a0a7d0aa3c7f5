//! A platform in memory: a virtual clock, scripted providers, the real machines as stores.
//!
//! Time passes only when everything waits: the clock then jumps to the next timer. So a test of a two-minute
//! timeout takes no time, and every run of it is the same.

mod climb;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use bytes::Bytes;
use futures_executor::LocalPool;
use futures_util::StreamExt;
use futures_util::task::LocalSpawnExt;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use sluice_core::config::Document;
use sluice_core::gateway::{Answer, AnswerBody, handle};
use sluice_core::isolate::Isolate;
use sluice_core::platform::{
    FetchError, Left, Level, Platform, ReceiveError, Sink, StoreError, UpstreamAnswer,
    UpstreamBody, UpstreamCall,
};
use sluice_core::receipt::{SIGNATURE_BYTES, SigningKey};
use sluice_core::residency::Permitted;
use sluice_core::sandbox::Step;
use sluice_core::{circuit, look};
use sluice_machines::chain::ChainKind;
use sluice_machines::health::Finding;
use sluice_machines::outbox::Line;
use sluice_machines::record::{Record, Refusal};
use sluice_machines::registry::{self, KeyRecord};
use sluice_machines::rows::{Read, RowError, RowKey, Rows};
use sluice_machines::{health, ledger, outbox};
use sluice_units::{LedgerId, OrgId, ProviderId, Region, Secret, Span, Timestamp, base64url};

pub(crate) const ADMIN_TOKEN: &str = "admin-token-of-the-tests";
/// 2026-11-21T12:00:00Z.
const NOON: Timestamp = Timestamp::from_millis(1_795_262_400_000);

/// What a scripted provider does.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        steps: Vec<Step>,
    },
    Refuse(FetchError),
    Hang,
}

pub(crate) fn answer(status: u16, body: &str) -> Reaction {
    Reaction::Answer {
        status,
        headers: vec![("content-type", "application/json".to_owned())],
        steps: vec![Step::Send(Bytes::from(body.to_owned()))],
    }
}

/// The same answer, but that its body takes so long to come.
pub(crate) fn late(after: Span, mut reaction: Reaction) -> Reaction {
    if let Reaction::Answer { steps, .. } = &mut reaction {
        steps.insert(0, Step::Wait(after));
    }
    reaction
}

pub(crate) fn stream(steps: Vec<Step>) -> Reaction {
    Reaction::Answer {
        status: 200,
        headers: vec![("content-type", "text/event-stream".to_owned())],
        steps,
    }
}

pub(crate) fn send(text: &str) -> Step {
    Step::Send(Bytes::from(text.to_owned()))
}

/// A call that a provider received.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Timestamp,
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) egress: Option<&'static str>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn body_json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body in JSON")
    }
}

#[derive(Default)]
struct Shared {
    now: Cell<Timestamp>,
    timers: RefCell<BTreeMap<(Timestamp, u64), Waker>>,
    timer_count: Cell<u64>,
    random: Cell<u16>,
    ledgers: RefCell<BTreeMap<LedgerId, Rows>>,
    registry: RefCell<Rows>,
    script: RefCell<VecDeque<Reaction>>,
    seen: RefCell<Vec<Seen>>,
    aborted: Cell<u32>,
    under_way: Cell<usize>,
    most_under_way: Cell<usize>,
    ledger_failures: Cell<u32>,
    ledger_latency: Cell<Span>,
    notices: Cell<ledger::Notices>,
    registry_calls: Cell<u32>,
    ledger_calls: RefCell<Vec<Vec<ledger::Command>>>,
    ledger_failures_after_one: Cell<u32>,
    registry_down: Cell<bool>,
    has_places: Cell<bool>,
    health: RefCell<Rows>,
    health_down: Cell<bool>,
    health_calls: RefCell<Vec<health::Command>>,
    secrets: RefCell<BTreeMap<String, String>>,
    log: RefCell<Vec<String>>,
}

/// The world: several requests and isolates may run in it.
pub(crate) struct World {
    shared: Rc<Shared>,
    pool: LocalPool,
    pub(crate) isolate: Rc<Isolate>,
    document: String,
}

/// An organisation's ledger where no region is configured.
fn ledger_id(org: &str) -> LedgerId {
    let region = Region::new("local").expect("a legal name");
    LedgerId::new(OrgId::new(org).expect("a legal name"), region, None)
}

/// How much a caller's network brings at once.
const PIECE_BYTES: usize = 64;

/// One request's view of the world.
#[derive(Clone)]
pub(crate) struct Port {
    shared: Rc<Shared>,
    spawner: futures_executor::LocalSpawner,
    body: Bytes,
    /// How much of it was read piece by piece.
    read: Rc<Cell<usize>>,
    left: Rc<RefCell<LeftState>>,
}

#[derive(Default)]
struct LeftState {
    gone: bool,
    wakers: Vec<Waker>,
}

/// What a caller got.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl World {
    /// A world with this configuration, as JSON.
    pub(crate) fn new(config: &Value) -> Self {
        let document = config.to_string();
        assert!(
            Document::from_json(document.as_bytes()).is_ok(),
            "the test's configuration is a document"
        );
        let shared = Shared::default();
        shared.now.set(NOON);
        shared.has_places.set(true);
        shared.secrets.borrow_mut().extend([
            ("SLUICE_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()),
            (
                "SLUICE_ID_KEY".to_owned(),
                "an-identity-of-the-tests-0123456789".to_owned(),
            ),
            ("OPENAI_API_KEY".to_owned(), "sk-provider-one".to_owned()),
            ("ANTHROPIC_API_KEY".to_owned(), "sk-provider-two".to_owned()),
            ("GEMINI_API_KEY".to_owned(), "sk-provider-three".to_owned()),
        ]);
        Self {
            shared: Rc::new(shared),
            pool: LocalPool::new(),
            isolate: Rc::new(Isolate::new(document.clone())),
            document,
        }
    }

    /// The configuration that everything was deployed with.
    pub(crate) fn document(&self) -> String {
        self.document.clone()
    }

    /// What the providers do, one reaction for each call.
    pub(crate) fn script(&self, reactions: Vec<Reaction>) {
        *self.shared.script.borrow_mut() = reactions.into();
    }

    /// Puts a secret into the store, or another in its place.
    pub(crate) fn secret(&self, name: &str, value: &str) {
        let mut secrets = self.shared.secrets.borrow_mut();
        secrets.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.borrow().clone()
    }

    /// How many upstream bodies were dropped before their end.
    pub(crate) fn aborted(&self) -> u32 {
        self.shared.aborted.get()
    }

    /// How many calls were under way at once, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.most_under_way.get()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.now.get()
    }

    pub(crate) fn wait(&mut self, span: Span) {
        let port = self.port(Bytes::new());
        self.complete(async move { port.sleep(span).await });
    }

    pub(crate) fn fail_ledger(&self, times: u32) {
        self.shared.ledger_failures.set(times);
    }

    /// How often the registry was asked.
    pub(crate) fn registry_calls(&self) -> u32 {
        self.shared.registry_calls.get()
    }

    /// How long a call to the ledger takes, there and back.
    pub(crate) fn slow_ledger(&self, latency: Span) {
        self.shared.ledger_latency.set(latency);
    }

    /// The calls to the ledger so far, each with its commands.
    pub(crate) fn ledger_calls(&self) -> Vec<Vec<ledger::Command>> {
        self.shared.ledger_calls.borrow().clone()
    }

    /// The next call succeeds, and those after it fail.
    pub(crate) fn fail_after_one(&self, times: u32) {
        self.shared.ledger_failures_after_one.set(times);
    }

    pub(crate) fn registry_down(&self, down: bool) {
        self.shared.registry_down.set(down);
    }

    /// From now on calls leave from here alone.
    pub(crate) fn forget_places(&self) {
        self.shared.has_places.set(false);
    }

    pub(crate) fn health_down(&self, down: bool) {
        self.shared.health_down.set(down);
    }

    /// What the region's keeper of circuits was told and asked so far.
    pub(crate) fn health_calls(&self) -> Vec<health::Command> {
        self.shared.health_calls.borrow().clone()
    }

    /// Does what the keeper of circuits is woken for: looks at the providers whose turn it is, and says which those are.
    pub(crate) fn look(&mut self) -> Vec<(ProviderId, Option<Finding>)> {
        let (port, isolate) = (self.port(Bytes::new()), Rc::clone(&self.isolate));
        let seen = Rc::<RefCell<Vec<_>>>::default();
        let to = Rc::clone(&seen);
        self.complete(async move {
            let listed = look::listed(&port, &isolate).await;
            let health = &port.shared.health;
            let rows = health.borrow().clone();
            let (due, writes) = health::review(&rows, port.now(), listed.as_deref()).expect("rows");
            health.borrow_mut().apply(&writes);
            for provider in due {
                let found = look::look(&port, &isolate, &provider).await;
                let rows = health.borrow().clone();
                let writes = health::looked(&rows, port.now(), &provider, found);
                health.borrow_mut().apply(&writes.expect("readable rows"));
                to.borrow_mut().push((provider, found));
            }
        });
        seen.take()
    }

    /// The isolate hears what is open before its first call.
    pub(crate) fn hear_first(&mut self) {
        let (port, isolate) = (self.port(Bytes::new()), Rc::clone(&self.isolate));
        self.complete(async move { circuit::hear_first(&port, &isolate).await });
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.shared.log.borrow().clone()
    }

    pub(crate) fn port(&self, body: Bytes) -> Port {
        Port {
            shared: Rc::clone(&self.shared),
            spawner: self.pool.spawner(),
            body,
            read: Rc::default(),
            left: Rc::default(),
        }
    }

    /// Sends a request; returns when it is answered and all work beside it is done.
    pub(crate) fn send(&mut self, method: &str, path: &str, key: &str, body: &[u8]) -> Got {
        self.send_with(
            method,
            path,
            &[("authorization", &format!("Bearer {key}"))],
            body,
        )
    }

    pub(crate) fn send_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Got {
        let got = self.start(method, path, headers, body, None);
        self.settle();
        got.take().expect("the request was answered")
    }

    /// Starts a request; `leave_after` is when the caller goes away.
    pub(crate) fn start(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        leave_after: Option<Span>,
    ) -> Rc<RefCell<Option<Got>>> {
        let port = self.port(Bytes::copy_from_slice(body));
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a legal request").into_parts();
        let got = Rc::new(RefCell::new(None));
        let (isolate, slot) = (Rc::clone(&self.isolate), Rc::clone(&got));
        if let Some(span) = leave_after {
            let leaver = port.clone();
            port.spawn(async move {
                leaver.sleep(span).await;
                leaver.leave();
            });
        }
        let serving = port.clone();
        port.spawn(async move {
            let answer = handle(&serving, &isolate, head).await;
            receive(&serving, answer, &slot).await;
        });
        got
    }

    /// What is told to an administrator at another isolate, which is all that knows of it.
    pub(crate) fn administer(&mut self, method: &str, path: &str, body: &[u8]) -> Got {
        let here = Rc::clone(&self.isolate);
        self.isolate = Rc::new(Isolate::new(self.document()));
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        let headers = [("authorization", bearer.as_str())];
        let got = self.start(method, path, &headers, body, None);
        self.wait(Span::from_millis(1));
        self.isolate = here;
        let got = got.take().expect("an answer");
        assert_eq!(got.status, 200, "{}", got.text());
        got
    }

    /// Lets time pass until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        self.complete(std::future::pending::<()>());
    }

    fn complete<T: 'static>(&mut self, work: impl Future<Output = T> + 'static) {
        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        self.pool
            .spawner()
            .spawn_local(async move {
                work.await;
                flag.set(true);
            })
            .expect("the pool runs");
        loop {
            self.pool.run_until_stalled();
            if done.get() {
                return;
            }
            let next = self.shared.timers.borrow_mut().pop_first();
            let Some(((at, _), waker)) = next else { return };
            self.shared.now.set(self.shared.now.get().max(at));
            waker.wake();
        }
    }

    /// Makes a key through the admin API.
    pub(crate) fn key(&mut self, body: &Value) -> String {
        let got = self.send(
            "POST",
            "/admin/keys",
            ADMIN_TOKEN,
            body.to_string().as_bytes(),
        );
        assert_eq!(got.status, 201, "{} {:?}", got.text(), self.log());
        got.json()["key"].as_str().expect("a key").to_owned()
    }

    /// Every record that an organisation's ledger has queued, in order.
    pub(crate) fn records(&self, org: &str) -> Vec<Record> {
        self.records_in(&ledger_id(org))
    }

    /// Every ledger that was ever asked anything.
    pub(crate) fn ledgers(&self) -> Vec<LedgerId> {
        self.shared.ledgers.borrow().keys().cloned().collect()
    }

    /// Every record that a ledger has queued, in order.
    pub(crate) fn records_in(&self, ledger: &LedgerId) -> Vec<Record> {
        let ledgers = self.shared.ledgers.borrow();
        let Some(rows) = ledgers.get(ledger) else {
            return vec![];
        };
        let mut rows = rows.clone();
        let mut records = Vec::new();
        while let Some((batch, writes)) =
            outbox::next_batch(&rows, self.now(), ChainKind::Usage).expect("readable rows")
        {
            records.extend(
                batch
                    .records()
                    .filter(|line| !line.contains(r#""kind":"refused""#))
                    .map(|line| serde_json::from_str::<Line>(line).expect("a line").record),
            );
            rows.apply(&writes);
            let writes = outbox::shipped(&rows, &batch).expect("readable rows");
            rows.apply(&writes);
        }
        records
    }

    /// The refusals that an organisation's ledgers have on record, in order.
    pub(crate) fn refusals(&self, org: &str) -> Vec<Refusal> {
        let ledgers = self.shared.ledgers.borrow();
        ledgers
            .iter()
            .filter(|(ledger, _)| ledger.org().as_str() == org)
            .flat_map(|(_, rows)| rows.with_prefix("q/"))
            .filter(|(_, line)| line.contains(r#""kind":"refused""#))
            .map(|(_, line)| {
                serde_json::from_str::<Line<Refusal>>(line)
                    .expect("a line")
                    .record
            })
            .collect()
    }

    /// Ships what waits, as the ledger's alarm does; the batches' texts.
    pub(crate) fn ship(&self, org: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for (ledger, rows) in self.shared.ledgers.borrow_mut().iter_mut() {
            if ledger.org().as_str() != org {
                continue;
            }
            while let Some((batch, writes)) =
                outbox::next_batch(rows, self.now(), ChainKind::Usage).expect("readable rows")
            {
                rows.apply(&writes);
                let writes = outbox::shipped(rows, &batch).expect("readable rows");
                rows.apply(&writes);
                texts.push(batch.ndjson);
            }
        }
        texts
    }

    /// Has a ledger carry out a command that comes from elsewhere.
    pub(crate) fn tell_ledger(&self, org: &str, command: &ledger::Command) {
        let mut ledgers = self.shared.ledgers.borrow_mut();
        let rows = ledgers.entry(ledger_id(org)).or_default();
        let (_, writes) =
            ledger::decide(rows, self.shared.now.get(), command).expect("readable rows");
        rows.apply(&writes);
    }

    /// Expires what has passed its deadline, as the ledger's alarm does.
    pub(crate) fn expire(&self, org: &str) {
        let mut ledgers = self.shared.ledgers.borrow_mut();
        let rows = ledgers.entry(ledger_id(org)).or_default();
        let writes = ledger::expire(rows, self.shared.now.get()).expect("readable rows");
        rows.apply(&writes);
    }

    pub(crate) fn standing(&mut self, org: &str) -> Value {
        self.send("GET", &format!("/admin/ledger?org={org}"), ADMIN_TOKEN, b"")
            .json()
    }
}

async fn receive(port: &Port, answer: Answer<Port>, slot: &Rc<RefCell<Option<Got>>>) {
    let (status, headers) = (answer.status, answer.headers);
    let body = match answer.body {
        AnswerBody::Full(bytes) => bytes.to_vec(),
        AnswerBody::Stream(pump) => {
            let received = Rc::new(RefCell::new(Vec::new()));
            let connection = Connection {
                port: port.clone(),
                received: Rc::clone(&received),
            };
            pump.run(connection).await;
            received.take()
        }
    };
    *slot.borrow_mut() = Some(Got {
        status,
        headers,
        body,
    });
}

struct Connection {
    port: Port,
    received: Rc<RefCell<Vec<u8>>>,
}

impl Sink for Connection {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Left> {
        if self.port.left.borrow().gone {
            return Err(Left);
        }
        self.received.borrow_mut().extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(self) -> Result<(), Left> {
        if self.port.left.borrow().gone {
            Err(Left)
        } else {
            Ok(())
        }
    }
}

impl Port {
    fn leave(&self) {
        let mut left = self.left.borrow_mut();
        left.gone = true;
        for waker in left.wakers.drain(..) {
            waker.wake();
        }
    }

    fn load<E: From<RowError>>(rows: &Rows, reads: &[Read]) -> Result<Vec<(RowKey, String)>, E> {
        Ok(reads.iter().flat_map(|read| rows.answer(read)).collect())
    }
}

/// A call that is under way.
struct UnderWay(Rc<Shared>);

impl UnderWay {
    fn new(shared: &Rc<Shared>) -> Self {
        let count = shared.under_way.get() + 1;
        shared.under_way.set(count);
        let most = shared.most_under_way.get().max(count);
        shared.most_under_way.set(most);
        Self(Rc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

/// The body of a scripted answer.
pub(crate) struct ScriptedBody {
    port: Port,
    _under_way: UnderWay,
    steps: VecDeque<Step>,
    finished: bool,
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        if !self.finished {
            self.port
                .shared
                .aborted
                .set(self.port.shared.aborted.get() + 1);
        }
    }
}

impl UpstreamBody for ScriptedBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            match self.steps.pop_front() {
                None => {
                    self.finished = true;
                    return Ok(None);
                }
                Some(Step::Wait(span)) => self.port.sleep(span).await,
                Some(Step::Send(bytes)) => return Ok(Some(bytes)),
                Some(Step::Break) => {
                    self.finished = true;
                    return Err(FetchError::Broken);
                }
                Some(Step::Hang) => std::future::pending().await,
            }
        }
    }
}

struct Sleep {
    shared: Rc<Shared>,
    key: (Timestamp, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.shared.now.get() >= self.key.0 {
            return Poll::Ready(());
        }
        self.shared
            .timers
            .borrow_mut()
            .insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.shared.timers.borrow_mut().remove(&self.key);
    }
}

impl Platform for Port {
    type Body = ScriptedBody;

    fn now(&self) -> Timestamp {
        self.shared.now.get()
    }

    fn random(&self) -> [u8; 16] {
        let next = self.shared.random.get().wrapping_add(1);
        self.shared.random.set(next);
        let [high, low] = next.to_be_bytes();
        let mut bytes = [low; 16];
        bytes[14] ^= high;
        bytes[15] = low.wrapping_mul(31);
        bytes
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.shared
            .secrets
            .borrow()
            .get(name)
            .cloned()
            .map(Secret::new)
    }

    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        let seed = base64url::decode(key.seed.expose())?;
        let seed = ed25519_compact::Seed::from_slice(&seed).ok()?;
        let pair = ed25519_compact::KeyPair::from_seed(seed);
        Some(*pair.sk.sign(message, None))
    }

    async fn seal(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        associated: &[u8],
        text: &[u8],
    ) -> Option<Vec<u8>> {
        let payload = Payload {
            msg: text,
            aad: associated,
        };
        let cipher = Aes256Gcm::new(key.into());
        cipher.encrypt(nonce.into(), payload).ok()
    }

    fn code_hash(&self) -> Option<String> {
        Some("c0de".to_owned())
    }

    async fn receive(&self, bytes_max: usize) -> Result<Bytes, ReceiveError> {
        if self.body.len() > bytes_max {
            return Err(ReceiveError::TooLarge);
        }
        Ok(self.body.clone())
    }

    async fn piece(&self) -> Result<Option<Bytes>, ReceiveError> {
        let from = self.read.get().min(self.body.len());
        let to = from.saturating_add(PIECE_BYTES).min(self.body.len());
        self.read.set(to);
        Ok((from < to).then(|| self.body.slice(from..to)))
    }

    async fn sleep(&self, span: Span) {
        let count = self.shared.timer_count.get();
        self.shared.timer_count.set(count + 1);
        let key = (self.shared.now.get().plus(span), count);
        Sleep {
            shared: Rc::clone(&self.shared),
            key,
        }
        .await;
    }

    async fn left(&self) {
        std::future::poll_fn(|context| {
            let mut left = self.left.borrow_mut();
            if left.gone {
                return Poll::Ready(());
            }
            left.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        self.spawner.spawn_local(work).expect("the pool runs");
    }

    fn has_places(&self) -> bool {
        self.shared.has_places.get()
    }

    async fn fetch(
        &self,
        call: Permitted<UpstreamCall>,
    ) -> Result<UpstreamAnswer<ScriptedBody>, FetchError> {
        let call = call.into_inner();
        let under_way = UnderWay::new(&self.shared);
        let mut body = call.body.to_vec();
        if let Some(mut rest) = call.rest {
            while let Some(piece) = rest.next().await {
                body.extend(piece.map_err(|_| FetchError::Broken)?);
            }
        }
        self.shared.seen.borrow_mut().push(Seen {
            at: self.now(),
            method: call.method,
            url: call.url,
            egress: call.egress.map(|place| place.name()),
            headers: call.headers,
            body: Bytes::from(body),
        });
        let reaction = self
            .shared
            .script
            .borrow_mut()
            .pop_front()
            .expect("the script has a reaction left");
        match reaction {
            Reaction::Refuse(error) => Err(error),
            Reaction::Hang => std::future::pending().await,
            Reaction::Answer {
                status,
                headers,
                steps,
            } => {
                let mut map = HeaderMap::new();
                for (name, value) in headers {
                    map.insert(name, value.parse().expect("a legal header"));
                }
                Ok(UpstreamAnswer {
                    status: StatusCode::from_u16(status).expect("a legal status"),
                    headers: map,
                    body: ScriptedBody {
                        port: self.clone(),
                        _under_way: under_way,
                        steps: steps.into(),
                        finished: false,
                    },
                })
            }
        }
    }

    async fn ledger(
        &self,
        ledger: &Permitted<LedgerId>,
        call: &ledger::Call,
    ) -> Result<ledger::Answer, StoreError> {
        let commands = &call.commands;
        let half = Span::from_micros(self.shared.ledger_latency.get().as_micros() / 2);
        if half > Span::ZERO {
            self.sleep(half).await;
        }
        self.shared.ledger_calls.borrow_mut().push(commands.clone());
        let notices = self.shared.notices.get().merge(call.notices);
        self.shared.notices.set(notices);
        let failures = self.shared.ledger_failures.get();
        if failures > 0 {
            self.shared.ledger_failures.set(failures - 1);
            return Err(StoreError::Unavailable {
                store: "ledger",
                detail: "told to fail".to_owned(),
            });
        }
        self.shared
            .ledger_failures
            .set(self.shared.ledger_failures_after_one.take());
        let replies = self.shared.decide(ledger, commands);
        if half > Span::ZERO {
            self.sleep(half).await;
        }
        let head = {
            let ledgers = self.shared.ledgers.borrow();
            outbox::head(&ledgers[ledger]).expect("readable rows")
        };
        let head = (head.batch > call.batch).then_some(head);
        Ok(ledger::Answer {
            replies,
            notices,
            head,
        })
    }

    async fn registry(&self, command: &registry::Command) -> Result<registry::Reply, StoreError> {
        if self.shared.registry_down.get() {
            return Err(StoreError::Unavailable {
                store: "registry",
                detail: "told to fail".to_owned(),
            });
        }
        self.shared
            .registry_calls
            .set(self.shared.registry_calls.get() + 1);
        let now = self.now();
        let mut store = self.shared.registry.borrow_mut();
        let rows = registry::load(command, |reads| Self::load::<RowError>(&store, reads))
            .expect("readable rows");
        let (reply, writes) = registry::decide(&rows, now, command).expect("readable rows");
        store.apply(&writes);
        Ok(reply)
    }

    async fn health(&self, command: &health::Command) -> Result<health::Reply, StoreError> {
        self.shared.health_calls.borrow_mut().push(command.clone());
        if self.shared.health_down.get() {
            return Err(StoreError::Unavailable {
                store: "health",
                detail: "told to fail".to_owned(),
            });
        }
        let mut store = self.shared.health.borrow_mut();
        let mut rows = Rows::new();
        rows.extend(Self::load::<RowError>(&store, &command.reads()).expect("readable rows"));
        let (reply, writes) = health::decide(&rows, self.now(), command).expect("readable rows");
        store.apply(&writes);
        Ok(reply)
    }

    async fn key_copy(&self, _hash: &str) -> Result<Option<KeyRecord>, StoreError> {
        Ok(None)
    }

    async fn probe_records(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn log(&self, level: Level, line: &str) {
        self.shared
            .log
            .borrow_mut()
            .push(format!("{level:?}: {line}"));
    }
}
