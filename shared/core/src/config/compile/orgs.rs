//! Organisations: their levels, limits, budgets and models.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use sluice_machines::limit::{Clocks, Meter, Period, Rule};
use sluice_machines::record::Keep;
use sluice_units::{AppId, OrgId, Span, TeamId, UserId};

use super::Check;
use super::borrow::Pool;
use super::regions::Regions;
use super::zones::Zones;
use crate::bodies::BODY_KEY;
use crate::config::Entries;
use crate::config::compiled::KeyDefaults;
use crate::config::document::{
    AccountingName, BodiesName, BudgetDocument, DataName, KeyDefaultsDocument, LimitDocument,
    OrgDocument, PeriodName, QuantityDocument, TeamDocument,
};
use crate::config::issue::{Issue, Trail};
use crate::config::pattern::Pattern;
use crate::config::scopes::{Held, Level, Org, Team};
use crate::config::secrets;
use crate::config::zone::Zone;
use crate::residency::RegionRules;

const RULES_MAX: usize = 16;
const WINDOW_DEFAULT: Span = Span::from_seconds(60);
const WINDOW_ALLOWED: RangeInclusive<Span> =
    Span::from_seconds(1)..=Span::from_seconds(31 * 86_400);
pub(super) const QUEUE_ALLOWED: RangeInclusive<Span> =
    Span::from_millis(1)..=Span::from_seconds(60);
pub(super) const LIMIT_ALLOWED: RangeInclusive<u64> = 1..=1_000_000_000_000;
const EXPIRY_DEFAULT: Span = Span::from_seconds(90 * 86_400);
const EXPIRY_ALLOWED: RangeInclusive<Span> =
    Span::from_seconds(60)..=Span::from_seconds(3_650 * 86_400);

pub(super) fn compile(
    check: &mut Check,
    documents: &Entries<OrgDocument>,
    zones: &Zones,
    regions: &Regions,
) -> BTreeMap<OrgId, Org> {
    let root = Trail::Root.name("orgs");
    let mut orgs = BTreeMap::new();
    for (name, document) in documents.iter() {
        let path = root.name(name);
        let org = check.org(&path, document, zones, regions);
        if let Some(id) = check.id(&path, name, OrgId::new) {
            orgs.insert(id, org);
        }
    }
    orgs
}

/// The rules of one key, and how long its requests wait for some of them.
pub type KeyRules = (Vec<Rule>, Vec<(Rule, Span)>);

/// The rules of one key, as the admin API takes them, and which of them its requests wait for, how long. What may be
/// borrowed must be of a kind that the organisation's own rules have, where they are known.
///
/// # Errors
/// Everything that is wrong with them, never nothing.
pub fn rules(
    limits: &[LimitDocument],
    budgets: &[BudgetDocument],
    of_org: Option<&[Rule]>,
) -> Result<KeyRules, Vec<Issue>> {
    let mut check = Check::default();
    let pool = of_org.map_or(Pool::Unknown, Pool::Of);
    let rules = check.rules(&Trail::Root, limits, budgets, pool);
    let queues = check.queues(&Trail::Root, limits);
    let issues = check.0.finish();
    if issues.is_empty() {
        Ok((rules, queues))
    } else {
        Err(issues)
    }
}

/// What a level says of places, whatever kind of level it is.
macro_rules! held {
    ($document:expr) => {
        Holding {
            region: $document.region.as_deref(),
            regions: $document.regions.as_deref(),
            data: $document.data,
        }
    };
}

/// What a level says of places.
struct Holding<'a> {
    region: Option<&'a str>,
    regions: Option<&'a [String]>,
    data: Option<DataName>,
}

/// On which terms a level's rules hold.
struct Terms<'a> {
    zone: Arc<Zone>,
    accounting: Option<AccountingName>,
    bodies: Option<BodiesName>,
    held: Held,
    pool: Pool<'a>,
}

impl Check {
    fn org(
        &mut self,
        path: &Trail<'_>,
        document: &OrgDocument,
        zones: &Zones,
        regions: &Regions,
    ) -> Org {
        let zone = path.name("time_zone");
        let zone = self.zone_named(&zone, document.time_zone.as_deref(), zones);
        let terms = Terms {
            zone: zone.unwrap_or_default(),
            accounting: document.accounting,
            bodies: document.bodies,
            held: self.held(path, held!(document), None, regions),
            pool: Pool::None,
        };
        let level = self.level(
            path,
            &document.limits,
            &document.budgets,
            &document.models,
            &terms,
        );
        let terms = Terms {
            pool: Pool::Of(&level.rules),
            ..terms
        };
        let mut teams = BTreeMap::new();
        for (name, document) in document.teams.iter() {
            let within = path.name("teams");
            let path = within.name(name);
            let team = self.team(&path, document, &terms, (zones, regions));
            if let Some(id) = self.id(&path, name, TeamId::new) {
                teams.insert(id, team);
            }
        }
        let mut users = BTreeMap::new();
        for (name, user) in document.users.iter() {
            let within = path.name("users");
            let path = within.name(name);
            let terms = Terms {
                zone: Arc::clone(&terms.zone),
                accounting: user.accounting,
                bodies: user.bodies,
                held: self.held(&path, held!(user), terms.held.pin.as_ref(), regions),
                pool: terms.pool,
            };
            let level = self.level(&path, &user.limits, &user.budgets, &user.models, &terms);
            if let Some(id) = self.id(&path, name, UserId::new) {
                users.insert(id, level);
            }
        }
        let key_defaults = path.name("key_defaults");
        let key_defaults = self.key_defaults(&key_defaults, &document.key_defaults, terms.pool);
        Org {
            level,
            teams,
            users,
            body_key: self.body_key(&path.name("body_key"), document.body_key.as_deref()),
            key_defaults,
        }
    }

