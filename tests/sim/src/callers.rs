//! Those who send requests, and what they make of the answers.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use serde_json::{Value, json};
use sluice_core::TOKEN_SECRET;
use sluice_core::gateway::{Answer, AnswerBody, handle};
use sluice_units::Span;

use crate::borders::Owner;
use crate::executor::Group;
use crate::faults::Fault;
use crate::frames::{self, End, Understood};
use crate::health::RECOVERY_MAX;
use crate::judge::Verdict;
use crate::platform::{Connection, Downstream, Port};
use crate::world::{Fact, Place, World};

const MODELS: [&str; 6] = ["smart", "smart", "smart", "gpt", "claude", "gemini/flash"];

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Stream,
    Embedding,
    /// An administrator asks what would become of a request: it is weighed, and nothing stays.
    Explained,
    /// Nothing that can be served.
    Wrong,
}

/// Sends `count` requests, about `rate` in a second, some of them all at once.
pub(crate) async fn crowd(world: Rc<World>, count: usize, rate: u64) {
    let mut left = count;
    while left > 0 {
        let burst = if world.rng.chance(10_000) {
            world.rng.between(10, 60) as usize
        } else {
            1
        };
        for _ in 0..burst.min(left) {
            send(&world);
        }
        left -= burst.min(left);
        let gap_us = 2_000_000 * burst as i64 / rate as i64;
        world
            .sleep(Span::from_micros(world.rng.between(0, gap_us)))
            .await;
    }
}

/// When everything works again, every isolate is asked for everything, a little apart.
pub(crate) async fn farewell(world: Rc<World>) {
    const APART: Span = Span::from_seconds(3);
    world.sleep(RECOVERY_MAX.plus(APART)).await;
    let places = world.places.borrow().clone();
    for place in &places {
        for kind in [Kind::Chat, Kind::Stream, Kind::Embedding, Kind::Chat] {
            let key = world.rng.index(world.holders.borrow().len());
            start(&world, place, key, kind);
            world.sleep(APART).await;
        }
    }
}

/// Sends one request to some isolate with some key.
fn send(world: &Rc<World>) {
    let rng = &world.rng;
    let kind = match rng.below(22) {
        _ if world
            .faults
            .strikes(Fault::CallerWrong, world.weather.caller_wrong) =>
        {
            Kind::Wrong
        }
        0..=8 => Kind::Chat,
        9..=17 => Kind::Stream,
        18..=19 => Kind::Embedding,
        _ => Kind::Explained,
    };
    let key = rng.index(world.holders.borrow().len());
    let place = Rc::clone(rng.pick(&world.places.borrow()));
    start(world, &place, key, kind);
}

/// Sends one request of this kind to this isolate with this key.
pub(crate) fn start(world: &Rc<World>, place: &Rc<Place>, key: usize, kind: Kind) {
    let rng = &world.rng;
    let number = world.facts.borrow().len();
    let fact = Fact::new(key, place, world.now());
    place.share.requests.set(place.share.requests.get() + 1);
    world.facts.borrow_mut().push(fact);
    world.arrives(number, kind == Kind::Explained);
    let (head, body) = request(world, place, number, kind);
    world.log(|| {
        format!(
            "request {number}: {kind:?} with key_{key} at {}",
            place.name
        )
    });
    let connection = Rc::new(Connection::default());
    if rng.chance(100_000) {
        connection.reading_ms.set(rng.between(1, 400));
    }
    if world
        .faults
        .strikes(Fault::CallerLeft, world.weather.caller_left)
    {
        leave_later(world, &connection);
    }
    let port = Port::new(world, place, number, body, &connection);
    let visit = Visit {
        world: Rc::clone(world),
        number,
        kind,
        connection,
        is_answered: Cell::new(false),
    };
    world.in_flight.set(world.in_flight.get() + 1);
    let isolate = Rc::clone(&place.isolate);
    world.executor.spawn(place.group, async move {
        let answer = handle(&port, &isolate, head).await;
        visit.receive(answer).await;
    });
}

fn leave_later(world: &Rc<World>, connection: &Rc<Connection>) {
    let (then, connection) = (Rc::clone(world), Rc::clone(connection));
    world.executor.spawn(Group::WORLD, async move {
        then.pause(0, 1_500).await;
        connection.leave();
    });
}

