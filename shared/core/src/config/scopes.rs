//! Who may do what: the levels above a key, outermost first.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_machines::limit::{Rule, Scope, ScopeRules};
use sluice_machines::record::Keep;
use sluice_machines::registry::KeyRecord;
use sluice_units::{AppId, OrgId, Region, SortedMap, Span, TeamId, Timestamp, UserId};
use thiserror::Error;

use super::compiled::KeyDefaults;
use super::pattern::{self, Pattern};
use super::zone::Zone;
use crate::residency::{self, RegionRules};

/// A level's rules and models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) rules: Vec<Rule>,
    /// Only these; empty means all.
    pub(super) models: Vec<Pattern>,
    /// The limits that requests wait for, and how long.
    pub(super) queues: Vec<(Rule, Span)>,
    /// Where the budgets' days and months begin.
    pub(super) zone: Arc<Zone>,
    /// Each request is on record before its provider is called.
    pub(super) is_strict: bool,
    /// What of requests and answers is on record, where the level says so.
    pub(super) bodies: Option<Keep>,
    pub(super) held: Held,
}

/// How a level's requests are held to places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// To this region.
    pub(super) pin: Option<Arc<RegionRules>>,
    /// They may ask for these.
    pub(super) regions: Option<Vec<Region>>,
    /// They hold health data of persons.
    pub(super) is_phi: bool,
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Org {
    pub(super) level: Level,
    pub(super) teams: BTreeMap<TeamId, Team>,
    pub(super) users: BTreeMap<UserId, Level>,
    /// The name of the secret that bodies are sealed under.
    pub(super) body_key: Arc<str>,
    pub(super) key_defaults: KeyDefaults,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Team {
    pub(super) level: Level,
    pub(super) apps: BTreeMap<AppId, Level>,
}

/// A key names something that the configuration does not hold (any more).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// The organisation.
    #[error("the configuration has no organisation {0}")]
    Org(OrgId),
    /// The team.
    #[error("the configuration has no team {team} in organisation {org}")]
    Team {
        /// The organisation, which exists.
        org: OrgId,
        /// The team.
        team: TeamId,
    },
    /// The application.
    #[error("the configuration has no app {app} in team {team} of organisation {org}")]
    App {
        /// The organisation, which exists.
        org: OrgId,
        /// The team, which exists.
        team: TeamId,
        /// The application.
        app: AppId,
    },
    /// The key's region.
    #[error("the configuration has no region {0} that requests can be held to")]
    Region(Region),
    /// Two levels that the key belongs to are held to different regions.
    #[error(
        "it is held to the regions {outer} and {inner}, neither of which lies within the other"
    )]
    Regions {
        /// The outer level's.
        outer: Region,
        /// The inner level's.
        inner: Region,
    },
    /// The key has an application but no team.
    #[error("the key has app {0} but no team")]
    AppWithoutTeam(AppId),
    /// The user.
    #[error("the configuration has no user {user} in organisation {org}")]
    User {
        /// The organisation, which exists.
        org: OrgId,
        /// The user.
        user: UserId,
    },
}

/// The levels above a key, and what holds for keys that say nothing.
type Above<'a> = (Vec<(Scope, &'a Level)>, &'a KeyDefaults);

/// The levels above a key, outermost first: org, team, app, user.
pub(super) fn levels<'a>(
    orgs: &'a BTreeMap<OrgId, Org>,
    key: &KeyRecord,
) -> Result<Above<'a>, ScopeError> {
    let org_id = &key.org;
    let Some(org) = orgs.get(org_id) else {
        return Err(ScopeError::Org(org_id.clone()));
    };
    let mut levels = vec![(Scope::Org, &org.level)];
    match (&key.team, &key.app) {
        (None, None) => {}
        (None, Some(app)) => return Err(ScopeError::AppWithoutTeam(app.clone())),
        (Some(team_id), app) => {
            let Some(team) = org.teams.get(team_id) else {
                return Err(ScopeError::Team {
                    org: org_id.clone(),
                    team: team_id.clone(),
                });
            };
            levels.push((Scope::Team(team_id.clone()), &team.level));
            if let Some(app_id) = app {
                let Some(level) = team.apps.get(app_id) else {
                    return Err(ScopeError::App {
                        org: org_id.clone(),
                        team: team_id.clone(),
                        app: app_id.clone(),
                    });
                };
                levels.push((Scope::App(team_id.clone(), app_id.clone()), level));
            }
        }
    }
    if let Some(user_id) = &key.user {
        let Some(level) = org.users.get(user_id) else {
            return Err(ScopeError::User {
                org: org_id.clone(),
                user: user_id.clone(),
            });
        };
        levels.push((Scope::User(user_id.clone()), level));
    }
    Ok((levels, &org.key_defaults))
}

/// A key's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The region that its requests are held to.
    pub pin: Option<Arc<RegionRules>>,
    /// The regions that its requests may ask for.
    pub regions: Vec<Region>,
    /// Its requests hold health data of persons.
    pub is_phi: bool,
    /// Every scope that applies with its rules as they are at this moment, outermost first and the key itself last.
    pub scopes: Vec<ScopeRules>,
    /// Each of its requests must be on record before its provider is called.
    pub is_strict: bool,
    /// The limits that its requests wait for, and how long.
    pub queues: Vec<(Scope, Rule, Span)>,
    /// What of its requests and answers is on record, and the name of the secret that it is sealed under.
    pub bodies: Option<(Keep, Arc<str>)>,
}

