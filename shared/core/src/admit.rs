//! May this request go ahead: one atomic decision over all scopes, and the reservation that it leaves.

use std::rc::Rc;

use sluice_machines::ledger::{self, Admission, Denial, Headroom, Intent, Parent, Part};
use sluice_machines::limit::{Amount, Meter, ScopeRules, Slice};
use sluice_machines::record::{
    Bodies, CacheState, Operation, Outcome, Record, RecordKind, UsageSource,
};
use sluice_units::{KeyId, LeaseId, LedgerId, ModelId, RequestId, Span, Timestamp, Tokens, Usage};
use sluice_wire::openai::direct::Units;

use crate::authenticate::Caller;
use crate::commit::{self, Listener, Ticket};
use crate::config::Config;
use crate::gateway::Context;
use crate::headers::Binding;
use crate::isolate::Isolate;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::residency::{Course, Permitted};
use crate::secret_key;
use crate::wait::Wait;

mod again;
mod amount;

use again::Asking;
pub(crate) use again::may_go_on;
pub(crate) use amount::output;
use amount::{Estimate, estimate};

/// What a request will use at most.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Input tokens.
    pub input: Tokens,
    /// The same as they most likely are, where nobody ever says.
    pub likely: Tokens,
    /// Output tokens, over all choices; `None` leaves it to each target's own limit.
    pub output: Option<Tokens>,
    /// What is used beside tokens.
    pub units: Units,
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
    pub course: &'a Course,
    /// What it will use at most, by target; empty where it uses nothing that is paid for.
    pub bounds: Vec<Bound>,
    /// How many answers it wants at once.
    pub choices: u64,
    /// The least output of each that makes sense, where it can do with less.
    pub least: Option<Tokens>,
    /// What the record says of bodies until they are there.
    pub bodies: Option<Bodies>,
}

/// A request that was let in. Only this module makes one; it must end in a settlement.
#[derive(Debug)]
pub struct Admitted {
    draft: Record,
    ledger: Permitted<LedgerId>,
    headroom: Headroom,
    bound: Bound,
    estimate: Amount,
    scopes: Vec<ScopeRules>,
    cut: Option<u64>,
    ttl: Span,
    /// Where the reservation is told of by an intent.
    intent: Option<Ticket>,
}

impl Admitted {
    /// The record as far as it is known.
    #[must_use]
    pub const fn draft(&self) -> &Record {
        &self.draft
    }

    /// Where it is counted.
    #[must_use]
    pub const fn ledger(&self) -> &Permitted<LedgerId> {
        &self.ledger
    }

    /// What is left of the limits.
    #[must_use]
    pub const fn headroom(&self) -> &Headroom {
        &self.headroom
    }

    /// The limit with the least left.
    #[must_use]
    pub fn binding(&self) -> Option<Binding> {
        Binding::least(&self.headroom, &self.scopes)
    }

    /// What the request will use at most, at the dearest target.
    #[must_use]
    pub const fn bound(&self) -> Bound {
        self.bound
    }

    /// What is reserved.
    #[must_use]
    pub const fn estimate(&self) -> Amount {
        self.estimate
    }

    /// Where it is reserved, with the rules there.
    #[must_use]
    pub fn scopes(&self) -> &[ScopeRules] {
        &self.scopes
    }

    /// The output tokens that each choice is cut to, where a limit leaves less than was asked for.
    #[must_use]
    pub const fn cut(&self) -> Option<u64> {
        self.cut
    }

    /// Returns when it is known whether the reservation is durable, and whether it is. Before that, nothing may reach
    /// the caller.
    pub async fn committed<P: Platform>(&self, p: &P, isolate: &Rc<Isolate>) -> bool {
        match &self.intent {
            Some(intent) => intent.committed(p, isolate, &self.ledger).await,
            None => true,
        }
    }

    /// How long the reservation lives without a sign of life.
    #[must_use]
    pub const fn ttl(&self) -> Span {
        self.ttl
    }
}

