//! What is reserved in part, and what is reserved besides.

use super::*;

impl Judge {
    /// What a part takes, and that there was a reason for it.
    pub(super) fn part(&mut self, admission: &Admission, tokens: Tokens) -> Result<Amount, String> {
        let request = &admission.draft.request;
        let part = admission.part;
        let part = part.ok_or_else(|| format!("{request} was cut and could not be"))?;
        ensure!(
            self,
            tokens < part.tokens,
            "{request} was cut to {tokens:?}, of {part:?}"
        );
        let each = part.each.as_nanos() * tokens.count() as i64;
        Ok(Amount {
            tokens: part
                .least
                .tokens
                .plus(tokens)
                .min(admission.estimate.tokens),
            cost: part
                .least
                .cost
                .plus(NanoUsd::from_nanos(each))
                .min(admission.estimate.cost),
        })
    }

    /// Whether two calls are covered; when it is over nobody asks.
    pub(crate) fn covers_two(&self, request: &RequestId) -> bool {
        let known = self.by_request.get(request).map(|life| &self.lives[*life]);
        known.is_some_and(|life| {
            let is_open = matches!(life.state, State::Open { .. });
            let (one, held) = (life.first, life.estimate);
            let is_twice =
                held.tokens >= one.tokens.plus(one.tokens) && held.cost >= one.cost.plus(one.cost);
            is_twice || !is_open
        })
    }

    /// Follows a reservation that is to grow.
    pub(super) fn raise(&mut self, now: Timestamp, wanted: &Raise, reply: &Reply) -> Verdict {
        let request = &wanted.request;
        let known = self.by_request.get(request).copied();
        let open = known.filter(|life| matches!(self.lives[*life].state, State::Open { .. }));
        let Some(index) = open else {
            ensure!(
                self,
                *reply == Reply::Unknown,
                "{request} is not open, and was raised: {reply:?}"
            );
            return Ok(());
        };
        ensure!(
            self,
            matches!(reply, Reply::Done | Reply::Denied(_)),
            "{request} is open, and was not raised: {reply:?}"
        );
        let was = self.lives[index].estimate;
        let is = Amount {
            tokens: was.tokens.max(wanted.estimate.tokens),
            cost: was.cost.max(wanted.estimate.cost),
        };
        if *reply != Reply::Done || was == is {
            return Ok(());
        }
        let (_, at) = self.look(now, &wanted.scopes);
        // What has borrowed goes on borrowing.
        let mut charged = wanted.scopes.clone();
        for ScopeRules { scope, rules } in &mut charged {
            let path = events::path(scope);
            let borrowed = self.lives[index].borrowed_at(&path);
            for rule in rules {
                let is_borrowed = rule.loan().is_some_and(|of| borrowed.contains(&of));
                *rule = rule.borrowed().filter(|_| is_borrowed).unwrap_or(*rule);
            }
        }
        let before = self.measure(at, &charged);
        let made_at = self.lives[index].at;
        let rules = wanted.scopes.iter().flat_map(|of| &of.rules);
        let is_over = rules.clone().any(|rule| match rule {
            Rule::Budget { period, .. } => match period {
                Period::Day => made_at.day_start() != at.day_start(),
                Period::Month => made_at.month_start() != at.month_start(),
            },
            _ => false,
        });
        ensure!(
            self,
            !is_over,
            "{request} was raised in a period that is over"
        );
        if wanted.scopes.iter().all(|of| of.rules.is_empty()) {
            let more = lend::Sum::of(Slice::of(is)).beyond(lend::Sum::of(Slice::of(was)));
            self.slack.add(more);
        }
        self.lives[index].estimate = is;
        self.each_scope(index, |log, _, borrowed| {
            log.raise((at, made_at), index, (was, is), borrowed);
        });
        self.is_within(at, &charged, &before, "a raise")
    }
}
