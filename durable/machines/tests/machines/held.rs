//! Random lives of isolates that hold leases, against a log of what really happened when.
//!
//! Isolates draw when they may; word of it reaches the ledger later, in order, sometimes twice; renewals cross with
//! draws; isolates vanish. The log knows each request's true moment, and no rule is ever broken by it.

use std::collections::VecDeque;

use proptest::prelude::*;
use sluice_machines::ledger::{Command, Intent, LEASE_KEPT, LeaseRequest, Reply, SUB_BUCKETS};
use sluice_machines::limit::{Amount, Meter, Period, Rule, Scope, ScopeRules, Slice};
use sluice_machines::record::RecordKind;
use sluice_units::{LeaseId, NanoUsd, Span, Timestamp, Tokens};

use crate::world::{World, amount, at, budget, key, per, record, request, seconds, team};

const MINUTE: Span = Span::from_seconds(60);
const TTL: Span = Span::from_seconds(60);
const ISOLATES: usize = 4;

fn rules() -> Vec<ScopeRules> {
    let org = [
        per(Meter::Requests, 60, MINUTE),
        budget(Period::Day, 4_000),
        Rule::Concurrency { limit: 40 },
    ];
    let of_team = [
        per(Meter::Tokens, 2_000, seconds(10)),
        Rule::Gcra {
            meter: Meter::Requests,
            limit: 120,
            window: MINUTE,
            burst: 24,
        },
        per(Meter::Money, 1_800, MINUTE),
    ];
    let of_key = [
        Rule::Gcra {
            meter: Meter::Tokens,
            limit: 3_000,
            window: MINUTE,
            burst: 1_000,
        },
        Rule::Gcra {
            meter: Meter::Money,
            limit: 2_500,
            window: MINUTE,
            burst: 800,
        },
        budget(Period::Month, 9_000),
    ];
    vec![
        at(Scope::Org, &org),
        at(team(), &of_team),
        at(key(), &of_key),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    /// Directly at the ledger.
    Admit(Amount),
    /// The isolate asks for so many requests, and keeps this part (in quarters) of what it has.
    Ask(usize, u64, u64),
    Draw(usize, Amount),
    /// What waits in the isolate reaches the ledger, as much as this, and twice if said so.
    Deliver(usize, usize, bool),
    /// An earlier request is settled to so many hundredths of its estimate, or released.
    Settle(usize, u64),
    Vanish(usize),
    Pass(Span),
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let estimate = || (1_u64..60, 0_i64..60).prop_map(|(tokens, cost)| amount(tokens, cost));
    let isolate = || 0_usize..ISOLATES;
    let pass =
        prop_oneof![4 => 0_i64..700, 2 => 700_i64..8_000, 1 => Just(40_000), 1 => Just(86_000_000)];
    let step = prop_oneof![
        3 => estimate().prop_map(Step::Admit),
        4 => (isolate(), 0_u64..30, 0_u64..=4).prop_map(|(i, want, keep)| Step::Ask(i, want, keep)),
        8 => (isolate(), estimate()).prop_map(|(i, estimate)| Step::Draw(i, estimate)),
        4 => (isolate(), 1_usize..6, any::<bool>()).prop_map(|(i, n, twice)| Step::Deliver(i, n, twice)),
        4 => (0_usize..8, 0_u64..=100).prop_map(|(back, percent)| Step::Settle(back, percent)),
        1 => isolate().prop_map(Step::Vanish),
        3 => pass.prop_map(|millis| Step::Pass(Span::from_millis(millis))),
        1 => Just(Step::Expire),
    ];
    proptest::collection::vec(step, 1..120)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Drawn, and the ledger has not heard of it.
    Drawn,
    Open {
        deadline: Timestamp,
    },
    Settled(Amount),
    Expired,
    Released,
    /// The isolate vanished before it could tell: nothing was given to the caller.
    Lost,
}

#[derive(Debug, Clone)]
struct Life {
    number: u32,
    /// When it was let in.
    at: Timestamp,
    /// When the ledger charged it.
    charged_at: Timestamp,
    estimate: Amount,
    state: State,
}

impl Life {
    fn amount(&self) -> Amount {
        match self.state {
            State::Settled(actual) => actual,
            State::Released | State::Lost => Amount::default(),
            State::Drawn | State::Open { .. } | State::Expired => self.estimate,
        }
    }

    fn counts(&self, meter: Meter) -> u64 {
        match (meter, self.state) {
            (Meter::Requests, State::Released | State::Lost) => 0,
            (Meter::Requests, _) => 1,
            (_, _) => Slice::of(self.amount()).on(meter),
        }
    }

    fn is_in_flight(&self) -> bool {
        matches!(self.state, State::Drawn | State::Open { .. })
    }
}

/// An isolate's side.
struct Isolate {
    lease: LeaseId,
    number: u64,
    sequence: u64,
    rest: Slice,
    until: Timestamp,
    asked: Option<(Timestamp, u64, Slice)>,
    outgoing: VecDeque<Command>,
    /// What the ledger holds back for it, and until when.
    held: (Slice, Timestamp),
}

impl Isolate {
    fn new(name: usize) -> Self {
        Self {
            lease: LeaseId::new(&format!("lease-{name}")).unwrap(),
            number: 0,
            sequence: 0,
            rest: Slice::NONE,
            until: Timestamp::default(),
            asked: None,
            outgoing: VecDeque::new(),
            held: (Slice::NONE, Timestamp::default()),
        }
    }
}

struct Simulation {
    world: World,
    isolates: Vec<Isolate>,
    names: usize,
    lives: Vec<Life>,
    /// Held for isolates that have vanished.
    orphans: Vec<(Slice, Timestamp)>,
    numbers: u32,
}

impl Simulation {
    fn new() -> Self {
        Self {
            world: World::new(),
            isolates: (0..ISOLATES).map(Isolate::new).collect(),
            names: ISOLATES,
            lives: Vec::new(),
            orphans: Vec::new(),
            numbers: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Admit(estimate) => self.admit(estimate),
            Step::Ask(isolate, want, keep) => self.ask(isolate, want, keep),
            Step::Draw(isolate, estimate) => self.draw(isolate, estimate),
            Step::Deliver(isolate, count, twice) => self.deliver(isolate, count, twice),
            Step::Settle(back, percent) => self.settle(back, percent),
            Step::Vanish(isolate) => self.vanish(isolate),
            Step::Pass(span) => self.world.pass(span),
            Step::Expire => self.expire(),
        }
        self.check();
    }

    fn live(&mut self, estimate: Amount, state: State) -> u32 {
        self.numbers += 1;
        self.lives.push(Life {
            number: self.numbers,
            at: self.world.now,
            charged_at: self.world.now,
            estimate,
            state,
        });
        self.numbers
    }

    fn admit(&mut self, estimate: Amount) {
        match self.world.admit(self.numbers + 1, &rules(), estimate) {
            Reply::Admitted(_) => {
                let deadline = self.world.now.plus(TTL);
                self.live(estimate, State::Open { deadline });
            }
            Reply::Denied(denial) => {
                self.check_denial(&denial.rule, estimate, denial.leases_end.is_some());
            }
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, isolate: usize, want: u64, keep: u64) {
        let now = self.world.now;
        let isolate = &mut self.isolates[isolate];
        if isolate.asked.is_some() {
            return;
        }
        if now >= isolate.until && isolate.number > 0 {
            // What is over is not renewed: another lease begins.
            self.orphans.push(isolate.held);
            let waiting = std::mem::take(&mut isolate.outgoing);
            *isolate = Isolate::new(self.names);
            isolate.outgoing = waiting;
            self.names += 1;
        }
        let part = |whole: u64| whole * keep / 4;
        isolate.rest = Slice {
            requests: part(isolate.rest.requests),
            tokens: Tokens::new(part(isolate.rest.tokens.count())),
            cost: NanoUsd::from_nanos(isolate.rest.cost.as_nanos() * keep as i64 / 4),
        };
        isolate.number += 1;
        isolate.asked = Some((now, isolate.number, Slice::NONE));
        isolate
            .outgoing
            .push_back(Command::Lease(Box::new(LeaseRequest {
                lease: isolate.lease.clone(),
                number: isolate.number,
                scopes: rules(),
                keep: isolate.rest,
                want: Slice {
                    requests: want,
                    tokens: Tokens::new(30 * want),
                    cost: NanoUsd::from_nanos(30 * want as i64),
                },
                parent: None,
                upward: None,
            })));
    }

    fn draw(&mut self, index: usize, estimate: Amount) {
        let now = self.world.now;
        let slice = Slice::of(estimate);
        let isolate = &self.isolates[index];
        if now >= isolate.until || !isolate.rest.covers(slice) {
            return;
        }
        let number = self.live(estimate, State::Drawn);
        let isolate = &mut self.isolates[index];
        isolate.rest = isolate.rest.minus(slice);
        isolate.sequence += 1;
        if let Some((.., drawn)) = &mut isolate.asked {
            *drawn = drawn.plus(slice);
        }
        isolate.outgoing.push_back(Command::Intent(Box::new(Intent {
            lease: isolate.lease.clone(),
            sequence: isolate.sequence,
            estimate,
            ttl: TTL,
            draft: record(number, now),
        })));
    }

    fn deliver(&mut self, index: usize, count: usize, twice: bool) {
        let waiting = self.isolates[index].outgoing.len();
        let commands: Vec<Command> = self.isolates[index]
            .outgoing
            .drain(..count.min(waiting))
            .collect();
        let (mut replies, _) = self.world.run(&commands);
        self.hear(index, &commands, &replies);
        if twice {
            let before = self.world.store.clone();
            replies = self.world.run(&commands).0;
            assert!(self.world.store == before, "a repetition changed something");
        }
        for (command, reply) in commands.iter().zip(replies) {
            let isolate = &mut self.isolates[index];
            match (command, reply) {
                (Command::Intent(_), Reply::Done | Reply::Unknown) => {}
                (Command::Lease(_), Reply::Leased(grant)) => {
                    let (asked_at, _, drawn) = isolate.asked.take().unwrap();
                    isolate.rest = grant.rest.minus(drawn);
                    isolate.until = asked_at.plus(grant.life);
                }
                (command, reply) => panic!("{command:?}: {reply:?}"),
            }
        }
    }

    /// The ledger hears of these commands now, in this order.
    fn hear(&mut self, index: usize, commands: &[Command], replies: &[Reply]) {
        let now = self.world.now;
        for (command, reply) in commands.iter().zip(replies) {
            if let Command::Intent(intent) = command {
                let life = self
                    .lives
                    .iter_mut()
                    .find(|life| request(life.number) == intent.draft.request)
                    .unwrap();
                life.charged_at = now;
                life.state = State::Open {
                    deadline: now.plus(TTL),
                };
                if *reply == Reply::Unknown {
                    assert!(now.since(life.at) >= LEASE_KEPT, "{life:?} is not known");
                    life.state = State::Lost;
                }
            }
        }
        let lease = format!("l/{}", self.isolates[index].lease);
        if let Some(text) = self.world.store.get(&lease) {
            let row: serde_json::Value = serde_json::from_str(text).unwrap();
            let rest = serde_json::from_value(row["r"].clone()).unwrap();
            let until = serde_json::from_value(row["h"].clone()).unwrap();
            self.isolates[index].held = (rest, until);
        }
    }

    fn settle(&mut self, back: usize, percent: u64) {
        let Some(life) = self.lives.iter_mut().rev().nth(back) else {
            return;
        };
        let State::Open { .. } = life.state else {
            return;
        };
        if percent == 0 {
            life.state = State::Released;
            assert_eq!(self.world.release(life.number), Reply::Done);
            return;
        }
        let actual = amount(
            life.estimate.tokens.count() * percent / 100,
            life.estimate.cost.as_nanos() * percent as i64 / 100,
        );
        life.state = State::Settled(actual);
        assert_eq!(self.world.settle(life.number, actual), Reply::Done);
    }

    fn vanish(&mut self, index: usize) {
        let fresh = Isolate::new(self.names);
        self.names += 1;
        let gone = std::mem::replace(&mut self.isolates[index], fresh);
        self.orphans.push(gone.held);
        for command in gone.outgoing {
            if let Command::Intent(intent) = command {
                for life in &mut self.lives {
                    if request(life.number) == intent.draft.request {
                        life.state = State::Lost;
                    }
                }
            }
        }
    }

    fn expire(&mut self) {
        self.world.expire();
        let now = self.world.now;
        for life in &mut self.lives {
            if matches!(life.state, State::Open { deadline } if deadline <= now) {
                life.state = State::Expired;
            }
        }
    }

    /// Overruns are declared, and only where word came late.
    fn overruns(&self) -> Vec<u32> {
        let queued = self.world.queued();
        let late: Vec<_> = queued
            .iter()
            .filter(|line| line.record.overrun)
            .map(|line| line.record.request.clone())
            .collect();
        let open = self.world.store.with_prefix("o/");
        let open: Vec<_> = open
            .filter(|(_, text)| text.contains("\"u\":true"))
            .map(|(key, _)| key.trim_start_matches("o/").to_owned())
            .collect();
        self.lives
            .iter()
            .filter(|life| {
                let request = request(life.number);
                late.contains(&request) || open.iter().any(|one| *one == request.as_str())
            })
            .map(|life| life.number)
            .collect()
    }

    fn check(&self) {
        let overruns = self.overruns();
        for life in &self.lives {
            if overruns.contains(&life.number) {
                assert!(
                    life.charged_at.since(life.at) >= Span::from_seconds(2),
                    "{life:?} came in time and was not covered"
                );
            }
        }
        let lives: Vec<&Life> = self
            .lives
            .iter()
            .filter(|life| !overruns.contains(&life.number))
            .collect();
        for ScopeRules { rules, .. } in rules() {
            for rule in rules {
                self.check_rule(&lives, &rule);
            }
        }
        let records = self.world.queued();
        let ended = |life: &&Life| matches!(life.state, State::Settled(_) | State::Expired);
        assert_eq!(records.len(), self.lives.iter().filter(ended).count());
        let spent = records.iter().fold(NanoUsd::ZERO, |sum, line| {
            assert_ne!(line.record.kind, RecordKind::Correction);
            sum.plus(line.record.cost_nano_usd)
        });
        let truth = self.lives.iter().filter(ended);
        let truth = truth.fold(NanoUsd::ZERO, |sum, life| sum.plus(life.amount().cost));
        assert_eq!(spent, truth);
    }

    fn check_rule(&self, lives: &[&Life], rule: &Rule) {
        let now = self.world.now;
        match *rule {
            Rule::Window {
                meter,
                limit,
                window,
                ..
            } => {
                let begins = now.minus(window);
                let used: u64 = lives
                    .iter()
                    .filter(|life| life.at > begins)
                    .map(|life| life.counts(meter))
                    .sum();
                assert!(used <= limit, "{rule:?}: {used}");
            }
            Rule::Gcra {
                meter,
                limit,
                window,
                burst,
            } => {
                // Of tokens and money only what was really used counts; what is open may turn out to be nothing.
                let known = |life: &&&Life| meter == Meter::Requests || !life.is_in_flight();
                for (index, first) in lives.iter().enumerate() {
                    let stretch = now.since(first.at).as_micros();
                    let sum: u64 = lives[index..]
                        .iter()
                        .filter(known)
                        .map(|life| life.counts(meter))
                        .sum();
                    let allowed = u128::from(burst) * window.as_micros() as u128
                        + u128::from(limit) * stretch as u128;
                    assert!(
                        u128::from(sum) * window.as_micros() as u128 <= allowed,
                        "{rule:?}: {sum} in {stretch} µs"
                    );
                }
            }
            Rule::Concurrency { limit } => {
                let open = lives.iter().filter(|life| life.is_in_flight()).count() as u64;
                assert!(open <= limit, "{rule:?}: {open}");
            }
            Rule::Budget { limit, period, .. } => {
                let begins = match period {
                    Period::Day => now.day_start(),
                    Period::Month => now.month_start(),
                };
                let used = lives
                    .iter()
                    .filter(|life| life.at >= begins)
                    .fold(NanoUsd::ZERO, |sum, life| sum.plus(life.amount().cost));
                assert!(used <= limit, "{rule:?}: {used:?}");
            }
        }
    }

    /// What the ledger holds back for isolates.
    fn held(&self) -> Slice {
        let now = self.world.now;
        let held = self.isolates.iter().map(|isolate| isolate.held);
        held.chain(self.orphans.iter().copied())
            .filter(|(_, until)| now < *until)
            .fold(Slice::NONE, |sum, (slice, _)| sum.plus(slice))
    }

    /// A denial is justified by what the ledger has charged and holds back.
    fn check_denial(&self, rule: &Rule, estimate: Amount, only_leases: bool) {
        let now = self.world.now;
        let held = self.held();
        let charged = |since: Timestamp, of: &dyn Fn(&Life) -> u64| -> u64 {
            let known = |life: &&Life| !matches!(life.state, State::Drawn | State::Lost);
            let lives = self.lives.iter().filter(known);
            lives.filter(|life| life.charged_at >= since).map(of).sum()
        };
        let nanos = |amount: NanoUsd| amount.as_nanos().unsigned_abs();
        let (used, held, asked, limit) = match *rule {
            Rule::Window {
                meter,
                limit,
                window,
                ..
            } => {
                let stretch = window.as_micros() + window.as_micros() / SUB_BUCKETS;
                let since = now.minus(Span::from_micros(stretch));
                let (held, asked) = (held.on(meter), Slice::of(estimate).on(meter));
                let used = charged(since, &|life| life.counts(meter));
                (used, held, asked, limit)
            }
            Rule::Concurrency { limit } => {
                let is_open = |life: &Life| u64::from(matches!(life.state, State::Open { .. }));
                let used = charged(Timestamp::default(), &is_open);
                (used, held.requests, 1, limit)
            }
            Rule::Budget { limit, period, .. } => {
                let begins = match period {
                    Period::Day => now.day_start(),
                    Period::Month => now.month_start(),
                };
                let used = charged(begins, &|life| nanos(life.amount().cost));
                (used, nanos(held.cost), nanos(estimate.cost), nanos(limit))
            }
            Rule::Gcra { .. } => return,
        };
        assert!(used + held + asked > limit, "{rule:?} denied for nothing");
        if only_leases {
            assert!(held > 0, "{rule:?}: nothing is held");
        }
    }

    /// Everybody goes away: nothing is held for ever.
    fn end(&mut self) {
        for isolate in 0..ISOLATES {
            self.vanish(isolate);
        }
        self.world.pass(seconds(60));
        for _ in 0..3 {
            self.expire();
        }
        self.check();
        let (scopes, _, open) = self.world.standing();
        assert_eq!(open, 0);
        for standing in scopes {
            assert!(standing.leased.is_none(), "{standing:?}");
            assert_eq!(standing.reserved, NanoUsd::ZERO);
        }
    }
}

proptest! {
    #[test]
    fn no_rule_is_broken_by_what_isolates_draw(steps in steps()) {
        let mut simulation = Simulation::new();
        for step in &steps {
            simulation.step(step);
        }
        simulation.end();
    }
}
