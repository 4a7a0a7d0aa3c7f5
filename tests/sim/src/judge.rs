//! The judge: looks at what one ledger is told, what it answers and what it writes, and knows what must be true.
//!
//! A lease counts at every scope as if all of it were charged now, until it is drawn, given back or over.
//! It shares no code with the ledger's decisions. It keeps every request's life by itself and follows this table:
//!
//! | command | open | settled, released | expired | corrected |
//! |---|---|---|---|---|
//! | `Admit` | admitted, no charge | new | done | done |
//! | `Intent`, seen before | done, no charge | done | done | done |
//! | `Intent`, new | done, one reservation | new | done | done |
//! | `Extend` | done | unknown | unknown | unknown |
//! | `Raise` | done, or denied | unknown | unknown | unknown |
//! | `Settle` | done, one record | unknown | done, one correction | done, nothing |
//! | `Refuse` | done, no record | done, one record | done, no record | done, no record |
//! | `Release` | done, no record | unknown | done, one correction | done, nothing |

use std::collections::{BTreeMap, BTreeSet};

use sluice_machines::chain::Follower;
use sluice_machines::ledger::{
    Admission, Command, Denial, Grant, Intent, LEASE_GRACE, LEASE_KEPT, LeaseRequest, Raise, Reply,
    SUB_BUCKETS, ScopeStanding,
};
use sluice_machines::limit::{
    Amount, Borrow, Loan, LoanOf, Period, Rule, Scope, ScopeRules, Slice,
};
use sluice_machines::outbox::Line;
use sluice_machines::record::{Outcome, Record, RecordKind};
use sluice_machines::rows::WriteSet;
use sluice_units::{LeaseId, NanoUsd, RequestId, Span, Timestamp, Tokens};

use scope::{ScopeLog, asked};

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

mod borrow;
mod events;
mod lease;
mod lend;
mod raise;
mod reason;
mod scope;
mod standing;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open { deadline: Timestamp },
    Settled,
    Released,
    Expired,
    Corrected,
}

/// One admitted request.
#[derive(Debug, Clone)]
struct Life {
    scopes: Vec<usize>,
    at: Timestamp,
    /// What it reserved first, for one call, and what it does now.
    first: Amount,
    estimate: Amount,
    state: State,
    /// It was drawn from what a parent has granted, who tells of budgets.
    is_pooled: bool,
    /// What it borrowed.
    borrowed: Vec<Loan>,
}

impl Life {
    /// What it borrowed at a scope.
    fn borrowed_at(&self, path: &str) -> Vec<LoanOf> {
        let there = self.borrowed.iter().filter(|loan| loan.scope == path);
        there.map(|loan| loan.of).collect()
    }
}

/// What one isolate holds.
#[derive(Debug, Clone)]
struct Lease {
    is_pooled: bool,
    rules: Vec<ScopeRules>,
    number: u64,
    /// The last intent.
    mark: u64,
    until: Timestamp,
    rest: Slice,
}

/// A record that must be queued in this commit.
type Due = (RequestId, RecordKind, NanoUsd);

/// What a commit brought.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// The records that were queued.
    pub(crate) records: Vec<Record>,
    /// Who was let in out of a lease: under which rules, and whether nothing covered it.
    pub(crate) drawn: Vec<(RequestId, Vec<ScopeRules>, bool)>,
    /// Who used more than was reserved.
    pub(crate) exceeded: Vec<RequestId>,
}

/// The judge of one organisation's ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judge {
    lives: Vec<Life>,
    by_request: BTreeMap<RequestId, usize>,
    open: BTreeSet<usize>,
    leases: Vec<Lease>,
    by_lease: BTreeMap<LeaseId, usize>,
    names: BTreeMap<Scope, usize>,
    paths: Vec<String>,
    scopes: Vec<ScopeLog>,
    /// The latest that a scope was moved on to, whether or not anybody was counted there.
    moved_to: Timestamp,
    told: events::Told,
    /// The text of every record, in the order of their numbers.
    lines: Vec<String>,
    /// How many batches and records the bucket has.
    batches: usize,
    shipped: usize,
    /// The requests that were refused, and how many of them are not in the outbox yet.
    refused: BTreeSet<RequestId>,
    refusals_due: usize,
    /// The chain that its objects make.
    chain: Option<Follower>,
    charged: i64,
    /// What children hold, and what they have told of.
    loans: BTreeMap<LeaseId, lend::Loan>,
    taken: lend::Sum,
    /// What children told of beyond what they held.
    over: lend::Sum,
    /// What was drawn here that nothing covered, for a reason that is known.
    slack: lend::Sum,
    /// Who used more than was reserved, in this batch.
    exceeded: Vec<RequestId>,
    /// How often something was looked at.
    pub(crate) checks: u64,
}

