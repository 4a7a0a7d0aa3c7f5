//! Who is there: organisations, teams, people, keys, their limits, and the configuration that says so.
//!
//! The rules are kept as numbers of the simulator's own; the document that the gateway reads and the rules that the
//! judge expects are both made from them.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use sluice_core::hash::sha256_hex;
use sluice_core::secret_key;
use sluice_machines::limit::{Borrow, Clocks, Meter, Period, Rule, Scope, ScopeRules};
use sluice_machines::registry::KeyRecord;
use sluice_units::{AppId, KeyId, NanoUsd, OrgId, Span, TeamId, Timestamp, UserId};

use crate::borders::Borders;
use crate::rng::Rng;
use crate::run::REQUESTS_PER_SEED;

/// Organisations in one world.
pub(crate) const ORGS: usize = 2;
/// The regions that have ledgers: where the gateway is, and two that callers may ask for.
pub(crate) const LEDGER_REGIONS: [&str; 3] = ["sim", "east", "west"];
/// Which of them is the home of organisations that have one.
pub(crate) const HOME: usize = 2;
/// Among how many ledgers an organisation's keys are divided in a region, at most.
pub(crate) const SHARDS_MAX: u8 = 3;
/// Teams in an organisation; each has one application.
pub(crate) const TEAMS: usize = 2;
/// One limit in as many is waited for.
const QUEUED_EACH: u64 = 4;
/// How long, in seconds: some longer than it takes until a revocation holds.
const QUEUES_S: [i64; 4] = [1, 1, 10, 40];
/// One limit in as many borrows from the organisation, where that has one of its kind.
const BORROWED_EACH: u64 = 3;
/// What a request reserves, more or less, in nano-dollars.
const NANOS_EACH: u64 = 12_000;
/// People in an organisation.
const USERS: usize = 2;
/// Keys that exist from the beginning.
pub(crate) const KEYS: usize = 12;
/// Keys that anybody uses have smaller numbers.
pub(crate) const KEYS_MAX: usize = 1_000_000;

/// One virtual key, and what the world knows of it.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) org: usize,
    pub(crate) team: Option<usize>,
    pub(crate) app: bool,
    pub(crate) user: Option<usize>,
    pub(crate) secret: String,
    pub(crate) record: KeyRecord,
}

impl Key {
    pub(crate) fn new(rng: &Rng, number: usize, now: Timestamp) -> Self {
        let secret = secret_key::mint(&[rng.bytes(), rng.bytes(), rng.bytes()])
            .expose()
            .to_owned();
        let org = number % ORGS;
        let team = rng.chance(900_000).then(|| rng.index(TEAMS));
        let app = team.is_some() && rng.chance(500_000);
        let user = rng.chance(300_000).then(|| rng.index(USERS));
        let record = KeyRecord {
            id: KeyId::new(&format!("key_{number}")).expect("a legal name"),
            hash: sha256_hex(secret.as_bytes()),
            name: String::new(),
            org: org_id(org),
            team: team.map(team_id),
            app: app.then(app_id),
            user: user.map(user_id),
            models: Vec::new(),
            strict: false,
            accounting_strict: rng.chance(100_000),
            rules: Vec::new(),
            region: None,
            regions: None,
            phi: false,
            queues: Vec::new(),
            created_at: now,
            expires_at: now.plus(Span::from_seconds(90 * 86_400)),
            revoked_at: None,
        };
        Self {
            org,
            team,
            app,
            user,
            secret,
            record,
        }
    }
}

pub(crate) fn org_id(number: usize) -> OrgId {
    OrgId::new(&format!("org-{number}")).expect("a legal name")
}

fn team_id(number: usize) -> TeamId {
    TeamId::new(&format!("team-{number}")).expect("a legal name")
}

fn user_id(number: usize) -> UserId {
    UserId::new(&format!("user-{number}@example.com")).expect("a legal name")
}

fn app_id() -> AppId {
    AppId::new("app").expect("a legal name")
}

/// The rules of one organisation at every level.
#[derive(Debug, Clone)]
struct OrgRules {
    org: Vec<Rule>,
    teams: Vec<Vec<Rule>>,
    apps: Vec<Vec<Rule>>,
    users: Vec<Vec<Rule>>,
    keys: Vec<Rule>,
}

/// One version of the configuration.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) document: String,
    /// Callers are counted in several regions, whose ledgers lease from one.
    pub(crate) has_homes: bool,
    /// Who may go where.
    pub(crate) borders: Rc<Borders>,
    orgs: Vec<OrgRules>,
    /// What the rules of each key come to, made when first asked for.
    scopes: RefCell<Vec<Option<Rc<Vec<ScopeRules>>>>>,
}

