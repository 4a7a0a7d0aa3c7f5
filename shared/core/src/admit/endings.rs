//! What has ended in this isolate must not stand in the way of a request, though the ledger has not heard of it yet.
//!
//! A settlement waits for company as long as nobody waits for it, and whoever asks by itself overtakes it. So a caller
//! that has its answer and asks again at once could be refused, or have its answer cut short, for what it does not hold
//! any more. Where something has ended of which the ledger may not have heard, it is told so before a refusal counts.

use sluice_machines::ledger::{Denial, Part};
use sluice_machines::limit::{Meter, Rule};

/// Whether the end of other requests may change a refusal, or less of the request may fit.
pub(super) fn may_change(denial: &Denial, part: Option<Part>) -> bool {
    let frees = match denial.rule {
        // A request that was let in stays counted.
        Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => !matches!(meter, Meter::Requests),
        Rule::Concurrency { .. } | Rule::Budget { .. } => true,
    };
    frees && (denial.retry_after.is_some() || part.is_some())
}