    fn team(
        &mut self,
        path: &Trail<'_>,
        document: &TeamDocument,
        above: &Terms<'_>,
        (zones, regions): (&Zones, &Regions),
    ) -> Team {
        let zone = path.name("time_zone");
        let zone = self.zone_named(&zone, document.time_zone.as_deref(), zones);
        let terms = Terms {
            zone: zone.unwrap_or_else(|| Arc::clone(&above.zone)),
            accounting: document.accounting,
            bodies: document.bodies,
            held: self.held(path, held!(document), above.held.pin.as_ref(), regions),
            pool: above.pool,
        };
        let level = self.level(
            path,
            &document.limits,
            &document.budgets,
            &document.models,
            &terms,
        );
        let outer = terms.held.pin.as_ref().or(above.held.pin.as_ref());
        let mut apps = BTreeMap::new();
        for (name, app) in document.apps.iter() {
            let within = path.name("apps");
            let path = within.name(name);
            let terms = Terms {
                zone: Arc::clone(&terms.zone),
                accounting: app.accounting,
                bodies: app.bodies,
                held: self.held(&path, held!(app), outer, regions),
                pool: terms.pool,
            };
            let level = self.level(&path, &app.limits, &app.budgets, &app.models, &terms);
            if let Some(id) = self.id(&path, name, AppId::new) {
                apps.insert(id, level);
            }
        }
        Team { level, apps }
    }

    fn level(
        &mut self,
        path: &Trail<'_>,
        limits: &[LimitDocument],
        budgets: &[BudgetDocument],
        models: &[String],
        terms: &Terms<'_>,
    ) -> Level {
        Level {
            rules: self.rules(path, limits, budgets, terms.pool),
            models: models.iter().map(|text| Pattern::new(text)).collect(),
            queues: self.queues(path, limits),
            zone: Arc::clone(&terms.zone),
            is_strict: terms.accounting == Some(AccountingName::Strict),
            bodies: terms.bodies.map(|name| match name {
                BodiesName::None => Keep::None,
                BodiesName::Redacted => Keep::Redacted,
                BodiesName::Full => Keep::Full,
            }),
            held: terms.held.clone(),
        }
    }

    fn held(
        &mut self,
        path: &Trail<'_>,
        written: Holding<'_>,
        outer: Option<&Arc<RegionRules>>,
        regions: &Regions,
    ) -> Held {
        let place = path.name("region");
        let pin = self.pin(&place, written.region, regions);
        self.within(&place, pin.as_ref(), outer);
        let inner = pin.as_ref().or(outer);
        let listed = written.regions.map(|names| {
            let place = path.name("regions");
            let mut listed = Vec::new();
            for (index, name) in names.iter().enumerate() {
                let place = place.index(index);
                let rules = self.pin(&place, Some(name), regions);
                self.within(&place, rules.as_ref(), inner);
                listed.extend(rules.map(|rules| rules.region.clone()));
            }
            listed
        });
        Held {
            pin,
            regions: listed,
            is_phi: written.data == Some(DataName::Phi),
        }
    }

    fn within(
        &mut self,
        path: &Trail<'_>,
        inner: Option<&Arc<RegionRules>>,
        outer: Option<&Arc<RegionRules>>,
    ) {
        if let (Some(inner), Some(outer)) = (inner, outer)
            && !inner.is_within(outer)
        {
            let (inner, outer) = (&inner.region, &outer.region);
            let problem = format!("{inner} does not lie within {outer}, which holds above");
            let hint =
                "a deeper level can only narrow: fewer countries under the same jurisdiction";
            self.0.add(path, problem, hint);
        }
    }

    fn body_key(&mut self, path: &Trail<'_>, written: Option<&str>) -> Arc<str> {
        let name = written.unwrap_or(BODY_KEY);
        if !secrets::is_name(name) {
            let problem = format!("{} is not the name of a secret", secrets::shown(name));
            let hint =
                format!("write the name of the variable that holds it, such as {BODY_KEY:?}");
            self.0.add(path, problem, hint);
        }
        Arc::from(name)
    }

    fn key_defaults(
        &mut self,
        path: &Trail<'_>,
        document: &KeyDefaultsDocument,
        pool: Pool<'_>,
    ) -> KeyDefaults {
        KeyDefaults {
            rules: self.rules(path, &document.limits, &document.budgets, pool),
            queues: self.queues(path, &document.limits),
            expires_after: self.span(
                &path.name("expires_after"),
                document.expires_after.as_deref(),
                EXPIRY_DEFAULT,
                &EXPIRY_ALLOWED,
            ),
        }
    }

