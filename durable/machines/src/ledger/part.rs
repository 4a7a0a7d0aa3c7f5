//! How much of a request fits where the whole of it does not.

use serde::{Deserialize, Serialize};
use sluice_units::{NanoUsd, Timestamp, Tokens};

use super::admit::Candidate;
use super::scope::ScopeRow;
use super::{Admission, chargeable};
use crate::limit::{Amount, Loan, Meter, Rule, Slice, nanos};
use crate::record::Record;
use crate::rows::{RowError, Work};

/// How a request can do with less than its estimate: by writing less.
///
/// It is cut only where the whole will not fit for as long as its caller would wait: by a budget, or by a limit on
/// tokens or money that is smaller than the request. Where leases alone stand in the way they are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The least that will do.
    pub least: Amount,
    /// What a further output token costs, at most.
    pub each: NanoUsd,
    /// How many output tokens lie between the least and the estimate.
    pub tokens: Tokens,
}

impl Part {
    /// What the request takes with so many output tokens beyond the least; never more than the whole.
    fn with(self, whole: Amount, tokens: Tokens) -> Amount {
        let more = nanos(self.each).saturating_mul(tokens.count());
        let more = NanoUsd::from_nanos(i64::try_from(more).unwrap_or(i64::MAX));
        let least = chargeable(self.least);
        Amount {
            tokens: least.tokens.plus(tokens).min(whole.tokens),
            cost: least.cost.plus(more).min(whole.cost),
        }
    }
}

/// The largest part that fits now, `beside` what is taken too and within `cover`: its output tokens beyond the least,
/// and what it takes. Nothing when the least does not fit either, or the whole may soon.
pub(super) fn fitting(
    work: &mut Work<'_>,
    candidates: &[Candidate<'_>],
    at: Timestamp,
    (part, whole): (Part, Amount),
    (beside, cover): (Slice, Option<Slice>),
) -> Result<Option<(Tokens, Amount)>, RowError> {
    let mut rooms = Vec::new();
    for candidate in candidates {
        let row: &ScopeRow = work.hot(&candidate.key)?;
        for rule in &candidate.rules {
            let measure = row.measure(rule, at);
            let asked = rule.asked(beside.plus(Slice::of(whole)));
            if asked > measure.room() && !is_lasting(rule, asked, measure.limit) {
                return Ok(None);
            }
            rooms.push((rule, measure.room()));
        }
    }
    let fits = |tokens: u64| {
        let slice = Slice::of(part.with(whole, Tokens::new(tokens)));
        rooms
            .iter()
            .all(|(rule, room)| rule.asked(beside.plus(slice)) <= *room)
            && cover.is_none_or(|cover| cover.covers(slice))
    };
    if !fits(0) {
        return Ok(None);
    }
    // The largest number that fits, found by halves: `low` always does, `high` never, since the whole does not.
    let (mut low, mut high) = (0_u64, part.tokens.count().max(1));
    while high.saturating_sub(low) > 1 {
        let middle = low.midpoint(high);
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let tokens = Tokens::new(low);
    Ok(Some((tokens, part.with(whole, tokens))))
}

/// Whether what a rule refuses now it will not let in for as long as anybody would wait.
const fn is_lasting(rule: &Rule, asked: u64, limit: u64) -> bool {
    match rule {
        Rule::Budget { .. } => true,
        Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => {
            matches!(meter, Meter::Tokens | Meter::Money) && asked > limit
        }
        Rule::Concurrency { .. } => false,
    }
}

/// The record as it would have to be written for what is reserved.
pub(super) fn draft(
    admission: &Admission,
    estimate: Amount,
    cut: Option<Tokens>,
    borrowed: &[Loan],
) -> Record {
    let mut draft = Record {
        cost_nano_usd: estimate.cost,
        borrowed: borrowed.to_vec(),
        ..admission.draft.clone()
    };
    if let (Some(part), Some(tokens)) = (admission.part, cut) {
        draft.usage.output = draft.usage.output.minus(part.tokens.minus(tokens));
    }
    draft
}