/// Reserves what the request may use, at every scope or at none: out of the isolate's slice where that suffices, which
/// takes no time, and else by asking the ledger.
///
/// # Errors
/// A 429 that names the binding limit, a 403 when a budget stands and no price is known, a 503 when the ledger does
/// not answer; what a new request would be told where the caller may not ask any more when it has waited.
pub(crate) async fn reserve<P: Platform>(
    context: &Context<'_, P>,
    caller: &Caller,
    ask: Ask<'_>,
) -> Result<Admitted, Problem> {
    let config = &context.config;
    let Estimate {
        bound,
        amount,
        part,
    } = estimate(config, caller.scopes(), &ask)?;
    let draft = draft(caller, &ask, bound, amount);
    let ttl = config.accounting.reservation_ttl;
    let mut admitted = Admitted {
        draft,
        ledger: caller.ledger().clone(),
        headroom: Headroom::default(),
        bound,
        estimate: amount,
        scopes: caller.scopes().to_vec(),
        cut: None,
        ttl,
        intent: None,
    };
    note(context, caller, amount);
    let asking = Asking::new(Rc::clone(config), caller);
    let mut wait = Wait::new(context.p, context.isolate, (ask.at, Slice::of(amount)));
    let cut = let_in(context, &mut wait, asking, (&ask, part), &mut admitted).await?;
    wait.use_turn();
    if let Some((part, tokens)) = cut {
        let output = admitted.bound.output.unwrap_or_default();
        let output = output.minus(part.tokens.minus(tokens));
        admitted.bound.output = Some(output);
        admitted.draft.usage.output = output;
        admitted.cut = Some(output.count().div_euclid(ask.choices.max(1)));
    }
    Ok(admitted)
}

/// What would become of a request: what it would reserve at most, and what the ledger says to it.
#[derive(Debug)]
pub struct Weighed {
    /// What it would use at most, at the dearest target.
    pub bound: Bound,
    /// What it would reserve.
    pub estimate: Amount,
    /// What would be left, or why it would be refused.
    pub outcome: Result<Headroom, Denial>,
}

/// Decides as [`reserve`] does and undoes it in the same commit: nothing of it remains.
///
/// # Errors
/// A 403 when a budget stands and no price is known, a 503 when the ledger does not answer.
pub async fn weigh<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    config: &Config,
    caller: &Caller,
    ask: Ask<'_>,
) -> Result<Weighed, Problem> {
    let Estimate {
        bound,
        amount,
        part,
    } = estimate(config, caller.scopes(), &ask)?;
    let admission = ledger::Command::Admit(Box::new(Admission {
        scopes: caller.scopes().to_vec(),
        estimate: amount,
        part,
        ttl: config.accounting.reservation_ttl,
        draft: draft(caller, &ask, bound, amount),
        parent: caller.ledger().parent().map(Parent::from),
    }));
    let release = ledger::Command::Release {
        request: ask.request,
    };
    let commands = vec![admission, release];
    let replies = isolate.ask_ledger(p, caller.ledger(), commands).await?;
    let outcome = match replies.into_iter().next() {
        Some(ledger::Reply::Admitted(headroom) | ledger::Reply::Cut(_, headroom)) => Ok(headroom),
        Some(ledger::Reply::Denied(denial)) => Err(denial),
        _ => return Err(Problem::bug("the ledger's answer to an admission")),
    };
    Ok(Weighed {
        bound,
        estimate: amount,
        outcome,
    })
}

