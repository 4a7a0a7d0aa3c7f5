//! A request that needs more than it has reserved: all of it at every scope, or nothing changes.

use serde::{Deserialize, Serialize};
use sluice_units::{RequestId, Timestamp};

use super::admit::{candidates, common_time};
use super::measure::nanos;
use super::rows::{Draft, Found, Reservation, find, open_key};
use super::scope::ScopeRow;
use super::{Denial, Headroom, Reply, chargeable};
use crate::limit::{Amount, Meter, Rule, Scope, ScopeRules, Slice};
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
    let at = common_time(work, now, held.scopes.iter().map(|(key, _)| key))?;
    let mut raised = Vec::with_capacity(held.scopes.len());
    for (key, ordinal) in &held.scopes {
        let candidate = named.iter().find(|candidate| candidate.key == *key);
        let rules = candidate.map_or(&[][..], |candidate| &candidate.rules);
        let before: &ScopeRow = work.hot(key)?;
        let mut after = before.clone();
        after.raise(at, rules, (&held, *ordinal), to);
        let forbids = |rule: &&Rule| is_forbidden(rule, (before, &after), at, &held);
        if let Some(rule) = rules.iter().find(forbids) {
            let scope = candidate.map_or(&Scope::Org, |candidate| candidate.scope);
            let used = before.measure(rule, at).used;
            return Ok(Reply::Denied(denial(scope, rule, used, (&held, to))));
        }
        raised.push((key, after));
    }
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
    let asked = match *rule {
        Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => match meter {
            Meter::Requests => 0,
            Meter::Tokens => to.tokens.minus(held.estimate.tokens).count(),
        },
        Rule::Concurrency { .. } => 0,
        Rule::Budget { .. } => nanos(to.cost.minus(held.estimate.cost)),
    };
    Denial {
        scope: scope.clone(),
        rule: *rule,
        used,
        asked,
        retry_after: None,
        leases_end: None,
        headroom: Headroom::default(),
    }
}