impl Judge {
    /// Whether this request was ever admitted.
    pub(crate) fn has_admitted(&self, request: &RequestId) -> bool {
        self.by_request.contains_key(request)
    }

    /// Whether this request is over, if it ever was.
    pub(crate) fn is_over(&self, request: &RequestId) -> bool {
        let known = self.by_request.get(request);
        known.is_none_or(|life| {
            !matches!(self.lives[*life].state, State::Open { .. } | State::Expired)
        })
    }

    /// A batch was committed at `now`.
    pub(crate) fn batch(
        &mut self,
        now: Timestamp,
        commands: &[Command],
        replies: &[Reply],
        writes: &WriteSet,
    ) -> Result<News, String> {
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
        let mut drawn = Vec::new();
        for (command, reply) in commands.iter().zip(replies) {
            match command {
                Command::Lease(request) => match &request.upward {
                    Some(upward) => self.lend(now, (request, upward), reply)?,
                    None => self.lease(now, request, reply)?,
                },
                Command::Intent(intent) => drawn.extend(self.intent(now, intent, reply)?),
                Command::Raise(wanted) => self.raise(now, wanted, reply)?,
                command => self.command(now, command, reply, &mut due)?,
            }
        }
        let queued = self.queued(writes)?;
        self.tells(writes)?;
        ensure!(
            self,
            queued.iter().map(key).eq(due.iter().cloned()),
            "records due {due:?}, queued {queued:?}"
        );
        ensure!(
            self,
            self.refusals_due == 0,
            "{} refusals were not queued",
            self.refusals_due
        );
        Ok(News {
            records: queued,
            drawn,
            exceeded: std::mem::take(&mut self.exceeded),
        })
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
            Command::Refuse(refusal) => &refusal.request,
            Command::Standing | Command::Lease(_) | Command::Intent(_) | Command::Raise(_) => {
                return Ok(());
            }
        };
        let known = self.by_request.get(request).copied();
        let state = known.map(|life| self.lives[life].state);
        let over = matches!(state, None | Some(State::Settled | State::Released));
        let expected = match (command, state) {
            (Command::Refuse(_), _) => {
                if over && self.refused.insert(request.clone()) {
                    self.refusals_due += 1;
                }
                Reply::Done
            }
            (Command::Extend { .. }, _) if over => Reply::Unknown,
            // What was refused is remembered like what expired and was corrected.
            _ if over && self.refused.contains(request) => Reply::Done,
            (Command::Admit(admission), None | Some(State::Settled | State::Released)) => {
                return self.admission(now, admission, reply);
            }
            (Command::Admit(_), Some(State::Open { .. })) => {
                ensure!(
                    self,
                    matches!(reply, Reply::Admitted(_) | Reply::Cut(..)),
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
                // A stream that is ended has written one piece too many by then, also when its caller leaves with it.
                let is_ended = matches!(command, Command::Settle { record, .. } if record.finish.as_deref() == Some("length")
                    || (record.stream && record.outcome == Outcome::DownstreamLeft));
                let excess = lend::Sum::of(Slice::of(is)).beyond(lend::Sum::of(Slice::of(held)));
                self.slack.add(excess);
                if !is_ended && !Slice::of(held).covers(Slice::of(is)) {
                    self.exceeded.push(request.clone());
                }
                self.close(now, index, is, ends);
                (RecordKind::Settled, is.cost)
            }
            State::Expired => {
                self.lives[index].state = State::Corrected;
                let excess = lend::Sum::of(Slice::of(is)).beyond(lend::Sum::of(Slice::of(held)));
                self.slack.add(excess);
                self.each_scope(index, |log, at, borrowed| {
                    log.replace(now, at, index, (held, is), borrowed);
                });
                self.crosses(index, is.cost);
                (RecordKind::Correction, is.cost.minus(held.cost))
            }
            _ => return,
        };
        if kind == RecordKind::Correction || ends == State::Settled {
            due.push((request.clone(), kind, cost));
        }
    }

    fn close(&mut self, now: Timestamp, index: usize, is: Amount, state: State) {
        self.open.remove(&index);
        let held = self.lives[index].estimate;
        self.lives[index].state = state;
        self.each_scope(index, |log, at, borrowed| {
            log.close(now, at, index, (held, is), borrowed);
            if state == State::Released {
                log.uncount(index);
            } else {
                log.end_lent(is, borrowed);
            }
        });
        if state == State::Released {
            // It stays counted here, and is told of only where it was told of before.
            self.slack.requests += 1;
        } else {
            self.crosses(index, is.cost);
        }
    }

