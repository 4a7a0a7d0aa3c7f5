//! Admission: every rule of every scope allows the estimate, or nothing is charged.

use std::collections::BTreeMap;

use sluice_units::{NanoUsd, Span, Timestamp};

use super::rows::{Found, Reservation, ScopeRow, Spending, find, open_key, quantity, scope_key};
use super::{Admission, BudgetState, Denial, Headroom, Reply, WindowState, chargeable, deadline};
use crate::limit::{Amount, Meter, Period, Rule, Scope, ScopeRules};
use crate::record::Record;
use crate::rows::{RowError, RowKey, V1, Work};

/// From how many fifths of a budget on the caller is warned.
const WARNING_FIFTHS: i128 = 4;

/// One scope while it is decided on.
struct Candidate<'a> {
    scope: &'a Scope,
    key: RowKey,
    rules: Vec<Rule>,
    row: ScopeRow,
}

/// The rows of the scopes at which a request is charged: the organisation always, no scope twice.
pub(super) fn scope_keys(admission: &Admission) -> impl Iterator<Item = RowKey> {
    merged(&admission.scopes)
        .into_iter()
        .map(|(scope, _)| scope_key(scope))
}

/// The scopes in their order, with all the rules of each.
fn merged(scopes: &[ScopeRules]) -> Vec<(&Scope, Vec<Rule>)> {
    let mut merged: Vec<(&Scope, Vec<Rule>)> = Vec::new();
    if !scopes.iter().any(|rules| rules.scope == Scope::Org) {
        merged.push((&Scope::Org, Vec::new()));
    }
    let mut positions = BTreeMap::new();
    for ScopeRules { scope, rules } in scopes {
        let position = *positions.entry(scope).or_insert(merged.len());
        match merged.get_mut(position) {
            Some((_, all)) => all.extend(rules),
            None => merged.push((scope, rules.clone())),
        }
    }
    merged
}

/// Charges the estimate at every scope, or at none.
pub(super) fn admit(
    work: &mut Work<'_>,
    now: Timestamp,
    admission: &Admission,
) -> Result<Reply, RowError> {
    let request = &admission.draft.request;
    let found = find(work, now, request)?;
    if let Found::Expired(..) = found {
        return Ok(Reply::Done);
    }
    let mut candidates = candidates(work, now, admission)?;
    if let Found::Open(_) = found {
        return Ok(Reply::Admitted(headroom(&candidates)));
    }
    let estimate = chargeable(admission.estimate);
    if let Some(mut denial) = binding(&candidates, now, estimate) {
        denial.headroom = headroom(&candidates);
        return Ok(Reply::Denied(denial));
    }
    let mut scopes = Vec::with_capacity(candidates.len());
    for candidate in &mut candidates {
        let ordinal = candidate.row.reserve(&candidate.rules, estimate);
        candidate.row.clone().store(work, &candidate.key);
        scopes.push((candidate.key.clone(), ordinal));
    }
    let reservation = Reservation {
        v: V1,
        at: candidates.first().map_or(now, |first| first.row.at),
        deadline: deadline(now, admission.ttl),
        estimate,
        scopes,
        draft: Record {
            cost_nano_usd: estimate.cost,
            ..admission.draft.clone()
        },
    };
    work.put(open_key(request), &reservation)?;
    Ok(Reply::Admitted(headroom(&candidates)))
}

/// The scopes' rows, all moved on to one time, which no scope has passed.
fn candidates<'a>(
    work: &Work<'_>,
    now: Timestamp,
    admission: &'a Admission,
) -> Result<Vec<Candidate<'a>>, RowError> {
    let mut candidates = Vec::new();
    for (scope, rules) in merged(&admission.scopes) {
        let key = scope_key(scope);
        let row = ScopeRow::load(work, &key)?;
        candidates.push(Candidate {
            scope,
            key,
            rules,
            row,
        });
    }
    let at = candidates
        .iter()
        .fold(now, |at, candidate| at.max(candidate.row.at));
    for candidate in &mut candidates {
        candidate.row.roll(at);
    }
    Ok(candidates)
}

