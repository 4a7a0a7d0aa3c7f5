//! What has ended in this isolate must not stand in the way of a request, though the ledger has not heard of it yet.
//!
//! A settlement waits for company as long as nobody waits for it, and whoever asks by itself overtakes it. So a caller
//! that has its answer and asks again at once could be refused, or have its answer cut short, for what it does not hold
//! any more.

use super::*;

/// Asks the ledger for one request. Where something has ended here of which it may not have heard, it is told so before
/// a refusal counts, and before the answer is cut.
pub(super) async fn ask<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    caller: &Caller,
    admitted: &mut Admitted,
    (part, has_waited): (Option<Part>, bool),
) -> Result<Asked, Problem> {
    let how = (part, has_waited);
    // Whoever has waited has waited for longer than the news takes.
    if has_waited || !isolate.outgoing.has_endings(&admitted.ledger) {
        return ask_ledger(p, isolate, caller, admitted, how).await;
    }
    match ask_ledger(p, isolate, caller, admitted, (None, has_waited)).await? {
        Asked::Denied(denial) if may_change(&denial, part) => {
            let request = admitted.draft.request.clone();
            commit::tell_endings(p, isolate, &admitted.ledger, request).await;
            ask_ledger(p, isolate, caller, admitted, how).await
        }
        asked => Ok(asked),
    }
}

/// Whether the end of other requests may change a refusal, or less of the request may fit.
fn may_change(denial: &Denial, part: Option<Part>) -> bool {
    let frees = match denial.rule {
        // A request that was let in stays counted.
        Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => !matches!(meter, Meter::Requests),
        Rule::Concurrency { .. } | Rule::Budget { .. } => true,
    };
    frees && (denial.retry_after.is_some() || part.is_some())
}
