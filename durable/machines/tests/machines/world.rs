//! A store and a clock, and short words for commands.

use sluice_machines::ledger::{self, Admission, Command, Denial, Headroom, Reply, ScopeStanding};
use sluice_machines::limit::{Amount, Borrow, Clocks, Meter, Period, Rule, Scope, ScopeRules};
use sluice_machines::outbox::Line;
use sluice_machines::record::{CacheState, Operation, Outcome, Record, RecordKind, UsageSource};
use sluice_machines::rows::{Read, RowError, RowKey, Rows, WriteSet};
use sluice_units::{
    AppId, KeyId, ModelId, NanoUsd, OrgId, Region, RequestId, Span, TeamId, Timestamp, Tokens,
    Usage, UserId,
};

/// 2026-11-21T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_262_400;

pub(crate) fn seconds(seconds: i64) -> Span {
    Span::from_seconds(seconds)
}

pub(crate) fn team() -> Scope {
    Scope::Team(TeamId::new("search").unwrap())
}

pub(crate) fn key() -> Scope {
    Scope::Key(KeyId::new("key-1").unwrap())
}

pub(crate) fn all_scopes() -> Vec<Scope> {
    let search = TeamId::new("search").unwrap();
    vec![
        Scope::Org,
        team(),
        Scope::App(search, AppId::new("crawler").unwrap()),
        Scope::User(UserId::new("ada@example.com").unwrap()),
        key(),
    ]
}

pub(crate) fn per(meter: Meter, limit: u64, window: Span) -> Rule {
    Rule::Window {
        meter,
        limit,
        window,
        borrow: Borrow::No,
    }
}

pub(crate) fn budget(period: Period, nanos: i64) -> Rule {
    Rule::Budget {
        limit: NanoUsd::from_nanos(nanos),
        period,
        clocks: Clocks::default(),
        borrow: Borrow::No,
    }
}

/// The same rule, beyond which something is borrowed.
pub(crate) fn borrowing(rule: Rule, borrow: Borrow) -> Rule {
    match rule {
        Rule::Window {
            meter,
            limit,
            window,
            ..
        } => Rule::Window {
            meter,
            limit,
            window,
            borrow,
        },
        Rule::Budget {
            limit,
            period,
            clocks,
            ..
        } => Rule::Budget {
            limit,
            period,
            clocks,
            borrow,
        },
        other => other,
    }
}

pub(crate) fn at(scope: Scope, rules: &[Rule]) -> ScopeRules {
    ScopeRules {
        scope,
        rules: rules.to_vec(),
    }
}

pub(crate) fn amount(tokens: u64, nanos: i64) -> Amount {
    Amount {
        tokens: Tokens::new(tokens),
        cost: NanoUsd::from_nanos(nanos),
    }
}

pub(crate) fn request(number: u32) -> RequestId {
    RequestId::new(&format!("0192f8a1-7c3e-7d44-9a10-{number:012}")).unwrap()
}

