//! What was borrowed at a scope: counted there once more, so that the scope's own limits can leave it out.
//!
//! In a window it is counted in the window's own counter, of a budget here. A rule that borrows (see [`Borrow`]) looks at
//! its own part, one that does not at all there is.

use serde::{Deserialize, Serialize};
use sluice_units::{NanoUsd, Timestamp, is_default};

use super::{ScopeRow, Spending};
use crate::ledger::parent::Used;
use crate::ledger::rows::{Charge, Reservation};
use crate::ledger::window::Side;
use crate::limit::{Amount, Borrow, LoanOf, Meter, Period, Rule, Slice};

/// Borrowed money in the present periods, spent and reserved; and all that ever was borrowed and came to an end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Borrowed {
    #[serde(rename = "d", default, skip_serializing_if = "is_default")]
    day: (NanoUsd, NanoUsd),
    #[serde(rename = "m", default, skip_serializing_if = "is_default")]
    month: (NanoUsd, NanoUsd),
    #[serde(rename = "t", default, skip_serializing_if = "is_default")]
    total: Slice,
}

impl Borrowed {
    fn of(&mut self, period: Period) -> &mut (NanoUsd, NanoUsd) {
        match period {
            Period::Day => &mut self.day,
            Period::Month => &mut self.month,
        }
    }

    /// A new period begins.
    pub(super) fn begin(&mut self, period: Period) {
        *self.of(period) = Default::default();
    }

    fn end(&mut self, borrowed: &[LoanOf], requests: u64, amount: Amount) {
        self.total = self.total.plus(total(borrowed, requests, amount));
    }
}

/// What of an amount was borrowed, of each kind once.
fn total(borrowed: &[LoanOf], requests: u64, amount: Amount) -> Slice {
    let mut all = Slice::NONE;
    for of in borrowed {
        match of.meter() {
            Meter::Requests => all.requests = requests,
            Meter::Tokens => all.tokens = amount.tokens,
            Meter::Money => all.cost = amount.cost,
        }
    }
    all
}

impl Rule {
    /// Which part of what stands at a scope this rule looks at.
    pub(in crate::ledger) const fn side(&self) -> Side {
        match self.borrow() {
            Borrow::No => Side::All,
            Borrow::Any | Borrow::UpTo(_) => Side::Own,
            Borrow::Of(_) => Side::Borrowed,
        }
    }
}

/// What is borrowed under these rules.
pub(in crate::ledger) fn loans(rules: &[Rule]) -> Vec<LoanOf> {
    let borrowed = rules.iter().filter(|rule| rule.side() == Side::Borrowed);
    let mut loans: Vec<LoanOf> = borrowed.filter_map(Rule::loan).collect();
    loans.sort_unstable();
    loans.dedup();
    loans
}

/// Whether what is borrowed there is a part of what this rule looks at.
pub(super) fn is_seen(rule: &Rule, borrowed: &[LoanOf]) -> bool {
    let is_borrowed = || rule.loan().is_some_and(|of| borrowed.contains(&of));
    match rule.side() {
        Side::All => true,
        Side::Own => !is_borrowed(),
        Side::Borrowed => is_borrowed(),
    }
}

impl ScopeRow {
    /// What ever was borrowed here and came to an end.
    pub(in crate::ledger) const fn borrowed_total(&self) -> Slice {
        self.borrowed.total
    }

    /// Of money spent and reserved in a period of now the part that a rule looks at.
    pub(super) fn side_of(
        &self,
        spending: Spending,
        period: Period,
        side: Side,
    ) -> (NanoUsd, NanoUsd) {
        let Spending(_, _, spent, reserved) = spending;
        let (lent, lent_reserved) = match period {
            Period::Day => self.borrowed.day,
            Period::Month => self.borrowed.month,
        };
        match side {
            Side::All => (spent, reserved),
            Side::Own => (spent.minus(lent), reserved.minus(lent_reserved)),
            Side::Borrowed => (lent, lent_reserved),
        }
    }

