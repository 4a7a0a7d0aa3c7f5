//! What a ledger put on record, beside what really happened.

use super::*;

impl World {
    /// A ledger has carried out a batch.
    pub(crate) fn settled(&self, org: usize, judged: Result<News, String>) {
        let news = match judged {
            Ok(news) => news,
            Err(what) => return self.require(Err(what)),
        };
        for record in &news.records {
            self.require(self.is_true(org, record));
        }
        for request in &news.exceeded {
            self.require(self.may_exceed(request));
        }
        for (request, rules, is_overrun) in &news.drawn {
            let number = self.number(request);
            let place = number.and_then(|number| {
                let facts = self.facts.borrow();
                facts.get(number).map(|fact| Rc::clone(&fact.place))
            });
            let (Some(number), Some(place)) = (number, place) else {
                self.require(Err(format!("{request} is nobody's")));
                continue;
            };
            self.draws(&place, number, rules);
            self.require(self.may_overrun(number, *is_overrun));
        }
    }

    /// The world has come to rest: whatever reached a caller was carried out by a ledger.
    pub(crate) fn is_on_record(&self) {
        let facts = self.facts.borrow();
        let holders = self.holders.borrow();
        let delivered = facts.iter().filter(|fact| fact.delivered_at.is_some());
        for fact in delivered {
            let org = holders[fact.key].key.org;
            let is_known =
                |name: &RequestId| self.of_org(org).any(|ledger| ledger.has_admitted(name));
            let name = fact.name.as_ref();
            self.require(match name.filter(|name| !is_known(name)) {
                None => Ok(()),
                Some(name) => Err(format!("{name} is answered and no ledger knows of it")),
            });
        }
    }

    /// An intent is covered by its lease, unless word of it came late.
    fn may_overrun(&self, number: usize, is_overrun: bool) -> Verdict {
        let facts = self.facts.borrow();
        let late = self.now().since(facts[number].arrived);
        if is_overrun && late < LEASE_GRACE && self.weather.clock_step_every_ms == 0 {
            return Err(format!(
                "request {number} came in time and nothing covered it"
            ));
        }
        Ok(())
    }

    /// What is reserved is an upper bound, but for models that write more than they are told.
    fn may_exceed(&self, request: &RequestId) -> Verdict {
        let facts = self.facts.borrow();
        let number = self.number(request);
        let fact = number.and_then(|number| facts.get(number));
        if fact.is_some_and(|fact| fact.calls.iter().any(CallFact::may_exceed)) {
            return Ok(());
        }
        Err(format!("{request} used more than was reserved for it"))
    }

    /// A record says what happened.
    fn is_true(&self, org: usize, record: &Record) -> Verdict {
        let facts = self.facts.borrow();
        let number = self.number(&record.request);
        let fact = number.and_then(|number| facts.get(number));
        let fact = fact.ok_or_else(|| format!("{} is nobody's", record.request))?;
        let holders = self.holders.borrow();
        let key = &holders[fact.key].key;
        if key.org != org || key.record.id != record.key || key.record.team != record.team {
            return Err(format!("{} was charged to another", record.request));
        }
        if record.kind != RecordKind::Expired {
            is_charged(record, &fact.calls)?;
        }
        if record.outcome != Outcome::Completed || record.kind == RecordKind::Expired {
            return Ok(());
        }
        let mut served = fact.calls.iter();
        let call = served.rfind(|call| {
            let served = record.provider.as_ref();
            served.is_some_and(|served| served.as_str() == call.provider)
        });
        let call = call.ok_or_else(|| format!("{} has no call", record.request))?;
        let is_cut_short = record.finish.as_deref() == Some("length");
        if (call.is_sound == Some(false) && !is_cut_short) || fact.calls.len() != calls_made(record)
        {
            return Err(format!("{record:?} is not what happened: {:?}", fact.calls));
        }
        if record.usage_source != UsageSource::Provider {
            return Ok(());
        }
        let usage = (record.usage.input.count(), record.usage.output.count());
        let (input, output) = economy::price(call.provider, call.model);
        let cost = input * call.said.input as i64 + output * call.said.output as i64;
        let cost = cost + record.spent().cost.as_nanos();
        let is_right = usage == (call.said.input, call.said.output)
            && (record.kind == RecordKind::Correction || record.cost_nano_usd.as_nanos() == cost);
        if is_right {
            return Ok(());
        }
        Err(format!("{record:?} costs {cost} by {call:?}"))
    }
}

/// How many calls a record tells of.
fn calls_made(record: &Record) -> usize {
    made(record).count()
}

/// The calls that a record tells of; a target that was passed over was not called.
fn made(record: &Record) -> impl Iterator<Item = &Attempt> {
    let attempts = record.attempts.iter();
    let passed_by = ["circuit_open", "provider_at_capacity", "queue_full"].map(Some);
    attempts.filter(move |attempt| !passed_by.contains(&attempt.error.as_deref()))
}

/// A call that was worked on and brought nothing is charged, and no other is; at its provider's prices.
fn is_charged(record: &Record, calls: &[CallFact]) -> Verdict {
    let mut calls: Vec<_> = calls.iter().collect();
    for attempt in made(record) {
        let is_it = |call: &&CallFact| {
            (call.provider, call.model) == (attempt.provider.as_str(), attempt.model.as_str())
        };
        let Some(place) = calls.iter().position(is_it) else {
            return Err(format!("{record:?} tells of a call that was not made"));
        };
        let call = calls.remove(place);
        let has_failed = attempt.error.is_some();
        let is_due = has_failed && call.is_paid;
        // Who took too long may have been about to say no.
        let unknown = ["upstream_timeout", "hedge_lost"].map(Some);
        let may_be = is_due || unknown.contains(&attempt.error.as_deref());
        let (input, output) = economy::price(call.provider, call.model);
        let is_right = match attempt.spent {
            None => !is_due,
            Some(spent) => {
                let usage = spent.usage;
                let cost =
                    input * usage.input.count() as i64 + output * usage.output.count() as i64;
                may_be && spent.cost_nano_usd.as_nanos() == cost && usage.input.count() > 0
            }
        };
        if !is_right {
            return Err(format!("{record:?} does not charge {call:?}"));
        }
    }
    Ok(())
}