pub(crate) fn record(number: u32, at: Timestamp) -> Record {
    Record {
        request: request(number),
        kind: RecordKind::Settled,
        at_us: at,
        org: OrgId::new("acme").unwrap(),
        team: Some(TeamId::new("search").unwrap()),
        app: Some(AppId::new("crawler").unwrap()),
        user: Some(UserId::new("ada@example.com").unwrap()),
        key: KeyId::new("key-1").unwrap(),
        operation: Operation::Chat,
        model: ModelId::new("openai/gpt-4o-mini").unwrap(),
        stream: true,
        provider: None,
        provider_model: None,
        region: Region::new("eu").unwrap(),
        shard: None,
        pin: None,
        place: None,
        egress: None,
        usage: Usage::default(),
        usage_source: UsageSource::Estimated,
        cost_nano_usd: NanoUsd::ZERO,
        overrun: false,
        borrowed: Vec::new(),
        latency_us: Span::ZERO,
        first_byte_us: None,
        cache: CacheState::Off,
        outcome: Outcome::Unknown,
        status: 200,
        finish: None,
        error: None,
        attempts: Vec::new(),
        dropped: Vec::new(),
        bodies: None,
    }
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) store: Rows,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            store: Rows::new(),
            now: Timestamp::from_micros(NOON * 1_000_000),
        }
    }

    pub(crate) fn pass(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }

    pub(crate) fn read(&self, reads: &[Read]) -> Vec<(RowKey, String)> {
        reads
            .iter()
            .flat_map(|read| self.store.answer(read))
            .collect()
    }

    pub(crate) fn rows(&self, reads: &[Read]) -> Rows {
        let mut rows = Rows::new();
        rows.extend(self.read(reads));
        rows
    }

    /// Decides a batch and commits it.
    pub(crate) fn run(&mut self, commands: &[Command]) -> (Vec<Reply>, WriteSet) {
        let rows = ledger::load(commands, |reads| Ok::<_, RowError>(self.read(reads))).unwrap();
        let (replies, writes) = ledger::decide_batch(&rows, self.now, commands).unwrap();
        self.store.apply(&writes);
        (replies, writes)
    }

    pub(crate) fn one(&mut self, command: Command) -> Reply {
        let (mut replies, writes) = self.run(&[command]);
        let reply = replies.pop().unwrap();
        if let Reply::Denied(_) = reply {
            assert!(writes.is_empty(), "a denial wrote {writes:?}");
        }
        reply
    }

    pub(crate) fn admission(
        &self,
        number: u32,
        scopes: &[ScopeRules],
        estimate: Amount,
    ) -> Admission {
        Admission {
            scopes: scopes.to_vec(),
            estimate,
            part: None,
            ttl: seconds(60),
            draft: record(number, self.now),
            parent: None,
        }
    }

    pub(crate) fn admit(&mut self, number: u32, scopes: &[ScopeRules], estimate: Amount) -> Reply {
        let admission = self.admission(number, scopes, estimate);
        self.one(Command::Admit(Box::new(admission)))
    }

    pub(crate) fn admitted(
        &mut self,
        number: u32,
        scopes: &[ScopeRules],
        estimate: Amount,
    ) -> Headroom {
        match self.admit(number, scopes, estimate) {
            Reply::Admitted(headroom) => headroom,
            other => panic!("not admitted: {other:?}"),
        }
    }

    pub(crate) fn denied(
        &mut self,
        number: u32,
        scopes: &[ScopeRules],
        estimate: Amount,
    ) -> Denial {
        match self.admit(number, scopes, estimate) {
            Reply::Denied(denial) => denial,
            other => panic!("not denied: {other:?}"),
        }
    }

    pub(crate) fn settle(&mut self, number: u32, actual: Amount) -> Reply {
        let record = Box::new(record(number, self.now));
        self.one(Command::Settle { actual, record })
    }

    pub(crate) fn release(&mut self, number: u32) -> Reply {
        let request = request(number);
        self.one(Command::Release { request })
    }

    pub(crate) fn extend(&mut self, number: u32, ttl: Span) -> Reply {
        let request = request(number);
        self.one(Command::Extend { request, ttl })
    }

    pub(crate) fn expire(&mut self) {
        let rows = ledger::load_due(self.now, |reads| Ok::<_, RowError>(self.read(reads))).unwrap();
        let writes = ledger::expire(&rows, self.now).unwrap();
        self.store.apply(&writes);
    }

    pub(crate) fn standing(&mut self) -> (Vec<ScopeStanding>, u64, u64) {
        match self.one(Command::Standing) {
            Reply::Standing {
                scopes,
                outbox,
                open,
            } => (scopes, outbox, open),
            other => panic!("no standing: {other:?}"),
        }
    }

    pub(crate) fn standing_of(&mut self, scope: &Scope) -> ScopeStanding {
        let (scopes, ..) = self.standing();
        scopes
            .into_iter()
            .find(|standing| standing.scope == *scope)
            .unwrap()
    }

    /// The records that wait, in order.
    pub(crate) fn queued(&self) -> Vec<Line> {
        self.store
            .with_prefix("q/")
            .map(|(_, text)| serde_json::from_str(text).unwrap())
            .collect()
    }
}
