//! What depends on what, and whether it answers.
//!
//! Live: the code runs. Ready: requests can be served. Health: every dependency, with its latency.

use std::rc::Rc;

use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use sluice_machines::{breaker, health as region, ledger, registry};
use sluice_units::{OrgId, Timestamp};

use crate::config::{Config, Provider};
use crate::gateway::{Answer, AnswerBody, Context};
use crate::isolate::Isolate;
use crate::line::Gate;
use crate::platform::{Level, Platform, StoreError};
use crate::problem::Problem;
use crate::receipt::{self, Signer};
use crate::residency;

/// The ledger that is asked whether ledgers answer. No key belongs to it.
const PROBE_ORG: &str = "_health";
const PROBE_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn answer<P: Platform>(status: StatusCode, body: &Value) -> Answer<P> {
    let mut answer = Answer::json(status, body.to_string().into_bytes());
    answer
        .headers
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    debug_assert!(
        matches!(answer.body, AnswerBody::Full(_)),
        "a health report is whole"
    );
    answer
}

/// `/health/live`: the code runs.
#[must_use]
pub fn live<P: Platform>() -> Answer<P> {
    answer(StatusCode::OK, &json!({"status": "ok"}))
}

/// `/health/ready`: a configuration is there and the registry answers.
pub async fn ready<P: Platform>(p: &P, isolate: &Rc<Isolate>) -> Answer<P> {
    match isolate.config(p).await {
        Ok(_) => answer(StatusCode::OK, &json!({"status": "ok"})),
        Err(problem) => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"status": "unavailable", "code": problem.code(), "message": problem.message()}),
        ),
    }
}

/// The public keys that receipts are checked with.
#[must_use]
pub fn receipt_keys<P: Platform>(p: &P) -> Answer<P> {
    let mut answer = answer(StatusCode::OK, &receipt::keys(p));
    let value = HeaderValue::from_static("public, max-age=300");
    answer.headers.insert(header::CACHE_CONTROL, value);
    answer
}

/// `/health`: each dependency, asked now.
pub async fn all<P: Platform>(p: &P, isolate: &Rc<Isolate>) -> Answer<P> {
    let config = isolate.config(p).await.ok();
    let mut report = Report::new(
        p,
        if config.is_some() {
            State::Ok
        } else {
            State::Down
        },
    );

    let started = p.now();
    let outcome = p
        .registry(&registry::Command::ListKeys {
            org: None,
            after: None,
            limit: 1,
        })
        .await;
    report.note("registry", started, outcome.map(|_| ()), State::Down);

    let started = p.now();
    if let (Some(config), Ok(org)) = (&config, OrgId::new(PROBE_ORG)) {
        let outcome = isolate
            .ask_ledger(
                p,
                &residency::of_operator(config.ledger(&org, None)),
                vec![ledger::Command::Standing],
            )
            .await;
        report.note("ledger", started, outcome.map(|_| ()), State::Down);
    }

    let started = p.now();
    let outcome = p.key_copy(PROBE_HASH).await;
    report.note("key_copy", started, outcome.map(|_| ()), State::Degraded);

    let started = p.now();
    let outcome = p.probe_records().await;
    report.note("records", started, outcome, State::Degraded);

    if let Some(config) = &config {
        report.keys(config);
    }
    report.receipts();
    let status = if report.worst == State::Down {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    answer(
        status,
        &json!({
            "status": report.worst.name(),
            "version": env!("CARGO_PKG_VERSION"),
            "region": config.as_ref().map(|config| config.gateway.region.as_str()),
            "wasm_sha256": p.code_hash(),
            "config_version": config.as_ref().map(|config| config.version),
            "checks": report.checks,
        }),
    )
}

/// `/admin/health`: the circuits of this region, how well each target serves, and how many calls of those that it takes
/// at once each provider has room for.
pub(crate) async fn targets<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
    let reply = context.p.health(&region::Command::Standing).await?;
    let region::Reply::Standing(targets) = reply else {
        return Err(Problem::bug("the answer to what is known of the targets"));
    };
    let providers = context.config.providers();
    let capacity: Vec<Value> = providers
        .filter_map(|one| slots(context, one, &targets))
        .collect();
    let targets: Vec<Value> = targets.iter().map(|one| shown(one, context.at)).collect();
    let region = &context.config.gateway.region;
    let body = json!({"region": region, "targets": targets, "capacity": capacity});
    Ok(Answer::json(StatusCode::OK, body.to_string().into_bytes()))
}

