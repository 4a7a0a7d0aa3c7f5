//! What a request by a key would do, without sending it: who asks, what holds its data, what it would reserve, and which
//! targets it would go to, in order.
//!
//! The stages are the spine's own, up to the first attempt; here only what they decide is told.

use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sluice_machines::limit::ScopeRules;
use sluice_machines::record::Keep;
use sluice_machines::registry::{Command, KeyRecord, Reply};
use sluice_units::KeyId;

use super::{invalid, read};
use crate::address::{self, Endpoint};
use crate::admit::{self, Bound, Weighed};
use crate::authenticate::{self, Caller};
use crate::bodies::Keeper;
use crate::config::TargetRef;
use crate::gateway::{Answer, Context};
use crate::hash::sha256_hex;
use crate::headers::Binding;
use crate::platform::Platform;
use crate::prepare::Prepared;
use crate::price;
use crate::problem::Problem;
use crate::refused::Asked;
use crate::secret_key;
use crate::settle;
use crate::translate::Direct;

/// Identifiers of keys are random: hardly two of them differ in their last character alone.
const SIBLINGS_MAX: u32 = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// The key: its secret, or its public identifier.
    key: String,
    /// The request's body.
    request: Value,
    /// Where it would be sent.
    #[serde(default = "chat_path")]
    path: String,
    /// The headers that it would carry.
    #[serde(default)]
    headers: Map<String, Value>,
}

fn chat_path() -> String {
    "/v1/chat/completions".to_owned()
}

pub(super) async fn explain<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
    let question: Question = read(context).await?;
    let head = head(&question)?;
    let key = key(context, &question.key).await?;
    let inner = Context {
        p: context.p,
        isolate: context.isolate,
        config: Rc::clone(&context.config),
        request: context.request.clone(),
        at: context.at,
        head: &head,
        downstream: address::language(&head),
        asked: Asked::default(),
    };
    let mut told = Map::new();
    tell(&mut told, "key", json!(key.id));
    tell(&mut told, "config_version", json!(context.config.version));
    let body = Bytes::from(question.request.to_string());
    let outcome = inner.foresee(key, body, &mut told).await;
    let would = match &outcome {
        Ok(()) => json!("be_served"),
        Err(problem) => json!({
            "be_refused": {"status": problem.status().as_u16(), "code": problem.code(), "message": problem.message()},
        }),
    };
    tell(&mut told, "would", would);
    let body = Value::Object(told).to_string().into_bytes();
    Ok(Answer::json(StatusCode::OK, body))
}

fn tell(told: &mut Map<String, Value>, name: &str, value: Value) {
    told.insert(name.to_owned(), value);
}

/// The head of the request that is asked about.
fn head(question: &Question) -> Result<Parts, Problem> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(question.path.as_str());
    for (name, value) in &question.headers {
        let text = value
            .as_str()
            .ok_or_else(|| invalid("headers", format!("The header {name:?} is not a text.")))?;
        request = request.header(name.as_str(), text);
    }
    let made = request.body(());
    let (head, ()) = made
        .map_err(|error| invalid("path", format!("There is no such request: {error}.")))?
        .into_parts();
    Ok(head)
}

/// The key as the registry has it now.
async fn key<P: Platform>(
    context: &Context<'_, P>,
    written: &str,
) -> Result<Rc<KeyRecord>, Problem> {
    let unknown = || {
        Problem::invalid(
            StatusCode::NOT_FOUND,
            "key_not_found",
            "There is no such key. Name one by its identifier (key_…) or its secret.",
        )
        .with_param("key")
    };
    if secret_key::is_well_formed(written) {
        let hash = sha256_hex(written.as_bytes());
        let found = context.p.registry(&Command::FindKey { hash }).await?;
        return match found {
            Reply::Key { key } => Ok(Rc::from(key)),
            _ => Err(unknown()),
        };
    }
    let id = KeyId::new(written).map_err(|_| unknown())?;
    let before = written
        .char_indices()
        .next_back()
        .and_then(|(last, _)| written.get(..last));
    let command = Command::ListKeys {
        org: None,
        after: before.and_then(|text| KeyId::new(text).ok()),
        limit: SIBLINGS_MAX,
    };
    match context.p.registry(&command).await? {
        Reply::Keys { keys, .. } => {
            let mut keys = keys.into_iter();
            keys.find(|key| key.id == id)
                .map(Rc::new)
                .ok_or_else(unknown)
        }
        _ => Err(Problem::bug("the registry's answer to ListKeys")),
    }
}

