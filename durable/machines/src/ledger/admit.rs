//! Admission: every rule of every scope allows the estimate, or nothing is charged.

use sluice_units::{RequestId, SortedMap, Span, Timestamp, Tokens};

use super::rows::{Draft, Found, ORG, Reservation, find, loans_of, open_key, path, scope_key};
use super::scope::ScopeRow;
use super::tightest::Search;
use super::{
    Admission, BudgetState, Denial, Headroom, Reply, WindowState, borrow, chargeable, deadline,
    part, pool,
};
use crate::limit::{Amount, Loan, Meter, Rule, Scope, ScopeRules, Slice};
use crate::rows::{RowError, RowKey, V1, Work};

/// From how many fifths of a budget on the caller is warned.
const WARNING_FIFTHS: i128 = 4;

/// One scope while it is decided on.
pub(super) struct Candidate<'a> {
    pub(super) scope: &'a Scope,
    pub(super) key: RowKey,
    pub(super) rules: Vec<Rule>,
}

/// The rows of the scopes at which a request is charged: the organisation always, no scope twice.
pub(super) fn scope_keys(scopes: &[ScopeRules]) -> impl Iterator<Item = RowKey> {
    let org = (!scopes.iter().any(|rules| rules.scope == Scope::Org)).then(|| ORG.to_owned());
    org.into_iter()
        .chain(scopes.iter().map(|rules| scope_key(&rules.scope)))
}

/// The scopes in their order, the organisation among them, with all the rules of each.
pub(super) fn candidates(scopes: &[ScopeRules]) -> Vec<Candidate<'_>> {
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let candidate = |scope, rules| Candidate {
        scope,
        key: scope_key(scope),
        rules,
    };
    if !scopes.iter().any(|rules| rules.scope == Scope::Org) {
        candidates.push(candidate(&Scope::Org, Vec::new()));
    }
    let mut positions = SortedMap::new();
    for ScopeRules { scope, rules } in scopes {
        let position = *positions.get_or_insert(scope, candidates.len());
        match candidates.get_mut(position) {
            Some(known) => known.rules.extend(rules),
            None => candidates.push(candidate(scope, rules.clone())),
        }
    }
    candidates
}

/// The time at which all these scopes are looked at: now, unless one of them has passed it.
pub(super) fn common_time<'k>(
    work: &mut Work<'_>,
    now: Timestamp,
    keys: impl Iterator<Item = &'k RowKey>,
) -> Result<Timestamp, RowError> {
    let mut at = now;
    for key in keys {
        at = at.max(work.hot::<ScopeRow>(key)?.at);
    }
    Ok(at)
}

/// Charges the estimate at every scope, or at none.
pub(super) fn admit(
    work: &mut Work<'_>,
    now: Timestamp,
    admission: &Admission,
) -> Result<Reply, RowError> {
    let found = find(work, &admission.draft.request)?;
    if let Found::Expired(..) = found {
        return Ok(Reply::Done);
    }
    let candidates = candidates(&admission.scopes);
    let at = common_time(work, now, candidates.iter().map(|candidate| &candidate.key))?;
    if let Found::Open(held) = found {
        let what = (held.cut, held.loans());
        return admitted(work, &candidates, (at, admission), what);
    }
    let (estimate, cut, loans) = match allowed(work, &candidates, (now, at), admission)? {
        Allowed::As(estimate, cut, loans) => (estimate, cut, loans),
        Allowed::Not(reply) => return Ok(*reply),
    };
    let pool = match &admission.parent {
        Some(parent) => {
            let key = pool::open(work, &borrow::whose(admission, parent, &loans))?;
            Some(pool::draw(work, now, key, estimate)?)
        }
        None => None,
    };
    let mut scopes = Vec::with_capacity(candidates.len());
    for Candidate { key, rules, .. } in &borrow::with(&candidates, &loans) {
        let row: &mut ScopeRow = work.hot_mut(key)?;
        scopes.push(row.reserve(at, (key, rules), estimate));
        if pool.is_some() {
            row.unwatch();
        }
    }
    let borrowed = loans_of(&scopes);
    let reservation = Reservation {
        v: V1,
        at,
        deadline: deadline(now, admission.ttl),
        raised_at: None,
        estimate,
        cut,
        pool,
        overrun: false,
        scopes,
        draft: Draft::new(&part::draft(admission, estimate, cut, &borrowed))?,
    };
    open(work, &admission.draft.request, &reservation)?;
    admitted(work, &candidates, (at, admission), (cut, borrowed))
}