impl Version {
    /// A version whose limits fit about `rate` requests a second, more or less.
    pub(crate) fn new(rng: &Rng, rate: u64, has_homes: bool) -> Self {
        let orgs: Vec<OrgRules> = (0..ORGS).map(|_| OrgRules::new(rng, rate)).collect();
        Self {
            document: document(&orgs, has_homes).to_string(),
            has_homes,
            borders: Rc::default(),
            orgs,
            scopes: RefCell::default(),
        }
    }

    /// A version whose only rule is the first organisation's.
    pub(crate) fn with_one_rule(rule: Rule, has_homes: bool) -> Self {
        let mut orgs = vec![OrgRules::none(); ORGS];
        orgs[0].org.push(rule);
        Self {
            document: document(&orgs, has_homes).to_string(),
            has_homes,
            borders: Rc::default(),
            orgs,
            scopes: RefCell::default(),
        }
    }

    /// A version whose only limit lets in somewhat fewer than ask, of `rate` in a second, and is waited for.
    pub(crate) fn with_a_line(rate: u64, has_homes: bool) -> Self {
        let seconds = 10;
        let demand = rate * seconds / ORGS as u64;
        // The third of the queues.
        let each = QUEUED_EACH * QUEUES_S.len() as u64;
        let limit = demand * 3 / 4 / each * each + 2 * QUEUED_EACH + 1;
        let rule = Rule::Gcra {
            meter: Meter::Requests,
            limit,
            window: Span::from_seconds(seconds as i64),
            burst: 2,
        };
        Self::with_one_rule(rule, has_homes)
    }

    /// The same where each organisation's keys are divided among so many ledgers.
    pub(crate) fn sharded(self, shards: u8) -> Self {
        self.changed(|document| {
            for org in 0..ORGS {
                document["orgs"][org_id(org).as_str()]["shards"] = json!(shards);
            }
        })
    }

    /// The same, where the document says something else besides.
    pub(crate) fn changed(self, change: impl FnOnce(&mut Value)) -> Self {
        let mut document = serde_json::from_str(&self.document).expect("its own text");
        change(&mut document);
        Self {
            document: document.to_string(),
            ..self
        }
    }

    /// The same within borders.
    pub(crate) fn within(self, borders: &Rc<Borders>) -> Self {
        Self {
            document: borders.document(&self.document),
            borders: Rc::clone(borders),
            ..self
        }
    }

    /// Every scope of a key with its rules, outermost first.
    pub(crate) fn scopes_of(&self, number: usize, key: &Key) -> Rc<Vec<ScopeRules>> {
        let mut known = self.scopes.borrow_mut();
        if known.len() <= number {
            known.resize(number + 1, None);
        }
        let scopes =
            known[number].get_or_insert_with(|| Rc::new(self.orgs[key.org].scopes_of(key)));
        Rc::clone(scopes)
    }
}

impl OrgRules {
    fn none() -> Self {
        Self {
            org: Vec::new(),
            teams: vec![Vec::new(); TEAMS],
            apps: vec![Vec::new(); TEAMS],
            users: vec![Vec::new(); USERS],
            keys: Vec::new(),
        }
    }

    fn new(rng: &Rng, rate: u64) -> Self {
        let seconds = REQUESTS_PER_SEED.div_ceil(rate);
        let rate = rate / ORGS as u64;
        let rules = |rng, rate| rules(rng, rate, seconds);
        let share = |parts: usize| rate.div_ceil(parts as u64).max(1);
        let org = rules(rng, share(1));
        let rules = |rng, rate| {
            rules(rng, rate)
                .into_iter()
                .map(|rule| borrowing(rule, &org))
        };
        Self {
            teams: (0..TEAMS)
                .map(|_| rules(rng, share(TEAMS)).collect())
                .collect(),
            apps: (0..TEAMS)
                .map(|_| rules(rng, share(2 * TEAMS)).collect())
                .collect(),
            users: (0..USERS)
                .map(|_| rules(rng, share(3 * USERS)).collect())
                .collect(),
            keys: rules(rng, share(KEYS / ORGS)).collect(),
            org: org.clone(),
        }
    }

