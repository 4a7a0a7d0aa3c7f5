//! The judge: looks at what one ledger is told, what it answers and what it writes, and knows what must be true.
//!
//! It shares no code with the ledger's decisions. It keeps every request's life by itself and follows this table:
//!
//! | command | open | settled, released | expired | corrected |
//! |---|---|---|---|---|
//! | `Admit` | admitted, no charge | new | done | done |
//! | `Extend` | done | unknown | unknown | unknown |
//! | `Settle` | done, one record | unknown | done, one correction | done, nothing |
//! | `Release` | done, no record | unknown | done, one correction | done, nothing |

use std::collections::{BTreeMap, BTreeSet};

use sluice_machines::ledger::{Admission, Command, Denial, Reply, SUB_BUCKETS, ScopeStanding};
use sluice_machines::limit::{Amount, Rule, Scope, ScopeRules};
use sluice_machines::outbox::Line;
use sluice_machines::record::{Record, RecordKind};
use sluice_machines::rows::WriteSet;
use sluice_units::{NanoUsd, RequestId, Span, Timestamp};

mod scope;

use scope::ScopeLog;

/// What is wrong, in words.
pub(crate) type Verdict = Result<(), String>;

/// How long after its deadline a reservation may still stand: alarms fail, crash and are late.
const OVERDUE_MAX: Span = Span::from_seconds(120);

macro_rules! ensure {
    ($judge:expr, $condition:expr, $($words:tt)+) => {
        $judge.checks += 1;
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open { deadline: Timestamp },
    Settled,
    Released,
    Expired,
    Corrected,
}

/// One admitted request.
#[derive(Debug)]
struct Life {
    scopes: Vec<usize>,
    at: Timestamp,
    estimate: Amount,
    state: State,
}

/// A record that must be queued in this commit.
type Due = (RequestId, RecordKind, NanoUsd);

/// The judge of one organisation's ledger.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    lives: Vec<Life>,
    by_request: BTreeMap<RequestId, usize>,
    open: BTreeSet<usize>,
    names: BTreeMap<Scope, usize>,
    scopes: Vec<ScopeLog>,
    /// The text of every record, in the order of their numbers.
    lines: Vec<String>,
    charged: i64,
    /// How often something was looked at.
    pub(crate) checks: u64,
}

impl Judge {
    /// Whether this request was ever admitted.
    pub(crate) fn has_admitted(&self, request: &RequestId) -> bool {
        self.by_request.contains_key(request)
    }

    /// A batch was committed at `now`.
    pub(crate) fn batch(
        &mut self,
        now: Timestamp,
        commands: &[Command],
        replies: &[Reply],
        writes: &WriteSet,
    ) -> Result<Vec<Record>, String> {
        ensure!(
            self,
            commands.len() == replies.len(),
            "{} commands, {} replies",
            commands.len(),
            replies.len()
        );
        let changes_nothing = |reply: &Reply| matches!(reply, Reply::Denied(_) | Reply::Unknown);
        ensure!(
            self,
            writes.is_empty() || !replies.iter().all(changes_nothing),
            "a denial wrote {writes:?}"
        );
        let mut due = Vec::new();
        for (command, reply) in commands.iter().zip(replies) {
            self.command(now, command, reply, &mut due)?;
        }
        let queued = self.queued(writes)?;
        ensure!(
            self,
            queued.iter().map(key).eq(due.iter().cloned()),
            "records due {due:?}, queued {queued:?}"
        );
        Ok(queued)
    }

    fn command(
        &mut self,
        now: Timestamp,
        command: &Command,
        reply: &Reply,
        due: &mut Vec<Due>,
    ) -> Verdict {
        let request = match command {
            Command::Admit(admission) => &admission.draft.request,
            Command::Settle { record, .. } => &record.request,
            Command::Extend { request, .. } | Command::Release { request } => request,
            Command::Standing => return Ok(()),
        };
        let known = self.by_request.get(request).copied();
        let state = known.map(|life| self.lives[life].state);
        let expected = match (command, state) {
            (Command::Admit(admission), None | Some(State::Settled | State::Released)) => {
                return self.admission(now, admission, reply);
            }
            (Command::Admit(_), Some(State::Open { .. })) => {
                ensure!(
                    self,
                    matches!(reply, Reply::Admitted(_)),
                    "an open {request} again: {reply:?}"
                );
                return Ok(());
            }
            (Command::Admit(_), Some(State::Expired | State::Corrected)) => Reply::Done,
            (Command::Extend { .. }, Some(State::Open { .. })) => Reply::Done,
            (_, None | Some(State::Settled | State::Released)) | (Command::Extend { .. }, _) => {
                Reply::Unknown
            }
            (_, Some(State::Open { .. } | State::Expired | State::Corrected)) => Reply::Done,
        };
        ensure!(
            self,
            *reply == expected,
            "{command:?} in {state:?} was answered {reply:?}"
        );
        if let Some(life) = known {
            self.end(now, life, command, due);
        }
        Ok(())
    }