    fn each_scope(&mut self, index: usize, change: impl Fn(&mut ScopeLog, Timestamp, &[LoanOf])) {
        let life = &self.lives[index];
        for scope in &life.scopes {
            let borrowed = life.borrowed_at(&self.paths[*scope]);
            change(&mut self.scopes[*scope], life.at, &borrowed);
        }
    }

    /// The scopes of these rules, and the time at which they are looked at: none of them has passed it.
    fn look(&mut self, now: Timestamp, rules: &[ScopeRules]) -> (Vec<usize>, Timestamp) {
        let scopes: Vec<usize> = rules.iter().map(|rules| self.scope(&rules.scope)).collect();
        let at = scopes
            .iter()
            .fold(now, |at, scope| at.max(self.scopes[*scope].at));
        (scopes, at)
    }

    fn admission(&mut self, now: Timestamp, admission: &Admission, reply: &Reply) -> Verdict {
        let (_, at) = self.look(now, &admission.scopes);
        let cut = match reply {
            Reply::Cut(tokens, _) => Some(self.part(admission, *tokens)?),
            _ => None,
        };
        match reply {
            Reply::Admitted(headroom) | Reply::Cut(_, headroom) => {
                let estimate = cut.unwrap_or(admission.estimate);
                let rules = self.borrows(at, admission, estimate, &headroom.borrowed)?;
                self.fits(at, &rules, estimate)?;
                let deadline = now.plus(admission.ttl);
                let request = &admission.draft.request;
                let is_pooled = admission.parent.is_some();
                self.uncovered(false, &rules, Slice::of(estimate));
                self.admit((at, deadline, is_pooled), &rules, estimate, request);
                Ok(())
            }
            // The home has its own judge.
            Reply::Denied(_) if admission.parent.is_some() => Ok(()),
            Reply::Denied(denial) => {
                self.could_not_borrow(at, admission)?;
                self.denial(at, denial)
            }
            other => Err(format!("an admission was answered {other:?}")),
        }
    }

    fn admit(
        &mut self,
        (at, deadline, is_pooled): (Timestamp, Timestamp, bool),
        rules: &[ScopeRules],
        estimate: Amount,
        request: &RequestId,
    ) {
        let index = self.lives.len();
        let scopes: Vec<usize> = rules.iter().map(|of| self.scope(&of.scope)).collect();
        let mut borrowed = Vec::new();
        for (scope, of) in scopes.iter().zip(rules) {
            self.scopes[*scope].admit(at, index, &of.rules, estimate);
            borrowed.extend(scope::loans(&of.rules).into_iter().map(|of| Loan {
                scope: self.paths[*scope].clone(),
                of,
            }));
        }
        self.lives.push(Life {
            borrowed,
            scopes,
            at,
            first: estimate,
            estimate,
            state: State::Open { deadline },
            is_pooled,
        });
        self.open.insert(index);
        self.by_request.insert(request.clone(), index);
    }

    fn scope(&mut self, scope: &Scope) -> usize {
        if let Some(index) = self.names.get(scope) {
            return *index;
        }
        self.scopes.push(ScopeLog::default());
        self.paths.push(events::path(scope));
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
            self.close(now, life, estimate, State::Expired);
        }
        self.tells(writes)
    }

    /// The records that a commit queued, each under the next number.
    fn queued(&mut self, writes: &WriteSet) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        for (row, text) in writes.iter() {
            let (Some(_), Some(text)) = (row.strip_prefix("q/"), text) else {
                continue;
            };
            let unread = |error: serde_json::Error| error.to_string();
            let numbered: Line<serde_json::Value> = serde_json::from_str(text).map_err(unread)?;
            let next = self.lines.len() as u64 + 1;
            self.checks += 1;
            if numbered.sequence != next {
                return Err(format!("record {next} was queued as {}", numbered.sequence));
            }
            self.lines.push(text.to_owned());
            if numbered.record["kind"] == "refused" {
                self.refusals_due = self.refusals_due.saturating_sub(1);
                continue;
            }
            let line: Line = serde_json::from_str(text).map_err(unread)?;
            self.charged += line.record.cost_nano_usd.as_nanos();
            self.says_what_it_borrowed(&line.record)?;
            records.push(line.record);
        }
        Ok(records)
    }
}

fn key(record: &Record) -> Due {
    (record.request.clone(), record.kind, record.cost_nano_usd)
}

fn limit(rule: &Rule) -> u64 {
    if let Borrow::Of(most) = rule.borrow() {
        return most;
    }
    match *rule {
        Rule::Window { limit, .. } | Rule::Concurrency { limit } => limit,
        Rule::Gcra { burst, .. } => burst,
        Rule::Budget { limit, .. } => u64::try_from(limit.as_nanos()).unwrap_or(0),
    }
}
