//! What a stream may still write, where nobody has told its model when to stop: as much as is reserved.
//!
//! What it has written is counted on the safe side. When it nears its reservation, more is reserved beside it, twice as
//! much each time; when that is refused, the stream ends where its reservation does.
//! A model that was told a limit, or is known to have one, keeps it by itself: there the reservation is a bound already.

use sluice_machines::limit::Amount;
use sluice_units::{NanoUsd, Tokens};

use crate::commit::Ticket;
use crate::config::TargetRef;
use crate::platform::Platform;
use crate::price;
use crate::serve::Run;
use crate::session::Seen;

/// More is asked for when so many quarters of the reservation are written.
const NEAR_QUARTERS: u64 = 3;

/// How much output is reserved for a stream.
#[derive(Debug)]
pub(crate) struct Allowance {
    output: u64,
    /// More, and who tells whether it is reserved.
    asked: Option<(u64, Ticket)>,
    is_refused: bool,
    /// What the first reservation was for.
    least: Amount,
    input: Tokens,
    price: Option<price::Price>,
}

impl Allowance {
    /// The allowance of this answer of a target; none where the model knows when to stop.
    pub(crate) fn of<P: Platform>(run: &Run<P>, target: &TargetRef) -> Option<Self> {
        if !run.work.is_open_ended(target) {
            return None;
        }
        let admitted = &run.admitted;
        let table = target.price.as_ref();
        Some(Self {
            output: admitted.bound().output.unwrap_or_default().count(),
            asked: None,
            is_refused: false,
            least: admitted.estimate(),
            input: admitted.bound().input,
            price: table
                .and_then(|table| table.at(admitted.draft().at_us))
                .cloned(),
        })
    }

    /// Whether more may be written; asks for more in good time, and waits for the answer when nothing is left.
    pub(crate) async fn suffices<P: Platform>(&mut self, run: &Run<P>, seen: &Seen) -> bool {
        let said = seen.usage.map_or(0, |usage| usage.output.count());
        let written = seen.written.tokens().count().max(said);
        loop {
            if let Some((more, ticket)) = self.asked.take() {
                match ticket.known() {
                    Some(is_done) => self.answered(more, is_done),
                    None if written < self.output => self.asked = Some((more, ticket)),
                    None => {
                        let is_done = ticket
                            .committed(&run.p, &run.isolate, run.admitted.ledger())
                            .await;
                        self.answered(more, is_done);
                    }
                }
            }
            let is_near = written.saturating_mul(4) >= self.output.saturating_mul(NEAR_QUARTERS);
            if !is_near || self.is_refused || self.asked.is_some() {
                return written < self.output;
            }
            self.ask(run, written);
        }
    }

    const fn answered(&mut self, more: u64, is_done: bool) {
        if is_done {
            self.output = more;
        } else {
            self.is_refused = true;
        }
    }

    /// Asks for twice as much, in the background.
    fn ask<P: Platform>(&mut self, run: &Run<P>, written: u64) {
        let more = self.output.max(written).max(1).saturating_mul(2);
        let output = Tokens::new(more);
        let price = self.price.as_ref();
        let cost = price.map_or(NanoUsd::ZERO, |price| {
            price::upper_bound(price, self.input, output)
        });
        let estimate = Amount {
            tokens: self.input.plus(output),
            cost: cost.max(self.least.cost),
        };
        match run.raise(estimate) {
            Some(ticket) => self.asked = Some((more, ticket)),
            None => self.is_refused = true,
        }
    }
}