/// The rule that forbids the request for the longest time, if any does; of equals the outermost.
fn binding(candidates: &[Candidate<'_>], now: Timestamp, estimate: Amount) -> Option<Denial> {
    let mut binding: Option<Denial> = None;
    for candidate in candidates {
        for rule in &candidate.rules {
            let Some(denial) = candidate.check(rule, now, estimate) else {
                continue;
            };
            let longer = binding.as_ref().is_none_or(|other| {
                match (other.retry_after, denial.retry_after) {
                    (None, _) => false,
                    (Some(_), None) => true,
                    (Some(other), Some(this)) => this > other,
                }
            });
            if longer {
                binding = Some(denial);
            }
        }
    }
    binding
}

impl Candidate<'_> {
    /// Says why this rule forbids the request, if it does.
    fn check(&self, rule: &Rule, now: Timestamp, estimate: Amount) -> Option<Denial> {
        let at = self.row.at;
        let (used, asked, free_at) = match *rule {
            Rule::Window {
                meter,
                limit,
                window,
            } => {
                let asked = quantity(meter, estimate);
                let used = self.used(meter, window);
                if used.saturating_add(asked) <= limit {
                    return None;
                }
                let free_at = match self.row.window(meter, window) {
                    Some(counter) => counter.fits_at(at, asked, limit),
                    None => (asked <= limit).then_some(at),
                };
                (used, asked, free_at)
            }
            Rule::Budget { limit, period } => {
                let spending = self.spending(period);
                let used = spending.spent().plus(spending.reserved());
                if used.plus(estimate.cost) <= limit {
                    return None;
                }
                let ends = match period {
                    Period::Day => at.next_day_start(),
                    Period::Month => at.next_month_start(),
                };
                let free_at = (estimate.cost <= limit).then_some(ends);
                (nanos(used), nanos(estimate.cost), free_at)
            }
        };
        Some(Denial {
            scope: self.scope.clone(),
            rule: *rule,
            used,
            asked,
            retry_after: free_at.map(|free_at| free_at.since(now)),
            headroom: Headroom::default(),
        })
    }

    fn used(&self, meter: Meter, window: Span) -> u64 {
        self.row
            .window(meter, window)
            .map_or(0, |counter| counter.used(self.row.at))
    }

    const fn spending(&self, period: Period) -> Spending {
        match period {
            Period::Day => self.row.day,
            Period::Month => self.row.month,
        }
    }

    fn window_state(&self, meter: Meter, limit: u64, window: Span) -> WindowState {
        let at = self.row.at;
        WindowState {
            scope: self.scope.clone(),
            limit,
            remaining: limit.saturating_sub(self.used(meter, window)),
            reset: self
                .row
                .window(meter, window)
                .map_or(Span::ZERO, |counter| counter.empty_at(at).since(at)),
        }
    }
}

/// What is left at the candidates as they stand.
fn headroom(candidates: &[Candidate<'_>]) -> Headroom {
    let mut headroom = Headroom::default();
    for candidate in candidates {
        for rule in &candidate.rules {
            match *rule {
                Rule::Window {
                    meter,
                    limit,
                    window,
                } => {
                    let tightest = match meter {
                        Meter::Requests => &mut headroom.requests,
                        Meter::Tokens => &mut headroom.tokens,
                    };
                    let state = candidate.window_state(meter, limit, window);
                    if tightest
                        .as_ref()
                        .is_none_or(|other| state.remaining < other.remaining)
                    {
                        *tightest = Some(state);
                    }
                }
                Rule::Budget { limit, period } => {
                    let spending = candidate.spending(period);
                    if is_nearly_used(spending, limit) {
                        headroom.warnings.push(BudgetState {
                            scope: candidate.scope.clone(),
                            rule: *rule,
                            spent: spending.spent(),
                            reserved: spending.reserved(),
                        });
                    }
                }
            }
        }
    }
    headroom
}

fn is_nearly_used(spending: Spending, limit: NanoUsd) -> bool {
    let used = spending.spent().plus(spending.reserved());
    i128::from(used.as_nanos()).saturating_mul(5)
        >= i128::from(limit.as_nanos()).saturating_mul(WARNING_FIFTHS)
}

fn nanos(amount: NanoUsd) -> u64 {
    u64::try_from(amount.as_nanos()).unwrap_or(0)
}
