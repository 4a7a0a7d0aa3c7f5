//! May this request go ahead: one atomic decision over all scopes, and the reservation that it leaves.

use http::StatusCode;
use std::rc::Rc;

use sluice_machines::ledger::{self, Admission, Headroom};
use sluice_machines::limit::{Amount, Rule, ScopeRules};
use sluice_machines::record::{CacheState, Operation, Outcome, Record, RecordKind, UsageSource};
use sluice_units::{ModelId, NanoUsd, OrgId, RequestId, Span, Timestamp, Tokens, Usage};

use crate::authenticate::Caller;
use crate::config::{Config, Route};
use crate::isolate::Isolate;
use crate::platform::Platform;
use crate::price;
use crate::problem::Problem;

/// What a request will use at most.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Input tokens.
    pub input: Tokens,
    /// Output tokens, over all choices; `None` leaves it to each target's own limit.
    pub output: Option<Tokens>,
}

/// What is known of a request before it is admitted.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The request.
    pub request: RequestId,
    /// When it arrived.
    pub at: Timestamp,
    /// What is asked for.
    pub operation: Operation,
    /// The model's name as the caller wrote it.
    pub model: ModelId,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Where it leads.
    pub route: &'a Route,
    /// What it will use at most, by target.
    pub bounds: Vec<Bound>,
}

/// A request that was let in. Only this module makes one; it must end in a settlement.
#[derive(Debug)]
pub struct Admitted {
    draft: Record,
    headroom: Headroom,
    bound: Bound,
    ttl: Span,
}

impl Admitted {
    /// The record as far as it is known.
    #[must_use]
    pub const fn draft(&self) -> &Record {
        &self.draft
    }

    /// Who pays.
    #[must_use]
    pub const fn org(&self) -> &OrgId {
        &self.draft.org
    }

    /// What is left of the limits.
    #[must_use]
    pub const fn headroom(&self) -> &Headroom {
        &self.headroom
    }

    /// What the request will use at most, at the dearest target.
    #[must_use]
    pub const fn bound(&self) -> Bound {
        self.bound
    }

    /// How long the reservation lives without a sign of life.
    #[must_use]
    pub const fn ttl(&self) -> Span {
        self.ttl
    }
}

/// Reserves what the request may use, at every scope or at none.
///
/// # Errors
/// A 429 that names the binding limit, a 403 when a budget stands and no price is known, a 503 when the ledger does
/// not answer.
pub async fn reserve<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    config: &Config,
    caller: &Caller,
    ask: Ask<'_>,
) -> Result<Admitted, Problem> {
    let (bound, estimate) = estimate(caller.scopes(), &ask)?;
    let draft = draft(config, caller, &ask, bound, estimate);
    let ttl = config.accounting.reservation_ttl;
    let command = ledger::Command::Admit(Box::new(Admission {
        scopes: caller.scopes().to_vec(),
        estimate,
        ttl,
        draft: draft.clone(),
    }));
    let asked = p.ledger(&draft.org, std::slice::from_ref(&command)).await;
    let mut replies = asked.inspect_err(|_| {
        // The reservation may stand all the same; releasing one that does not is harmless.
        let release = ledger::Command::Release {
            request: draft.request.clone(),
        };
        isolate.defer(p, &draft.org, release);
    })?;
    match replies.pop() {
        Some(ledger::Reply::Admitted(headroom)) => Ok(Admitted {
            draft,
            headroom,
            bound,
            ttl,
        }),
        Some(ledger::Reply::Denied(denial)) => Err(Problem::denied(&denial)),
        _ => Err(Problem::bug("the ledger's answer to an admission")),
    }
}

/// The dearest of the targets, since any of them may serve.
fn estimate(scopes: &[ScopeRules], ask: &Ask<'_>) -> Result<(Bound, Amount), Problem> {
    let budgeted = scopes
        .iter()
        .flat_map(|scope| &scope.rules)
        .any(|rule| matches!(rule, Rule::Budget { .. }));
    let mut most = (
        Bound {
            input: Tokens::ZERO,
            output: Some(Tokens::ZERO),
        },
        Amount::default(),
    );
    for (target, bound) in ask.route.targets.iter().zip(&ask.bounds) {
        let output = bound
            .output
            .or(target.output_tokens_max)
            .unwrap_or(crate::estimate::OUTPUT_TOKENS_DEFAULT);
        let cost = match target.price.as_ref().and_then(|table| table.at(ask.at)) {
            Some(price) => price::upper_bound(price, bound.input, output),
            None if budgeted => {
                return Err(Problem::invalid(
                    StatusCode::FORBIDDEN,
                    "model_not_priced",
                    format!(
                        "A budget applies, and no price is known for {} at {}: its cost could not be kept within the budget. An administrator can add it under [prices].",
                        target.model, target.provider.id
                    ),
                )
                .with_param("model"));
            }
            None => NanoUsd::ZERO,
        };
        let tokens = bound.input.plus(output);
        most.0.input = most.0.input.max(bound.input);
        most.0.output = most.0.output.max(Some(output));
        most.1.tokens = most.1.tokens.max(tokens);
        most.1.cost = most.1.cost.max(cost);
    }
    Ok(most)
}

fn draft(
    config: &Config,
    caller: &Caller,
    ask: &Ask<'_>,
    bound: Bound,
    estimate: Amount,
) -> Record {
    let key = caller.key();
    Record {
        request: ask.request.clone(),
        kind: RecordKind::Settled,
        at_us: ask.at,
        org: key.org.clone(),
        team: key.team.clone(),
        app: key.app.clone(),
        user: key.user.clone(),
        key: key.id.clone(),
        operation: ask.operation,
        model: ask.model.clone(),
        stream: ask.stream,
        provider: None,
        provider_model: None,
        region: config.gateway.region.clone(),
        usage: Usage {
            input: bound.input,
            output: bound.output.unwrap_or_default(),
            ..Usage::default()
        },
        usage_source: UsageSource::Reserved,
        cost_nano_usd: estimate.cost,
        overrun: false,
        latency_us: Span::ZERO,
        first_byte_us: None,
        cache: CacheState::Off,
        outcome: Outcome::Unknown,
        status: 0,
        finish: None,
        error: None,
        attempts: Vec::new(),
        dropped: Vec::new(),
    }
}