/// The slots of a provider that takes so many calls at once: how many are held, and how many requests wait here.
fn slots<P: Platform>(
    context: &Context<'_, P>,
    provider: &Provider,
    targets: &[region::Target],
) -> Option<Value> {
    let concurrent = provider.capacity?.concurrent;
    let is_it = |name: &breaker::Name| name.model.is_none() && name.provider == provider.id;
    let held = targets.iter().find(|target| is_it(&target.name));
    let gate = Gate::Provider(provider.id.clone());
    Some(json!({
        "provider": provider.id,
        "concurrent": concurrent,
        "held": held.map_or(0, |target| target.slots),
        "waiting_here": context.isolate.lines.borrow().count(&gate),
    }))
}

fn shown(target: &region::Target, now: Timestamp) -> Value {
    let health = &target.health;
    let (state, until) = match health.circuit.state() {
        breaker::State::Closed => ("closed", None),
        breaker::State::Open(until) if until <= now => ("half-open", None),
        breaker::State::Open(until) => ("open", Some(until)),
        breaker::State::HalfOpen(until) => ("half-open", Some(until)),
    };
    let time = |at: Timestamp| at.to_string();
    json!({
        "name": target.name,
        "state": state,
        "until": until.map(time),
        "calls": health.calls,
        "failures": health.failures,
        "failures_permille": health.failures_permille,
        "first_byte_us": health.first_byte,
        "latency_us": health.latency,
        "called_at": (health.calls > 0).then(|| time(health.called_at)),
        "looked_at": health.looked.map(|(at, _)| time(at)),
        "answers": health.looked.map(|(_, answers)| answers),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ok,
    Degraded,
    Down,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

struct Report<'a, P: Platform> {
    p: &'a P,
    checks: Map<String, Value>,
    worst: State,
}

impl<'a, P: Platform> Report<'a, P> {
    fn new(p: &'a P, worst: State) -> Self {
        Self {
            p,
            checks: Map::new(),
            worst,
        }
    }

    fn note(
        &mut self,
        name: &str,
        started: Timestamp,
        outcome: Result<(), StoreError>,
        otherwise: State,
    ) {
        let latency_us = self.p.now().since(started).as_micros();
        let state = match outcome {
            Ok(()) => State::Ok,
            Err(error) => {
                // What the platform says may hold internals: it goes to the log, not to the public.
                self.p.log(Level::Warn, &format!("health: {name}: {error}"));
                otherwise
            }
        };
        self.worst = self.worst.max(state);
        let report = json!({"status": state.name(), "latency_us": latency_us});
        self.checks.insert(name.to_owned(), report);
    }

    /// Whether answers carry receipts; without a key they do not, which is a choice.
    fn receipts(&mut self) {
        let report = match receipt::signer(self.p) {
            Signer::Key(key) => json!({"status": State::Ok.name(), "key": key.id}),
            Signer::Off => json!({"status": "off"}),
            Signer::Unusable => {
                self.worst = self.worst.max(State::Degraded);
                let line = format!("health: {} holds no signing key", receipt::KEY_SECRET);
                self.p.log(Level::Warn, &line);
                json!({"status": State::Degraded.name()})
            }
        };
        self.checks.insert("receipts".to_owned(), report);
    }

    /// Whether every provider's key is there. Which are missing is for the operator's log.
    fn keys(&mut self, config: &Config) {
        let needed = config.secrets_needed();
        let missing: Vec<String> = needed
            .iter()
            .filter(|names| names.iter().all(|name| self.p.secret(name).is_none()))
            .map(|names| names.join(" or "))
            .collect();
        let state = if missing.is_empty() {
            State::Ok
        } else {
            State::Degraded
        };
        self.worst = self.worst.max(state);
        if !missing.is_empty() {
            self.p.log(
                Level::Warn,
                &format!("health: secrets that are not set: {}", missing.join(", ")),
            );
        }
        let report =
            json!({"status": state.name(), "needed": needed.len(), "missing": missing.len()});
        self.checks.insert("provider_keys".to_owned(), report);
    }
}