/// Tries until the request is let in, or is refused for good. Says what of it was, where not all of it.
async fn let_in<P: Platform>(
    context: &Context<'_, P>,
    wait: &mut Wait<'_, P>,
    mut asking: Asking<'_>,
    (ask, part): (&Ask<'_>, Option<Part>),
    admitted: &mut Admitted,
) -> Result<Option<(Part, Tokens)>, Problem> {
    let (p, isolate) = (context.p, context.isolate);
    let mut time_has_passed = wait.behind_others(asking.caller()).await?;
    let mut has_told = false;
    let mut denied = None;
    loop {
        if time_has_passed {
            asking.look_again(context, ask).await?;
            if asking.caller().scopes() != admitted.scopes {
                admitted.scopes = asking.caller().scopes().to_vec();
                // What is held was granted under other rules.
                note(context, asking.caller(), admitted.estimate);
            }
            wait.may_ask(denied.as_deref())?;
        }
        let caller = asking.caller();
        if !caller.is_strict() && draw(p, isolate, admitted) {
            return Ok(None);
        }
        // Where the allowance is scarce a slice would keep others out: whoever had to wait asks for itself alone.
        let is_scarce = wait.has_waited();
        // Whoever has waited has waited for longer than the news of what has ended here takes.
        let has_news = !has_told && !is_scarce && isolate.outgoing.has_endings(&admitted.ledger);
        // What has ended must not cut an answer either.
        let how = (part.filter(|_| !has_news), is_scarce);
        match ask_ledger(p, isolate, caller, admitted, how).await? {
            Asked::Whole => return Ok(None),
            Asked::Part(tokens) => return Ok(part.map(|part| (part, tokens))),
            Asked::Denied(denial) if has_news && may_change(&denial, part) => {
                has_told = true;
                let request = admitted.draft.request.clone();
                commit::tell_endings(p, isolate, &admitted.ledger, request).await;
            }
            Asked::Denied(denial) => {
                wait.after(&denial, caller).await?;
                denied = Some(denial);
            }
        }
        time_has_passed = true;
    }
}

/// Whether the end of other requests may change a refusal, or less of the request may fit.
///
/// A settlement waits for company as long as nobody waits for it, and whoever asks by itself overtakes it. So a caller
/// that has its answer and asks again at once could be refused, or have its answer cut short, for what it does not hold
/// any more. Where something has ended of which the ledger may not have heard, it is told so before a refusal counts.
fn may_change(denial: &Denial, part: Option<Part>) -> bool {
    // A request that was let in stays counted.
    let frees = denial.rule.meter() != Some(Meter::Requests);
    frees && (denial.retry_after.is_some() || part.is_some())
}

/// Counts a request of this caller's, under the rules that hold for it now.
fn note<P: Platform>(context: &Context<'_, P>, caller: &Caller, estimate: Amount) {
    let mut leases = context.isolate.leases.borrow_mut();
    let slice = Slice::of(estimate);
    leases.note(context.p.now(), caller.account(), caller.scopes(), slice);
}

/// What the ledger says to one request.
enum Asked {
    Whole,
    /// The least, and so many output tokens more.
    Part(Tokens),
    Denied(Box<Denial>),
}

/// Lets the request in out of the isolate's slice, and sends word of it. No time passes.
fn draw<P: Platform>(p: &P, isolate: &Rc<Isolate>, admitted: &mut Admitted) -> bool {
    let now = p.now();
    let (draft, ledger) = (&admitted.draft, &admitted.ledger);
    let estimate = admitted.estimate;
    if !isolate.outgoing.has_room(ledger) {
        return false;
    }
    let drawn = isolate
        .leases
        .borrow_mut()
        .draw(now, (ledger, &draft.key), Slice::of(estimate));
    let Some(draw) = drawn else {
        renew(p, isolate, ledger, &draft.key);
        return false;
    };
    let intent = ledger::Command::Intent(Box::new(Intent {
        lease: draw.lease,
        sequence: draw.sequence,
        estimate,
        ttl: admitted.ttl,
        draft: draft.clone(),
    }));
    let ticket = Ticket::default();
    let listener = Listener::Ticket(ticket.clone());
    let sent = commit::send(p, isolate, ledger, intent, listener);
    debug_assert!(sent, "there was room");
    renew(p, isolate, ledger, &draft.key);
    admitted.headroom = draw.headroom;
    admitted.intent = Some(ticket);
    true
}

/// Renews the key's slice behind everything that was drawn from it, if it is time to.
fn renew<P: Platform>(p: &P, isolate: &Rc<Isolate>, ledger: &Permitted<LedgerId>, key: &KeyId) {
    let request = isolate.leases.borrow_mut().renew(p.now(), (ledger, key));
    let Some(request) = request else { return };
    let (lease, number) = (request.lease.clone(), request.number);
    let listener = Listener::Lease(key.clone(), lease.clone(), number);
    let command = ledger::Command::Lease(Box::new(request));
    if !commit::send(p, isolate, ledger, command, listener) {
        let mut leases = isolate.leases.borrow_mut();
        leases.unanswered((ledger, key), &lease);
    }
}

/// Asks the ledger for this one request, and for a first slice with it where the key is busy and the allowance is not
/// scarce. A denial is an answer.
async fn ask_ledger<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    caller: &Caller,
    admitted: &mut Admitted,
    (part, is_scarce): (Option<Part>, bool),
) -> Result<Asked, Problem> {
    let (draft, ledger) = (&admitted.draft, &admitted.ledger);
    let admission = ledger::Command::Admit(Box::new(Admission {
        scopes: caller.scopes().to_vec(),
        estimate: admitted.estimate,
        part,
        ttl: admitted.ttl,
        draft: draft.clone(),
        parent: ledger.parent().map(Parent::from),
    }));
    let name = || LeaseId::new(&secret_key::identifier("lease_", p.random())).ok();
    let begun = if is_scarce {
        None
    } else {
        let mut leases = isolate.leases.borrow_mut();
        leases.begin(p.now(), (ledger, &draft.key), name)
    };
    let behind = begun.map(|request| {
        let listener = Listener::Lease(draft.key.clone(), request.lease.clone(), request.number);
        (ledger::Command::Lease(Box::new(request)), listener)
    });
    let asked = commit::ask(p, isolate, ledger, admission, behind).await;
    let reply = asked.inspect_err(|_| {
        // The reservation may stand all the same; releasing one that does not is harmless.
        let release = ledger::Command::Release {
            request: draft.request.clone(),
        };
        isolate.defer(p, ledger, release);
    })?;
    match reply {
        ledger::Reply::Admitted(headroom) => {
            admitted.headroom = headroom;
            Ok(Asked::Whole)
        }
        ledger::Reply::Cut(tokens, headroom) => {
            admitted.headroom = headroom;
            Ok(Asked::Part(tokens))
        }
        ledger::Reply::Denied(denial) => Ok(Asked::Denied(Box::new(denial))),
        ledger::Reply::Done => Err(expired()),
        _ => Err(Problem::bug("the ledger's answer to an admission")),
    }
}

/// An earlier admission of the same request, of which it never heard, was charged meanwhile.
fn expired() -> Problem {
    Problem::unavailable(
        "reservation_expired",
        "What was reserved for this request expired while it waited for its limits. Send it again.",
        Span::from_seconds(1),
    )
}

fn draft(caller: &Caller, ask: &Ask<'_>, bound: Bound, estimate: Amount) -> Record {
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
        region: caller.ledger().region().clone(),
        shard: caller.ledger().of_shard(),
        pin: caller.residency().pin().map(|pin| pin.region.clone()),
        place: None,
        egress: None,
        usage: Usage {
            input: bound.input,
            output: bound.output.unwrap_or_default(),
            ..Usage::default()
        },
        usage_source: UsageSource::Reserved,
        cost_nano_usd: estimate.cost,
        overrun: false,
        borrowed: Vec::new(),
        latency_us: Span::ZERO,
        first_byte_us: None,
        cache: CacheState::Off,
        outcome: Outcome::Unknown,
        status: 0,
        finish: None,
        error: None,
        attempts: Vec::new(),
        dropped: Vec::new(),
        bodies: ask.bodies.clone(),
    }
}
