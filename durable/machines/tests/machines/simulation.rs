//! Random lives of many requests, checked after every step against a model that keeps everything and is slow.
//!
//! The steps: batches of commands (with repetitions, late arrivals and changing limits), time, expiry, and shipping to
//! a store that fails or whose confirmation is lost.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sluice_machines::ledger::{CLOSED_KEPT, Command, Denial, Reply, SUB_BUCKETS};
use sluice_machines::limit::{Amount, Meter, Period, Rule, Scope, ScopeRules};
use sluice_machines::outbox::{self, Line};
use sluice_machines::record::RecordKind;
use sluice_units::{KeyId, NanoUsd, Span, TeamId, Timestamp};

use crate::world::{World, amount, at, budget, per, record, request, seconds};

const MINUTE: Span = Span::from_seconds(60);
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
    Admit { team: u8, key: u8, estimate: Amount },
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
            (Meter::Tokens, State::Open { .. }) => self.estimate.tokens.count(),
            (Meter::Tokens, _) => self.charged().tokens.count(),
        }
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

struct Simulation {
    world: World,
    limits: (i64, i64, u64, u64),
    lives: Vec<Life>,
    numbers: u32,
    /// The store of records: what stands under each name.
    objects: BTreeMap<String, String>,
}

fn sum(amounts: impl Iterator<Item = NanoUsd>) -> NanoUsd {
    amounts.fold(NanoUsd::ZERO, NanoUsd::plus)
}

impl Simulation {
    fn new() -> Self {
        Self {
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
            Step::Pass(span) => self.world.pass(*span),
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
        ];
        let of_team = [
            budget(Period::Day, day / 2),
            per(Meter::Tokens, tokens, MINUTE),
        ];
        let of_key = [per(Meter::Requests, requests / 2, seconds(10))];
        vec![at(Scope::Org, &org), at(team, &of_team), at(key, &of_key)]
    }

