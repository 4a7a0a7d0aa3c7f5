//! How a reservation grows and ends at a scope.

use sluice_units::{NanoUsd, Timestamp, Tokens};

use super::{ScopeRow, of_amount};
use crate::ledger::rows::{Charge, Reservation};
use crate::limit::{Amount, Meter, Period, Rule};

impl ScopeRow {
    /// Reserves more at `at` for a request that was reserved before: its tokens are counted anew, all of them now, so
    /// that no window that ended before holds more than it held. The money stays in its period.
    pub(in crate::ledger) fn raise(
        &mut self,
        at: Timestamp,
        rules: &[Rule],
        (held, charge): (&Reservation, &Charge),
        to: Amount,
    ) {
        self.roll(at, rules);
        let more = to.cost.minus(held.estimate.cost);
        self.reserved = self.reserved.plus(more);
        let without = self.reserved_tokens.minus(held.estimate.tokens);
        self.reserved_tokens = without.plus(to.tokens);
        for spending in [&mut self.day, &mut self.month] {
            if spending.holds(held) {
                spending.reserve(more);
            }
        }
        self.correct(Meter::Tokens, held, charge.1, 0);
        let at = self.at;
        for counter in &mut self.windows {
            if counter.meter == Meter::Tokens && counter.since <= charge.1 {
                counter.add(at, to.tokens.count());
            }
        }
        self.borrow_more(held, charge, to);
    }

    /// Whether a reservation's money counts in the present period.
    pub(in crate::ledger) fn holds(&self, period: Period, held: &Reservation) -> bool {
        match period {
            Period::Day => self.day,
            Period::Month => self.month,
        }
        .holds(held)
    }

    /// Replaces a reservation by what was used. A charge lands in the period in which it was reserved.
    pub(in crate::ledger) fn settle(
        &mut self,
        now: Timestamp,
        held: &Reservation,
        charge: &Charge,
        is: Amount,
    ) {
        self.settle_borrowed(held, charge, is);
        self.unreserve(held);
        self.spend(held, is.cost);
        self.tokens = self.tokens.plus(is.tokens);
        self.correct(Meter::Tokens, held, charge.1, is.tokens.count());
        self.use_tokens(now, is.tokens);
    }

    /// Undoes a reservation. The admission stays counted in the sum of requests and in the rates, not in the windows.
    pub(in crate::ledger) fn release(&mut self, held: &Reservation, charge: &Charge) {
        self.release_borrowed(held, charge);
        self.unreserve(held);
        self.correct(Meter::Tokens, held, charge.1, 0);
        self.correct(Meter::Requests, held, charge.1, 0);
    }

    /// Replaces the charge of an expired reservation by the truth. What a rate was charged too much it keeps: by now
    /// others may have been let in after it.
    pub(in crate::ledger) fn replace(
        &mut self,
        now: Timestamp,
        held: &Reservation,
        charge: &Charge,
        is: Amount,
    ) {
        self.replace_borrowed(held, charge, is);
        self.spend(held, is.cost.minus(held.estimate.cost));
        self.tokens = self.tokens.minus(held.estimate.tokens).plus(is.tokens);
        self.correct(Meter::Tokens, held, charge.1, is.tokens.count());
        self.use_tokens(now, is.tokens.minus(held.estimate.tokens));
    }

    fn unreserve(&mut self, held: &Reservation) {
        let cost = held.estimate.cost;
        self.open = self.open.saturating_sub(1);
        self.reserved = self.reserved.minus(cost).max(NanoUsd::ZERO);
        self.reserved_tokens = self.reserved_tokens.minus(held.estimate.tokens);
        for spending in [&mut self.day, &mut self.month] {
            if spending.holds(held) {
                spending.unreserve(cost);
            }
        }
    }

    fn spend(&mut self, held: &Reservation, cost: NanoUsd) {
        self.spent = self.spent.plus(cost);
        for spending in [&mut self.day, &mut self.month] {
            if spending.holds(held) {
                spending.spend(cost);
            }
        }
    }

    pub(super) fn use_tokens(&mut self, now: Timestamp, tokens: Tokens) {
        let at = self.at.max(now);
        for gauge in &mut self.gauges {
            if gauge.meter == Meter::Tokens && tokens > Tokens::ZERO {
                gauge.charge(at, tokens.count());
            }
        }
    }

    fn correct(&mut self, meter: Meter, held: &Reservation, ordinal: u64, is: u64) {
        // Not at the present time: should the clock step back, an admission must find what still counts then.
        let at = self.at;
        for counter in &mut self.windows {
            if counter.meter == meter && counter.since <= ordinal {
                let was = of_amount(meter, held.estimate);
                counter.correct(at, held.counted_at(meter), was, is);
            }
        }
    }
}
