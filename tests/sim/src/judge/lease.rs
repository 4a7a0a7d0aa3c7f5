//! What is held of leases: their slices, and what is drawn from them.

use super::*;

impl Judge {
    /// Follows a lease through a command, and sees to it that what it now holds fits.
    pub(super) fn lease(
        &mut self,
        now: Timestamp,
        request: &LeaseRequest,
        reply: &Reply,
    ) -> Verdict {
        let Reply::Leased(Grant { rest, life, .. }) = reply else {
            return Err(format!("a lease was answered {reply:?}"));
        };
        let (_, at) = self.look(now, &request.scopes);
        let known = self.by_lease.get(&request.lease).copied();
        let known = known.filter(|lease| self.leases[*lease].until.plus(LEASE_KEPT) > now);
        if let Some(lease) = known {
            let lease = &self.leases[lease];
            if request.number <= lease.number {
                ensure!(
                    self,
                    *rest == lease.rest,
                    "{} holds {:?}, and was told {rest:?}",
                    request.lease,
                    lease.rest
                );
                return Ok(());
            }
        }
        if rest.is_none() && known.is_none() {
            return Ok(());
        }
        let old = known.map_or(Vec::new(), |lease| self.leases[lease].rules.clone());
        let at = at.max(self.look(now, &old).1);
        let before = self.measure(at, &request.scopes);
        let until = match known {
            Some(lease) if rest.is_none() => self.leases[lease].until,
            Some(lease) if *life == Span::ZERO => self.leases[lease].until,
            _ => at.plus(*life).plus(LEASE_GRACE),
        };
        let lease = Lease {
            is_pooled: request.parent.is_some(),
            rules: request.scopes.clone(),
            number: request.number,
            mark: known.map_or(0, |lease| self.leases[lease].mark),
            until,
            rest: *rest,
        };
        let index = known.unwrap_or(self.leases.len());
        if known.is_none() {
            self.leases.push(lease);
            self.by_lease.insert(request.lease.clone(), index);
        } else {
            self.leases[index] = lease;
        }
        for of in &old {
            let scope = self.scope(&of.scope);
            self.scopes[scope].hold(index, until, Slice::NONE);
        }
        for of in &request.scopes {
            let scope = self.scope(&of.scope);
            let log = &mut self.scopes[scope];
            log.at = log.at.max(at);
            log.hold(index, until, *rest);
        }
        self.is_within(at, &request.scopes, &before, "a lease")
    }

    /// Follows a request that an isolate let in.
    pub(super) fn intent(
        &mut self,
        now: Timestamp,
        intent: &Intent,
        reply: &Reply,
    ) -> Result<Option<(RequestId, Vec<ScopeRules>, bool)>, String> {
        let request = &intent.draft.request;
        let known = self.by_lease.get(&intent.lease).copied();
        let Some(index) = known else {
            ensure!(
                self,
                *reply == Reply::Unknown,
                "an intent of no lease was answered {reply:?}"
            );
            return Ok(None);
        };
        let lease = &self.leases[index];
        if *reply == Reply::Unknown {
            ensure!(
                self,
                lease.until.plus(LEASE_KEPT) <= now,
                "{} was forgotten",
                intent.lease
            );
            return Ok(None);
        }
        ensure!(
            self,
            *reply == Reply::Done,
            "an intent was answered {reply:?}"
        );
        let lease = &self.leases[index];
        if intent.sequence <= lease.mark {
            return Ok(None);
        }
        let rules = lease.rules.clone();
        let (_, at) = self.look(now, &rules);
        let before = self.measure(at, &rules);
        let drawn = Slice::of(intent.estimate);
        let lease = &mut self.leases[index];
        let is_overrun = at >= lease.until || !lease.rest.covers(drawn);
        lease.mark = intent.sequence;
        lease.rest = lease.rest.minus(lease.rest.min(drawn));
        let (until, rest) = (lease.until, lease.rest);
        let deadline = now.plus(intent.ttl);
        let before_it = self.by_request.get(request).copied();
        let stands =
            before_it.map(|life| (life, self.lives[life].state, self.lives[life].estimate));
        let has_reserved = match stands {
            Some((_, State::Expired | State::Corrected, _)) => true,
            Some((_, State::Open { .. }, held)) if Slice::of(held).covers(drawn) => true,
            Some((life, State::Open { .. }, _)) => {
                // What it was given before is too little: it is given anew.
                self.close(now, life, Amount::default(), State::Released);
                false
            }
            Some((_, State::Settled | State::Released, _)) | None => false,
        };
        if has_reserved {
            for of in &rules {
                let scope = self.scope(&of.scope);
                self.scopes[scope].hold(index, until, rest);
            }
            return Ok(None);
        }
        let is_pooled = self.leases[index].is_pooled;
        self.uncovered(is_overrun, &rules, drawn);
        self.admit((at, deadline, is_pooled), &rules, intent.estimate, request);
        for of in &rules {
            let scope = self.scope(&of.scope);
            self.scopes[scope].hold(index, until, rest);
        }
        if !is_overrun {
            self.is_within(at, &rules, &before, "an intent")?;
        }
        Ok(Some((request.clone(), rules, is_overrun)))
    }
}
