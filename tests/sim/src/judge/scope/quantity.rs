//! How much an amount or a slice is, on a meter and to a rule.

use sluice_machines::limit::{Amount, Meter, Rule, Slice};

/// What an amount is on a meter.
pub(in crate::judge) const fn quantity(meter: Meter, amount: Amount) -> u64 {
    match meter {
        Meter::Requests => 1,
        Meter::Tokens => amount.tokens.count(),
        Meter::Money => amount.cost.as_nanos().unsigned_abs(),
    }
}

/// What a slice is on a meter.
pub(super) const fn quantity_of(meter: Meter, slice: Slice) -> u64 {
    match meter {
        Meter::Requests => slice.requests,
        Meter::Tokens => slice.tokens.count(),
        Meter::Money => slice.cost.as_nanos().unsigned_abs(),
    }
}

/// What an amount is to a rule.
pub(in crate::judge) fn asked(rule: &Rule, estimate: Amount) -> u64 {
    match *rule {
        Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => quantity(meter, estimate),
        Rule::Concurrency { .. } => 1,
        Rule::Budget { .. } => u64::try_from(estimate.cost.as_nanos()).unwrap_or(0),
    }
}

/// What a slice is to a rule.
pub(in crate::judge) fn asked_of(rule: &Rule, slice: Slice) -> u64 {
    match *rule {
        Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => quantity_of(meter, slice),
        Rule::Concurrency { .. } => slice.requests,
        Rule::Budget { .. } => u64::try_from(slice.cost.as_nanos()).unwrap_or(0),
    }
}
