//! Which of an organisation's ledgers the others lease from, which of them may, and how many there are in a region.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use sluice_units::{LedgerId, OrgId, Region, Shard};

use super::Check;
use super::regions::Regions;
use crate::config::counting::{Counting, Ledgers};
use crate::config::document::OrgDocument;
use crate::config::issue::{Issue, Path, Trail};
use crate::config::scopes::{Level, Org};
use crate::config::{Entries, secrets};

const SHARDS_DEFAULT: u64 = 1;
const SHARDS_ALLOWED: RangeInclusive<u64> = 1..=Shard::COUNT_MAX as u64;

/// Where each organisation's requests are counted: in each region, and all of them at its home as far as that may be.
pub(super) fn compile(
    check: &mut Check,
    documents: &Entries<OrgDocument>,
    orgs: &BTreeMap<OrgId, Org>,
    (gateway, regions): (&Region, &Regions),
) -> Ledgers {
    let root = Trail::Root.name("orgs");
    let mut ledgers = Ledgers::new();
    for (id, org) in orgs {
        let path = root.name(id.as_str());
        let written = documents.iter().find(|(name, _)| *name == id.as_str());
        let written = written.map(|(_, document)| document);
        let shards = written.and_then(|document| document.shards);
        let path_of_shards = path.name("shards");
        let shards = check.number(&path_of_shards, shards, SHARDS_DEFAULT, &SHARDS_ALLOWED);
        let home = match written.and_then(|document| document.home.as_deref()) {
            Some(name) => check.home(&path, name, org, (gateway, regions)),
            None => org.level.held.pin.as_ref().map(|pin| pin.region.clone()),
        };
        let home = home.unwrap_or_else(|| gateway.clone());
        let of = |region: &Region| {
            let jurisdiction = regions.get(region).and_then(|rules| rules.jurisdiction);
            LedgerId::new(id.clone(), region.clone(), jurisdiction)
        };
        let parent = of(&home);
        let all = regions.keys().chain([gateway, &home]);
        let under = |region: &Region| {
            let rules = regions.get(region);
            let may = rules.is_none_or(|rules| rules.may_lease_from(&parent));
            if *region == home || !may {
                of(region)
            } else {
                of(region).under(parent.clone())
            }
        };
        let all = all.map(|region| (region.clone(), Counting::new(under(region), shards)));
        ledgers.insert(id.clone(), all.collect());
    }
    ledgers
}

/// The regions whose ledgers keep their own counts beside the home's, of those that somebody is held to or may ask for.
pub(in crate::config) fn apart(orgs: &BTreeMap<OrgId, Org>, ledgers: &Ledgers) -> Vec<Issue> {
    let mut notices = Vec::new();
    for (id, org) in orgs {
        let all = ledgers.get(id);
        for (place, region) in named(id, org) {
            let ledger = all.and_then(|all| all.get(&region));
            let ledger = ledger.map(Counting::whole);
            let is_apart = ledger.is_some_and(|ledger| ledger.parent().is_none());
            let is_home = all.is_some_and(|all| {
                let mut parents = all.values().filter_map(|each| each.whole().parent());
                parents.any(|parent| *parent.region() == region)
            });
            let is_alone = all.is_none_or(|all| all.len() < 2);
            if is_apart && !is_home && !is_alone {
                notices.push(Issue {
                    path: place,
                    problem: format!("→ regions.{region} counts by itself"),
                    hint: "limits and budgets hold there and elsewhere, each time in full; a home under its jurisdiction would count all together".to_owned(),
                });
            }
        }
    }
    notices
}

/// The regions that levels of an organisation are held to or may ask for, and where that is written.
fn named(id: &OrgId, org: &Org) -> Vec<(Path, Region)> {
    let root = Trail::Root.name("orgs");
    let root = root.name(id.as_str());
    let mut named = Vec::new();
    let mut note = |path: &Trail<'_>, level: &Level| {
        if let Some(pin) = &level.held.pin {
            named.push((path.name("region").path(), pin.region.clone()));
        }
        for region in level.held.regions.iter().flatten() {
            named.push((path.name("regions").path(), region.clone()));
        }
    };
    note(&root, &org.level);
    for (team_id, team) in &org.teams {
        let within = root.name("teams");
        let path = within.name(team_id.as_str());
        note(&path, &team.level);
        for (app_id, app) in &team.apps {
            note(&path.name("apps").name(app_id.as_str()), app);
        }
    }
    for (user_id, user) in &org.users {
        note(&root.name("users").name(user_id.as_str()), user);
    }
    named
}

impl Check {
    /// A home that is written: it is known, and whoever is held to a region may be counted there.
    fn home(
        &mut self,
        path: &Trail<'_>,
        name: &str,
        org: &Org,
        (gateway, regions): (&Region, &Regions),
    ) -> Option<Region> {
        let path = path.name("home");
        let region = Region::new(name).ok();
        let Some(region) = region.filter(|one| one == gateway || regions.contains_key(one)) else {
            let problem = format!("no region is named {}", secrets::shown(name));
            let names = regions.keys().chain([gateway]).map(Region::as_str);
            let hint = format!("known are {}", names.collect::<Vec<_>>().join(", "));
            self.0.add(&path, problem, hint);
            return None;
        };
        let jurisdiction = regions.get(&region).and_then(|rules| rules.jurisdiction);
        let any = OrgId::new("org").ok()?;
        let parent = LedgerId::new(any.clone(), region.clone(), jurisdiction);
        for (_, pinned) in named(&any, org) {
            let rules = regions.get(&pinned).filter(|_| pinned != region);
            if rules.is_some_and(|rules| !rules.may_lease_from(&parent)) {
                let problem = format!("→ regions.{pinned} → ledger of {region} (place: elsewhere)");
                let hint = format!(
                    "name a home under the jurisdiction of {pinned}, or none: then {pinned} counts by itself"
                );
                self.0.add(&path, problem, hint);
            }
        }
        Some(region)
    }
}
