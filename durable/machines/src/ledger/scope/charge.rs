//! How a reservation grows and ends at a scope.

use sluice_units::{NanoUsd, Timestamp};

use super::ScopeRow;
use crate::ledger::rows::{Charge, Reservation};
use crate::limit::{Amount, Meter, Period, Rule, Slice};

impl ScopeRow {
    /// Reserves more at `at` for a request that was reserved before: windows count its tokens and its money anew, all
    /// of them now, so that none that ended before holds more than it held. Budgets keep the money in its period.
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
        let to_slice = Slice::of(to);
        self.correct(held, charge.1, Slice::REQUEST);
        let at = self.at;
        for counter in &mut self.windows {
            if counter.meter != Meter::Requests && counter.since <= charge.1 {
                counter.add(at, to_slice.on(counter.meter));
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
        self.correct(held, charge.1, Slice::of(is));
        self.use_up(now, Slice::of(is));
    }

    /// Undoes a reservation. The admission stays counted in the sum of requests and in the rates, not in the windows.
    pub(in crate::ledger) fn release(&mut self, held: &Reservation, charge: &Charge) {
        self.release_borrowed(held, charge);
        self.unreserve(held);
        self.correct(held, charge.1, Slice::NONE);
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
        self.correct(held, charge.1, Slice::of(is));
        self.use_up(now, Slice::of(is).minus(Slice::of(held.estimate)));
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

    /// Charges to the rates what they count when it is settled.
    pub(super) fn use_up(&mut self, now: Timestamp, used: Slice) {
        let at = self.at.max(now);
        for gauge in &mut self.gauges {
            let quantity = used.on(gauge.meter);
            if gauge.meter != Meter::Requests && quantity > 0 {
                gauge.charge(at, quantity);
            }
        }
    }

    /// Replaces in the windows what a reservation was counted as.
    fn correct(&mut self, held: &Reservation, ordinal: u64, is: Slice) {
        // Not at the present time: should the clock step back, an admission must find what still counts then.
        let at = self.at;
        let was = Slice::of(held.estimate);
        for counter in &mut self.windows {
            let meter = counter.meter;
            if counter.since <= ordinal {
                counter.correct(at, held.counted_at(meter), was.on(meter), is.on(meter));
            }
        }
    }
}
