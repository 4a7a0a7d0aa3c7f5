//! Random lives of many requests, checked after every step against a model that keeps everything and is slow.
//!
//! The steps: batches of commands (with repetitions, late arrivals and changing limits), time, expiry, and shipping to
//! a store that fails or whose confirmation is lost.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sluice_machines::chain::ChainKind;
use sluice_machines::ledger::{Command, Denial, EXPIRED_KEPT, Reply, SUB_BUCKETS};
use sluice_machines::limit::{
    Amount, Borrow, Loan, LoanOf, Meter, Period, Rule, Scope, ScopeRules, Slice,
};
use sluice_machines::outbox::{self, Line};
use sluice_machines::record::RecordKind;
use sluice_units::{KeyId, NanoUsd, RequestId, Span, TeamId, Timestamp, Tokens};

use crate::world::{World, amount, at, borrowing, budget, per, record, request, seconds};

const MINUTE: Span = Span::from_seconds(60);
const HOUR: Span = Span::from_seconds(3_600);
/// How far the clock steps back, at most: by less than a stretch in which expired reservations are forgotten together.
const STEP_BACK_MAX: Span = Span::from_seconds(1_200);
const TTL: Span = Span::from_seconds(60);

#[derive(Debug, Clone)]
enum Step {
    /// Commands that travel together.
    Batch(Vec<Op>),
    Pass(Span),
    Expire,
    /// New numbers for the limits: dollars a day, dollars a month, requests and tokens a minute.
    Limits(i64, i64, u64, u64),
    Ship(Upload),
}

#[derive(Debug, Clone)]
enum Op {
    Admit {
        team: u8,
        key: u8,
        estimate: Amount,
    },
    /// Admitted and settled in one call.
    AdmitAndSettle {
        estimate: Amount,
        actual: Amount,
    },
    AdmitAgain(usize),
    Extend(usize),
    Settle(usize, Amount),
    Release(usize),
}

#[derive(Debug, Clone, Copy)]
enum Upload {
    Confirmed,
    /// The store refuses.
    Refused,
    /// The object dies before it uploads.
    Died,
    /// The store has it, but the object dies before it hears so.
    Unheard,
}

fn amounts() -> impl Strategy<Value = Amount> {
    (0_u64..50, 0_i64..50).prop_map(|(tokens, cost)| amount(tokens, cost))
}

