//! How many tokens a conversation has: as its provider counts them, or else an estimate.
//!
//! A provider is asked where the first target of the model speaks the caller's dialect. Counting uses nothing that is
//! paid for; limits on requests hold for it, and it leaves a record.

use std::cell::Cell;
use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, StatusCode};
use sluice_machines::record::{Attempt, Operation, Outcome, Record, UsageSource};
use sluice_units::Usage;
use sluice_wire::dialect::decode_error;
use sluice_wire::model::ChatRequest;
use sluice_wire::openai::direct::Units;
use sluice_wire::{DecodeError, Downstream, UpstreamRequest, anthropic, gemini};

use crate::address::Named;
use crate::admit::{self, Admitted, Ask};
use crate::bodies::Keeper;
use crate::capacity;
use crate::config::{EgressName, ProviderDialect, TargetRef};
use crate::gateway::{Answer, Context, LEFT_STATUS, trace};
use crate::plan::Failure;
use crate::platform::{Platform, StoreError};
use crate::problem::Problem;
use crate::receipt;
use crate::residency::{Course, Permitted};
use crate::serve::egress;
use crate::settle::{self, Ending};
use crate::{estimate, headers, translate, upstream};

/// The largest count that is read, in bytes.
const COUNT_BYTES_MAX: usize = 64 << 10;

/// Answers a request for a count.
pub(crate) async fn count<P: Platform>(
    context: &Context<'_, P>,
    named: &Named<'_>,
) -> Result<Answer<P>, Problem> {
    let caller = context.caller().await?;
    let body = context.body().await?;
    let (chat, _) = match &named.model {
        Some(model) => gemini::downstream::decode_count_tokens(model, &body)?,
        None => anthropic::decode_count_tokens(&body)?,
    };
    let (course, model) = context.route(&caller, &chat.model)?;
    let keeper = Keeper::of(context.p, &caller, Some(body.clone()))?;
    let ask = Ask {
        request: context.request.clone(),
        at: context.at,
        operation: Operation::CountTokens,
        model,
        stream: false,
        course: &course,
        bounds: Vec::new(),
        choices: 1,
        least: None,
        bodies: keeper.as_ref().map(Keeper::promise),
    };
    let (p, isolate) = (context.p, context.isolate);
    let admitted = admit::reserve(context, &caller, ask).await?;
    context.asked.is_admitted.set(true);
    let settle = |record| settle(context, &admitted, (keeper.as_ref(), &chat), record);
    let asked = native(context, &course, &chat, &body);
    let egress = asked.as_ref().and_then(|((_, way), _)| *way);
    let egress = egress.map(Permitted::into_inner);
    let mut attempts = Vec::new();
    let counted = match asked {
        None => Some(None),
        Some((called, request)) => {
            let asking = pin!(call(context, &admitted, called, request, &mut attempts));
            let left = pin!(p.left());
            match select(asking, left).await {
                Either::Left((counted, _)) => Some(counted),
                Either::Right(((), _)) => None,
            }
        }
    };
    let target = course.target(0).filter(|_| !attempts.is_empty());
    let called = (target.map(Permitted::get), egress);
    let Some(counted) = counted else {
        let ending = Ending {
            outcome: Outcome::DownstreamLeft,
            status: LEFT_STATUS,
            ..ending(called, attempts, Some("downstream_left".to_owned()))
        };
        let record = settle::record(&admitted, p.now(), ending);
        settle(record);
        return Err(Problem::left());
    };
    let is_committed = admitted.committed(p, isolate).await;
    let record = settle::record(&admitted, p.now(), ending(called, attempts, None));
    settle(record.clone());
    if !is_committed {
        return Err(Problem::from(StoreError::Unavailable {
            store: "ledger",
            detail: String::new(),
        }));
    }
    let mut answer = answer(context, &admitted, called, &chat, counted);
    let version = context.config.version;
    let receipt = receipt::of(p, isolate, admitted.ledger(), version, || record).await;
    if let Some(receipt) = receipt {
        headers::receipt(&mut answer.headers, &receipt);
    }
    Ok(answer)
}

/// Settles, with what was asked where that is to be on record.
fn settle<P: Platform>(
    context: &Context<'_, P>,
    admitted: &Admitted,
    (keeper, chat): (Option<&Keeper>, &ChatRequest),
    record: Record,
) {
    let (p, isolate) = (context.p, context.isolate);
    match keeper {
        Some(keeper) => keeper.settle(p, isolate, admitted, record, keeper.write_count(chat)),
        None => settle::settle(p, isolate, admitted.ledger(), record),
    }
}

/// Who is called, and from where.
type Called<'a> = (Permitted<&'a TargetRef>, Option<Permitted<EgressName>>);