impl<P: Platform> Context<'_, P> {
    /// Goes the way of a request as far as its first attempt, and tells what was decided.
    async fn foresee(
        &self,
        key: Rc<KeyRecord>,
        body: Bytes,
        told: &mut Map<String, Value>,
    ) -> Result<(), Problem> {
        let endpoint = address::endpoint(self.head)?;
        let caller = authenticate::caller(&self.config, key, self.p.now(), &self.head.headers)?;
        tell(told, "caller", of_caller(&caller));
        tell(told, "residency", of_residency(&caller));
        let prepared = match endpoint {
            Endpoint::Chat(named) => self.prepare_chat(&caller, &named, body)?,
            Endpoint::Embeddings(named, is_many) => {
                self.prepare_embeddings(&caller, &named, is_many, body)?
            }
            Endpoint::Direct(endpoint) if !endpoint.wants_form() => {
                let asked = Direct {
                    endpoint,
                    facts: endpoint.read(&body)?,
                    upload: None,
                };
                self.prepare_direct(&caller, asked, body)?
            }
            _ => {
                let message = "What is sent there as JSON and leads to a model can be explained.";
                return Err(invalid("path", message.to_owned()));
            }
        };
        let keeper = Keeper::of(self.p, &caller, None)?;
        let keep = keeper.as_ref().map_or(Keep::None, Keeper::keep);
        tell(told, "bodies", json!(keep));
        let ask = self.ask(&prepared);
        tell(told, "targets", self.of_targets(&prepared, &ask.bounds));
        tell(told, "closed", of_closed(&prepared));
        let weighed = admit::weigh(self.p, self.isolate, &self.config, &caller, ask).await?;
        tell(told, "reservation", of_reservation(&weighed));
        match weighed.outcome {
            Ok(mut headroom) => {
                if let Some(binding) = Binding::least(&headroom, caller.scopes()) {
                    tell(told, "limit", json!(binding.as_str()));
                }
                // Told in words.
                headroom.tightest = None;
                tell(told, "headroom", json!(headroom));
                Ok(())
            }
            Err(denial) => Err(Problem::denied(&denial)),
        }
    }

    fn of_targets(&self, prepared: &Prepared, bounds: &[Bound]) -> Value {
        let targets = prepared.course.targets().zip(bounds);
        targets
            .map(|(target, bound)| self.of_target(prepared, target.get(), *bound))
            .collect()
    }

    fn of_target(&self, prepared: &Prepared, target: &TargetRef, bound: Bound) -> Value {
        let output = admit::output(&self.config, target, bound);
        let price = target.price.as_ref().and_then(|table| table.at(self.at));
        let written = prepared.work.request(target, &prepared.body);
        let mut told = json!({
            "provider": target.provider.id,
            "model": target.model,
            "place": target.place.map(|place| place.country.to_string()),
            "place_by": target.place.map(|place| place.by.name()),
            "egress": target.egress.map(|egress| egress.place.name()),
            "egress_when": target.egress.map(|egress| if egress.is_always { "always" } else { "refused" }),
            "baa": target.provider.has_baa,
            "usd_per_million": price.map(|price| json!({
                "input": price.rates.input.to_string(),
                "output": price.rates.output.to_string(),
            })),
            "usd_at_most": price.map(|price| price::upper_bound(price, bound.input, output).to_string()),
        });
        let (name, value) = match written {
            Ok((_, drops)) => ("dropped", json!(settle::names(&drops))),
            Err(failure) => (
                "cannot",
                json!(failure.problem(&target.provider.id).message()),
            ),
        };
        if let Some(told) = told.as_object_mut() {
            tell(told, name, value);
        }
        told
    }
}

fn of_caller(caller: &Caller) -> Value {
    let key = caller.key();
    let scopes = caller.scopes().iter();
    let scopes: Vec<_> = scopes
        .map(|ScopeRules { scope, rules }| json!({"scope": scope, "rules": rules}))
        .collect();
    json!({
        "org": key.org,
        "team": key.team,
        "app": key.app,
        "user": key.user,
        "limits": scopes,
        "strict_accounting": caller.is_strict(),
    })
}

fn of_residency(caller: &Caller) -> Value {
    let residency = caller.residency();
    let ledger = caller.ledger();
    json!({
        "region": residency.pin().map(|pin| &pin.region),
        "data": residency.is_phi().then_some("phi"),
        "ledger": ledger.name(),
        "jurisdiction": ledger.jurisdiction(),
        "bucket": residency.pin().and_then(|pin| pin.bucket.as_deref()),
    })
}

/// The targets that the request would not go to, whatever happens.
fn of_closed(prepared: &Prepared) -> Value {
    let closed = prepared.course.closed();
    closed
        .map(|(_, target, refusal)| {
            json!({"provider": target.provider.id, "model": target.model, "because": refusal.to_string()})
        })
        .collect()
}

fn of_reservation(weighed: &Weighed) -> Value {
    json!({
        "input_tokens": weighed.bound.input,
        "output_tokens": weighed.bound.output,
        "usd": weighed.estimate.cost.to_string(),
    })
}