    fn scopes_of(&self, key: &Key) -> Vec<ScopeRules> {
        let at = |scope: Scope, rules: &[Rule]| ScopeRules {
            scope,
            rules: rules.to_vec(),
        };
        let mut scopes = vec![at(Scope::Org, &self.org)];
        if let Some(team) = key.team {
            scopes.push(at(Scope::Team(team_id(team)), &self.teams[team]));
            if key.app {
                let scope = Scope::App(team_id(team), app_id());
                scopes.push(at(scope, &self.apps[team]));
            }
        }
        if let Some(user) = key.user {
            scopes.push(at(Scope::User(user_id(user)), &self.users[user]));
        }
        scopes.push(at(Scope::Key(key.record.id.clone()), &self.keys));
        scopes
    }
}

/// Some rules for a level that sees `rate` requests a second, for so many seconds.
fn rules(rng: &Rng, rate: u64, seconds: u64) -> Vec<Rule> {
    let mut rules = Vec::new();
    // From a third of the demand to three times as much.
    let around = |rng: &Rng, demand: u64| (demand * rng.between(33, 300) as u64 / 100).max(2);
    let meters = [
        (Meter::Requests, 1),
        (Meter::Tokens, 150),
        (Meter::Money, NANOS_EACH),
    ];
    for (meter, each) in meters {
        if rng.chance(350_000) {
            let seconds = *rng.pick(&[1, 10, 60]);
            let limit = around(rng, rate * seconds * each);
            let window = Span::from_seconds(seconds as i64);
            rules.push(if rng.chance(300_000) {
                Rule::Gcra {
                    meter,
                    limit,
                    window,
                    burst: around(rng, rate * each),
                }
            } else {
                Rule::Window {
                    meter,
                    limit,
                    window,
                    borrow: Borrow::No,
                }
            });
        }
    }
    if rng.chance(150_000) {
        // A request takes about half a second.
        rules.push(Rule::Concurrency {
            limit: around(rng, rate / 2),
        });
    }
    if rng.chance(350_000) {
        // From half of what all its traffic costs to some times as much: some are spent before the end.
        let nanos = around(rng, rate * seconds * NANOS_EACH);
        rules.push(Rule::Budget {
            limit: NanoUsd::from_nanos(nanos as i64),
            period: *rng.pick(&[Period::Day, Period::Month]),
            clocks: Clocks::default(),
            borrow: Borrow::No,
        });
    }
    rules
}

/// Some rules borrow from what the organisation's leave: all of it, or up to a third of their own.
fn borrowing(mut rule: Rule, org: &[Rule]) -> Rule {
    let of = rule.loan();
    let has_pool = of.is_some_and(|of| org.iter().any(|rule| rule.lends(of)));
    let (borrow, limit) = match &mut rule {
        Rule::Window { limit, borrow, .. } => (borrow, *limit),
        Rule::Budget { limit, borrow, .. } => (borrow, limit.as_nanos().unsigned_abs()),
        Rule::Gcra { .. } | Rule::Concurrency { .. } => return rule,
    };
    if has_pool && limit % BORROWED_EACH == 0 {
        *borrow = match limit % 2 {
            0 => Borrow::Any,
            _ => Borrow::UpTo(limit.div_ceil(3)),
        };
    }
    rule
}

fn document(orgs: &[OrgRules], has_homes: bool) -> Value {
    let member = |rules: &[Rule]| {
        let limits: Vec<Value> = rules.iter().filter_map(limit).collect();
        let budgets: Vec<Value> = rules.iter().filter_map(budget).collect();
        json!({"limits": limits, "budgets": budgets})
    };
    let mut entries = serde_json::Map::new();
    for (number, rules) in orgs.iter().enumerate() {
        let mut org = member(&rules.org);
        for team in 0..TEAMS {
            let mut entry = member(&rules.teams[team]);
            entry["apps"] = json!({app_id().as_str(): member(&rules.apps[team])});
            org["teams"][team_id(team).as_str()] = entry;
        }
        for user in 0..USERS {
            org["users"][user_id(user).as_str()] = member(&rules.users[user]);
        }
        org["key_defaults"] = member(&rules.keys);
        if has_homes {
            org["home"] = json!(LEDGER_REGIONS[HOME]);
            org["regions"] = json!(LEDGER_REGIONS[1..]);
        }
        entries.insert(org_id(number).to_string(), org);
    }
    let mut document = providers();
    document["orgs"] = Value::Object(entries);
    if has_homes {
        for region in &LEDGER_REGIONS[1..] {
            document["regions"][region] =
                json!({"countries": ["EU"], "jurisdiction": "eu", "bucket": "RECORDS_EU"});
        }
    }
    document
}