/// A key's place at this moment.
pub(super) fn place(
    orgs: &BTreeMap<OrgId, Org>,
    key: &KeyRecord,
    at: Timestamp,
    regions: &SortedMap<Region, Arc<RegionRules>>,
) -> Result<Place, ScopeError> {
    let (levels, defaults) = levels(orgs, key)?;
    let held = held(&levels, key, regions)?;
    let bodies = bodies(orgs, &levels, key);
    let is_strict = key.accounting_strict || levels.iter().any(|(_, level)| level.is_strict);
    // A key's days are those of its team, or of its organisation where it has none.
    let zone = levels
        .iter()
        .rev()
        .find(|(scope, _)| !matches!(scope, Scope::User(_)))
        .map(|(_, level)| Arc::clone(&level.zone))
        .unwrap_or_default();
    let mut scopes = Vec::with_capacity(levels.len().saturating_add(1));
    let mut queues = Vec::new();
    for (scope, level) in levels {
        let waits = level.queues.iter();
        queues.extend(waits.map(|(rule, wait)| (scope.clone(), *rule, *wait)));
        scopes.push(ScopeRules {
            scope,
            rules: level.zone.apply(&level.rules, at),
        });
    }
    let (own, waits) = if key.rules.is_empty() {
        (&defaults.rules, &defaults.queues)
    } else {
        (&key.rules, &key.queues)
    };
    let scope = Scope::Key(key.id.clone());
    let waits = waits.iter();
    queues.extend(waits.map(|(rule, wait)| (scope.clone(), *rule, *wait)));
    scopes.push(ScopeRules {
        scope,
        rules: zone.apply(own, at),
    });
    Ok(Place {
        pin: held.pin,
        regions: held.regions.unwrap_or_default(),
        is_phi: held.is_phi,
        scopes,
        is_strict,
        queues,
        bodies,
    })
}

/// What of a key's requests and answers is on record: the innermost level that says so decides.
fn bodies(
    orgs: &BTreeMap<OrgId, Org>,
    levels: &[(Scope, &Level)],
    key: &KeyRecord,
) -> Option<(Keep, Arc<str>)> {
    let mut inward = levels.iter().rev();
    let keep = inward.find_map(|(_, level)| level.bodies)?;
    let org = orgs.get(&key.org).filter(|_| keep != Keep::None)?;
    Some((keep, Arc::clone(&org.body_key)))
}

/// The secret that bodies of an organisation are sealed under, where any of its levels wants them on record.
pub(super) fn body_key(org: &Org) -> Option<&str> {
    let members = org
        .teams
        .values()
        .flat_map(|team| team.apps.values().chain([&team.level]));
    let mut levels = members.chain(org.users.values()).chain([&org.level]);
    let wants = |level: &Level| level.bodies.is_some_and(|keep| keep != Keep::None);
    levels.any(wants).then_some(&*org.body_key)
}

/// How a key's requests are held to places: to the innermost region, which lies within all others.
fn held(
    levels: &[(Scope, &Level)],
    key: &KeyRecord,
    regions: &SortedMap<Region, Arc<RegionRules>>,
) -> Result<Held, ScopeError> {
    let own = match &key.region {
        None => None,
        Some(region) => {
            let rules = regions.get(region).filter(|rules| rules.can_hold());
            Some(rules.ok_or_else(|| ScopeError::Region(region.clone()))?)
        }
    };
    let pins = levels
        .iter()
        .filter_map(|(_, level)| level.held.pin.as_ref());
    let pin = residency::innermost(pins.chain(own).cloned())
        .map_err(|(outer, inner)| ScopeError::Regions { outer, inner })?;
    let listed = levels
        .iter()
        .filter_map(|(_, level)| level.held.regions.as_ref());
    let mut open: Option<Vec<Region>> = None;
    for list in listed.chain(key.regions.as_ref()) {
        open = Some(match open {
            None => list.clone(),
            Some(outer) => outer.into_iter().filter(|one| list.contains(one)).collect(),
        });
    }
    Ok(Held {
        pin,
        regions: open,
        is_phi: key.phi || levels.iter().any(|(_, level)| level.held.is_phi),
    })
}

/// Whether every level and the key let a model through. `canonical` is the same model as `provider/model`.
pub(super) fn allows(
    levels: &[(Scope, &Level)],
    key: &KeyRecord,
    name: &str,
    canonical: Option<&str>,
) -> bool {
    let fits = |text: &str| {
        pattern::matches(text, name) || canonical.is_some_and(|full| pattern::matches(text, full))
    };
    let by_levels = levels.iter().all(|(_, level)| {
        level.models.is_empty() || level.models.iter().any(|pattern| fits(pattern.as_str()))
    });
    by_levels && (key.models.is_empty() || key.models.iter().any(|text| fits(text)))
}