    /// The limits that requests wait for, and how long.
    fn queues(&mut self, path: &Trail<'_>, limits: &[LimitDocument]) -> Vec<(Rule, Span)> {
        let mut queues = Vec::new();
        for (index, limit) in limits.iter().enumerate() {
            let Some(queue) = limit.queue.as_deref() else {
                continue;
            };
            let within = path.name("limits");
            let path = within.index(index);
            let wait = self.span(&path.name("queue"), Some(queue), Span::ZERO, &QUEUE_ALLOWED);
            // What is wrong with the limit itself has been told.
            if let Some(rule) = Self::default().limit(&path, limit) {
                queues.push((rule, wait));
            }
        }
        queues
    }

    fn rules(
        &mut self,
        path: &Trail<'_>,
        limits: &[LimitDocument],
        budgets: &[BudgetDocument],
        pool: Pool<'_>,
    ) -> Vec<Rule> {
        let count = limits.len().saturating_add(budgets.len());
        if count > RULES_MAX {
            let hint = format!("allowed are up to {RULES_MAX} limits and budgets together");
            self.0
                .add(path, format!("has {count} limits and budgets"), hint);
        }
        let mut rules = Vec::new();
        for (index, limit) in limits.iter().enumerate() {
            rules.extend(self.limit(&path.name("limits").index(index), limit));
        }
        for (index, budget) in budgets.iter().enumerate() {
            rules.extend(self.budget(&path.name("budgets").index(index), budget));
        }
        self.pools(path, (limits, budgets), pool);
        rules
    }

    pub(super) fn limit(&mut self, path: &Trail<'_>, document: &LimitDocument) -> Option<Rule> {
        const HINT: &str = "a limit is { requests = 600, per = \"1m\" }, { tokens = 200000, per = \"1m\" }, { usd = \"5\", per = \"1h\" } or { concurrent = 20 }; burst = 50 (or \"0.50\" of dollars) besides makes it a steady rate";
        let counted = (document.requests, document.tokens, &document.usd);
        let (meter, name, written) = match (counted, document.concurrent) {
            ((Some(count), None, None), None) => {
                (Meter::Requests, "requests", QuantityDocument::Count(count))
            }
            ((None, Some(count), None), None) => {
                (Meter::Tokens, "tokens", QuantityDocument::Count(count))
            }
            ((None, None, Some(usd)), None) => {
                (Meter::Money, "usd", QuantityDocument::Usd(usd.clone()))
            }
            ((None, None, None), Some(count)) => return self.concurrency(path, document, count),
            ((None, None, None), None) => {
                self.0.add(path, "counts nothing", HINT);
                return None;
            }
            _ => {
                self.0.add(path, "counts several things at once", HINT);
                return None;
            }
        };
        if document.per.is_none() {
            self.0.add(path, "does not say within how long", HINT);
        }
        let per = document.per.as_deref();
        let limit = self.quantity(&path.name(name), meter, &written);
        let window = self.span(&path.name("per"), per, WINDOW_DEFAULT, &WINDOW_ALLOWED);
        let borrow = self.borrow_of_limit(path, meter, document);
        let burst = document.burst.as_ref();
        let burst = burst.map(|burst| self.quantity(&path.name("burst"), meter, burst));
        let limit = limit?;
        Some(match burst {
            None => Rule::Window {
                meter,
                limit,
                window,
                borrow,
            },
            Some(burst) => Rule::Gcra {
                meter,
                limit,
                window,
                burst: burst?,
            },
        })
    }

    fn concurrency(
        &mut self,
        path: &Trail<'_>,
        document: &LimitDocument,
        count: u64,
    ) -> Option<Rule> {
        let has_borrow = document.borrow.is_some();
        if document.per.is_some() || document.burst.is_some() || has_borrow {
            self.0.add(
                path,
                "limits requests at once, and says a time, a burst or a loan besides",
                "concurrent stands alone: { concurrent = 20 }",
            );
            return None;
        }
        let limit = self.number(&path.name("concurrent"), Some(count), 1, &LIMIT_ALLOWED);
        Some(Rule::Concurrency { limit })
    }

    pub(super) fn budget(&mut self, path: &Trail<'_>, document: &BudgetDocument) -> Option<Rule> {
        const HINT: &str =
            "a budget is { usd = \"100\", per = \"month\" } or { usd = \"5\", per = \"day\" }";
        if document.usd.is_none() {
            self.0.add(path, "does not say how much", HINT);
        }
        if document.per.is_none() {
            self.0.add(path, "does not say per day or per month", HINT);
        }
        let limit = self.usd(&path.name("usd"), document.usd.as_deref()?);
        let period = match document.per? {
            PeriodName::Day => Period::Day,
            PeriodName::Month => Period::Month,
        };
        Some(Rule::Budget {
            limit,
            period,
            clocks: Clocks::default(),
            borrow: self.borrow(path, Meter::Money, document.borrow.as_ref()),
        })
    }
}