    /// Follows a life through a command that found it.
    fn end(&mut self, now: Timestamp, index: usize, command: &Command, due: &mut Vec<Due>) {
        let life = &mut self.lives[index];
        let held = life.estimate;
        let (request, is, ends) = match (command, life.state) {
            (Command::Extend { ttl, .. }, State::Open { deadline }) => {
                let deadline = deadline.max(now.plus(*ttl));
                life.state = State::Open { deadline };
                return;
            }
            (Command::Settle { actual, record }, _) => (&record.request, *actual, State::Settled),
            (Command::Release { request }, _) => (request, Amount::default(), State::Released),
            _ => return,
        };
        let (kind, cost) = match life.state {
            State::Open { .. } => {
                self.close(index, is, ends);
                (RecordKind::Settled, is.cost)
            }
            State::Expired => {
                self.lives[index].state = State::Corrected;
                self.each_scope(index, |log, at| log.replace(at, index, held, is));
                (RecordKind::Correction, is.cost.minus(held.cost))
            }
            _ => return,
        };
        if kind == RecordKind::Correction || ends == State::Settled {
            due.push((request.clone(), kind, cost));
        }
    }

    fn close(&mut self, index: usize, is: Amount, state: State) {
        self.open.remove(&index);
        let held = self.lives[index].estimate;
        self.lives[index].state = state;
        self.each_scope(index, |log, at| {
            log.close(at, index, held, is);
            if state == State::Released {
                log.uncount(index);
            }
        });
    }

    fn each_scope(&mut self, index: usize, change: impl Fn(&mut ScopeLog, Timestamp)) {
        let life = &self.lives[index];
        for scope in &life.scopes {
            change(&mut self.scopes[*scope], life.at);
        }
    }

    fn admission(&mut self, now: Timestamp, admission: &Admission, reply: &Reply) -> Verdict {
        let scopes: Vec<usize> = admission
            .scopes
            .iter()
            .map(|rules| self.scope(&rules.scope))
            .collect();
        let at = scopes
            .iter()
            .fold(now, |at, scope| at.max(self.scopes[*scope].at));
        match reply {
            Reply::Admitted(_) => {
                for (index, ScopeRules { scope, rules }) in scopes.iter().zip(&admission.scopes) {
                    for rule in rules {
                        let used = self.scopes[*index].used(at, rule, Span::ZERO);
                        let asked = asked(rule, admission.estimate);
                        ensure!(
                            self,
                            used + asked <= limit(rule),
                            "{scope:?} is over {rule:?}: {used} and {asked}"
                        );
                    }
                }
                self.admit(now, at, admission, scopes);
                Ok(())
            }
            Reply::Denied(denial) => self.denial(at, denial),
            other => Err(format!("an admission was answered {other:?}")),
        }
    }

    fn admit(&mut self, now: Timestamp, at: Timestamp, admission: &Admission, scopes: Vec<usize>) {
        let index = self.lives.len();
        for (scope, of) in scopes.iter().zip(&admission.scopes) {
            self.scopes[*scope].admit(at, index, &of.rules, admission.estimate);
        }
        self.lives.push(Life {
            scopes,
            at,
            estimate: admission.estimate,
            state: State::Open {
                deadline: now.plus(admission.ttl),
            },
        });
        self.open.insert(index);
        let request = admission.draft.request.clone();
        self.by_request.insert(request, index);
    }

    /// A denial must have a reason. A window's oldest sub-bucket counts in full, so it may be up to one too strict.
    fn denial(&mut self, at: Timestamp, denial: &Denial) -> Verdict {
        let Denial {
            scope,
            rule,
            used,
            asked,
            ..
        } = denial;
        let longer = match rule {
            Rule::Window { window, .. } => {
                Span::from_micros(window.as_micros() / SUB_BUCKETS + 1)
            }
            Rule::Budget { .. } => Span::ZERO,
        };
        let index = self.scope(scope);
        let most = self.scopes[index].used(at, rule, longer);
        ensure!(
            self,
            *used <= most && used + asked > limit(rule),
            "denied without a reason: {denial:?}; used at most {most}"
        );
        Ok(())
    }

    fn scope(&mut self, scope: &Scope) -> usize {
        if let Some(index) = self.names.get(scope) {
            return *index;
        }
        self.scopes.push(ScopeLog::default());
        self.names.insert(scope.clone(), self.scopes.len() - 1);
        self.scopes.len() - 1
    }

