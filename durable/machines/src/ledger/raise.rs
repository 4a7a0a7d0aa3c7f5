//! A request that needs more than it has reserved: all of it at every scope, or nothing changes.

use serde::{Deserialize, Serialize};
use sluice_units::{RequestId, Timestamp};

use super::admit::{candidates, common_time};
use super::rows::{Charge, Draft, Found, Reservation, find, open_key};
use super::scope::ScopeRow;
use super::{Denial, Headroom, Reply, borrow, chargeable, pool};
use crate::limit::{Amount, Rule, Scope, ScopeRules, Slice};
use crate::record::Record;
use crate::rows::{RowError, Work};

/// A request that needs more than it has reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// The request.
    pub request: RequestId,
    /// Every scope that applies, with its rules as they are now.
    pub scopes: Vec<ScopeRules>,
    /// What it will use at most, all in all.
    pub estimate: Amount,
}

/// Reserves more for an open request.
pub(super) fn raise(
    work: &mut Work<'_>,
    now: Timestamp,
    wanted: &Raise,
) -> Result<Reply, RowError> {
    let Found::Open(held) = find(work, &wanted.request)? else {
        return Ok(Reply::Unknown);
    };
    let to = Slice::of(chargeable(wanted.estimate)).max(Slice::of(held.estimate));
    let to = Amount {
        tokens: to.tokens,
        cost: to.cost,
    };
    if to == held.estimate {
        return Ok(Reply::Done);
    }
    let named = candidates(&wanted.scopes);
    let at = common_time(work, now, held.scopes.iter().map(|charge| &charge.0))?;
    let mut raised = Vec::with_capacity(held.scopes.len());
    for charge in &held.scopes {
        let Charge(key, _, borrowed) = charge;
        let candidate = named.iter().find(|candidate| candidate.key == *key);
        let rules = candidate.map_or(&[][..], |candidate| &candidate.rules);
        // What has borrowed goes on borrowing, and nothing else begins to.
        let rules = borrow::borrowing(rules, |of| borrowed.contains(&of));
        let before: &ScopeRow = work.hot(key)?;
        let mut after = before.clone();
        after.raise(at, &rules, (&held, charge), to);
        let forbids = |rule: &&Rule| is_forbidden(rule, (before, &after), at, &held);
        if let Some(rule) = rules.iter().find(forbids) {
            let scope = candidate.map_or(&Scope::Org, |candidate| candidate.scope);
            let used = before.measure(rule, at).used;
            return Ok(Reply::Denied(denial(scope, rule, used, (&held, to))));
        }
        raised.push((key, after));
    }
    let more = Amount {
        tokens: to.tokens.minus(held.estimate.tokens),
        cost: to.cost.minus(held.estimate.cost),
    };
    if let Some(reply) = uncovered(work, (now, at), &wanted.scopes, &held, more)? {
        return Ok(reply);
    }
    pool::raise(work, now, &held, more)?;
    for (key, after) in raised {
        *work.hot_mut(key)? = after;
    }
    let request = &wanted.request;
    let draft = held.draft.read(&open_key(request))?;
    let mut usage = draft.usage;
    usage.output = usage.output.plus(to.tokens.minus(held.estimate.tokens));
    let reservation = Reservation {
        raised_at: Some(at),
        estimate: to,
        draft: Draft::new(&Record {
            cost_nano_usd: to.cost,
            usage,
            ..draft
        })?,
        ..(*held).clone()
    };
    work.put(open_key(request), &reservation)?;
    Ok(Reply::Done)
}

/// What there is of the parent's allowance does not suffice: the answer.
fn uncovered(
    work: &mut Work<'_>,
    (now, at): (Timestamp, Timestamp),
    scopes: &[ScopeRules],
    held: &Reservation,
    more: Amount,
) -> Result<Option<Reply>, RowError> {
    let Some((pool, _)) = held.pool.as_ref().filter(|_| pool::has_rules(scopes)) else {
        return Ok(None);
    };
    let slice = Slice {
        requests: 0,
        ..Slice::of(more)
    };
    let scopes = borrow::scopes(scopes, &held.loans());
    if pool::free(work, (pool, &scopes), at)?.covers(slice) {
        return Ok(None);
    }
    if let Some(denial) = pool::refusal(work, now, pool, slice)? {
        return Ok(Some(Reply::Denied(denial)));
    }
    if work.is_alone {
        // Nobody knows whether there is more.
        let named = scopes.iter();
        let mut rules = named.flat_map(|of| of.rules.iter().map(|rule| (&of.scope, rule)));
        let denied = rules.next().map(|(scope, rule)| {
            let denial = denial(scope, rule, 0, (held, held.estimate));
            Reply::Denied(denial)
        });
        return Ok(denied);
    }
    pool::lacking_more(work, pool, slice)
}

/// Whether a rule would be fuller than it is, and fuller than it allows. What is left of a period that has ended
/// nobody knows any more.
fn is_forbidden(
    rule: &Rule,
    (before, after): (&ScopeRow, &ScopeRow),
    at: Timestamp,
    held: &Reservation,
) -> bool {
    if let Rule::Budget { period, .. } = *rule
        && !after.holds(period, held)
    {
        return true;
    }
    let (was, is) = (before.measure(rule, at), after.measure(rule, at));
    is.used > is.limit.max(was.used)
}

fn denial(scope: &Scope, rule: &Rule, used: u64, (held, to): (&Reservation, Amount)) -> Denial {
    Denial {
        scope: scope.clone(),
        rule: *rule,
        used,
        asked: rule.asked(Slice::of(to).minus(Slice::of(held.estimate))),
        retry_after: None,
        leases_end: None,
        borrows: Vec::new(),
        headroom: Headroom::default(),
    }
}
