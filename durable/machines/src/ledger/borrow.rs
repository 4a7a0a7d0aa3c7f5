//! What a limit does not leave, taken out of the organisation's pool.
//!
//! A request that rules refuse which may be borrowed beyond, and no other, is let in all the same: at these rules it
//! counts as borrowed and not as the scope's own, at all others as ever. So the organisation's limits, and those of every
//! level between, hold for what is borrowed; and nothing is ever owed, because in any window or period a scope uses at
//! most its limit and at most so much more. A request borrows as a whole or not at all, and only when it is admitted by
//! itself: no isolate leases what is borrowed.
//!
//! Where a ledger has a parent, what is borrowed has pools of its own there, by the same commands: their rules say that
//! what is held is borrowed (see [`Borrow::Of`](crate::limit::Borrow::Of)), so it counts as that from the grant on. It
//! is never held in advance: the parent decides on each request.

use sluice_units::Timestamp;

use super::admit::{Allowed, Candidate, smaller};
use super::pool::{self, Whose};
use super::rows::{path, pool_key, scope_key};
use super::{Admission, Denial, Parent, Reply, chargeable};
use crate::limit::{Loan, LoanOf, Rule, Scope, ScopeRules, Slice};
use crate::rows::{RowError, RowKey, Work};

/// How many pools for what is borrowed by one key a ledger looks at; where there are more, nothing is borrowed.
pub(super) const LENT_POOLS_MAX: u32 = 64;

/// The form of a rule under which something may be borrowed beyond it: where the organisation has a pool of that kind.
pub(super) fn lent(
    candidates: &[Candidate<'_>],
    candidate: &Candidate<'_>,
    rule: &Rule,
) -> Option<Rule> {
    let borrowed = rule.borrowed().filter(|_| *candidate.scope != Scope::Org)?;
    let of = rule.loan()?;
    let mut pools = candidates.iter().filter(|one| *one.scope == Scope::Org);
    pools
        .any(|org| org.rules.iter().any(|rule| rule.lends(of)))
        .then_some(borrowed)
}

/// These rules where so much is borrowed beyond them.
pub(super) fn borrowing(rules: &[Rule], is_borrowed: impl Fn(LoanOf) -> bool) -> Vec<Rule> {
    let rules = rules.iter();
    rules
        .map(|rule| match (rule.borrowed(), rule.loan()) {
            (Some(borrowed), Some(of)) if is_borrowed(of) => borrowed,
            _ => *rule,
        })
        .collect()
}

fn is_among(loans: &[Loan], key: &str, of: LoanOf) -> bool {
    loans
        .iter()
        .any(|loan| loan.scope == path(key) && loan.of == of)
}

/// The candidates for a request that borrows this.
pub(super) fn with<'a>(candidates: &[Candidate<'a>], loans: &[Loan]) -> Vec<Candidate<'a>> {
    let each = candidates.iter().map(|candidate| Candidate {
        scope: candidate.scope,
        key: candidate.key.clone(),
        rules: borrowing(&candidate.rules, |of| is_among(loans, &candidate.key, of)),
    });
    each.collect()
}

/// The scopes of a request that borrows this.
pub(super) fn scopes(scopes: &[ScopeRules], loans: &[Loan]) -> Vec<ScopeRules> {
    let each = scopes.iter().map(|of| {
        let key = scope_key(&of.scope);
        ScopeRules {
            scope: of.scope.clone(),
            rules: borrowing(&of.rules, |of| is_among(loans, &key, of)),
        }
    });
    each.collect()
}

/// Whom the pool of an admission is for that borrows this.
pub(super) fn whose(admission: &Admission, parent: &Parent, loans: &[Loan]) -> Whose {
    Whose {
        parent: parent.clone(),
        org: admission.draft.org.clone(),
        region: admission.draft.region.clone(),
        shard: admission.draft.shard,
        scopes: scopes(&admission.scopes, loans),
    }
}

/// Whether what the rules here allow is covered by what there is of the parent's allowance. A parent that says what is
/// to be borrowed is asked for that instead.
pub(super) fn covered(
    work: &mut Work<'_>,
    candidates: &[Candidate<'_>],
    (now, at): (Timestamp, Timestamp),
    (admission, parent): (&Admission, &Parent),
    mut allowed: Allowed,
) -> Result<Allowed, RowError> {
    let whole = Slice::of(chargeable(admission.estimate));
    let mut own: Option<Denial> = None;
    while let Allowed::As(estimate, _, loans) = &mut allowed {
        let of = whose(admission, parent, loans);
        let pool = pool_key(parent, &of.scopes);
        let free = pool::free(work, (&pool, &of.scopes), at)?;
        if !pool::has_rules(&of.scopes) || free.covers(Slice::of(*estimate)) {
            break;
        }
        let fresh = pool::refusal(work, now, &pool, whole)?;
        let refused = match fresh {
            Some(refused) => Some(refused),
            None => instead(work, at, (admission, parent), &pool, loans)?,
        };
        // A refusal under other rules than these says nothing.
        let applies = |denial: &Denial| denial.borrows.iter().all(|loan| is_open(&of.scopes, loan));
        let Some(denial) = refused.filter(applies) else {
            return Ok(Allowed::Not(Box::new(pool::lacking(admission, of))));
        };
        let more = denial.borrows.clone();
        if !more.is_empty() && has_place(work, (parent, &admission.scopes)) {
            loans.extend(more);
            own.get_or_insert(denial);
            continue;
        }
        let candidates = with(candidates, loans);
        let loans = std::mem::take(loans);
        allowed = match smaller(work, &candidates, at, (admission, &denial), Some(free))? {
            Some((tokens, amount)) => Allowed::As(amount, Some(tokens), loans),
            None => {
                let mut denial = own.unwrap_or(denial);
                denial.borrows = Vec::new();
                Allowed::Not(Box::new(Reply::Denied(denial)))
            }
        };
        break;
    }
    Ok(allowed)
}

/// Whether this may be borrowed under these rules, and is not.
fn is_open(scopes: &[ScopeRules], loan: &Loan) -> bool {
    let mut there = scopes
        .iter()
        .filter(|of| path(&scope_key(&of.scope)) == loan.scope);
    there.any(|of| {
        let mut rules = of.rules.iter();
        rules.any(|rule| rule.loan() == Some(loan.of) && rule.borrowed().is_some())
    })
}

/// The parent's last refusal, where it said what is to be borrowed, and that has been granted meanwhile.
fn instead(
    work: &mut Work<'_>,
    at: Timestamp,
    (admission, parent): (&Admission, &Parent),
    pool: &RowKey,
    loans: &[Loan],
) -> Result<Option<Denial>, RowError> {
    let Some(denial) = pool::last_refusal(work, pool)? else {
        return Ok(None);
    };
    if denial.borrows.is_empty() {
        return Ok(None);
    }
    let loans: Vec<Loan> = loans.iter().chain(&denial.borrows).cloned().collect();
    let scopes = scopes(&admission.scopes, &loans);
    let lent = pool_key(parent, &scopes);
    let free = pool::free(work, (&lent, &scopes), at)?;
    let slice = Slice::of(chargeable(admission.estimate));
    Ok(free.covers(slice).then_some(denial))
}

/// Where all pools of this key are known that hold what is borrowed.
fn has_place(work: &Work<'_>, (parent, scopes): (&Parent, &[ScopeRules])) -> bool {
    let prefix = format!("{}/", pool_key(parent, scopes));
    let known = work.base().with_prefix(&prefix).count();
    known < usize::try_from(LENT_POOLS_MAX).unwrap_or(usize::MAX)
}
