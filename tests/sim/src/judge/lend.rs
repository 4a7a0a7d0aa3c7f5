//! What is held of child ledgers: what they may draw, what they have drawn, and what they say came to an end.

use sluice_machines::ledger::{POOL_GRACE, POOL_LIFE, Upward, Used};

use super::*;

/// What one child holds for one key.
#[derive(Debug, Clone, Default)]
pub(super) struct Loan {
    rules: Vec<ScopeRules>,
    number: u64,
    /// Until when it counts.
    until: Timestamp,
    rest: Slice,
    open: Slice,
    /// The parent remembers it until it is closed, however long that takes.
    stays: bool,
}

impl Loan {
    /// Whether the parent may know nothing of it any more; its clock may have been somewhat ahead.
    fn may_be_forgotten(&self, now: Timestamp) -> bool {
        let ahead = now.plus(Span::from_seconds(60));
        !self.stays && self.until.plus(LEASE_KEPT) <= ahead
    }
}

/// Requests, tokens and money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) requests: i64,
    pub(super) tokens: i64,
    pub(super) cost: i64,
}

impl Sum {
    pub(super) fn of(slice: Slice) -> Self {
        Self {
            requests: slice.requests as i64,
            tokens: slice.tokens.count() as i64,
            cost: slice.cost.as_nanos(),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.tokens += other.tokens;
        self.cost += other.cost;
    }

    /// By how much this is more than the other, of each kind.
    pub(super) fn beyond(self, other: Self) -> Self {
        Self {
            requests: (self.requests - other.requests).max(0),
            tokens: (self.tokens - other.tokens).max(0),
            cost: (self.cost - other.cost).max(0),
        }
    }

    fn is_none(self) -> bool {
        (self.requests, self.tokens, self.cost) == (0, 0, 0)
    }
}

/// What a used amount is beside the slice that it was drawn from.
fn drawn(used: &Used) -> Sum {
    Sum {
        requests: used.requests as i64,
        tokens: used.tokens.count() as i64,
        cost: used.cost.as_nanos(),
    }
}

impl Judge {
    /// Follows a child's command, and sees to it that what the child now holds fits.
    pub(super) fn lend(
        &mut self,
        now: Timestamp,
        (request, upward): (&LeaseRequest, &Upward),
        reply: &Reply,
    ) -> Verdict {
        let Reply::Leased(Grant {
            rest, denial, life, ..
        }) = reply
        else {
            return Err(format!("a child was answered {reply:?}"));
        };
        // Where it was decided now, a parent that has forgotten the child may have taken what it heard before for new.
        let is_forgotten = |loan: &Loan| *life == POOL_LIFE && loan.may_be_forgotten(now);
        let loan = self.loans.remove(&request.lease);
        let loan = loan.filter(|loan| !is_forgotten(loan));
        let known = loan.is_some();
        let loan = loan.unwrap_or_default();
        if known && request.number <= loan.number {
            let held = loan.rest;
            self.loans.insert(request.lease.clone(), loan);
            ensure!(
                self,
                *rest == held,
                "{} holds {held:?}, and was told {rest:?}",
                request.lease
            );
            return Ok(());
        }
        if !known && upward.closes {
            ensure!(self, rest.is_none(), "a pool of nobody holds {rest:?}");
            return Ok(());
        }
        let at = self.look(now, &request.scopes).1;
        let at = at.max(self.look(now, &loan.rules).1);
        ensure!(
            self,
            loan.until > at || (loan.rest.is_none() && loan.open.is_none()),
            "the child of {} was given up, and lives",
            request.lease
        );
        let before = self.measure(at, &request.scopes);
        // A request that was told of is counted as used and as open.
        let open = |slice| Sum {
            requests: 0,
            ..Sum::of(slice)
        };
        let mut had = Sum::of(loan.rest);
        had.add(open(loan.open));
        let mut has = Sum::of(request.keep.min(loan.rest));
        has.add(drawn(&upward.used));
        has.add(open(upward.open));
        let over = has.beyond(had);
        self.over.add(over);
        self.take_over(at, &request.scopes, upward);
        self.hold(at, &loan.rules, &request.lease, (Slice::NONE, Slice::NONE));
        self.hold(at, &request.scopes, &request.lease, (*rest, upward.open));
        let loan = Loan {
            rules: request.scopes.clone(),
            number: request.number,
            until: at.plus(LOAN_LIFE),
            rest: *rest,
            open: upward.open,
            stays: !upward.closes && (known || !upward.used.is_none()),
        };
        self.loans.insert(request.lease.clone(), loan);
        if over.is_none() {
            self.is_within(at, &request.scopes, &before, "a child")?;
        }
        match denial {
            Some(denial) => self.refused_child(at, denial, upward),
            None => Ok(()),
        }
    }