fn request(world: &World, place: &Place, number: usize, kind: Kind) -> (Parts, Bytes) {
    let rng = &world.rng;
    let fact_key = world.facts.borrow()[number].key;
    let mut secret = world.holders.borrow()[fact_key].key.secret.clone();
    let mut path = "/v1/chat/completions";
    let words = "word ".repeat(rng.index(8));
    let mut body = match kind {
        Kind::Embedding => {
            path = "/v1/embeddings";
            format!(r#"{{"model":"openai/embed","input":"~{number}~ {words}"}}"#)
        }
        _ => {
            let stream = match (kind, rng.chance(500_000)) {
                (Kind::Stream, true) => r#","stream":true,"stream_options":{"include_usage":true}"#,
                (Kind::Stream, false) => r#","stream":true"#,
                _ => "",
            };
            let model = rng.pick(&MODELS);
            let limit = if rng.chance(700_000) {
                format!(r#""max_tokens":{},"#, rng.between(8, 64))
            } else {
                String::new()
            };
            format!(
                r#"{{"model":"{model}",{limit}"messages":[{{"role":"user","content":"~{number}~ {words}"}}]{stream}}}"#,
            )
        }
    };
    if kind == Kind::Wrong {
        match rng.below(4) {
            0 => body = "{".to_owned(),
            1 => body = body.replace("\"model\":\"", "\"model\":\"no-such-"),
            2 => secret.truncate(30),
            _ => path = "/v1/nothing",
        }
    }
    let papers = world.borders.papers(rng, number);
    let mut headers = Vec::new();
    let usual = place.region.asks_for.filter(|_| world.has_homes);
    if let Some(region) = papers.asked.or(usual) {
        headers.push(("x-gateway-region", region));
    }
    if papers.is_phi {
        headers.push(("x-sluice-data", "phi"));
    }
    if kind == Kind::Explained {
        let asked: Value = serde_json::from_str(&body).expect("a legal body");
        let headers: BTreeMap<_, _> = std::mem::take(&mut headers).into_iter().collect();
        body = json!({"key": secret, "request": asked, "headers": headers}).to_string();
        secret = format!("secret-of-{TOKEN_SECRET}");
        path = "/admin/explain";
    }
    let mut head = Request::post(path).header("authorization", format!("Bearer {secret}"));
    for (name, value) in headers {
        head = head.header(name, value);
    }
    let head = head.body(()).expect("a legal request").into_parts().0;
    (head, Bytes::from(body))
}

/// One request from its caller's side. Dropped before its end when the isolate dies.
struct Visit {
    world: Rc<World>,
    number: usize,
    kind: Kind,
    connection: Rc<Connection>,
    is_answered: Cell<bool>,
}

impl Visit {
    async fn receive(self, answer: Answer<Port>) {
        let status = answer.status.as_u16();
        let served_by = answer.headers.get("x-sluice-provider").cloned();
        self.world.is_answered(self.number, status);
        let understood = match answer.body {
            AnswerBody::Full(bytes) => {
                if status == 200 && self.kind == Kind::Explained {
                    frames::explained(&bytes)
                } else {
                    if status == 200 {
                        self.world.delivers(self.number);
                    }
                    frames::whole(status, &bytes)
                }
            }
            AnswerBody::Stream(pump) => {
                pump.run(Downstream {
                    world: Rc::clone(&self.world),
                    number: self.number,
                    connection: Rc::clone(&self.connection),
                })
                .await;
                self.read_stream()
            }
        };
        self.is_answered.set(true);
        if let Some(fact) = self.world.facts.borrow_mut().get_mut(self.number) {
            fact.status = Some(status);
        }
        self.world
            .log(|| format!("request {} gets {status}: {understood:?}", self.number));
        let verdict = understood.and_then(|understood| {
            let served_by = served_by.as_ref().and_then(|name| name.to_str().ok());
            self.judge(status, served_by, &understood)
        });
        self.world
            .require(verdict.map_err(|what| format!("request {}: {what}", self.number)));
    }

    fn read_stream(&self) -> Result<Understood, String> {
        let end = if self.connection.is_closed.get() {
            End::Whole
        } else {
            End::Cut
        };
        if end == End::Cut && !self.connection.has_left() && self.is_answered.get() {
            return Err("the stream was not closed".to_owned());
        }
        frames::stream(&self.connection.received.borrow(), end)
    }

    /// An answer must be what the provider said, and an error what happened.
    fn judge(&self, status: u16, served_by: Option<&str>, understood: &Understood) -> Verdict {
        let facts = self.world.facts.borrow();
        let fact = &facts[self.number];
        let holders = self.world.holders.borrow();
        let is_revoked = holders[fact.key].revoked_at.is_some();
        let key = &holders[fact.key].key;
        let (org, team) = (key.org, key.team);
        let error = understood.error.as_deref();
        let borders = &self.world.borders;
        let is_served = status == 200 && (self.kind != Kind::Explained || error.is_none());
        borders.answers(self.number, Owner { org, team }, is_served, error)?;
        if self.kind == Kind::Wrong {
            return if status == 200 {
                Err("nonsense was served".to_owned())
            } else {
                Ok(())
            };
        }
        match understood.error.as_deref() {
            Some("circuit_open") if self.world.has_recovered() => {
                return Err(format!("a target does not come back: {understood:?}"));
            }
            Some("key_revoked") if is_revoked => return Ok(()),
            Some("key_revoked" | "invalid_api_key" | "key_expired" | "missing_api_key") => {
                return Err(format!("a good key was refused: {understood:?}"));
            }
            // Of the configuration only rules change.
            Some(
                "internal_error"
                | "model_not_found"
                | "scope_removed"
                | "invalid_body"
                | "configuration_changed",
            ) if fact.calls.is_empty() => {
                return Err(format!("a good request was refused: {understood:?}"));
            }
            _ => {}
        }
        if self.kind == Kind::Explained && !fact.calls.is_empty() {
            return Err("what was to be explained was sent".to_owned());
        }
        if !understood.is_complete || self.kind == Kind::Embedding {
            return Ok(());
        }
        let mut calls = fact.calls.iter();
        let call = calls.rfind(|call| served_by == Some(call.provider));
        let said = call.map(|call| call.said.text());
        let is_beginning = |said: &String| said.starts_with(&understood.text);
        if understood.is_cut_short && said.as_ref().is_some_and(is_beginning) {
            return Ok(());
        }
        if said.as_ref() == Some(&understood.text) {
            return Ok(());
        }
        Err(format!(
            "the model said {said:?}, the caller read {understood:?}"
        ))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let world = &self.world;
        world.in_flight.set(world.in_flight.get() - 1);
        if !self.is_answered.get() {
            // The isolate died. What was delivered before must be well-formed all the same.
            let read = self.read_stream();
            world.require(read.map(drop));
        }
    }
}