/// Three providers that speak three dialects, and a chain of fallbacks over all of them.
fn providers() -> Value {
    json!({
        "gateway": {
            "region": "sim",
            "timeouts": {"first_byte": "8s", "idle": "5s", "total": "30s"},
            "retry": {"attempts_max": 2, "backoff_base": "50ms", "backoff_max": "500ms"},
            "circuit": {"open": "2s", "open_max": "20s"},
        },
        "accounting": {"reservation_ttl": "10s", "output_tokens": 12, "output_tokens_min": 8},
        "providers": {
            "openai": {"dialect": "openai", "base_url": "https://openai.test/v1", "key": "OPENAI_API_KEY", "country": "DE",
                "auth": "bearer", "models": {"gpt": {}, "embed": {"capabilities": ["embeddings"]}}},
            "anthropic": {"dialect": "anthropic", "base_url": "https://anthropic.test/v1", "key": "ANTHROPIC_API_KEY", "country": "DE",
                "auth": {"header": "x-api-key"}, "models": {"claude": {"output_tokens_max": 64}}},
            "gemini": {"dialect": "gemini", "base_url": "https://gemini.test/v1beta", "key": "GEMINI_API_KEY", "country": "DE",
                "auth": {"header": "x-goog-api-key"}, "models": {"flash": {}}},
        },
        "models": {
            "smart": {"targets": [
                {"provider": "anthropic", "model": "claude"},
                {"provider": "openai", "model": "gpt"},
                {"provider": "gemini", "model": "flash"},
            ]},
        },
        "prices": {
            "openai/gpt": {"input": "0.2", "output": "0.5"},
            "openai/embed": {"input": "0.1", "output": "0"},
            "anthropic/claude": {"input": "0.3", "output": "0.6"},
            "gemini/flash": {"input": "0.1", "output": "0.4"},
        },
    })
}

/// What a token costs at a provider's model, in nano-dollars: input, output.
pub(crate) fn price(provider: &str, model: &str) -> (i64, i64) {
    match (provider, model) {
        ("openai", "embed") => (100, 0),
        ("openai", _) => (200, 500),
        ("anthropic", _) => (300, 600),
        _ => (100, 400),
    }
}

fn limit(rule: &Rule) -> Option<Value> {
    let (meter, limit, window, burst) = match *rule {
        Rule::Window {
            meter,
            limit,
            window,
            ..
        } => (meter, limit, window, None),
        Rule::Gcra {
            meter,
            limit,
            window,
            burst,
        } => (meter, limit, window, Some(burst)),
        Rule::Concurrency { limit } => return Some(json!({"concurrent": limit})),
        Rule::Budget { .. } => return None,
    };
    let (name, shown): (_, fn(u64) -> Value) = match meter {
        Meter::Requests => ("requests", Value::from),
        Meter::Tokens => ("tokens", Value::from),
        Meter::Money => ("usd", usd),
    };
    let mut value = json!({name: shown(limit), "per": format!("{}s", window.as_seconds_ceil())});
    if let Some(burst) = burst {
        value["burst"] = shown(burst);
    }
    match rule.borrow() {
        Borrow::Any => value["borrow"] = json!(true),
        Borrow::UpTo(most) => value["borrow"] = shown(most),
        Borrow::No | Borrow::Of(_) => {}
    }
    if let Some(queue) = queue(rule) {
        value["queue"] = json!(format!("{}s", queue.as_seconds_ceil()));
    }
    Some(value)
}

/// How long requests wait for this limit; for some they do, so that what was denied is decided again.
pub(crate) fn queue(rule: &Rule) -> Option<Span> {
    let (Rule::Window { limit, .. } | Rule::Gcra { limit, .. } | Rule::Concurrency { limit }) =
        *rule
    else {
        return None;
    };
    let longer = limit / QUEUED_EACH % QUEUES_S.len() as u64;
    (limit % QUEUED_EACH == 1).then(|| Span::from_seconds(QUEUES_S[longer as usize]))
}

fn budget(rule: &Rule) -> Option<Value> {
    let Rule::Budget { limit, period, .. } = *rule else {
        return None;
    };
    let per = match period {
        Period::Day => "day",
        Period::Month => "month",
    };
    let mut value = json!({"usd": usd(limit.as_nanos().unsigned_abs()), "per": per});
    match rule.borrow() {
        Borrow::Any => value["borrow"] = json!(true),
        Borrow::UpTo(most) => value["borrow"] = usd(most),
        Borrow::No | Borrow::Of(_) => {}
    }
    Some(value)
}

/// Dollars, as a configuration says them.
fn usd(nanos: u64) -> Value {
    json!(format!(
        "{}.{:09}",
        nanos / 1_000_000_000,
        nanos % 1_000_000_000
    ))
}