    fn take_over(&mut self, at: Timestamp, rules: &[ScopeRules], upward: &Upward) {
        let used = &upward.used;
        self.taken.add(drawn(used));
        self.taken.cost -= used.back.as_nanos();
        if used.is_none() {
            return;
        }
        let index = self.lives.len();
        let scopes: Vec<usize> = rules.iter().map(|of| self.scope(&of.scope)).collect();
        for (scope, of) in scopes.iter().zip(rules) {
            self.scopes[*scope].take_over(at, index, &of.rules, used);
        }
        self.lives.push(Life {
            scopes,
            at,
            first: Amount::default(),
            estimate: Amount::default(),
            state: State::Settled,
            is_pooled: false,
            borrowed: Vec::new(),
        });
        self.crosses_now(index, used.cost);
    }

    fn hold(
        &mut self,
        at: Timestamp,
        rules: &[ScopeRules],
        lease: &LeaseId,
        (rest, open): (Slice, Slice),
    ) {
        for of in rules {
            let scope = self.scope(&of.scope);
            let log = &mut self.scopes[scope];
            log.at = log.at.max(at);
            log.lend(lease, at.plus(LOAN_LIFE), (rest, open), &of.rules);
        }
    }

    /// Somebody who waits in a child gets nothing: there is less left than somebody needs.
    fn refused_child(&mut self, at: Timestamp, denial: &Denial, upward: &Upward) -> Verdict {
        let longer = match denial.rule {
            Rule::Window { window, .. } => Span::from_micros(window.as_micros() / SUB_BUCKETS + 1),
            _ => Span::ZERO,
        };
        let rounding = match denial.rule {
            Rule::Gcra { burst, .. } => 2 + burst / 50,
            _ => 0,
        };
        let index = self.scope(&denial.scope);
        let used = self.scopes[index].used(at, &denial.rule, longer);
        let is_short = upward.needs.iter().any(|need| {
            used + rounding + scope::asked_of(&denial.rule, need.slice) > limit(&denial.rule)
        });
        ensure!(
            self,
            is_short,
            "a child was refused without a reason: {denial:?}; used {used}"
        );
        Ok(())
    }

    /// What this ledger's organisation has drawn is known at the home or held there.
    pub(crate) fn covers(&self, below: &[&Self]) -> Verdict {
        let mut books = self.taken;
        for loan in self.loans.values() {
            books.add(Sum::of(loan.rest));
            // Requests that were told of are known.
            books.add(Sum {
                requests: 0,
                ..Sum::of(loan.open)
            });
        }
        let (mut truth, mut slack) = (Sum::default(), Sum::default());
        for judge in below {
            truth.add(judge.truth());
            slack.add(judge.slack);
        }
        let short = truth.beyond(books).beyond(slack);
        if !short.is_none() {
            return Err(format!(
                "children have drawn {truth:?}, {slack:?} of it uncovered, and their home knows of {books:?}"
            ));
        }
        let over = self.over.beyond(slack);
        if !over.is_none() {
            return Err(format!(
                "children say that they drew {over:?} that nobody granted"
            ));
        }
        Ok(())
    }

    /// Notes what was drawn that nothing covers: word of it came late, or no rule asks for cover.
    pub(super) fn uncovered(&mut self, is_late: bool, rules: &[ScopeRules], drawn: Slice) {
        if is_late || rules.iter().all(|of| of.rules.is_empty()) {
            self.slack.add(Sum::of(drawn));
        }
    }

    /// All that was ever drawn here.
    fn truth(&self) -> Sum {
        let org = self.names.get(&Scope::Org);
        let log = org.map(|index| &self.scopes[*index]);
        log.map_or_else(Sum::default, |log| Sum {
            requests: log.requests as i64,
            tokens: (log.tokens + log.reserved_tokens) as i64,
            cost: log.total.spent + log.total.reserved,
        })
    }

    /// What this ledger's own records charge.
    pub(crate) const fn charged(&self) -> i64 {
        self.charged
    }

    /// What the organisation has spent here, and wherever this ledger has been told of it.
    pub(crate) fn spent_total(&self) -> i64 {
        let org = self.names.get(&Scope::Org);
        org.map_or(0, |index| self.scopes[*index].total.spent)
    }
}

/// For how long what a child holds counts.
const LOAN_LIFE: Span = sluice_machines::ledger::POOL_LIFE.plus(POOL_GRACE);