fn ops() -> impl Strategy<Value = Op> {
    // The latest requests are the likeliest.
    let back = || 0_usize..8;
    prop_oneof![
        4 => (0_u8..2, 0_u8..3, amounts())
            .prop_map(|(team, key, estimate)| Op::Admit { team, key, estimate }),
        1 => (amounts(), amounts())
            .prop_map(|(estimate, actual)| Op::AdmitAndSettle { estimate, actual }),
        1 => back().prop_map(Op::AdmitAgain),
        1 => back().prop_map(Op::Extend),
        3 => (back(), amounts()).prop_map(|(back, actual)| Op::Settle(back, actual)),
        1 => back().prop_map(Op::Release),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pass = prop_oneof![
        4 => 0_i64..5_000,
        3 => 5_000_i64..90_000,
        1 => Just(6 * 3_600_000),
        1 => Just(5 * 86_400_000),
        // The clock steps back.
        1 => -20 * 60_000_i64..0,
    ];
    let upload = prop_oneof![
        Just(Upload::Confirmed),
        Just(Upload::Refused),
        Just(Upload::Died),
        Just(Upload::Unheard),
    ];
    let step = prop_oneof![
        8 => proptest::collection::vec(ops(), 1..4).prop_map(Step::Batch),
        4 => pass.prop_map(|millis| Step::Pass(Span::from_millis(millis))),
        2 => Just(Step::Expire),
        1 => (0_i64..300, 0_i64..900, 0_u64..12, 0_u64..300)
            .prop_map(|(day, month, requests, tokens)| Step::Limits(day, month, requests, tokens)),
        2 => upload.prop_map(Step::Ship),
    ];
    proptest::collection::vec(step, 1..80)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open { deadline: Timestamp },
    Settled(Amount),
    Released,
    Expired,
    Corrected(Amount),
    ReleasedLate,
}

/// One admitted request.
#[derive(Debug, Clone)]
struct Life {
    number: u32,
    scopes: Vec<ScopeRules>,
    at: Timestamp,
    estimate: Amount,
    borrowed: Vec<Loan>,
    state: State,
    closed_at: Timestamp,
}

impl Life {
    /// What it has cost and used so far.
    fn charged(&self) -> Amount {
        match self.state {
            State::Open { .. } | State::Released | State::ReleasedLate => Amount::default(),
            State::Settled(actual) | State::Corrected(actual) => actual,
            State::Expired => self.estimate,
        }
    }

    fn reserved(&self) -> NanoUsd {
        match self.state {
            State::Open { .. } => self.estimate.cost,
            _ => NanoUsd::ZERO,
        }
    }

    fn counts(&self, meter: Meter) -> u64 {
        match (meter, self.state) {
            (Meter::Requests, State::Released) => 0,
            (Meter::Requests, _) => 1,
            (_, State::Open { .. }) => Slice::of(self.estimate).on(meter),
            (_, _) => Slice::of(self.charged()).on(meter),
        }
    }

    /// Whether what it takes is of the part that a rule looks at: its own, or what is borrowed beyond it.
    fn is_seen(&self, scope: &Scope, rule: &Rule, is_borrowed: bool) -> bool {
        let loan = rule.loan().map(|of| loan(scope, of));
        let has = loan.is_some_and(|loan| self.borrowed.contains(&loan));
        rule.borrow() == Borrow::No || has == is_borrowed
    }

    /// The ledger remembers that it expired, but not for ever.
    fn is_remembered_for_a_time(&self) -> bool {
        matches!(
            self.state,
            State::Expired | State::Corrected(_) | State::ReleasedLate
        )
    }

    fn stands_at(&self, scope: &Scope) -> bool {
        self.scopes.iter().any(|rules| rules.scope == *scope)
    }

    fn records(&self) -> Vec<(RecordKind, NanoUsd)> {
        let estimate = self.estimate.cost;
        let expired = (RecordKind::Expired, estimate);
        let correction =
            |actual: NanoUsd| vec![expired, (RecordKind::Correction, actual.minus(estimate))];
        match self.state {
            State::Open { .. } | State::Released => vec![],
            State::Settled(actual) => vec![(RecordKind::Settled, actual.cost)],
            State::Expired => vec![expired],
            State::Corrected(actual) => correction(actual.cost),
            State::ReleasedLate => correction(NanoUsd::ZERO),
        }
    }
}

fn loan(scope: &Scope, of: LoanOf) -> Loan {
    let scope = match scope {
        Scope::Team(team) => format!("team/{team}"),
        Scope::Key(key) => format!("key/{key}"),
        _ => "org".to_owned(),
    };
    Loan { scope, of }
}

/// The most that may be borrowed beyond a rule.
fn bound(rule: &Rule) -> u64 {
    match rule.borrow() {
        Borrow::UpTo(most) => most,
        Borrow::Any => u64::MAX,
        _ => 0,
    }
}

fn request_of(command: &Command) -> &RequestId {
    match command {
        Command::Admit(admission) => &admission.draft.request,
        Command::Settle { record, .. } => &record.request,
        Command::Extend { request, .. } | Command::Release { request } => request,
        Command::Lease(_)
        | Command::Intent(_)
        | Command::Raise(_)
        | Command::Refuse(_)
        | Command::Standing => {
            unreachable!()
        }
    }
}

/// Whether these commands may end the request that `admit` names.
fn ends_before(commands: &[Command], admit: &Command) -> bool {
    commands.iter().any(|command| {
        matches!(command, Command::Settle { .. } | Command::Release { .. })
            && request_of(command) == request_of(admit)
    })
}

fn limit(rule: &Rule) -> u64 {
    match *rule {
        Rule::Budget { limit, .. } => limit.as_nanos().unsigned_abs(),
        Rule::Window { limit, .. } => limit,
        Rule::Gcra { .. } | Rule::Concurrency { .. } => unreachable!(),
    }
}

fn asked(rule: &Rule, estimate: Amount) -> u64 {
    match *rule {
        Rule::Budget { .. } => estimate.cost.as_nanos().unsigned_abs(),
        Rule::Window { meter, .. } => Slice::of(estimate).on(meter),
        Rule::Gcra { .. } | Rule::Concurrency { .. } => unreachable!(),
    }
}

/// By how much longer than a window a charge may count.
fn bucket_us(rule: &Rule) -> i64 {
    match *rule {
        Rule::Window { window, .. } => window.as_micros() / SUB_BUCKETS,
        _ => 0,
    }
}

struct Simulation {
    world: World,
    limits: (i64, i64, u64, u64),
    lives: Vec<Life>,
    numbers: u32,
    /// The latest time that the clock ever showed.
    latest: Timestamp,
    /// The store of records: what stands under each name.
    objects: BTreeMap<String, String>,
}

fn sum(amounts: impl Iterator<Item = NanoUsd>) -> NanoUsd {
    amounts.fold(NanoUsd::ZERO, NanoUsd::plus)
}

impl Simulation {
    fn new() -> Self {
        Self {
            latest: World::new().now,
            world: World::new(),
            limits: (200, 600, 8, 200),
            lives: Vec::new(),
            numbers: 0,
            objects: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Batch(ops) => self.batch(ops),
            Step::Pass(span) => {
                self.world.pass(*span);
                self.latest = self.latest.max(self.world.now);
                self.world.now = self.world.now.max(self.latest.minus(STEP_BACK_MAX));
            }
            Step::Expire => self.expire(),
            Step::Limits(day, month, requests, tokens) => {
                self.limits = (*day, *month, *requests, *tokens);
            }
            Step::Ship(upload) => self.ship(*upload),
        }
        self.check();
    }

    fn scopes(&self, team: u8, key: u8) -> Vec<ScopeRules> {
        let (day, month, requests, tokens) = self.limits;
        let team = Scope::Team(TeamId::new(&format!("team-{team}")).unwrap());
        let key = Scope::Key(KeyId::new(&format!("key-{key}")).unwrap());
        let org = [
            budget(Period::Day, day),
            budget(Period::Month, month),
            per(Meter::Requests, requests, MINUTE),
            per(Meter::Tokens, tokens, MINUTE),
            per(Meter::Money, day.unsigned_abs() / 2, HOUR),
        ];
        let of_team = [
            borrowing(
                budget(Period::Day, day / 4),
                Borrow::UpTo(day.unsigned_abs() / 4),
            ),
            borrowing(per(Meter::Tokens, tokens / 2, MINUTE), Borrow::Any),
            // The same window, and nothing is borrowed beyond it: all counts.
            per(Meter::Tokens, tokens / 3 * 2, MINUTE),
            borrowing(
                per(Meter::Money, day.unsigned_abs() / 8, HOUR),
                Borrow::UpTo(day.unsigned_abs() / 6),
            ),
        ];
        let of_key = [borrowing(
            per(Meter::Requests, requests / 2, seconds(10)),
            Borrow::UpTo(requests / 4),
        )];
        vec![at(Scope::Org, &org), at(team, &of_team), at(key, &of_key)]
    }

    fn batch(&mut self, ops: &[Op]) {
        let mut commands: Vec<Command> = Vec::new();
        for op in ops {
            let again = matches!(op, Op::AdmitAgain(_));
            let more = self.commands(op);
            if !(again && more.iter().any(|admit| ends_before(&commands, admit))) {
                commands.extend(more);
            }
        }
        let (replies, writes) = self.world.run(&commands);
        assert_eq!(replies.len(), commands.len());
        let denied = |reply: &Reply| matches!(reply, Reply::Denied(_) | Reply::Unknown);
        if replies.iter().all(denied) {
            assert!(writes.is_empty(), "a denial wrote {writes:?}");
        }
        for (command, reply) in commands.iter().zip(&replies) {
            self.observe(command, reply);
        }
    }

    /// The commands for an operation; none for an expired request that the ledger may have forgotten, and no `Admit`
    /// for one that ended in time, because a caller delivers it at most once.
    fn commands(&mut self, op: &Op) -> Vec<Command> {
        let known = |back: usize| {
            let life = self.lives.iter().rev().nth(back)?;
            let age = self.latest.since(life.closed_at);
            (!life.is_remembered_for_a_time() || age < EXPIRED_KEPT).then_some(life)
        };
        let settle = |number, actual| Command::Settle {
            actual,
            record: Box::new(record(number, self.world.now)),
        };
        let admit = |number, scopes: &[ScopeRules], estimate| {
            Command::Admit(Box::new(self.world.admission(number, scopes, estimate)))
        };
        let number = self.numbers;
        let commands = match op {
            Op::Admit {
                team,
                key,
                estimate,
            } => vec![admit(number, &self.scopes(*team, *key), *estimate)],
            Op::AdmitAndSettle { estimate, actual } => vec![
                admit(number, &self.scopes(0, 0), *estimate),
                settle(number, *actual),
            ],
            Op::AdmitAgain(back) => known(*back)
                .filter(|life| !matches!(life.state, State::Settled(_) | State::Released))
                .map(|life| admit(life.number, &life.scopes, life.estimate))
                .into_iter()
                .collect(),
            Op::Extend(back) => known(*back)
                .map(|life| Command::Extend {
                    request: request(life.number),
                    ttl: TTL,
                })
                .into_iter()
                .collect(),
            Op::Settle(back, actual) => known(*back)
                .map(|life| settle(life.number, *actual))
                .into_iter()
                .collect(),
            Op::Release(back) => known(*back)
                .map(|life| Command::Release {
                    request: request(life.number),
                })
                .into_iter()
                .collect(),
        };
        self.numbers += 1;
        commands
    }

    fn observe(&mut self, command: &Command, reply: &Reply) {
        let now = self.world.now;
        let request = request_of(command);
        let life = self
            .lives
            .iter_mut()
            .find(|life| crate::world::request(life.number) == *request);
        let Some(life) = life else {
            let Command::Admit(admission) = command else {
                assert_eq!(*reply, Reply::Unknown, "{command:?} of a denied request");
                return;
            };
            let number = request.as_str().rsplit('-').next().unwrap();
            let number = number.parse().unwrap();
            self.observe_admission(number, &admission.scopes, admission.estimate, reply);
            return;
        };
        let (state, expected) = match (command, life.state) {
            (Command::Admit(_), open @ State::Open { .. }) => {
                let Reply::Admitted(headroom) = reply else {
                    panic!("{reply:?}");
                };
                assert_eq!(headroom.borrowed, life.borrowed, "a repeated admission");
                (open, reply.clone())
            }
            (Command::Admit(_), closed) => (closed, Reply::Done),
            (Command::Extend { ttl, .. }, State::Open { deadline }) => {
                let deadline = deadline.max(now.plus(*ttl));
                (State::Open { deadline }, Reply::Done)
            }
            (Command::Extend { .. }, closed) => (closed, Reply::Unknown),
            (Command::Settle { actual, .. }, State::Open { .. }) => {
                (State::Settled(*actual), Reply::Done)
            }
            (Command::Settle { actual, .. }, State::Expired) => {
                (State::Corrected(*actual), Reply::Done)
            }
            (
                Command::Settle { .. } | Command::Release { .. },
                ended @ (State::Settled(_) | State::Released),
            ) => (ended, Reply::Unknown),
            (Command::Settle { .. }, corrected) => (corrected, Reply::Done),
            (Command::Release { .. }, State::Open { .. }) => (State::Released, Reply::Done),
            (Command::Release { .. }, State::Expired) => (State::ReleasedLate, Reply::Done),
            (Command::Release { .. }, corrected) => (corrected, Reply::Done),
            (
                Command::Lease(_)
                | Command::Intent(_)
                | Command::Raise(_)
                | Command::Refuse(_)
                | Command::Standing,
                _,
            ) => unreachable!(),
        };
        assert_eq!(*reply, expected, "{command:?} in {:?}", life.state);
        if matches!(life.state, State::Open { .. }) {
            life.closed_at = now;
        }
        life.state = state;
    }

    fn observe_admission(
        &mut self,
        number: u32,
        scopes: &[ScopeRules],
        estimate: Amount,
        reply: &Reply,
    ) {
        let now = self.world.now;
        let at = scopes
            .iter()
            .fold(now, |at, rules| at.max(self.time_at(&rules.scope)));
        match reply {
            Reply::Admitted(headroom) => {
                for ScopeRules { scope, rules } in scopes {
                    for rule in rules {
                        self.check_allowed(at, (scope, rule), estimate, &headroom.borrowed);
                    }
                }
                let borrowed = headroom.borrowed.clone();
                self.lives.push(Life {
                    number,
                    scopes: scopes.to_vec(),
                    at,
                    estimate,
                    borrowed,
                    state: State::Open {
                        deadline: now.plus(TTL),
                    },
                    closed_at: now,
                });
            }
            Reply::Denied(denial) => {
                self.check_denial(at, denial);
                let rules = scopes.iter();
                let mut rules = rules.flat_map(|of| of.rules.iter().map(|rule| (&of.scope, rule)));
                assert!(
                    rules.any(|of| self.forbids(at, of, estimate)),
                    "could have borrowed: {denial:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }

    /// The time of the last admission at this scope: it never goes back, even when the clock does.
    fn time_at(&self, scope: &Scope) -> Timestamp {
        let times = self.lives_at(scope).map(|life| life.at);
        times.max().unwrap_or_default()
    }

    /// What counts against a rule at `at`: of its own, or of what is borrowed beyond it. `longer` is added to a window.
    fn used(
        &self,
        at: Timestamp,
        (scope, rule): (&Scope, &Rule),
        is_borrowed: bool,
        longer: i64,
    ) -> u64 {
        let lives = self.lives_at(scope);
        let lives = lives.filter(|life| life.is_seen(scope, rule, is_borrowed));
        match *rule {
            Rule::Budget { period, .. } => {
                let begins = match period {
                    Period::Day => at.day_start(),
                    Period::Month => at.month_start(),
                };
                let lives = lives.filter(|life| life.at >= begins);
                let used = sum(lives.map(|life| life.charged().cost.plus(life.reserved())));
                used.as_nanos().unsigned_abs()
            }
            Rule::Window { meter, window, .. } => {
                let begins = at.minus(Span::from_micros(window.as_micros() + longer));
                let lives = lives.filter(|life| life.at >= begins);
                lives.map(|life| life.counts(meter)).sum()
            }
            Rule::Gcra { .. } | Rule::Concurrency { .. } => unreachable!(),
        }
    }

    fn lives_at<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Life> {
        self.lives.iter().filter(|life| life.stands_at(scope))
    }

    fn check_allowed(
        &self,
        at: Timestamp,
        of: (&Scope, &Rule),
        estimate: Amount,
        borrowed: &[Loan],
    ) {
        let (scope, rule) = of;
        let loan = rule.loan().map(|of| loan(scope, of));
        let is_borrowed =
            rule.borrow() != Borrow::No && loan.is_some_and(|loan| borrowed.contains(&loan));
        let limit = if is_borrowed {
            bound(rule)
        } else {
            limit(rule)
        };
        let used = self.used(at, of, is_borrowed, 0);
        assert!(
            u128::from(used) + u128::from(asked(rule, estimate)) <= u128::from(limit),
            "{rule:?} {is_borrowed}"
        );
        if is_borrowed {
            // Only what does not fit is borrowed. A window's oldest sub-bucket counts in full.
            let own = self.used(at, of, false, bucket_us(rule));
            assert!(own + asked(rule, estimate) > self::limit(rule), "{rule:?}");
        }
    }

    /// Whether a rule refuses so much, and nothing more can be borrowed beyond it either.
    fn forbids(&self, at: Timestamp, of: (&Scope, &Rule), estimate: Amount) -> bool {
        let asked = u128::from(asked(of.1, estimate));
        let is_full = |is_borrowed, limit: u64| {
            let used = self.used(at, of, is_borrowed, bucket_us(of.1));
            u128::from(used) + asked > u128::from(limit)
        };
        is_full(false, limit(of.1)) && (of.1.borrow() == Borrow::No || is_full(true, bound(of.1)))
    }

    fn check_denial(&self, at: Timestamp, denial: &Denial) {
        let of = (&denial.scope, &denial.rule);
        let most = self.used(at, of, false, bucket_us(&denial.rule));
        assert!(denial.used + denial.asked > limit(&denial.rule));
        assert!(denial.used <= most, "{denial:?}: {most}");
        assert!(denial.borrows.is_empty(), "{denial:?}");
        if let Rule::Budget { .. } = denial.rule {
            assert_eq!(denial.used, most);
        }
    }

    fn expire(&mut self) {
        self.world.expire();
        let now = self.world.now;
        for life in &mut self.lives {
            if matches!(life.state, State::Open { deadline } if deadline <= now) {
                life.state = State::Expired;
                life.closed_at = now;
            }
        }
    }

    fn ship(&mut self, upload: Upload) {
        let world = &mut self.world;
        let rows = world.rows(&outbox::reads());
        let Some((batch, writes)) = outbox::next_batch(&rows, world.now, ChainKind::Usage).unwrap()
        else {
            return;
        };
        world.store.apply(&writes);
        let rows = world.rows(&outbox::reads());
        if let Upload::Confirmed | Upload::Unheard = upload {
            let before = self
                .objects
                .insert(batch.name.clone(), batch.ndjson.clone());
            assert!(before.is_none_or(|before| before == batch.ndjson));
        }
        match upload {
            Upload::Confirmed => {
                world.store.apply(&outbox::shipped(&rows, &batch).unwrap());
            }
            Upload::Refused => {
                let writes = outbox::failed(&rows, world.now, &batch).unwrap();
                world.store.apply(&writes);
            }
            Upload::Died | Upload::Unheard => {}
        }
    }

    /// All records, shipped or waiting, by their sequence number.
    fn lines(&self) -> BTreeMap<u64, Line> {
        let shipped = self
            .objects
            .values()
            .flat_map(|ndjson| ndjson.lines().skip(1));
        shipped
            .map(|line| serde_json::from_str(line).unwrap())
            .chain(self.world.queued())
            .map(|line: Line| (line.sequence, line))
            .collect()
    }

    fn check(&mut self) {
        let lines = self.lines();
        let numbers: Vec<u64> = lines.keys().copied().collect();
        let expected: Vec<u64> = (1..=lines.len() as u64).collect();
        assert_eq!(numbers, expected, "the records' numbers have a gap");
        let mut records: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in lines.values() {
            let record = &line.record;
            records
                .entry(record.request.clone())
                .or_default()
                .push((record.kind, record.cost_nano_usd));
            let mut lives = self.lives.iter();
            let life = lives.find(|life| request(life.number) == record.request);
            let borrowed = life.map(|life| &life.borrowed);
            assert_eq!(borrowed, Some(&record.borrowed), "{record:?}");
        }
        for life in &self.lives {
            let found = records.remove(&request(life.number)).unwrap_or_default();
            assert_eq!(found, life.records(), "{life:?}");
        }
        assert!(records.is_empty(), "records of nobody: {records:?}");
        let all = sum(lines.values().map(|line| line.record.cost_nano_usd));
        self.check_standing(all);
    }

    /// What the requests that came to an end here have borrowed.
    fn borrowed(&self, scope: &Scope) -> Slice {
        let mut all = Slice::NONE;
        for life in self.lives_at(scope) {
            let ended = !matches!(life.state, State::Open { .. } | State::Released);
            let has = |of| life.borrowed.contains(&loan(scope, of));
            all = all.plus(Slice {
                requests: u64::from(ended && has(LoanOf::Requests(seconds(10)))),
                tokens: if has(LoanOf::Tokens(MINUTE)) {
                    life.charged().tokens
                } else {
                    Tokens::ZERO
                },
                cost: if has(LoanOf::Money(Period::Day)) || has(LoanOf::MoneyWithin(HOUR)) {
                    life.charged().cost
                } else {
                    NanoUsd::ZERO
                },
            });
        }
        all
    }

    fn check_standing(&mut self, all: NanoUsd) {
        let (scopes, waiting, open) = self.world.standing();
        assert_eq!(waiting, self.world.queued().len() as u64);
        let is_open = |life: &&Life| matches!(life.state, State::Open { .. });
        assert_eq!(open, self.lives.iter().filter(is_open).count() as u64);
        for standing in scopes {
            let scope = &standing.scope;
            let now = self.world.now.max(self.time_at(scope));
            let cost = |since: Timestamp| {
                let lives = self.lives_at(scope).filter(|life| life.at >= since);
                sum(lives.map(|life| life.charged().cost))
            };
            assert_eq!(standing.spent_day, cost(now.day_start()));
            assert_eq!(standing.spent_month, cost(now.month_start()));
            assert_eq!(standing.spent_total, cost(Timestamp::default()));
            assert_eq!(
                standing.reserved,
                sum(self.lives_at(scope).map(Life::reserved))
            );
            assert_eq!(standing.requests_total, self.lives_at(scope).count() as u64);
            let tokens: u64 = self
                .lives_at(scope)
                .map(|life| life.charged().tokens.count())
                .sum();
            assert_eq!(standing.tokens_total, tokens);
            assert_eq!(standing.borrowed_total, self.borrowed(scope));
            if *scope == Scope::Org {
                assert_eq!(
                    standing.spent_total, all,
                    "the ledger and its records differ"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn the_ledger_agrees_with_a_model_that_forgets_nothing(steps in steps()) {
        let mut simulation = Simulation::new();
        for step in &steps {
            simulation.step(step);
        }
    }
}