    /// Counts an admission of now that is counted already as borrowed.
    pub(super) fn borrow(&mut self, borrowed: &[LoanOf], estimate: Amount) {
        self.count_borrowed(borrowed, Slice::of(estimate));
        self.each_budget(borrowed, None, |money| {
            money.1 = money.1.plus(estimate.cost)
        });
    }

    /// A reservation grows.
    pub(super) fn borrow_more(&mut self, held: &Reservation, charge: &Charge, to: Amount) {
        let more = to.cost.minus(held.estimate.cost);
        self.each_budget(&charge.2, Some(held), |money| money.1 = money.1.plus(more));
        self.correct_borrowed(held, charge, Slice::REQUEST);
        let anew = charge.2.iter().copied();
        let anew: Vec<LoanOf> = anew.filter(|of| of.meter() != Meter::Requests).collect();
        self.count_borrowed(&anew, Slice::of(to));
    }

    /// A reservation is replaced by what was used.
    pub(super) fn settle_borrowed(&mut self, held: &Reservation, charge: &Charge, is: Amount) {
        self.each_budget(&charge.2, Some(held), |money| {
            money.0 = money.0.plus(is.cost);
            money.1 = money.1.minus(held.estimate.cost);
        });
        self.correct_borrowed(held, charge, Slice::of(is));
        self.borrowed.end(&charge.2, 1, is);
    }

    /// A reservation is taken back.
    pub(super) fn release_borrowed(&mut self, held: &Reservation, charge: &Charge) {
        self.each_budget(&charge.2, Some(held), |money| {
            money.1 = money.1.minus(held.estimate.cost);
        });
        self.correct_borrowed(held, charge, Slice::NONE);
    }

    /// A charge is replaced by the truth.
    pub(super) fn replace_borrowed(&mut self, held: &Reservation, charge: &Charge, is: Amount) {
        let more = is.cost.minus(held.estimate.cost);
        self.each_budget(&charge.2, Some(held), |money| money.0 = money.0.plus(more));
        self.correct_borrowed(held, charge, Slice::of(is));
        let was = total(&charge.2, 0, held.estimate);
        let all = &mut self.borrowed.total;
        (all.tokens, all.cost) = (all.tokens.minus(was.tokens), all.cost.minus(was.cost));
        self.borrowed.end(&charge.2, 0, is);
    }

    /// What came to an end in a child was borrowed.
    pub(super) fn take_over_borrowed(&mut self, borrowed: &[LoanOf], used: &Used) {
        self.count_borrowed(borrowed, used.slice());
        self.each_budget(borrowed, None, |money| money.0 = money.0.plus(used.cost));
        let amount = Amount {
            tokens: used.tokens,
            cost: used.cost.minus(used.back),
        };
        self.borrowed.end(borrowed, used.requests, amount);
    }

    fn count_borrowed(&mut self, borrowed: &[LoanOf], slice: Slice) {
        let at = self.at;
        for counter in &mut self.windows {
            if borrowed.contains(&counter.loan()) {
                counter.borrow(at, slice.on(counter.meter));
            }
        }
    }

    /// Changes what is spent and reserved in the present periods of the budgets that were borrowed beyond, if the
    /// reservation belongs to them.
    fn each_budget(
        &mut self,
        borrowed: &[LoanOf],
        held: Option<&Reservation>,
        change: impl Fn(&mut (NanoUsd, NanoUsd)),
    ) {
        for period in [Period::Day, Period::Month] {
            let is_present = held.is_none_or(|held| self.holds(period, held));
            if is_present && borrowed.contains(&LoanOf::Money(period)) {
                change(self.borrowed.of(period));
            }
        }
    }

    fn correct_borrowed(&mut self, held: &Reservation, charge: &Charge, is: Slice) {
        let at: Timestamp = self.at;
        let was = Slice::of(held.estimate);
        for counter in &mut self.windows {
            let is_borrowed = charge.2.contains(&counter.loan());
            let meter = counter.meter;
            let (was, is) = (was.on(meter), is.on(meter));
            if counter.since <= charge.1 && is_borrowed && was != is {
                counter.correct_borrowed(at, held.counted_at(meter), was, is);
            }
        }
    }
}