    fn batch(&mut self, ops: &[Op]) {
        let commands: Vec<Command> = ops.iter().filter_map(|op| self.command(op)).collect();
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

    /// The command for an operation; none for a request of which the ledger may have forgotten what became.
    fn command(&mut self, op: &Op) -> Option<Command> {
        let number_of = |back: usize| {
            let life = self.lives.iter().rev().nth(back)?;
            let age = self.world.now.since(life.closed_at);
            let open = matches!(life.state, State::Open { .. });
            (open || age < CLOSED_KEPT).then_some(life)
        };
        match op {
            Op::Admit {
                team,
                key,
                estimate,
            } => {
                self.numbers += 1;
                let scopes = self.scopes(*team, *key);
                let admission = self.world.admission(self.numbers, &scopes, *estimate);
                Some(Command::Admit(Box::new(admission)))
            }
            Op::AdmitAgain(back) => {
                let life = number_of(*back)?;
                let admission = self
                    .world
                    .admission(life.number, &life.scopes, life.estimate);
                Some(Command::Admit(Box::new(admission)))
            }
            Op::Extend(back) => Some(Command::Extend {
                request: request(number_of(*back)?.number),
                ttl: TTL,
            }),
            Op::Settle(back, actual) => Some(Command::Settle {
                actual: *actual,
                record: Box::new(record(number_of(*back)?.number, self.world.now)),
            }),
            Op::Release(back) => Some(Command::Release {
                request: request(number_of(*back)?.number),
            }),
        }
    }

    fn observe(&mut self, command: &Command, reply: &Reply) {
        let now = self.world.now;
        let request = match command {
            Command::Admit(admission) => &admission.draft.request,
            Command::Settle { record, .. } => &record.request,
            Command::Extend { request, .. } | Command::Release { request } => request,
            Command::Standing => unreachable!(),
        };
        let life = self
            .lives
            .iter_mut()
            .find(|life| crate::world::request(life.number) == *request);
        let Some(life) = life else {
            let Command::Admit(admission) = command else {
                panic!("{command:?} of an unknown request");
            };
            let number = request.as_str().rsplit('-').next().unwrap();
            let number = number.parse().unwrap();
            self.observe_admission(number, &admission.scopes, admission.estimate, reply);
            return;
        };
        let (state, expected) = match (command, life.state) {
            (Command::Admit(_), open @ State::Open { .. }) => {
                assert!(matches!(reply, Reply::Admitted(_)), "{reply:?}");
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
            (Command::Settle { .. }, released @ (State::Released | State::ReleasedLate)) => {
                (released, Reply::Unknown)
            }
            (Command::Settle { .. }, settled) => (settled, Reply::Done),
            (Command::Release { .. }, State::Open { .. }) => (State::Released, Reply::Done),
            (Command::Release { .. }, State::Expired) => (State::ReleasedLate, Reply::Done),
            (Command::Release { .. }, closed) => (closed, Reply::Done),
            (Command::Standing, _) => unreachable!(),
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
        match reply {
            Reply::Admitted(_) => {
                for ScopeRules { scope, rules } in scopes {
                    for rule in rules {
                        self.check_allowed(scope, rule, estimate);
                    }
                }
                let now = self.world.now;
                self.lives.push(Life {
                    number,
                    scopes: scopes.to_vec(),
                    at: now,
                    estimate,
                    state: State::Open {
                        deadline: now.plus(TTL),
                    },
                    closed_at: now,
                });
            }
            Reply::Denied(denial) => self.check_denial(denial),
            other => panic!("{other:?}"),
        }
    }

    /// Spent and reserved in the present period.
    fn used_of_budget(&self, scope: &Scope, period: Period) -> i64 {
        let begins = match period {
            Period::Day => self.world.now.day_start(),
            Period::Month => self.world.now.month_start(),
        };
        let lives = self.lives_at(scope).filter(|life| life.at >= begins);
        sum(lives.map(|life| life.charged().cost.plus(life.reserved()))).as_nanos()
    }

    fn used_of_window(&self, scope: &Scope, meter: Meter, stretch_us: i64) -> u64 {
        let begins = self.world.now.minus(Span::from_micros(stretch_us));
        self.lives_at(scope)
            .filter(|life| life.at >= begins)
            .map(|life| life.counts(meter))
            .sum()
    }

    fn lives_at<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Life> {
        self.lives.iter().filter(|life| life.stands_at(scope))
    }

    fn check_allowed(&self, scope: &Scope, rule: &Rule, estimate: Amount) {
        match *rule {
            Rule::Budget { limit, period } => {
                let used = self.used_of_budget(scope, period);
                assert!(
                    used + estimate.cost.as_nanos() <= limit.as_nanos(),
                    "{rule:?}"
                );
            }
            Rule::Window {
                meter,
                limit,
                window,
            } => {
                let used = self.used_of_window(scope, meter, window.as_micros());
                let asked = match meter {
                    Meter::Requests => 1,
                    Meter::Tokens => estimate.tokens.count(),
                };
                assert!(used + asked <= limit, "{rule:?}");
            }
        }
    }

    fn check_denial(&self, denial: &Denial) {
        match denial.rule {
            Rule::Budget { limit, period } => {
                let used = self.used_of_budget(&denial.scope, period);
                assert_eq!(denial.used, used.unsigned_abs());
                assert!(denial.used + denial.asked > limit.as_nanos().unsigned_abs());
            }
            Rule::Window {
                meter,
                limit,
                window,
            } => {
                let bucket_us = window.as_micros() / SUB_BUCKETS;
                let most =
                    self.used_of_window(&denial.scope, meter, window.as_micros() + bucket_us);
                assert!(denial.used + denial.asked > limit);
                assert!(denial.used <= most, "{denial:?}: {most}");
            }
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
        let Some((batch, writes)) = outbox::next_batch(&rows, world.now).unwrap() else {
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
        let shipped = self.objects.values().flat_map(|ndjson| ndjson.lines());
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
        }
        for life in &self.lives {
            let found = records.remove(&request(life.number)).unwrap_or_default();
            assert_eq!(found, life.records(), "{life:?}");
        }
        assert!(records.is_empty(), "records of nobody: {records:?}");
        let all = sum(lines.values().map(|line| line.record.cost_nano_usd));
        self.check_standing(all);
    }

    fn check_standing(&mut self, all: NanoUsd) {
        let (scopes, waiting, open) = self.world.standing();
        assert_eq!(waiting, self.world.queued().len() as u64);
        let is_open = |life: &&Life| matches!(life.state, State::Open { .. });
        assert_eq!(open, self.lives.iter().filter(is_open).count() as u64);
        let now = self.world.now;
        for standing in scopes {
            let scope = &standing.scope;
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
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_ledger_agrees_with_a_model_that_forgets_nothing(steps in steps()) {
        let mut simulation = Simulation::new();
        for step in &steps {
            simulation.step(step);
        }
    }
}