/// The provider that counts in the caller's dialect, and what it is asked. Who has failed lately is not asked for what
/// can be estimated.
fn native<'a, P: Platform>(
    context: &Context<'_, P>,
    course: &'a Course,
    chat: &ChatRequest,
    body: &Bytes,
) -> Option<(Called<'a>, UpstreamRequest)> {
    let (p, isolate, downstream) = (context.p, context.isolate, context.downstream);
    let permitted = course.target(0)?;
    let target = permitted.get();
    let is_own = target.provider.dialect != ProviderDialect::Sandbox
        && downstream.passes(translate::dialect(target), chat, &target.wire);
    if !is_own {
        return None;
    }
    let request = downstream.count_request(chat, &target.wire, body);
    let request = request.ok().flatten()?;
    if !isolate.circuits.borrow_mut().is_closed(target) {
        return None;
    }
    let way = egress::way(p, isolate, course.residency(), target).ok()?;
    Some(((permitted, way), request))
}

/// The provider's answer; `None` when it has none.
async fn call<P: Platform>(
    context: &Context<'_, P>,
    admitted: &Admitted,
    (permitted, way): Called<'_>,
    mut request: UpstreamRequest,
    attempts: &mut Vec<Attempt>,
) -> Option<Bytes> {
    let (p, isolate) = (context.p, context.isolate);
    let target = permitted.get();
    // Nobody waits for what can be estimated.
    let slot = capacity::take(p, isolate, &target.provider).await.ok()?;
    let started_at = p.now();
    let forwarded = headers::forwarded(&context.head.headers, context.downstream);
    request.headers.extend(forwarded);
    let work = async {
        let trace = trace(&context.head.headers);
        let mut answer = upstream::call(p, isolate, permitted, request, way, None, &trace).await?;
        let body = upstream::read_whole(&mut answer.body, COUNT_BYTES_MAX, true).await?;
        if !answer.status.is_success() {
            let (dialect, status) = (translate::dialect(target), answer.status.as_u16());
            let error = decode_error(dialect, status, &answer.headers, &body);
            return Err(Failure::Answered(error));
        }
        match context.downstream.counted(&body) {
            Some(_) => Ok(body),
            None => Err(Failure::Garbled(DecodeError::Truncated)),
        }
    };
    let deadline = Cell::new(started_at.plus(target.provider.timeouts.first_byte));
    let every = capacity::every(slot.is_some(), admitted);
    let tick = || {
        settle::extend(p, isolate, admitted);
        if let Some(slot) = &slot {
            slot.goes_on(p);
        }
    };
    let done = upstream::within(p, &deadline, every, tick, work).await;
    if let Some(slot) = slot {
        slot.end(p);
    }
    let done = done.unwrap_or(Err(Failure::Timeout("answer")));
    let status = match &done {
        Ok(_) => Some(200),
        Err(Failure::Answered(error)) => Some(error.status),
        Err(_) => None,
    };
    attempts.push(Attempt {
        provider: target.provider.id.clone(),
        model: target.model.clone(),
        egress: way.map(|place| place.name().to_owned()),
        status,
        error: done.as_ref().err().map(Failure::code),
        latency_us: p.now().since(started_at),
        spent: None,
    });
    done.ok()
}

fn ending(
    (target, egress): (Option<&TargetRef>, Option<EgressName>),
    attempts: Vec<Attempt>,
    error: Option<String>,
) -> Ending<'_> {
    Ending {
        outcome: Outcome::Completed,
        status: 200,
        target,
        egress,
        usage: Usage::default(),
        units: Units::default(),
        usage_source: UsageSource::None,
        first_byte_at: None,
        finish: None,
        error,
        attempts,
        dropped: Vec::new(),
    }
}

/// The provider's count as it came, or an estimate, on the safe side: no two providers count alike.
fn answer<P: Platform>(
    context: &Context<'_, P>,
    admitted: &Admitted,
    (target, egress): (Option<&TargetRef>, Option<EgressName>),
    chat: &ChatRequest,
    counted: Option<Bytes>,
) -> Answer<P> {
    let mut head = HeaderMap::new();
    headers::limits(&mut head, admitted.headroom(), admitted.binding().as_ref());
    let body = match (counted, target) {
        (Some(body), Some(target)) => {
            headers::served_by(&mut head, target, egress, admitted.draft());
            body.to_vec()
        }
        _ => {
            headers::estimated(&mut head);
            let count = estimate::likely(estimate::chat_input(chat)).count();
            match context.downstream {
                Downstream::GenerateContent(_) => gemini::downstream::encode_count_tokens(count),
                _ => anthropic::encode_token_count(count),
            }
        }
    };
    let mut answer = Answer::json(StatusCode::OK, body);
    answer.headers.extend(head);
    answer
}