    /// Expired reservations were charged at `now`.
    pub(crate) fn expired(&mut self, now: Timestamp, writes: &WriteSet) -> Verdict {
        for record in self.queued(writes)? {
            let life = self.by_request.get(&record.request).copied();
            let life = life.ok_or_else(|| format!("{} expired, and never was", record.request))?;
            let Life {
                state, estimate, ..
            } = self.lives[life];
            ensure!(
                self,
                matches!(state, State::Open { deadline } if deadline <= now),
                "{} expired in {state:?} at {now}",
                record.request
            );
            ensure!(
                self,
                record.kind == RecordKind::Expired && record.cost_nano_usd == estimate.cost,
                "{} expired as {record:?}",
                record.request
            );
            self.close(life, estimate, State::Expired);
        }
        Ok(())
    }

    /// The records that a commit queued, each under the next number.
    fn queued(&mut self, writes: &WriteSet) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        for (row, text) in writes.iter() {
            let (Some(_), Some(text)) = (row.strip_prefix("q/"), text) else {
                continue;
            };
            let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let next = self.lines.len() as u64 + 1;
            self.checks += 1;
            if line.sequence != next {
                return Err(format!("record {} was queued as {}", next, line.sequence));
            }
            self.lines.push(text.to_owned());
            self.charged += line.record.cost_nano_usd.as_nanos();
            records.push(line.record);
        }
        Ok(records)
    }

    /// What stands at the scopes is what the log says, and nothing is overdue.
    pub(crate) fn standing(&mut self, now: Timestamp, reply: &Reply) -> Verdict {
        let Reply::Standing { scopes, open, .. } = reply else {
            return Err(format!("what stands? {reply:?}"));
        };
        ensure!(
            self,
            *open == self.open.len() as u64,
            "{open} reservations are open, not {}",
            self.open.len()
        );
        for standing in scopes {
            self.standing_at(now, standing)?;
        }
        for life in &self.open {
            if let State::Open { deadline } = self.lives[*life].state {
                ensure!(
                    self,
                    deadline.plus(OVERDUE_MAX) > now,
                    "a reservation of {deadline} still stands at {now}"
                );
            }
        }
        Ok(())
    }

    fn standing_at(&mut self, now: Timestamp, standing: &ScopeStanding) -> Verdict {
        let index = self.scope(&standing.scope);
        let log = &self.scopes[index];
        let now = now.max(log.at);
        let found = [
            standing.spent_day.as_nanos(),
            standing.spent_month.as_nanos(),
            standing.spent_total.as_nanos(),
            standing.reserved.as_nanos(),
            standing.requests_total as i64,
            standing.tokens_total as i64,
        ];
        let expected = [
            log.day(now).spent,
            log.month(now).spent,
            log.total.spent,
            log.total.reserved,
            log.requests as i64,
            log.tokens as i64,
        ];
        let is_org = standing.scope == Scope::Org;
        let total = log.total.spent;
        ensure!(
            self,
            found == expected,
            "at {:?} stand {found:?}, not {expected:?}",
            standing.scope
        );
        ensure!(
            self,
            !is_org || total == self.charged,
            "the ledger charged {total}, its records {}",
            self.charged
        );
        Ok(())
    }

    /// The world has come to rest: nothing is open, and every record is in the bucket, once, in order.
    pub(crate) fn at_rest(&mut self, objects: &[(String, String)]) -> Verdict {
        ensure!(self, self.open.is_empty(), "{} reservations leaked", self.open.len());
        let mut shipped = 0;
        for (number, (name, text)) in objects.iter().enumerate() {
            ensure!(
                self,
                *name == format!("{:012}.ndjson.gz", number + 1),
                "batch {} is {name}",
                number + 1
            );
            for line in text.lines() {
                let expected = self.lines.get(shipped).map(String::as_str);
                ensure!(
                    self,
                    expected == Some(line),
                    "record {} was shipped as {line}",
                    shipped + 1
                );
                shipped += 1;
            }
        }
        ensure!(
            self,
            shipped == self.lines.len(),
            "{} records, {shipped} shipped",
            self.lines.len()
        );
        Ok(())
    }
}

fn key(record: &Record) -> Due {
    (
        record.request.clone(),
        record.kind,
        record.cost_nano_usd,
    )
}

fn limit(rule: &Rule) -> u64 {
    match *rule {
        Rule::Window { limit, .. } => limit,
        Rule::Budget { limit, .. } => u64::try_from(limit.as_nanos()).unwrap_or(0),
    }
}

fn asked(rule: &Rule, estimate: Amount) -> u64 {
    match *rule {
        Rule::Window { meter, .. } => scope::quantity(meter, estimate),
        Rule::Budget { .. } => u64::try_from(estimate.cost.as_nanos()).unwrap_or(0),
    }
}
