//! What budgets are said to have done, beside what they did; and who has heard of it.

use sluice_machines::events::{Delivery, Event, EventKind};

use super::*;

/// Scope, period, budget, spent, and whether all of it.
type Line = (String, Period, i64, i64, bool);

/// What was to be said, and what was.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The lines that were crossed in this batch.
    crossed: Vec<Line>,
    /// All events, in the order of their numbers.
    events: Vec<Event>,
    /// How many of them each receiver has heard.
    heard: BTreeMap<String, usize>,
}

/// How an event calls a scope.
pub(super) fn path(scope: &Scope) -> String {
    match scope {
        Scope::Org => "org".to_owned(),
        Scope::Team(team) => format!("team/{team}"),
        Scope::App(team, app) => format!("app/{team}/{app}"),
        Scope::User(user) => format!("user/{user}"),
        Scope::Key(key) => format!("key/{key}"),
    }
}

fn start(period: Period, at: Timestamp) -> Timestamp {
    match period {
        Period::Day => at.day_start(),
        Period::Month => at.month_start(),
    }
}

impl Judge {
    /// A request was charged so much: notes the lines that its budgets cross.
    pub(super) fn crosses(&mut self, index: usize, cost: NanoUsd) {
        if !self.lives[index].is_pooled {
            self.crosses_now(index, cost);
        }
    }

    /// The same, whoever tells.
    pub(super) fn crosses_now(&mut self, index: usize, cost: NanoUsd) {
        let life = &self.lives[index];
        for scope in &life.scopes {
            let log = &mut self.scopes[*scope];
            let (made_at, at) = (life.at, log.at);
            let (day, month) = (log.day(made_at), log.month(made_at));
            for (period, limit, said_in, said) in &mut log.budgets {
                let begins = start(*period, at);
                if start(*period, made_at) != begins {
                    continue;
                }
                if *said_in != begins {
                    (*said_in, *said) = (begins, 0);
                }
                let spent = match period {
                    Period::Day => day.spent,
                    Period::Month => month.spent,
                };
                let near = i128::from(spent) * 100 >= i128::from(*limit) * 80;
                let full = spent >= *limit || (near && spent + cost.as_nanos() > *limit);
                for (level, is_crossed) in [(1, near), (2, full)] {
                    if is_crossed && *said < level {
                        *said = level;
                        let path = self.paths[*scope].clone();
                        self.told
                            .crossed
                            .push((path, *period, *limit, spent, level == 2));
                    }
                }
            }
        }
    }

    /// The events that a commit queued are those that are due, under the next numbers.
    pub(super) fn tells(&mut self, writes: &WriteSet) -> Verdict {
        let mut said = Vec::new();
        for (row, text) in writes.iter() {
            let (Some(number), Some(text)) = (row.strip_prefix("e/"), text) else {
                continue;
            };
            let event: Event = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let next = self.told.events.len() + 1;
            let id = format!("{}/{}/{next}", event.org, event.region);
            ensure!(
                self,
                number.parse() == Ok(next) && event.id == id,
                "event {next} was queued as {number}: {event:?}"
            );
            let is_all = event.kind == EventKind::Exhausted;
            let (limit, spent) = (
                event.limit_nano_usd.as_nanos(),
                event.spent_nano_usd.as_nanos(),
            );
            said.push((event.scope.clone(), event.period, limit, spent, is_all));
            self.told.events.push(event);
        }
        let mut due = std::mem::take(&mut self.told.crossed);
        due.sort();
        said.sort();
        ensure!(self, said == due, "events due {due:?}, queued {said:?}");
        Ok(())
    }

    /// A receiver hears of an event: the next, or one that it has heard of.
    pub(crate) fn hears(&mut self, delivery: &Delivery) -> Verdict {
        let heard = self.told.heard.entry(delivery.to.clone()).or_default();
        let position = self
            .told
            .events
            .iter()
            .position(|event| *event == delivery.event);
        let is_new = position == Some(*heard);
        let is_old = position.is_some_and(|position| position < *heard);
        *heard += usize::from(is_new);
        ensure!(
            self,
            is_new || is_old,
            "{} hears of {:?} out of turn",
            delivery.to,
            delivery.event
        );
        Ok(())
    }

    /// In the end everybody has heard of everything.
    pub(super) fn all_heard(&mut self, receivers: &[&str]) -> Verdict {
        for receiver in receivers {
            let heard = self.told.heard.get(*receiver).copied().unwrap_or_default();
            ensure!(
                self,
                heard == self.told.events.len(),
                "{receiver} heard {heard} of {} events",
                self.told.events.len()
            );
        }
        Ok(())
    }
}