/// Whether a request is let in.
pub(super) enum Allowed {
    /// With this reservation, of so many output tokens beyond the least where it is cut, and with what it borrows.
    As(Amount, Option<Tokens>, Vec<Loan>),
    /// No: the answer.
    Not(Box<Reply>),
}

/// By the rules here, and by what there is of the parent's allowance.
fn allowed(
    work: &mut Work<'_>,
    candidates: &[Candidate<'_>],
    (now, at): (Timestamp, Timestamp),
    admission: &Admission,
) -> Result<Allowed, RowError> {
    let whole = chargeable(admission.estimate);
    let allowed = match binding(work, candidates, now, at, Slice::of(whole))? {
        None => Allowed::As(whole, None, Vec::new()),
        Some(denial) if !denial.borrows.is_empty() => Allowed::As(whole, None, denial.borrows),
        Some(denial) => match smaller(work, candidates, at, (admission, &denial), None)? {
            Some((tokens, amount)) => Allowed::As(amount, Some(tokens), Vec::new()),
            None => return denied(work, candidates, at, denial),
        },
    };
    match admission.parent.as_ref() {
        Some(parent) => borrow::covered(work, candidates, (now, at), (admission, parent), allowed),
        None => Ok(allowed),
    }
}

fn denied(
    work: &mut Work<'_>,
    candidates: &[Candidate<'_>],
    at: Timestamp,
    mut denial: Denial,
) -> Result<Allowed, RowError> {
    denial.headroom = headroom(work, candidates, at)?;
    Ok(Allowed::Not(Box::new(Reply::Denied(denial))))
}

/// What of a request fits that is denied as a whole, if it can do with less and leases are not what stands in its way.
pub(super) fn smaller(
    work: &mut Work<'_>,
    candidates: &[Candidate<'_>],
    at: Timestamp,
    (admission, denial): (&Admission, &Denial),
    cover: Option<Slice>,
) -> Result<Option<(Tokens, Amount)>, RowError> {
    let Some(part) = admission.part.filter(|_| denial.leases_end.is_none()) else {
        return Ok(None);
    };
    let whole = chargeable(admission.estimate);
    part::fitting(work, candidates, at, (part, whole), (Slice::NONE, cover))
}

fn admitted(
    work: &mut Work<'_>,
    candidates: &[Candidate<'_>],
    (at, admission): (Timestamp, &Admission),
    (cut, borrowed): (Option<Tokens>, Vec<Loan>),
) -> Result<Reply, RowError> {
    let mut headroom = headroom(work, candidates, at)?;
    if let Some(parent) = &admission.parent {
        headroom = pool::left(work, (parent, &admission.scopes), at, headroom)?;
    }
    headroom.borrowed = borrowed;
    Ok(match cut {
        None => Reply::Admitted(headroom),
        Some(tokens) => Reply::Cut(tokens, headroom),
    })
}

/// Opens a reservation: its row, and the moment at which somebody must look for it.
pub(super) fn open(
    work: &mut Work<'_>,
    request: &RequestId,
    reservation: &Reservation,
) -> Result<(), RowError> {
    work.hot_mut::<ScopeRow>(ORG)?.due_by(reservation.deadline);
    work.put(open_key(request), reservation)
}

/// The rule that forbids the request for the longest time, if any does; of equals the outermost. Says what would have to
/// be borrowed, where nothing else stands in the way.
pub(super) fn binding(
    work: &mut Work<'_>,
    candidates: &[Candidate<'_>],
    now: Timestamp,
    at: Timestamp,
    wanted: Slice,
) -> Result<Option<Denial>, RowError> {
    let mut binding: Option<Denial> = None;
    // Until when leases alone stand in the way, if they do.
    let mut leases_end: Option<Timestamp> = Some(Timestamp::from_micros(i64::MAX));
    // What must be borrowed, if that helps.
    let mut borrows: Option<Vec<Loan>> = Some(Vec::new());
    for candidate in candidates {
        let row: &ScopeRow = work.hot(&candidate.key)?;
        for rule in &candidate.rules {
            let asked = rule.asked(wanted);
            let measure = row.measure(rule, at);
            if measure.fits(asked) {
                continue;
            }
            let lent = borrow::lent(candidates, candidate, rule);
            borrows = match (borrows, rule.loan()) {
                (Some(mut loans), Some(of))
                    if lent.is_some_and(|lent| row.measure(&lent, at).fits(asked)) =>
                {
                    let scope = path(&candidate.key).to_owned();
                    loans.push(Loan { scope, of });
                    Some(loans)
                }
                _ => None,
            };
            let without = measure.used.saturating_sub(measure.leased);
            let only_leases = without.saturating_add(asked) <= measure.limit;
            leases_end = match (leases_end, row.lease_ends(at)) {
                (Some(end), Some(first)) if only_leases => Some(end.min(first)),
                _ => None,
            };
            let ways = [Some(*rule), lent].into_iter().flatten();
            let free = ways.filter_map(|rule| row.fits_at(&rule, at, asked)).min();
            let retry_after = free.map(|free| free.since(now));
            if is_longer(binding.as_ref(), retry_after) {
                binding = Some(Denial {
                    scope: candidate.scope.clone(),
                    rule: *rule,
                    used: measure.used,
                    asked,
                    retry_after,
                    leases_end: None,
                    borrows: Vec::new(),
                    headroom: Headroom::default(),
                });
            }
        }
    }
    Ok(binding.map(|denial| Denial {
        leases_end: leases_end.map(|end| end.since(now)),
        borrows: borrows.unwrap_or_default(),
        ..denial
    }))
}

fn is_longer(other: Option<&Denial>, retry_after: Option<Span>) -> bool {
    other.is_none_or(|other| match (other.retry_after, retry_after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(other), Some(this)) => this > other,
    })
}

/// What is left at the candidates as they stand.
pub(super) fn headroom(
    work: &mut Work<'_>,
    candidates: &[Candidate<'_>],
    at: Timestamp,
) -> Result<Headroom, RowError> {
    let mut headroom = Headroom::default();
    let mut search = Search::default();
    for candidate in candidates {
        let row: &ScopeRow = work.hot(&candidate.key)?;
        for rule in &candidate.rules {
            let measure = row.measure(rule, at);
            search.look(measure);
            match *rule {
                Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => {
                    let tightest = match meter {
                        Meter::Requests => &mut headroom.requests,
                        Meter::Tokens => &mut headroom.tokens,
                        // Only the header that names the binding limit tells of money.
                        Meter::Money => continue,
                    };
                    let remaining = measure.room();
                    if tightest
                        .as_ref()
                        .is_none_or(|other| remaining < other.remaining)
                    {
                        *tightest = Some(WindowState {
                            scope: candidate.scope.clone(),
                            limit: measure.limit,
                            remaining,
                            reset: row.empty_at(rule, at).since(at),
                        });
                    }
                }
                Rule::Concurrency { .. } => {}
                Rule::Budget {
                    limit,
                    period,
                    clocks,
                    ..
                } => {
                    let (spent, reserved) = row.spending_by((period, clocks), at, rule.side());
                    let used = i128::from(spent.plus(reserved).as_nanos());
                    if used.saturating_mul(5)
                        >= i128::from(limit.as_nanos()).saturating_mul(WARNING_FIFTHS)
                    {
                        headroom.warnings.push(BudgetState {
                            scope: candidate.scope.clone(),
                            rule: *rule,
                            spent,
                            reserved,
                        });
                    }
                }
            }
        }
    }
    headroom.tightest = search.end();
    Ok(headroom)
}
